//! Environment variables of OpenTelemetry. They belong to a process, so these tests run the daemon.

use greet_testkit::certs::Ca;
use tokio::net::TcpStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::otlp::Collector;
use crate::support::Client;
use crate::support::process::{Process, daemon};

/// Runs the daemon with these variables for one call, and returns its log.
async fn log_of_one_call(collector: &Collector, variables: &[(&str, &str)]) -> String {
    let endpoint = collector.endpoint.trim_start_matches("--otlp-endpoint=");
    let mut command = daemon(&["--listen=127.0.0.1:0", "--instance=blue"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).envs(variables.iter().copied());
    let mut process = Process::start(&mut command);
    let tcp = TcpStream::connect(process.next_address()).await.unwrap();
    Client::handshake(tcp).await.say_hello("Ada").await.unwrap();
    let exit = process.stop_async().await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    exit.log
}

#[tokio::test]
async fn environment_names_the_endpoint_and_the_resource() {
    let mut collector = Collector::start(true).await;
    let attributes = "service.name=another,deployment.environment.name=test%20site";
    let variables = [
        ("OTEL_SERVICE_NAME", "greeter-of-shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", attributes),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ];
    let log = log_of_one_call(&collector, &variables).await;
    assert!(!log.contains("OTEL_"), "{log}");
    let (resource, spans) = collector.next().await;
    assert_eq!(resource["service.name"], "greeter-of-shop");
    assert_eq!(resource["service.instance.id"], "blue");
    assert_eq!(resource["deployment.environment.name"], "test site");
    assert_eq!(spans.len(), 1);
}

#[tokio::test]
async fn environment_turns_tracing_off() {
    let mut collector = Collector::start(true).await;
    for variable in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ] {
        log_of_one_call(&collector, &[variable]).await;
        assert!(collector.requests.try_recv().is_err(), "{variable:?}");
    }
}

#[tokio::test]
async fn invalid_variables_are_logged_and_do_not_stop_the_daemon() {
    let mut collector = Collector::start(true).await;
    let invalid = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100000000000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=%ff"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
    ];
    let log = log_of_one_call(&collector, &invalid).await;
    for (variable, value) in invalid {
        assert!(log.contains(variable) && log.contains(value), "{variable}: {log}");
    }
    let (resource, spans) = collector.next().await;
    assert_eq!((resource["service.name"].as_str(), spans.len()), ("greet-server", 1));

    let endpoint = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector");
    let log = log_of_one_call(&collector, &[endpoint]).await;
    assert!(log.contains(endpoint.0), "{log}");
    assert!(collector.requests.try_recv().is_err());
}

#[tokio::test]
async fn https_collector_is_verified() {
    let ca = Ca::new("Greet Test CA");
    let identity = ca.sign_serial(1);
    let tls =
        ServerTlsConfig::new().identity(Identity::from_pem(identity.cert_pem, identity.key_pem));
    let server = Server::builder().tls_config(tls).unwrap();
    let mut collector = Collector::start_with(server, "https", true).await;
    let ca_file = ca.ca_file();
    let trusted = [("SSL_CERT_FILE", ca_file.to_str().unwrap())];
    log_of_one_call(&collector, &trusted).await;
    assert_eq!(collector.next().await.1.len(), 1);

    let other = Ca::new("Other CA");
    let other_file = other.ca_file();
    let untrusted = [("SSL_CERT_FILE", other_file.to_str().unwrap())];
    let log = log_of_one_call(&collector, &untrusted).await;
    assert!(log.contains("span export failed"), "{log}");
    assert!(collector.requests.try_recv().is_err());
}

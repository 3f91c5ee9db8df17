//! Environment variables of OpenTelemetry. They belong to a process, so these tests run the daemon.

use std::ops::Range;
use std::time::{Duration, Instant};

use greet_testkit::certs::{Ca, IdentityDirectory};
use greet_testkit::http2::{DATA, call};
use greet_testkit::{Client, RawPeer, eventually};
use tokio::net::TcpStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use crate::otlp::{Collector, hex};
use crate::support::http1;
use crate::support::process::{Process, daemon};

/// Runs the daemon with these variables for one call, and returns its log.
async fn log_of_one_call(collector: &Collector, variables: &[(&str, &str)]) -> String {
    let endpoint = collector.endpoint.trim_start_matches("--otlp-endpoint=");
    let mut command = daemon(&["--listen=127.0.0.1:0", "--instance=blue"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).envs(variables.iter().copied());
    let mut process = Process::start(&mut command);
    let client = Client::connect(&process.next_address()).await;
    assert!(client.is_serving().await.unwrap());
    let exit = process.stop_async().await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    exit.log
}

#[tokio::test]
async fn target_info_has_the_attributes_of_the_resource_also_without_traces() {
    let attributes = "service.version=7,service.instance.id=a%22b";
    for (instance, variables, expected) in [
        ("--instance=blue", &[][..], ["greet-server", env!("CARGO_PKG_VERSION"), "blue"]),
        (
            "--instance=blue",
            &[("OTEL_SERVICE_NAME", "shop"), ("OTEL_RESOURCE_ATTRIBUTES", attributes)],
            ["shop", "7", "a\\\"b"],
        ),
        ("--access-log=off", &[], ["greet-server", env!("CARGO_PKG_VERSION"), ""]),
    ] {
        let mut command = daemon(&["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", instance]);
        let mut process = Process::start(command.envs(variables.iter().copied()));
        process.next_line();
        let metrics = http1::get(&process.next_address(), "/metrics").await;
        process.stop_async().await;
        let [name, version, instance] = expected;
        let expected = format!(
            "\ntarget_info{{service_name=\"{name}\",service_version=\"{version}\",service_instance_id=\"{instance}\"}} 1\n"
        );
        assert!(metrics.text().contains(&expected), "{expected}: {}", metrics.text());
    }
}

#[tokio::test]
async fn environment_names_the_endpoint_and_the_resource() {
    let mut collector = Collector::start(true).await;
    let attributes = "service.name=another,deployment.environment.name=test%20site";
    let variables = [
        ("OTEL_SERVICE_NAME", "service-of-shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", attributes),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ];
    let log = log_of_one_call(&collector, &variables).await;
    assert!(!log.contains("OTEL_"), "{log}");
    let (resource, spans) = collector.next().await;
    assert_eq!(resource["service.name"], "service-of-shop");
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
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=%ff"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
    ];
    let log = log_of_one_call(&collector, &invalid).await;
    for (variable, value) in invalid {
        assert!(log.contains(variable) && log.contains(value), "{variable}: {log}");
    }
    let (resource, spans) = collector.next().await;
    assert_eq!((resource["service.name"].as_str(), spans.len()), ("greet-server", 1));
}

#[tokio::test]
async fn unusable_export_variable_turns_tracing_off_with_a_warning() {
    let mut collector = Collector::start(true).await;
    for (variable, value, problem) in [
        ("OTEL_TRACES_EXPORTER", "zipkin", "is not otlp"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector", "is not a URL"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:secret@h", "has user information"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "is not grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "is not grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "is not gzip or none"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "deflate", "is not gzip or none"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret", "is not percent-encoded pairs"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=secret%ff", "is not percent-encoded"),
    ] {
        let log = log_of_one_call(&collector, &[(variable, value)]).await;
        let is_warning = |line: &&str| line.contains("tracing turned off") && line.contains("WARN");
        let warning = log.lines().find(is_warning).expect(&log);
        assert!(warning.contains(variable) && warning.contains(problem), "{warning}");
        assert!(!log.contains("secret"), "{log}");
        assert!(collector.requests.try_recv().is_err(), "{variable}");
    }
}

#[tokio::test]
async fn variable_for_traces_wins_over_the_variable_for_all_signals() {
    let mut collector = Collector::start(true).await;
    let variables = [
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b"),
    ];
    let log = log_of_one_call(&collector, &variables).await;
    assert!(!log.contains("OTEL_"), "{log}");
    assert_eq!(collector.next().await.1.len(), 1);
}

/// Starts a collector over TLS, which requires a client certificate of `client_ca`, if there is one.
async fn tls_collector(ca: &Ca, client_ca: Option<&Ca>) -> Collector {
    let identity = ca.sign_serial(1);
    let identity = Identity::from_pem(identity.cert_pem, identity.key_pem);
    let mut tls = ServerTlsConfig::new().identity(identity);
    if let Some(client_ca) = client_ca {
        tls = tls.client_ca_root(Certificate::from_pem(client_ca.pem()));
    }
    Collector::start_with(Server::builder().tls_config(tls).unwrap(), "https", true).await
}

#[tokio::test]
async fn https_collector_is_verified_by_the_given_ca_or_the_system() {
    let (ca, other) = (Ca::new("Greet Test CA"), Ca::new("Other CA"));
    let mut collector = tls_collector(&ca, None).await;
    let (ca_file, other_file) = (ca.ca_file(), other.ca_file());
    let [ca_file, other_file] = [&ca_file, &other_file].map(|file| file.to_str().unwrap());
    for trusted in [
        [("SSL_CERT_FILE", ca_file), ("UNUSED", "")],
        [("SSL_CERT_FILE", other_file), ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca_file)],
        [
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "no-such.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", ca_file),
        ],
    ] {
        log_of_one_call(&collector, &trusted).await;
        assert_eq!(collector.next().await.1.len(), 1);
    }
    for untrusted in [
        [("SSL_CERT_FILE", other_file), ("UNUSED", "")],
        [("SSL_CERT_FILE", ca_file), ("OTEL_EXPORTER_OTLP_CERTIFICATE", other_file)],
    ] {
        let log = log_of_one_call(&collector, &untrusted).await;
        assert!(log.contains("span export failed"), "{log}");
        assert!(collector.requests.try_recv().is_err());
    }
}

#[tokio::test]
async fn collector_gets_the_client_certificate() {
    let (ca, client_ca) = (Ca::new("Greet Test CA"), Ca::new("Client CA"));
    let mut collector = tls_collector(&ca, Some(&client_ca)).await;
    let files = IdentityDirectory::new(&client_ca.sign_serial(2));
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| files.path(name).display().to_string());
    let ca_file = ca.ca_file();
    let ca_variable = ("OTEL_EXPORTER_OTLP_CERTIFICATE", ca_file.to_str().unwrap());
    let cert = ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &*cert);
    let key = ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &*key);
    log_of_one_call(&collector, &[ca_variable, cert, key]).await;
    assert_eq!(collector.next().await.1.len(), 1);

    let log = log_of_one_call(&collector, &[ca_variable, key]).await;
    assert!(log.contains("needs OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE as well"), "{log}");
}

#[tokio::test]
async fn unusable_tls_file_of_the_exporter_turns_tracing_off() {
    let ca = Ca::new("Greet Test CA");
    let mut collector = tls_collector(&ca, None).await;
    let identity = ca.sign_serial(2);
    let files = IdentityDirectory::new(&identity);
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| files.path(name).display().to_string());
    files.put("key.pem", &identity.key_pem.replace('\n', ""));
    for (variables, problem) in [
        ([("OTEL_EXPORTER_OTLP_CERTIFICATE", "no-such.pem"), ("UNUSED", "")], "No such file"),
        (
            [("OTEL_EXPORTER_OTLP_CERTIFICATE", &*key), ("UNUSED", "")],
            "its line breaks are missing",
        ),
        (
            [
                ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &*cert),
                ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &*key),
            ],
            "its line breaks are missing",
        ),
    ] {
        let log = log_of_one_call(&collector, &variables).await;
        assert!(log.contains("tracing turned off") && log.contains(problem), "{log}");
        assert!(!log.contains(identity.key_pem.lines().nth(1).unwrap()), "{log}");
        assert!(collector.requests.try_recv().is_err());
    }
}

#[tokio::test]
async fn access_log_has_the_span_of_the_call() {
    let mut collector = Collector::start(true).await;
    let variables = [("GREET_ACCESS_LOG", "all"), ("GREET_LOG_FORMAT", "json")];
    let log = log_of_one_call(&collector, &variables).await;
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let calls: Vec<_> = lines.filter(|line| line["target"] == "access").collect();
    let [call] = &calls[..] else { panic!("{log}") };
    let (_, spans) = collector.next().await;
    assert_eq!(call["span_id"], hex(&spans[0].span_id));
    assert_eq!(call["trace_id"], hex(&spans[0].trace_id));
}

const BATCH: u32 = 512;
const QUEUE: u32 = 2_048;
/// Spans that find the queue full.
const DROPPED: u32 = 100;
/// Calls in flight, below the default of `--max-streams`.
const CONCURRENCY: usize = 100;

async fn make_calls(peer: &mut RawPeer, calls: Range<u32>) {
    let streams: Vec<_> = calls.map(|call| 2 * call + 1).collect();
    for streams in streams.chunks(CONCURRENCY) {
        let check = |stream: &u32| call(*stream, "/grpc.health.v1.Health/Check", Some(b""));
        peer.send(&streams.iter().flat_map(check).collect::<Vec<_>>()).await;
        for _ in streams {
            peer.next_of(DATA).await;
        }
    }
}

async fn dropped_spans(admin: &str) -> u32 {
    let metrics = http1::get(admin, "/metrics").await;
    let mut lines = metrics.text().lines();
    let sample = "greet_otlp_spans_total{result=\"dropped\"} ";
    lines.find_map(|line| line.strip_prefix(sample)?.parse().ok()).unwrap()
}

/// The first batch hangs until the last call, however long the calls take: its timeout and the interval
/// between incomplete batches are longer.
#[tokio::test]
async fn hanging_collector_drops_counted_spans_and_no_call() {
    let mut collector = Collector::start(false).await;
    let flags = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--workers=1"];
    let mut command = daemon(&[&flags[..], &[&collector.endpoint]].concat());
    command.env("OTEL_EXPORTER_OTLP_TIMEOUT", "600000").env("OTEL_BSP_SCHEDULE_DELAY", "600000");
    let mut process = Process::start(&mut command);
    let (address, admin) = (process.next_address(), process.next_address());
    let mut peer = RawPeer::connect(TcpStream::connect(&address).await.unwrap()).await;
    make_calls(&mut peer, 0..BATCH).await;
    assert_eq!(collector.next().await.1.len(), BATCH as usize);
    make_calls(&mut peer, BATCH..BATCH + QUEUE + DROPPED).await;
    // A span ends after its reply.
    let are_dropped = async || dropped_spans(&admin).await == DROPPED;
    eventually("the spans beyond the queue are dropped", are_dropped).await;
    drop(peer);
    let started = Instant::now();
    assert_eq!(process.stop_async().await.code, Some(0));
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

//! The server in another program: it has the defaults of the flags and leaves the environment alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;

use greet_server::config::{Config, ListenAddr, OtlpEndpoint};
use greet_server::{Address, Server, Service};
use greet_testkit::probe::Script;
use greet_testkit::probe::probe_server::ProbeServer;
use greet_testkit::{Client, ScriptedProbe, with_timeout};
use tokio::sync::oneshot;

#[tokio::test]
async fn default_configuration_serves_on_a_free_port() {
    let config = Config::default();
    assert_eq!(config.listen, ["0.0.0.0:50051".parse::<ListenAddr>().unwrap()]);
    assert_eq!((config.limits.max_streams, config.log.has_color), (200, false));
    assert_eq!(config.otlp_endpoint, OtlpEndpoint::Off);

    let listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()];
    let config = Config { listen, workers: NonZeroUsize::MIN, ..config };
    let probe = ScriptedProbe::new();
    let services =
        move |config: &Config| vec![Service::of::<ProbeServer<_>>(config, probe.clone())];
    let server = Server::bind(config, services).await.unwrap();
    let addresses = server.addresses();
    let [address @ Address::Tcp { address: socket_addr, has_tls: false }] = &addresses[..] else {
        panic!("{addresses:?}");
    };
    assert_eq!(address.to_string(), format!("http://{socket_addr}"));
    assert_eq!(address.socket_addr(), Some(*socket_addr));

    let (stop, stopped) = oneshot::channel::<()>();
    let drain = async { stopped.await.unwrap() };
    let running = tokio::spawn(server.run(drain, std::future::pending()));
    let client = Client::connect(&socket_addr.to_string()).await;
    client.run(Script::Echo).await.unwrap();
    stop.send(()).unwrap();
    let report = with_timeout(running).await.unwrap().unwrap();
    assert_eq!((report.answered, report.cut), (1, 0));
}

#[tokio::test]
async fn https_without_a_certificate_does_not_start() {
    let address: ListenAddr = "https://127.0.0.1:0".parse().unwrap();
    let default = Config::default;
    for config in [
        Config { listen: vec![address.clone()], ..default() },
        Config { admin_listen: Some(address), ..default() },
    ] {
        let error = Server::bind(config, |_| Vec::new()).await.unwrap_err();
        assert_eq!(error.to_string(), "https://127.0.0.1:0 has no certificate");
    }
}

/// Variables that configure the daemon are not meant for a program that embeds the server.
#[cfg(unix)]
#[test]
fn environment_does_not_influence_an_embedder() {
    use std::io::ErrorKind;
    use std::net::TcpListener;
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify.sock");
    let service_manager = UnixDatagram::bind(&path).unwrap();
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());

    let mut other_test = Command::new(std::env::current_exe().unwrap());
    other_test.args(["--exact", "embedder::default_configuration_serves_on_a_free_port"]);
    other_test.env("GREET_LISTEN", "127.0.0.1:1").env("GREET_MAX_STREAMS", "7");
    other_test.env("GREET_CONFIG", "no-such.toml").env("GREET_OTLP_ENDPOINT", &endpoint);
    other_test.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).env("LISTEN_FDS", "1");
    other_test.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000");
    let output = other_test.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");

    service_manager.set_nonblocking(true).unwrap();
    let notified = service_manager.recv(&mut [0; 256]).unwrap_err();
    assert_eq!(notified.kind(), ErrorKind::WouldBlock);
    collector.set_nonblocking(true).unwrap();
    assert_eq!(collector.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

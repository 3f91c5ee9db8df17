//! Certificate rotation: changed files are reloaded; invalid files are rejected and the current
//! certificate stays in use.

use std::sync::Arc;

use greet_server::ShutdownReport;
use greet_testkit::certs::{Ca, IdentityDirectory, IdentityFiles};
use greet_testkit::{Client, ScriptedProbe, TestServer, eventually};
use rustls::ClientConfig;
use rustls::crypto::ring;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::support::http1;

/// Connects. Returns the serial number of the certificate and the connection.
async fn connect(server: &TestServer, ca: &Ca) -> (u64, Client) {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(ca.roots())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address = server.address();
    let tcp = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let tls = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    let leaf = tls.get_ref().1.peer_certificates().unwrap()[0].clone();
    let serial = X509Certificate::from_der(&leaf).unwrap().1.raw_serial().to_vec();
    let serial = serial.iter().fold(0, |serial, byte| serial << 8 | u64::from(*byte));
    (serial, Client::handshake(tls).await)
}

/// Connects until a certificate with this serial number is served.
async fn serves(server: &TestServer, ca: &Ca, expected: u64) {
    let is_served = async || connect(server, ca).await.0 == expected;
    eventually("the certificate is served", is_served).await;
}

fn reloads(report: &ShutdownReport) -> (u64, u64) {
    (report.tls_reloads, report.tls_reloads_refused)
}

fn start(files: &IdentityDirectory) -> TestServer {
    let flags = files.server_flags();
    TestServer::start(&flags.each_ref().map(String::as_str))
}

#[tokio::test]
async fn changed_files_are_served_and_connections_stay_open() {
    let ca = Ca::new("Greet Test CA");
    let files = IdentityDirectory::new(&ca.sign_serial(1));
    let server = start(&files);
    let (serial, early) = connect(&server, &ca).await;
    assert_eq!(serial, 1);

    files.write(&ca.sign_serial(2));
    serves(&server, &ca, 2).await;
    assert_eq!(early.echo("Ada").await.unwrap(), "Ada");
    drop(early);
    assert_eq!(reloads(&server.stop().await).0, 1);
}

#[tokio::test]
async fn reload_does_not_affect_plaintext_listeners() {
    let ca = Ca::new("Greet Test CA");
    let files = IdentityDirectory::new(&ca.sign_serial(1));
    let [cert, key] = files.server_flags();
    let server =
        TestServer::start(&[&cert, &key, "--listen=https://127.0.0.1:0,http://127.0.0.1:0"]);
    let plaintext = server.addresses()[1];
    let early = Client::connect(plaintext).await;

    files.write(&ca.sign_serial(2));
    serves(&server, &ca, 2).await;
    for client in [early, Client::connect(plaintext).await] {
        assert_eq!(client.echo("Ada").await.unwrap(), "Ada");
    }
    assert_eq!(reloads(&server.stop().await).0, 1);
}

/// Kubernetes rotates a secret by swapping one directory link, which the links to the files pass.
#[cfg(unix)]
#[tokio::test]
async fn swapped_symlink_is_a_change() {
    use std::os::unix::fs::symlink;

    let ca = Ca::new("Greet Test CA");
    let files = IdentityDirectory::new(&ca.sign_serial(1));
    let generation = |name: &str, serial| {
        std::fs::create_dir(files.path(name)).unwrap();
        IdentityFiles::in_directory(&files.path(name)).write(&ca.sign_serial(serial));
    };
    generation("one", 1);
    generation("two", 2);
    symlink("one", files.path("data")).unwrap();
    for file in ["cert.pem", "key.pem"] {
        std::fs::remove_file(files.path(file)).unwrap();
        symlink(format!("data/{file}"), files.path(file)).unwrap();
    }
    let server = start(&files);
    serves(&server, &ca, 1).await;

    symlink("two", files.path("data.new")).unwrap();
    std::fs::rename(files.path("data.new"), files.path("data")).unwrap();
    serves(&server, &ca, 2).await;
    server.stop().await;
}

#[tokio::test]
async fn invalid_files_are_rejected_and_the_certificate_stays() {
    let ca = Ca::new("Greet Test CA");
    let files = IdentityDirectory::new(&ca.sign_serial(1));
    let [cert, key] = files.server_flags();
    let (request, requested) = watch::channel(0_u32);
    let flags = [&*cert, &*key, "--admin-listen=127.0.0.1:0"];
    let services = ScriptedProbe::new().services();
    let server = TestServer::with_server(&flags, services, |it| it.reload_on(requested));
    let assert_rejected = async |count: u32| {
        request.send_modify(|requests| *requests += 1);
        let sample = format!("\ngreet_tls_reloads_total{{result=\"refused\"}} {count}\n");
        let is_counted =
            async || http1::get(server.admin(), "/metrics").await.text().contains(&sample);
        eventually("the rejection is counted", is_counted).await;
        assert_eq!(connect(&server, &ca).await.0, 1);
    };

    files.put("key.pem", &ca.sign_serial(2).key_pem);
    assert_rejected(1).await;
    files.put("cert.pem", "");
    assert_rejected(2).await;
    files.write(&ca.sign_serial(3));
    serves(&server, &ca, 3).await;
    assert_eq!(reloads(&server.stop().await), (1, 2));
}

//! TLS and mTLS: accepted and rejected clients, the alerts, and rejected files at the start.

use std::sync::Arc;

use greet_server::CloseReason;
use greet_testkit::certs::{Ca, Identity, IdentityDirectory};
use greet_testkit::{Client, TestServer, closed, with_timeout};
use rustls::crypto::ring;
use rustls::{AlertDescription, ClientConfig, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::process::{daemon, run};

/// The settings of a client.
pub(crate) struct TlsClient<'a> {
    pub(crate) roots: &'a Ca,
    pub(crate) identity: Option<&'a Identity>,
    pub(crate) versions: &'a [&'static SupportedProtocolVersion],
    pub(crate) alpn: &'static [&'static [u8]],
}

impl TlsClient<'_> {
    pub(crate) fn without_certificate(roots: &Ca) -> TlsClient<'_> {
        TlsClient { roots, identity: None, versions: rustls::ALL_VERSIONS, alpn: &[b"h2"] }
    }

    pub(crate) async fn connect_to(&self, address: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(self.roots.roots());
        let mut config = match self.identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let (cert, key) = identity.pair();
                config.with_client_auth_cert(vec![cert], key).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let tcp = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::new(config));
        with_timeout(connector.connect("localhost".try_into().unwrap(), tcp)).await
    }

    /// Connects and reads until the server has closed. Returns the alert, if any. In TLS 1.3 the
    /// handshake of the client completes before the server verifies the client's certificate.
    async fn alert(&self, server: &TestServer) -> Option<AlertDescription> {
        self.alert_of(server.address()).await
    }

    pub(crate) async fn alert_of(&self, address: &str) -> Option<AlertDescription> {
        let error = match self.connect_to(address).await {
            Ok(mut stream) => with_timeout(stream.read_to_end(&mut Vec::new())).await.err()?,
            Err(error) => error,
        };
        match error.get_ref()?.downcast_ref()? {
            rustls::Error::AlertReceived(alert) => Some(*alert),
            other => panic!("{other}"),
        }
    }

    async fn assert_served(&self, server: &TestServer) {
        self.assert_served_by(server.address()).await;
    }

    pub(crate) async fn assert_served_by(&self, address: &str) {
        let client = Client::handshake(self.connect_to(address).await.unwrap()).await;
        assert_eq!(client.echo("Ada").await.unwrap(), "Ada");
    }
}

pub(crate) fn start(files: &IdentityDirectory, other: &[&str]) -> TestServer {
    let flags = files.server_flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).chain(other.iter().copied()).collect();
    TestServer::start(&flags)
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_served() {
    let ca = Ca::new("Greet Test CA");
    let server = start(&IdentityDirectory::new(&ca.sign_serial(1)), &[]);
    for version in [&version::TLS12, &version::TLS13] {
        let versions = &[version];
        TlsClient { versions, ..TlsClient::without_certificate(&ca) }.assert_served(&server).await;
    }
}

#[tokio::test]
async fn unix_socket_stays_plaintext() {
    let files = IdentityDirectory::new(&Ca::new("Greet Test CA").sign_serial(1));
    let path = files.path("greet.sock");
    let server = start(&files, &[&format!("--listen=unix:{}", path.display())]);
    let client = Client::handshake(tokio::net::UnixStream::connect(&path).await.unwrap()).await;
    assert_eq!(client.echo("Ada").await.unwrap(), "Ada");
    server.stop().await;
}

#[tokio::test]
async fn client_without_h2_in_alpn_is_closed() {
    let ca = Ca::new("Greet Test CA");
    let server = start(&IdentityDirectory::new(&ca.sign_serial(1)), &[]);
    let with = |alpn| TlsClient { alpn, ..TlsClient::without_certificate(&ca) };
    assert_eq!(
        with(&[b"http/1.1"]).alert(&server).await,
        Some(AlertDescription::NoApplicationProtocol)
    );
    assert_eq!(with(&[]).alert(&server).await, None, "closed without an alert");
    with(&[b"http/1.1", b"h2"]).assert_served(&server).await;
    let report = server.stop().await;
    assert_eq!(closed(&report, CloseReason::TlsFailed), 1);
    assert_eq!(closed(&report, CloseReason::NoAlpn), 1);
}

#[tokio::test]
async fn mtls_rejects_a_missing_or_unknown_certificate_with_an_alert() {
    let (ca, clients, strangers) =
        (Ca::new("Greet Test CA"), Ca::new("clients"), Ca::new("strangers"));
    let files = IdentityDirectory::new(&ca.sign_serial(1));
    let server = start(&files, &[&clients.client_ca_flag()]);

    let (known, stranger) = (clients.sign_serial(2), strangers.sign_serial(3));
    let client = |identity| TlsClient { identity, ..TlsClient::without_certificate(&ca) };
    client(Some(&known)).assert_served(&server).await;
    assert_eq!(client(None).alert(&server).await, Some(AlertDescription::CertificateRequired));
    assert_eq!(client(Some(&stranger)).alert(&server).await, Some(AlertDescription::UnknownCA));
    client(Some(&known)).assert_served(&server).await;
    assert_eq!(closed(&server.stop().await, CloseReason::TlsFailed), 2);
}

#[tokio::test]
async fn optional_mtls_accepts_no_certificate_but_not_an_unknown_one() {
    let (ca, clients, strangers) =
        (Ca::new("Greet Test CA"), Ca::new("clients"), Ca::new("strangers"));
    let files = IdentityDirectory::new(&ca.sign_serial(1));
    let server = start(&files, &[&clients.client_ca_flag(), "--tls-client-auth=optional"]);

    let (known, stranger) = (clients.sign_serial(2), strangers.sign_serial(3));
    let client = |identity| TlsClient { identity, ..TlsClient::without_certificate(&ca) };
    client(None).assert_served(&server).await;
    client(Some(&known)).assert_served(&server).await;
    assert_eq!(client(Some(&stranger)).alert(&server).await, Some(AlertDescription::UnknownCA));
}

#[tokio::test]
async fn plaintext_is_closed_at_once_and_silence_at_the_timeout() {
    let ca = Ca::new("Greet Test CA");
    let server = start(&IdentityDirectory::new(&ca.sign_serial(1)), &["--handshake-timeout=200ms"]);
    let address = server.address();
    let start_of_handshake = b"\x16\x03\x01\x02\x00\x01\x00";
    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        start_of_handshake,
        b"",
    ] {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        let _ = with_timeout(tcp.read_to_end(&mut Vec::new())).await;
    }
    TlsClient::without_certificate(&ca).assert_served(&server).await;
    let report = server.stop().await;
    assert_eq!(closed(&report, CloseReason::TlsFailed), 2);
    assert_eq!(closed(&report, CloseReason::HandshakeTimeout), 2);
}

/// Starts a daemon for one failed handshake. Returns the log line of the closed connection.
#[cfg(unix)]
async fn log_line(
    files: &IdentityDirectory,
    handshake: impl AsyncFnOnce(String),
) -> serde_json::Value {
    use crate::support::process::Process;

    let [cert, key] = files.server_flags();
    let flags = ["--listen=127.0.0.1:0", "--log-format=json", &cert, &key];
    let mut process = Process::start(&mut daemon(&flags));
    handshake(process.next_address()).await;
    let log = process.stop_async().await.log;
    let mut lines =
        log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.find(|line| line["message"] == "connection closed").expect(&log)
}

#[cfg(unix)]
#[tokio::test]
async fn failed_handshake_is_logged_with_peer_and_error() {
    let ca = Ca::new("Greet Test CA");
    let files = IdentityDirectory::new(&ca.sign_serial(1));
    let untrusting = log_line(&files, async |address| {
        let other = Ca::new("another CA");
        TlsClient::without_certificate(&other).connect_to(&address).await.unwrap_err();
    });
    let tls_1_0 = log_line(&files, async |address| {
        let mut handshake = b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x01".to_vec();
        handshake.extend([0; 32]); // random
        handshake.extend(b"\x00\x00\x02\xc0\x13\x01\x00"); // no session, one cipher suite
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.write_all(&handshake).await.unwrap();
        let _ = with_timeout(tcp.read_to_end(&mut Vec::new())).await;
    });
    for (line, error) in [(untrusting.await, "UnknownCA"), (tls_1_0.await, "peer is incompatible")]
    {
        assert_eq!(
            (&line["level"], &line["cause"]),
            (&"INFO".into(), &"tls_failed".into()),
            "{line}"
        );
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        assert!(line["error"].as_str().unwrap().contains(error), "{line}");
    }
}

/// Starts with these flags and returns the error.
fn start_error(flags: &[String]) -> String {
    let flags = flags.iter().map(String::as_str);
    let flags: Vec<_> = ["--listen=127.0.0.1:0"].into_iter().chain(flags).collect();
    let (code, _, line) = run(&mut daemon(&flags));
    assert_eq!((code, line.lines().count()), (Some(1), 1), "{line}");
    line.trim_end().trim_start_matches("greet-server: ").to_owned()
}

#[test]
fn invalid_tls_file_is_an_error_with_its_path() {
    let ca = Ca::new("Greet Test CA");
    let files = IdentityDirectory::new(&ca.sign_serial(1));
    let other = ca.sign_serial(2);
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| files.path(name).display().to_string());
    let junk = files.put("junk.pem", "not PEM");
    let other_key = files.put("other-key.pem", &other.key_pem);
    let with =
        |cert: &str, key: &str| vec![format!("--tls-cert={cert}"), format!("--tls-key={key}")];

    let no_pem = format!(
        "`{junk}` has no usable certificate: it is not PEM: it has no line -----BEGIN CERTIFICATE-----"
    );
    let missing = start_error(&with("/no/such.pem", &key));
    assert!(missing.starts_with("could not read `/no/such.pem`: No such file"), "{missing}");
    assert_eq!(start_error(&with(&junk, &key)), no_pem);
    assert_eq!(
        start_error(&with(&key, &key)),
        format!("`{key}` has no usable certificate: it has no PEM section CERTIFICATE")
    );
    assert_eq!(
        start_error(&with(&cert, &cert)),
        format!("`{cert}` has no usable private key: it has no PEM section PRIVATE KEY")
    );
    assert_eq!(
        start_error(&with(&cert, &other_key)),
        format!("the key in `{other_key}` does not match the certificate in `{cert}`")
    );
    let mut with_ca = with(&cert, &key);
    with_ca.push(format!("--tls-client-ca={junk}"));
    assert_eq!(start_error(&with_ca), no_pem);
}

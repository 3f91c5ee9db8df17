//! TLS and mTLS: who is let in, who is told why not, and what is refused at the start.

#[cfg(unix)]
use std::io::{BufRead as _, BufReader};
use std::sync::Arc;

use greet_server::CloseReason;
use greet_testkit::certs::{Ca, Identity};
use rustls::crypto::ring;
use rustls::{AlertDescription, ClientConfig, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certs::{Files, pair, roots};
use crate::support::{Client, TestServer, closed, soon};

/// What a client brings.
struct Bring<'a> {
    roots: &'a Ca,
    identity: Option<&'a Identity>,
    versions: &'a [&'static SupportedProtocolVersion],
    alpn: &'static [&'static [u8]],
}

impl Bring<'_> {
    fn nothing_but_trust(roots: &Ca) -> Bring<'_> {
        Bring { roots, identity: None, versions: rustls::ALL_VERSIONS, alpn: &[b"h2"] }
    }

    async fn connect(&self, server: &TestServer) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_to(server.url.strip_prefix("https://").unwrap()).await
    }

    async fn connect_to(&self, address: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots(self.roots));
        let mut config = match self.identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let (cert, key) = pair(identity);
                config.with_client_auth_cert(vec![cert], key).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let tcp = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::new(config));
        soon(connector.connect("localhost".try_into().unwrap(), tcp)).await
    }

    /// Connects, and reads until the server has closed or says why it will not have us. In TLS 1.3 a
    /// client is done before the server has judged its certificate.
    async fn alert(&self, server: &TestServer) -> Option<AlertDescription> {
        let error = match self.connect(server).await {
            Ok(mut stream) => soon(stream.read_to_end(&mut Vec::new())).await.err()?,
            Err(error) => error,
        };
        match error.get_ref()?.downcast_ref()? {
            rustls::Error::AlertReceived(alert) => Some(*alert),
            other => panic!("{other}"),
        }
    }

    async fn is_greeted(&self, server: &TestServer) {
        let client = Client::handshake(self.connect(server).await.unwrap()).await;
        assert_eq!(client.say_hello("Ada").await.unwrap(), "Hello Ada");
    }
}

async fn start(files: &Files, more: &[&str]) -> TestServer {
    let flags = files.flags();
    let flags: Vec<_> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    TestServer::start(&flags).await
}

#[tokio::test]
async fn both_versions_of_tls_are_served() {
    let ca = Ca::new("Greet Test CA");
    let server = start(&Files::new(&ca.sign_serial(1)), &[]).await;
    for version in [&version::TLS12, &version::TLS13] {
        let versions = &[version];
        Bring { versions, ..Bring::nothing_but_trust(&ca) }.is_greeted(&server).await;
    }
}

#[tokio::test]
async fn a_unix_socket_beside_it_stays_plaintext() {
    let files = Files::new(&Ca::new("Greet Test CA").sign_serial(1));
    let path = files.path("greet.sock");
    let server = start(&files, &[&format!("--listen=unix:{}", path.display())]).await;
    let client = Client::handshake(tokio::net::UnixStream::connect(&path).await.unwrap()).await;
    assert_eq!(client.say_hello("Ada").await.unwrap(), "Hello Ada");
    server.stop().await;
}

#[tokio::test]
async fn without_h2_by_alpn_there_is_no_connection() {
    let ca = Ca::new("Greet Test CA");
    let server = start(&Files::new(&ca.sign_serial(1)), &[]).await;
    let with = |alpn| Bring { alpn, ..Bring::nothing_but_trust(&ca) };
    assert_eq!(
        with(&[b"http/1.1"]).alert(&server).await,
        Some(AlertDescription::NoApplicationProtocol)
    );
    assert_eq!(with(&[]).alert(&server).await, None, "it is closed in peace");
    with(&[b"http/1.1", b"h2"]).is_greeted(&server).await;
    let outcome = server.stop().await;
    assert_eq!(closed(&outcome, CloseReason::TlsFailed), 1);
    assert_eq!(closed(&outcome, CloseReason::NoAlpn), 1);
}

#[tokio::test]
async fn with_mtls_a_client_without_a_certificate_is_told_so() {
    let (ca, clients, strangers) =
        (Ca::new("Greet Test CA"), Ca::new("clients"), Ca::new("strangers"));
    let files = Files::new(&ca.sign_serial(1));
    let client_ca = format!("--tls-client-ca={}", files.put("clients.pem", &clients.pem()));
    let server = start(&files, &[&client_ca]).await;

    let (known, stranger) = (clients.sign_serial(2), strangers.sign_serial(3));
    let bring = |identity| Bring { identity, ..Bring::nothing_but_trust(&ca) };
    bring(Some(&known)).is_greeted(&server).await;
    assert_eq!(bring(None).alert(&server).await, Some(AlertDescription::CertificateRequired));
    assert_eq!(bring(Some(&stranger)).alert(&server).await, Some(AlertDescription::UnknownCA));
    bring(Some(&known)).is_greeted(&server).await;
    assert_eq!(closed(&server.stop().await, CloseReason::TlsFailed), 2);
}

#[tokio::test]
async fn with_optional_mtls_a_client_may_have_none_and_not_a_wrong_one() {
    let (ca, clients, strangers) =
        (Ca::new("Greet Test CA"), Ca::new("clients"), Ca::new("strangers"));
    let files = Files::new(&ca.sign_serial(1));
    let client_ca = format!("--tls-client-ca={}", files.put("clients.pem", &clients.pem()));
    let server = start(&files, &[&client_ca, "--tls-client-auth=optional"]).await;

    let (known, stranger) = (clients.sign_serial(2), strangers.sign_serial(3));
    let bring = |identity| Bring { identity, ..Bring::nothing_but_trust(&ca) };
    bring(None).is_greeted(&server).await;
    bring(Some(&known)).is_greeted(&server).await;
    assert_eq!(bring(Some(&stranger)).alert(&server).await, Some(AlertDescription::UnknownCA));
}

#[tokio::test]
async fn junk_and_plaintext_are_closed_at_once_and_silence_in_time() {
    let ca = Ca::new("Greet Test CA");
    let server = start(&Files::new(&ca.sign_serial(1)), &["--handshake-timeout=200ms"]).await;
    let address = server.url.strip_prefix("https://").unwrap();
    let client_hello_begins = b"\x16\x03\x01\x02\x00\x01\x00";
    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        client_hello_begins,
        b"",
    ] {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        let _ = soon(tcp.read_to_end(&mut Vec::new())).await;
    }
    Bring::nothing_but_trust(&ca).is_greeted(&server).await;
    let outcome = server.stop().await;
    assert_eq!(closed(&outcome, CloseReason::TlsFailed), 2);
    assert_eq!(closed(&outcome, CloseReason::HandshakeTimeout), 2);
}

/// The line of the log about a connection that a daemon with `files` closed during its handshake.
#[cfg(unix)]
async fn logged(files: &Files, handshake: impl AsyncFnOnce(String)) -> serde_json::Value {
    let [cert, key] = files.flags();
    let flags = ["--listen=127.0.0.1:0", "--log-format=json", &cert, &key];
    let mut child = crate::daemon::daemon(&flags).spawn().unwrap();
    let mut listening = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut listening).unwrap();
    handshake(listening.trim_end().strip_prefix("listening on https://").unwrap().to_owned()).await;
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let log = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    let mut lines =
        log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.find(|line| line["message"] == "connection closed").expect(&log)
}

#[cfg(unix)]
#[tokio::test]
async fn a_failed_handshake_is_logged_with_peer_and_error() {
    let ca = Ca::new("Greet Test CA");
    let files = Files::new(&ca.sign_serial(1));
    let untrusting = logged(&files, async |address| {
        let another = Ca::new("another CA");
        Bring::nothing_but_trust(&another).connect_to(&address).await.unwrap_err();
    });
    let tls_1_0 = logged(&files, async |address| {
        let mut client_hello = b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x01".to_vec();
        client_hello.extend([0; 32]); // random
        client_hello.extend(b"\x00\x00\x02\xc0\x13\x01\x00"); // no session, one cipher suite
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.write_all(&client_hello).await.unwrap();
        let _ = soon(tcp.read_to_end(&mut Vec::new())).await;
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

/// The line that a start with these flags ends with.
fn refused(flags: &[String]) -> String {
    let flags = flags.iter().map(String::as_str);
    let flags: Vec<_> = ["--listen=127.0.0.1:0"].into_iter().chain(flags).collect();
    let output = crate::daemon::daemon(&flags).output().unwrap();
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), line.lines().count()), (Some(1), 1), "{line}");
    line.trim_end().trim_start_matches("greet-server: ").to_owned()
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_name() {
    let ca = Ca::new("Greet Test CA");
    let files = Files::new(&ca.sign_serial(1));
    let other = ca.sign_serial(2);
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| files.path(name).display().to_string());
    let junk = files.put("junk.pem", "no PEM");
    let other_key = files.put("other-key.pem", &other.key_pem);
    let with =
        |cert: &str, key: &str| vec![format!("--tls-cert={cert}"), format!("--tls-key={key}")];

    let missing = refused(&with("/no/such.pem", &key));
    assert!(missing.starts_with("could not read `/no/such.pem`: No such file"), "{missing}");
    assert_eq!(
        refused(&with(&junk, &key)),
        format!("`{junk}` has no usable certificate: it has no PEM section CERTIFICATE")
    );
    assert_eq!(
        refused(&with(&key, &key)),
        format!("`{key}` has no usable certificate: it has no PEM section CERTIFICATE")
    );
    assert_eq!(
        refused(&with(&cert, &cert)),
        format!("`{cert}` has no usable private key: it has no PEM section PRIVATE KEY")
    );
    assert_eq!(
        refused(&with(&cert, &other_key)),
        format!("the key in `{other_key}` does not match the certificate in `{cert}`")
    );
    let mut with_ca = with(&cert, &key);
    with_ca.push(format!("--tls-client-ca={junk}"));
    assert_eq!(
        refused(&with_ca),
        format!("`{junk}` has no usable certificate: it has no PEM section CERTIFICATE")
    );
}

//! A scheme per listener: one daemon serves clients with TLS, and probes and sidecars in plaintext.

use greet_server::CloseReason;
use greet_testkit::certs::{Ca, IdentityDirectory};
use greet_testkit::http2::PREFACE;
use greet_testkit::probe::Script;
use greet_testkit::{Client, ScriptedProbe, TestServer, closed, eventually, with_timeout};
use rustls::AlertDescription;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::http1;
use crate::support::samples::{ADMIN, Samples};
use crate::tls::{TlsClient, start};

const BOTH: &str = "--listen=https://127.0.0.1:0,http://127.0.0.1:0";

/// Returns the addresses of two listeners.
fn pair(server: &TestServer) -> [String; 2] {
    let [first, second] = server.addresses()[..] else { panic!("{:?}", server.urls) };
    [first.to_owned(), second.to_owned()]
}

/// Returns the scheme of each listener.
fn schemes(server: &TestServer) -> Vec<&str> {
    server.urls.iter().map(|url| url.split_once("://").unwrap().0).collect()
}

async fn assert_served_in_plaintext(address: &str) {
    assert_eq!(Client::connect(address).await.echo("Ada").await.unwrap(), "Ada");
}

#[tokio::test]
async fn one_daemon_serves_tls_and_plaintext() {
    let ca = Ca::new("Greet Test CA");
    let files = IdentityDirectory::new(&ca.sign_serial(1));
    for listen in [BOTH, "--listen=https://[::1]:0,http://[::1]:0"] {
        let server = start(&files, &[listen, ADMIN]);
        let [tls, plaintext] = pair(&server);
        assert_eq!(schemes(&server), ["https", "http"]);
        TlsClient::without_certificate(&ca).assert_served_by(&tls).await;
        assert_served_in_plaintext(&plaintext).await;

        let samples = Samples::scrape(&server).await;
        assert_eq!(samples.get("greet_tls_handshakes_total{result=\"ok\"}"), 1);
        assert_eq!(samples.sum("greet_tls_handshakes_total"), 1, "only connections with TLS");
        assert_eq!(server.stop().await.answered, 2);
    }
}

#[tokio::test]
async fn client_with_the_other_scheme_is_closed() {
    let ca = Ca::new("Greet Test CA");
    let server = start(&IdentityDirectory::new(&ca.sign_serial(1)), &[BOTH]);
    let [tls, plaintext] = pair(&server);
    let mut tcp = TcpStream::connect(&tls).await.unwrap();
    tcp.write_all(PREFACE).await.unwrap();
    let _ = with_timeout(tcp.read_to_end(&mut Vec::new())).await; // closed or reset
    drop(tcp);
    TlsClient::without_certificate(&ca).connect_to(&plaintext).await.unwrap_err();

    let report = server.stop().await;
    assert_eq!(closed(&report, CloseReason::TlsFailed), 1);
    assert_eq!(closed(&report, CloseReason::NotHttp2), 1);
}

#[tokio::test]
async fn mtls_applies_to_https_only() {
    let (ca, clients) = (Ca::new("Greet Test CA"), Ca::new("clients"));
    let files = IdentityDirectory::new(&ca.sign_serial(1));
    let server = start(&files, &[BOTH, &clients.client_ca_flag()]);
    let [tls, plaintext] = pair(&server);
    let known = clients.sign_serial(2);
    let client = |identity| TlsClient { identity, ..TlsClient::without_certificate(&ca) };
    let alert = client(None).alert_of(&tls).await;
    assert_eq!(alert, Some(AlertDescription::CertificateRequired));
    client(Some(&known)).assert_served_by(&tls).await;
    assert_served_in_plaintext(&plaintext).await;
}

#[tokio::test]
async fn address_without_scheme_has_tls_if_there_is_a_certificate() {
    let files = IdentityDirectory::new(&Ca::new("Greet Test CA").sign_serial(1));
    let listen = "--listen=127.0.0.1:0,http://127.0.0.1:0";
    assert_eq!(schemes(&start(&files, &[listen])), ["https", "http"]);
    assert_eq!(schemes(&TestServer::start(&[listen])), ["http", "http"]);
}

#[tokio::test]
async fn admin_address_may_have_the_scheme_http() {
    let server = TestServer::start(&["--admin-listen=http://127.0.0.1:0"]);
    assert_eq!(http1::get(server.admin(), "/livez").await.text(), "alive\n");
}

#[tokio::test]
async fn drain_covers_listeners_of_both_schemes() {
    let ca = Ca::new("Greet Test CA");
    let files = IdentityDirectory::new(&ca.sign_serial(1));
    let [cert, key] = files.server_flags();
    let probe = ScriptedProbe::new();
    let mut server = TestServer::with_probe(&[BOTH, &cert, &key], &probe);
    let [tls, plaintext] = pair(&server);
    let tls_stream = TlsClient::without_certificate(&ca).connect_to(&tls).await.unwrap();
    let clients = [Client::handshake(tls_stream).await, Client::connect(&plaintext).await];
    let calls = clients.map(|client| tokio::spawn(async move { client.run(Script::Wait).await }));
    probe.waits_begun(2).await;

    server.drain();
    for address in [&tls, &plaintext] {
        let is_refused = async || TcpStream::connect(address).await.is_err();
        eventually("the listener is closed", is_refused).await;
    }
    probe.release(2);
    for call in calls {
        with_timeout(call).await.unwrap().unwrap();
    }
    let report = server.stop().await;
    assert_eq!((report.answered, report.cut, report.exit_code()), (2, 0, 0));
}

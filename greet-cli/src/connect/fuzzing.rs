//! The properties of what parses the first bytes of a server or a proxy.

use std::mem::{Discriminant, discriminant};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, ReadBuf, join, sink};
use tokio::runtime::Builder;
use tokio::time::Instant;

use super::excerpt;
use super::first_frame::Settings;
use super::http2;
use super::proxy::{Proxy, Tunnel};
use super::target::Target;
use super::tls::certificate::Certificate;
use super::tls::{self, Tls};
use crate::error::ConnectError;
use crate::fuzzing::READ_SIZES;

/// Above the time of any input; an exchange whose peer has closed the connection ends at once.
const HANG_TIMEOUT: Duration = Duration::from_secs(20);
/// More than a status, five headers and a title of 80 characters, each of which may be escaped.
const MAX_MESSAGE_BYTES: usize = 8 * 1_024;
/// The limit that the module of the proxy documents.
const MAX_HEAD_BYTES: usize = 8 * 1_024;
/// A peer in messages.
const PEER: &str = "127.0.0.1:1";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// The first bytes of a server: its SETTINGS, or the error that names what it sent instead.
pub fn server_first_bytes(data: &[u8]) {
    let results = READ_SIZES.map(|size| {
        let io = join(Chunks { data: data.to_vec(), size, position: 0 }, sink());
        let result = block_on(async { http2::handshake(io, Instant::now() + HANG_TIMEOUT).await });
        result.map(|(_, settings)| named(&settings)).map_err(|error| {
            let error = error.into_connect_error(PEER);
            let hangs = matches!(error, ConnectError::NoSettings { .. });
            assert!(!hangs, "the handshake should end with the connection");
            kind(&error)
        })
    });
    // The text of a reply identifies it further, as far as it arrives with the first bytes.
    if !data.starts_with(b"HTTP/") && !excerpt::mentions_https(data) {
        assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
    }
    if let Ok(settings) = &results[0] {
        assert!(data[3] == 4 && data.len() >= 9 + 6 * settings.len());
    }
}

/// The first bytes of a server with TLS, or of one without: an alert, a malformed message, or what it sent instead.
pub fn tls_first_bytes(data: &[u8]) {
    let tls = Tls::new(None, None, None, true).expect("there is no file to read");
    let results = [usize::MAX, 1].map(|size| {
        let io = join(Chunks { data: data.to_vec(), size, position: 0 }, sink());
        let mut facts = None;
        let result = block_on(async {
            let deadline = Instant::now() + HANG_TIMEOUT;
            let connected = tls::handshake(io, PEER, "localhost", &tls, deadline, &mut facts).await;
            connected.map(drop)
        });
        let error = result.expect_err("the bytes cannot answer a new key");
        let hangs = matches!(error, ConnectError::TlsTimeout { .. });
        assert!(!hangs, "the handshake should end with the connection");
        let facts = serde_json::to_string(&facts).expect("the facts are text");
        assert!(facts.len() <= MAX_MESSAGE_BYTES + 64 * data.len());
        kind(&error)
    });
    assert!(results[0] == results[1], "{results:?}");
}

/// The reply of a CONNECT proxy: the tunnel is open after a complete head with a status 2xx, and the
/// bytes behind the head are those of the server.
pub fn proxy_reply(data: &[u8]) {
    let proxy = Proxy::parse("http://proxy.example:3128", String::new()).expect("a valid URL");
    let target: Target = "http://server.example:50051".parse().expect("a valid target");
    let results = READ_SIZES.map(|size| {
        let mut tunnel = Tunnel::new(&proxy, &target);
        let mut io = join(Chunks { data: data.to_vec(), size, position: 0 }, sink());
        let deadline = Instant::now() + HANG_TIMEOUT;
        let result = block_on(async { tunnel.connect(&mut io, &proxy, deadline).await });
        assert!(tunnel.to_string().len() <= MAX_MESSAGE_BYTES);
        let position = io.reader().position;
        if result.is_ok() {
            let head = &data[..position];
            assert!(head.starts_with(b"HTTP/") && head.len() <= MAX_HEAD_BYTES);
            let end = head.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD);
            assert_eq!(end, Some(position - END_OF_HEAD.len()), "the server's bytes are not read");
        }
        result.map(|()| position).map_err(|error| {
            let hangs = matches!(error, ConnectError::ProxyTimeout { .. });
            assert!(!hangs, "the exchange should end with the connection");
            kind(&error)
        })
    });
    assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
}

/// An unexpected reply: its excerpt is short, whatever the reply is.
pub fn reply_excerpt(data: &[u8]) {
    let first_line = excerpt::first_line(data);
    assert!(first_line.len() <= MAX_MESSAGE_BYTES && !first_line.contains(char::is_control));
    if let Some(reply) = excerpt::http1(data) {
        assert!(data.starts_with(b"HTTP/"));
        assert!(reply.len() <= MAX_MESSAGE_BYTES && !reply.contains('\n'), "{reply:?}");
    }
}

/// A certificate of a server: its facts can be printed and written as JSON.
pub fn certificate(data: &[u8]) {
    if let Some(certificate) = Certificate::parse(&CertificateDer::from(data)) {
        let names = certificate.joined_names();
        let json = serde_json::to_string(&certificate).expect("its facts are text");
        assert!(names.len() + json.len() <= 64 * data.len());
    }
}

/// Returns the variant of an error, whose message must be short.
fn kind(error: &ConnectError) -> Discriminant<ConnectError> {
    let length = error.to_string().len() + error.hint().len();
    assert!(length <= MAX_MESSAGE_BYTES, "a message of {length} bytes");
    discriminant(error)
}

fn named(settings: &Settings) -> Vec<(String, u32)> {
    settings.named().collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

/// A peer whose bytes arrive in chunks of a size, and that then closes its side.
struct Chunks {
    data: Vec<u8>,
    size: usize,
    position: usize,
}

impl AsyncRead for Chunks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let left = &self.data[self.position..];
        let chunk = &left[..left.len().min(self.size).min(buf.remaining())];
        buf.put_slice(chunk);
        self.position += chunk.len();
        Poll::Ready(Ok(()))
    }
}

//! An HTTP/1.1 client for one request on one connection.

use greet_testkit::with_timeout;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A whole response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The status line and the headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Sends a request with `connection: close` and reads until the server has closed.
pub(crate) async fn request(address: &str, head: &str, body: &[u8]) -> Response {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{head}\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    tcp.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut response = Vec::new();
    with_timeout(tcp.read_to_end(&mut response)).await.unwrap();
    let end =
        response.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head has an end");
    let head = String::from_utf8(response[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, head, body: response[end + 4..].to_vec() }
}

pub(crate) async fn get(address: &str, path: &str) -> Response {
    request(address, &format!("GET {path} HTTP/1.1"), b"").await
}

//! A client over the h2 crate, which opens flow-control windows only if a test does, and which can
//! send a request in parts.

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use tokio::net::TcpStream;

use crate::{WireResponse, with_timeout};

/// One HTTP/2 connection. Its clones share it.
#[derive(Debug, Clone)]
pub struct H2Client(SendRequest<Bytes>);

impl H2Client {
    /// Connects over `tcp`.
    pub async fn handshake(tcp: TcpStream, configure: impl FnOnce(&mut Builder)) -> H2Client {
        let mut builder = Builder::new();
        configure(&mut builder);
        let (sender, connection) = builder.handshake(tcp).await.unwrap();
        tokio::spawn(connection);
        H2Client(sender)
    }

    /// Starts a request. Returns its response, and the stream for its body.
    pub async fn start(&self, head: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        self.try_start(head).await.unwrap()
    }

    /// Starts a request, unless the server has closed the connection.
    pub async fn try_start(
        &self,
        head: Request<()>,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut ready = with_timeout(self.0.clone().ready()).await?;
        ready.send_request(head, false)
    }

    /// Sends a whole request and waits for the head of the response.
    pub async fn open(&self, request: Request<Bytes>) -> Response<RecvStream> {
        let (head, body) = request.into_parts();
        let (response, mut stream) = self.start(Request::from_parts(head, ())).await;
        stream.send_data(body, true).unwrap();
        with_timeout(response).await.unwrap()
    }

    /// Sends a whole request and reads the whole response, as far as its window allows.
    pub async fn send(&self, request: Request<Bytes>) -> WireResponse {
        let (head, mut body) = self.open(request).await.into_parts();
        let mut bytes = Vec::new();
        while let Some(data) = with_timeout(body.data()).await {
            bytes.extend_from_slice(&data.unwrap());
        }
        let trailers = with_timeout(body.trailers()).await.unwrap();
        WireResponse {
            status: head.status,
            headers: head.headers,
            body: bytes.into(),
            trailers: trailers.unwrap_or_default(),
        }
    }
}

//! A client over hyper that shares no code with the server: for generated clients, and for whole
//! requests whose response a test sees as it was on the wire.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use greet_proto::grpc::health::v1::HealthCheckRequest;
use greet_proto::grpc::health::v1::health_check_response::ServingStatus;
use greet_proto::grpc::health::v1::health_client::HealthClient;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::Status;
use tonic::body::Body;

use crate::probe::probe_client::ProbeClient;
use crate::probe::{ProbeReply, ProbeRequest, Script};
use crate::with_timeout;

/// One HTTP/2 connection, for any generated client: `ProbeClient::new(client)`. Clones share it.
#[derive(Debug, Clone)]
pub struct Client(SendRequest<Body>);

impl Client {
    /// Connects to `HOST:PORT` over plaintext.
    pub async fn connect(address: &str) -> Client {
        Client::handshake(connect(address).await).await
    }

    /// Connects over `io`, which may be TLS or a Unix socket.
    pub async fn handshake(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Client {
        Client::try_handshake(io).await.unwrap()
    }

    /// Connects over `io`, or returns `None` if the server closes during the handshake.
    pub async fn try_handshake(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Option<Client> {
        let builder = Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(io)).await.ok()?;
        tokio::spawn(connection);
        Some(Client(sender))
    }

    /// Returns a client of the probe.
    pub fn probe(&self) -> ProbeClient<Client> {
        ProbeClient::new(self.clone())
    }

    /// Returns a client of grpc.health.v1.
    pub fn health(&self) -> HealthClient<Client> {
        HealthClient::new(self.clone())
    }

    /// Calls Echo of the probe with a text. Returns the text of the reply.
    pub async fn echo(&self, text: &str) -> Result<String, Status> {
        let reply = self.probe().echo(ProbeRequest::new(Script::Echo, text, 0)).await?;
        Ok(String::from_utf8(reply.into_inner().payload).unwrap())
    }

    /// Calls Echo of the probe with a script and without a payload.
    pub async fn run(&self, script: Script) -> Result<ProbeReply, Status> {
        let request = ProbeRequest::new(script, "", 0);
        Ok(self.probe().echo(request).await?.into_inner())
    }

    /// Calls Check of grpc.health.v1: whether the server as a whole is SERVING. Every server has this
    /// service.
    pub async fn is_serving(&self) -> Result<bool, Status> {
        let response = self.health().check(HealthCheckRequest::default()).await?;
        Ok(response.into_inner().status() == ServingStatus::Serving)
    }

    /// Sends a whole request and reads the whole response, without any gRPC library.
    pub async fn send(&self, request: Request<Bytes>) -> WireResponse {
        let request = request.map(|body| Body::new(Full::new(body)));
        let response = with_timeout(self.0.clone().send_request(request)).await.unwrap();
        let (head, body) = response.into_parts();
        let body = with_timeout(body.collect()).await.unwrap();
        WireResponse {
            status: head.status,
            trailers: body.trailers().cloned().unwrap_or_default(),
            body: body.to_bytes(),
            headers: head.headers,
        }
    }
}

impl tower_service::Service<Request<Body>> for Client {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    /// Adds what a generated client leaves out: it only knows the path.
    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let url = format!("http://test{}", request.uri().path());
        *request.uri_mut() = url.parse().unwrap();
        Box::pin(self.0.send_request(request))
    }
}

pub(crate) async fn connect(address: &str) -> TcpStream {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap(); // no 40 ms delay of small frames
    tcp
}

/// A response as it was on the wire.
#[derive(Debug, PartialEq)]
pub struct WireResponse {
    /// The status of HTTP.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, with the prefix of each message.
    pub body: Bytes,
    /// The trailers.
    pub trailers: HeaderMap,
}

impl WireResponse {
    /// Returns `grpc-status`, from the trailers or from the headers of a Trailers-Only response.
    pub fn grpc_status(&self) -> Option<i32> {
        let of = |headers: &HeaderMap| headers.get("grpc-status").cloned();
        let status = of(&self.trailers).or_else(|| of(&self.headers))?;
        Some(status.to_str().unwrap().parse().unwrap())
    }
}

/// Builds a gRPC request for `path` with exactly these bytes as its body.
pub fn grpc_request(path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let request = Request::post(format!("http://test{path}"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    request.body(body.into()).unwrap()
}

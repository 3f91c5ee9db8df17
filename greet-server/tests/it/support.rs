//! A server on a free port, and a small client over hyper that shares no code with it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use greet_proto::{Greeter, GreeterClient, HelloReply, HelloRequest};
use greet_server::{CloseReason, Greeting, Server, ShutdownReport, config};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic_health::pb::health_client::HealthClient;

pub(crate) use greet_testkit::framing::framed;
pub(crate) use greet_testkit::{TIMEOUT, eventually, soon};

/// A running server. [`TestServer::stop`] drains it and returns its report.
pub(crate) struct TestServer {
    /// The announced address.
    pub(crate) url: String,
    admin: Option<String>,
    drain: Option<oneshot::Sender<()>>,
    cut: Option<oneshot::Sender<()>>,
    running: JoinHandle<ShutdownReport>,
}

impl TestServer {
    /// Starts with `flags`, on a free loopback port unless they name an address.
    pub(crate) async fn start(flags: &[&str]) -> TestServer {
        TestServer::with_greeter(flags, Greeting::new(4_096)).await
    }

    pub(crate) async fn with_greeter(flags: &[&str], greeter: impl Greeter + Clone) -> TestServer {
        TestServer::run(TestServer::bind(flags, greeter).await)
    }

    /// Starts a server that reloads its TLS files whenever `asked` changes.
    pub(crate) async fn reloading(flags: &[&str], asked: watch::Receiver<u32>) -> TestServer {
        let mut server = TestServer::bind(flags, Greeting::new(4_096)).await;
        server.reload_on(asked);
        TestServer::run(server)
    }

    async fn bind(flags: &[&str], greeter: impl Greeter + Clone) -> Server {
        let defaults = ["--listen=127.0.0.1:0", "--workers=2"].into_iter();
        let unless_given = defaults.filter(|default| {
            let name = default.split('=').next().unwrap();
            !flags.iter().any(|flag| flag.starts_with(name))
        });
        let arguments =
            ["greet-server"].into_iter().chain(unless_given).chain(flags.iter().copied());
        let config = config::load(arguments).unwrap().config;
        Server::bind(config, greeter).await.unwrap()
    }

    fn run(server: Server) -> TestServer {
        let url = server.addresses().remove(0);
        let admin = server.admin_address();
        let (drain, drained) = oneshot::channel();
        let (cut, was_cut) = oneshot::channel();
        let signal = |signal: oneshot::Receiver<()>| async {
            if signal.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let running = server.run(signal(drained), signal(was_cut));
        TestServer {
            url,
            admin,
            drain: Some(drain),
            cut: Some(cut),
            running: tokio::spawn(async { running.await.unwrap() }),
        }
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect("it listens on TCP")
    }

    /// `HOST:PORT` of the admin port.
    pub(crate) fn admin(&self) -> &str {
        self.admin.as_deref().and_then(|url| url.strip_prefix("http://")).expect("it has one")
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        let tcp = TcpStream::connect(self.address()).await.unwrap();
        tcp.set_nodelay(true).unwrap(); // otherwise each small frame waits 40 ms for the one before
        tcp
    }

    /// Opens an HTTP/2 connection.
    pub(crate) async fn connect(&self) -> Client {
        Client::handshake(self.tcp().await).await
    }

    /// Sends the first signal.
    pub(crate) fn drain(&mut self) {
        let _ = self.drain.take().expect("once").send(());
    }

    /// Sends the second signal.
    pub(crate) fn cut(&mut self) {
        let _ = self.cut.take().expect("once").send(());
    }

    pub(crate) async fn outcome(self) -> ShutdownReport {
        soon(self.running).await.unwrap()
    }

    pub(crate) async fn stop(mut self) -> ShutdownReport {
        self.drain();
        self.outcome().await
    }
}

/// Returns the number of connections closed for this reason.
pub(crate) fn closed(outcome: &ShutdownReport, cause: CloseReason) -> u64 {
    let mut closed = outcome.closed.iter();
    closed.find(|(counted, _)| *counted == cause).unwrap().1
}

/// A connection, shared by its clones.
#[derive(Clone)]
pub(crate) struct Client(SendRequest<tonic::body::Body>);

impl Client {
    pub(crate) async fn handshake(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Client {
        Client::try_handshake(io).await.unwrap()
    }

    /// Returns `None` if the server closes first.
    pub(crate) async fn try_handshake(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Option<Client> {
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(io)).await.ok()?;
        tokio::spawn(connection);
        Some(Client(sender))
    }

    pub(crate) fn greeter(&self) -> GreeterClient<Client> {
        GreeterClient::with_origin(self.clone(), "http://test".parse().unwrap())
    }

    pub(crate) fn health(&self) -> HealthClient<Client> {
        HealthClient::with_origin(self.clone(), "http://test".parse().unwrap())
    }

    pub(crate) async fn say_hello(&self, name: &str) -> Result<String, Status> {
        let request = HelloRequest { name: name.into() };
        let reply = self.greeter().say_hello(request).await?;
        Ok(reply.into_inner().message)
    }

    /// Sends a request and reads the response, without a gRPC library.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Answer {
        let request = request.map(|body| tonic::body::Body::new(Full::new(body)));
        let response = soon(self.0.clone().send_request(request)).await.unwrap();
        let (head, body) = response.into_parts();
        let body = soon(body.collect()).await.unwrap();
        Answer {
            status: head.status,
            trailers: body.trailers().cloned().unwrap_or_default(),
            body: body.to_bytes(),
            headers: head.headers,
        }
    }
}

impl tower_service::Service<Request<tonic::body::Body>> for Client {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// A response as received.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    /// Returns `grpc-status` from the trailers, or from the headers of a trailers-only response.
    pub(crate) fn grpc_status(&self) -> Option<i32> {
        let of = |headers: &HeaderMap| headers.get("grpc-status").cloned();
        let status = of(&self.trailers).or_else(|| of(&self.headers))?;
        Some(status.to_str().unwrap().parse().unwrap())
    }
}

/// Returns a gRPC request for `path` with this body.
pub(crate) fn grpc_request(path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let request = Request::post(format!("http://test{path}"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    request.body(body.into()).unwrap()
}

pub(crate) const SAY_HELLO: &str = "/greet.Greeter/SayHello";

/// A greeter whose behaviour depends on the name.
#[derive(Clone)]
pub(crate) struct Faulty {
    /// A permit for each "wait" that may finish.
    pub(crate) release: std::sync::Arc<tokio::sync::Semaphore>,
    /// A permit for each "wait" that has started.
    pub(crate) begun: std::sync::Arc<tokio::sync::Semaphore>,
}

impl Faulty {
    pub(crate) fn new() -> Faulty {
        let none = || std::sync::Arc::new(tokio::sync::Semaphore::new(0));
        Faulty { release: none(), begun: none() }
    }

    /// Waits until `count` more calls are in flight.
    pub(crate) async fn has_begun(&self, count: u32) {
        soon(self.begun.acquire_many(count)).await.unwrap().forget();
    }
}

#[tonic::async_trait]
impl Greeter for Faulty {
    async fn say_hello(
        &self,
        request: tonic::Request<HelloRequest>,
    ) -> Result<tonic::Response<HelloReply>, Status> {
        let name = request.into_inner().name;
        match name.as_str() {
            "panic" => panic!("as asked"),
            "thread" => {
                let thread = std::thread::current().name().unwrap_or_default().to_owned();
                return Ok(tonic::Response::new(HelloReply { message: thread }));
            }
            "block" => {
                self.begun.add_permits(1);
                while self.release.try_acquire().map(tokio::sync::SemaphorePermit::forget).is_err()
                {
                    std::thread::yield_now(); // blocks every other call of the worker as well
                }
            }
            "wait" => {
                self.begun.add_permits(1);
                self.release.acquire().await.unwrap().forget();
            }
            _ => {}
        }
        Ok(tonic::Response::new(HelloReply { message: format!("Hello {name}") }))
    }
}

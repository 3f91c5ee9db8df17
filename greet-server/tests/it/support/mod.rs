//! A server inside the test process, and a client over hyper that shares no code with the server.

pub(crate) mod certs;
pub(crate) mod http1;
pub(crate) mod log;
#[cfg(unix)]
pub(crate) mod namespace;
pub(crate) mod process;
pub(crate) mod samples;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use greet_proto::grpc::health::v1::HealthCheckRequest;
use greet_proto::grpc::health::v1::health_check_response::ServingStatus;
use greet_proto::grpc::health::v1::health_client::HealthClient;
use greet_server::config::{self, Config, Loaded};
use greet_server::{Caller, CloseReason, Flags, Method, Server, Service, ShutdownReport};
use greet_testkit::ScriptedProbe;
use greet_testkit::probe::probe_client::ProbeClient;
use greet_testkit::probe::probe_server::ProbeServer;
use greet_testkit::probe::{ProbeReply, ProbeRequest, Script};
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

pub(crate) use greet_testkit::framing::framed;
pub(crate) use greet_testkit::{TEST_TIMEOUT, eventually, with_timeout};

/// Set where a skipped test is a failure (`cargo xtask ci --require-all`).
#[cfg(unix)]
const REQUIRE_ALL: &str = "REQUIRE_ALL_TESTS";

/// Writes the reason of a skipped test to standard error past the test harness. Fails where every
/// test is required.
#[cfg(unix)]
pub(crate) fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let reason = format!("SKIP: {test}: {reason}\n");
    assert!(std::env::var_os(REQUIRE_ALL).is_none(), "{REQUIRE_ALL} is set. {reason}");
    std::io::Write::write_all(&mut std::io::stderr(), reason.as_bytes()).unwrap();
}

/// A running server. [`TestServer::stop`] drains it; without that it runs until the test ends.
pub(crate) struct TestServer {
    /// The first announced address.
    pub(crate) url: String,
    admin: Option<String>,
    drain: Option<oneshot::Sender<()>>,
    cut: Option<oneshot::Sender<()>>,
    running: JoinHandle<ShutdownReport>,
}

impl TestServer {
    /// Starts with `flags` and a probe; the defaults are a free port of loopback and two workers.
    pub(crate) async fn start(flags: &[&str]) -> TestServer {
        TestServer::with_probe(flags, &ScriptedProbe::new()).await
    }

    /// Starts with `services` in place of the probe.
    pub(crate) async fn with_services(
        flags: &[&str],
        services: impl Fn(&Config, &Flags) -> Vec<Service> + Send + Sync + 'static,
    ) -> TestServer {
        TestServer::run(TestServer::bind(flags, services).await)
    }

    /// Starts with a guard in front of every call.
    pub(crate) async fn guarded(
        flags: &[&str],
        guard: fn(&Caller, &Method, &HeaderMap) -> Result<(), Status>,
    ) -> TestServer {
        let mut server = TestServer::bind(flags, probe_services(&ScriptedProbe::new())).await;
        server.set_guard(move || Rc::new(guard));
        TestServer::run(server)
    }

    /// Starts with this probe.
    pub(crate) async fn with_probe(flags: &[&str], probe: &ScriptedProbe) -> TestServer {
        TestServer::with_services(flags, probe_services(probe)).await
    }

    /// Starts a server that reloads its TLS files whenever `requested` changes.
    pub(crate) async fn reloading(flags: &[&str], requested: watch::Receiver<u32>) -> TestServer {
        let mut server = TestServer::bind(flags, probe_services(&ScriptedProbe::new())).await;
        server.reload_on(requested);
        TestServer::run(server)
    }

    async fn bind(
        flags: &[&str],
        services: impl Fn(&Config, &Flags) -> Vec<Service> + Send + Sync + 'static,
    ) -> Server {
        let defaults = ["--listen=127.0.0.1:0", "--workers=2"].into_iter();
        let defaults = defaults.filter(|default| {
            let name = default.split('=').next().unwrap();
            !flags.iter().any(|flag| flag.starts_with(name))
        });
        let arguments = ["greet-server"].into_iter().chain(defaults).chain(flags.iter().copied());
        let Loaded { config, flags, .. } = config::load::<Flags>(arguments).unwrap();
        Server::bind(config, move |config| services(config, &flags)).await.unwrap()
    }

    fn run(server: Server) -> TestServer {
        let url = server.addresses().remove(0).to_string();
        let admin = server.admin_addresses().first().map(ToString::to_string);
        let (drain, drain_signal) = oneshot::channel();
        let (cut, cut_signal) = oneshot::channel();
        let received = |signal: oneshot::Receiver<()>| async {
            if signal.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let running = server.run(received(drain_signal), received(cut_signal));
        TestServer {
            url,
            admin,
            drain: Some(drain),
            cut: Some(cut),
            running: tokio::spawn(async { running.await.unwrap() }),
        }
    }

    /// Returns `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect("the server listens on TCP")
    }

    /// Returns `HOST:PORT` of the admin port.
    pub(crate) fn admin(&self) -> &str {
        self.admin
            .as_deref()
            .and_then(|url| url.strip_prefix("http://"))
            .expect("the server has an admin port")
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        let tcp = TcpStream::connect(self.address()).await.unwrap();
        tcp.set_nodelay(true).unwrap(); // no 40 ms delay of small frames
        tcp
    }

    /// Opens an HTTP/2 connection with the h2 crate, which opens windows only if a test does.
    pub(crate) async fn connect_h2(
        &self,
        configure: impl FnOnce(&mut h2::client::Builder),
    ) -> H2Client {
        let mut builder = h2::client::Builder::new();
        configure(&mut builder);
        let (sender, connection) = builder.handshake(self.tcp().await).await.unwrap();
        tokio::spawn(connection);
        H2Client(sender)
    }

    /// Opens an HTTP/2 connection.
    pub(crate) async fn connect(&self) -> Client {
        Client::handshake(self.tcp().await).await
    }

    /// Sends the first signal.
    pub(crate) fn drain(&mut self) {
        let _ = self.drain.take().expect("one drain per server").send(());
    }

    /// Sends the second signal.
    pub(crate) fn cut(&mut self) {
        let _ = self.cut.take().expect("one cut per server").send(());
    }

    /// Waits for the end.
    pub(crate) async fn stopped(self) -> ShutdownReport {
        with_timeout(self.running).await.unwrap()
    }

    /// Drains and waits for the end.
    pub(crate) async fn stop(mut self) -> ShutdownReport {
        self.drain();
        self.stopped().await
    }
}

/// Returns the services of a server with nothing but a probe.
fn probe_services(
    probe: &ScriptedProbe,
) -> impl Fn(&Config, &Flags) -> Vec<Service> + Send + Sync + 'static {
    let probe = probe.clone();
    move |config, _| vec![Service::of::<ProbeServer<_>>(config, probe.clone())]
}

/// Returns the number of connections that were closed for `reason`.
pub(crate) fn closed(report: &ShutdownReport, reason: CloseReason) -> u64 {
    let mut closed = report.closed.iter();
    closed.find(|(counted, _)| *counted == reason).unwrap().1
}

/// One HTTP/2 connection. Its clones share it.
#[derive(Clone)]
pub(crate) struct Client(SendRequest<tonic::body::Body>);

impl Client {
    pub(crate) async fn handshake(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Client {
        Client::try_handshake(io).await.unwrap()
    }

    /// Returns `None` if the server closes during the handshake.
    pub(crate) async fn try_handshake(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Option<Client> {
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(io)).await.ok()?;
        tokio::spawn(connection);
        Some(Client(sender))
    }

    pub(crate) fn probe(&self) -> ProbeClient<Client> {
        ProbeClient::new(self.clone())
    }

    pub(crate) fn health(&self) -> HealthClient<Client> {
        HealthClient::new(self.clone())
    }

    /// Calls Echo of the probe with a text. Returns the text of the reply.
    pub(crate) async fn echo(&self, text: &str) -> Result<String, Status> {
        let reply = self.probe().echo(ProbeRequest::new(Script::Echo, text, 0)).await?;
        Ok(String::from_utf8(reply.into_inner().payload).unwrap())
    }

    /// Calls Echo of the probe with a script and without a payload.
    pub(crate) async fn run(&self, script: Script) -> Result<ProbeReply, Status> {
        let request = ProbeRequest::new(script, "", 0);
        Ok(self.probe().echo(request).await?.into_inner())
    }

    /// Calls Check of grpc.health.v1: whether the server as a whole is SERVING. Every server has this
    /// service.
    pub(crate) async fn is_serving(&self) -> Result<bool, Status> {
        let response = self.health().check(HealthCheckRequest::default()).await?;
        Ok(response.into_inner().status() == ServingStatus::Serving)
    }

    /// Sends a whole request and reads the whole response, without any gRPC library.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> WireResponse {
        let request = request.map(|body| tonic::body::Body::new(Full::new(body)));
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

impl tower_service::Service<Request<tonic::body::Body>> for Client {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    /// Adds what a generated client leaves out: it only knows the path.
    fn call(&mut self, mut request: Request<tonic::body::Body>) -> Self::Future {
        let url = format!("http://test{}", request.uri().path());
        *request.uri_mut() = url.parse().unwrap();
        Box::pin(self.0.send_request(request))
    }
}

/// One HTTP/2 connection of the h2 crate.
#[derive(Clone)]
pub(crate) struct H2Client(h2::client::SendRequest<Bytes>);

impl H2Client {
    /// Starts a request. Returns its response, and the stream for its body.
    pub(crate) async fn start(
        &self,
        head: Request<()>,
    ) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        self.try_start(head).await.unwrap()
    }

    /// Starts a request, unless the server has closed the connection.
    pub(crate) async fn try_start(
        &self,
        head: Request<()>,
    ) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        let mut ready = with_timeout(self.0.clone().ready()).await?;
        ready.send_request(head, false)
    }

    /// Sends a whole request and waits for the head of the response.
    pub(crate) async fn open(&self, request: Request<Bytes>) -> Response<h2::RecvStream> {
        let (head, body) = request.into_parts();
        let (response, mut stream) = self.start(Request::from_parts(head, ())).await;
        stream.send_data(body, true).unwrap();
        with_timeout(response).await.unwrap()
    }

    /// Sends a whole request and reads the whole response, as far as its window allows.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> WireResponse {
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

/// A response as it was on the wire.
#[derive(Debug, PartialEq)]
pub(crate) struct WireResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl WireResponse {
    /// Returns `grpc-status`, from the trailers or from the headers of a Trailers-Only response.
    pub(crate) fn grpc_status(&self) -> Option<i32> {
        let of = |headers: &HeaderMap| headers.get("grpc-status").cloned();
        let status = of(&self.trailers).or_else(|| of(&self.headers))?;
        Some(status.to_str().unwrap().parse().unwrap())
    }
}

/// Builds a gRPC request for `path` with exactly these bytes as its body.
pub(crate) fn grpc_request(path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let request = Request::post(format!("http://test{path}"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    request.body(body.into()).unwrap()
}

pub(crate) const ECHO: &str = "/probe.Probe/Echo";
pub(crate) const COLLECT: &str = "/probe.Probe/Collect";
pub(crate) const EXPAND: &str = "/probe.Probe/Expand";
pub(crate) const RELAY: &str = "/probe.Probe/Relay";
/// A `ProbeRequest` whose reply waits for its release.
pub(crate) const WAIT: &[u8] = b"\x18\x01";

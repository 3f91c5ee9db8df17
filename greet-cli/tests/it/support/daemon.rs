//! The daemon in the test process, with the services of the tests.

use std::sync::mpsc;

use greet_server::config::Config;
use greet_testkit::TestServer;
use greet_testkit::certs::IdentityFiles;
use tonic::metadata::AsciiMetadataKey;
use tonic::{Request, Response, Status};

use super::{command, service, spawn};

/// A running daemon. Dropped, it cuts its calls and stops.
pub(crate) struct Daemon {
    /// The announced URL.
    pub(crate) target: String,
    /// The URL of the admin port, if it has one.
    pub(crate) admin: Option<String>,
    server: TestServer,
}

impl Daemon {
    /// Starts with `flags`; the default is a free port of loopback.
    pub(crate) fn start(flags: &[&str]) -> Daemon {
        Daemon::from_server(TestServer::of_daemon(&with_defaults(flags)))
    }

    /// Starts with the certificate of `server`.
    pub(crate) fn with_tls(server: &IdentityFiles, flags: &[&str]) -> Daemon {
        let [cert, key] = server.server_flags();
        Daemon::start(&[&[cert.as_str(), &key], flags].concat())
    }

    /// Starts with [`scripted`] as the implementation of the sample's method.
    pub(crate) fn scripted() -> Daemon {
        Daemon::with_handler(scripted)
    }

    /// Starts with [`scripted`], and returns the texts of the calls as they arrive.
    pub(crate) fn with_received_texts(flags: &[&str]) -> (Daemon, mpsc::Receiver<String>) {
        let (sender, received) = mpsc::channel();
        let daemon = Daemon::with_flags_and_handler(flags, move |request| {
            let _ = sender.send(request.get_ref().name.clone()); // the test may be past reading
            scripted(request)
        });
        (daemon, received)
    }

    /// Starts with `handler` as the implementation of the sample's method.
    pub(crate) fn with_handler<F, R>(handler: F) -> Daemon
    where
        F: Fn(Request<service::Request>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = service::Result> + Send + 'static,
    {
        Daemon::with_flags_and_handler(&[], handler)
    }

    fn with_flags_and_handler<F, R>(flags: &[&str], handler: F) -> Daemon
    where
        F: Fn(Request<service::Request>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = service::Result> + Send + 'static,
    {
        let services = move |config: &Config| vec![service::of_handler(config, handler.clone())];
        Daemon::from_server(TestServer::with_services(&with_defaults(flags), services))
    }

    fn from_server(server: TestServer) -> Daemon {
        Daemon { target: server.url.clone(), admin: server.admin_url.clone(), server }
    }

    /// Sends the first signal.
    pub(crate) fn drain(&mut self) {
        self.server.drain();
    }

    /// Drains and waits for the end.
    pub(crate) fn stop(self) {
        self.server.blocking_stop();
    }

    /// Drains, and returns once the health service reports NOT_SERVING.
    pub(crate) fn drain_until_not_serving(&mut self) {
        let mut watch = spawn(command(&["--target", &self.target, "health", "--watch"]));
        assert!(watch.read_line().ends_with(" SERVING\n"));
        self.drain();
        assert!(watch.read_line().ends_with(" NOT_SERVING\n"));
    }

    /// Returns `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.server.address()
    }
}

/// Returns `flags` after those of all daemons.
fn with_defaults<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    [&["--workers=1", "--drain-timeout=100ms"], flags].concat()
}

/// Fails with status N if the name is a number N, never replies to "hang", and answers other names.
/// The headers of the reply repeat some of the request as `seen-KEY`.
pub(crate) async fn scripted(request: Request<service::Request>) -> service::Result {
    let metadata = request.metadata().clone();
    let name = request.into_inner().name;
    if name == "hang" {
        std::future::pending::<()>().await;
    }
    if let Ok(code) = name.parse::<i32>() {
        let mut status = Status::new(code.into(), "as asked");
        status.metadata_mut().insert("x-why", "test".parse().unwrap());
        return Err(status);
    }
    let mut reply = Response::new(service::reply(&name));
    for key in ["x-ascii", "user-agent", "grpc-timeout"] {
        if let Some(value) = metadata.get(key) {
            let key: AsciiMetadataKey = format!("seen-{key}").parse().unwrap();
            reply.metadata_mut().insert(key, value.clone());
        }
    }
    if let Some(value) = metadata.get_bin("x-bin") {
        reply.metadata_mut().insert_bin("seen-bin", value.clone());
    }
    Ok(reply)
}

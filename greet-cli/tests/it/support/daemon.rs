//! The daemon in a thread of the test process.

use std::sync::mpsc;
use std::thread;

use greet_server::config::{self, Config, Loaded};
use greet_server::{Flags, Server, Service, services};
use greet_testkit::certs::IdentityFiles;
use tokio::sync::oneshot;
use tonic::metadata::AsciiMetadataKey;
use tonic::{Request, Response, Status};

use super::{command, sample, spawn};

/// A running daemon. Dropped, it drains and stops.
pub(crate) struct Daemon {
    /// The announced URL.
    pub(crate) target: String,
    /// The URL of the admin port, if it has one.
    pub(crate) admin: Option<String>,
    drain: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Daemon {
    /// Starts with `flags`; the default is a free port of loopback.
    pub(crate) fn start(flags: &[&str]) -> Daemon {
        Daemon::with_services(flags, services::all)
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
        F: Fn(Request<sample::Request>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = sample::Result> + Send + 'static,
    {
        Daemon::with_flags_and_handler(&[], handler)
    }

    fn with_flags_and_handler<F, R>(flags: &[&str], handler: F) -> Daemon
    where
        F: Fn(Request<sample::Request>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = sample::Result> + Send + 'static,
    {
        Daemon::with_services(flags, |_| {
            move |config: &Config| vec![sample::service(config, handler.clone())]
        })
    }

    fn with_services<S: Fn(&Config) -> Vec<Service> + Send + Sync + 'static>(
        flags: &[&str],
        services: impl FnOnce(&Flags) -> S,
    ) -> Daemon {
        let listens = flags.iter().any(|flag| flag.starts_with("--listen"));
        let listen: &[&str] = if listens { &[] } else { &["--listen=127.0.0.1:0"] };
        let arguments = [&["greet-server", "--workers=1", "--drain-timeout=100ms"], listen, flags];
        let Loaded { config, flags, .. } = config::load::<Flags>(arguments.concat()).unwrap();
        let services = services(&flags);
        let (drain, drain_signal) = oneshot::channel();
        let (announce, announced) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::bind(config, services).await.unwrap();
                let admin = server.admin_addresses().first().map(ToString::to_string);
                announce.send((server.addresses().remove(0).to_string(), admin)).unwrap();
                let drain_signal = async { drain_signal.await.unwrap_or(()) };
                server.run(drain_signal, std::future::pending()).await.unwrap();
            });
        });
        let (target, admin) = announced.recv().unwrap();
        Daemon { target, admin, drain: Some(drain), thread: Some(thread) }
    }

    /// Sends the first signal.
    pub(crate) fn drain(&mut self) {
        drop(self.drain.take());
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
        self.target.split_once("//").unwrap().1
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.drain();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Fails with status N if the name is a number N, never replies to "hang", and answers other names.
/// The headers of the reply repeat some of the request as `seen-KEY`.
pub(crate) async fn scripted(request: Request<sample::Request>) -> sample::Result {
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
    let mut reply = Response::new(sample::reply(&name));
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

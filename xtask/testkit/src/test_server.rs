//! Runs a server on a free port of loopback. It has a thread of its own, so that it serves tests with
//! and without a runtime, and a test that blocks does not block it.

use std::sync::mpsc;
use std::thread;

use greet_server::config::{self, Config, Loaded};
use greet_server::{CloseReason, Flags, Server, Service, ShutdownReport, services};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::client::connect;
use crate::probe::probe_server::ProbeServer;
use crate::{Client, H2Client, ScriptedProbe, with_timeout};

/// The flags that a test may override.
const DEFAULT_FLAGS: [&str; 2] = ["--listen=127.0.0.1:0", "--workers=2"];

/// A running server. Dropped, it cuts its calls and stops.
#[derive(Debug)]
pub struct TestServer {
    /// The first address: `http(s)://HOST:PORT` or `unix:PATH`.
    pub url: String,
    /// Every address, in the order of `--listen`.
    pub urls: Vec<String>,
    /// The first address of the admin port, if it has one.
    pub admin_url: Option<String>,
    drain: Option<oneshot::Sender<()>>,
    cut: Option<oneshot::Sender<()>>,
    report: Option<oneshot::Receiver<ShutdownReport>>,
}

impl TestServer {
    /// Starts with a probe of its own. Unless `flags` say otherwise, the server has a free port and
    /// two workers.
    pub fn start(flags: &[&str]) -> TestServer {
        TestServer::with_probe(flags, &ScriptedProbe::new())
    }

    /// Starts with this probe.
    pub fn with_probe(flags: &[&str], probe: &ScriptedProbe) -> TestServer {
        TestServer::with_services(flags, probe.services())
    }

    /// Starts with the services of the daemon.
    pub fn of_daemon(flags: &[&str]) -> TestServer {
        TestServer::with_services_of_flags(flags, services::all, |_| {})
    }

    /// Starts with these services. Each worker calls `services`.
    pub fn with_services(
        flags: &[&str],
        services: impl Fn(&Config) -> Vec<Service> + Send + Sync + 'static,
    ) -> TestServer {
        TestServer::with_server(flags, services, |_| {})
    }

    /// Starts with a server that `configure` changes before it runs: it may set a guard.
    pub fn with_server(
        flags: &[&str],
        services: impl Fn(&Config) -> Vec<Service> + Send + Sync + 'static,
        configure: impl FnOnce(&mut Server) + Send + 'static,
    ) -> TestServer {
        TestServer::with_services_of_flags(flags, |_| services, configure)
    }

    fn with_services_of_flags<S: Fn(&Config) -> Vec<Service> + Send + Sync + 'static>(
        flags: &[&str],
        services: impl FnOnce(&Flags) -> S,
        configure: impl FnOnce(&mut Server) + Send + 'static,
    ) -> TestServer {
        let is_default = |default: &&str| {
            let name = default.split('=').next();
            !flags.iter().any(|flag| flag.split('=').next() == name)
        };
        let defaults = DEFAULT_FLAGS.into_iter().filter(is_default);
        let arguments = ["greet-server"].into_iter().chain(defaults).chain(flags.iter().copied());
        let Loaded { config, flags, .. } = config::load::<Flags>(arguments).unwrap();
        let services = services(&flags);

        let (drain, drain_signal) = oneshot::channel();
        let (cut, cut_signal) = oneshot::channel();
        let (announce, announced) = mpsc::channel();
        let (report_sender, report) = oneshot::channel();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut server = Server::bind(config, services).await.unwrap();
                configure(&mut server);
                let admin_url = server.admin_addresses().first().map(ToString::to_string);
                let urls: Vec<_> = server.addresses().iter().map(ToString::to_string).collect();
                announce.send((urls, admin_url)).unwrap();
                let report = server.run(received(drain_signal), received(cut_signal)).await;
                let _ = report_sender.send(report.unwrap()); // the test may be past waiting
            });
        });
        let (urls, admin_url) = announced.recv().expect("the server should start");
        let (drain, cut, report) = (Some(drain), Some(cut), Some(report));
        TestServer { url: urls[0].clone(), urls, admin_url, drain, cut, report }
    }

    /// Returns `HOST:PORT`.
    pub fn address(&self) -> &str {
        address(&self.url)
    }

    /// Returns `HOST:PORT` of every address.
    pub fn addresses(&self) -> Vec<&str> {
        self.urls.iter().map(|url| address(url)).collect()
    }

    /// Returns `HOST:PORT` of the admin port.
    pub fn admin(&self) -> &str {
        address(self.admin_url.as_deref().expect("the server has an admin port"))
    }

    /// Opens a TCP connection.
    pub async fn tcp(&self) -> TcpStream {
        connect(self.address()).await
    }

    /// Opens an HTTP/2 connection.
    pub async fn connect(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// Opens an HTTP/2 connection with the h2 crate.
    pub async fn connect_h2(&self, configure: impl FnOnce(&mut h2::client::Builder)) -> H2Client {
        H2Client::handshake(self.tcp().await, configure).await
    }

    /// Sends the first signal.
    pub fn drain(&mut self) {
        send(&mut self.drain);
    }

    /// Sends the second signal.
    pub fn cut(&mut self) {
        send(&mut self.cut);
    }

    /// Drains, if that has not begun, and waits for the end.
    pub async fn stop(mut self) -> ShutdownReport {
        self.drain();
        let report = self.report.take().expect("a server stops once");
        with_timeout(report).await.expect("the server should not fail")
    }

    /// Drains and waits for the end, in a test without a runtime.
    pub fn blocking_stop(self) -> ShutdownReport {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(self.stop())
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.drain();
        self.cut();
    }
}

impl ScriptedProbe {
    /// Returns the services of a server with nothing but this probe.
    pub fn services(&self) -> impl Fn(&Config) -> Vec<Service> + Send + Sync + use<> {
        let probe = self.clone();
        move |config| vec![Service::of::<ProbeServer<_>>(config, probe.clone())]
    }
}

/// Returns the number of connections that the server closed for `reason`.
pub fn closed(report: &ShutdownReport, reason: CloseReason) -> u64 {
    let mut closed = report.closed.iter();
    closed.find(|(counted, _)| *counted == reason).unwrap().1
}

/// Sends a signal once.
fn send(signal: &mut Option<oneshot::Sender<()>>) {
    if let Some(signal) = signal.take() {
        let _ = signal.send(()); // an error: the server has stopped
    }
}

/// Waits for a signal.
async fn received(signal: oneshot::Receiver<()>) {
    if signal.await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn address(url: &str) -> &str {
    url.split_once("://").expect("the server listens on TCP").1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Script;
    use crate::{BlockingPeer, ECHO};

    #[test]
    fn test_without_a_runtime_gets_the_report() {
        let server = TestServer::start(&[]);
        drop(BlockingPeer::calling(&server.url, ECHO, Some(b"")).unwrap());
        let report = server.blocking_stop();
        assert_eq!((report.answered, report.cut), (1, 0));
    }

    #[tokio::test]
    async fn dropped_server_cuts_its_calls() {
        let probe = ScriptedProbe::new();
        let server = TestServer::with_probe(&["--drain-timeout=1h"], &probe);
        let client = server.connect().await;
        let begun = async {
            probe.waits_begun(1).await;
            drop(server);
        };
        let (call, ()) = tokio::join!(with_timeout(client.run(Script::Wait)), begun);
        assert!(call.is_err());
    }

    #[test]
    fn flag_replaces_a_default() {
        let first = TestServer::start(&["--reuse-port"]);
        let listen = format!("--listen={}", first.address());
        let second = TestServer::start(&["--reuse-port", &listen]);
        assert_eq!(first.url, second.url);
    }
}

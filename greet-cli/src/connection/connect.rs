//! The stages of connecting.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::first_frame::{FirstFrame, Heard};
use crate::failure::{Failure, Stage};
use crate::target::Target;

/// A connection whose server has said that it speaks HTTP/2.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<Full<Bytes>>,
    /// Who is on the other end: an address, or `unix:PATH`.
    pub(crate) peer: String,
    /// How it was made, if no call has told of that yet.
    pub(crate) made: Option<Stages>,
}

/// How far connecting came, and how long each stage took or had taken when it failed. `None`: it was
/// not reached, or there is nothing to do in it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stages {
    pub(crate) dns: Option<Duration>,
    pub(crate) tcp: Option<Duration>,
    pub(crate) http2: Option<Duration>,
    /// Who was reached.
    pub(crate) peer: Option<String>,
}

impl Stages {
    pub(crate) fn total(&self) -> Duration {
        [self.dns, self.tcp, self.http2].into_iter().flatten().sum()
    }
}

/// Connects, at the latest by `deadline`, and notes in `stages` how it went.
pub(crate) async fn connect(
    target: &Target,
    deadline: Instant,
    stages: &mut Stages,
) -> Result<Connection, Failure> {
    match target {
        Target::Http { host, port } => {
            let addresses = timed(&mut stages.dns, resolve(host, *port, deadline)).await?;
            let (stream, peer) = timed(&mut stages.tcp, open(&addresses, deadline)).await?;
            let peer = stages.peer.insert(peer.to_string()).clone();
            timed(&mut stages.http2, handshake(stream, peer, target, deadline)).await
        }
        Target::Unix(path) => {
            let stream = timed(&mut stages.tcp, open_unix(path, deadline)).await?;
            let peer = stages.peer.insert(target.to_string()).clone();
            timed(&mut stages.http2, handshake(stream, peer, target, deadline)).await
        }
    }
}

async fn timed<T>(took: &mut Option<Duration>, stage: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let result = stage.await;
    *took = Some(Instant::now() - begun);
    result
}

async fn resolve(host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let failed = |problem: &str| {
        let cause = format!("could not look up {host}: {problem}");
        Failure::connecting(Stage::Dns, cause, "check the host's name in --target")
    };
    match timeout_at(deadline, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(addresses)) => match addresses.collect::<Vec<_>>() {
            none if none.is_empty() => Err(failed("the name has no address")),
            addresses => Ok(addresses),
        },
        Ok(Err(error)) => {
            let problem = error.to_string();
            // What the standard library puts before the resolver's own words says nothing new.
            Err(failed(problem.trim_start_matches("failed to lookup address information: ")))
        }
        Err(_elapsed) => Err(failed("the name server did not answer in time")),
    }
}

/// The first address that answers. Each gets its share of the time that is left, so that one which
/// is silent does not take all of it.
async fn open(
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let mut failure = None;
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let now = Instant::now();
        let until = now + (deadline.saturating_duration_since(now) / left);
        match timeout_at(until, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // It only delays; a socket that refuses it is still a connection.
                let _ = stream.set_nodelay(true);
                return Ok((stream, *address));
            }
            Ok(Err(error)) => failure = Some(not_open(&address.to_string(), &error)),
            Err(_elapsed) => failure = Some(not_open(&address.to_string(), &timed_out())),
        }
    }
    Err(failure.expect("a look-up without an address has failed before"))
}

#[cfg(unix)]
async fn open_unix(path: &Path, deadline: Instant) -> Result<tokio::net::UnixStream, Failure> {
    let connecting = tokio::net::UnixStream::connect(path);
    let opened = timeout_at(deadline, connecting).await.unwrap_or_else(|_| Err(timed_out()));
    opened.map_err(|error| not_open(&format!("unix:{}", path.display()), &error))
}

#[cfg(not(unix))]
async fn open_unix(path: &Path, _deadline: Instant) -> Result<TcpStream, Failure> {
    let unsupported = ErrorKind::Unsupported.into();
    std::future::ready(Err(not_open(&format!("unix:{}", path.display()), &unsupported))).await
}

fn timed_out() -> io::Error {
    ErrorKind::TimedOut.into()
}

fn not_open(peer: &str, error: &io::Error) -> Failure {
    let (problem, hint) = match error.kind() {
        ErrorKind::ConnectionRefused => (
            "connection refused".to_owned(),
            "nothing listens there: start the server, wait for it with --wait, or correct --target",
        ),
        ErrorKind::NotFound => (
            "there is no such socket".to_owned(),
            "start the server, wait for it with --wait, or correct --target",
        ),
        ErrorKind::TimedOut => (
            "no answer in time".to_owned(),
            "a firewall that drops packets, or a wrong address; more time with --connect-timeout",
        ),
        _ => (error.to_string(), "check the network between here and the address in --target"),
    };
    Failure::connecting(Stage::Tcp, format!("could not connect to {peer}: {problem}"), hint)
}

/// Sends the preface and waits for the server's SETTINGS.
async fn handshake<IO>(
    io: IO,
    peer: String,
    target: &Target,
    deadline: Instant,
) -> Result<Connection, Failure>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |problem: &str, hint: &str| {
        let cause = format!("no HTTP/2 connection to {peer}: {problem}");
        Failure::connecting(Stage::Http2, cause, hint)
    };
    let not_a_server = format!("is it a gRPC server in plaintext that listens at {target}?");
    let (io, first_frame) = FirstFrame::new(io);
    let builder = Builder::new(TokioExecutor::new());
    let (sender, connection) = match builder.handshake(TokioIo::new(io)).await {
        Ok(connected) => connected,
        Err(error) => return Err(failed(&error.to_string(), &not_a_server)),
    };
    tokio::spawn(connection); // how it ends is told by the calls on it
    match timeout_at(deadline, first_frame).await {
        Ok(Ok(Heard::Settings)) => Ok(Connection { sender, peer, made: None }),
        Ok(Ok(Heard::SomethingElse(bytes))) => {
            Err(failed(&format!("the server said {}", first_line(&bytes)), &not_a_server))
        }
        Ok(Err(_dropped)) => {
            Err(failed("the server closed it before it sent its SETTINGS", &not_a_server))
        }
        Err(_elapsed) => {
            Err(failed("the server accepted and sent no SETTINGS in time", &not_a_server))
        }
    }
}

/// As much of an unexpected answer as fits into a message, escaped.
fn first_line(bytes: &[u8]) -> String {
    const MOST_CHARACTERS: usize = 60;
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().next().unwrap_or_default();
    format!("{:?}", line.chars().take(MOST_CHARACTERS).collect::<String>())
}

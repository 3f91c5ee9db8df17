//! Connects to a target in five stages: dns, tcp, proxy, tls and http2. Each stage is timed, and the
//! first that fails is named. With a proxy, dns and tcp are those of the proxy.

pub(crate) mod dns;
pub(crate) mod excerpt;
mod first_frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod goaway_on_drop;
mod http2;
mod no_proxy;
mod proxy;
mod socket_error;
mod target;
mod tcp;
pub(crate) mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use self::first_frame::Http2HandshakeError;
use crate::error::ConnectError;

pub(crate) use self::first_frame::Settings;
pub(crate) use self::http2::Traffic;
pub(crate) use self::no_proxy::Exclusion;
pub(crate) use self::proxy::{Proxy, Tunnel};
pub(crate) use self::target::Target;
pub(crate) use self::tls::{Tls, TlsFacts};

/// A connection whose SETTINGS have arrived.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<Bytes>,
    /// The address of the server, `HOST:PORT via proxy ADDRESS`, or `unix:PATH`.
    pub(crate) peer: Arc<str>,
}

impl Connection {
    /// Returns whether it accepts calls: it is open, and no GOAWAY has arrived.
    pub(crate) fn accepts_calls(&mut self) -> bool {
        // Pending only after a request, and requests are sent on clones.
        let ready = self.sender.poll_ready(&mut Context::from_waker(Waker::noop()));
        matches!(ready, Poll::Ready(Ok(())))
    }
}

/// The time of each stage, also of the one that failed, and its facts. `None`: the stage was not
/// reached, or does not apply.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stages {
    pub(crate) dns: Option<Duration>,
    pub(crate) tcp: Option<Duration>,
    pub(crate) proxy: Option<Duration>,
    pub(crate) tls: Option<Duration>,
    pub(crate) http2: Option<Duration>,
    pub(crate) peer: Option<Arc<str>>,
    /// The addresses of the name: that of the target, or that of the proxy.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Each address that was tried, and its error; none for the one that is connected.
    pub(crate) tried: Vec<(SocketAddr, Option<ConnectError>)>,
    /// The tunnel, if the target is connected through a proxy.
    pub(crate) tunnel: Option<Box<Tunnel>>,
    /// Why the proxy of the environment is not used, if there is one.
    pub(crate) not_proxied: Option<Exclusion>,
    pub(crate) tls_facts: Option<Box<TlsFacts>>,
    pub(crate) settings: Option<Settings>,
}

impl Stages {
    pub(crate) fn total(&self) -> Duration {
        [self.dns, self.tcp, self.proxy, self.tls, self.http2].into_iter().flatten().sum()
    }

    /// Returns the address that accepted the TCP connection, which may be that of a proxy.
    pub(crate) fn tcp_peer(&self) -> Option<String> {
        let connected = self.tried.iter().find(|(_, error)| error.is_none());
        let connected = connected.map(|(address, _)| address.to_string());
        connected.or_else(|| self.peer.as_deref().map(str::to_owned))
    }
}

/// Looks up the host of `target`, if it has one, and records it in `stages`.
pub(crate) async fn look_up(
    target: &Target,
    deadline: Instant,
    stages: &mut Stages,
) -> Result<(), ConnectError> {
    if let Target::Tcp { host, port, .. } = target {
        stages.addresses = timed(&mut stages.dns, dns::look_up(host, *port, deadline)).await?;
    }
    Ok(())
}

/// Connects to `target`, or to `address` if it is looked up already, or to `target` through `proxy`,
/// and records the stages.
pub(crate) async fn connect(
    target: &Target,
    address: Option<SocketAddr>,
    proxy: Option<&Proxy>,
    tls: Option<&Tls>,
    deadline: Instant,
    stages: &mut Stages,
    traffic: &Arc<Traffic>,
) -> Result<Connection, ConnectError> {
    if let Target::Unix(path) = target {
        let stream = timed(&mut stages.tcp, tcp::open_unix(path, deadline)).await?;
        let peer = target.to_string();
        stages.peer = Some(peer.as_str().into());
        let connected = start_http2(stream, deadline, stages, traffic).await;
        return connected.map_err(|error| error.into_connect_error(&peer));
    }
    let (stream, peer) = match proxy {
        Some(proxy) => open_through(proxy, target, deadline, stages).await?,
        None => open(target, address, deadline, stages).await?,
    };
    stages.peer = Some(peer.as_str().into());
    let Some(tls) = tls.filter(|_| target.is_tls()) else {
        let connected = start_http2(stream, deadline, stages, traffic).await;
        return connected.map_err(|error| error.into_connect_error(&peer));
    };

    let host = target.host_without_zone();
    let handshake = tls::handshake(stream, &peer, host, tls, deadline, &mut stages.tls_facts);
    let (stream, verifier) = timed(&mut stages.tls, handshake).await?;
    let connected = start_http2(stream, deadline, stages, traffic).await;
    connected.map_err(|error| match error {
        // With TLS 1.3 a server rejects a client certificate after the handshake.
        Http2HandshakeError::Broken(error) if tls::is_tls_error(&error, &verifier) => {
            tls::connect_error(&error, &verifier, &peer, host)
        }
        Http2HandshakeError::Closed if verifier.lacks_identity() => {
            ConnectError::ClientCertificateRequired { peer }
        }
        error => error.into_connect_error(&peer),
    })
}

/// Opens a TCP connection to the target, and returns it with the peer's address.
async fn open(
    target: &Target,
    address: Option<SocketAddr>,
    deadline: Instant,
    stages: &mut Stages,
) -> Result<(TcpStream, String), ConnectError> {
    if address.is_none() {
        look_up(target, deadline, stages).await?;
    }
    let addresses = address.as_ref().map_or(&stages.addresses[..], std::slice::from_ref);
    let opening = tcp::open(addresses, deadline, &mut stages.tried);
    let (stream, peer) = timed(&mut stages.tcp, opening).await?;
    Ok((stream, peer.to_string()))
}

/// Opens a tunnel to the target, and returns it with the name of the peer for messages. The proxy
/// looks up the host.
async fn open_through(
    proxy: &Proxy,
    target: &Target,
    deadline: Instant,
    stages: &mut Stages,
) -> Result<(TcpStream, String), ConnectError> {
    let tunnel = stages.tunnel.insert(Box::new(Tunnel::new(proxy, target)));
    let looking_up = dns::look_up(proxy.host(), proxy.port(), deadline);
    let looked_up = timed(&mut stages.dns, looking_up).await;
    stages.addresses = looked_up.map_err(|error| proxy.not_reached(error))?;
    let opening = tcp::open(&stages.addresses, deadline, &mut stages.tried);
    let opened = timed(&mut stages.tcp, opening).await;
    let (mut stream, address) = opened.map_err(|error| proxy.not_reached(error))?;
    let connecting = tunnel.connect(&mut stream, proxy, deadline);
    timed(&mut stages.proxy, connecting).await?;
    Ok((stream, format!("{} via proxy {address}", tunnel.destination())))
}

async fn start_http2<IO>(
    stream: IO,
    deadline: Instant,
    stages: &mut Stages,
    traffic: &Arc<Traffic>,
) -> Result<Connection, Http2HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http2::handshake(traffic.count(stream), deadline);
    let (sender, settings) = timed(&mut stages.http2, handshake).await?;
    stages.settings = Some(settings);
    Ok(Connection { sender, peer: stages.peer.clone().unwrap_or_default() })
}

async fn timed<T>(time: &mut Option<Duration>, stage: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let result = stage.await;
    *time = Some(started.elapsed());
    result
}

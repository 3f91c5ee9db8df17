//! From a target to a connection that is ready for a call: dns, tcp, tls, http2, each timed, and the
//! first that fails named.

pub(crate) mod certificate;
mod dns;
pub(crate) mod excerpt;
mod first_frame;
mod http2;
mod target;
mod tcp;
mod tls;
mod tls_config;
mod verifier;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::FutureExt as _;
use h2::client::SendRequest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use self::http2::Http2HandshakeError;
use crate::error::ConnectError;

pub(crate) use self::http2::{Settings, Traffic};
pub(crate) use self::target::Target;
pub(crate) use self::tls::TlsFacts;
pub(crate) use self::tls_config::Tls;

/// A connection whose server has said that it speaks HTTP/2.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<Bytes>,
    /// Who is on the other end: an address, or `unix:PATH`.
    pub(crate) peer: Arc<str>,
}

impl Connection {
    /// Whether it takes calls: it stands, and no GOAWAY has come.
    pub(crate) fn takes_calls(&self) -> bool {
        matches!(self.sender.clone().ready().now_or_never(), Some(Ok(_)))
    }
}

/// How far connecting came, and how long each stage took or had taken when it failed. `None`: it was
/// not reached, or there is nothing to do in it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stages {
    pub(crate) dns: Option<Duration>,
    pub(crate) tcp: Option<Duration>,
    pub(crate) tls: Option<Duration>,
    pub(crate) http2: Option<Duration>,
    /// Who was reached.
    pub(crate) peer: Option<Arc<str>>,
    /// What the name stands for.
    pub(crate) addresses: Vec<IpAddr>,
    /// Each address that was tried, and what was wrong with it.
    pub(crate) tried: Vec<(SocketAddr, Option<ConnectError>)>,
    pub(crate) tls_facts: Option<TlsFacts>,
    pub(crate) settings: Option<Settings>,
}

impl Stages {
    pub(crate) fn total(&self) -> Duration {
        [self.dns, self.tcp, self.tls, self.http2].into_iter().flatten().sum()
    }
}

/// Looks up what the name in `target` stands for, if there is one, and notes it in `stages`.
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

/// Connects, at the latest by `deadline`, and notes in `stages` how it went; what then goes over the
/// connection is counted in `traffic`. To `address`, if it was looked up already.
pub(crate) async fn connect(
    target: &Target,
    address: Option<IpAddr>,
    tls: Option<&Tls>,
    deadline: Instant,
    stages: &mut Stages,
    traffic: &Arc<Traffic>,
) -> Result<Connection, ConnectError> {
    let (host, port) = match target {
        Target::Tcp { host, port, .. } => (host, *port),
        Target::Unix(path) => {
            let stream = timed(&mut stages.tcp, tcp::open_unix(path, deadline)).await?;
            stages.peer = Some(target.to_string().into());
            return in_plaintext(stream, deadline, stages, traffic).await;
        }
    };
    if address.is_none() {
        look_up(target, deadline, stages).await?;
    }
    let addresses = address.as_ref().map_or(&stages.addresses[..], std::slice::from_ref);
    let addresses = addresses.iter().map(|address| SocketAddr::new(*address, port));
    let opening = tcp::open(addresses.collect(), deadline, &mut stages.tried);
    let (stream, peer) = timed(&mut stages.tcp, opening).await?;
    stages.peer = Some(peer.to_string().into());
    let Some(tls) = tls.filter(|_| target.is_tls()) else {
        return in_plaintext(stream, deadline, stages, traffic).await;
    };

    let peer = peer.to_string();
    let shaking = tls::handshake(stream, &peer, host, tls, deadline, &mut stages.tls_facts);
    let (stream, verifier) = timed(&mut stages.tls, shaking).await?;
    match ready(stream, deadline, stages, traffic).await {
        // Under TLS 1.3 a server refuses a client only after the handshake is done on this side.
        Err(Http2HandshakeError::Broken(error)) if tls::is_tls_error(&error, &verifier) => {
            Err(tls::problem(&error, &verifier, &peer, host))
        }
        // It hung up without a word, on one who had no certificate to show.
        Err(Http2HandshakeError::Closed) if verifier.lacks_identity() => {
            Err(ConnectError::ClientCertificateRequired { peer })
        }
        ready => ready.map_err(|error| error.into_connect_error(&peer)),
    }
}

async fn in_plaintext<IO>(
    stream: IO,
    deadline: Instant,
    stages: &mut Stages,
    traffic: &Arc<Traffic>,
) -> Result<Connection, ConnectError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ready = ready(stream, deadline, stages, traffic).await;
    ready.map_err(|error| error.into_connect_error(stages.peer.as_deref().unwrap_or_default()))
}

async fn ready<IO>(
    stream: IO,
    deadline: Instant,
    stages: &mut Stages,
    traffic: &Arc<Traffic>,
) -> Result<Connection, Http2HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, settings) =
        timed(&mut stages.http2, http2::begin(traffic.count(stream), deadline)).await?;
    stages.settings = Some(settings);
    Ok(Connection { sender, peer: stages.peer.clone().unwrap_or_default() })
}

async fn timed<T>(took: &mut Option<Duration>, stage: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let result = stage.await;
    *took = Some(Instant::now() - started);
    result
}

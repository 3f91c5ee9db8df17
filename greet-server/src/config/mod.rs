//! The checked configuration: plain values that hold what their types say, and every default with
//! its reason. `flags` makes it from what was typed; the rest of the daemon only reads it.

pub mod args;
mod dump;
mod file;
mod listen_addr;
pub mod load;
mod resolve;
pub(crate) mod values;
pub(crate) mod web_url;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use tracing_subscriber::filter::Targets;

pub use listen_addr::ListenAddr;
pub use values::OtlpEndpoint;

/// The original's address: its clients find the daemon without being told.
pub const DEFAULT_LISTEN: &str = "0.0.0.0:50051";
/// Whoever names a client CA means it; `optional` is for the time of a migration.
pub const DEFAULT_TLS_CLIENT_AUTH: &str = "required";
/// Sixteen times the longest name; a greeting has no use for more.
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 65_536;
/// Longer than any person's name, short enough that an echo costs next to nothing.
pub const DEFAULT_MAX_NAME_BYTES: usize = 4_096;
/// As many as fit into 10 GiB at the 1 MiB that a peer with bad intentions can make each cost; the
/// descriptors that the process may open are the other bound.
pub const DEFAULT_MOST_CONNECTIONS: usize = 10_000;
/// More calls at work than this are not being worked at, they wait: better to say so.
pub const DEFAULT_MAX_IN_FLIGHT: u64 = 10_000;
/// Enough to keep a multiplexing proxy busy; one connection cannot fill the daemon.
pub const DEFAULT_MAX_STREAMS: u32 = 200;
/// A greeting takes microseconds: who waits longer than this waits on a fault.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Ten round trips on the worst of networks; a peer that needs longer is not there to talk.
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Within the patience of the proxies and translators of addresses that are known to forget quiet
/// connections, and rare enough to cost nothing.
pub const DEFAULT_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// The default of gRFC A8 and of every gRPC library.
pub const DEFAULT_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// As long as the longest call may take by default: none that was accepted is cut for age.
pub const DEFAULT_MAX_CONNECTION_AGE_GRACE: Duration = Duration::from_secs(30);
/// Nothing waits for us to leave unless the operator says so.
pub const DEFAULT_DRAIN_DELAY: Duration = Duration::ZERO;
/// Below the 30 s after which Kubernetes kills, with room for a delay before it.
pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// What an operator wants to read when nothing is wrong: start, stop, and what was refused.
pub const DEFAULT_LOG_LEVEL: &str = "info";
/// Calls that failed are what an operator looks for; the others are counted.
pub const DEFAULT_ACCESS_LOG: &str = "errors";

/// More threads than any machine has cores: beyond it a number is a typing error.
pub(crate) const MOST_WORKERS: usize = 1_024;
/// A message is held in memory whole; more than this wants streaming, not a larger limit.
pub(crate) const MOST_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// A connection with more calls than this wants to be several.
pub(crate) const MOST_STREAMS: u32 = 1_000_000;
/// A limit above this is none.
pub(crate) const MOST_CONNECTIONS: usize = 1_000_000;
/// Descriptors that are not connections': standard streams, listeners, log, files of TLS, and of each
/// worker the poller and its like.
pub(crate) const RESERVED_DESCRIPTORS: usize = 32;
pub(crate) const RESERVED_DESCRIPTORS_PER_WORKER: usize = 4;
/// Echoed in a header of every reply, which peers limit to 8 KiB together with the others.
pub(crate) const MOST_INSTANCE_BYTES: usize = 256;
/// Beyond a day a timeout is a typing error, and arithmetic on it stays far from overflow.
pub(crate) const LONGEST_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// Everything the daemon was told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; at least one.
    pub listen: Vec<ListenAddr>,
    /// Whether other processes may listen on the same TCP addresses (SO_REUSEPORT).
    pub reuse_port: bool,
    /// Where operators ask for liveness, readiness and metrics.
    pub admin_listen: Option<ListenAddr>,
    /// Threads that serve connections, each with a single-threaded runtime of its own.
    pub workers: NonZeroUsize,
    /// Sent as the header `greet-instance` with every reply, so that a caller knows who answered.
    pub instance: Option<HeaderValue>,
    /// Bounds on what a peer may take.
    pub limits: Limits,
    /// TLS on every TCP listener; without it they speak plaintext. Unix sockets always do.
    pub tls: Option<TlsFiles>,
    /// How long leaving may take.
    pub drain: DrainTimes,
    /// Whether to serve `grpc.reflection.v1` and `v1alpha`.
    pub reflection: bool,
    /// gRPC-Web beside gRPC.
    pub web: Option<WebConfig>,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Destination of spans; without it, the OTEL_* variables decide.
    pub otlp_endpoint: Option<OtlpEndpoint>,
}

/// Who may call over gRPC-Web.
#[derive(Debug, Clone, Default)]
pub struct WebConfig {
    /// Origins whose pages may (RFC 6454), as browsers send them; `*` is all of them.
    pub origins: Vec<HeaderValue>,
}

/// Bounds on what one peer, connection or call may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time. Over it: refused at once.
    pub max_connections: usize,
    /// Connections at a time from one address. Over it: refused at once.
    pub max_connections_per_ip: Option<usize>,
    /// Calls at work at a time, all connections together. Over it: RESOURCE_EXHAUSTED.
    pub max_in_flight: u64,
    /// Largest request message, in bytes of protobuf. Over it: RESOURCE_EXHAUSTED.
    pub max_message_bytes: usize,
    /// Longest `name`, in bytes of UTF-8. Over it: INVALID_ARGUMENT.
    pub max_name_bytes: usize,
    /// SETTINGS_MAX_CONCURRENT_STREAMS of every connection (RFC 9113, section 6.5.2).
    pub max_streams: u32,
    /// Longest a call may take, from its headers to its reply; of a stream, to its first headers.
    /// Over it: DEADLINE_EXCEEDED.
    pub request_timeout: Duration,
    /// Longest from the accept to the peer's first SETTINGS. Over it: the connection is closed.
    pub handshake_timeout: Duration,
    /// How often a peer is asked by an HTTP/2 PING whether it is there (gRFC A8).
    pub keepalive_interval: Option<Duration>,
    /// Longest for it to answer, and for its kernel to acknowledge what was sent (gRFC A18). Over it:
    /// the connection is closed.
    pub keepalive_timeout: Duration,
    /// After this, give or take a tenth, a connection is told to go (gRFC A9).
    pub max_connection_age: Option<Duration>,
    /// Longest from there until it has gone. Over it: cut.
    pub max_connection_age_grace: Duration,
    /// After this without a call a connection is told to go (gRFC A9).
    pub max_connection_idle: Option<Duration>,
}

/// The PEM files that TLS is made from. They are read again when they change.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The server's certificate, then those that lead to its root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Whether HTTP/1.1 is offered beside HTTP/2, for gRPC-Web.
    pub http1: bool,
    /// Who signs clients' certificates. Without it no client is asked for one.
    pub client_ca: Option<ClientCa>,
}

/// What is asked of clients (mTLS).
#[derive(Debug, Clone)]
pub struct ClientCa {
    /// Certificates of those who sign clients' certificates.
    pub file: PathBuf,
    /// Whether a client may have none.
    pub auth: ClientAuth,
}

/// Whether a client may come without a certificate. One that is wrong is refused either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// It may not.
    Required,
    /// It may.
    Optional,
}

/// How long each step of leaving may take.
#[derive(Debug, Clone, Copy)]
pub struct DrainTimes {
    /// Lame-duck time: health says NOT_SERVING, everything else goes on.
    pub delay: Duration,
    /// From the GOAWAY until what is left is cut.
    pub timeout: Duration,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// One line of text or one JSON object an event.
    pub format: LogFormat,
    /// Which events: a level, or `target=level` pairs.
    pub filter: Targets,
    /// Which calls have a line of their own.
    pub access: AccessLog,
}

/// Which calls have a line of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLog {
    /// None.
    Off,
    /// Those whose status is not OK; of many, so many a second.
    Errors,
    /// Every one.
    All,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

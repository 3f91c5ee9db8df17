//! Configuration: its values, and the defaults with their reasons.
//!
//! [`load()`] reads flags, environment variables and the file of `--config`. The rest of the daemon
//! sees only the [`Config`] that results. [`Config::default()`] is for embedders: it reads none of them.

mod args;
mod dump;
mod faults;
mod file;
mod listen_addr;
mod load;
mod memory;
mod resolve;
mod sources;
mod values;

use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use greet_flags::values::{duration, number, text, timeout};
use http::HeaderValue;
use tracing_subscriber::filter::Targets;

pub use args::{CommandLine, ServerFlags, command};
pub use dump::example;
pub(crate) use faults::Fault;
pub use faults::{FaultConfig, FaultRule};
pub use listen_addr::{ListenAddr, Scheme};
pub use load::{LoadError, Loaded, load};
pub(crate) use memory::{CONNECTION_BYTES, TLS_BYTES};
pub use sources::Sources;
pub use values::OtlpEndpoint;
pub(crate) use values::log_filter;
use values::{OFF, OrOff, interval, memory_size, or_off};

/// The port of the gRPC examples, on every IPv4 interface.
const DEFAULT_LISTEN: &str = "0.0.0.0:50051";
/// A client CA implies mTLS; `optional` is for a migration to it.
const DEFAULT_TLS_CLIENT_AUTH: ClientAuth = ClientAuth::Required;
/// Larger than the requests of most unary methods, and cheap to hold.
const DEFAULT_MAX_MESSAGE_BYTES: usize = 16_384;
/// 170 MB without calls. RLIMIT_NOFILE and `memory_limit` lower it.
const DEFAULT_MAX_CONNECTIONS: usize = 10_000;
/// More concurrent calls only wait for a core; RESOURCE_EXHAUSTED is better than a queue.
const DEFAULT_MAX_IN_FLIGHT: u64 = 10_000;
/// A Watch per client of 50 full proxies. An idle stream costs memory only.
const DEFAULT_MAX_STREAMING_CALLS: u64 = 10_000;
/// Half of the streams of a connection, so that the other half is left for unary calls.
const DEFAULT_MAX_STREAMING_CALLS_PER_CONNECTION: u64 = 100;
/// Enough for a multiplexing proxy, too few for one connection to reach `max_in_flight`.
const DEFAULT_MAX_STREAMS: u32 = 200;
/// A handler takes microseconds to milliseconds; a call that takes this long waits on a fault.
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A whole message at 13 kbit/s, and ten round trips on a very slow network.
const DEFAULT_MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Ten round trips on a very slow network.
const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Below the idle timeout of common proxies and NAT devices, and rare enough to cost nothing.
const DEFAULT_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// The default of gRFC A8 and of every gRPC library.
const DEFAULT_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Equal to the default request timeout, so age alone never cuts an accepted call.
const DEFAULT_MAX_CONNECTION_AGE_GRACE: Duration = Duration::from_secs(30);
/// Only an operator knows how long load balancers take to notice.
const DEFAULT_DRAIN_DELAY: Duration = Duration::ZERO;
/// Below the 30 s after which Kubernetes sends SIGKILL, with room for a drain delay.
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// Start, stop and refusals, without a line per connection.
const DEFAULT_LOG_LEVEL: &str = "info";
/// Operators look for failed calls; metrics count the others.
const DEFAULT_ACCESS_LOG: AccessLogMode = AccessLogMode::Errors;

/// A message is in memory as a whole; larger data needs streaming.
pub(crate) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
/// A connection with more calls should be several.
const MAX_STREAMS: u32 = 1_000_000;
/// More than one machine serves.
const MAX_CONNECTIONS: usize = 1_000_000;
/// More than one machine serves.
const MAX_IN_FLIGHT: u64 = 1_000_000;

/// The effective configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to listen on, at least one.
    pub listen: Vec<ListenAddr>,
    /// Whether other processes may listen on the same TCP addresses (SO_REUSEPORT).
    pub reuse_port: bool,
    /// Address of the admin server.
    pub admin_listen: Option<ListenAddr>,
    /// Whether the admin server rejects changes.
    pub admin_read_only: bool,
    /// Whether the addresses are printed to standard output.
    pub announce: bool,
    /// Threads that serve connections, each with its own single-threaded runtime.
    pub workers: NonZeroUsize,
    /// Value of the response header `greet-instance`.
    pub instance: Option<HeaderValue>,
    /// Bounds on what a peer can use.
    pub limits: Limits,
    /// TLS on every TCP listener whose address has no scheme `http`; plaintext without it. Unix sockets
    /// are always plaintext.
    pub tls: Option<TlsFiles>,
    /// Faults to inject into calls.
    pub faults: FaultConfig,
    /// Durations of the shutdown steps.
    pub drain: DrainTimes,
    /// Whether to serve `grpc.reflection.v1` and `v1alpha`.
    pub reflection: bool,
    /// gRPC-Web beside gRPC.
    pub web: Option<WebConfig>,
    /// Log format and filters.
    pub log: LogConfig,
    /// Destination of spans.
    pub otlp_endpoint: OtlpEndpoint,
}

impl Config {
    /// Returns the first address with the scheme `https` that cannot have TLS: there is no certificate,
    /// or it is the address of the admin server.
    pub(crate) fn address_without_tls(&self) -> Option<&ListenAddr> {
        let listen = self.listen.iter().filter(|_| self.tls.is_none());
        listen.chain(&self.admin_listen).find(|address| address.is_https())
    }

    /// Returns the warning that no address uses the certificate, without the place of the certificate. It is
    /// no error, because the sockets of a supervisor replace the addresses.
    pub fn tls_warning(&self) -> Option<String> {
        let is_unused = self.tls.is_some() && self.listen.iter().all(ListenAddr::is_plaintext);
        is_unused.then(|| "not used, because every --listen is http:// or unix:".to_owned())
    }
}

/// Origins allowed to call over gRPC-Web.
#[derive(Debug, Clone, Default)]
pub struct WebConfig {
    /// Origins (RFC 6454) as browsers send them; `*` allows all.
    pub origins: Vec<HeaderValue>,
}

/// Bounds on what one peer, connection or call can use.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Maximum open connections; further connections are refused [default: what RLIMIT_NOFILE and half of --memory-limit
    /// allow, at most 10000]
    #[arg(long, value_name = "N", value_parser = number(1..=MAX_CONNECTIONS))]
    #[arg(default_value_t = DEFAULT_MAX_CONNECTIONS, hide_default_value = true)]
    pub max_connections: usize,

    /// Maximum open connections per client address; further connections are refused
    #[arg(long, value_name = "N")]
    #[arg(value_parser = or_off(number(1..=MAX_CONNECTIONS)), default_value = OFF)]
    pub max_connections_per_ip: OrOff<usize>,

    /// Maximum concurrent unary calls whose request has arrived; further ones fail with RESOURCE_EXHAUSTED
    #[arg(long, value_name = "N")]
    #[arg(value_parser = number(1..=MAX_IN_FLIGHT), default_value_t = DEFAULT_MAX_IN_FLIGHT)]
    pub max_in_flight: u64,

    /// Maximum concurrent calls with streams; further ones fail with RESOURCE_EXHAUSTED
    #[arg(long, value_name = "N")]
    #[arg(value_parser = number(1..=MAX_IN_FLIGHT), default_value_t = DEFAULT_MAX_STREAMING_CALLS)]
    pub max_streaming_calls: u64,

    /// Maximum concurrent calls with streams per connection; further ones fail with RESOURCE_EXHAUSTED
    #[arg(long, value_name = "N", value_parser = number(1..=u64::from(MAX_STREAMS)))]
    #[arg(default_value_t = DEFAULT_MAX_STREAMING_CALLS_PER_CONNECTION)]
    pub max_streaming_calls_per_connection: u64,

    /// Maximum concurrent calls per connection (SETTINGS_MAX_CONCURRENT_STREAMS)
    #[arg(long, value_name = "N")]
    #[arg(value_parser = number(1..=MAX_STREAMS), default_value_t = DEFAULT_MAX_STREAMS)]
    pub max_streams: u32,

    /// Maximum memory held for peers, such as 256MiB; the connections that hold most are closed [default: half of the
    /// cgroup's limit or of the machine's memory, at most 2GiB]
    #[arg(long, value_name = "SIZE", value_parser = memory_size)]
    #[arg(default_value_t = memory::default_limit(), hide_default_value = true)]
    pub memory_limit: ByteSize,

    /// Maximum size of a request message; larger messages fail with RESOURCE_EXHAUSTED
    #[arg(long, value_name = "N")]
    #[arg(value_parser = number(1..=MAX_MESSAGE_BYTES), default_value_t = DEFAULT_MAX_MESSAGE_BYTES)]
    pub max_message_bytes: usize,

    /// Maximum duration of a call, or of a stream until its response headers; grpc-timeout can shorten it
    #[arg(long, value_name = "DUR")]
    #[arg(value_parser = timeout, default_value = text(DEFAULT_REQUEST_TIMEOUT))]
    pub request_timeout: Duration,

    /// Maximum time until the request of a call has arrived, unless the client streams
    #[arg(long, value_name = "DUR")]
    #[arg(value_parser = timeout, default_value = text(DEFAULT_MESSAGE_TIMEOUT))]
    pub message_timeout: Duration,

    /// Time from accept to the client's first SETTINGS; then the connection is closed
    #[arg(long, value_name = "DUR")]
    #[arg(value_parser = timeout, default_value = text(DEFAULT_HANDSHAKE_TIMEOUT))]
    pub handshake_timeout: Duration,

    /// Interval between HTTP/2 keepalive PINGs; 0s or off disables them
    #[arg(long, value_name = "DUR")]
    #[arg(value_parser = interval, default_value = text(DEFAULT_KEEPALIVE_INTERVAL))]
    pub keepalive_interval: OrOff<Duration>,

    /// Time to acknowledge a PING or sent data (TCP_USER_TIMEOUT); then the connection is closed
    #[arg(long, value_name = "DUR")]
    #[arg(value_parser = timeout, default_value = text(DEFAULT_KEEPALIVE_TIMEOUT))]
    pub keepalive_timeout: Duration,

    /// Maximum connection age (±10 % jitter), then GOAWAY
    #[arg(long, value_name = "DUR", value_parser = or_off(timeout), default_value = OFF)]
    pub max_connection_age: OrOff<Duration>,

    /// Time after that GOAWAY before the connection is closed
    #[arg(long, value_name = "DUR")]
    #[arg(value_parser = duration, default_value = text(DEFAULT_MAX_CONNECTION_AGE_GRACE))]
    pub max_connection_age_grace: Duration,

    /// Maximum time without a call, then GOAWAY
    #[arg(long, value_name = "DUR", value_parser = or_off(timeout), default_value = OFF)]
    pub max_connection_idle: OrOff<Duration>,
}

impl Limits {
    /// Returns about how much memory the process uses at `memory_limit`.
    pub fn max_memory(&self) -> ByteSize {
        memory::maximum(self.memory_limit)
    }

    /// Returns the warning that the cgroup allows less than [`Limits::max_memory`], without the place of
    /// `memory_limit`.
    pub fn memory_warning(&self) -> Option<String> {
        let (maximum, allowed) = (self.max_memory(), memory::cgroup_limit()?);
        (maximum > allowed).then(|| {
            format!(
                "with {} for peers the process can use {maximum}, and its cgroup allows {allowed}",
                self.memory_limit
            )
        })
    }
}

/// PEM files of TLS, reloaded when they change.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Certificate chain, leaf first.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// Whether ALPN offers HTTP/1.1 beside HTTP/2, for gRPC-Web.
    pub http1: bool,
    /// Verification of client certificates (mTLS).
    pub client_ca: Option<ClientCa>,
}

/// Verification of client certificates (mTLS).
#[derive(Debug, Clone)]
pub struct ClientCa {
    /// CA bundle.
    pub file: PathBuf,
    /// Whether a certificate is required.
    pub auth: ClientAuth,
}

/// Whether a client must present a certificate. An invalid one is rejected either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClientAuth {
    /// Connections without a certificate are rejected.
    Required,
    /// Connections without a certificate are accepted.
    Optional,
}

/// Durations of the shutdown steps.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Shutdown")]
pub struct DrainTimes {
    /// Time between the first signal and GOAWAY; health reports NOT_SERVING, calls are served
    #[arg(id = "drain_delay", long = "drain-delay", value_name = "DUR")]
    #[arg(value_parser = duration, default_value = text(DEFAULT_DRAIN_DELAY))]
    pub delay: Duration,

    /// Time after GOAWAY before remaining connections are closed
    #[arg(id = "drain_timeout", long = "drain-timeout", value_name = "DUR")]
    #[arg(value_parser = duration, default_value = text(DEFAULT_DRAIN_TIMEOUT))]
    pub timeout: Duration,
}

/// Log format and filters.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogConfig {
    /// Log format [default: text on a terminal, json elsewhere]
    #[arg(id = "log_format", long = "log-format", value_name = "FORMAT")]
    #[arg(value_enum, default_value_t = LogFormat::default(), hide_default_value = true)]
    pub format: LogFormat,

    /// Log level: error, warn, info, debug, trace or off; or target=level pairs
    #[arg(id = "log_level", long = "log-level", value_name = "FILTER")]
    #[arg(value_parser = log_filter, default_value = DEFAULT_LOG_LEVEL)]
    pub filter: Targets,

    /// Calls that are logged, with method, status, duration and peer
    #[arg(id = "access_log", long = "access-log", value_name = "CALLS")]
    #[arg(value_enum, default_value_t = DEFAULT_ACCESS_LOG)]
    pub access: AccessLogMode,

    /// Whether the lines have colours, as on a terminal without NO_COLOR.
    #[arg(skip)]
    pub has_color: bool,
}

/// Calls with an access log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccessLogMode {
    /// None.
    Off,
    /// Calls whose status is not OK, at a limited rate.
    Errors,
    /// All.
    All,
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text, for a terminal.
    Text,
    /// One JSON object.
    Json,
}

impl Default for LogFormat {
    fn default() -> Self {
        if std::io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json }
    }
}

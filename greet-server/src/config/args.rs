//! What can be typed: flags and their environment variables, in the groups in which help shows them.
//!
//! Values are taken as text and checked by `resolve`, because the parser of the command line stops at
//! its first bad value and an operator wants to hear of all of them at once.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, Parser};

use crate::config;
use crate::config::values::text;

/// Flags under this heading say where values come from and what becomes of them; they are no keys of a file.
const ABOUT_VALUES: &str = "Configuration";

const EXIT_CODES: &str = "\
Exit codes:
  0  stopped, and every accepted call was answered
  1  could not start, or failed while serving; one line names the address or the file
  2  bad flags or configuration
  3  stopped, but the drain deadline (or a second signal) cut calls";

/// The daemon that hosts greet.Greeter
///
/// SIGTERM or SIGINT drains: health says NOT_SERVING, listeners close, calls in flight finish. A
/// second signal cuts at once. Addresses go to standard output, logs to standard error.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, mut_args = house_rules)]
pub struct Flags {
    /// Where values come from, and what becomes of them.
    #[command(flatten)]
    pub about: ConfigurationFlags,
    /// Where connections come from and who serves them.
    #[command(flatten)]
    pub listening: ListenFlags,
    /// Certificates.
    #[command(flatten)]
    pub tls: TlsFlags,
    /// What is served.
    #[command(flatten)]
    pub service: ServiceFlags,
    /// What a peer may take.
    #[command(flatten)]
    pub limits: LimitFlags,
    /// How long leaving may take.
    #[command(flatten)]
    pub drain: DrainFlags,
    /// What is told, and how.
    #[command(flatten)]
    pub log: LogFlags,
}

/// Where values come from, and what becomes of them.
#[derive(Debug, Args)]
#[command(next_help_heading = ABOUT_VALUES)]
pub struct ConfigurationFlags {
    /// TOML file, read once, for what is given neither as a flag nor as a variable; its keys are the flags' names
    #[arg(long, value_name = "FILE", env = "GREET_CONFIG")]
    pub config: Option<PathBuf>,

    /// Check everything, the files of TLS too, and exit: 0 if it is good, 2 if not
    #[arg(long)]
    pub check: bool,

    /// Print what holds, from wherever it comes, as such a file, and exit
    #[arg(long)]
    pub print_config: bool,
}

/// Where connections come from and who serves them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Listening")]
pub struct ListenFlags {
    /// Where to listen: HOST:PORT (port 0 picks a free one) or unix:PATH; repeat, or separate by commas; sockets
    /// inherited from a supervisor (LISTEN_FDS) are used instead
    #[arg(long, value_name = "ADDR", env = "GREET_LISTEN")]
    #[arg(value_delimiter = ',', default_value = config::DEFAULT_LISTEN)]
    pub listen: Vec<String>,

    /// Where operators ask for /livez, /readyz, /metrics and /log-level, over plain HTTP: HOST:PORT or unix:PATH
    /// [default: off]
    #[arg(long, value_name = "ADDR", env = "GREET_ADMIN_LISTEN")]
    pub admin_listen: Option<String>,

    /// Let a second daemon listen on the same TCP address, so that one can replace the other
    #[arg(long, env = "GREET_REUSE_PORT", value_parser = Switch)]
    pub reuse_port: bool,

    /// Threads that serve connections [default: the cores this process may use]
    #[arg(long, value_name = "N", env = "GREET_WORKERS")]
    pub workers: Option<String>,
}

/// Certificates.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsFlags {
    /// Certificate and those that lead to its root, PEM; with --tls-key, and reloaded with it
    #[arg(long, value_name = "FILE", env = "GREET_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert, PEM
    #[arg(long, value_name = "FILE", env = "GREET_TLS_KEY")]
    pub tls_key: Option<PathBuf>,

    /// Who signs clients' certificates, PEM: asks every client for one (mTLS)
    #[arg(long, value_name = "FILE", env = "GREET_TLS_CLIENT_CA")]
    pub tls_client_ca: Option<PathBuf>,

    /// required or optional: whether a client may come without a certificate
    #[arg(long, value_name = "AUTH", env = "GREET_TLS_CLIENT_AUTH")]
    #[arg(default_value = config::DEFAULT_TLS_CLIENT_AUTH)]
    pub tls_client_auth: String,
}

/// What is served.
#[derive(Debug, Args)]
#[command(next_help_heading = "Service")]
pub struct ServiceFlags {
    /// Name sent as the header greet-instance with every reply
    #[arg(long, value_name = "NAME", env = "GREET_INSTANCE")]
    pub instance: Option<String>,

    /// Do not serve grpc.reflection.v1 and v1alpha
    #[arg(long, env = "GREET_NO_REFLECTION", value_parser = Switch)]
    pub no_reflection: bool,

    /// Serve gRPC-Web too, over HTTP/1.1 and HTTP/2, for browsers that have no proxy in between
    #[arg(long, env = "GREET_GRPC_WEB", value_parser = Switch)]
    pub grpc_web: bool,

    /// A site whose pages may call over gRPC-Web, as https://HOST or https://HOST:PORT, or * for all; repeat, or
    /// separate by commas; pages of the daemon's own origin always may [default: off]
    #[arg(long, value_name = "ORIGIN", env = "GREET_CORS_ORIGIN", value_delimiter = ',')]
    pub cors_origin: Vec<String>,
}

/// What a peer may take.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitFlags {
    /// Connections at a time; over it refused [default: what RLIMIT_NOFILE allows, at most 10000]
    #[arg(long, value_name = "N", env = "GREET_MAX_CONNECTIONS")]
    pub max_connections: Option<String>,

    /// Connections at a time from one address; over it refused [default: off]
    #[arg(long, value_name = "N", env = "GREET_MAX_CONNECTIONS_PER_IP")]
    pub max_connections_per_ip: Option<String>,

    /// Calls at work at a time; over it RESOURCE_EXHAUSTED
    #[arg(long, value_name = "N", env = "GREET_MAX_IN_FLIGHT")]
    #[arg(default_value_t = config::DEFAULT_MAX_IN_FLIGHT.to_string())]
    pub max_in_flight: String,

    /// Concurrent calls on one connection
    #[arg(long, value_name = "N", env = "GREET_MAX_STREAMS")]
    #[arg(default_value_t = config::DEFAULT_MAX_STREAMS.to_string())]
    pub max_streams: String,

    /// Largest request message; over it RESOURCE_EXHAUSTED
    #[arg(long, value_name = "N", env = "GREET_MAX_MESSAGE_BYTES")]
    #[arg(default_value_t = config::DEFAULT_MAX_MESSAGE_BYTES.to_string())]
    pub max_message_bytes: String,

    /// Longest name; over it INVALID_ARGUMENT
    #[arg(long, value_name = "N", env = "GREET_MAX_NAME_BYTES")]
    #[arg(default_value_t = config::DEFAULT_MAX_NAME_BYTES.to_string())]
    pub max_name_bytes: String,

    /// Upper bound on a call, on a stream until its reply begins; the client's grpc-timeout may be shorter
    #[arg(long, value_name = "DUR", env = "GREET_REQUEST_TIMEOUT")]
    #[arg(default_value_t = text(config::DEFAULT_REQUEST_TIMEOUT))]
    pub request_timeout: String,

    /// From accept to the peer's first SETTINGS; over it the connection is closed
    #[arg(long, value_name = "DUR", env = "GREET_HANDSHAKE_TIMEOUT")]
    #[arg(default_value_t = text(config::DEFAULT_HANDSHAKE_TIMEOUT))]
    pub handshake_timeout: String,

    /// How often a peer is asked whether it is there (HTTP/2 PING); 0s turns it off
    #[arg(long, value_name = "DUR", env = "GREET_KEEPALIVE_INTERVAL")]
    #[arg(default_value_t = text(config::DEFAULT_KEEPALIVE_INTERVAL))]
    pub keepalive_interval: String,

    /// Time to answer that, and to acknowledge what was sent (TCP_USER_TIMEOUT)
    #[arg(long, value_name = "DUR", env = "GREET_KEEPALIVE_TIMEOUT")]
    #[arg(default_value_t = text(config::DEFAULT_KEEPALIVE_TIMEOUT))]
    pub keepalive_timeout: String,

    /// After this (10 % more or less) a connection is told to go with a GOAWAY [default: off]
    #[arg(long, value_name = "DUR", env = "GREET_MAX_CONNECTION_AGE")]
    pub max_connection_age: Option<String>,

    /// From that GOAWAY until what is left of the connection is cut
    #[arg(long, value_name = "DUR", env = "GREET_MAX_CONNECTION_AGE_GRACE")]
    #[arg(default_value_t = text(config::DEFAULT_MAX_CONNECTION_AGE_GRACE))]
    pub max_connection_age_grace: String,

    /// After this without a call a connection is told to go with a GOAWAY [default: off]
    #[arg(long, value_name = "DUR", env = "GREET_MAX_CONNECTION_IDLE")]
    pub max_connection_idle: Option<String>,
}

/// How long leaving may take.
#[derive(Debug, Args)]
#[command(next_help_heading = "Leaving")]
pub struct DrainFlags {
    /// Lame-duck time: after the first signal health says NOT_SERVING, all else goes on
    #[arg(long, value_name = "DUR", env = "GREET_DRAIN_DELAY")]
    #[arg(default_value_t = text(config::DEFAULT_DRAIN_DELAY))]
    pub drain_delay: String,

    /// From GOAWAY until what is left is cut
    #[arg(long, value_name = "DUR", env = "GREET_DRAIN_TIMEOUT")]
    #[arg(default_value_t = text(config::DEFAULT_DRAIN_TIMEOUT))]
    pub drain_timeout: String,
}

/// What is told, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogFlags {
    /// text or json [default: text on a terminal, json elsewhere]
    #[arg(long, value_name = "FORMAT", env = "GREET_LOG_FORMAT")]
    pub log_format: Option<String>,

    /// error, warn, info, debug, trace or off; or target=level pairs
    #[arg(long, value_name = "FILTER", env = "GREET_LOG_LEVEL")]
    #[arg(default_value = config::DEFAULT_LOG_LEVEL)]
    pub log_level: String,

    /// off, errors or all: which calls get a line of their own, with method, status, time and peer
    #[arg(long, value_name = "CALLS", env = "GREET_ACCESS_LOG")]
    #[arg(default_value = config::DEFAULT_ACCESS_LOG)]
    pub access_log: String,

    /// Collector that gets a span a call, OTLP over gRPC, as in http://localhost:4317 [default: what
    /// OTEL_EXPORTER_OTLP_ENDPOINT says, or off]
    #[arg(long, value_name = "URL", env = "GREET_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

/// The flags that a file may have as keys, in help's order, each with its name.
pub(crate) fn keys(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    let flags = command.get_arguments().filter(|flag| {
        let heading = flag.get_help_heading();
        heading.is_some_and(|heading| heading != ABOUT_VALUES)
    });
    flags.filter_map(|flag| Some((flag.get_long()?, flag)))
}

/// Help never shows what a variable holds (it may be a secret); and a variable that is empty is not
/// set, as scripts mean it that write `GREET_LISTEN=${LISTEN:-}`.
fn house_rules(flag: Arg) -> Arg {
    let flag = flag.hide_env_values(true);
    let variable = flag.get_env().map(ToOwned::to_owned);
    let value = variable.and_then(std::env::var_os);
    if value.is_some_and(|value| value.is_empty()) { flag.env(None::<&str>) } else { flag }
}

/// What a variable says of a flag without a value. A word that is neither is refused: a typing error must
/// not turn anything on.
#[derive(Debug, Clone, Copy)]
struct Switch;

impl TypedValueParser for Switch {
    type Value = bool;

    fn parse_ref(
        &self,
        command: &Command,
        flag: Option<&Arg>,
        given: &OsStr,
    ) -> Result<bool, clap::Error> {
        BoolishValueParser::new().parse_ref(command, flag, given).map_err(|_| {
            let variable = flag.and_then(Arg::get_env).unwrap_or_default().display();
            let problem = format!("{variable}: {given:?} is neither true nor false\n");
            clap::Error::raw(ErrorKind::InvalidValue, problem)
        })
    }
}

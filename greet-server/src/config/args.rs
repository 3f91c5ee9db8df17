//! The flags of the server itself, in the groups of the help text, and the command line of a daemon with
//! them.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Arg, Args, Command, Parser};
use greet_flags::usage::with_hyphen_value;
use greet_flags::values::{number, switch};
use greet_flags::variables;
use http::HeaderValue;

use super::faults::{FaultRule, parse_seed};
use super::sources::Sources;
use super::values::{OFF, OrOff, OtlpEndpoint, admin_address, instance, or_off, origin};
use super::{
    ClientAuth, Config, DEFAULT_LISTEN, DEFAULT_TLS_CLIENT_AUTH, DrainTimes, Limits, ListenAddr,
    LogConfig,
};

/// Above the number of cores of any machine.
const MAX_WORKERS: NonZeroUsize = NonZeroUsize::new(1_024).expect("above zero");

const EXIT_CODES: &str = "\
Exit codes:
  0  stopped; every accepted call was answered
  1  could not start, or failed while serving
  2  invalid flags or configuration
  3  stopped; the drain timeout or a second signal cut calls";

/// The command line of a daemon: [`ServerFlags`], flattened, and the flags of its own services.
pub trait CommandLine: Parser {
    /// Rejects values that contradict each other or the configuration of the server. The error is one
    /// line, `PLACE: REASON`, with the place from [`Sources::place`].
    ///
    /// # Errors
    /// The values contradict.
    fn check(&self, _config: &Config, _sources: &Sources) -> Result<(), String> {
        Ok(())
    }
}

/// Returns the definition of a command line: its flags with their variables, and the exit codes.
pub fn command<F: CommandLine>() -> Command {
    let command = F::command().after_help(EXIT_CODES).max_term_width(80);
    command.mut_args(|flag| with_hyphen_value(with_variable(flag)))
}

/// Gives each flag its variable, except the actions: a leftover variable must not keep the daemon from
/// serving.
fn with_variable(flag: Arg) -> Arg {
    let is_action = matches!(flag.get_long(), Some("check" | "print-config"));
    if is_action { flag } else { variables::with_variable(flag) }
}

/// The flags of the server itself. The fields are the [`Config`] that [`load`](super::load()) returns.
#[derive(Debug, Args)]
pub struct ServerFlags {
    #[command(flatten)]
    pub(super) actions: ActionFlags,
    #[command(flatten)]
    pub(super) listening: ListenFlags,
    #[command(flatten)]
    pub(super) tls: TlsFlags,
    #[command(flatten)]
    pub(super) service: ServiceFlags,
    #[command(flatten)]
    pub(super) limits: Limits,
    #[command(flatten)]
    pub(super) faults: FaultFlags,
    #[command(flatten)]
    pub(super) drain: DrainTimes,
    #[command(flatten)]
    pub(super) log: LogConfig,

    /// Collector of spans (OTLP over gRPC), such as http://localhost:4317 [default: OTEL_EXPORTER_OTLP_ENDPOINT, or off]
    #[arg(long, value_name = "URL", help_heading = "Logs")]
    pub(super) otlp_endpoint: Option<OtlpEndpoint>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(super) struct ActionFlags {
    /// Configuration file (TOML); flags and environment variables take precedence
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Check the configuration and the TLS files, then exit: 0 if valid, 2 if not
    #[arg(long)]
    pub(super) check: bool,

    /// Print the effective configuration as TOML, then exit
    #[arg(long)]
    pub(super) print_config: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Listening")]
pub(super) struct ListenFlags {
    /// Address to listen on: [SCHEME://]HOST:PORT (port 0 picks a free one) or unix:PATH[?mode=0660]; the scheme is
    /// http or https, by default https if --tls-cert is given; repeat or separate by commas; sockets from a supervisor
    /// (LISTEN_FDS) replace it
    #[arg(long, value_name = "ADDR", value_delimiter = ',', default_value = DEFAULT_LISTEN)]
    pub(super) listen: Vec<ListenAddr>,

    /// Address of the admin server (/livez, /readyz, /metrics, /log-level, /health, /faults), plain HTTP; same form as
    /// --listen, but not https
    #[arg(long, value_name = "ADDR")]
    #[arg(value_parser = or_off(admin_address), default_value = OFF)]
    pub(super) admin_listen: OrOff<ListenAddr>,

    /// Reject changes of log level, health and faults over the admin server
    #[arg(long, value_parser = switch)]
    pub(super) admin_read_only: bool,

    /// Share TCP addresses with another daemon (SO_REUSEPORT), so that one can replace the other
    #[arg(long, value_parser = switch)]
    pub(super) reuse_port: bool,

    /// Print no addresses to standard output; the log has them
    #[arg(long, value_parser = switch)]
    pub(super) no_announce: bool,

    /// Threads that serve connections [default: usable cores]
    #[arg(long, value_name = "N", value_parser = number(NonZeroUsize::MIN..=MAX_WORKERS))]
    #[arg(default_value_t = usable_cores(), hide_default_value = true)]
    pub(super) workers: NonZeroUsize,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(super) struct TlsFlags {
    /// Certificate chain (PEM), leaf first; needs --tls-key; both are reloaded when they change
    #[arg(long, value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert (PEM)
    #[arg(long, value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,

    /// CA bundle for client certificates (PEM); enables mTLS
    #[arg(long, value_name = "FILE")]
    pub(super) tls_client_ca: Option<PathBuf>,

    /// Whether clients must present a certificate
    #[arg(long, value_name = "AUTH", value_enum, default_value_t = DEFAULT_TLS_CLIENT_AUTH)]
    pub(super) tls_client_auth: ClientAuth,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Service")]
pub(super) struct ServiceFlags {
    /// Value of the response header greet-instance
    #[arg(long, value_name = "NAME", value_parser = instance)]
    pub(super) instance: Option<HeaderValue>,

    /// Disable server reflection (grpc.reflection.v1 and v1alpha)
    #[arg(long, value_parser = switch)]
    pub(super) no_reflection: bool,

    /// Serve gRPC-Web over HTTP/1.1 and HTTP/2, for browsers without a proxy
    #[arg(long, value_parser = switch)]
    pub(super) grpc_web: bool,

    /// Origin whose pages may call over gRPC-Web: https://HOST, https://HOST:PORT, or * for all; repeat or separate by
    /// commas; the daemon's own origin is always allowed
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    #[arg(value_parser = or_off(origin), default_value = OFF)]
    pub(super) cors_origin: Vec<OrOff<HeaderValue>>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Faults")]
pub(super) struct FaultFlags {
    /// Fault to inject into calls, such as delay=50ms@10% or METHOD:status=CODE@1%; also delay=MIN..MAX, reset and goaway;
    /// without @PERCENT every call is hit; METHOD is a method or a unique end of it, by default all but those of health
    /// and reflection; repeat or separate by commas
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    #[arg(value_parser = or_off(str::parse::<FaultRule>), default_value = OFF)]
    pub(super) fault: Vec<OrOff<FaultRule>>,

    /// Seed of the random numbers that decide which calls are hit, to repeat a run [default: random]
    #[arg(long, value_name = "N", value_parser = parse_seed)]
    pub(super) fault_seed: Option<u32>,
}

/// Returns the number of cores by CPU affinity and the cgroup's quota.
fn usable_cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

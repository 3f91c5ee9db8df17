//! What can be typed: flags and their environment variables, and the one step from there to a
//! checked [`Config`].
//!
//! Values are taken as text first and parsed by [`Flags::resolve`], because the parser of the
//! command line stops at its first bad value and an operator wants to hear of all of them at once.

use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Arg, Parser};

use crate::check::{Check, text};
use crate::config::{self, ClientCa, Config, DrainTimes, Limits, LogConfig, LogFormat, TlsFiles};
use crate::transport::listener::ListenAddr;

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
    /// Where to listen: HOST:PORT (port 0 picks a free one) or unix:PATH; repeat, or separate by commas
    #[arg(long, value_name = "ADDR", env = "GREET_LISTEN")]
    #[arg(value_delimiter = ',', default_value = config::DEFAULT_LISTEN)]
    pub listen: Vec<String>,

    /// Threads that serve connections [default: the cores this process may use]
    #[arg(long, value_name = "N", env = "GREET_WORKERS")]
    pub workers: Option<String>,

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

    /// Name sent as the header greet-instance with every reply
    #[arg(long, value_name = "NAME", env = "GREET_INSTANCE")]
    pub instance: Option<String>,

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

    /// Largest request message; over it RESOURCE_EXHAUSTED
    #[arg(long, value_name = "N", env = "GREET_MAX_MESSAGE_BYTES")]
    #[arg(default_value_t = config::DEFAULT_MAX_MESSAGE_BYTES.to_string())]
    pub max_message_bytes: String,

    /// Longest name; over it INVALID_ARGUMENT
    #[arg(long, value_name = "N", env = "GREET_MAX_NAME_BYTES")]
    #[arg(default_value_t = config::DEFAULT_MAX_NAME_BYTES.to_string())]
    pub max_name_bytes: String,

    /// Concurrent calls on one connection
    #[arg(long, value_name = "N", env = "GREET_MAX_STREAMS")]
    #[arg(default_value_t = config::DEFAULT_MAX_STREAMS.to_string())]
    pub max_streams: String,

    /// Upper bound on a call, on a stream until its reply begins; the client's grpc-timeout may be shorter
    #[arg(long, value_name = "DUR", env = "GREET_REQUEST_TIMEOUT")]
    #[arg(default_value_t = text(config::DEFAULT_REQUEST_TIMEOUT))]
    pub request_timeout: String,

    /// From accept to the peer's first SETTINGS; over it the connection is closed
    #[arg(long, value_name = "DUR", env = "GREET_HANDSHAKE_TIMEOUT")]
    #[arg(default_value_t = text(config::DEFAULT_HANDSHAKE_TIMEOUT))]
    pub handshake_timeout: String,

    /// Lame-duck time: after the first signal health says NOT_SERVING, all else goes on
    #[arg(long, value_name = "DUR", env = "GREET_DRAIN_DELAY")]
    #[arg(default_value_t = text(config::DEFAULT_DRAIN_DELAY))]
    pub drain_delay: String,

    /// From GOAWAY until what is left is cut
    #[arg(long, value_name = "DUR", env = "GREET_DRAIN_TIMEOUT")]
    #[arg(default_value_t = text(config::DEFAULT_DRAIN_TIMEOUT))]
    pub drain_timeout: String,

    /// Do not serve grpc.reflection.v1 and v1alpha
    #[arg(long, env = "GREET_NO_REFLECTION", value_parser = FalseyValueParser::new())]
    pub no_reflection: bool,

    /// text or json [default: text on a terminal, json elsewhere]
    #[arg(long, value_name = "FORMAT", env = "GREET_LOG_FORMAT")]
    pub log_format: Option<String>,

    /// error, warn, info, debug, trace or off; or target=level pairs
    #[arg(long, value_name = "FILTER", env = "GREET_LOG_LEVEL")]
    #[arg(default_value = config::DEFAULT_LOG_LEVEL)]
    pub log_level: String,
}

impl Flags {
    /// Parses every value and returns the whole configuration, or every problem there is: each a
    /// line that names the flag, its variable, what was given and the form that is expected.
    pub fn resolve(&self) -> Result<Config, Vec<String>> {
        let mut check = Check::default();
        let config = self.checked(&mut check);
        match config {
            Some(config) if check.problems.is_empty() => Ok(config),
            _ => Err(check.problems),
        }
    }

    /// Every field is checked before the first `?`, so that no problem hides another.
    fn checked(&self, check: &mut Check) -> Option<Config> {
        let listen: Vec<_> =
            self.listen.iter().map(|given| check.parse::<ListenAddr>("listen", given)).collect();
        let workers = match &self.workers {
            Some(given) => check.number("workers", given, 1, config::MOST_WORKERS),
            None => Some(available_cores().get()),
        };
        let tls = self.tls(check);
        let instance = self.instance.as_ref().map(|given| check.instance("instance", given));
        let most = config::MOST_CONNECTIONS;
        let max_connections = match &self.max_connections {
            Some(given) => check.number("max-connections", given, 1, most),
            None => Some(affordable_connections(workers.unwrap_or(1))),
        };
        let max_connections_per_ip = self
            .max_connections_per_ip
            .as_ref()
            .map(|given| check.number("max-connections-per-ip", given, 1, most));
        let max_in_flight = check.number("max-in-flight", &self.max_in_flight, 1, most as u64);
        let max_message_bytes = check.number(
            "max-message-bytes",
            &self.max_message_bytes,
            1,
            config::MOST_MESSAGE_BYTES,
        );
        let max_name_bytes =
            check.number("max-name-bytes", &self.max_name_bytes, 0, config::MOST_MESSAGE_BYTES);
        let max_streams = check.number("max-streams", &self.max_streams, 1, config::MOST_STREAMS);
        let request_timeout = check.timeout("request-timeout", &self.request_timeout);
        let handshake_timeout = check.timeout("handshake-timeout", &self.handshake_timeout);
        let delay = check.duration("drain-delay", &self.drain_delay);
        let timeout = check.duration("drain-timeout", &self.drain_timeout);
        let format = match &self.log_format {
            Some(given) => check.log_format("log-format", given),
            None if std::io::stderr().is_terminal() => Some(LogFormat::Text),
            None => Some(LogFormat::Json),
        };
        let filter = check.filter("log-level", &self.log_level);

        Some(Config {
            listen: listen.into_iter().collect::<Option<_>>()?,
            workers: NonZeroUsize::new(workers?)?,
            instance: instance.map_or(Some(None), |instance| instance.map(Some))?,
            limits: Limits {
                max_connections: max_connections?,
                max_connections_per_ip: max_connections_per_ip
                    .map_or(Some(None), |most| most.map(Some))?,
                max_in_flight: max_in_flight?,
                max_message_bytes: max_message_bytes?,
                max_name_bytes: max_name_bytes?,
                max_streams: max_streams?,
                request_timeout: request_timeout?,
                handshake_timeout: handshake_timeout?,
            },
            tls: tls?,
            drain: DrainTimes { delay: delay?, timeout: timeout? },
            reflection: !self.no_reflection,
            log: LogConfig { format: format?, filter: filter? },
        })
    }
}

/// Help never shows what a variable holds (it may be a secret); and a variable that is empty is not
/// set, as scripts mean it that write `GREET_LISTEN=${LISTEN:-}`.
fn house_rules(flag: Arg) -> Arg {
    let flag = flag.hide_env_values(true);
    let variable = flag.get_env().map(ToOwned::to_owned);
    let value = variable.and_then(std::env::var_os);
    if value.is_some_and(|value| value.is_empty()) { flag.env(None::<&str>) } else { flag }
}

impl Flags {
    /// Whether the files are any good is seen when they are read.
    fn tls(&self, check: &mut Check) -> Option<Option<TlsFiles>> {
        let auth = check.client_auth("tls-client-auth", &self.tls_client_auth);
        match (&self.tls_cert, &self.tls_key, &self.tls_client_ca) {
            (Some(cert), Some(key), ca) => {
                let client_ca = match ca {
                    Some(file) => Some(ClientCa { file: file.clone(), auth: auth? }),
                    None => None,
                };
                Some(Some(TlsFiles { cert: cert.clone(), key: key.clone(), client_ca }))
            }
            (Some(cert), None, _) => check.lacks("tls-cert", cert, "--tls-key"),
            (None, Some(key), _) => check.lacks("tls-key", key, "--tls-cert"),
            (None, None, Some(ca)) => check.lacks("tls-client-ca", ca, "--tls-cert and --tls-key"),
            (None, None, None) => Some(None),
        }
    }
}

/// What the kernel lets this process use: affinity and cgroup quota are taken into account.
fn available_cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// As many as the process may have descriptors for, less those that it needs itself.
fn affordable_connections(workers: usize) -> usize {
    let reserved = config::RESERVED_DESCRIPTORS + workers * config::RESERVED_DESCRIPTORS_PER_WORKER;
    let left = descriptor_limit().saturating_sub(reserved).max(1);
    left.min(config::DEFAULT_MOST_CONNECTIONS)
}

#[cfg(unix)]
fn descriptor_limit() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn descriptor_limit() -> usize {
    usize::MAX
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn resolve(arguments: &[&str]) -> Result<Config, Vec<String>> {
        let arguments = [&["greet-server"], arguments].concat();
        Flags::try_parse_from(arguments).unwrap().resolve()
    }

    #[test]
    fn the_defaults_are_valid() {
        let resolved = resolve(&[]).unwrap();
        assert_eq!(resolved.listen, [config::DEFAULT_LISTEN.parse().unwrap()]);
        assert_eq!(resolved.limits.request_timeout, Duration::from_secs(30));
        assert!(resolved.reflection);
    }

    #[test]
    fn a_typing_error_in_the_log_level_is_not_taken_for_silence() {
        for good in ["info", "off", "warn,h2=debug", "greet_server=trace"] {
            assert!(resolve(&["--log-level", good]).is_ok(), "{good}");
        }
        for bad in ["", "inof", "warning", "info,inof", "h2=loud"] {
            assert!(resolve(&["--log-level", bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_bad_values_are_reported_at_once_with_the_form_that_is_expected() {
        let problems = resolve(&[
            "--listen=nowhere",
            "--workers=0",
            "--instance=a\tb",
            "--max-connections=0",
            "--max-connections-per-ip=few",
            "--max-in-flight=-1",
            "--max-message-bytes=64k",
            "--max-name-bytes=-1",
            "--max-streams=many",
            "--request-timeout=0s",
            "--handshake-timeout=soon",
            "--drain-delay=5",
            "--drain-timeout=25h",
            "--log-format=xml",
            "--log-level=h2=loud",
        ])
        .unwrap_err();
        assert_eq!(
            problems,
            [
                r#"--listen (GREET_LISTEN): "nowhere" is not HOST:PORT or unix:PATH"#,
                r#"--workers (GREET_WORKERS): "0" is not a whole number from 1 to 1024"#,
                r#"--instance (GREET_INSTANCE): "a\tb" is not a name of 1 to 256 printable ASCII characters"#,
                r#"--max-connections (GREET_MAX_CONNECTIONS): "0" is not a whole number from 1 to 1000000"#,
                r#"--max-connections-per-ip (GREET_MAX_CONNECTIONS_PER_IP): "few" is not a whole number from 1 to 1000000"#,
                r#"--max-in-flight (GREET_MAX_IN_FLIGHT): "-1" is not a whole number from 1 to 1000000"#,
                r#"--max-message-bytes (GREET_MAX_MESSAGE_BYTES): "64k" is not a whole number from 1 to 67108864"#,
                r#"--max-name-bytes (GREET_MAX_NAME_BYTES): "-1" is not a whole number from 0 to 67108864"#,
                r#"--max-streams (GREET_MAX_STREAMS): "many" is not a whole number from 1 to 1000000"#,
                r#"--request-timeout (GREET_REQUEST_TIMEOUT): "0s" is not a duration above zero"#,
                r#"--handshake-timeout (GREET_HANDSHAKE_TIMEOUT): "soon" is not a duration such as 250ms, 5s or 1m, at most 1day"#,
                r#"--drain-delay (GREET_DRAIN_DELAY): "5" is not a duration such as 250ms, 5s or 1m, at most 1day"#,
                r#"--drain-timeout (GREET_DRAIN_TIMEOUT): "25h" is not a duration such as 250ms, 5s or 1m, at most 1day"#,
                r#"--log-format (GREET_LOG_FORMAT): "xml" is not text or json"#,
                r#"--log-level (GREET_LOG_LEVEL): "h2=loud" is not error, warn, info, debug, trace or off, or pairs such as h2=debug"#,
            ]
        );
    }
}

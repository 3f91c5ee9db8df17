//! From flags to a configuration: one step, which finds every problem that there is.

use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::config::args::{DrainFlags, Flags, LimitFlags, LogFlags, ServiceFlags, TlsFlags};
use crate::config::listen_addr::ListenAddr;
use crate::config::values::Check;
use crate::config::{
    self, ClientCa, Config, DrainTimes, Limits, LogConfig, LogFormat, OtlpEndpoint, TlsFiles,
    WebConfig,
};

/// For what has no default.
const OFF: &str = "off";

impl Flags {
    /// Parses every value and returns the whole configuration, or every problem there is: each a
    /// line that names the flag, its variable, what was given and the form that is expected.
    ///
    /// The file of `--config` is for [`Settings`](super::load::Settings) to read.
    pub fn resolve(&self) -> Result<Config, Vec<String>> {
        let mut check = Check::default();
        let config = self.checked(&mut check);
        check.done(config)
    }

    /// Here and below, every value is checked before the first `?`, so that no problem hides another.
    pub(crate) fn checked(&self, check: &mut Check) -> Option<Config> {
        let listen = self.listening.listen.iter();
        let listen: Vec<_> =
            listen.map(|given| check.parse::<ListenAddr>("listen", given)).collect();
        let admin_listen = unless_off(&self.listening.admin_listen);
        check.once("listen", self.listening.listen.iter().chain(admin_listen));
        let workers = match &self.listening.workers {
            Some(given) => check.number("workers", given, 1, config::MOST_WORKERS),
            None => Some(available_cores().get()),
        };
        let admin = admin_listen.map(|given| check.parse::<ListenAddr>("admin-listen", given));
        let instance = self.service.instance.as_ref();
        let instance = instance.map(|given| check.instance("instance", given));
        let web = web(&self.service, check);
        let tls = tls(&self.tls, self.service.grpc_web, check);
        let limits = limits(&self.limits, workers.unwrap_or(1), check);
        let drain = drain(&self.drain, check);
        let log_config = log(&self.log, check);
        let otlp = otlp_endpoint(&self.log, check);
        Some(Config {
            listen: listen.into_iter().collect::<Option<_>>()?,
            admin_listen: given(admin)?,
            reuse_port: self.listening.reuse_port,
            workers: NonZeroUsize::new(workers?)?,
            tls: tls?,
            instance: given(instance)?,
            reflection: !self.service.no_reflection,
            limits: limits?,
            drain: drain?,
            web: web?,
            log: log_config?,
            otlp_endpoint: given(otlp)?,
        })
    }
}

fn web(flags: &ServiceFlags, check: &mut Check) -> Option<Option<WebConfig>> {
    let origins = match flags.cors_origin.as_slice() {
        [only] if only == OFF => &[],
        origins => origins,
    };
    if let (false, Some(origin)) = (flags.grpc_web, origins.first()) {
        return check.lacks("cors-origin", origin, "--grpc-web");
    }
    let origins = origins.iter().map(|given| check.origin("cors-origin", given));
    let origins = origins.collect::<Vec<_>>().into_iter().collect::<Option<_>>()?;
    Some(flags.grpc_web.then_some(WebConfig { origins }))
}

/// Whether the files are any good is seen when they are read.
pub(crate) fn tls(flags: &TlsFlags, http1: bool, check: &mut Check) -> Option<Option<TlsFiles>> {
    let auth = check.client_auth("tls-client-auth", &flags.tls_client_auth);
    match (&flags.tls_cert, &flags.tls_key, &flags.tls_client_ca) {
        (Some(cert), Some(key), ca) => {
            let ca = ca.as_ref().map(|file| Some(ClientCa { file: file.clone(), auth: auth? }));
            let client_ca = given(ca)?;
            Some(Some(TlsFiles { cert: cert.clone(), key: key.clone(), http1, client_ca }))
        }
        (Some(cert), None, _) => check.lacks("tls-cert", cert.display(), "--tls-key"),
        (None, Some(key), _) => check.lacks("tls-key", key.display(), "--tls-cert"),
        (None, None, Some(ca)) => {
            check.lacks("tls-client-ca", ca.display(), "--tls-cert and --tls-key")
        }
        (None, None, None) => Some(None),
    }
}

fn limits(flags: &LimitFlags, workers: usize, check: &mut Check) -> Option<Limits> {
    let most = config::MOST_CONNECTIONS;
    let max_connections = match &flags.max_connections {
        Some(given) => check.number("max-connections", given, 1, most),
        None => Some(affordable_connections(workers)),
    };
    let per_ip = unless_off(&flags.max_connections_per_ip);
    let per_ip = per_ip.map(|given| check.number("max-connections-per-ip", given, 1, most));
    let in_flight = check.number("max-in-flight", &flags.max_in_flight, 1, most as u64);
    let streams = check.number("max-streams", &flags.max_streams, 1, config::MOST_STREAMS);
    let most = config::MOST_MESSAGE_BYTES;
    let message_bytes = check.number("max-message-bytes", &flags.max_message_bytes, 1, most);
    let name_bytes = check.number("max-name-bytes", &flags.max_name_bytes, 0, most);
    let request_timeout = check.timeout("request-timeout", &flags.request_timeout);
    let handshake_timeout = check.timeout("handshake-timeout", &flags.handshake_timeout);
    let keepalive = off_at_zero(check.duration("keepalive-interval", &flags.keepalive_interval));
    let keepalive_timeout = check.timeout("keepalive-timeout", &flags.keepalive_timeout);
    let age = unless_off(&flags.max_connection_age);
    let age = age.map(|given| check.timeout("max-connection-age", given));
    let age_grace = check.duration("max-connection-age-grace", &flags.max_connection_age_grace);
    let idle = unless_off(&flags.max_connection_idle);
    let idle = idle.map(|given| check.timeout("max-connection-idle", given));
    Some(Limits {
        max_connections: max_connections?,
        max_connections_per_ip: given(per_ip)?,
        max_in_flight: in_flight?,
        max_streams: streams?,
        max_message_bytes: message_bytes?,
        max_name_bytes: name_bytes?,
        request_timeout: request_timeout?,
        handshake_timeout: handshake_timeout?,
        keepalive_interval: keepalive?,
        keepalive_timeout: keepalive_timeout?,
        max_connection_age: given(age)?,
        max_connection_age_grace: age_grace?,
        max_connection_idle: given(idle)?,
    })
}

fn drain(flags: &DrainFlags, check: &mut Check) -> Option<DrainTimes> {
    let delay = check.duration("drain-delay", &flags.drain_delay);
    let timeout = check.duration("drain-timeout", &flags.drain_timeout);
    Some(DrainTimes { delay: delay?, timeout: timeout? })
}

fn log(flags: &LogFlags, check: &mut Check) -> Option<LogConfig> {
    let format = match &flags.log_format {
        Some(given) => check.log_format("log-format", given),
        None if std::io::stderr().is_terminal() => Some(LogFormat::Text),
        None => Some(LogFormat::Json),
    };
    let filter = check.filter("log-level", &flags.log_level);
    let access = check.access_log("access-log", &flags.access_log);
    Some(LogConfig { format: format?, filter: filter?, access: access? })
}

fn otlp_endpoint(flags: &LogFlags, check: &mut Check) -> Option<Option<OtlpEndpoint>> {
    let given = flags.otlp_endpoint.as_ref()?;
    if given == OFF {
        return Some(Some(OtlpEndpoint::Off));
    }
    Some(check.endpoint("otlp-endpoint", given))
}

/// So that what a file sets can be unset by a variable, and what that sets by a flag.
fn unless_off(given: &Option<String>) -> Option<&String> {
    given.as_ref().filter(|given| *given != OFF)
}

fn off_at_zero(checked: Option<Duration>) -> Option<Option<Duration>> {
    checked.map(|duration| (!duration.is_zero()).then_some(duration))
}

/// A flag without a default: not given, or given and good; the outer `None` is given and bad.
fn given<T>(checked: Option<Option<T>>) -> Option<Option<T>> {
    checked.map_or(Some(None), |value| value.map(Some))
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
    use clap::Parser as _;

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
        for good in ["info", "off", "warn, h2=debug", "greet_server=trace"] {
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
            "--keepalive-interval=often",
            "--keepalive-timeout=0s",
            "--max-connection-age=0s",
            "--max-connection-age-grace=long",
            "--max-connection-idle=0s",
            "--admin-listen=9090",
            "--cors-origin=shop.example",
            "--drain-delay=5",
            "--drain-timeout=25h",
            "--log-format=xml",
            "--log-level=h2=loud",
            "--access-log=some",
            "--otlp-endpoint=localhost:4317",
        ])
        .unwrap_err();
        assert_eq!(
            problems,
            [
                r#"--listen (GREET_LISTEN): "nowhere" is not HOST:PORT or unix:PATH"#,
                r#"--workers (GREET_WORKERS): "0" is not a whole number from 1 to 1024"#,
                r#"--admin-listen (GREET_ADMIN_LISTEN): "9090" is not HOST:PORT or unix:PATH"#,
                r#"--instance (GREET_INSTANCE): "a\tb" is not a name of 1 to 256 printable ASCII characters"#,
                r#"--cors-origin (GREET_CORS_ORIGIN): `shop.example` needs --grpc-web too"#,
                r#"--max-connections (GREET_MAX_CONNECTIONS): "0" is not a whole number from 1 to 1000000"#,
                r#"--max-connections-per-ip (GREET_MAX_CONNECTIONS_PER_IP): "few" is not a whole number from 1 to 1000000"#,
                r#"--max-in-flight (GREET_MAX_IN_FLIGHT): "-1" is not a whole number from 1 to 1000000"#,
                r#"--max-streams (GREET_MAX_STREAMS): "many" is not a whole number from 1 to 1000000"#,
                r#"--max-message-bytes (GREET_MAX_MESSAGE_BYTES): "64k" is not a whole number from 1 to 67108864"#,
                r#"--max-name-bytes (GREET_MAX_NAME_BYTES): "-1" is not a whole number from 0 to 67108864"#,
                r#"--request-timeout (GREET_REQUEST_TIMEOUT): "0s" is not a duration above zero"#,
                r#"--handshake-timeout (GREET_HANDSHAKE_TIMEOUT): "soon" is not a duration such as 250ms, 5s or 1m, at most 1day"#,
                r#"--keepalive-interval (GREET_KEEPALIVE_INTERVAL): "often" is not a duration such as 250ms, 5s or 1m, at most 1day"#,
                r#"--keepalive-timeout (GREET_KEEPALIVE_TIMEOUT): "0s" is not a duration above zero"#,
                r#"--max-connection-age (GREET_MAX_CONNECTION_AGE): "0s" is not a duration above zero"#,
                r#"--max-connection-age-grace (GREET_MAX_CONNECTION_AGE_GRACE): "long" is not a duration such as 250ms, 5s or 1m, at most 1day"#,
                r#"--max-connection-idle (GREET_MAX_CONNECTION_IDLE): "0s" is not a duration above zero"#,
                r#"--drain-delay (GREET_DRAIN_DELAY): "5" is not a duration such as 250ms, 5s or 1m, at most 1day"#,
                r#"--drain-timeout (GREET_DRAIN_TIMEOUT): "25h" is not a duration such as 250ms, 5s or 1m, at most 1day"#,
                r#"--log-format (GREET_LOG_FORMAT): "xml" is not text or json"#,
                r#"--log-level (GREET_LOG_LEVEL): "h2=loud" is not error, warn, info, debug, trace or off, or pairs such as h2=debug"#,
                r#"--access-log (GREET_ACCESS_LOG): "some" is not off, errors or all"#,
                r#"--otlp-endpoint (GREET_OTLP_ENDPOINT): "localhost:4317" is not a URL such as http://localhost:4317"#,
            ]
        );
    }
}

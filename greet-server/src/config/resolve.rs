//! Turns the parsed flags into the configuration: adds the defaults that depend on other values,
//! and checks values against each other.

use std::collections::BTreeSet;

use super::args::{ListenFlags, ServerFlags, ServiceFlags, TlsFlags};
use super::memory;
use super::sources::Sources;
use super::values::{OFF, OrOff};
use super::{
    ClientCa, Config, DEFAULT_MAX_CONNECTIONS, FaultConfig, Limits, OtlpEndpoint, TlsFiles,
    WebConfig,
};

/// Descriptors of the process itself: standard streams, listeners, TLS files.
const RESERVED_DESCRIPTORS: usize = 32;
/// Descriptors of a worker: its poller and waker.
const RESERVED_DESCRIPTORS_PER_WORKER: usize = 4;

/// Returns the configuration, or one line with the place of a contradiction.
pub(super) fn resolve(flags: ServerFlags, sources: &Sources) -> Result<Config, String> {
    check_unique(&flags.listening, sources)?;
    let workers = flags.listening.workers;
    let limits = limits(flags.limits, workers.get(), flags.tls.tls_cert.is_some(), sources);
    let config = Config {
        tls: tls(flags.tls, flags.service.grpc_web, sources)?,
        limits,
        reflection: !flags.service.no_reflection,
        instance: flags.service.instance.clone(),
        web: web(flags.service, sources)?,
        faults: FaultConfig {
            rules: list(flags.faults.fault, "fault", sources)?,
            seed: flags.faults.fault_seed,
        },
        drain: flags.drain,
        log: flags.log,
        otlp_endpoint: flags.otlp_endpoint.unwrap_or(OtlpEndpoint::Off),
        listen: flags.listening.listen,
        reuse_port: flags.listening.reuse_port,
        admin_listen: flags.listening.admin_listen,
        admin_read_only: flags.listening.admin_read_only,
        announce: !flags.listening.no_announce,
        workers,
    };
    if let Some(address) = config.address_without_tls() {
        let (place, address) = (sources.place("listen"), address.to_string());
        return Err(format!("{place}: {address:?} needs --tls-cert as well"));
    }
    Ok(config)
}

/// Rejects an address that is listed twice. Port 0 is another port each time.
fn check_unique(flags: &ListenFlags, sources: &Sources) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let listen = flags.listen.iter().map(|address| ("listen", address));
    let admin = flags.admin_listen.iter().map(|address| ("admin-listen", address));
    let addresses = listen.chain(admin).map(|(key, address)| (key, address.bare().to_string()));
    let mut fixed = addresses.filter(|(_, address)| !address.ends_with(":0"));
    match fixed.find(|(_, address)| !seen.insert(address.clone())) {
        Some((key, twice)) => Err(format!("{}: {twice:?} is listed twice", sources.place(key))),
        None => Ok(()),
    }
}

/// Returns the values of a list, which is empty if it is `off`.
fn list<T>(values: Vec<OrOff<T>>, key: &str, sources: &Sources) -> Result<Vec<T>, String> {
    if values.len() > 1 && values.iter().any(Option::is_none) {
        return Err(format!("{}: {OFF} excludes other values", sources.place(key)));
    }
    Ok(values.into_iter().flatten().collect())
}

fn tls(flags: TlsFlags, http1: bool, sources: &Sources) -> Result<Option<TlsFiles>, String> {
    let needs = |key, other| Err(format!("{}: needs --{other} as well", sources.place(key)));
    // A file from --print-config always has this key.
    if flags.tls_client_ca.is_none() && sources.is_typed("tls-client-auth") {
        return needs("tls-client-auth", "tls-client-ca");
    }
    match (flags.tls_cert, flags.tls_key, flags.tls_client_ca) {
        (Some(cert), Some(key), ca) => {
            let client_ca = ca.map(|file| ClientCa { file, auth: flags.tls_client_auth });
            Ok(Some(TlsFiles { cert, key, http1, client_ca }))
        }
        (Some(_), None, _) => needs("tls-cert", "tls-key"),
        (None, Some(_), _) => needs("tls-key", "tls-cert"),
        (None, None, Some(_)) => needs("tls-client-ca", "tls-cert"),
        (None, None, None) => Ok(None),
    }
}

fn web(flags: ServiceFlags, sources: &Sources) -> Result<Option<WebConfig>, String> {
    let origins = list(flags.cors_origin, "cors-origin", sources)?;
    if !flags.grpc_web && !origins.is_empty() {
        return Err(format!("{}: needs --grpc-web as well", sources.place("cors-origin")));
    }
    Ok(flags.grpc_web.then_some(WebConfig { origins }))
}

fn limits(mut limits: Limits, workers: usize, is_tls: bool, sources: &Sources) -> Limits {
    if !sources.is_given("max-connections") {
        let by_memory = memory::affordable_connections(limits.memory_limit, is_tls);
        limits.max_connections = openable_connections(workers).min(by_memory);
    }
    limits
}

/// Returns the connections for which the process may open descriptors.
fn openable_connections(workers: usize) -> usize {
    let reserved = RESERVED_DESCRIPTORS + workers * RESERVED_DESCRIPTORS_PER_WORKER;
    descriptor_limit().saturating_sub(reserved).clamp(1, DEFAULT_MAX_CONNECTIONS)
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

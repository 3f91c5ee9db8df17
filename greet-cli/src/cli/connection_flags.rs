//! Global flags: connection, TLS and output.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use clap::{ColorChoice, ValueHint};
use greet_flags::values::{duration, number, switch, timeout};
use http::uri::Authority;
use rustls::pki_types::ServerName;
use tokio::time::Instant;
use tonic::Code;

use super::values::{StatusParser, authority, server_name};
use crate::client::{CallOptions, CommonHeaders, RetryPolicy, TRACEPARENT, Trace, metadata};
use crate::connect::{Proxy, Target, Tls};
use crate::output::{Format, Verbosity};

/// The default address of greet-server.
const DEFAULT_TARGET: &str = "http://127.0.0.1:50051";
/// Thousands of times the duration of a call, and acceptable to a person at a terminal.
const DEFAULT_TIMEOUT: &str = "5s";
/// Not a doc comment, in which brackets are links.
const TARGET_HELP: &str = "Server: http://HOST:PORT, https://HOST[:PORT], HOST[:PORT], :PORT or \
    unix:PATH; dns:///NAME[:PORT] and dns+https:///NAME[:PORT] balance calls over all addresses of \
    NAME; repeat or separate by commas to use several targets in turn";
/// More retries than this are a case for `--wait`.
const MAX_RETRIES: u32 = 1_000;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    #[arg(long, global = true, value_name = "TARGET", help = TARGET_HELP)]
    #[arg(default_value = DEFAULT_TARGET, value_delimiter = ',', value_hint = ValueHint::Hostname)]
    pub(crate) target: Vec<Target>,

    /// Name for the server (:authority), and over TLS the default of --server-name [default: that of --target; localhost for unix:PATH]
    #[arg(long, global = true, value_name = "NAME")]
    #[arg(value_parser = authority, value_hint = ValueHint::Hostname)]
    pub(crate) authority: Option<Authority>,

    /// Timeout of a call, from the name lookup to the reply; also sent as grpc-timeout
    #[arg(long, global = true, value_name = "DUR")]
    #[arg(default_value = DEFAULT_TIMEOUT, value_parser = timeout)]
    pub(crate) timeout: Duration,

    /// Timeout of connecting (dns, tcp, proxy, tls, http2) [default: the rest of --timeout]
    #[arg(long, global = true, value_name = "DUR", value_parser = timeout)]
    pub(crate) connect_timeout: Option<Duration>,

    /// Maximum wait until the server is reachable and, for health, SERVING
    #[arg(long, global = true, value_name = "DUR", default_value = "0s", value_parser = duration)]
    pub(crate) wait: Duration,

    /// Maximum retries of a call that the server cannot have executed, or that failed with a status of --retry-on
    #[arg(long, global = true, value_name = "N")]
    #[arg(default_value = "0", value_parser = number(0..=MAX_RETRIES))]
    pub(crate) retries: u32,

    /// Statuses to retry, such as UNAVAILABLE,RESOURCE_EXHAUSTED; the server may execute the call twice
    #[arg(long, global = true, value_name = "STATUS")]
    #[arg(value_delimiter = ',', value_parser = StatusParser, hide_possible_values = true)]
    pub(crate) retry_on: Vec<Code>,

    /// Metadata 'key: value'; base64 for a key that ends in -bin; @FILE reads the value from a file; repeat or separate by newlines
    #[arg(short = 'H', long, global = true, value_name = "HEADER", value_delimiter = '\n')]
    pub(crate) header: Vec<String>, // parsed later: errors of clap quote the value, which may be secret

    /// Send a traceparent (W3C Trace Context) with each call, and print the trace ID
    #[arg(long, global = true, value_parser = switch)]
    pub(crate) trace: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS (https:// and dns+https:/// targets)")]
pub(crate) struct TlsArgs {
    /// CA bundle (PEM) that replaces the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,

    /// Client certificate chain (PEM), leaf first; needs --key
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,

    /// Private key of --cert (PEM)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    /// Name to send (SNI), to verify in the certificate, and to use as authority [default: the host of --authority or --target]
    #[arg(long, global = true, value_name = "NAME")]
    #[arg(value_parser = server_name, value_hint = ValueHint::Hostname)]
    pub(crate) server_name: Option<ServerName<'static>>,

    /// Skip the verification of the server's certificate
    #[arg(long, global = true, value_parser = switch)]
    pub(crate) insecure: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Form of standard output: text (escaped, one reply per line) or json (one object per call, on failure too)
    #[arg(long, global = true, value_name = "FORMAT")]
    #[arg(default_value = "text", hide_possible_values = true)]
    pub(crate) output: Format,

    /// Color of errors, hints and diagnose; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value = "auto")]
    pub(crate) color: ColorChoice,

    /// Report each attempt of a call on standard error: stages, request and reply headers; credentials are redacted; with --count only the number of failures, of retries, and of calls by server
    #[arg(short, long, global = true, value_parser = switch)]
    pub(crate) verbose: bool,

    /// Write nothing to standard error
    #[arg(short, long, global = true, value_parser = switch)]
    pub(crate) quiet: bool,
}

impl ConnectionArgs {
    /// Fails if a file is not readable or malformed, if the proxy of the environment is not usable, or if
    /// two flags contradict each other.
    pub(crate) fn call_options(&self, tls: &TlsArgs) -> anyhow::Result<CallOptions> {
        let metadata = metadata::resolve(&self.header)?;
        anyhow::ensure!(
            !(self.trace && metadata.headers.contains_key(TRACEPARENT)),
            "--trace: cannot be used with --header traceparent"
        );
        let read_tls = || {
            let identity = tls.cert.as_deref().zip(tls.key.as_deref());
            let server_name = self.server_name(tls)?;
            Tls::new(tls.ca_cert.as_deref(), identity, server_name, tls.insecure)
                .map_err(anyhow::Error::msg)
        };
        let proxy = Proxy::from_environment(&self.target).map_err(anyhow::Error::msg)?;
        let needs_tls = self.target.iter().any(Target::is_tls);
        Ok(CallOptions {
            authority: self.authority.clone(),
            headers: CommonHeaders::new(metadata, self.timeout),
            proxy: proxy.map(Arc::new),
            tls: needs_tls.then(read_tls).transpose()?.map(Arc::new),
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            retries: RetryPolicy { max_retries: self.retries, codes: self.retry_on.clone() },
            trace: self.trace.then(Trace::new),
            overall_deadline: Some(Instant::now() + self.wait + self.timeout),
            keeps_requests: false,
        })
    }

    /// Returns the name to verify: `--authority` names the server, as in grpcurl, and
    /// `--server-name` its certificate if that has another name.
    fn server_name(&self, tls: &TlsArgs) -> anyhow::Result<Option<ServerName<'static>>> {
        let Some(authority) = self.authority.as_ref().filter(|_| tls.server_name.is_none()) else {
            return Ok(tls.server_name.clone());
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned());
        name.map(Some).map_err(|_| {
            anyhow!("--authority: {host:?} cannot be in a certificate; use --server-name as well")
        })
    }
}

impl OutputArgs {
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Verbose,
            (false, false) => Verbosity::Normal,
        }
    }
}

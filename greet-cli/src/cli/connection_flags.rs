//! The flags that go with every command: where to, how long, as whom, and in which form it is told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::time::Instant;
use tonic::Code;

use super::values::{duration, number, server_name, status_code, switch, timeout};
use crate::client::{CallOptions, RetryPolicy, TRACEPARENT, Trace, headers, metadata};
use crate::connect::{Target, Tls};
use crate::output::{Format, Verbosity};

/// Where the daemon listens unless it was told otherwise.
const DEFAULT_TARGET: &str = "http://127.0.0.1:50051";
/// Thousands of times what a greeting takes, and still within the patience of a person.
const DEFAULT_TIMEOUT: &str = "5s";
/// Who repeats more often than this wants `--wait`.
const MAX_RETRIES: u32 = 1_000;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// The server: http://HOST:PORT, https://HOST:PORT, HOST:PORT or unix:PATH; or all addresses of a name: dns:///NAME:PORT (without a port 50051), over TLS dns+https:///NAME:PORT (443); repeat, or separate by commas, for calls in turn
    #[arg(long, global = true, value_name = "TARGET")]
    #[arg(default_value = DEFAULT_TARGET, value_delimiter = ',')]
    pub(crate) target: Vec<Target>,

    /// Time for a call, from the name look-up to the reply; also sent as grpc-timeout
    #[arg(long, global = true, value_name = "DUR")]
    #[arg(default_value = DEFAULT_TIMEOUT, value_parser = timeout)]
    pub(crate) timeout: Duration,

    /// Time for connecting alone (dns, tcp, tls, http2) [default: what --timeout leaves]
    #[arg(long, global = true, value_name = "DUR")]
    #[arg(value_parser = timeout)]
    pub(crate) connect_timeout: Option<Duration>,

    /// Keep trying for this long until the server is reachable and, for health, SERVING
    #[arg(long, global = true, value_name = "DUR")]
    #[arg(default_value = "0s", value_parser = duration)]
    pub(crate) wait: Duration,

    /// Try a call again that the server cannot have executed, or that ended as --retry-on says
    #[arg(long, global = true, value_name = "N")]
    #[arg(default_value = "0", value_parser = number(0..=MAX_RETRIES))]
    pub(crate) retries: u32,

    /// Statuses to repeat a call after, such as UNAVAILABLE,RESOURCE_EXHAUSTED: it may be executed twice
    #[arg(long, global = true, value_name = "STATUS")]
    #[arg(value_delimiter = ',', value_parser = status_code)]
    pub(crate) retry_on: Vec<Code>,

    /// Metadata 'key: value'; a -bin key takes base64, @FILE reads the value; repeat, or a line each
    #[arg(short = 'H', long, global = true, value_name = "HEADER")]
    #[arg(value_delimiter = '\n')]
    pub(crate) header: Vec<String>, // parsed later: clap would print a value that may be a secret

    /// Send a traceparent with each call (W3C Trace Context), and tell the trace's id
    #[arg(long, global = true)]
    #[arg(value_parser = switch)]
    pub(crate) trace: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS, for https:// and dns+https:/// targets")]
pub(crate) struct TlsArgs {
    /// Trust the CAs in this PEM file instead of the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,

    /// Client certificate and those that lead to its root, PEM
    #[arg(long, global = true, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// Private key of --cert, PEM
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Name to ask for and to find in the certificate, and authority of the call, instead of the host
    #[arg(long, global = true, value_name = "NAME")]
    #[arg(value_parser = server_name)]
    pub(crate) server_name: Option<ServerName<'static>>,

    /// Do not verify the server's certificate: whoever answers will do
    #[arg(long, global = true)]
    #[arg(value_parser = switch)]
    pub(crate) insecure: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// text prints the reply alone, a line each, control characters escaped; json one object a call, on failure too
    #[arg(long, global = true, value_name = "FORMAT")]
    #[arg(default_value = "text", hide_possible_values = true)]
    pub(crate) output: Format,

    /// Tell on standard error how each call went
    #[arg(short, long, global = true)]
    #[arg(value_parser = switch)]
    pub(crate) verbose: bool,

    /// Say nothing on standard error; the exit code tells
    #[arg(short, long, global = true)]
    #[arg(value_parser = switch)]
    pub(crate) quiet: bool,
}

impl ConnectionArgs {
    /// Returns what all calls have in common.
    ///
    /// # Errors
    /// A file is not readable or its content is not usable, or two flags contradict each other.
    pub(crate) fn call_options(&self, tls: &TlsArgs) -> anyhow::Result<CallOptions> {
        let metadata = metadata::resolve(&self.header)?;
        anyhow::ensure!(
            !(self.trace && metadata.contains_key(TRACEPARENT)),
            "--trace makes a traceparent for each call: leave it out, or --header traceparent"
        );
        let needs_tls = self.target.iter().any(Target::is_tls);
        Ok(CallOptions {
            headers: headers(metadata),
            tls: needs_tls.then(|| tls.read()).transpose()?.map(Arc::new),
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
            retries: RetryPolicy { max_retries: self.retries, codes: self.retry_on.clone() },
            trace: self.trace.then(Trace::new),
            overall_deadline: Some(Instant::now() + self.wait + self.timeout),
        })
    }
}

impl TlsArgs {
    fn read(&self) -> anyhow::Result<Tls> {
        let identity = self.cert.as_deref().zip(self.key.as_deref());
        Tls::new(self.ca_cert.as_deref(), identity, self.server_name.clone(), self.insecure)
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

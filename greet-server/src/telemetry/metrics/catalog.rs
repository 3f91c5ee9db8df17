//! Every metric that there is: its name, its labels and what it says. `docs/metrics.md` is made from this
//! table, and a test holds what is exposed to it.

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by bucket.
    Histogram,
    /// Labels are all it says.
    Info,
}

/// A metric with all its labels.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    pub(crate) base: &'static str,
    pub(crate) unit: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

impl Family {
    /// Its whole name, as queries have it.
    pub fn name(&self) -> String {
        let unit = if self.unit.is_empty() { "" } else { "_" };
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{}{unit}{}{suffix}", self.base, self.unit)
    }

    /// `counter`, `gauge`, `histogram` or `info`.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }
}

macro_rules! families {
    ($($constant:ident: $kind:ident $base:literal $unit:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(crate) const $constant: Family = Family {
            base: $base,
            unit: $unit,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)*

        /// All of them, in the order in which they are exposed.
        pub const FAMILIES: &[Family] = &[$($constant),*];
    };
}

families! {
    CALLS_STARTED: Counter "grpc_server_call_started" "" ["grpc_method"]
        "Calls whose headers have arrived; every method that is not served is `other` (gRFC A66)";
    CALL_DURATION: Histogram "grpc_server_call_duration" "seconds" ["grpc_method", "grpc_status"]
        "From a call's headers until HTTP/2 has written its reply, or the call was given up: `CANCELLED` (gRFC A66)";
    CALL_RECEIVED: Histogram "grpc_server_call_rcvd_total_compressed_message_size" "bytes" ["grpc_method", "grpc_status"]
        "Bytes of a call's request messages, as they were on the wire (gRFC A66)";
    CALL_SENT: Histogram "grpc_server_call_sent_total_compressed_message_size" "bytes" ["grpc_method", "grpc_status"]
        "Bytes of a call's reply messages, as they were on the wire (gRFC A66)";
    CALLS_IN_FLIGHT: Gauge "greet_calls_in_flight" "" []
        "Calls at work: begun, and not yet answered whole";
    MAX_IN_FLIGHT: Gauge "greet_max_in_flight" "" []
        "What `--max-in-flight` allows";
    NOT_GRPC: Counter "greet_not_grpc_requests" "" []
        "Requests over HTTP that are no calls: answered with 405, 415 or, where gRPC-Web is served, 505 or as a preflight";
    CONNECTIONS_OPEN: Gauge "greet_connections_open" "" []
        "Connections that were accepted and have not ended";
    MAX_CONNECTIONS: Gauge "greet_max_connections" "" []
        "What `--max-connections` allows";
    CONNECTIONS_ACCEPTED: Counter "greet_connections_accepted" "" []
        "Connections that came: those that are open, that were refused and that were closed";
    CONNECTIONS_REFUSED: Counter "greet_connections_refused" "" ["cause"]
        "Connections that were closed before a word was said";
    CONNECTIONS_CLOSED: Counter "greet_connections_closed" "" ["cause"]
        "Connections that have ended, by why; `peer`: it left, or the network took it";
    TLS_HANDSHAKES: Counter "greet_tls_handshakes" "" ["result"]
        "TLS handshakes by result: `ok`, `failed` (rejected by the daemon), `peer_closed` or `timeout`";
    TLS_RELOADS: Counter "greet_tls_reloads" "" ["result"]
        "Reloads of the TLS files by result: `success`, or `refused` (the current certificate stays in use)";
    CERTIFICATE_EXPIRY: Gauge "greet_tls_certificate_expiry_timestamp" "seconds" []
        "When the certificate that is served expires, since 1970";
    PHASE: Gauge "greet_phase" "" ["phase"]
        "1 for the phase that the daemon is in, 0 for the others";
    WORKER_CONNECTIONS: Gauge "greet_worker_connections" "" ["worker"]
        "Open connections of each worker";
    WORKER_CALLS: Counter "greet_worker_calls" "" ["worker"]
        "Calls that each worker was asked";
    LOG_DROPPED: Counter "greet_log_lines_dropped" "" []
        "Lines of the log that were given up, because whoever reads it is slow, or gone";
    OTLP_SPANS: Counter "greet_otlp_spans" "" ["result"]
        "Spans: `exported`, `failed` (the collector did not take them) or `dropped` (no room to wait for it)";
    BUILD: Info "greet_build" "" ["version"]
        "Which build runs";
    PROCESS_CPU: Counter "process_cpu_seconds" "" []
        "CPU time that the process has used, in seconds";
    PROCESS_RESIDENT: Gauge "process_resident_memory" "bytes" []
        "Memory that the process has in RAM";
    PROCESS_VIRTUAL: Gauge "process_virtual_memory" "bytes" []
        "Memory that the process has addresses for";
    PROCESS_OPEN_FDS: Gauge "process_open_fds" "" []
        "Descriptors that the process has open";
    PROCESS_MAX_FDS: Gauge "process_max_fds" "" []
        "Descriptors that the process may have open";
    PROCESS_THREADS: Gauge "process_threads" "" []
        "Threads of the process";
    PROCESS_STARTED: Gauge "process_start_time" "seconds" []
        "When the process was started, since 1970";
}

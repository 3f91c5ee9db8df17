//! The catalog of metrics: name, labels and help text of each. `docs/metrics.md` is generated from
//! it, and a test compares it with the exposed metrics.

use greet_flags::product;
use prometheus_client::metrics::MetricType;

/// A metric with all its labels.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    pub(crate) base: &'static str,
    pub(crate) unit: &'static str,
    /// The type.
    pub kind: MetricType,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// The help text.
    pub help: &'static str,
}

impl Family {
    /// Returns the full name, as queries use it.
    pub fn name(&self) -> String {
        let unit = if self.unit.is_empty() { "" } else { "_" };
        let suffix = match self.kind {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            MetricType::Gauge | MetricType::Histogram | MetricType::Unknown => "",
        };
        format!("{}{unit}{}{suffix}", self.base, self.unit)
    }
}

macro_rules! families {
    ($($constant:ident: $kind:ident $base:tt $(!$suffix:tt)? $unit:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(crate) const $constant: Family = Family {
            base: $base $(!$suffix)?,
            unit: $unit,
            kind: MetricType::$kind,
            labels: &[$($label),*],
            help: $help,
        };)*

        /// Every metric, in the order of exposition.
        pub const FAMILIES: &[Family] = &[$($constant),*];
    };
}

families! {
    CALLS_STARTED: Counter "grpc_server_call_started" "" ["grpc_method"]
        "Calls whose headers have arrived; methods that are not served are `other` (gRFC A66)";
    CALL_DURATION: Histogram "grpc_server_call_duration" "seconds" ["grpc_method", "grpc_status"]
        "Time from a call's headers until HTTP/2 has written the reply, or until it was cancelled (gRFC A66)";
    CALL_RECEIVED: Histogram "grpc_server_call_rcvd_total_compressed_message_size" "bytes" ["grpc_method", "grpc_status"]
        "Bytes of a call's request messages on the wire (gRFC A66)";
    CALL_SENT: Histogram "grpc_server_call_sent_total_compressed_message_size" "bytes" ["grpc_method", "grpc_status"]
        "Bytes of a call's reply messages on the wire (gRFC A66)";
    MESSAGES_RECEIVED: Counter "grpc_server_msg_received" "" ["grpc_method"]
        "Request messages received (the name is that of go-grpc-middleware)";
    MESSAGES_SENT: Counter "grpc_server_msg_sent" "" ["grpc_method"]
        "Reply messages sent (the name is that of go-grpc-middleware)";
    CALLS_IN_FLIGHT: Gauge product!("_calls_in_flight") "" []
        "Calls whose reply has not been sent completely";
    CALLS_ADMITTED: Gauge product!("_calls_admitted") "" ["kind"]
        "Calls that count against a limit: `unary` calls whose request has arrived (`--max-in-flight`), or `streaming` calls (`--max-streaming-calls`)";
    MAX_IN_FLIGHT: Gauge product!("_max_in_flight") "" []
        "Limit of `--max-in-flight`";
    MAX_STREAMING_CALLS: Gauge product!("_max_streaming_calls") "" []
        "Limit of `--max-streaming-calls`";
    MEMORY_HELD: Gauge product!("_memory_held") "bytes" []
        "Memory held for peers, as `--memory-limit` counts it";
    MEMORY_LIMIT: Gauge product!("_memory_limit") "bytes" []
        "Limit of `--memory-limit`";
    FAULTS_INJECTED: Counter product!("_faults_injected") "" ["kind"]
        "Faults that rules have injected into calls: `delay`, `status`, `reset`, or `goaway` of a connection";
    FAULT_RULES: Gauge product!("_fault_rules") "" []
        "Fault rules in effect; 0 if no fault is injected";
    HEALTH_OVERRIDES: Gauge product!("_health_overrides") "" []
        "Services that an operator has set to NOT_SERVING over the admin port; the server as a whole is one";
    NOT_GRPC: Counter product!("_not_grpc_requests") "" []
        "HTTP requests that are not gRPC calls: answered with 405 or 415, or with gRPC-Web 505 or a CORS preflight reply";
    REQUESTS_REJECTED: Counter product!("_http2_requests_rejected") "" []
        "Requests that HTTP/2 rejected before they became calls: malformed (such as the percent-encoded `:authority` of gRPC C-core over a Unix socket), header list too large, over `--max-streams`, or after GOAWAY";
    CONNECTIONS_OPEN: Gauge product!("_connections_open") "" []
        "Open connections";
    MAX_CONNECTIONS: Gauge product!("_max_connections") "" []
        "Limit of `--max-connections`";
    CONNECTIONS_ACCEPTED: Counter product!("_connections_accepted") "" []
        "Accepted connections: those open, refused and closed";
    CONNECTIONS_REFUSED: Counter product!("_connections_refused") "" ["cause"]
        "Connections refused on accept, by cause";
    CONNECTIONS_CLOSED: Counter product!("_connections_closed") "" ["cause"]
        "Closed connections by cause; `peer` was closed by the peer or the network";
    TLS_HANDSHAKES: Counter product!("_tls_handshakes") "" ["result"]
        "TLS handshakes by result: `ok`, `failed` (rejected by the daemon), `peer_closed` or `timeout`";
    TLS_RELOADS: Counter product!("_tls_reloads") "" ["result"]
        "Reloads of the TLS files by result: `success`, or `refused` (the current certificate stays in use)";
    CERTIFICATE_EXPIRY: Gauge product!("_tls_certificate_expiry_timestamp") "seconds" []
        "Expiry of the served certificate, in Unix time";
    PHASE: Gauge product!("_phase") "" ["phase"]
        "1 for the current phase of the daemon, 0 for the others";
    WORKER_CONNECTIONS: Gauge product!("_worker_connections") "" ["worker"]
        "Open connections of each worker";
    WORKER_CALLS: Counter product!("_worker_calls") "" ["worker"]
        "Calls that each worker has started";
    LOG_DROPPED: Counter product!("_log_lines_dropped") "" []
        "Log lines dropped because standard error was slow or closed";
    OTLP_SPANS: Counter product!("_otlp_spans") "" ["result"]
        "Spans by result: `exported`, `failed` (the export failed) or `dropped` (the queue was full)";
    BUILD: Info product!("_build") "" ["version", "revision"]
        "Version of the daemon, and the commit of a release build; otherwise `revision` is empty";
    TARGET: Info "target" "" ["service_name", "service_version", "service_instance_id"]
        "Resource attributes of the service, as its spans have them (OpenTelemetry)";
    PROCESS_CPU: Counter "process_cpu_seconds" "" []
        "CPU time used by the process";
    PROCESS_RESIDENT: Gauge "process_resident_memory" "bytes" []
        "Resident memory of the process";
    PROCESS_VIRTUAL: Gauge "process_virtual_memory" "bytes" []
        "Virtual memory of the process";
    PROCESS_OPEN_FDS: Gauge "process_open_fds" "" []
        "Open file descriptors of the process";
    PROCESS_MAX_FDS: Gauge "process_max_fds" "" []
        "Maximum of open file descriptors";
    PROCESS_THREADS: Gauge "process_threads" "" []
        "Threads of the process";
    PROCESS_STARTED: Gauge "process_start_time" "seconds" []
        "Start time of the process, in Unix time";
}

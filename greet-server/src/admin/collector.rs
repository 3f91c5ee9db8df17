//! Collects the daemon's metrics at each scrape: sums the counters of the workers, so that a call
//! only adds to the memory of its own worker.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

use greet_flags::product;
use greet_proto::status::code_name;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use tokio::sync::watch;

use crate::config::Limits;
use crate::grpc::Method;
use crate::grpc::faults::FaultControl;
use crate::grpc::memory::MemoryLimit;
use crate::lifecycle::phase::Phase;
use crate::net::connection_limit::ConnectionLimit;
use crate::net::tls::Tls;
use crate::net::worker::Workers;
use crate::services::HealthControl;
use crate::telemetry::fault_kind::FaultKind;
use crate::telemetry::logging::LogControl;
use crate::telemetry::metrics::calls::{EndedTotals, ended_totals, latest_exemplars};
use crate::telemetry::metrics::catalog::{self as family, Family};
use crate::telemetry::metrics::close_reason::CloseReason;
use crate::telemetry::metrics::encoding::ExemplarsBySeries;
use crate::telemetry::metrics::histogram::Distribution;
use crate::telemetry::metrics::process::ProcessMetrics;
use crate::telemetry::metrics::worker::{CallKind, HandshakeResult, ReloadMetrics, SpanMetrics};
use crate::telemetry::resource::ResourceAttributes;

const NANOS_PER_SECOND: f64 = 1e9;

/// The sources of the metrics.
#[derive(Debug, Clone)]
pub(crate) struct MetricsCollector {
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) workers: Workers,
    pub(crate) connection_limit: Arc<ConnectionLimit>,
    pub(crate) memory: Arc<MemoryLimit>,
    pub(crate) faults: Arc<FaultControl>,
    pub(crate) health: HealthControl,
    pub(crate) limits: Limits,
    pub(crate) tls: Option<watch::Receiver<Tls>>,
    pub(crate) reloads: Arc<ReloadMetrics>,
    pub(crate) log: Option<LogControl>,
    pub(crate) spans: Arc<SpanMetrics>,
    pub(crate) resource: ResourceAttributes,
}

impl Collector for MetricsCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Exposition(encoder);
        self.calls(&mut out)?;
        self.connections(&mut out)?;
        self.tls(&mut out)?;
        self.daemon(&mut out)?;
        process(&mut out)
    }
}

impl MetricsCollector {
    /// Returns the exemplars of the latency buckets.
    pub(crate) fn exemplars(&self) -> ExemplarsBySeries {
        let methods = self.workers.methods();
        let workers = self.workers.iter().map(|worker| &worker.metrics.calls);
        let series = latest_exemplars(methods.len(), workers).map(|(method, code, latest)| {
            let method = Method::label(method.map(|index| &methods[index]));
            let status = code_name(code);
            (format!("grpc_method=\"{method}\",grpc_status=\"{status}\""), latest)
        });
        series.filter(|(_, latest)| !latest.is_empty()).collect()
    }

    fn calls(&self, out: &mut Exposition<'_>) -> fmt::Result {
        let started = |method| self.workers.sum(|metrics| metrics.calls.started(method));
        let methods = self.workers.methods();
        let index = |method: Option<&Method>| method.map(|method| method.index);
        let by_method = methods.iter().map(Some).chain([None]);
        let by_method = by_method.map(|method| ([Method::label(method)], started(index(method))));
        out.family(&family::CALLS_STARTED, by_method)?;
        for (family, position) in [(&family::MESSAGES_RECEIVED, 0), (&family::MESSAGES_SENT, 1)] {
            let messages = |method: &Method| {
                self.workers.sum(|metrics| metrics.calls.messages(method.index)[position])
            };
            let served = methods.iter();
            let by_method = served.map(|method| ([Method::label(Some(method))], messages(method)));
            out.family(family, by_method)?;
        }

        let workers = self.workers.iter().map(|worker| &worker.metrics.calls);
        let ended: Vec<_> = ended_totals(methods.len(), workers).collect();
        let name = |method: Option<usize>| Method::label(method.map(|index| &methods[index]));
        let mut histograms = |family, of: fn(&EndedTotals) -> &Distribution, scale| {
            let labels = |calls: &EndedTotals| [name(calls.method), code_name(calls.code)];
            out.histograms(family, ended.iter().map(|calls| (labels(calls), of(calls))), scale)
        };
        histograms(&family::CALL_DURATION, |calls| &calls.nanos, NANOS_PER_SECOND)?;
        histograms(&family::CALL_RECEIVED, |calls| &calls.received_bytes, 1.0)?;
        histograms(&family::CALL_SENT, |calls| &calls.sent_bytes, 1.0)?;

        out.value(&family::CALLS_IN_FLIGHT, self.workers.calls().in_flight)?;
        let admitted = |kind| self.workers.sum(|metrics| metrics.admitted_calls(kind).get());
        let by_kind = CallKind::ALL.map(|kind| ([kind.name()], admitted(kind)));
        out.family(&family::CALLS_ADMITTED, by_kind)?;
        out.value(&family::MAX_IN_FLIGHT, self.limits.max_in_flight)?;
        out.value(&family::MAX_STREAMING_CALLS, self.limits.max_streaming_calls)?;
        out.value(&family::MEMORY_HELD, self.memory.held())?;
        out.value(&family::MEMORY_LIMIT, self.limits.memory_limit.as_u64())?;
        let injected = |kind| self.workers.sum(|metrics| metrics.faults(kind).get());
        let by_kind = FaultKind::ALL.map(|kind| ([kind.name()], injected(kind)));
        out.family(&family::FAULTS_INJECTED, by_kind)?;
        out.value(&family::FAULT_RULES, self.faults.config().rules.len() as u64)?;
        out.value(&family::HEALTH_OVERRIDES, self.health.overrides() as u64)?;
        out.value(&family::NOT_GRPC, self.workers.sum(|metrics| metrics.not_grpc.get()))?;
        let rejected = self.workers.sum(|metrics| metrics.requests_rejected.get());
        out.value(&family::REQUESTS_REJECTED, rejected)
    }

    fn connections(&self, out: &mut Exposition<'_>) -> fmt::Result {
        let (workers, connection_limit) = (&self.workers, &self.connection_limit);
        out.value(&family::CONNECTIONS_OPEN, connection_limit.open() as u64)?;
        out.value(&family::MAX_CONNECTIONS, self.limits.max_connections as u64)?;
        out.value(&family::CONNECTIONS_ACCEPTED, connection_limit.accepted())?;
        let (refusals, closes): (Vec<_>, Vec<_>) =
            CloseReason::ALL.into_iter().partition(|reason| reason.is_refusal());
        let refused =
            refusals.into_iter().map(|reason| ([reason.name()], connection_limit.refused(reason)));
        out.family(&family::CONNECTIONS_REFUSED, refused)?;
        let closed = closes.into_iter().map(|reason| ([reason.name()], workers.closed(reason)));
        let by_peer = (["peer"], workers.sum(|metrics| metrics.closed_by_peer.get()));
        out.family(&family::CONNECTIONS_CLOSED, closed.chain([by_peer]))
    }

    fn tls(&self, out: &mut Exposition<'_>) -> fmt::Result {
        let count = |result| self.workers.sum(|metrics| metrics.handshakes(result).get());
        let handshakes = HandshakeResult::ALL.map(|result| ([result.name()], count(result)));
        out.family(&family::TLS_HANDSHAKES, handshakes)?;
        let ReloadMetrics { done, refused } = &*self.reloads;
        out.family(
            &family::TLS_RELOADS,
            [(["success"], done.get()), (["refused"], refused.get())],
        )?;
        let expiry = self.tls.as_ref().map(|tls| {
            let not_after = tls.borrow().not_after;
            not_after.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
        });
        out.optional(&family::CERTIFICATE_EXPIRY, expiry)
    }

    fn daemon(&self, out: &mut Exposition<'_>) -> fmt::Result {
        let current = *self.phase.borrow();
        let phases = Phase::ALL.map(|phase| ([phase.name()], u64::from(phase == current)));
        out.family(&family::PHASE, phases)?;
        let workers = || self.workers.iter().enumerate();
        let connections = workers().map(|(index, worker)| {
            ([index.to_string()], worker.metrics.connections.load(Ordering::Relaxed) as u64)
        });
        out.family(&family::WORKER_CONNECTIONS, connections)?;
        let calls = workers()
            .map(|(index, worker)| ([index.to_string()], worker.metrics.calls.started_total()));
        out.family(&family::WORKER_CALLS, calls)?;
        out.optional(&family::LOG_DROPPED, self.log.as_ref().map(LogControl::dropped_lines))?;
        let SpanMetrics { exported, failed, dropped } = &*self.spans;
        let spans = [("exported", exported), ("failed", failed), ("dropped", dropped)];
        let spans = spans.map(|(result, spans)| ([result], spans.load(Ordering::Relaxed)));
        out.family(&family::OTLP_SPANS, spans)?;
        let build = [env!("CARGO_PKG_VERSION"), product::REVISION];
        out.family(&family::BUILD, [(build, 1_u64)])?;
        out.family(&family::TARGET, [(self.resource.target_labels(), 1_u64)])
    }
}

fn process(out: &mut Exposition<'_>) -> fmt::Result {
    let process = ProcessMetrics::read();
    out.optional(&family::PROCESS_CPU, process.cpu_seconds)?;
    out.optional(&family::PROCESS_RESIDENT, process.resident_bytes)?;
    out.optional(&family::PROCESS_VIRTUAL, process.virtual_bytes)?;
    out.optional(&family::PROCESS_OPEN_FDS, process.open_fds)?;
    out.optional(&family::PROCESS_MAX_FDS, process.max_fds)?;
    out.optional(&family::PROCESS_THREADS, process.threads)?;
    out.optional(&family::PROCESS_STARTED, process.started_seconds)
}

/// Writes families of metrics in an exposition format.
struct Exposition<'a>(DescriptorEncoder<'a>);

impl Exposition<'_> {
    fn value(&mut self, family: &Family, value: u64) -> fmt::Result {
        self.optional(family, Some(value))
    }

    fn optional<V>(&mut self, family: &Family, value: Option<V>) -> fmt::Result
    where
        V: EncodeCounterValue + EncodeGaugeValue,
    {
        self.family(family, value.map(|value| ([""; 0], value)))
    }

    /// Writes a number for each set of labels; without any, not even a descriptor.
    fn family<L, V, const N: usize>(
        &mut self,
        family: &Family,
        values: impl IntoIterator<Item = ([L; N], V)>,
    ) -> fmt::Result
    where
        L: Into<Cow<'static, str>>,
        V: EncodeCounterValue + EncodeGaugeValue,
    {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        self.descriptor(family, |metric| {
            for (labels, value) in values {
                let labels = zip_labels(family, labels);
                match family.kind {
                    MetricType::Info => metric.encode_info(&labels)?,
                    kind if labels.is_empty() => number(metric, kind, value)?,
                    kind => number(&mut metric.encode_family(&labels)?, kind, value)?,
                }
            }
            Ok(())
        })
    }

    /// Divides bounds and sums by `scale`.
    fn histograms<'d>(
        &mut self,
        family: &Family,
        values: impl Iterator<Item = ([&'static str; 2], &'d Distribution)>,
        scale: f64,
    ) -> fmt::Result {
        self.descriptor(family, |metric| {
            for (labels, distribution) in values {
                let labels = zip_labels(family, labels);
                let bounds = distribution.bounds.iter().map(|bound| *bound as f64 / scale);
                let buckets = bounds.chain([f64::INFINITY]).zip(distribution.buckets.clone());
                let buckets: Vec<_> = buckets.collect();
                metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                    distribution.sum as f64 / scale,
                    distribution.count(),
                    &buckets,
                    None,
                )?;
            }
            Ok(())
        })
    }

    fn descriptor(
        &mut self,
        family: &Family,
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let unit = match family.unit {
            "" => None,
            "seconds" => Some(Unit::Seconds),
            "bytes" => Some(Unit::Bytes),
            other => Some(Unit::Other(other.to_owned())),
        };
        write(&mut self.0.encode_descriptor(
            family.base,
            family.help,
            unit.as_ref(),
            family.kind,
        )?)
    }
}

fn zip_labels<L: Into<Cow<'static, str>>, const N: usize>(
    family: &Family,
    values: [L; N],
) -> Vec<(&'static str, Cow<'static, str>)> {
    family.labels.iter().copied().zip(values.map(Into::into)).collect()
}

fn number<V>(metric: &mut MetricEncoder<'_>, kind: MetricType, value: V) -> fmt::Result
where
    V: EncodeCounterValue + EncodeGaugeValue,
{
    if kind == MetricType::Counter {
        metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
    } else {
        metric.encode_gauge(&value)
    }
}

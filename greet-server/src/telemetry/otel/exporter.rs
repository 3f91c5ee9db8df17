//! Exports spans through the SDK's batch processor. Two wrappers count every span, because the SDK
//! does not publish how many it dropped.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use greet_flags::product;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    SpanExporter as OtlpExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SdkTracerProvider, Span as SdkSpan, SpanData, SpanExporter, SpanProcessor,
};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::settings::{self, Destination};
use super::span::Tracer;
use crate::config::Config;
use crate::telemetry::metrics::worker::SpanMetrics;
use crate::telemetry::rate_limit::LogRateLimiter;
use crate::telemetry::resource::ResourceAttributes;

/// Time at shutdown to export the queued spans.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval between log lines about failed exports.
const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Exporter {
    provider: SdkTracerProvider,
    /// Ends the connection's thread when dropped.
    _stop: oneshot::Sender<()>,
}

impl Exporter {
    /// Returns `None` if export is off, or cannot be set up: tracing never stops the daemon.
    pub(crate) fn start(
        config: &Config,
        attributes: &ResourceAttributes,
        metrics: &Arc<SpanMetrics>,
    ) -> Option<Exporter> {
        let destination = settings::destination(config)?;
        settings::check_sampler();
        let endpoint = destination.url.clone();
        let exporter = Exporter::build(destination, attributes, metrics.clone());
        exporter.inspect_err(|error| tracing::warn!(%error, endpoint, "tracing turned off")).ok()
    }

    fn build(
        destination: Destination,
        attributes: &ResourceAttributes,
        metrics: Arc<SpanMetrics>,
    ) -> Result<Exporter, Box<dyn Error>> {
        // The connection has its own thread, so that no batch delays an accept.
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name(product!("-otlp").to_owned());
        thread.spawn(move || runtime.block_on(stopped))?;
        let mut otlp = {
            let _entered = handle.enter();
            let builder = OtlpExporter::builder().with_tonic().with_endpoint(destination.url);
            let builder = builder.with_timeout(settings::export_timeout());
            match destination.tls {
                Some(tls) => builder.with_tls_config(tls).build()?,
                None => builder.build()?,
            }
        };
        otlp.set_resource(&resource(attributes));
        let (max_queue, batches) = settings::batches();
        let queued = Arc::<AtomicUsize>::default();
        let exporter = CountingExporter {
            otlp: Arc::new(otlp),
            handle,
            queued: queued.clone(),
            metrics: metrics.clone(),
            failures: Mutex::new(LogRateLimiter::new(1, FAILURE_LOG_INTERVAL)),
        };
        let batches = BatchSpanProcessor::new(exporter, batches);
        let processor = CountingProcessor { batches, max_queue, queued, metrics };
        let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
        Ok(Exporter { provider, _stop: stop })
    }

    pub(crate) fn tracer(&self) -> Tracer {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"));
        let scope = scope.with_version(env!("CARGO_PKG_VERSION")).build();
        Tracer::new(self.provider.tracer_with_scope(scope))
    }

    /// Exports the queued spans, within [`SHUTDOWN_TIMEOUT`]. The SDK blocks meanwhile.
    pub(crate) async fn shut_down(self) {
        let shut_down = move || self.provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(shut_down).await {
            tracing::warn!(%error, "last spans not exported");
        }
    }
}

fn resource(attributes: &ResourceAttributes) -> Resource {
    let attributes =
        attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(attributes)
        .build()
}

/// Queues a span if the batch processor has room for it, or else counts it as dropped.
#[derive(Debug)]
struct CountingProcessor {
    batches: BatchSpanProcessor,
    max_queue: usize,
    /// Spans that wait for export.
    queued: Arc<AtomicUsize>,
    metrics: Arc<SpanMetrics>,
}

impl SpanProcessor for CountingProcessor {
    fn on_start(&self, _: &mut SdkSpan, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.queued.fetch_add(1, Ordering::Relaxed) < self.max_queue {
            self.batches.on_end(span);
        } else {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            self.metrics.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }
}

/// Exports on the connection's runtime, because the processor's thread has none. Counts the result.
#[derive(Debug)]
struct CountingExporter {
    otlp: Arc<OtlpExporter>,
    handle: Handle,
    queued: Arc<AtomicUsize>,
    metrics: Arc<SpanMetrics>,
    failures: Mutex<LogRateLimiter>,
}

impl SpanExporter for CountingExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (spans, otlp) = (batch.len(), self.otlp.clone());
        self.queued.fetch_sub(spans, Ordering::Relaxed);
        let task = self.handle.spawn(async move { otlp.export(batch).await });
        let aborted = |error| Err(OTelSdkError::InternalFailure(format!("{error}")));
        let result = task.await.unwrap_or_else(aborted);
        if let Err(error) = &result {
            self.metrics.failed.fetch_add(spans as u64, Ordering::Relaxed);
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(suppressed) = failures.admit(Instant::now()) {
                tracing::warn!(%error, spans, suppressed, "span export failed");
            }
        } else {
            self.metrics.exported.fetch_add(spans as u64, Ordering::Relaxed);
        }
        result
    }
}

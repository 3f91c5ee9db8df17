//! The thread that sends spans to the collector, in batches. What waits for it is bounded.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc as ready;
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry::{InstrumentationScope, Key, KeyValue};
use opentelemetry_otlp::{SpanExporter as Otlp, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector as _};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::settings::{self, Settings};
use super::span::Tracer;
use crate::config::Config;
use crate::server::StartError;
use crate::telemetry::metrics::worker::SpanMetrics;

/// How long the daemon waits at its end for the last spans to be taken.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);
/// Of a collector that is away.
const TELL_AT_MOST_EVERY: Duration = Duration::from_secs(10);

/// The running thread.
#[derive(Debug)]
pub(crate) struct Exporter {
    tracer: Tracer,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

/// What the thread works with.
struct Batches {
    otlp: Otlp,
    queue: mpsc::Receiver<SpanData>,
    settings: Settings,
    counts: Arc<SpanMetrics>,
    told: Option<Instant>,
}

impl Exporter {
    /// `None`: nothing is to be exported.
    ///
    /// # Errors
    /// The endpoint cannot be used. Whether somebody listens there is seen later.
    pub(crate) fn start(
        config: &Config,
        counts: &Arc<SpanMetrics>,
    ) -> Result<Option<Exporter>, StartError> {
        let Some(settings) = Settings::read(config.otlp_endpoint.clone()) else {
            return Ok(None);
        };
        let (sender, queue) = mpsc::channel(settings.max_queue);
        let scope = InstrumentationScope::builder("greet-server")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let tracer = Tracer {
            sampler: settings.sampler.clone(),
            scope,
            queue: sender,
            counts: counts.clone(),
        };
        let resource = resource(config);
        let (counts, told) = (counts.clone(), None);
        let (stop, stopped) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let (made, is_made) = ready::channel();
        let run = move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let otlp = made_exporter(&settings, &resource);
                let otlp = match otlp {
                    Ok(otlp) => otlp,
                    Err(error) => return drop(made.send(Err(error))),
                };
                let _ = made.send(Ok(()));
                Batches { otlp, queue, settings, counts, told }.run(stopped).await;
            });
            let _ = ending.send(());
            io::Result::Ok(())
        };
        let thread = thread::Builder::new().name("greet-otlp".to_owned());
        thread.spawn(move || {
            if let Err(error) = run() {
                tracing::error!(%error, "spans are not exported: no runtime for it");
            }
        })?;
        match is_made.recv() {
            Ok(Ok(())) | Err(_) => Ok(Some(Exporter { tracer, stop, ended })),
            Ok(Err(error)) => Err(StartError::Otlp(error)),
        }
    }

    pub(crate) fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Waits until what is queued has been sent, or for as long as may be.
    pub(crate) async fn finish(self) {
        let _ = self.stop.send(());
        if timeout(FINISH_TIMEOUT, self.ended).await.is_err() {
            tracing::warn!("the last spans were not taken in time");
        }
    }
}

fn made_exporter(
    settings: &Settings,
    resource: &Resource,
) -> Result<Otlp, opentelemetry_otlp::ExporterBuildError> {
    let builder = Otlp::builder().with_tonic().with_endpoint(&settings.endpoint);
    let mut otlp = builder.with_timeout(settings.timeout).build()?;
    otlp.set_resource(resource);
    Ok(otlp)
}

/// Who says it. OTEL_SERVICE_NAME has the first word, OTEL_RESOURCE_ATTRIBUTES the next, and then we.
fn resource(config: &Config) -> Resource {
    let said = EnvResourceDetector::new().detect();
    let instance = config.instance.as_ref().and_then(|instance| instance.to_str().ok());
    let ours = [
        ("service.name", Some(env!("CARGO_PKG_NAME"))),
        ("service.version", Some(env!("CARGO_PKG_VERSION"))),
        ("service.instance.id", instance),
    ];
    let ours = ours.into_iter().filter_map(|(key, value)| {
        let is_said = said.get(&Key::from_static_str(key)).is_some();
        Some(KeyValue::new(key, value.filter(|_| !is_said)?.to_owned()))
    });
    let named = settings::service_name().map(|name| KeyValue::new("service.name", name));
    Resource::builder().with_attributes(ours.chain(named)).build()
}

impl Batches {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut batch = Vec::new();
        loop {
            let is_over = self.gather(&mut batch, &mut stopped).await;
            if !batch.is_empty() {
                self.send(std::mem::take(&mut batch)).await;
            }
            if is_over {
                return;
            }
        }
    }

    /// Until the batch is full, or its first span has waited long enough. Whether it was the last.
    async fn gather(
        &mut self,
        batch: &mut Vec<SpanData>,
        stopped: &mut oneshot::Receiver<()>,
    ) -> bool {
        let mut over = std::pin::pin!(None);
        while batch.len() < self.settings.max_batch {
            let room = self.settings.max_batch - batch.len();
            let due = async {
                match over.as_mut().as_pin_mut() {
                    Some(sleep) => sleep.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                count = self.queue.recv_many(batch, room) => match count {
                    0 => return true,
                    _ if over.is_none() => over.set(Some(sleep(self.settings.delay))),
                    _ => {}
                },
                _ = &mut *stopped, if !stopped.is_terminated() => self.queue.close(),
                () = due => return false,
            }
        }
        false
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len() as u64;
        match self.otlp.export(batch).await {
            Ok(()) => self.counts.exported.fetch_add(spans, Ordering::Relaxed),
            Err(error) => {
                let now = Instant::now();
                if self.told.is_none_or(|told| now - told >= TELL_AT_MOST_EVERY) {
                    tracing::warn!(%error, spans, "the collector did not take spans");
                    self.told = Some(now);
                }
                self.counts.failed.fetch_add(spans, Ordering::Relaxed)
            }
        };
    }
}

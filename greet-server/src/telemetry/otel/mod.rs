//! OpenTelemetry: exports a span for each sampled call to a collector, OTLP over gRPC.
//!
//! A call never waits for the collector: if the queue is full, its span is dropped and counted.
//! Without the cargo feature `otel`, uninhabited types replace the real ones.

#[cfg(feature = "otel")]
mod exporter;
#[cfg(not(feature = "otel"))]
mod noop;
#[cfg(feature = "otel")]
mod settings;
#[cfg(feature = "otel")]
mod span;

#[cfg(feature = "otel")]
pub(crate) use exporter::Exporter;
#[cfg(not(feature = "otel"))]
pub(crate) use noop::{Exporter, Span, Tracer, resource_from_environment};
#[cfg(feature = "otel")]
pub(crate) use settings::resource_from_environment;
#[cfg(feature = "otel")]
pub(crate) use span::{Span, Tracer};

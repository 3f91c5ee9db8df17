//! OpenTelemetry: a span for each call, to a collector over OTLP. A call never waits for it; a collector
//! that is slow or away costs spans, which are counted, and nothing else.
//!
//! The cargo feature `otel` brings it; a build without refuses `--otlp-endpoint`.

#[cfg(not(feature = "otel"))]
mod absent;
#[cfg(feature = "otel")]
mod exporter;
#[cfg(feature = "otel")]
mod settings;
#[cfg(feature = "otel")]
mod span;

#[cfg(not(feature = "otel"))]
pub(crate) use absent::{Exporter, Span, Tracer};
#[cfg(feature = "otel")]
pub(crate) use exporter::Exporter;
#[cfg(feature = "otel")]
pub(crate) use span::{Span, Tracer};

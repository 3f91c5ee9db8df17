//! OpenTelemetry: a span for each call, to a collector over OTLP. A call never waits for it; a collector
//! that is slow or away costs spans, which are counted, and nothing else.
//!
//! The cargo feature `otel` brings it; a build without refuses `--otlp-endpoint`.

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
pub(crate) use noop::{Exporter, Span, Tracer};
#[cfg(feature = "otel")]
pub(crate) use span::{Span, Tracer};

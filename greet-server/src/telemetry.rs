//! Logs: one event a line on standard error, as text or JSON, and a panic is an event too.
//!
//! A thread of its own writes them, and drops what it cannot write in time: whoever reads the log
//! (or stops reading it) must not be able to stop the daemon.

use std::io::IsTerminal as _;

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config::{LogConfig, LogFormat};

/// Installs the process-wide log. What was logged last is written when the guard is dropped.
pub fn init(log: &LogConfig) -> WorkerGuard {
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_writer(writer).with_ansi(colours);
    let layer = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(log.filter.clone())).init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let payload = panic.payload_as_str().unwrap_or("a value that is not text");
        tracing::error!(place, payload, "panic");
    }));
    guard
}

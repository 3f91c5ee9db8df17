//! Logs: one event a line on standard error, as text or JSON, and a panic is an event too.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config::{LogConfig, LogFormat};

/// Installs the process-wide log. A second call is ignored, so tests may share a process.
pub fn init(log: &LogConfig) {
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let layer = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let installed =
        tracing_subscriber::registry().with(layer.with_filter(log.filter.clone())).try_init();
    if installed.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string);
            let message = panic.payload_as_str().unwrap_or("a value that is not text");
            tracing::error!(place, message, "panic");
        }));
    }
}

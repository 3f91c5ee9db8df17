//! Writes the log to standard error, one event per line, as text or JSON. Panics are events too.
//!
//! A separate thread writes the lines and drops lines when its queue is full, so that a slow reader
//! cannot block the daemon. The filter can be changed at run time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tracing::Level;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat};

/// The filter of the running log, and its dropped lines.
#[derive(Debug, Clone)]
pub struct LogControl {
    configured: Targets,
    filter: reload::Handle<Targets, Registry>,
    dropped: ErrorCounter,
    failed_writes: Arc<AtomicU64>,
}

/// Installs the process-wide log. Dropping the guard writes the last lines.
pub fn init(log: &LogConfig) -> (LogControl, WorkerGuard) {
    let failed_writes = Arc::<AtomicU64>::default();
    let (writer, guard) = NonBlocking::new(CountingStderr(failed_writes.clone()));
    let dropped = writer.error_counter();
    let lines = fmt::layer().with_writer(writer).with_ansi(log.has_color);
    let layer = match log.format {
        LogFormat::Text => {
            // Below debug all lines are the daemon's own: the module only widens them.
            let has_target = log.filter.would_enable("", &Level::DEBUG);
            lines.with_timer(Seconds).with_target(has_target).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let (filter, handle) = reload::Layer::new(log.filter.clone());
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, payload = panic.payload_as_str(), "thread panicked");
    }));
    (LogControl { configured: log.filter.clone(), filter: handle, dropped, failed_writes }, guard)
}

/// The time of a text line, which a person reads: RFC 3339, to the second.
struct Seconds;

impl FormatTime for Seconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", humantime::format_rfc3339_seconds(SystemTime::now()))
    }
}

impl LogControl {
    /// Returns the current filter.
    pub fn filter(&self) -> String {
        self.filter.with_current(ToString::to_string).unwrap_or_default()
    }

    /// Replaces the filter. The change is logged by the old filter if the new one suppresses it. `peer` is
    /// the client of the admin port that asked for it.
    pub fn set(&self, filter: Targets, peer: Option<&str>) {
        let log_change = |filter: &str| tracing::info!(peer, filter, "log filter changed");
        let new = filter.to_string();
        let is_logged_after = filter.would_enable(module_path!(), &Level::INFO);
        if !is_logged_after {
            log_change(&new);
        }
        // It fails only when the log no longer exists.
        let _ = self.filter.reload(filter);
        if is_logged_after {
            log_change(&new);
        }
    }

    /// Switches to the level debug for every target, or back to the configured filter.
    pub fn toggle(&self) {
        let debug = Targets::new().with_default(LevelFilter::DEBUG);
        let is_debug = self.filter.with_current(|now| *now == debug).unwrap_or_default();
        self.set(if is_debug { self.configured.clone() } else { debug }, None);
    }

    /// Returns the number of lines dropped because standard error was slow or closed.
    pub(crate) fn dropped_lines(&self) -> u64 {
        self.dropped.dropped_lines() as u64 + self.failed_writes.load(Ordering::Relaxed)
    }
}

/// Standard error, with a count of failed writes.
struct CountingStderr(Arc<AtomicU64>);

impl io::Write for CountingStderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        if io::stderr().write_all(line).is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

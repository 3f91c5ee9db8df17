//! Logs: one event a line on standard error, as text or JSON, and a panic is an event too.
//!
//! A thread of its own writes them, and drops what it cannot write in time: whoever reads the log
//! (or stops reading it) must not be able to stop the daemon. What is logged can be changed while it runs.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::Level;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt as lines, reload};

use crate::config::{LogConfig, LogFormat};

/// The running log: what it drops and what it lets through.
#[derive(Clone)]
pub struct LogControl {
    configured: Targets,
    filter: reload::Handle<Targets, Registry>,
    dropped: ErrorCounter,
    unwritten: Arc<AtomicU64>,
}

/// Installs the process-wide log. What was logged last is written when the guard is dropped.
pub fn init(log: &LogConfig) -> (LogControl, WorkerGuard) {
    let unwritten = Arc::<AtomicU64>::default();
    let (writer, guard) = NonBlocking::new(Counted(unwritten.clone()));
    let dropped = writer.error_counter();
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = lines::layer().with_writer(writer).with_ansi(colours);
    let layer = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let (filter, handle) = reload::Layer::new(log.filter.clone());
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let payload = panic.payload_as_str().unwrap_or("a value that is not text");
        tracing::error!(place, payload, "panic");
    }));
    (LogControl { configured: log.filter.clone(), filter: handle, dropped, unwritten }, guard)
}

impl LogControl {
    /// What is let through now.
    pub fn filter(&self) -> String {
        self.filter.with_current(ToString::to_string).unwrap_or_default()
    }

    /// Lets through what `filter` says, from now on. The change is told by the filter that lets it through.
    pub fn set(&self, filter: Targets) {
        let tell = |filter: &str| tracing::info!(filter, "log filter changed");
        let new = filter.to_string();
        let is_told_after = filter.would_enable(module_path!(), &Level::INFO);
        if !is_told_after {
            tell(&new);
        }
        // An error: there is no log any more, and nobody to tell.
        let _ = self.filter.reload(filter);
        if is_told_after {
            tell(&new);
        }
    }

    /// To all of debug, and from there back to what was configured.
    pub fn toggle(&self) {
        let debug = Targets::new().with_default(LevelFilter::DEBUG);
        let is_debug = self.filter.with_current(|now| *now == debug).unwrap_or_default();
        self.set(if is_debug { self.configured.clone() } else { debug });
    }

    /// Lines that were given up, because whoever reads the log is slow, or gone.
    pub(crate) fn dropped_lines(&self) -> u64 {
        self.dropped.dropped_lines() as u64 + self.unwritten.load(Ordering::Relaxed)
    }
}

/// Standard error, and how many lines it did not take.
struct Counted(Arc<AtomicU64>);

impl io::Write for Counted {
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

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogControl").field("filter", &self.filter()).finish_non_exhaustive()
    }
}

//! The log of the servers in this process, as lines of JSON.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use serde_json::Value;
use tracing_subscriber::filter::LevelFilter;

static LINES: Mutex<Vec<Value>> = Mutex::new(Vec::new());

/// Begins to keep the lines. They are those of all servers, so tests select theirs by the peer.
pub(crate) fn capture() {
    static START: Once = Once::new();
    START.call_once(|| {
        let lines = tracing_subscriber::fmt().json().flatten_event(true);
        lines.with_max_level(LevelFilter::INFO).with_writer(|| Lines).init();
    });
}

/// Returns the lines with this message about this peer.
pub(crate) fn lines(message: &str, peer: &str) -> Vec<Value> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let matching = lines.iter().filter(|line| line["message"] == message && line["peer"] == peer);
    matching.cloned().collect()
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let value = serde_json::from_slice(line)?;
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(value);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

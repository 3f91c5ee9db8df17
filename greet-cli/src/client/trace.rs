//! Implements `--trace` (W3C Trace Context): a command is a trace, an attempt of a call is a span.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use http::{HeaderName, HeaderValue};

/// The header with the IDs of the trace and the span.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The ID of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace(u128);

impl Trace {
    /// Returns a random ID from the keys of the standard library's hasher; `fastrand` seeds itself
    /// from the time, which commands can share.
    pub(crate) fn new() -> Trace {
        let random = RandomState::new();
        let [high, low] = [0_u8, 1].map(|half| u128::from(random.hash_one(half)));
        Trace((high << 64 | low).max(1)) // zero is invalid
    }

    /// Returns the header for the next attempt.
    pub(crate) fn parent(self) -> HeaderValue {
        let span = fastrand::u64(1..); // zero is invalid
        let text = format!("00-{self}-{span:016x}-01");
        let mut parent = HeaderValue::try_from(text).expect("digits, letters and hyphens");
        // Keeps it out of the HPACK table, where each value would evict headers that repeat.
        parent.set_sensitive(true);
        parent
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent_has_w3c_format_and_is_unique() {
        let trace = Trace(0xa);
        let parent = trace.parent();
        let parts: Vec<_> = parent.to_str().unwrap().split('-').collect();
        assert_eq!(
            [parts[0], parts[1], parts[3]],
            ["00", "0000000000000000000000000000000a", "01"]
        );
        assert_eq!(parts[2].len(), 16);
        assert!(parts[2].bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        assert_ne!(trace.parent(), parent);
        assert_ne!(Trace::new(), Trace::new());
    }
}

//! `--trace`: ids by which a tracing backend joins what both sides saw of a call (W3C Trace Context). One
//! trace is a command, one span in it a call.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use http::{HeaderName, HeaderValue};

/// The header that carries both.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The id that the calls of a command have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace(u128);

impl Trace {
    /// One that no other command has. The system's randomness is in the standard library's hashes; the
    /// generator behind our jitter begins with the time, which others may have, too.
    pub(crate) fn new() -> Trace {
        let random = RandomState::new();
        let [high, low] = [0_u8, 1].map(|half| u128::from(random.hash_one(half)));
        Trace((high << 64 | low).max(1)) // zero stands for no trace
    }

    /// The header of one more call, or of one more attempt at it.
    pub(crate) fn parent(self) -> HeaderValue {
        let span = fastrand::u64(1..); // zero stands for no span
        let text = format!("00-{self}-{span:016x}-01");
        let mut parent = HeaderValue::try_from(text).expect("digits, letters and hyphens");
        // No secret; but HPACK then leaves it out of its table, where each would push out what comes again.
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

//! Limits what a peer may do that costs the daemon work and gains the peer no reply: calls that it
//! abandons, requests that HTTP/2 rejects, control frames.
//!
//! h2 limits few of them: it counts only resets of calls that were not accepted yet, and neither
//! PING, SETTINGS, WINDOW_UPDATE, PRIORITY and unknown frames nor header lists over the limit. Each
//! limit is a leaky bucket: a burst is allowed, and then a rate.

use std::time::{Duration, Instant};

/// Enough for a proxy whose clients all disconnect together; netty allows 200 resets in 30 s.
const MAX_ABANDONED_CALLS: i64 = 200;
/// Answered calls that forgive one abandoned call: a busy proxy passes on the cancellations of many
/// clients. HTTP/2 proxies compare the two as well.
const ANSWERED_PER_ABANDONED_CALL: u64 = 4;
/// Interval after which one abandoned call is forgiven: 200 in 30 s.
const ABANDONED_CALL_INTERVAL: Duration = Duration::from_millis(150);

/// A client may send as many calls before it knows SETTINGS_MAX_CONCURRENT_STREAMS; h2 itself counts
/// refused streams, and data that follows on them, up to 1024.
const MAX_REJECTED_REQUESTS: i64 = 1_000;
/// The interval of abandoned calls: both cost a reset.
const REJECTED_REQUEST_INTERVAL: Duration = ABANDONED_CALL_INTERVAL;

/// Above what any client of the test suite sends at once; Envoy allows 1000 unanswered ones.
const MAX_CONTROL_FRAMES: i64 = 1_000;
/// Interval after which one control frame is forgiven. gRPC clients send one PING per 10 s at most
/// while they receive nothing.
const CONTROL_FRAME_INTERVAL: Duration = Duration::from_millis(50);
/// Control frames that a call, or a message of a stream to the peer, allows in addition: a priority, a
/// reset, two WINDOW_UPDATEs. grpc-go sends a PING for each message that it reads.
const CONTROL_FRAMES_PER_CALL: u64 = 4;
/// Bytes to the peer that allow one control frame in addition. grpc-go and C-core send a PING and two
/// WINDOW_UPDATEs per read of up to 16 KiB, and other clients less.
const BYTES_PER_CONTROL_FRAME: u64 = 1_024;
/// Frames that calls and replies may allow ahead: the WINDOW_UPDATEs for a full window of 10 MiB can
/// come at once.
const MAX_CONTROL_FRAMES_AHEAD: i64 = 10_000;

/// What one peer has done lately.
#[derive(Debug)]
pub(super) struct AbuseLimits {
    abandoned_calls: LeakyBucket,
    rejected_requests: LeakyBucket,
    control_frames: LeakyBucket,
    /// The control frames that calls and replies have allowed so far.
    control_frames_earned: u64,
    /// The calls that had been answered at the last abandoned one.
    answered_calls: u64,
}

impl AbuseLimits {
    pub(super) fn new(now: Instant) -> AbuseLimits {
        let bucket =
            |capacity, interval| LeakyBucket { capacity, interval, level: 0, leaked_at: now };
        AbuseLimits {
            abandoned_calls: bucket(MAX_ABANDONED_CALLS, ABANDONED_CALL_INTERVAL),
            rejected_requests: bucket(MAX_REJECTED_REQUESTS, REJECTED_REQUEST_INTERVAL),
            control_frames: bucket(MAX_CONTROL_FRAMES, CONTROL_FRAME_INTERVAL),
            control_frames_earned: 0,
            answered_calls: 0,
        }
    }

    /// Counts a call that the peer has abandoned; `answered_calls` were not. Returns whether it is over
    /// the limit.
    pub(super) fn call_abandoned(&mut self, answered_calls: u64, now: Instant) -> bool {
        let forgiven = (answered_calls - self.answered_calls) / ANSWERED_PER_ABANDONED_CALL;
        self.answered_calls += forgiven * ANSWERED_PER_ABANDONED_CALL;
        self.abandoned_calls.allow(forgiven, 0);
        self.abandoned_calls.add(1, now)
    }

    /// Counts requests that HTTP/2 has rejected. Returns whether they are over the limit.
    pub(super) fn requests_rejected(&mut self, requests: u64, now: Instant) -> bool {
        self.rejected_requests.add(requests, now)
    }

    /// Counts control frames of a peer that has made `calls` calls, or received messages of streams, and
    /// received `bytes` bytes so far.
    /// Returns whether they are over the limit.
    pub(super) fn control_frames(
        &mut self,
        frames: u64,
        calls: u64,
        bytes: u64,
        now: Instant,
    ) -> bool {
        let earned = CONTROL_FRAMES_PER_CALL * calls + bytes / BYTES_PER_CONTROL_FRAME;
        let newly = earned - self.control_frames_earned;
        self.control_frames_earned = earned;
        self.control_frames.allow(newly, MAX_CONTROL_FRAMES_AHEAD);
        self.control_frames.add(frames, now)
    }
}

/// A leaky bucket of events.
#[derive(Debug)]
struct LeakyBucket {
    capacity: i64,
    /// Time in which one event leaks.
    interval: Duration,
    /// Negative while more events are allowed than the capacity.
    level: i64,
    leaked_at: Instant,
}

impl LeakyBucket {
    /// Adds events. Returns whether the bucket overflows.
    fn add(&mut self, events: u64, now: Instant) -> bool {
        let intervals = (now - self.leaked_at).as_micros() / self.interval.as_micros();
        let leaked = u32::try_from(intervals).unwrap_or(u32::MAX);
        self.level -= i64::from(leaked).min(self.level.max(0));
        self.leaked_at = match self.level {
            1.. => self.leaked_at + self.interval * leaked,
            _ => now,
        };
        self.level += i64::try_from(events).unwrap_or(i64::MAX / 2);
        self.level > self.capacity
    }

    /// Removes events, down to `max_ahead` below an empty bucket.
    fn allow(&mut self, events: u64, max_ahead: i64) {
        let events = i64::try_from(events).unwrap_or(i64::MAX / 2);
        self.level = (self.level - events).max(-max_ahead);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_up_to_the_limit_is_allowed() {
        let now = Instant::now();
        let mut limits = AbuseLimits::new(now);
        assert!(!(0..200).any(|_| limits.call_abandoned(0, now)));
        assert!(limits.call_abandoned(0, now));
        assert!(!limits.requests_rejected(1_000, now));
        assert!(limits.requests_rejected(1, now));
        assert!(!limits.control_frames(1_000, 0, 0, now));
        assert!(limits.control_frames(1, 0, 0, now));
    }

    #[test]
    fn one_abandoned_call_per_interval_is_forgiven() {
        let is_allowed = |interval: Duration| {
            let start = Instant::now();
            let mut limits = AbuseLimits::new(start);
            !(0..100_000).any(|call| limits.call_abandoned(0, start + interval * call))
        };
        assert!(is_allowed(ABANDONED_CALL_INTERVAL));
        assert!(!is_allowed(ABANDONED_CALL_INTERVAL - Duration::from_millis(1)));
    }

    #[test]
    fn four_answered_calls_forgive_an_abandoned_one() {
        let now = Instant::now();
        let is_over = |answered_per_abandoned: u64| {
            let mut limits = AbuseLimits::new(now);
            (0..10_000).any(|call| limits.call_abandoned(answered_per_abandoned * call, now))
        };
        assert!(!is_over(4) && is_over(3));
    }

    #[test]
    fn twenty_control_frames_per_second_are_forgiven() {
        let now = Instant::now();
        let mut limits = AbuseLimits::new(now);
        assert!(!limits.control_frames(1_000, 0, 0, now));
        let later = now + Duration::from_secs(1);
        assert!(!limits.control_frames(20, 0, 0, later));
        assert!(limits.control_frames(1, 0, 0, later));
    }

    #[test]
    fn calls_and_bytes_to_the_peer_allow_control_frames() {
        let now = Instant::now();
        let over =
            |frames, calls, bytes| AbuseLimits::new(now).control_frames(frames, calls, bytes, now);
        assert!(!over(1_000 + 4, 1, 0) && over(1_000 + 5, 1, 0));
        assert!(!over(1_000 + 2, 0, 2 * 1_024) && over(1_000 + 3, 0, 2 * 1_024));
        assert!(!over(11_000, 1_000_000, 0) && over(11_001, 1_000_000, 0));
    }

    #[test]
    fn what_a_call_allows_is_used_once() {
        let now = Instant::now();
        let mut limits = AbuseLimits::new(now);
        assert!(!limits.control_frames(1_004, 1, 0, now));
        assert!(limits.control_frames(1, 1, 0, now));
    }
}

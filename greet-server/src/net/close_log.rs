//! One line for a connection that was closed or refused, with its peer and the cause; and no more
//! than one a second for each cause, so that an attack fills no disk.

use std::time::{Duration, Instant};

use crate::grpc::connection_state::Peer;
use crate::telemetry::metrics::close_reason::CloseCause;

const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// What was told, and how much was not.
#[derive(Debug, Default)]
pub(crate) struct ClosedLog {
    causes: [Told; CloseCause::ALL.len()],
}

#[derive(Debug, Default, Clone, Copy)]
struct Told {
    last: Option<Instant>,
    untold: u64,
}

impl ClosedLog {
    pub(crate) fn closed(&mut self, peer: Peer, cause: CloseCause) {
        let more = self.causes[cause as usize].may_tell(Instant::now());
        if let Some(more) = more {
            let cause = cause.name();
            tracing::info!(%peer, cause, more, "connection closed");
        }
    }
}

/// Logs how many connections were closed without a line since the last one. Done on drop, so that no
/// owner of a log can forget it: the acceptor's was never flushed.
impl Drop for ClosedLog {
    fn drop(&mut self) {
        for (cause, told) in CloseCause::ALL.into_iter().zip(&mut self.causes) {
            let (cause, more) = (cause.name(), std::mem::take(&mut told.untold));
            if more > 0 {
                tracing::info!(cause, more, "connections closed without a line");
            }
        }
    }
}

impl Told {
    /// Whether it is time for a line, and how many went without one since the last.
    fn may_tell(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now - last < AT_MOST_EVERY) {
            self.untold += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_a_second_with_how_many_more_there_were() {
        let mut told = Told::default();
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        assert_eq!(told.may_tell(at(0)), Some(0));
        assert_eq!(told.may_tell(at(1)), None);
        assert_eq!(told.may_tell(at(999)), None);
        assert_eq!(told.may_tell(at(1_000)), Some(2));
        assert_eq!(told.may_tell(at(2_500)), Some(0));
    }
}

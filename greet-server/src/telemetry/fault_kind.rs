//! The kinds of injected faults, as metrics, the access log and spans name them.

use std::fmt;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Delay,
    Status,
    Reset,
    Goaway,
}

impl FaultKind {
    /// Every kind, in the order of their numbers.
    pub(crate) const ALL: [FaultKind; 4] =
        [FaultKind::Delay, FaultKind::Status, FaultKind::Reset, FaultKind::Goaway];

    pub(crate) fn name(self) -> &'static str {
        match self {
            FaultKind::Delay => "delay",
            FaultKind::Status => "status",
            FaultKind::Reset => "reset",
            FaultKind::Goaway => "goaway",
        }
    }
}

/// The kinds of the faults of one call, a bit for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FaultKinds(u8);

impl FaultKinds {
    pub(crate) fn with(self, kind: FaultKind) -> FaultKinds {
        FaultKinds(self.0 | 1 << kind as u8)
    }

    pub(crate) fn contains(self, kind: FaultKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// Returns `None` for a call without a fault.
    pub(crate) fn if_any(self) -> Option<FaultKinds> {
        (self != FaultKinds::default()).then_some(self)
    }
}

impl fmt::Display for FaultKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = FaultKind::ALL.into_iter().filter(|kind| self.contains(*kind));
        write!(f, "{}", kinds.map(FaultKind::name).collect::<Vec<_>>().join(","))
    }
}

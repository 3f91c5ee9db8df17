//! All figures of a run.

use super::calls::{Effort, Table};
use super::peers::Peer;
use super::process::{OneShot, Process};

/// Idle connections beside ten that are called.
pub(super) const MANY_CONNECTIONS: usize = 990;

/// The result of a run.
pub(super) struct Figures {
    pub(super) effort: Effort,
    pub(super) versions: Vec<(Peer, String)>,
    pub(super) missing: Vec<String>,
    pub(super) shapes: Vec<Table>,
    pub(super) payloads: Vec<(usize, Table)>,
    pub(super) tls: Table,
    pub(super) observability: Table,
    /// The CPU time of a call with a thousand connections, relative to ten.
    pub(super) many_connections_ratio: f64,
    pub(super) processes: Vec<Process>,
    pub(super) one_shots: Vec<OneShot>,
}

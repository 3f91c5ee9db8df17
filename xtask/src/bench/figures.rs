//! All figures of a run.

use super::calls::{Effort, Table};
use super::clients::{LoadCost, OneShot};
use super::peers::Peer;
use super::process::Process;

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
    /// greet-server with ten connections, and with a thousand of which ten are called.
    pub(super) many_connections: Table,
    pub(super) processes: Vec<Process>,
    pub(super) one_shots: Vec<OneShot>,
    pub(super) load: LoadCost,
    pub(super) guided_load: Option<LoadCost>,
}

impl Figures {
    pub(super) fn tables(&self) -> impl Iterator<Item = &Table> {
        let payloads = self.payloads.iter().map(|(_, table)| table);
        let others = [&self.tls, &self.observability, &self.many_connections];
        self.shapes.iter().chain(payloads).chain(others)
    }
}

//! What a call costs each peer, in rounds: all of them, one after the other, again and again, so that
//! whatever else the machine does falls on all alike.

use super::h2load::{Generator, Sample, Shape};
use super::peers::Peer;
use crate::harness::command::step;
use crate::harness::daemon::Daemon;

/// Calls that tell how many fit into the time of a sample.
const CALLS_TO_TRY: u64 = 2_000;

/// How thorough to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    pub(super) rounds: usize,
    pub(super) seconds_per_sample: f64,
}

/// A peer's samples of one shape.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    pub(super) peer: Peer,
    samples: Vec<Sample>,
}

/// Of all peers.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) shape: Shape,
    pub(super) rows: Vec<Measured>,
}

/// Measures all of `servers` with one shape.
pub(super) fn measure(
    servers: &[(Peer, Daemon)],
    generator: &Generator,
    shape: Shape,
    effort: Effort,
) -> anyhow::Result<Table> {
    let mut rows = Vec::new();
    let mut counts = Vec::new();
    for (peer, server) in servers {
        let tried = generator.call(server, shape, CALLS_TO_TRY)?;
        counts.push(((tried.calls_per_s * effort.seconds_per_sample) as u64).max(CALLS_TO_TRY));
        rows.push(Measured { peer: *peer, samples: Vec::new() });
    }
    for _ in 0..effort.rounds {
        for (((_, server), row), calls) in servers.iter().zip(&mut rows).zip(&counts) {
            row.samples.push(generator.call(server, shape, *calls)?);
        }
    }
    for row in &rows {
        let (cpu, rate) = (row.median(|it| it.cpu_us_per_call), row.median(|it| it.calls_per_s));
        let name = row.peer.name();
        step(format_args!("{:<8} {name:<28} {cpu:>7.2} us a call {rate:>8.0}/s", shape.name()));
    }
    Ok(Table { shape, rows })
}

impl Measured {
    pub(super) fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(figure))
    }

    /// Round by round, against the same rounds of another.
    pub(super) fn ratio(&self, other: &Measured, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().zip(&other.samples).map(|(a, b)| figure(a) / figure(b)))
    }

    /// Whether the generator, and not the server, had no more to give: its calls a second are no
    /// figure of the server's then.
    pub(super) fn is_client_bound(&self) -> bool {
        const BUSY: f64 = 0.9;
        self.median(|sample| sample.server_share) < BUSY
    }

    pub(super) fn most_steal(&self) -> f64 {
        self.samples.iter().map(|sample| sample.steal_share).fold(0.0, f64::max)
    }
}

impl Table {
    pub(super) fn of(&self, peer: Peer) -> Option<&Measured> {
        self.rows.iter().find(|row| row.peer == peer)
    }

    /// What a call costs one against another.
    pub(super) fn cpu_ratio(&self, peer: Peer, other: Peer) -> Option<f64> {
        Some(self.of(peer)?.ratio(self.of(other)?, |sample| sample.cpu_us_per_call))
    }
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => (values[length / 2 - 1] + values[length / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }
}

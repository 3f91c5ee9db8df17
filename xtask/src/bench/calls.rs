//! The cost of a call for each server, in rounds: all servers in turn in each round, so that other
//! load on the machine affects all alike.

use std::time::Instant;

use super::cpu::steal_time;
use super::h2load::{Generator, Sample, Shape};
use super::peers::Peer;
use crate::harness::command::progress;
use crate::harness::daemon::Daemon;

/// Calls from which the number of calls of a sample is estimated.
const CALLS_TO_TRY: u64 = 2_000;
/// The share of stolen time from which a round is repeated. Among ten servers it is a fifth of the time of
/// one, more than the targets leave between met and missed.
pub(super) const MAX_STEAL: f64 = 0.02;
/// Repeats of a table. On a machine that is always disturbed they would take for ever.
const MAX_REPEATS: usize = 5;

/// The extent of a measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    pub(super) rounds: usize,
    pub(super) seconds_per_sample: f64,
}

/// The samples of one server.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    pub(super) peer: Peer,
    samples: Vec<Sample>,
}

/// The samples of all servers with one shape.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) shape: Shape,
    pub(super) rows: Vec<Measured>,
    /// The share of all cores that other guests of the machine took, at most, in the rounds that count.
    pub(super) max_steal: f64,
    pub(super) repeats: usize,
}

/// Measures all servers with one shape.
pub(super) fn measure(
    servers: &[(Peer, Daemon)],
    generator: &Generator,
    shape: Shape,
    effort: Effort,
) -> anyhow::Result<Table> {
    let mut rows = Vec::new();
    let mut counts = Vec::new();
    for (peer, server) in servers {
        let max = peer.max_calls(shape.connections);
        let tried = generator.call(server, shape, CALLS_TO_TRY.min(max))?;
        let calls = (tried.calls_per_s * effort.seconds_per_sample) as u64;
        counts.push(calls.max(CALLS_TO_TRY).min(max));
        rows.push(Measured { peer: *peer, samples: Vec::new() });
    }
    let cores = std::thread::available_parallelism()?.get() as f64;
    let (mut max_steal, mut repeats, mut rounds) = (0.0_f64, 0, 0);
    while rounds < effort.rounds {
        let (stolen, started) = (steal_time()?, Instant::now());
        let round = servers.iter().zip(&counts);
        let round = round.map(|((_, server), calls)| generator.call(server, shape, *calls));
        let round = round.collect::<anyhow::Result<Vec<_>>>()?;
        let stolen = (steal_time()? - stolen).as_secs_f64();
        let steal = stolen / started.elapsed().as_secs_f64() / cores;
        if steal > MAX_STEAL && repeats < MAX_REPEATS {
            repeats += 1;
            continue;
        }
        rounds += 1;
        max_steal = max_steal.max(steal);
        for (row, sample) in rows.iter_mut().zip(round) {
            row.samples.push(sample);
        }
    }
    for row in &rows {
        let cpu = row.median(|sample| sample.cpu_us_per_call);
        let rate = row.median(|sample| sample.calls_per_s);
        let name = row.peer.name();
        progress(format_args!("{:<8} {name:<28} {cpu:>7.2} us a call {rate:>8.0}/s", shape.name()));
    }
    Ok(Table { shape, rows, max_steal, repeats })
}

impl Measured {
    pub(super) fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(figure))
    }

    /// Compares with another server round by round.
    pub(super) fn ratio(&self, other: &Measured, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().zip(&other.samples).map(|(a, b)| figure(a) / figure(b)))
    }

    /// Returns whether the generator was the bottleneck, so that the server had time left.
    pub(super) fn is_client_bound(&self) -> bool {
        const BUSY: f64 = 0.9;
        self.median(|sample| sample.server_share) < BUSY
    }
}

impl Table {
    pub(super) fn of(&self, peer: Peer) -> Option<&Measured> {
        self.rows.iter().find(|row| row.peer == peer)
    }

    /// Returns the ratio of the CPU time of a call.
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
    fn median_is_the_middle_value() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }
}

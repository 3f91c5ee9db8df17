//! The generator: h2load, which is nobody's, on a core of its own; and what the kernel says that the
//! server had of the other.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use greet_testkit::framing::{framed, hello};
use tempfile::TempDir;

use super::peers::{CLIENT_CORE, on_core};
use crate::harness::command::run;
use crate::harness::daemon::Daemon;
use crate::harness::tools;

/// So many connections with so many calls each, at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) connections: u32,
    pub(super) streams: u32,
}

impl Shape {
    pub(super) const fn new(connections: u32, streams: u32) -> Shape {
        Shape { connections, streams }
    }

    pub(super) fn name(self) -> String {
        format!("{}x{}", self.connections, self.streams)
    }
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Of the server's CPU time, user and system.
    pub(super) cpu_us_per_call: f64,
    pub(super) calls_per_s: f64,
    pub(super) mean_us: f64,
    pub(super) max_us: f64,
    /// Of its core, while it was called.
    pub(super) server_share: f64,
    /// Of all cores, taken by other guests of the machine.
    pub(super) steal_share: f64,
}

/// Calls SayHello with one name.
#[derive(Debug)]
pub(super) struct Generator {
    request: PathBuf,
    reply_bytes: u64,
    _directory: TempDir,
}

impl Generator {
    pub(super) fn new(name_bytes: usize) -> anyhow::Result<Generator> {
        let name = if name_bytes == 3 { "Ada".to_owned() } else { "x".repeat(name_bytes) };
        let request = framed(&hello(&name));
        let reply_bytes = framed(&hello(&format!("Hello {name}"))).len() as u64;
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("request");
        fs::write(&file, request)?;
        Ok(Generator { request: file, reply_bytes, _directory: directory })
    }

    /// Calls, checks that each reply had the bytes it must have, and returns what it took.
    pub(super) fn call(&self, server: &Daemon, shape: Shape, calls: u64) -> anyhow::Result<Sample> {
        let mut h2load = tools::apt("h2load", "--version", "nghttp2-client")?;
        h2load.arg(format!("--requests={calls}")).arg(format!("--clients={}", shape.connections));
        h2load.arg(format!("--max-concurrent-streams={}", shape.streams)).arg("--threads=1");
        h2load.arg("--data").arg(&self.request);
        h2load.args(["--header=content-type: application/grpc", "--header=te: trailers"]);
        h2load.arg(format!("{}/greet.Greeter/SayHello", server.target));
        let (cpu, steal, begun) = (cpu_s(server)?, steal_s()?, Instant::now());
        let said = run(&mut on_core(CLIENT_CORE, &h2load))?.succeeded()?;
        let took = begun.elapsed().as_secs_f64();
        let (cpu, steal) = (cpu_s(server)? - cpu, steal_s()? - steal);
        self.check(&said, calls).with_context(|| said.clone())?;
        let [_, max, mean, ..] = times(&said).with_context(|| said.clone())?;
        let rate = said.split(" req/s").next().and_then(|said| said.rsplit(' ').next());
        let cores = std::thread::available_parallelism()?.get() as f64;
        Ok(Sample {
            cpu_us_per_call: cpu * 1e6 / calls as f64,
            calls_per_s: rate.and_then(|rate| rate.parse().ok()).context("no req/s")?,
            mean_us: mean,
            max_us: max,
            server_share: cpu / took,
            steal_share: steal / took / cores,
        })
    }

    /// h2load counts HTTP statuses, and a failed call has 200 as well: only the bytes tell.
    fn check(&self, said: &str, calls: u64) -> anyhow::Result<()> {
        anyhow::ensure!(said.contains(&format!(" {calls} succeeded, 0 failed")), "calls failed");
        let data = said.split(") data").next().and_then(|said| said.rsplit('(').next());
        let data: u64 = data.and_then(|data| data.parse().ok()).context("no bytes of data")?;
        let expected = calls * self.reply_bytes;
        anyhow::ensure!(data == expected, "{data} bytes of data, not {expected}");
        Ok(())
    }
}

/// Minimum, maximum, mean and deviation of a request, in microseconds.
fn times(said: &str) -> Option<[f64; 4]> {
    let line = said.lines().find_map(|line| line.strip_prefix("time for request:"))?;
    let micros = |time: &str| {
        let digits = time.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, unit) = time.split_at(digits);
        let scale = match unit {
            "us" => 1.0,
            "ms" => 1e3,
            "s" => 1e6,
            _ => return None,
        };
        Some(number.parse::<f64>().ok()? * scale)
    };
    let mut times = line.split_whitespace().filter_map(micros);
    Some([times.next()?, times.next()?, times.next()?, times.next()?])
}

/// The time that a server has had on a core, user and system.
fn cpu_s(server: &Daemon) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.id()))?;
    let (_, fields) = stat.rsplit_once(") ").context("a process has a name")?;
    Ok(sum_of_ticks(fields.split(' ').skip(11).take(2)))
}

fn steal_s() -> anyhow::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let all = stat.lines().next().context("the kernel counts")?;
    Ok(sum_of_ticks(all.split_whitespace().skip(8).take(1)))
}

/// The kernel counts in hundredths of a second, whatever its own clock is.
fn sum_of_ticks<'a>(fields: impl Iterator<Item = &'a str>) -> f64 {
    const TICKS_PER_S: f64 = 100.0;
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_S
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let said = "time for request:      639us    12.50ms      1.25s         0us    75.00%";
        assert_eq!(times(said), Some([639.0, 12_500.0, 1_250_000.0, 0.0]));
    }
}

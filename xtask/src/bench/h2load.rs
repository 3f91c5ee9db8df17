//! The load generator h2load on its own core, and the CPU time of the server from the kernel.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use greet_testkit::framing::{framed, text_message};
use tempfile::TempDir;

use super::cpu::cpu_time_of_children;
use crate::harness::command::capture;
use crate::harness::cores::{CLIENT_CORE, on_core};
use crate::harness::daemon::Daemon;
use crate::harness::resources::cpu_time;
use crate::harness::tools;

/// Connections, and concurrent calls on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) connections: u32,
    pub(super) streams: u32,
}

impl Shape {
    /// Ten connections with ten calls each.
    pub(super) const TEN_BY_TEN: Shape = Shape::new(10, 10);

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
    /// CPU time of the server, user and system.
    pub(super) cpu_us_per_call: f64,
    /// CPU time of h2load, user and system.
    pub(super) client_us_per_call: f64,
    pub(super) calls_per_s: f64,
    pub(super) mean_us: f64,
    pub(super) max_us: f64,
    /// The share of its core that the server used.
    pub(super) server_share: f64,
}

/// Calls SayHello with the same name each time.
#[derive(Debug)]
pub(super) struct Generator {
    request: PathBuf,
    reply_bytes: u64,
    _directory: TempDir,
}

impl Generator {
    pub(super) fn new(name_bytes: usize) -> anyhow::Result<Generator> {
        let name = if name_bytes == 3 { "Ada".to_owned() } else { "x".repeat(name_bytes) };
        let request = framed(&text_message(&name));
        let reply_bytes = framed(&text_message(&format!("Hello {name}"))).len() as u64;
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("request");
        fs::write(&file, request)?;
        Ok(Generator { request: file, reply_bytes, _directory: directory })
    }

    /// Makes `calls` calls and checks the size of all replies.
    pub(super) fn call(&self, server: &Daemon, shape: Shape, calls: u64) -> anyhow::Result<Sample> {
        let mut h2load = tools::apt("h2load", "--version", "nghttp2-client")?;
        h2load.arg(format!("--requests={calls}")).arg(format!("--clients={}", shape.connections));
        h2load.arg(format!("--max-concurrent-streams={}", shape.streams)).arg("--threads=1");
        h2load.arg("--data").arg(&self.request);
        h2load.args(["--header=content-type: application/grpc", "--header=te: trailers"]);
        h2load.arg(format!("{}/greet.Greeter/SayHello", server.target));
        let (cpu, client) = (cpu_time(server)?, cpu_time_of_children()?);
        let started = Instant::now();
        let output = capture(&mut on_core(CLIENT_CORE, &h2load))?.succeeded()?;
        let took = started.elapsed().as_secs_f64();
        let cpu = (cpu_time(server)? - cpu).as_secs_f64();
        let client = (cpu_time_of_children()? - client).as_secs_f64();
        self.check(&output, calls).with_context(|| output.clone())?;
        let [_, max, mean, ..] = times(&output).with_context(|| output.clone())?;
        let rate = output.split(" req/s").next().and_then(|output| output.rsplit(' ').next());
        Ok(Sample {
            cpu_us_per_call: cpu * 1e6 / calls as f64,
            client_us_per_call: client * 1e6 / calls as f64,
            calls_per_s: rate.and_then(|rate| rate.parse().ok()).context("no req/s")?,
            mean_us: mean,
            max_us: max,
            server_share: cpu / took,
        })
    }

    /// A failed call has HTTP status 200 as well, so the bytes of the replies are compared.
    fn check(&self, output: &str, calls: u64) -> anyhow::Result<()> {
        anyhow::ensure!(output.contains(&format!(" {calls} succeeded, 0 failed")), "calls failed");
        let data = output.split(") data").next().and_then(|output| output.rsplit('(').next());
        let data: u64 = data.and_then(|data| data.parse().ok()).context("no bytes of data")?;
        let expected = calls * self.reply_bytes;
        anyhow::ensure!(data == expected, "{data} bytes of data, not {expected}");
        Ok(())
    }
}

/// Returns minimum, maximum, mean and deviation of a request, in microseconds.
fn times(output: &str) -> Option<[f64; 4]> {
    let line = output.lines().find_map(|line| line.strip_prefix("time for request:"))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let output = "time for request:      639us    12.50ms      1.25s         0us    75.00%";
        assert_eq!(times(output), Some([639.0, 12_500.0, 1_250_000.0, 0.0]));
    }
}

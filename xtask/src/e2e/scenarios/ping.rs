//! `greet-cli ping` beside a daemon that is replaced on its port, and one that is killed.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::harness::command::{terminate, wait, within};
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;

/// Above the time of every step: it ends a hang and does not judge speed.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let listen = format!("--listen=127.0.0.1:{port}");
    let start = |instance| Daemon::start(programs, &[&listen, "--reuse-port", instance]);
    let old = start("--instance=old")?;

    let mut ping = Ping::start(&mut programs.client(&old.target, &[]))?;
    ping.next(|it| it["answered_by"]["old"].is_u64())?;
    let new = start("--instance=new")?;
    old.stop_cleanly()?;
    ping.next(|it| it["answered_by"]["new"].is_u64())?;
    let calm = ping.summary()?;
    ensure!(calm["calls"]["failed"] == 0, "a call failed during the replacement: {calm}");

    let mut ping = Ping::start(&mut programs.client(&new.target, &[]))?;
    ping.next(|it| it["answered_by"]["new"].is_u64())?;
    drop(new); // kills it
    ping.next(|it| it["calls"]["failed"].as_u64() > Some(0))?;
    let third = start("--instance=third")?;
    let outage = ping.next(|it| it["kind"] == "outage")?;
    let killed = ping.summary()?;
    let (failed, calls) = (&killed["calls"]["failed"], &outage["calls"]);
    ensure!(killed["outages"]["count"] == 1 && failed == calls, "{outage} {killed}");
    third.stop_cleanly()?;
    let took = outage["duration_us"].as_u64().context("an outage has a duration")? / 1_000;
    let ok = &calm["calls"]["ok"];
    Ok(format!("replaced: {ok} calls, no outage; killed: one outage of {took} ms, {calls} calls"))
}

/// A running ping with JSON output. Dropped, it is killed.
pub(super) struct Ping {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Ping {
    pub(super) fn start(client: &mut Command) -> anyhow::Result<Ping> {
        client.args(["--output=json", "ping", "--interval=20ms"]);
        let mut child = client.stdout(Stdio::piped()).spawn()?;
        let stdout = BufReader::new(child.stdout.take().context("standard output is piped")?);
        Ok(Ping { child, stdout })
    }

    /// Reads up to the next object that is wanted.
    pub(super) fn next(&mut self, is_wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        loop {
            let mut line = String::new();
            within(self.child.id(), TIMEOUT, || self.stdout.read_line(&mut line))?;
            let object = serde_json::from_str(&line).context("ping prints objects")?;
            if is_wanted(&object) {
                return Ok(object);
            }
        }
    }

    /// Interrupts it and returns its summary of the target.
    pub(super) fn summary(mut self) -> anyhow::Result<Value> {
        terminate(&self.child)?;
        let mut summary = self.next(|it| it["kind"] == "summary")?;
        wait(&mut self.child, TIMEOUT)?;
        Ok(summary["targets"][0].take())
    }
}

impl Drop for Ping {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }
}

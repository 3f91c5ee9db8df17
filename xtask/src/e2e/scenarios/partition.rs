//! A network partition: the kernel drops what both programs send, and later passes it on again. The calls of
//! `greet-cli ping` that fail are one outage. The daemon answers each call that succeeded, and none that was not sent.
//!
//! The tests of greet-cli fail connections after each byte. Here the link itself fails, so that the kernel's
//! retransmissions and timeouts take part.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::ping::Ping;
use crate::harness::command::capture;
use crate::harness::daemon::Daemon;
use crate::harness::net_namespace::NetNamespace;
use crate::harness::programs::Programs;

/// The failed calls after which the link comes back: enough for several deadlines.
const FAILED_CALLS: u64 = 10;
/// The timeout of a call, so that a partition is noticed soon.
const CALL_TIMEOUT: Duration = Duration::from_millis(300);

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let namespace = NetNamespace::new("ip link set lo up")?;
    let set_link = |state: &str| -> anyhow::Result<()> {
        let mut ip = namespace.command(Path::new("ip"));
        capture(ip.args(["link", "set", "lo", state]))?.succeeded()?;
        Ok(())
    };
    let mut server = namespace.command(&programs.server);
    let flags = ["--log-format=json", "--listen=127.0.0.1:0", "--keepalive-timeout=10s"];
    let daemon = Daemon::spawn(server.args(flags))?;
    let mut client = namespace.command(&programs.cli);
    client.arg(format!("--timeout={}ms", CALL_TIMEOUT.as_millis()));
    let mut ping = Ping::start(client.args(["--target", &daemon.target]))?;

    ping.next(|it| it["calls"]["ok"].as_u64() > Some(0))?;
    set_link("down")?;
    ping.next(|it| it["calls"]["failed"].as_u64() >= Some(FAILED_CALLS))?;
    set_link("up")?;
    let outage = ping.next(|it| it["kind"] == "outage")?;
    let summary = ping.summary()?;
    let ended = daemon.stop_cleanly()?;

    let calls = |name: &str| summary["calls"][name].as_u64().context("the summary counts calls");
    let (ok, failed, in_flight) = (calls("ok")?, calls("failed")?, calls("in_flight")?);
    ensure!(summary["outages"]["count"] == 1 && outage["calls"] == failed, "{outage} {summary}");
    // A reply that the partition delayed beyond its deadline was answered, and failed for the client.
    let answered = ended.figure("answered")?;
    ensure!(
        (ok..=ok + failed + in_flight).contains(&answered),
        "{answered} calls answered: {summary}"
    );
    let took = outage["duration_us"].as_u64().context("an outage has a duration")? / 1_000;
    Ok(format!("{ok} calls ok, {failed} failed in an outage of {took} ms; {answered} answered"))
}

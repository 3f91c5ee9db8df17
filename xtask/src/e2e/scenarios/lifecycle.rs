//! Health, drain and replacement while calls arrive.
//!
//! Clients repeat a call elsewhere only if it was never sent. If the daemon lost a call that it had
//! accepted, the counts of clients and daemons would differ.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use greet_testkit::BlockingPeer;

use crate::harness::command::capture;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::sample;

const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
const MARGIN: Duration = Duration::from_secs(1);
const CLIENTS: usize = 6;
const BATCHES: usize = 12;
const CALLS_PER_BATCH: usize = 40;
/// Batches before a daemon stops: by then all clients are at full speed.
const BATCHES_BEFORE_SIGNAL: usize = 2 * CLIENTS;

pub(crate) fn health(programs: &Programs) -> anyhow::Result<String> {
    let flags = ["--listen", "127.0.0.1:0", "--drain-delay", "2s"];
    let mut daemon = Daemon::start(programs, &flags)?;
    let target = daemon.target.clone();
    let health = || capture(&mut programs.client(&target, &["health"]));

    let serving = health()?.succeeded()?;
    anyhow::ensure!(serving == "SERVING\n", "health is {serving:?}");

    daemon.terminate()?;
    let lame_duck = loop {
        let health = health()?;
        if health.status.code() != Some(0) {
            break health.exited_with(4)?.stdout;
        }
    };
    anyhow::ensure!(lame_duck == "NOT_SERVING\n", "health is {lame_duck:?}");
    let reply = capture(&mut programs.call(&target, "Late"))?.succeeded()?;
    anyhow::ensure!(reply == sample::reply("Late"), "the reply was {reply:?}");

    let ended = daemon.wait()?;
    anyhow::ensure!(ended.code == Some(0), "{ended:?}");
    health()?.exited_with(3)?;
    Ok("SERVING, then NOT_SERVING with calls answered, then closed".to_owned())
}

/// SIGTERM while four peers delay the end: one sends nothing, one acknowledges nothing, one has a
/// Watch and one a call that hangs.
pub(crate) fn drain_with_hostile_peers(programs: &Programs) -> anyhow::Result<String> {
    let drain_timeout = format!("{}s", DRAIN_TIMEOUT.as_secs());
    let flags = ["--listen", "127.0.0.1:0", "--drain-timeout", &drain_timeout];
    let daemon = Daemon::start(programs, &flags)?;
    let target = daemon.target.clone();

    let _silent = BlockingPeer::silent(&target)?;
    let _mute = BlockingPeer::connect(&target)?;
    let _watch = BlockingPeer::calling(&target, "/grpc.health.v1.Health/Watch", Some(b""))?;
    let _hanging = BlockingPeer::calling(&target, sample::PATH, None)?;

    let ended = daemon.stop()?;
    let took = ended.took;
    anyhow::ensure!(took <= DRAIN_TIMEOUT + MARGIN, "the drain took {took:?}");
    anyhow::ensure!(ended.code == Some(3), "{ended:?}");
    let (answered, cut) = (ended.figure("answered")?, ended.figure("cut")?);
    let is_expected = (answered, cut) == (1, 1);
    anyhow::ensure!(is_expected, "the Watch is answered, the hanging call cut: {ended:?}");
    Ok(format!("ended after {:.1} s with exit code 3, {cut} call cut", took.as_secs_f64()))
}

/// SIGTERM to one of two daemons while clients call it; they repeat at the other.
pub(crate) fn drain_under_load(programs: &Programs) -> anyhow::Result<String> {
    let blue = Daemon::start(programs, &["--listen", "127.0.0.1:0", "--instance", "blue"])?;
    let green = Daemon::start(programs, &["--listen", "127.0.0.1:0", "--instance", "green"])?;
    let targets = [("blue", blue.target.clone()), ("green", green.target.clone())];
    let (blue, received) = under_load(programs, &targets, || blue.stop())?;
    let green = green.stop()?;

    for (name, ended) in [("blue", &blue), ("green", &green)] {
        anyhow::ensure!(ended.code == Some(0), "{name}: {ended:?}");
        anyhow::ensure!(ended.figure("cut")? == 0, "{name}: {ended:?}");
        let (answered, received) = (ended.figure("answered")?, received.get(name).copied());
        anyhow::ensure!(
            received == Some(answered),
            "{name} answered {answered} calls, its clients received {received:?} replies"
        );
    }
    let calls = CLIENTS * BATCHES * CALLS_PER_BATCH;
    anyhow::ensure!(received.values().sum::<u64>() == calls as u64, "{calls}: {received:?}");
    let is_split = received.len() == 2 && received.values().all(|calls| *calls > 0);
    anyhow::ensure!(is_split, "the signal came too early or too late: {received:?}");
    Ok(format!("{calls} calls, none lost: {received:?}"))
}

/// A second daemon takes the same port (SO_REUSEPORT) under load, before the first one stops.
pub(crate) fn replacement(programs: &Programs) -> anyhow::Result<String> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let listen = format!("--listen=127.0.0.1:{port}");
    let start = |instance| Daemon::start(programs, &[&listen, "--reuse-port", instance]);
    let old = start("--instance=old")?;
    let targets = [("both", old.target.clone())];
    let ((old, new), received) = under_load(programs, &targets, || {
        let new = start("--instance=new")?;
        Ok((old.stop_cleanly()?, new))
    })?;
    let new = new.stop_cleanly()?;
    let (by_old, by_new) = (old.figure("answered")?, new.figure("answered")?);
    anyhow::ensure!(
        received.get("both") == Some(&(by_old + by_new)),
        "{by_old} {by_new} {received:?}"
    );
    anyhow::ensure!(by_old > 0 && by_new > 0, "replaced too early or too late");
    Ok(format!("{} calls, none failed: {by_old} by the old, {by_new} by the new", by_old + by_new))
}

/// Replies by the name of the daemon.
pub(super) type Received = BTreeMap<&'static str, u64>;

/// Runs `change` while clients call `targets`, and returns the replies that they received.
pub(super) fn under_load<T>(
    programs: &Programs,
    targets: &[(&'static str, String)],
    change: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Received)> {
    let (batch_done, batches) = mpsc::channel();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let batch_done = batch_done.clone();
                scope.spawn(move || call_in_batches(programs, client, targets, &batch_done))
            })
            .collect();
        drop(batch_done);
        batches.iter().take(BATCHES_BEFORE_SIGNAL).for_each(drop);
        let changed = change();
        let mut received = Received::new();
        for client in clients {
            for (from, calls) in client.join().expect("a client does not panic")? {
                *received.entry(from).or_default() += calls;
            }
        }
        Ok((changed?, received))
    })
}

/// Calls the first target; calls that were never sent go to the next one.
fn call_in_batches(
    programs: &Programs,
    client: usize,
    targets: &[(&'static str, String)],
    batch_done: &mpsc::Sender<()>,
) -> anyhow::Result<Received> {
    let mut received = Received::new();
    for batch in 0..BATCHES {
        let texts = (0..CALLS_PER_BATCH).map(|call| format!("{client}-{batch}-{call}"));
        let mut texts: Vec<_> = texts.collect();
        for (from, target) in targets {
            let never_sent = call_with_each(programs, target, &texts)?;
            *received.entry(from).or_default() += (texts.len() - never_sent.len()) as u64;
            texts = never_sent;
            if texts.is_empty() {
                break;
            }
        }
        anyhow::ensure!(texts.is_empty(), "no target accepted {texts:?}");
        let _ = batch_done.send(()); // not counted any more after the change
    }
    Ok(received)
}

/// Calls with each of `texts` on one connection. Returns those whose call was never sent (exit code 3);
/// a call that was sent and not answered is an error.
fn call_with_each(
    programs: &Programs,
    target: &str,
    texts: &[String],
) -> anyhow::Result<Vec<String>> {
    let mut client = programs.client(target, &["--output", "json", "--timeout", "20s"]);
    let output = capture(client.args(sample::call(texts)))?.stdout;
    let mut never_sent = Vec::new();
    for line in output.lines() {
        let call: serde_json::Value = serde_json::from_str(line).context("a call is an object")?;
        let (text, is_reply) = sample::exchange(&call).context("a call has a text")?;
        match call["error"]["stage"].as_str() {
            None => anyhow::ensure!(is_reply, "wrong reply: {line}"),
            Some("dns" | "tcp" | "http2") => never_sent.push(text.to_owned()),
            Some(_) => bail!("a call was accepted and not answered: {line}"),
        }
    }
    let reported = output.lines().count();
    anyhow::ensure!(reported == texts.len(), "{reported} of {} calls are reported", texts.len());
    Ok(never_sent)
}

//! The memory limit in a cgroup as small as the container of the Kubernetes manifest: the attacks that
//! cost the most memory stay below it and below the maximum that `--check` prints. Well-behaved clients
//! beside them see no failure.
//!
//! Where no cgroup can be created, the daemon gets the limit as a flag. A limit of the address space
//! would not do: the allocator reserves several times what it uses.

use std::fs;
use std::io;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use greet_testkit::GreedyPeer;
use greet_testkit::framing::{framed, text_message};
use greet_testkit::http2::DEFAULT_WINDOW;

use crate::e2e::under_attack::{Attack, Served};
use crate::harness::cgroup::MemoryCgroup;
use crate::harness::command::{capture, program, progress, wait_for};
use crate::harness::daemon::Daemon;
use crate::harness::programs::{Programs, root};
use crate::harness::report::require_linux;
use crate::harness::resources::{Resources, raise_descriptor_limit, reset_peak};
use crate::harness::sample;

const MANIFEST: &str = "deploy/kubernetes/base/deployment.yaml";
const MIB: u64 = 1_024 * 1_024;
/// The default of `--max-message-bytes`.
const MESSAGE_BYTES: usize = 16_384;
/// The default of `--max-streams`.
const CALLS: u32 = 200;
/// The default of `--max-streaming-calls-per-connection`.
const STREAMS: u32 = 100;
/// Connections that each send a burst at once.
const BURSTS: usize = 2_000;
/// A thread for each connection would send them one after the other.
const BURSTS_PER_PEER: usize = 100;
/// Calls whose messages together have 512 KiB.
const BURST_CALLS: u32 = 32;
/// A window that is never opened.
const NO_WINDOW: u32 = 0;
const WHOLE_FRAMES: usize = 16_384;
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/// Time in which the allocator returns the memory of an attack to the system.
const RETURN_TIMEOUT: Duration = Duration::from_secs(20);
/// Three times the memory of the daemon before the first attack.
const MAX_KIB_AFTER: u64 = 64 * 1_024;

pub(super) const CLOSED: &str = r#"greet_connections_closed_total{cause="memory_limit"}"#;

/// The attack that holds the most memory.
pub(super) const UNFINISHED_MESSAGES: Attack =
    Attack { name: "unfinished messages", peers: 100, peer: unfinished_messages };

/// The attacks, and whether they go on until a connection was closed: their peers hold more than the limit
/// for certain. Bursts may stay below it: while memory is short, each connection reads little.
const ATTACKS: [(Attack, bool); 7] = [
    (UNFINISHED_MESSAGES, true),
    (Attack { name: "15x100 reflection streams", peers: 15, peer: reflection }, false),
    (Attack { name: "100x100 reflection streams", peers: 100, peer: reflection }, false),
    (Attack { name: "replies without a window", peers: 60, peer: unread_replies }, false),
    (Attack { name: "messages in frames of 1 byte", peers: 100, peer: small_frames }, false),
    (Attack { name: "streams in frames of 1 byte", peers: 100, peer: small_stream_frames }, false),
    (Attack { name: "bursts", peers: BURSTS / BURSTS_PER_PEER, peer: bursts }, false),
];

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    require_linux()?;
    raise_descriptor_limit(2 * BURSTS as u64)?;
    let max_bytes = limit_of_manifest()?;
    let limit_bytes = max_bytes / 2;
    let cgroup = MemoryCgroup::create(max_bytes);
    let server = || match &cgroup {
        Some(cgroup) => cgroup.command(&programs.server),
        None => {
            let mut server = program(&programs.server);
            server.arg(format!("--memory-limit={}MiB", limit_bytes / MIB));
            server
        }
    };
    let computed = computed_maximum(server())?;
    anyhow::ensure!(computed < max_bytes, "--check prints {computed} bytes");
    if cgroup.is_some() {
        let checked = capture(server().args(["--check", "--memory-limit=1GiB"]))?;
        let warns = checked.stderr.contains("--memory-limit: ")
            && checked.stderr.contains("its cgroup allows");
        anyhow::ensure!(warns, "no warning of a limit above the cgroup's: {checked}");
    }

    let flags =
        ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"];
    // A slow machine takes longer than the default to read messages of the whole limit.
    let daemon = Daemon::spawn(server().args(flags).args(["--message-timeout", "10m"]))?;
    let limit = daemon.metric("greet_memory_limit_bytes")?;
    anyhow::ensure!(limit == limit_bytes, "{limit} is not half of the cgroup's {max_bytes}");

    let mut peaks = Vec::new();
    let mut after = 0;
    for (attack, is_over_limit) in ATTACKS {
        let name = attack.name;
        let closed = daemon.metric(CLOSED)?;
        reset_peak(&daemon)?;
        let has_closed = || Ok(!is_over_limit || daemon.metric(CLOSED)? > closed);
        let Served { calls, connects, p99 } = attack.run(programs, &daemon, has_closed)?;
        let peak = Resources::of(&daemon)?.peak_kib / 1_024;
        let closed = daemon.metric(CLOSED)? - closed;
        progress(format_args!(
            "{name}: {peak} MiB, {closed} connections closed, {calls} calls with a p99 of {p99:?}, {connects} on new connections"
        ));
        let max = computed / MIB;
        anyhow::ensure!(peak < max, "{name}: {peak} MiB, expected less than {max} MiB");
        after = memory_after_calls(programs, &daemon)? / 1_024;
        peaks.push(format!("{name} {peak}"));
    }

    let (peaks, computed) = (peaks.join(", "), computed / MIB);
    let in_cgroup = match &cgroup {
        None => "without a cgroup".to_owned(),
        Some(cgroup) => {
            let peak = cgroup.peak_bytes()?;
            anyhow::ensure!(peak < max_bytes, "{peak} of {max_bytes} bytes in the cgroup: {peaks}");
            format!("in the cgroup {}", peak / MIB)
        }
    };
    daemon.stop_cleanly()?;
    Ok(format!("MiB at most: {peaks}; {in_cgroup}; computed {computed}; afterwards {after}"))
}

/// Returns the KiB in use after calls, during which the allocator returns what an attack has used.
fn memory_after_calls(programs: &Programs, daemon: &Daemon) -> anyhow::Result<u64> {
    wait_for("the memory of the attack is returned", RETURN_TIMEOUT, || {
        capture(&mut programs.client(&daemon.target, &["load", "--count=5000"]))?.succeeded()?;
        let kib = Resources::of(daemon)?.kib;
        Ok((kib <= MAX_KIB_AFTER).then_some(kib))
    })
}

/// Returns the memory limit of the container in bytes.
pub(super) fn limit_of_manifest() -> anyhow::Result<u64> {
    let manifest = fs::read_to_string(root().join(MANIFEST))?;
    let limit =
        manifest.split_once("limits: { memory: ").and_then(|(_, rest)| rest.split_once("Mi"));
    let (limit, _) = limit.with_context(|| format!("{MANIFEST} has no memory limit in Mi"))?;
    Ok(limit.parse::<u64>()? * MIB)
}

/// Returns the maximum that `--check` prints, in bytes.
fn computed_maximum(mut server: Command) -> anyhow::Result<u64> {
    let printed = capture(server.args(["--check", "--listen=127.0.0.1:0"]))?;
    let line = printed.stderr.split_once("at most about ").map(|(_, rest)| rest);
    let maximum = line.and_then(|line| line.split_once(" MiB of memory"));
    let (maximum, _) = maximum.with_context(|| format!("no maximum in MiB: {printed}"))?;
    Ok((maximum.parse::<f64>()? * MIB as f64) as u64)
}

/// Every call announces and sends a message of almost the maximum, which never ends.
fn unfinished_messages(target: &str, is_over: &AtomicBool) -> io::Result<()> {
    send_unfinished(target, is_over, CALLS, WHOLE_FRAMES)
}

/// The same with one call and the smallest frames.
fn small_frames(target: &str, is_over: &AtomicBool) -> io::Result<()> {
    send_unfinished(target, is_over, 1, 1)
}

fn send_unfinished(
    target: &str,
    is_over: &AtomicBool,
    calls: u32,
    frame_bytes: usize,
) -> io::Result<()> {
    let mut peer = GreedyPeer::connect(target, DEFAULT_WINDOW)?;
    let _ = send_messages(&mut peer, calls, frame_bytes); // a daemon that stops reading still holds
    peer.hold(is_over)
}

/// Makes calls with a message of the maximum size that lacks its last byte.
fn send_messages(peer: &mut GreedyPeer, calls: u32, frame_bytes: usize) -> io::Result<()> {
    let message = framed(&[b'x'; MESSAGE_BYTES]);
    let unfinished = &message[..message.len() - 1];
    (0..calls).map(|call| 2 * call + 1).try_for_each(|stream| {
        peer.start_call(stream, sample::PATH)?;
        peer.send_data(stream, unfinished, frame_bytes)
    })
}

/// Unfinished messages of 512 KiB in each connection, at about the same time in all of them.
fn bursts(target: &str, is_over: &AtomicBool) -> io::Result<()> {
    let connect = |_| GreedyPeer::connect(target, DEFAULT_WINDOW);
    let mut peers = (0..BURSTS_PER_PEER).map(connect).collect::<io::Result<Vec<_>>>()?;
    for peer in &mut peers {
        let _ = send_messages(peer, BURST_CALLS, WHOLE_FRAMES); // may be closed already
    }
    peers.into_iter().try_for_each(|peer| peer.hold(is_over))
}

/// Streams that send requests until their window is full, and take no reply.
fn reflection(target: &str, is_over: &AtomicBool) -> io::Result<()> {
    send_streams(target, is_over, STREAMS, WHOLE_FRAMES)
}

fn small_stream_frames(target: &str, is_over: &AtomicBool) -> io::Result<()> {
    send_streams(target, is_over, 1, 1)
}

fn send_streams(
    target: &str,
    is_over: &AtomicBool,
    streams: u32,
    frame_bytes: usize,
) -> io::Result<()> {
    let list_services = framed(b"\x3a\x01*");
    let mut requests = list_services.repeat(DEFAULT_WINDOW as usize / list_services.len());
    requests.truncate(DEFAULT_WINDOW as usize);
    let mut peer = GreedyPeer::connect(target, NO_WINDOW)?;
    (0..streams).try_for_each(|call| peer.start_call(2 * call + 1, REFLECTION))?;
    let _ = requests.chunks(WHOLE_FRAMES).try_for_each(|part| {
        (0..streams).try_for_each(|call| peer.send_data(2 * call + 1, part, frame_bytes))
    });
    peer.hold(is_over)
}

/// Complete calls with the longest name.
fn unread_replies(target: &str, is_over: &AtomicBool) -> io::Result<()> {
    let name = text_message(&"x".repeat(4_096));
    let mut peer = GreedyPeer::connect(target, NO_WINDOW)?;
    let _ = (0..CALLS).try_for_each(|call| peer.call(2 * call + 1, sample::PATH, &name));
    peer.hold(is_over)
}

//! The memory limit in a cgroup as small as the container of the Kubernetes manifest: the attacks that
//! cost the most memory stay below it and below the maximum that `--check` prints. Well-behaved clients
//! beside them see no failure.
//!
//! Where no cgroup can be created, the daemon gets the limit as a flag. A limit of the address space
//! would not do: the allocator reserves several times what it uses.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::e2e::under_attack;
use crate::harness::cgroup::MemoryCgroup;
use crate::harness::command::{capture, program, progress, wait_for};
use crate::harness::daemon::Daemon;
use crate::harness::programs::{Programs, root};
use crate::harness::report::require_linux;
use crate::harness::resources::{Resources, raise_descriptor_limit, reset_peak};
use crate::hostile::attack::Attack;
use crate::hostile::attacks::{
    BURSTS, BURSTS_PER_PEER, REFLECTION, REPLIES_WITHOUT_WINDOW, SMALL_FRAMES, SMALL_STREAM_FRAMES,
    UNFINISHED_MESSAGES,
};
use crate::hostile::good_client::GoodCalls;

const MANIFEST: &str = "deploy/kubernetes/base/deployment.yaml";
const MIB: u64 = 1_024 * 1_024;
/// Connections that each send a burst at once.
const BURST_CONNECTIONS: usize = 2_000;
/// Time in which the allocator returns the memory of an attack to the system.
const RETURN_TIMEOUT: Duration = Duration::from_secs(20);
/// Three times the memory of the daemon before the first attack.
const MAX_KIB_AFTER: u64 = 64 * 1_024;

pub(super) const CLOSED: &str = r#"greet_connections_closed_total{cause="memory_limit"}"#;

/// The attacks, and whether they go on until a connection was closed: their peers hold more than the limit
/// for certain. Bursts may stay below it: while memory is short, each connection reads little.
const ATTACKS: [(Attack, bool); 7] = [
    (UNFINISHED_MESSAGES, true),
    (Attack { name: "15x100 reflection streams", peers: 15, ..REFLECTION }, false),
    (REFLECTION, false),
    (REPLIES_WITHOUT_WINDOW, false),
    (SMALL_FRAMES, false),
    (SMALL_STREAM_FRAMES, false),
    (Attack { peers: BURST_CONNECTIONS / BURSTS_PER_PEER, ..BURSTS }, false),
];

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    require_linux()?;
    raise_descriptor_limit(2 * BURST_CONNECTIONS as u64)?;
    let max_bytes = limit_of_manifest()?;
    let limit_bytes = max_bytes / 2;
    let cgroup = MemoryCgroup::create(max_bytes);
    let cgroup = cgroup.inspect_err(|error| progress(format_args!("no cgroup: {error:#}"))).ok();
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
        let calls = under_attack::run(programs, &daemon, &attack, has_closed)?;
        let GoodCalls { answered, connects, p99, .. } = calls;
        let p99 = p99.unwrap_or_default();
        let peak = Resources::of(&daemon)?.peak_kib / 1_024;
        let closed = daemon.metric(CLOSED)? - closed;
        progress(format_args!(
            "{name}: {peak} MiB, {closed} connections closed, {answered} calls with a p99 of {p99:?}, {connects} on new connections"
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
pub(super) fn memory_after_calls(programs: &Programs, daemon: &Daemon) -> anyhow::Result<u64> {
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
pub(super) fn computed_maximum(mut server: Command) -> anyhow::Result<u64> {
    let printed = capture(server.args(["--check", "--listen=127.0.0.1:0"]))?;
    let line = printed.stderr.split_once("at most about ").map(|(_, rest)| rest);
    let maximum = line.and_then(|line| line.split_once(" MiB of memory"));
    let (maximum, _) = maximum.with_context(|| format!("no maximum in MiB: {printed}"))?;
    Ok((maximum.parse::<f64>()? * MIB as f64) as u64)
}

//! Every attack of `cargo xtask hostile` on the daemon, for a short time each: the well-behaved client sees
//! no failure, each attack has the effect of its row, and the memory stays within the maximum of
//! `--check`. Afterwards the daemon has returned descriptors and memory.

use std::time::Duration;

use anyhow::ensure;
use greet_testkit::certs::Ca;

use super::memory_limit::{computed_maximum, memory_after_calls};
use crate::e2e::under_attack;
use crate::harness::command::{program, progress, wait_for};
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::report::require_linux;
use crate::harness::resources::{Resources, raise_descriptor_limit, reset_peak};
use crate::hostile::attack::{Attack, Attackers, Effect, Port};
use crate::hostile::attacks::ATTACKS;
use crate::hostile::good_client::GoodClient;

/// The time in which the good client calls beside each attack.
const CALLS_TIME: Duration = Duration::from_millis(500);
/// Less than what the greediest attacks hold.
const MEMORY_LIMIT: &str = "--memory-limit=128MiB";
/// Short, because some attacks last until they end.
const TIMEOUTS: [&str; 3] =
    ["--handshake-timeout=2s", "--message-timeout=2s", "--request-timeout=2s"];
const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);
const DESCRIPTORS: u64 = 4_096;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    require_linux()?;
    raise_descriptor_limit(DESCRIPTORS)?;
    let certs = Ca::new("servers");
    let [cert, key] = certs.sign_files("server").server_flags();
    let flags = ["--listen=127.0.0.1:0", "--admin-listen", "127.0.0.1:0", MEMORY_LIMIT];
    let flags = [&flags[..], &TIMEOUTS].concat();
    let plaintext = Daemon::start(programs, &[&flags[..], &["--grpc-web"]].concat())?;
    let tls = Daemon::start(programs, &[&flags[..], &[&cert, &key]].concat())?;
    let mut check = program(&programs.server);
    check.arg(MEMORY_LIMIT);
    let max_kib = computed_maximum(check)? / 1_024;

    // At most one too many, of the client that has just left.
    let descriptors = Resources::of(&plaintext)?.descriptors + 1;
    let (mut calls, mut peak) = (0, 0);
    for attack in ATTACKS {
        let is_tls = attack.port == Port::Tls;
        let daemon = if is_tls { &tls } else { &plaintext };
        let good = GoodClient {
            programs,
            target: &daemon.target,
            ca: is_tls.then(|| certs.ca_file()),
            timeout: under_attack::CALL_TIMEOUT,
            duration: CALLS_TIME,
            has_health: true,
        };
        reset_peak(daemon)?;
        let effects_before = effects(attack, daemon)?;
        let has_effect = |attackers: &Attackers| match attack.effect {
            Effect::Evicts => Ok(attackers.cuts().0 > 0),
            Effect::Continues(_) => Ok(true),
            _ => Ok(effects(attack, daemon)? > effects_before),
        };
        let served = under_attack::run_beside(&good, daemon, attack, has_effect)?;
        let kib = Resources::of(daemon)?.peak_kib;
        ensure!(kib < max_kib, "{}: {kib} KiB, expected less than {max_kib}", attack.name);
        calls += served.answered + served.connects_answered;
        peak = peak.max(kib);
        progress(format_args!("{}: p99 {:?}, {kib} KiB", attack.name, served.p99));
    }

    wait_for("the descriptors are freed", SETTLE_TIMEOUT, || {
        Ok((Resources::of(&plaintext)?.descriptors <= descriptors).then_some(()))
    })?;
    let after = memory_after_calls(programs, &plaintext)? / 1_024;
    plaintext.stop_cleanly()?;
    tls.stop_cleanly()?;
    let (attacks, peak) = (ATTACKS.len(), peak / 1_024);
    Ok(format!(
        "{attacks} attacks, {calls} calls, none failed; {peak} MiB at most, afterwards {after}"
    ))
}

/// Returns how often the daemon has had the effect of an attack, as its metrics count it.
fn effects(attack: &Attack, daemon: &Daemon) -> anyhow::Result<u64> {
    let closed =
        |cause| daemon.metric(&format!(r#"greet_connections_closed_total{{cause="{cause}"}}"#));
    let ended = |method, status| {
        let labels = format!(r#"{{grpc_method="{method}",grpc_status="{status}"}}"#);
        daemon.metric(&format!("grpc_server_call_duration_seconds_count{labels}"))
    };
    match attack.effect {
        Effect::Closes(cause) => closed(cause),
        Effect::Ends(method, status) => ended(method, status),
        Effect::ClosesOrEnds(cause, method, status) => Ok(closed(cause)? + ended(method, status)?),
        Effect::Evicts | Effect::Continues(_) => Ok(0),
    }
}

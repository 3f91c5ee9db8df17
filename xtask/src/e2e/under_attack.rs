//! Attacks a daemon from many connections while a well-behaved client calls it. None of its calls may
//! fail.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::harness::command::wait_for;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::hostile::attack::{Attack, Attackers, Port};
use crate::hostile::good_client::{GoodCalls, GoodClient};

/// The time in which the good client calls.
const CALLS_TIME: Duration = Duration::from_secs(3);
/// The timeout of a call: enough for a debug build on a machine with other work.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for an attack to have its effect, on a machine with other work.
const EFFECT_TIMEOUT: Duration = Duration::from_secs(60);
/// Time in which the daemon reads what the attackers have sent, and closes their connections.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs an attack beside the good client, until each peer has attacked and `has_effect`. Returns after the
/// daemon has closed the connections of all peers.
pub(crate) fn run(
    programs: &Programs,
    daemon: &Daemon,
    attack: &Attack,
    mut has_effect: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<GoodCalls> {
    let good = GoodClient {
        programs,
        target: &daemon.target,
        ca: None,
        timeout: CALL_TIMEOUT,
        duration: CALLS_TIME,
        has_health: true,
    };
    run_beside(&good, daemon, attack, |_| has_effect())
}

/// The same with any good client.
pub(crate) fn run_beside(
    good: &GoodClient<'_>,
    daemon: &Daemon,
    attack: &Attack,
    mut has_effect: impl FnMut(&Attackers) -> anyhow::Result<bool>,
) -> anyhow::Result<GoodCalls> {
    let attacked = match attack.port {
        Port::Admin => daemon.admin.as_ref().context("the daemon has an admin port")?,
        _ => &daemon.target,
    };
    let attackers = Attackers::new();
    let calls = thread::scope(|scope| {
        scope.spawn(|| attack.run(attacked, &attackers));
        let calls = good.run().and_then(|calls| {
            wait_for("the attack has its effect", EFFECT_TIMEOUT, || {
                Ok((attackers.have_attacked(attack)? && has_effect(&attackers)?).then_some(()))
            })?;
            Ok(calls)
        });
        attackers.state.end();
        calls
    });
    let calls = calls.with_context(|| format!("beside {}", attack.name))?;
    if let Some(failure) = &calls.first_failure {
        anyhow::bail!("a call failed beside {}: {failure}", attack.name);
    }
    // On a slow machine some calls may not have started.
    ensure!(calls.answered > 0, "no call beside {}", attack.name);
    wait_for("the connections of the attackers are closed", CLOSE_TIMEOUT, || {
        Ok((daemon.metric("greet_connections_open")? == 0).then_some(()))
    })?;
    Ok(calls)
}

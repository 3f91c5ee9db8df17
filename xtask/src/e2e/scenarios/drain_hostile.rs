//! SIGTERM while four peers do what they can to keep the daemon: one that never speaks, one that
//! never answers, an open Watch, and a call that hangs. It leaves in time and says what it cut.

use std::time::Duration;

use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use greet_testkit::Peer;

const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
const MARGIN: Duration = Duration::from_secs(1);

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let drain_timeout = format!("{}s", DRAIN_TIMEOUT.as_secs());
    let flags = ["--listen", "127.0.0.1:0", "--drain-timeout", &drain_timeout];
    let daemon = Daemon::start(programs, &flags)?;
    let target = daemon.target.clone();

    let _silent = Peer::silent(&target)?;
    let _mute = Peer::connect(&target)?;
    let _watch = Peer::calling(&target, "/grpc.health.v1.Health/Watch", Some(b""))?;
    let _hanging = Peer::calling(&target, "/greet.Greeter/SayHello", None)?;

    let ended = daemon.stop()?;
    let took = ended.took;
    anyhow::ensure!(took <= DRAIN_TIMEOUT + MARGIN, "it took {took:?} to leave");
    anyhow::ensure!(ended.code == Some(3), "{ended:?}");
    let (answered, cut) = (ended.figure("answered")?, ended.figure("cut")?);
    anyhow::ensure!(
        (answered, cut) == (1, 1),
        "the Watch is answered, the hanging call cut: {ended:?}"
    );
    Ok(format!("left after {:.1} s with exit 3, {cut} call cut", took.as_secs_f64()))
}

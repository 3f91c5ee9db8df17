//! Measures one attack on one server.

use std::fmt;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::attack::{Attack, Attackers, Port};
use super::good_client::{GoodCalls, GoodClient};
use super::servers::{Running, Server, Servers};
use crate::harness::cgroup::MemoryCgroup;
use crate::harness::command::progress;
use crate::harness::daemon::Daemon;
use crate::harness::resources::{Resources, cpu_time, reset_peak};

/// The maximum duration of a call of the good client.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval between two looks at the server.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// An attack on all servers; `None` for a server without the attacked port.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) attack: &'static Attack,
    pub(super) seconds: u64,
    pub(super) trials: Vec<Option<Trial>>,
}

/// An attack on one server.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) good: GoodCalls,
    /// When the server closed a connection of the attackers for the first time.
    pub(super) first_cut: Option<Duration>,
    /// What the attackers have sent.
    pub(super) sent_bytes: u64,
    /// CPU time of the server, as a share of its core.
    pub(super) cpu_share: f64,
    /// The maximum of the memory above that of the idle server.
    pub(super) peak_kib: u64,
    /// The end of the server.
    pub(super) ended: Option<End>,
}

/// When and how a server ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) after: Duration,
    status: ExitStatus,
    pub(super) is_killed_at_limit: bool,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_killed_at_limit {
            return f.write_str("killed");
        }
        write!(f, "ended with {}", self.status)
    }
}

pub(super) fn run(servers: &Servers, attack: &'static Attack, seconds: u64) -> anyhow::Result<Row> {
    let trials = servers.all.iter().map(|server| measure(servers, server, Some(attack), seconds));
    let trials = trials.collect::<anyhow::Result<_>>()?;
    Ok(Row { attack, seconds, trials })
}

/// Measures the good client alone.
pub(super) fn without_attack(servers: &Servers, seconds: u64) -> anyhow::Result<Vec<Trial>> {
    let trials = servers.all.iter().map(|server| {
        measure(servers, server, None, seconds)?.context("each server has a port for gRPC")
    });
    trials.collect()
}

fn measure(
    servers: &Servers,
    server: &Server,
    attack: Option<&Attack>,
    seconds: u64,
) -> anyhow::Result<Option<Trial>> {
    let port = attack.map_or(Port::Grpc, |attack| attack.port);
    let Some(mut running) = servers.start(server, port)? else { return Ok(None) };
    let name = attack.map_or("no attack", |attack| attack.name);
    let trial = measure_running(servers, &mut running, attack, port, seconds)
        .with_context(|| format!("{name}, {}", server.name))?;
    let Trial { good, first_cut, cpu_share, peak_kib, .. } = &trial;
    progress(format_args!(
        "{name:<24} {:<12} {:>5.1} %, p99 {:>5.0?}, cut {:>5.0?}, CPU {:>3.0} %, {:>4} MiB{}",
        server.name,
        good.success() * 100.0,
        good.p99.unwrap_or_default(),
        first_cut.unwrap_or_default(),
        cpu_share * 100.0,
        peak_kib / 1_024,
        trial.ended.map(|end| format!(", {end}")).unwrap_or_default(),
    ));
    Ok(Some(trial))
}

fn measure_running(
    servers: &Servers,
    running: &mut Running,
    attack: Option<&Attack>,
    port: Port,
    seconds: u64,
) -> anyhow::Result<Trial> {
    let Running { daemon, cgroup } = running;
    let target = daemon.target.clone();
    let attacked = match port {
        Port::Admin => &daemon.admin.clone().context("the daemon has an admin port")?,
        _ => &target,
    };
    let good = GoodClient {
        programs: &servers.programs,
        target: &target,
        ca: (port == Port::Tls).then(|| servers.certs.ca_file()),
        timeout: CALL_TIMEOUT,
        duration: Duration::from_secs(seconds),
        has_health: false,
    };
    good.connect_once()?; // so that the idle server has served a call
    let idle = Resources::of(daemon)?;
    reset_peak(daemon)?;
    let (started, cpu_before) = (Instant::now(), cpu_time(daemon)?);
    let attackers = Attackers::new();
    let (good, cut, used) = thread::scope(|scope| {
        if let Some(attack) = attack {
            scope.spawn(|| attack.run(attacked, &attackers));
        }
        let good = scope.spawn(|| good.run());
        let used = Used::until(daemon, cgroup, started, || good.is_finished());
        let (_, cut) = attackers.cuts();
        attackers.state.end();
        anyhow::Ok((good.join().expect("the good client does not panic")?, cut, used?))
    })?;
    let sent_bytes = attackers.state.sent_bytes();
    if let Some(attack) = attack {
        let have_attacked = attackers.have_attacked(attack)?;
        let connections = attackers.state.connections();
        ensure!(
            have_attacked || used.ended.is_some(),
            "the peers have opened {connections} connections and sent {sent_bytes} bytes"
        );
    }
    Ok(Trial {
        good,
        first_cut: cut,
        sent_bytes,
        cpu_share: used.cpu.saturating_sub(cpu_before).div_duration_f64(used.took),
        peak_kib: used.peak_kib.saturating_sub(idle.kib),
        ended: used.ended,
    })
}

/// What the server has used so far. A server that has ended keeps the last values.
#[derive(Debug, Default)]
struct Used {
    cpu: Duration,
    peak_kib: u64,
    ended: Option<End>,
    /// The time over which the CPU time was used.
    took: Duration,
}

impl Used {
    /// Looks at the server until `is_done`.
    fn until(
        daemon: &mut Daemon,
        cgroup: &MemoryCgroup,
        started: Instant,
        is_done: impl Fn() -> bool,
    ) -> anyhow::Result<Used> {
        let mut used = Used::default();
        while !is_done() {
            used.look(daemon, cgroup, started)?;
            thread::park_timeout(LOOK_INTERVAL);
        }
        used.look(daemon, cgroup, started)?;
        used.took = used.ended.map_or_else(|| started.elapsed(), |end| end.after);
        Ok(used)
    }

    fn look(
        &mut self,
        daemon: &mut Daemon,
        cgroup: &MemoryCgroup,
        started: Instant,
    ) -> anyhow::Result<()> {
        // A process that has ended keeps its CPU time, and no memory, until `exit_status` reaps it.
        if let Ok(cpu) = cpu_time(daemon) {
            self.cpu = cpu;
        }
        if let Ok(used) = Resources::of(daemon) {
            self.peak_kib = used.peak_kib;
        }
        if self.ended.is_none()
            && let Some(status) = daemon.exit_status()?
        {
            let is_killed_at_limit = is_killed(status) && cgroup.has_killed()?;
            self.ended = Some(End { after: started.elapsed(), status, is_killed_at_limit });
        }
        Ok(())
    }
}

/// Returns whether SIGKILL has ended a process.
#[cfg(unix)]
fn is_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal() == Some(rustix::process::Signal::KILL.as_raw())
}

#[cfg(not(unix))]
fn is_killed(_status: ExitStatus) -> bool {
    false
}

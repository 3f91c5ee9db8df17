//! Fair shares in the default configuration: peers that open as many calls as they may take no capacity
//! from well-behaved clients, and a flood of control frames takes no time from them.

use crate::e2e::under_attack;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::sample;
use crate::hostile::attack::Attack;
use crate::hostile::attacks::{
    MAX_CALLS, REPLIES_WITHOUT_WINDOW, WATCH, WATCHES_WITHOUT_MESSAGE, WINDOW_THRASH,
    WITHOUT_MESSAGE,
};
use crate::hostile::good_client::GoodCalls;

/// The attacks, the method that they call, and whether they are floods that the daemon ends.
const ATTACKS: [(Attack, &str, bool); 4] = [
    (WITHOUT_MESSAGE, sample::PATH, false),
    (WATCHES_WITHOUT_MESSAGE, WATCH, false),
    (REPLIES_WITHOUT_WINDOW, sample::PATH, false),
    (WINDOW_THRASH, sample::PATH, true),
];

const CLOSED: &str = r#"greet_connections_closed_total{cause="control_frames"}"#;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let flags = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let daemon = Daemon::start(programs, &flags)?;
    let mut figures = Vec::new();
    let mut served = 0;
    for (attack, method, is_flood) in ATTACKS {
        let method = method.trim_start_matches('/');
        let started = format!(r#"grpc_server_call_started_total{{grpc_method="{method}"}}"#);
        let expected = daemon.metric(&started)? + attack.peers as u64 * u64::from(MAX_CALLS);
        let has_effect = || {
            let is_ended = !is_flood || daemon.metric(CLOSED)? > 0;
            Ok(is_ended && daemon.metric(&started)? >= expected)
        };
        let calls = under_attack::run(programs, &daemon, &attack, has_effect)?;
        let GoodCalls { answered, connects, p99, .. } = calls;
        let p99 = p99.unwrap_or_default();
        served += answered + connects;
        figures.push(format!("{} p99 {:.1} ms", attack.name, p99.as_secs_f64() * 1_000.0));
    }
    let closed = daemon.metric(CLOSED)?;
    daemon.stop_cleanly()?;
    Ok(format!("{served} calls, none failed; {}; {closed} floods ended", figures.join(", ")))
}

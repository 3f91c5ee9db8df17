//! Health tells the truth from the first moment to the last: SERVING, then NOT_SERVING while calls
//! are still answered, then gone.

use crate::harness::command::run as run_command;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let flags = ["--listen", "127.0.0.1:0", "--drain-delay", "2s"];
    let mut daemon = Daemon::start(programs, &flags)?;
    let target = daemon.target.clone();
    let health = || run_command(&mut programs.greet(&target, &["health"]));

    let serving = health()?.ended_with(0)?.stdout;
    anyhow::ensure!(serving == "SERVING\n", "health said {serving:?}");

    daemon.terminate()?;
    let lame_duck = loop {
        let health = health()?;
        if health.status.code() != Some(0) {
            break health.ended_with(4)?.stdout;
        }
    };
    anyhow::ensure!(lame_duck == "NOT_SERVING\n", "health said {lame_duck:?}");
    let hello = ["hello", "--name", "Late"];
    let reply = run_command(&mut programs.greet(&target, &hello))?.succeeded()?;
    anyhow::ensure!(reply == "Hello Late\n", "the reply was {reply:?}");

    let ended = daemon.wait()?;
    anyhow::ensure!(ended.code == Some(0), "{ended:?}");
    health()?.ended_with(3)?;
    Ok("SERVING, NOT_SERVING and still greeting, gone".to_owned())
}

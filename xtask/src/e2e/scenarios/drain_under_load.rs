//! SIGTERM while calls stream in. Clients repeat elsewhere only what was never accepted; so if the
//! daemon lost a single call that it had accepted, the books would not agree.

use std::sync::mpsc;
use std::thread;

use crate::e2e::ledger::{Ledger, greet_all};
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;

const CLIENTS: usize = 6;
const BATCHES: usize = 12;
const CALLS_PER_BATCH: usize = 40;
/// Batches that are answered before the signal comes: all clients are at full speed by then.
const BATCHES_BEFORE_THE_SIGNAL: usize = 2 * CLIENTS;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let blue = Daemon::start(programs, &["--listen", "127.0.0.1:0", "--instance", "blue"])?;
    let green = Daemon::start(programs, &["--listen", "127.0.0.1:0", "--instance", "green"])?;
    let targets = [blue.target.clone(), green.target.clone()];
    let (batch_done, batches) = mpsc::channel();

    let mut ledger = Ledger::default();
    let blue = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (targets, batch_done) = (&targets, batch_done.clone());
                scope.spawn(move || one_client(programs, client, targets, &batch_done))
            })
            .collect();
        drop(batch_done);
        batches.iter().take(BATCHES_BEFORE_THE_SIGNAL).for_each(drop);
        let blue = blue.stop();
        for client in clients {
            ledger.add(&client.join().expect("a client does not panic")?);
        }
        blue
    })?;
    let green = green.stop()?;

    for (name, ended) in [("blue", &blue), ("green", &green)] {
        anyhow::ensure!(ended.code == Some(0), "{name}: {ended:?}");
        anyhow::ensure!(ended.figure("cut")? == 0, "{name}: {ended:?}");
        ledger.agrees(name, ended.figure("answered")?)?;
    }
    let (blue, green) = (blue.figure("answered")?, green.figure("answered")?);
    anyhow::ensure!(blue + green == ledger.wanted, "{ledger:?}");
    anyhow::ensure!(blue > 0 && green > 0, "the signal came too late or too early: {ledger:?}");
    Ok(format!("{} calls wanted: {blue} by blue until it left, {green} by green", ledger.wanted))
}

/// Calls blue; what blue never accepted, green gets.
fn one_client(
    programs: &Programs,
    client: usize,
    [blue, green]: &[String; 2],
    batch_done: &mpsc::Sender<()>,
) -> anyhow::Result<Ledger> {
    let mut ledger = Ledger::default();
    for batch in 0..BATCHES {
        let names = (0..CALLS_PER_BATCH).map(|call| format!("{client}-{batch}-{call}"));
        let names: Vec<_> = names.collect();
        ledger.wanted += names.len() as u64;
        let first = greet_all(programs, blue, &names)?;
        ledger.received("blue", first.answered);
        if !first.never_sent.is_empty() {
            let second = greet_all(programs, green, &first.never_sent)?;
            ledger.received("green", second.answered);
            anyhow::ensure!(second.never_sent.is_empty(), "green refused {:?}", second.never_sent);
        }
        let _ = batch_done.send(()); // nobody counts any more once the signal is sent
    }
    Ok(ledger)
}

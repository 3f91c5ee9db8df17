//! One daemon takes the place of another on the same port (SO_REUSEPORT), under load: the new one
//! listens before the old one leaves, so nobody finds the door closed.

use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use crate::e2e::ledger::greet_all;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;

const CLIENTS: usize = 4;
const BATCHES: usize = 12;
const CALLS_PER_BATCH: usize = 40;
const BATCHES_BEFORE_THE_CHANGE: usize = 2 * CLIENTS;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let listen = format!("--listen=127.0.0.1:{port}");
    let old = Daemon::start(programs, &[&listen, "--reuse-port", "--instance=old"])?;
    let target = old.target.clone();
    let (batch_done, batches) = mpsc::channel();

    let (old, new, wanted) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (target, batch_done) = (&target, batch_done.clone());
                scope.spawn(move || one_client(programs, client, target, &batch_done))
            })
            .collect();
        drop(batch_done);
        batches.iter().take(BATCHES_BEFORE_THE_CHANGE).for_each(drop);
        let new = Daemon::start(programs, &[&listen, "--reuse-port", "--instance=new"])?;
        let old = old.stop()?;
        let mut wanted = 0;
        for client in clients {
            wanted += client.join().expect("a client does not panic")?;
        }
        anyhow::Ok((old, new.stop()?, wanted))
    })?;
    let (by_old, by_new) = (old.figure("answered")?, new.figure("answered")?);
    anyhow::ensure!(by_old + by_new == wanted, "{by_old} and {by_new} of {wanted}");
    anyhow::ensure!(by_old > 0 && by_new > 0, "the change came too early or too late");
    anyhow::ensure!(old.code == Some(0) && new.code == Some(0), "{old:?} {new:?}");
    Ok(format!("{wanted} calls, none failed: {by_old} by the old, {by_new} by the new"))
}

/// Calls whoever is there. Returns how many calls it made; one that fails is an error.
fn one_client(
    programs: &Programs,
    client: usize,
    target: &str,
    batch_done: &mpsc::Sender<()>,
) -> anyhow::Result<u64> {
    let mut wanted = 0;
    for batch in 0..BATCHES {
        let names = (0..CALLS_PER_BATCH).map(|call| format!("{client}-{batch}-{call}"));
        let done = greet_all(programs, target, &names.collect::<Vec<_>>())?;
        anyhow::ensure!(done.never_sent.is_empty(), "the door was closed: {:?}", done.never_sent);
        wanted += done.answered;
        let _ = batch_done.send(()); // nobody counts any more once the change has begun
    }
    Ok(wanted)
}

//! The daemon as process 1 of a container.

use std::fs;

use greet_testkit::eventually;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::namespace;
use crate::support::process::Process;

/// Above the number of signals that may be pending at once, which is one.
const ORPHANS: usize = 20;

/// Returns the children of a process, zombies included.
fn children(parent: i32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap();
    let pids = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let parent_of = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<i32>().ok()
    };
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

#[tokio::test]
async fn orphans_are_reaped_by_process_1() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    let file = fifo.display();
    let orphan = format!("(sh -c 'read line < {file}' &)\n");
    let setup = format!("test -p {file} || mkfifo {file}\n{}", orphan.repeat(ORPHANS));
    let flags = ["--pid", "--fork"];
    let Some(mut command) = namespace::daemon(&flags, &setup, &["--listen=127.0.0.1:0"]) else {
        return;
    };
    let mut process = Process::start(&mut command);
    assert!(process.next_line().starts_with("listening on "));
    let unshare = i32::try_from(process.child.id()).unwrap();
    let [daemon] = children(unshare)[..] else { panic!("unshare has one child") };
    assert_eq!(children(daemon).len(), ORPHANS);

    drop(fs::OpenOptions::new().write(true).open(&fifo).unwrap()); // the end of file ends them
    eventually("all orphans are reaped", async || children(daemon).is_empty()).await;
    kill_process(Pid::from_raw(daemon).unwrap(), Signal::TERM).unwrap();
    assert_eq!(process.wait().code, Some(0));
}

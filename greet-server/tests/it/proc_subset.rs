//! The daemon without the files in `/proc` that describe the machine: `ProcSubset=pid` of systemd hides them.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::process::{Process, daemon};
use crate::support::{http1, namespace};

#[tokio::test]
async fn hidden_proc_files_change_no_default_and_no_metric() {
    let flags = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
    let namespaces = ["--mount", "--pid", "--fork", "--kill-child"];
    let hide = "mount -t proc -o subset=pid proc /proc";
    let Some(mut sandboxed) = namespace::daemon(&namespaces, hide, &flags) else { return };
    let [limit, _] = limit_and_start(&mut daemon(&flags)).await;
    let [sandboxed_limit, started] = limit_and_start(&mut sandboxed).await;
    assert_eq!(sandboxed_limit, limit);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - started).abs() < 60.0, "started at {started}, now {now}");
}

async fn limit_and_start(daemon: &mut Command) -> [f64; 2] {
    let mut process = Process::start(daemon);
    let _listening = process.next_line();
    let page = http1::get(&process.next_address(), "/metrics").await;
    ["greet_memory_limit_bytes ", "process_start_time_seconds "].map(|name| {
        let value = page.text().lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_else(|| panic!("no {name}: {}", page.text())).parse().unwrap()
    })
}

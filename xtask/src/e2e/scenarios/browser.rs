//! Calls over gRPC-Web from a page in Chromium: replies, an error status, and a daemon that does
//! not allow the origin of the page. A screenshot is kept as `target/e2e/browser.png`.

use std::fs;

use crate::harness::chromium;
use crate::harness::daemon::Daemon;
use crate::harness::programs::{Programs, target_directory};
use crate::harness::{stacks, tools};

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    tools::chromium()?;
    let page = Daemon::spawn(stacks::web("clients/web/serve.js")?.arg("127.0.0.1:0"))?;
    let origin = page.target.clone();
    let ours = |origin: &str| {
        let flags = ["--listen", "127.0.0.1:0", "--grpc-web", "--cors-origin", origin];
        Daemon::start(programs, &flags)
    };

    let directory = target_directory()?.join("e2e");
    fs::create_dir_all(&directory)?;
    let picture = directory.join("browser.png");
    let daemon = ours(&origin)?;
    let long = "x".repeat(5_000);
    let url = format!("{origin}/?server={}&name=Ada&name=Zo%C3%AB&name={long}", daemon.target);
    let shown = browse(&[&format!("--screenshot={}", picture.display())], &url)?;
    for expected in [
        r#"<li class="answered">Hello Ada</li>"#,
        r#"<li class="answered">Hello Zoë</li>"#,
        r#"<li class="failed">InvalidArgument: name is 5000 bytes long; the limit is 4096 bytes</li>"#,
    ] {
        anyhow::ensure!(shown.contains(expected), "no {expected} in the page: {shown}");
    }
    daemon.stop_cleanly()?;

    let daemon = ours("https://elsewhere.example")?;
    let url = format!("{origin}/?server={}&name=Ada", daemon.target);
    let shown = browse(&[], &url)?;
    anyhow::ensure!(!shown.contains("Hello Ada"), "the origin was allowed: {shown}");
    anyhow::ensure!(shown.contains(r#"<li class="failed">"#), "the page shows no failure: {shown}");
    let ended = daemon.stop()?;
    anyhow::ensure!(ended.figure("answered")? == 1, "only the preflight is answered: {ended:?}");
    Ok("Chromium: two hellos, INVALID_ARGUMENT, another origin refused".to_owned())
}

/// Returns the page after the end of its script.
fn browse(flags: &[&str], url: &str) -> anyhow::Result<String> {
    let wait = ["--virtual-time-budget=10000", "--window-size=720,420"];
    let shown = chromium::elements(&[&wait, flags].concat(), url)?;
    anyhow::ensure!(shown.contains(r#"data-done="true""#), "the page is not done: {shown}");
    Ok(shown)
}

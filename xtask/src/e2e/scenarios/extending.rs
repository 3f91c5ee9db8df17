//! The chapters of docs/extending.md: every patch applies after those before it and changes as many files
//! as its chapter promises, and the result is tested and called.

use std::fs;
use std::process::Command;

use anyhow::Context as _;

use crate::harness::command::{capture, program};
use crate::harness::daemon::Daemon;
use crate::harness::programs::{Programs, root};
use crate::harness::stacks;
use crate::harness::tools;
use crate::harness::workspace::Workspace;

const DOCUMENT: &str = "docs/extending.md";
const TOKEN: &str = "open sesame";
/// What the chapters change: parts of the names of tests.
const TESTED: [&str; 8] =
    ["contract", "dry_run", "embedded", "flags", "greeter", "guard", "token", "visitors"];

/// A chapter with a patch.
#[derive(Debug, PartialEq, Eq)]
struct Chapter {
    title: String,
    /// The number of files in `Changes N files`.
    files: usize,
    patch: String,
}

pub(crate) fn run(_: &Programs) -> anyhow::Result<String> {
    stacks::buf()?;
    tools::curl()?;
    let chapters = chapters(&fs::read_to_string(root().join(DOCUMENT))?)?;
    let directory = tempfile::tempdir()?;
    let workspace = Workspace::copy_to(directory.path().join("copy"))?;
    let patch = directory.path().join("chapter.patch");
    for Chapter { title, files: promised, patch: text } in &chapters {
        fs::write(&patch, text)?;
        workspace
            .git(&["apply", "--index", &patch.to_string_lossy()])
            .with_context(|| title.clone())?;
        let changed = workspace.git(&["diff", "--name-only", "HEAD"])?;
        let files = changed.lines().count();
        anyhow::ensure!(files == *promised, "{title:?} promises {promised} files:\n{changed}");
        workspace.commit()?;
    }
    workspace.cargo(&["xtask", "docs"])?;
    let tests = ["test", "-p", "greet-proto", "-p", "greet-flags", "-p", "greet-server", "--"];
    workspace.cargo(&[&tests[..], &TESTED].concat())?;
    workspace.cargo(&["build", "-p", "greet-server", "-p", "greet-cli"])?;
    call(&workspace)?;
    Ok(format!("{} chapters apply, are tested and called", chapters.len()))
}

/// Calls what the chapters have added, on a daemon that requires a token.
fn call(workspace: &Workspace) -> anyhow::Result<()> {
    let token_file = workspace.directory.join("target/token");
    fs::write(&token_file, TOKEN)?;
    let mut server = program(workspace.program("greet-server"));
    server.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    server.args(["--log-format=json", "--access-log=all", "--token-file"]).arg(&token_file);
    let daemon = Daemon::spawn(&mut server)?;
    let client = |arguments: &[&str]| {
        let mut client = program(workspace.program("greet-cli"));
        capture(client.args(["--target", &daemon.target]).args(arguments))
    };
    let authorization = format!("authorization: Bearer {TOKEN}");
    let call = |method: &str, request: &str| {
        client(&["-H", &authorization, "call", method, "--json", request])
    };

    let reply = call("SayGoodbye", r#"{"name":"Ada","times":2}"#)?.succeeded()?;
    anyhow::ensure!(reply == "{\"message\":\"Goodbye Ada, Goodbye Ada\"}\n", "{reply:?}");
    let refused = call("SayGoodbye", r#"{"name":"Ada","times":11}"#)?.exited_with(67)?.stderr;
    anyhow::ensure!(refused.contains("the limit is 10"), "{refused}");
    for count in 1..=2 {
        let reply = call("Visitors/Count", r#"{"name":"Ada"}"#)?.succeeded()?;
        anyhow::ensure!(reply == format!("{{\"visits\":{count}}}\n"), "{reply:?}");
    }
    let refused = client(&["call", "SayGoodbye"])?.exited_with(80)?.stderr;
    anyhow::ensure!(refused.contains("UNAUTHENTICATED"), "{refused}");
    for header in ["x-other: identity", "grpc-encoding: identity"] {
        let status = status_without_token(&daemon, header)?;
        anyhow::ensure!(status == "16", "grpc-status is {status} with {header}");
    }

    let health = client(&["health", "--all"])?.succeeded()?;
    anyhow::ensure!(health.contains("greet.Visitors"), "{health}");
    for (method, status, calls) in [
        ("greet.Greeter/SayGoodbye", "OK", 1),
        ("greet.Greeter/SayGoodbye", "INVALID_ARGUMENT", 1),
        ("greet.Greeter/SayGoodbye", "UNAUTHENTICATED", 3),
        ("greet.Visitors/Count", "OK", 2),
    ] {
        let labels = format!(r#"grpc_method="{method}",grpc_status="{status}""#);
        let metric = format!("grpc_server_call_duration_seconds_count{{{labels}}}");
        let counted = daemon.metric(&metric)?;
        anyhow::ensure!(counted == calls, "{metric} is {counted}");
    }
    let mut reflected = stacks::buf()?;
    reflected.args(["curl", "--protocol", "grpc", "--http2-prior-knowledge"]);
    reflected.args(["--reflect-header", &authorization]);
    reflected.args(["--list-methods", &daemon.target]);
    let reflected = capture(&mut reflected)?.succeeded()?;
    for method in ["greet.Greeter/SayGoodbye", "greet.Greeter/CountDown", "greet.Visitors/Count"] {
        anyhow::ensure!(reflected.contains(method), "{reflected}");
    }
    let ended = daemon.stop_cleanly()?;
    for method in ["greet.Greeter/SayGoodbye", "greet.Visitors/Count"] {
        anyhow::ensure!(ended.log.contains(&format!(r#""method":"{method}""#)), "{}", ended.log);
    }
    Ok(())
}

/// Returns `grpc-status` of a call without a token and with `header`.
fn status_without_token(daemon: &Daemon, header: &str) -> anyhow::Result<String> {
    let mut curl: Command = tools::curl()?;
    curl.args(["--silent", "--http2-prior-knowledge", "--dump-header", "-", "--output"]);
    curl.args([if cfg!(unix) { "/dev/null" } else { "NUL" }, "--header", header]);
    curl.args(["--header", "content-type: application/grpc", "--header", "te: trailers"]);
    curl.args(["--data-binary", "", &format!("{}/greet.Greeter/SayGoodbye", daemon.target)]);
    let headers = capture(&mut curl)?.succeeded()?;
    let status = headers.lines().find_map(|line| line.strip_prefix("grpc-status: "));
    Ok(status.with_context(|| format!("no grpc-status in {headers}"))?.trim().to_owned())
}

/// Returns the chapters of a document that have a ```` ```diff ```` block.
fn chapters(document: &str) -> anyhow::Result<Vec<Chapter>> {
    let mut chapters = Vec::new();
    for section in document.split("\n## ").skip(1) {
        let title = section.lines().next().unwrap_or_default().to_owned();
        let Some((before, rest)) = section.split_once("\n```diff\n") else { continue };
        let (patch, _) = rest.split_once("\n```").context("a patch has no end")?;
        let files = before.split_once("Changes ").and_then(|(_, rest)| rest.split(' ').next());
        let files = files.and_then(|files| files.parse().ok());
        let files = files.with_context(|| format!("{title:?} does not say: Changes N files"))?;
        chapters.push(Chapter { title, files, patch: format!("{patch}\n") });
    }
    anyhow::ensure!(!chapters.is_empty(), "{DOCUMENT} has no patch");
    Ok(chapters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chapter_has_a_title_a_promise_and_a_patch() {
        let document =
            "# A\n\n## B\n\nNo patch.\n\n## C\n\nChanges 2 files.\n\n```diff\n-a\n+b\n```\n";
        let expected = Chapter { title: "C".to_owned(), files: 2, patch: "-a\n+b\n".to_owned() };
        assert_eq!(chapters(document).unwrap(), [expected]);
        assert!(chapters("## C\n\n```diff\n-a\n```\n").is_err());
        assert!(chapters("\n## C\n\n```diff\n-a\n```\n").is_err());
    }
}

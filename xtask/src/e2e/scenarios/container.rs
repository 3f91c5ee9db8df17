//! The container image: it is reproducible and small, and a container with the restrictions and the memory
//! limit of the Kubernetes manifest serves, drains and survives an attack as the daemon does outside.

use std::fs;

use anyhow::Context as _;
use serde_json::Value;

use crate::e2e::scenarios::{lifecycle, memory_limit};
use crate::e2e::under_attack;
use crate::harness::command::capture;
use crate::harness::container::{Container, Podman};
use crate::harness::programs::Programs;
use crate::harness::report::require_linux;
use crate::harness::sample;
use crate::hostile::attack::Attack;
use crate::hostile::attacks::UNFINISHED_MESSAGES;
use crate::hostile::good_client::GoodCalls;
use crate::image;

const MAX_BYTES: u64 = 16_000_000;
/// Limits of the CPU, and the workers of a daemon with it.
const WORKERS: [(&str, u64); 3] = [("--cpus=0.5", 1), ("--cpus=1", 1), ("--cpus=2", 2)];
/// Their messages together have more bytes than the limit of the container.
const ATTACKERS: usize = 200;
const CLIENT: &str = "/usr/local/bin/greet-cli";

/// The storage with the image, and the client outside.
struct Image<'a> {
    podman: &'a Podman,
    id: &'a str,
    programs: &'a Programs,
}

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    require_linux()?;
    let podman = Podman::new()?;
    let id = &image::build_for_tests(&podman)?;
    let again = image::build_for_tests(&Podman::new()?)?; // with an empty cache of layers
    anyhow::ensure!(*id == again, "the same files gave the images {id} and {again}");
    let size = ["image", "inspect", "--format={{.Size}}", id];
    let bytes: u64 = capture(podman.command().args(size))?.succeeded()?.trim().parse()?;
    anyhow::ensure!(bytes < MAX_BYTES, "the image has {bytes} bytes");

    let image = Image { podman: &podman, id, programs };
    image.prints()?;
    image.runs_as_documented()?;
    image.serves()?;
    image.drains()?;
    image.follows_cpu_limit()?;
    let under_attack = image.survives_attack()?;
    Ok(format!("{:.1} MB; {under_attack}", bytes as f64 / 1e6))
}

impl Image<'_> {
    fn start(
        &self,
        name: &str,
        env: &[(String, String)],
        options: &[&str],
    ) -> anyhow::Result<Container<'_>> {
        self.podman.start(self.id, name, env, options)
    }

    /// Flags are arguments of the container.
    fn prints(&self) -> anyhow::Result<()> {
        let run = |flag| capture(self.podman.run(&["--rm"]).args([self.id, flag]));
        let version = run("--version")?.succeeded()?;
        let expected = concat!("greet-server ", env!("CARGO_PKG_VERSION"));
        anyhow::ensure!(version.starts_with(expected), "the version is {version:?}");
        let refused = run("--no-such-flag")?.exited_with(2)?;
        let is_one_line = refused.stdout.is_empty() && refused.stderr.lines().count() == 1;
        anyhow::ensure!(is_one_line, "an unknown flag: {refused}");
        Ok(())
    }

    /// Calls come from outside, probes from inside.
    fn serves(&self) -> anyhow::Result<()> {
        let mut container = self.start("serving", &[], &[])?;
        let status = format!("/proc/{}/status", container.inspect(".State.Pid")?);
        let status = fs::read_to_string(&status).context(status)?;
        for line in ["Uid:\t65532\t65532\t65532\t65532", "CapEff:\t0000000000000000"] {
            anyhow::ensure!(status.lines().any(|found| found == line), "not {line}: {status}");
        }

        let target = container.daemon.target.clone();
        let reply = capture(&mut self.programs.call(&target, "Ada"))?.succeeded()?;
        anyhow::ensure!(reply == sample::reply("Ada"), "the reply was {reply:?}");
        let health = |target: &str| container.exec(&[CLIENT, "--target", target, "health"]);
        // A name needs the resolver of the static C library.
        for target in [&target, &target.replace("127.0.0.1", "localhost")] {
            let health = health(target)?.succeeded()?;
            anyhow::ensure!(health == "SERVING\n", "the health of {target} is {health:?}");
        }
        let unknown = health("unknown.invalid:1")?.exited_with(3)?;
        anyhow::ensure!(unknown.stderr.starts_with("greet-cli: dns: "), "{unknown}");

        let ended = container.stop()?;
        anyhow::ensure!(ended.code == Some(0), "{ended:?}");
        Ok(())
    }

    /// The commands of the documentation, with the ports of the image in a network of its own. Every line of
    /// the log is JSON.
    fn runs_as_documented(&self) -> anyhow::Result<()> {
        let name = "documented";
        let podman = |arguments: &[&str]| capture(self.podman.command().args(arguments));
        let run = ["--detach", "--name", name, self.id];
        let started = capture(&mut self.podman.run_in("none", &run))?;
        let health = podman(&["exec", name, "greet-cli", "--wait=30s", "health"]);
        let stopped = podman(&["stop", name]);
        let code = podman(&["inspect", "--format={{.State.ExitCode}}", name]);
        let logs = podman(&["logs", name]);
        self.podman.remove(name); // whatever failed before

        started.succeeded()?;
        let health = health?.succeeded()?;
        anyhow::ensure!(health == "SERVING\n", "the health is {health:?}");
        stopped?.succeeded()?;
        let code = code?.succeeded()?;
        anyhow::ensure!(code == "0\n", "the exit code is {code}");
        let logs = logs?;
        for line in logs.stdout.lines().chain(logs.stderr.lines()) {
            serde_json::from_str::<Value>(line).with_context(|| format!("not JSON: {line:?}"))?;
        }
        Ok(())
    }

    /// SIGTERM to process 1 under load.
    fn drains(&self) -> anyhow::Result<()> {
        let mut stopped = self.start("stopped", &[], &[])?;
        let mut other = self.start("other", &[], &[])?;
        let targets =
            [("stopped", stopped.daemon.target.clone()), ("other", other.daemon.target.clone())];
        let (ended, received) = lifecycle::under_load(self.programs, &targets, || stopped.stop())?;
        anyhow::ensure!(ended.code == Some(0), "{ended:?}");
        let answered = ended.figure("answered")?;
        anyhow::ensure!(
            received.get("stopped") == Some(&answered) && answered > 0,
            "the container answered {answered} calls, its clients received {received:?}"
        );
        anyhow::ensure!(other.stop()?.code == Some(0), "the other container did not drain");
        Ok(())
    }

    fn follows_cpu_limit(&self) -> anyhow::Result<()> {
        for (limit, expected) in WORKERS {
            let mut container = self.start("workers", &[], &[limit])?;
            let log = container.stop()?.log;
            let mut events = log.lines().filter_map(|line| serde_json::from_str(line).ok());
            let started = events.find(|event: &Value| event["message"] == "server started");
            let workers = started.context("no event of the start")?["workers"].as_u64();
            anyhow::ensure!(workers == Some(expected), "{workers:?} workers with {limit}");
        }
        Ok(())
    }

    /// The attack that holds the most memory, with the limit of the manifest.
    fn survives_attack(&self) -> anyhow::Result<String> {
        let limit = memory_limit::limit_of_manifest()?;
        // A slow machine takes longer than the default to read messages of the whole limit.
        let env = [("GREET_MESSAGE_TIMEOUT".to_owned(), "10m".to_owned())];
        let mut container = self.start("attacked", &env, &[&format!("--memory={limit}")])?;
        let daemon = &container.daemon;
        let has_effect = || Ok(daemon.metric(memory_limit::CLOSED)? > 0);
        let attack = Attack { peers: ATTACKERS, ..UNFINISHED_MESSAGES };
        let calls = under_attack::run(self.programs, daemon, &attack, has_effect)?;
        let is_killed = container.inspect(".State.OOMKilled")?;
        let ended = container.stop()?;
        anyhow::ensure!(is_killed == "false" && ended.code == Some(0), "{is_killed} {ended:?}");
        let GoodCalls { answered, p99, .. } = calls;
        let p99 = p99.unwrap_or_default();
        Ok(format!("under attack {answered} calls with a p99 of {p99:?}"))
    }
}

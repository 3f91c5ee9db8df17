//! Three daemons behind a proxy, and calls through it while some of them are replaced.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use greet_testkit::certs::Ca;
use serde_json::Value;

use crate::harness::command::{capture, wait_for};
use crate::harness::console;
use crate::harness::daemon::Daemon;
use crate::harness::ports::Ports;
use crate::harness::programs::{Programs, root};
use crate::harness::sample;
use crate::harness::tools;

/// The ports in the configurations: daemons, admin ports, the proxy in plaintext and over TLS.
const SHOWN: [u16; 8] = [50051, 50052, 50053, 9101, 9102, 9103, 8080, 8443];
/// The names of the daemons.
pub(super) const NAMES: [&str; 3] = ["a", "b", "c"];
/// Above the health check interval of every proxy.
const DRAIN_DELAY: &str = "3s";
const REPLACE_TIMEOUT: Duration = Duration::from_secs(30);
const CALLS_PER_BATCH: u64 = 300;
/// The share of calls that each of three daemons gets by round robin.
const MIN_SHARE: f64 = 0.2;

/// A proxy; it is terminated when this is dropped, because a killed nginx would leave its workers.
#[derive(Debug)]
pub(super) struct Proxy(Daemon);

/// Starts a daemon: the port for calls, the admin port, and the name of the instance.
type Start<'a> = dyn Fn(u16, u16, &str) -> anyhow::Result<Daemon> + Sync + 'a;

/// Daemons and the proxy in front of them.
pub(super) struct Fleet<'a> {
    programs: &'a Programs,
    start: Box<Start<'a>>,
    certs: Ca,
    ports: Ports,
    daemons: Vec<Daemon>,
}

/// Calls by the name of the daemon that answered.
pub(super) type Tally = BTreeMap<String, u64>;

impl Proxy {
    /// Starts the proxy in `directory` and waits until it accepts.
    pub(super) fn start(
        command: &mut Command,
        directory: &Path,
        address: &str,
    ) -> anyhow::Result<Proxy> {
        Ok(Proxy(Daemon::spawn_at(command.current_dir(directory), address)?))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.terminate();
        let _ = self.0.wait();
    }
}

impl<'a> Fleet<'a> {
    /// Starts three processes, and writes `deploy/proxies/CONFIG` with free ports and certificates.
    pub(super) fn start(programs: &'a Programs, config: &str) -> anyhow::Result<Fleet<'a>> {
        let start = |listen, admin, name: &str| {
            let [listen, admin] = [listen, admin].map(|port: u16| format!("127.0.0.1:{port}"));
            let flags = ["--listen", &listen, "--admin-listen", &admin, "--instance", name];
            Daemon::start(programs, &[&flags[..], &["--drain-delay", DRAIN_DELAY]].concat())
        };
        Fleet::start_with(programs, config, start)
    }

    /// The same with daemons that `start` starts.
    pub(super) fn start_with(
        programs: &'a Programs,
        config: &str,
        start: impl Fn(u16, u16, &str) -> anyhow::Result<Daemon> + Sync + 'a,
    ) -> anyhow::Result<Fleet<'a>> {
        let certs = Ca::new("Example CA");
        let directory = certs.directory();
        certs.sign_files("server").combine(&certs.path("server.both"));
        let ports = Ports::new(SHOWN)?;
        let text = fs::read_to_string(root().join("deploy/proxies").join(config))?;
        fs::write(directory.join(config), ports.free(&text))?;
        let start = Box::new(start);
        let mut fleet = Fleet { programs, start, certs, ports, daemons: Vec::new() };
        for (place, name) in NAMES.iter().enumerate() {
            let daemon = fleet.daemon(place, name)?;
            fleet.daemons.push(daemon);
        }
        Ok(fleet)
    }

    pub(super) fn directory(&self) -> &Path {
        self.certs.directory()
    }

    /// Returns the plaintext address of the proxy.
    pub(super) fn plaintext_address(&self) -> String {
        self.address("127.0.0.1:8080")
    }

    /// Returns an address of the configuration with its free port.
    fn address(&self, shown: &str) -> String {
        self.ports.free(shown)
    }

    fn daemon(&self, place: usize, name: &str) -> anyhow::Result<Daemon> {
        let [listen, admin] =
            [place, NAMES.len() + place].map(|index| self.ports.free_port(SHOWN[index]));
        (self.start)(listen, admin, name)
    }

    /// Calls through the proxy, in plaintext or over TLS.
    fn client(&self, has_tls: bool, arguments: &[&str]) -> Command {
        let target = if has_tls {
            format!("https://{}", self.address("localhost:8443"))
        } else {
            format!("http://{}", self.plaintext_address())
        };
        let mut command = self.programs.client(&target, &[]);
        if has_tls {
            command.arg("--ca-cert").arg(self.certs.ca_file());
        }
        command.args(arguments);
        command
    }

    /// Reply, instance, status and error details arrive as without a proxy.
    pub(super) fn passes_calls_unchanged(&self) -> anyhow::Result<()> {
        for has_tls in [false, true] {
            capture(&mut self.client(has_tls, &["--wait", "20s", "health"]))?.succeeded()?;
            let json = ["--output", "json"];
            let mut call = self.client(has_tls, &json);
            let call = capture(call.args(sample::call(&["Zoë"])))?.succeeded()?;
            let call: Value = serde_json::from_str(&call)?;
            anyhow::ensure!(sample::exchange(&call) == Some(("Zoë", true)), "{call}");
            let instance = call["instance"].as_str().unwrap_or_default();
            anyhow::ensure!(NAMES.contains(&instance), "{call}");

            let mut refused = self.client(has_tls, &json);
            refused.args(sample::call(&["x".repeat(5_000)]));
            let refused = capture(&mut refused)?.exited_with(67)?.stdout;
            anyhow::ensure!(refused.contains("the limit is 4096 bytes"), "{refused}");
        }
        let mut details = tools::python("clients/python/status.py")?;
        let details = capture(details.arg(self.plaintext_address()))?.succeeded()?;
        let expected = "INVALID_ARGUMENT name: is 5000 bytes long; the limit is 4096 bytes\n";
        anyhow::ensure!(details == expected, "the details were {details:?}");
        Ok(())
    }

    /// Replaces daemons one after the other under load, such as `b` by `b2`: no call fails, and each daemon
    /// gets its share.
    pub(super) fn replaces_under_load(&mut self, replaced: &[&str]) -> anyhow::Result<String> {
        let mut daemons = std::mem::take(&mut self.daemons);
        let this = &*self;
        let is_over = AtomicBool::new(false);
        let (after, all) = thread::scope(|scope| {
            let clients = scope.spawn(|| this.call_until(&is_over));
            let after = this.replace_each(&mut daemons, replaced);
            is_over.store(true, Ordering::Relaxed);
            anyhow::Ok((after?, clients.join().expect("a client does not panic")?))
        })?;
        for name in replaced {
            let [before, after] = [(*name).to_owned(), replacement(name)];
            anyhow::ensure!(all.contains_key(&before) && all.contains_key(&after), "{all:?}");
        }
        let calls: u64 = all.values().sum();
        Ok(format!("{calls} calls meanwhile, none failed; at the end {after:?}"))
    }

    /// Returns the calls of a batch after the last replacement.
    fn replace_each(&self, daemons: &mut [Daemon], replaced: &[&str]) -> anyhow::Result<Tally> {
        let mut last = self.batch()?;
        let calls: u64 = last.values().sum();
        for name in NAMES {
            let share = *last.get(name).unwrap_or(&0) as f64 / calls as f64;
            anyhow::ensure!(share >= MIN_SHARE, "{name} has {share:.2} of the calls: {last:?}");
        }
        for name in replaced {
            let place = NAMES.iter().position(|known| known == name).context("a known name")?;
            let drained = &mut daemons[place];
            drained.terminate()?;
            let ended = drained.wait()?;
            anyhow::ensure!(ended.code == Some(0), "the daemon that drained: {ended:?}");
            let new = replacement(name);
            *drained = self.daemon(place, &new)?;
            last = wait_for(&format!("{new} gets its share"), REPLACE_TIMEOUT, || {
                let batch = self.batch()?;
                Ok((batch.get(&new) >= Some(&50)).then_some(batch))
            })?;
        }
        Ok(last)
    }

    fn call_until(&self, is_over: &AtomicBool) -> anyhow::Result<Tally> {
        let mut all = Tally::new();
        while !is_over.load(Ordering::Relaxed) {
            for (name, calls) in self.batch()? {
                *all.entry(name).or_default() += calls;
            }
        }
        Ok(all)
    }

    /// Makes some calls, none of which may fail.
    fn batch(&self) -> anyhow::Result<Tally> {
        tally(&capture(&mut self.calls())?.succeeded()?)
    }

    /// Makes [`CALLS_PER_BATCH`] calls, some of which may fail. Returns those that did not.
    pub(super) fn successes(&self) -> anyhow::Result<Tally> {
        tally(&capture(&mut self.calls())?.stdout)
    }

    /// Runs the blocks of `kind` in a document that shows the ports of the configurations.
    pub(super) fn runs_console(&self, document: &str, kind: &str) -> anyhow::Result<()> {
        console::check(document, kind, self.directory(), &self.ports, self.programs)?;
        Ok(())
    }

    /// Returns the daemon of this name.
    pub(super) fn named(&self, name: &str) -> anyhow::Result<&Daemon> {
        let place = NAMES.iter().position(|known| *known == name).context("a known name")?;
        Ok(&self.daemons[place])
    }

    fn calls(&self) -> Command {
        let mut calls = self.client(false, &["--output", "json"]);
        calls.args(sample::call(&["Ada"])).arg(format!("--count={CALLS_PER_BATCH}"));
        calls.args(["--concurrency", "10"]);
        calls
    }
}

/// Returns the calls of a batch by the daemon that answered.
fn tally(output: &str) -> anyhow::Result<Tally> {
    let tally = output.lines().find(|line| line.contains("greet.tally/v1"));
    let tally: Value = serde_json::from_str(tally.context("the output has a tally")?)?;
    let answered = tally["answered_by"].as_object().context("the tally counts by instance")?;
    let calls = answered.iter().map(|(name, calls)| (name.clone(), calls.as_u64().unwrap_or(0)));
    Ok(calls.collect())
}

/// Returns the name of the daemon that takes the place of another.
fn replacement(name: &str) -> String {
    format!("{name}2")
}

//! Containers of the image as the kubelet runs the pods of `deploy/kubernetes`, with variables, limits and
//! probes from the rendered Deployment: the probes follow a drain, the files of a Secret are enough for
//! TLS, and behind Envoy each container is replaced without a failed call.
//!
//! The containers share the loopback address, so each has other ports than the Deployment.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use greet_testkit::certs::{Ca, IdentityFiles};
use serde_json::Value;

use crate::e2e::proxied_fleet::{Fleet, NAMES, Proxy};
use crate::harness::command::{capture, program, wait_for};
use crate::harness::container::Podman;
use crate::harness::daemon::Daemon;
use crate::harness::manifests::{Manifests, Rendering, quantity};
use crate::harness::ports::Ports;
use crate::harness::programs::Programs;
use crate::harness::report::require_linux;
use crate::harness::sample;
use crate::harness::tools;
use crate::image;

/// The ports of the container.
const PORTS: [u16; 2] = [50051, 9090];

/// Starts containers as the kubelet starts pods. They are removed on drop.
struct Kubelet<'a> {
    podman: &'a Podman,
    image: &'a str,
    rendering: &'a Rendering,
}

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    require_linux()?;
    tools::envoy()?;
    let manifests = Manifests::copy()?;
    let [base, production] = [manifests.render("base")?, manifests.render("overlays/production")?];
    let podman = &Podman::new()?;
    let image = &image::build_for_tests(podman)?;
    let base = Kubelet { podman, image, rendering: &base };
    follows_probes(&base)?;
    serves_with_secret(programs, &Kubelet { podman, image, rendering: &production })?;
    loses_no_call(programs, &base)
}

/// The probes succeed after the start. During the drain only readiness fails.
fn follows_probes(kubelet: &Kubelet<'_>) -> anyhow::Result<()> {
    let [listen, admin] = free_ports()?;
    let mut pod = kubelet.start(listen, admin, "probed", &[])?;
    for probe in ["readinessProbe", "livenessProbe"] {
        ensure!(kubelet.succeeds(probe, admin)?, "the {probe} fails after the start");
    }
    kubelet.terminate("probed")?;
    let period = kubelet.seconds("readinessProbe", "periodSeconds")?;
    wait_for("the readinessProbe fails", Duration::from_secs(period), || {
        Ok((!kubelet.succeeds("readinessProbe", admin)?).then_some(()))
    })?;
    ensure!(kubelet.succeeds("livenessProbe", admin)?, "the livenessProbe fails in the drain");
    let ended = pod.wait()?;
    let grace = &kubelet.rendering.pod()?["terminationGracePeriodSeconds"];
    let is_in_time = Some(ended.took.as_secs()) < grace.as_u64();
    ensure!(ended.code == Some(0) && is_in_time, "{ended:?}");
    kubelet.logged_no_warning("probed")
}

/// The daemon serves TLS with the files of a Secret, and the probes stay plain HTTP.
fn serves_with_secret(programs: &Programs, kubelet: &Kubelet<'_>) -> anyhow::Result<()> {
    let certs = Ca::new("Example CA");
    let secret = tempfile::tempdir()?;
    let [cert, key] = ["tls.crt", "tls.key"].map(|file| secret.path().join(file));
    IdentityFiles { cert, key }.write(&certs.sign_serial(1));
    // The daemon in the container is another user.
    capture(program("chmod").args(["-R", "a+rX"]).arg(secret.path()))?.succeeded()?;
    let mount = &kubelet.rendering.container()?["volumeMounts"][0]["mountPath"];
    let mount = mount.as_str().context("the Deployment mounts the Secret")?;

    let [listen, admin] = free_ports()?;
    let volume = format!("--volume={}:{mount}:ro", secret.path().display());
    let mut pod = kubelet.start(listen, admin, "tls", &[&volume])?;
    ensure!(kubelet.succeeds("livenessProbe", admin)?, "the livenessProbe fails with TLS");
    let mut call = programs.call(&format!("https://localhost:{listen}"), "Ada");
    let reply = capture(call.arg("--ca-cert").arg(certs.ca_file()))?.succeeded()?;
    ensure!(reply == sample::reply("Ada"), "the reply was {reply:?}");
    kubelet.terminate("tls")?;
    let ended = pod.wait()?;
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(())
}

/// Behind Envoy, each of three containers is replaced under load.
fn loses_no_call(programs: &Programs, kubelet: &Kubelet<'_>) -> anyhow::Result<String> {
    let start = |listen, admin, name: &str| kubelet.start(listen, admin, name, &[]);
    let mut fleet = Fleet::start_with(programs, "envoy.yaml", start)?;
    let mut envoy = tools::envoy()?;
    envoy.args(["-c", "envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id"]);
    envoy.args(["--log-level", "error"]);
    let _proxy = Proxy::start(&mut envoy, fleet.directory(), &fleet.plaintext_address())?;
    fleet.passes_calls_unchanged()?;
    let replaced = fleet.replaces_under_load(&NAMES)?;
    for name in NAMES {
        kubelet.logged_no_warning(name)?;
    }
    Ok(replaced)
}

fn free_ports() -> anyhow::Result<[u16; 2]> {
    let ports = Ports::new(PORTS)?;
    Ok(PORTS.map(|port| ports.free_port(port)))
}

impl Kubelet<'_> {
    /// Starts a container and waits until its startup probe succeeds.
    fn start(
        &self,
        listen: u16,
        admin: u16,
        name: &str,
        options: &[&str],
    ) -> anyhow::Result<Daemon> {
        let container = self.rendering.container()?;
        let user = &self.rendering.pod()?["securityContext"];
        let memory = container["resources"]["limits"]["memory"].as_str().and_then(quantity);
        let mut run = self.podman.run(&["--name", name]);
        run.arg(format!("--user={}:{}", user["runAsUser"], user["runAsGroup"]));
        run.arg(format!("--memory={}", memory.context("the container has a memory limit")?));
        for (variable, value) in self.rendering.environment(name)? {
            let [shown_listen, shown_admin] = PORTS.map(|port| format!("]:{port}"));
            let value = value.replace(&shown_listen, &format!("]:{listen}"));
            let value = value.replace(&shown_admin, &format!("]:{admin}"));
            run.arg(format!("--env={variable}={value}"));
        }
        run.args(options).arg(self.image);
        let daemon = Daemon::spawn_at(&mut run, &format!("127.0.0.1:{listen}"));
        let daemon = daemon.with_context(|| self.log(name).unwrap_or_default())?;
        let probe = "startupProbe";
        let tries =
            self.seconds(probe, "failureThreshold")? * self.seconds(probe, "periodSeconds")?;
        wait_for(&format!("the {probe} of {name}"), Duration::from_secs(tries), || {
            Ok(self.succeeds(probe, admin)?.then_some(()))
        })?;
        Ok(daemon)
    }

    /// Sends SIGTERM to a container. `podman run` passes signals on, but not from its start.
    fn terminate(&self, name: &str) -> anyhow::Result<()> {
        capture(self.podman.command().args(["kill", "--signal=TERM", name]))?.succeeded()?;
        Ok(())
    }

    /// Sends the request of a probe.
    fn succeeds(&self, probe: &str, admin: u16) -> anyhow::Result<bool> {
        let get = &self.rendering.container()?[probe]["httpGet"];
        ensure!(get["port"] == "admin", "the {probe} does not use the admin port");
        let path = get["path"].as_str().context("the probe has a path")?;
        // The default of timeoutSeconds is one second.
        let timeout = Duration::from_secs(self.seconds(probe, "timeoutSeconds").unwrap_or(1));
        let respond = || -> std::io::Result<String> {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, admin));
            let mut tcp = TcpStream::connect_timeout(&address, timeout)?;
            tcp.set_read_timeout(Some(timeout))?;
            write!(tcp, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
            let mut response = String::new();
            tcp.read_to_string(&mut response)?;
            Ok(response)
        };
        Ok(respond().is_ok_and(|response| response.starts_with("HTTP/1.1 200 ")))
    }

    fn seconds(&self, probe: &str, name: &str) -> anyhow::Result<u64> {
        let value = &self.rendering.container()?[probe][name];
        value.as_u64().with_context(|| format!("the {probe} has no {name}"))
    }

    /// Returns the log of a container, also of one that has ended.
    fn log(&self, name: &str) -> anyhow::Result<String> {
        Ok(capture(self.podman.command().args(["logs", name]))?.stderr)
    }

    /// The configuration causes no warning, such as of limits that contradict each other.
    fn logged_no_warning(&self, name: &str) -> anyhow::Result<()> {
        let log = self.log(name)?;
        ensure!(!log.is_empty(), "{name} has no log");
        for line in log.lines() {
            let event: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            ensure!(event["level"] == "INFO", "{name} logged {line}");
        }
        Ok(())
    }
}

impl Drop for Kubelet<'_> {
    fn drop(&mut self) {
        let _ = capture(self.podman.command().args(["rm", "--all", "--force", "--time=0"]));
    }
}

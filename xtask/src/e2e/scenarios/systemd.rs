//! The units in deploy/systemd: systemd accepts them and rates their sandbox, and the daemon that its sockets
//! activate stays within this sandbox.
//!
//! A test must not boot systemd, which would change the machine. Therefore the system calls of the daemon are
//! recorded and compared with those that the unit permits.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use greet_testkit::certs::Ca;
use tempfile::TempDir;

use crate::harness::command::{capture, program, wait_for};
use crate::harness::daemon::Daemon;
use crate::harness::ports::Ports;
use crate::harness::programs::{Programs, root};
use crate::harness::report::require_linux;
use crate::harness::sample;
use crate::harness::tools;

const UNITS: &str = "deploy/systemd";
const SERVICE: &str = "greet-server.service";
const SOCKET: &str = "greet-server.socket";
const ADMIN_SOCKET: &str = "greet-server-admin.socket";
/// In tenths, as `systemd-analyze security` takes it. A service with sockets cannot reach 0.
const MAX_EXPOSURE: &str = "12";
/// The time for a start or a reload under strace.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);
const RELOADS: &str = r#"greet_tls_reloads_total{result="success"}"#;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    require_linux()?;
    let units = Units::copy(programs)?;
    units.verify()?;
    let exposure = units.exposure()?;
    let recorded = units.serve(programs)?;
    // The daemon finds the new certificate without the signal as well, but later.
    anyhow::ensure!(recorded.contains("--- SIGHUP "), "ExecReload= does not send SIGHUP");
    let sets = system_call_sets()?;
    let sandbox = Sandbox::new(&units.service, &sets)?;
    let calls: Vec<_> = recorded.lines().filter_map(SystemCall::parse).collect();
    let violations: BTreeSet<_> = calls.iter().filter_map(|call| sandbox.violation(call)).collect();
    anyhow::ensure!(violations.is_empty(), "{SERVICE} prohibits {violations:?}");
    let distinct: BTreeSet<_> = calls.iter().map(|call| call.name).collect();
    Ok(format!("{exposure}; {} system calls, all within the sandbox", distinct.len()))
}

/// Copies of the units, with the built program in the place of the installed one.
struct Units {
    directory: TempDir,
    service: String,
}

impl Units {
    fn copy(programs: &Programs) -> anyhow::Result<Units> {
        let directory = tempfile::tempdir()?;
        let server = programs.server.to_string_lossy();
        for name in [SERVICE, SOCKET, ADMIN_SOCKET] {
            let unit = fs::read_to_string(root().join(UNITS).join(name))?;
            let unit = unit.replace("/usr/local/bin/greet-server", &server);
            fs::write(directory.path().join(name), unit)?;
        }
        let service = fs::read_to_string(directory.path().join(SERVICE))?;
        Ok(Units { directory, service })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// systemd has no warning, with and without the settings in comments.
    fn verify(&self) -> anyhow::Result<()> {
        let verify = |service: &Path| {
            let mut verify = systemd_analyze()?;
            verify.args(["verify", "--man=no"]).arg(service);
            let verified =
                capture(verify.args([SOCKET, ADMIN_SOCKET].map(|name| self.path(name))))?;
            anyhow::ensure!(verified.status.success() && verified.stderr.is_empty(), "{verified}");
            anyhow::Ok(())
        };
        verify(&self.path(SERVICE))?;
        let options = self.service.lines().map(|line| match line.strip_prefix('#') {
            Some(option) if is_setting(option) => format!("{option}\n"),
            _ => format!("{line}\n"),
        });
        let directory = tempfile::tempdir()?;
        let with_options = directory.path().join(SERVICE);
        fs::write(&with_options, options.collect::<String>())?;
        verify(&with_options)
    }

    /// Returns systemd's rating, which is at most [`MAX_EXPOSURE`].
    fn exposure(&self) -> anyhow::Result<String> {
        let mut security = systemd_analyze()?;
        security.args(["security", "--offline=yes", "--no-pager", "--threshold", MAX_EXPOSURE]);
        let rated = capture(security.arg(self.path(SERVICE)))?.succeeded()?;
        let words = rated.split_once("exposure level for ").map(|(_, rest)| rest.split(' '));
        let level = words.and_then(|mut words| words.nth(1));
        Ok(format!("exposure {}", level.with_context(|| format!("no exposure level: {rated}"))?))
    }

    /// Activates the daemon by its sockets, calls it over TLS, reloads its certificate and stops it.
    /// Returns its system calls.
    fn serve(&self, programs: &Programs) -> anyhow::Result<String> {
        tools::apt("strace", "--version", "strace")?;
        let ca = Ca::new("systemd CA");
        let identity = ca.sign_files("server");
        let [cert, key] = [&identity.cert, &identity.key].map(|file| file.display());
        // No collector is there; the daemon resolves the name and tries to connect.
        let otlp = "otlp-endpoint = \"http://localhost:1\"";
        let config = self.path("daemon.toml");
        fs::write(&config, format!("tls-cert = \"{cert}\"\ntls-key = \"{key}\"\n{otlp}\n"))?;

        let ports = Ports::new([50051, 9090])?;
        let [address, admin] = ["127.0.0.1:50051", "127.0.0.1:9090"].map(|shown| ports.free(shown));
        let recording = self.path("system_calls");
        let mut activate = tools::apt("systemd-socket-activate", "--version", "systemd")?;
        activate.args(["--listen", &address, "--listen", &admin]);
        activate.arg(format!(
            "--fdname={}:{}",
            self.socket_name(SOCKET)?,
            self.socket_name(ADMIN_SOCKET)?
        ));
        activate.args(["--setenv=NOTIFY_SOCKET=@not-there", "--setenv=WATCHDOG_USEC=1000000"]);
        // As a grandchild, strace leaves the daemon the process id that LISTEN_PID has.
        activate.args(["strace", "--daemonize=grandchild", "--follow-forks", "--output"]);
        activate.arg(&recording).arg(&programs.server).arg("--config").arg(&config);
        let mut daemon = Daemon::spawn_at(&mut activate, &address)?;
        daemon.target = format!("https://{address}");
        daemon.admin = Some(format!("http://{admin}"));

        self.call(programs, &daemon, &ca)?;
        let reloads = daemon.metric(RELOADS)?;
        identity.write(&ca.sign_serial(2));
        self.reload(&daemon)?;
        wait_for("the certificate is reloaded", STEP_TIMEOUT, || {
            Ok((daemon.metric(RELOADS)? > reloads).then_some(()))
        })?;
        self.call(programs, &daemon, &ca)?;

        // strace pads process ids to five characters.
        let last_line = format!("{:<5} +++ exited with 0 +++", daemon.id());
        daemon.stop_cleanly()?;
        wait_for("the recording ends", STEP_TIMEOUT, || {
            let recorded = fs::read_to_string(&recording)?;
            Ok(recorded.contains(&last_line).then_some(recorded))
        })
    }

    fn socket_name(&self, unit: &str) -> anyhow::Result<String> {
        let text = fs::read_to_string(self.path(unit))?;
        let name = settings(&text, "FileDescriptorName").next();
        name.map(str::to_owned).with_context(|| format!("{unit} names no socket"))
    }

    fn call(&self, programs: &Programs, daemon: &Daemon, ca: &Ca) -> anyhow::Result<()> {
        let mut call = programs.client(&daemon.target, &["--wait=20s", &ca.ca_cert_flag()]);
        let reply = capture(call.args(sample::call(&["Ada"])))?.succeeded()?;
        anyhow::ensure!(reply == sample::reply("Ada"), "the reply is {reply:?}");
        Ok(())
    }

    /// Runs the command of `systemctl reload`.
    fn reload(&self, daemon: &Daemon) -> anyhow::Result<()> {
        let command = settings(&self.service, "ExecReload").next().context("no ExecReload=")?;
        let command = command.replace("$MAINPID", &daemon.id().to_string());
        let mut words = command.split(' ');
        let mut reload = program(words.next().unwrap_or_default());
        capture(reload.args(words))?.succeeded().map(drop)
    }
}

fn systemd_analyze() -> anyhow::Result<Command> {
    tools::apt("systemd-analyze", "--version", "systemd")
}

/// Returns the values of a setting, in order.
fn settings<'a>(unit: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    unit.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix('='))
}

/// Returns whether a line is `Name=value`.
fn is_setting(line: &str) -> bool {
    let name = line.split_once('=').map_or("", |(name, _)| name);
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.chars().all(char::is_alphanumeric)
}

/// Members of sets of system calls by name, such as `@resources`. A member may be a set.
type Sets = BTreeMap<String, Vec<String>>;

fn system_call_sets() -> anyhow::Result<Sets> {
    let listed = capture(systemd_analyze()?.args(["syscall-filter", "--no-pager"]))?.succeeded()?;
    let (mut sets, mut set) = (Sets::new(), String::new());
    for line in listed.lines() {
        match line.strip_prefix("    ") {
            None => line.clone_into(&mut set),
            Some(member) if member.starts_with('#') => {} // a description
            Some(member) => sets.entry(set.clone()).or_default().push(member.to_owned()),
        }
    }
    Ok(sets)
}

/// Returns the system calls in a set, or one system call.
fn expand<'a>(name: &'a str, sets: &'a Sets) -> BTreeSet<&'a str> {
    match sets.get(name) {
        Some(members) => members.iter().flat_map(|member| expand(member, sets)).collect(),
        None => BTreeSet::from([name]),
    }
}

/// A system call in the output of strace.
#[derive(Debug, PartialEq, Eq)]
struct SystemCall<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> SystemCall<'a> {
    /// Returns `None` for signals, ends and the second half of an interrupted line.
    fn parse(line: &'a str) -> Option<SystemCall<'a>> {
        let (_pid, call) = line.split_once(' ')?;
        let (name, arguments) = call.trim_start().split_once('(')?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_name.then_some(SystemCall { name, arguments })
    }
}

/// What a service may call.
struct Sandbox<'a> {
    system_calls: BTreeSet<&'a str>,
    families: BTreeSet<&'a str>,
}

impl<'a> Sandbox<'a> {
    fn new(service: &'a str, sets: &'a Sets) -> anyhow::Result<Sandbox<'a>> {
        anyhow::ensure!(service.contains("\nMemoryDenyWriteExecute=yes\n"), "memory is not W^X");
        let mut system_calls = BTreeSet::new();
        for filter in settings(service, "SystemCallFilter") {
            let (is_denied, names) =
                filter.strip_prefix('~').map_or((false, filter), |names| (true, names));
            for name in names.split(' ').flat_map(|name| expand(name, sets)) {
                if is_denied {
                    system_calls.remove(name);
                } else {
                    system_calls.insert(name);
                }
            }
        }
        let families =
            settings(service, "RestrictAddressFamilies").flat_map(|line| line.split(' '));
        Ok(Sandbox { system_calls, families: families.collect() })
    }

    /// Returns what is prohibited in a call.
    fn violation(&self, SystemCall { name, arguments }: &SystemCall<'a>) -> Option<String> {
        let family = arguments.split([',', ' ']).next().unwrap_or_default();
        let is_executable = arguments.contains("PROT_EXEC");
        let is_prohibited = match *name {
            name if !self.system_calls.contains(name) => true,
            "socket" => !self.families.contains(family),
            "mmap" => is_executable && arguments.contains("PROT_WRITE"),
            "mprotect" | "pkey_mprotect" => is_executable,
            _ => false,
        };
        is_prohibited.then(|| format!("{name}({arguments}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "[Service]\nMemoryDenyWriteExecute=yes\nRestrictAddressFamilies=AF_INET AF_UNIX\n\
                           SystemCallFilter=@service\nSystemCallFilter=~@resources\n";

    #[test]
    fn prohibited_system_calls_are_found() {
        let set = |members: &[&str]| members.iter().map(|name| (*name).to_owned()).collect();
        let sets = Sets::from([
            ("@service".to_owned(), set(&["@memory", "@resources", "read", "socket"])),
            ("@memory".to_owned(), set(&["mmap", "mprotect"])),
            ("@resources".to_owned(), set(&["nice"])),
        ]);
        let sandbox = Sandbox::new(SERVICE, &sets).unwrap();
        for (line, is_prohibited) in [
            ("12  read(3, \"socket(AF_NETLINK\", 8) = 8", false),
            ("12 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3", false),
            ("12 socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) = 3", true),
            ("12 mmap(NULL, 8, PROT_READ|PROT_EXEC, MAP_PRIVATE, 3, 0) = 0x7f", false),
            ("12 mmap(NULL, 8, PROT_WRITE|PROT_EXEC, MAP_PRIVATE, 3, 0) = 0x7f", true),
            ("12 mprotect(0x7f, 8, PROT_READ|PROT_EXEC) = 0", true),
            ("12 nice(5 <unfinished ...>", true),
            ("12 chroot(\"/\") = -1 EPERM (Operation not permitted)", true),
        ] {
            let call = SystemCall::parse(line).unwrap();
            assert_eq!(sandbox.violation(&call).is_some(), is_prohibited, "{line}");
        }
        for line in [
            "12 <... read resumed>\"\", 8) = 0",
            "12 +++ exited with 0 +++",
            "12 --- SIGTERM {} ---",
        ] {
            assert_eq!(SystemCall::parse(line), None, "{line}");
        }
    }
}

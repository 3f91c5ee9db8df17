//! The Debian package: lintian accepts it, and dpkg installs, upgrades and purges it.
//!
//! dpkg works on a directory in place of `/`, which needs no root. That directory has a copy of this
//! machine's list of packages, so dpkg checks the dependencies against a real system.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;

use crate::dist::{self, Release, deb};
use crate::harness::command::{capture, program};
use crate::harness::daemon::Daemon;
use crate::harness::programs::{self, Linking, Programs};
use crate::harness::sample;
use crate::harness::tools::apt;

const UNITS: &str = "usr/lib/systemd/system";
const SERVICE: &str = "greet-server.service";
const SOCKET: &str = "greet-server.socket";

pub(crate) fn run(_: &Programs) -> anyhow::Result<String> {
    let mut lintian = apt("lintian", "--version", "lintian")?;
    apt("man", "--version", "man-db")?;
    apt("systemd-analyze", "--version", "systemd")?;
    let release = Release::of_this_commit()?;
    let built = programs::build_release(Linking::Dynamic)?;
    let directory = tempfile::tempdir()?;
    let (tree, packages) = (directory.path().join("tree"), directory.path().join("packages"));
    fs::create_dir(&packages)?;
    dist::write_tree(&release, &built, &tree)?;
    let first = deb::write(&release, &tree, deb::FIRST_REVISION, &packages)?;
    let second = deb::write(&release, &tree, deb::FIRST_REVISION + 1, &packages)?;

    lintian.args(["--allow-root", "--no-cfg", "--fail-on=error,warning", "--info"]).arg(&first);
    let findings = capture(&mut lintian)?.succeeded()?;
    ensure!(findings.is_empty(), "lintian: {findings}");

    let root = Root::new(directory.path().join("root"))?;
    let before = root.files()?;
    root.dpkg("--install", &first)?;
    check_programs(&release, &root)?;
    check_manual_pages(&root)?;
    let units = check_units(&root)?;
    upgrade(&root, &second)?;
    root.dpkg("--purge", Path::new("greet"))?;
    let after = root.files()?;
    ensure!(before == after, "purge leaves {:?}", after.difference(&before).collect::<Vec<_>>());
    let mb = fs::metadata(&first)?.len() as f64 / 1e6;
    Ok(format!("{mb:.1} MB, {units} units; installed, upgraded and purged"))
}

/// Runs the installed programs with the installed configuration.
fn check_programs(release: &Release, root: &Root) -> anyhow::Result<()> {
    let directory = root.path("usr/bin");
    let [server, cli] = ["greet-server", "greet-cli"].map(|name| directory.join(name));
    let installed = Programs { server, cli, directory };
    let revision = programs::revision().unwrap_or_default();
    for path in [&installed.server, &installed.cli] {
        let version = capture(program(path).arg("--version"))?.succeeded()?;
        let is_ours = version.contains(release.version) && version.contains(&revision);
        ensure!(is_ours, "{} prints the version {version}", path.display());
    }
    let configuration = root.path(&deb::CONFFILE[1..]).display().to_string();
    let flags = ["--config", &configuration, "--listen", "127.0.0.1:0"];
    let daemon = Daemon::start(&installed, &flags)?;
    let reply = capture(&mut installed.call(&daemon.target, "Ada"))?.succeeded()?;
    ensure!(reply == sample::reply("Ada"), "the reply was {reply:?}");
    daemon.stop_cleanly().map(drop)
}

fn check_manual_pages(root: &Root) -> anyhow::Result<()> {
    for page in ["greet-server.1.gz", "greet-cli.1.gz"] {
        let mut man = program("man");
        man.args(["--warnings", "--local-file"]).arg(root.path("usr/share/man/man1").join(page));
        let rendered = capture(&mut man)?;
        ensure!(rendered.stderr.is_empty() && rendered.stdout.contains("SYNOPSIS"), "{rendered}");
    }
    Ok(())
}

/// Fails if systemd rejects a unit or the program in it, or if the package has enabled one. Returns the number
/// of units.
fn check_units(root: &Root) -> anyhow::Result<usize> {
    let units = root.names_below(UNITS)?;
    ensure!(units.iter().any(|unit| unit == SERVICE), "the package has only the units {units:?}");
    let mut verify = program("systemd-analyze");
    verify.arg("verify").arg(format!("--root={}", root.directory.display())).args(&units);
    let verified = capture(&mut verify)?;
    ensure!(verified.status.success() && verified.stderr.is_empty(), "{verified}");
    let enabled = root.enabled()?;
    ensure!(enabled.is_empty(), "the package has enabled {enabled:?}");
    Ok(units.len())
}

/// Upgrades and removes the package after an administrator has changed the configuration and enabled a unit.
fn upgrade(root: &Root, newer: &Path) -> anyhow::Result<()> {
    const CHANGED: &str = "drain-delay = \"1s\"\n";
    let configuration = root.path(&deb::CONFFILE[1..]);
    fs::write(&configuration, CHANGED)?;
    capture(root.systemctl().args(["enable", SOCKET]))?.succeeded()?;
    for (action, package) in [("--install", newer), ("--remove", Path::new("greet"))] {
        root.dpkg(action, package)?;
        let (kept, enabled) = (fs::read_to_string(&configuration)?, root.enabled()?);
        ensure!(kept == CHANGED, "dpkg {action} changed the configuration: {kept}");
        ensure!(enabled == [SOCKET], "after dpkg {action}, {enabled:?} is enabled");
    }
    Ok(())
}

/// A directory in place of `/`.
struct Root {
    directory: PathBuf,
}

impl Root {
    /// Creates a root in which the packages of this machine count as installed.
    fn new(directory: PathBuf) -> anyhow::Result<Root> {
        let database = directory.join("var/lib/dpkg");
        for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", UNITS] {
            fs::create_dir_all(directory.join(folder))?;
        }
        for folder_of_systemd in ["etc/systemd/system", "var/lib/systemd"] {
            fs::create_dir_all(directory.join(folder_of_systemd))?;
        }
        fs::copy("/var/lib/dpkg/status", database.join("status"))?;
        // Ours refer to units of systemd, and name this program.
        let copy =
            format!("cp --recursive /{UNITS}/. \"$0/{UNITS}\"; cp --parents /bin/kill \"$0\"");
        capture(program("sh").args(["-ec", &copy]).arg(&directory))?.succeeded()?;
        Ok(Root { directory })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// Runs dpkg. The maintainer scripts get the root in `DPKG_ROOT`.
    fn dpkg(&self, action: &str, package: &Path) -> anyhow::Result<()> {
        let mut dpkg = program("dpkg");
        dpkg.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        dpkg.arg(format!("--root={}", self.directory.display()));
        dpkg.arg(format!("--log={}", self.path("var/lib/dpkg/log").display()));
        dpkg.args(["--force-not-root", "--force-script-chrootless", action]).arg(package);
        capture(&mut dpkg)?.succeeded().map(drop)
    }

    fn systemctl(&self) -> Command {
        let mut systemctl = program("systemctl");
        systemctl.arg(format!("--root={}", self.directory.display()));
        systemctl
    }

    /// Returns the units of the package that are enabled.
    fn enabled(&self) -> anyhow::Result<Vec<String>> {
        self.names_below("etc/systemd/system")
    }

    /// Returns the names of the package's files below a directory.
    fn names_below(&self, directory: &str) -> anyhow::Result<Vec<String>> {
        let (files, directory) = (self.files()?, self.path(directory));
        let names = files.iter().filter(|file| file.starts_with(&directory));
        let names = names.filter_map(|file| file.file_name()?.to_str());
        Ok(names.filter(|name| name.starts_with("greet")).map(str::to_owned).collect())
    }

    /// Returns all files and directories but those of dpkg.
    fn files(&self) -> anyhow::Result<BTreeSet<PathBuf>> {
        let mut find = program("find");
        find.arg(&self.directory).arg("-path").arg(self.path("var/lib/dpkg"));
        let files = capture(find.args(["-prune", "-o", "-print"]))?.succeeded()?;
        Ok(files.lines().map(PathBuf::from).collect())
    }
}

//! Tools of the scenarios: finds them, or returns how to install them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::{capture, program, works};
use super::programs::{root, target_directory};
use super::report::Missing;

pub(super) const APT: &str = "sudo apt-get install --yes";

/// Returns `python xtask/SCRIPT` with grpcio.
pub(crate) fn python(script: &str) -> anyhow::Result<Command> {
    python_with("import grpc, grpc_tools, grpc_health, grpc_reflection, grpc_status", script)
}

/// Returns `python xtask/SCRIPT` in the virtual environment, which must have `imports`.
pub(crate) fn python_with(imports: &str, script: &str) -> anyhow::Result<Command> {
    let mut command = in_environment("python", "clients/python", "python", &["-c", imports])?;
    command.arg(root().join("xtask").join(script));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// Returns a program that checks files of this workspace, installed as a Python package.
pub(crate) fn checker(name: &'static str) -> anyhow::Result<Command> {
    in_environment("checkers", "checkers", name, &["--version"])
}

/// Returns `python xtask/SCRIPT` in the environment of the checkers, which must have `imports`.
pub(crate) fn checker_script(imports: &str, script: &str) -> anyhow::Result<Command> {
    let mut command = in_environment("checkers", "checkers", "python", &["-c", imports])?;
    command.arg(root().join("xtask").join(script));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// Returns kubectl from the PATH, or as `xtask/checkers/kubectl.py` installs it.
pub(crate) fn kubectl() -> anyhow::Result<Command> {
    let version = ["version", "--client"];
    if works(program("kubectl").args(version)) {
        return Ok(program("kubectl"));
    }
    let python = checker("python")?;
    let path = Path::new(python.get_program()).with_file_name("kubectl");
    if !works(program(&path).args(version)) {
        let install = format!("{} xtask/checkers/kubectl.py", python.get_program().display());
        return Err(missing("kubectl", install));
    }
    Ok(program(path))
}

/// Returns a program of the virtual environment with the requirements of a folder of xtask.
fn in_environment(
    environment: &str,
    folder: &str,
    name: &'static str,
    works_with: &[&str],
) -> anyhow::Result<Command> {
    let environment = target_directory()?.join("e2e").join(environment);
    let path = environment.join("bin").join(name);
    if !works(program(&path).args(works_with)) {
        let shown = environment.strip_prefix(root()).unwrap_or(&environment).display();
        let requirements = format!("xtask/{folder}/requirements.txt");
        let install =
            format!("python3 -m venv {shown} && {shown}/bin/pip install -r {requirements}");
        return Err(missing(name, install));
    }
    Ok(program(path))
}

/// Returns Envoy, installed as a Python package.
pub(crate) fn envoy() -> anyhow::Result<Command> {
    let mut path = python_with("import envoy", "clients/python/envoy_path.py")?;
    Ok(program(capture(&mut path)?.succeeded()?.trim()))
}

pub(crate) fn chromium() -> anyhow::Result<Command> {
    apt("chromium", "--version", "chromium")
}

pub(crate) fn curl() -> anyhow::Result<Command> {
    apt("curl", "--version", "curl")
}

pub(crate) fn promtool() -> anyhow::Result<Command> {
    apt("promtool", "--version", "prometheus")
}

pub(crate) fn nginx() -> anyhow::Result<Command> {
    apt("nginx", "-v", "nginx-light")
}

pub(crate) fn haproxy() -> anyhow::Result<Command> {
    apt("haproxy", "-v", "haproxy")
}

pub(crate) fn openssl() -> anyhow::Result<Command> {
    apt("openssl", "version", "openssl")
}

/// Returns a program of a Debian package, also from `/usr/sbin`.
pub(crate) fn apt(name: &'static str, version: &str, package: &str) -> anyhow::Result<Command> {
    let is_in_path = works(program(name).arg(version));
    let path = if is_in_path { PathBuf::from(name) } else { PathBuf::from("/usr/sbin").join(name) };
    if !works(program(&path).arg(version)) {
        return Err(missing(name, format!("{APT} {package}")));
    }
    Ok(program(path))
}

pub(super) fn missing(what: &'static str, install: String) -> anyhow::Error {
    Missing { what, install }.into()
}

//! Tools and clients of other stacks: finds or builds them, or returns how to install them.

use std::path::PathBuf;
use std::process::Command;

use super::command::{capture, program, works};
use super::programs::{root, target_directory};
use super::report::Missing;

const APT: &str = "sudo apt-get install --yes";

/// Returns `node xtask/SCRIPT` with @grpc/grpc-js.
pub(crate) fn node(script: &str) -> anyhow::Result<Command> {
    npm("clients/node", "@grpc/grpc-js", script)
}

/// Returns `node xtask/SCRIPT` with Connect-Web, and the `buf` that generates its code.
pub(crate) fn web(script: &str) -> anyhow::Result<Command> {
    buf()?;
    npm("clients/web", "@connectrpc/connect-web", script)
}

fn npm(folder: &str, package: &'static str, script: &str) -> anyhow::Result<Command> {
    let directory = root().join("xtask").join(folder);
    let is_installed = directory.join("node_modules").join(package).is_dir();
    if !is_installed || !works(program("node").arg("--version")) {
        return Err(missing(package, format!("npm ci --prefix xtask/{folder}")));
    }
    let mut command = program("node");
    command.arg(root().join("xtask").join(script));
    Ok(command)
}

/// Returns `buf`: its `curl` is a gRPC client that needs no `.proto`.
pub(crate) fn buf() -> anyhow::Result<Command> {
    let buf = root().join("xtask/clients/node/node_modules/.bin/buf");
    if !works(program(&buf).arg("--version")) {
        return Err(missing("buf", "npm ci --prefix xtask/clients/node".to_owned()));
    }
    Ok(program(buf))
}

/// Returns `python xtask/SCRIPT` with grpcio.
pub(crate) fn python(script: &str) -> anyhow::Result<Command> {
    python_with("import grpc, grpc_tools, grpc_health, grpc_reflection, grpc_status", script)
}

/// Returns `python xtask/SCRIPT` in the virtual environment, which must have `imports`.
pub(crate) fn python_with(imports: &str, script: &str) -> anyhow::Result<Command> {
    let environment = target_directory()?.join("e2e/python");
    let python = environment.join("bin/python");
    if !works(program(&python).args(["-c", imports])) {
        let shown = environment.strip_prefix(root()).unwrap_or(&environment).display();
        let requirements = "xtask/clients/python/requirements.txt";
        let install =
            format!("python3 -m venv {shown} && {shown}/bin/pip install -r {requirements}");
        return Err(missing("Python with its packages", install));
    }
    let mut command = program(python);
    command.arg(root().join("xtask").join(script));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// Returns Envoy, installed as a Python package.
pub(crate) fn envoy() -> anyhow::Result<Command> {
    let mut path = python_with("import envoy", "clients/python/envoy_path.py")?;
    Ok(program(capture(&mut path)?.succeeded()?.trim()))
}

pub(crate) fn curl() -> anyhow::Result<Command> {
    apt("curl", "--version", "curl")
}

pub(crate) fn promtool() -> anyhow::Result<Command> {
    apt("promtool", "--version", "prometheus")
}

pub(crate) fn chromium() -> anyhow::Result<Command> {
    apt("chromium", "--version", "chromium")
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

/// Builds a C++ program in a folder of xtask.
pub(crate) fn cpp(folder: &str, name: &str) -> anyhow::Result<Command> {
    let has_library = works(program("pkg-config").args(["--exists", "grpc++", "protobuf"]));
    if !has_library || !works(program("protoc").arg("--version")) {
        let packages = "g++ make pkg-config libgrpc++-dev libprotobuf-dev protobuf-compiler \
                        protobuf-compiler-grpc";
        return Err(missing("gRPC for C++", format!("{APT} {packages}")));
    }
    make(folder, "cpp", name)
}

/// Builds a Go program in a folder of xtask.
pub(crate) fn go(folder: &str, name: &str) -> anyhow::Result<Command> {
    let has_library = PathBuf::from("/usr/share/gocode/src/google.golang.org/grpc").is_dir();
    if !has_library || !works(program("go").arg("version")) {
        let packages =
            "golang-go golang-google-grpc-dev golang-goprotobuf-dev protobuf-compiler make";
        return Err(missing("gRPC for Go", format!("{APT} {packages}")));
    }
    make(folder, "go", name)
}

fn make(folder: &str, language: &str, name: &str) -> anyhow::Result<Command> {
    let build = target_directory()?.join("e2e").join(folder).join(language);
    let mut make = program("make");
    make.arg("--directory").arg(root().join("xtask").join(folder).join(language));
    make.arg(format!("BUILD={}", build.display()));
    capture(&mut make)?.succeeded()?;
    Ok(program(build.join(name)))
}

fn missing(what: &'static str, install: String) -> anyhow::Error {
    Missing { what, install }.into()
}

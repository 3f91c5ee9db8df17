//! The other languages: where their tools are, and how to get them where they are not.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::command::{program, run, works};
use crate::harness::programs::{root, target_directory};
use crate::harness::report::Missing;

const APT: &str = "sudo apt-get install --yes";

/// `node SCRIPT` with the packages of the original's stack.
pub(crate) fn node(script: &str) -> anyhow::Result<Command> {
    node_at(&format!("clients/node/{script}"))
}

/// The same with a script that lies elsewhere in xtask.
pub(crate) fn node_at(script: &str) -> anyhow::Result<Command> {
    let directory = root().join("xtask/clients/node");
    let installed = directory.join("node_modules/@grpc/grpc-js").is_dir();
    if !installed || !works(program("node").arg("--version")) {
        return Err(npm("Node with @grpc/grpc-js"));
    }
    let mut command = program("node");
    command.arg(root().join("xtask").join(script));
    Ok(command)
}

/// `node SCRIPT` with what the page for the browser is made with.
pub(crate) fn web(script: &str) -> anyhow::Result<Command> {
    buf()?;
    let directory = root().join("xtask/clients/web");
    let installed = directory.join("node_modules/@connectrpc/connect-web").is_dir();
    if !installed || !works(program("node").arg("--version")) {
        let install = "npm ci --prefix xtask/clients/web".to_owned();
        return Err(Missing { what: "Node with @connectrpc/connect-web", install }.into());
    }
    let mut command = program("node");
    command.arg(directory.join(script));
    Ok(command)
}

/// curl.
pub(crate) fn curl() -> anyhow::Result<Command> {
    apt("curl", "--version", "curl")
}

/// What Prometheus checks metrics and alerts with.
pub(crate) fn promtool() -> anyhow::Result<Command> {
    apt("promtool", "--version", "prometheus")
}

/// Chromium, without a window.
pub(crate) fn chromium() -> anyhow::Result<Command> {
    apt("chromium", "--version", "chromium")
}

/// `buf curl`, a gRPC client that needs no `.proto`.
pub(crate) fn buf() -> anyhow::Result<Command> {
    let buf = root().join("xtask/clients/node/node_modules/.bin/buf");
    if !works(program(&buf).arg("--version")) {
        return Err(npm("buf"));
    }
    Ok(program(buf))
}

fn npm(what: &'static str) -> anyhow::Error {
    Missing { what, install: "npm ci --prefix xtask/clients/node".to_owned() }.into()
}

/// `python SCRIPT` in the virtual environment of the extras.
pub(crate) fn python(script: &str) -> anyhow::Result<Command> {
    python_at(&format!("clients/python/{script}"))
}

/// A collector of spans, on grpcio.
pub(crate) fn collector() -> anyhow::Result<Command> {
    python_with("import opentelemetry.proto.collector.trace.v1", "clients/python/collector.py")
}

/// The same with a script that lies elsewhere in xtask.
pub(crate) fn python_at(script: &str) -> anyhow::Result<Command> {
    python_with("import grpc, grpc_tools, grpc_health, grpc_reflection, grpc_status", script)
}

/// A script that needs `imports`.
pub(crate) fn python_with(imports: &str, script: &str) -> anyhow::Result<Command> {
    let environment = target_directory()?.join("e2e/python");
    let python = environment.join("bin/python");
    if !works(program(&python).args(["-c", imports])) {
        let shown = environment.strip_prefix(root()).unwrap_or(&environment).display();
        let requirements = "xtask/clients/python/requirements.txt";
        let install =
            format!("python3 -m venv {shown} && {shown}/bin/pip install -r {requirements}");
        return Err(Missing { what: "Python with its packages", install }.into());
    }
    let mut command = program(python);
    command.arg(root().join("xtask").join(script));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// Envoy, which a package of Python brings.
pub(crate) fn envoy() -> anyhow::Result<Command> {
    let mut path = python_with("import envoy", "clients/python/envoy_path.py")?;
    Ok(program(run(&mut path)?.succeeded()?.trim()))
}

/// nginx, as a proxy.
pub(crate) fn nginx() -> anyhow::Result<Command> {
    apt("nginx", "-v", "nginx-light")
}

/// HAProxy.
pub(crate) fn haproxy() -> anyhow::Result<Command> {
    apt("haproxy", "-v", "haproxy")
}

/// A program of Debian's, some of which it keeps where only root looks.
pub(crate) fn apt(name: &'static str, version: &str, package: &str) -> anyhow::Result<Command> {
    let in_path = works(program(name).arg(version));
    let path = if in_path { PathBuf::from(name) } else { PathBuf::from("/usr/sbin").join(name) };
    if !works(program(&path).arg(version)) {
        return Err(Missing { what: name, install: format!("{APT} {package}") }.into());
    }
    Ok(program(path))
}

/// OpenSSL's command line.
pub(crate) fn openssl() -> anyhow::Result<Command> {
    if !works(program("openssl").arg("version")) {
        return Err(Missing { what: "OpenSSL", install: format!("{APT} openssl") }.into());
    }
    Ok(program("openssl"))
}

/// The C++ client, built.
pub(crate) fn cpp_client() -> anyhow::Result<Command> {
    cpp("clients", "client")
}

/// A C++ program in a folder of xtask, built.
pub(crate) fn cpp(folder: &str, name: &str) -> anyhow::Result<Command> {
    let libraries = works(program("pkg-config").args(["--exists", "grpc++"]));
    if !libraries || !works(program("protoc").arg("--version")) {
        let packages = "g++ make pkg-config libgrpc++-dev protobuf-compiler protobuf-compiler-grpc";
        return Err(Missing { what: "gRPC for C++", install: format!("{APT} {packages}") }.into());
    }
    make(folder, "cpp", name)
}

/// The Go client, built.
pub(crate) fn go_client() -> anyhow::Result<Command> {
    go("clients", "client")
}

/// A Go program in a folder of xtask, built.
pub(crate) fn go(folder: &str, name: &str) -> anyhow::Result<Command> {
    let library = PathBuf::from("/usr/share/gocode/src/google.golang.org/grpc").is_dir();
    if !library || !works(program("go").arg("version")) {
        let packages =
            "golang-go golang-google-grpc-dev golang-goprotobuf-dev protobuf-compiler make";
        return Err(Missing { what: "gRPC for Go", install: format!("{APT} {packages}") }.into());
    }
    make(folder, "go", name)
}

fn make(folder: &str, language: &str, name: &str) -> anyhow::Result<Command> {
    let build = target_directory()?.join("e2e").join(folder).join(language);
    let mut make = program("make");
    make.arg("--directory").arg(root().join("xtask").join(folder).join(language));
    make.arg(format!("BUILD={}", build.display()));
    run(&mut make)?.succeeded()?;
    Ok(program(build.join(name)))
}

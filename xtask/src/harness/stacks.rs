//! Programs in other languages: finds their toolchain and builds them, or returns how to install it.

use std::path::PathBuf;
use std::process::Command;

use super::command::{capture, program, works};
use super::programs::{root, target_directory};
use super::tools::{APT, missing};

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

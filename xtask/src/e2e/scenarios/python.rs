//! Clients and servers of gRPC C-core, in Python, against ours.

use std::process::Command;

use greet_testkit::ConnectProxy;

use crate::harness::command::capture;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::sample;
use crate::harness::tools;

/// Empty, ASCII, two bytes a letter, four bytes a letter.
const NAMES: [&str; 4] = ["", "Ada", "Zoë", "\u{1f600}"];

/// Both directions.
pub(crate) fn client_and_server(programs: &Programs) -> anyhow::Result<String> {
    their_client(programs, tools::python("clients/python/client.py")?)?;
    their_server(programs, tools::python("clients/python/server.py")?)?;
    Ok("their client, their server".to_owned())
}

/// `client HOST:PORT NAME…` prints one reply a line.
pub(super) fn their_client(programs: &Programs, mut client: Command) -> anyhow::Result<()> {
    let ours = Daemon::start(programs, &["--listen", "127.0.0.1:0"])?;
    let printed = capture(client.arg(ours.address()).args(NAMES))?.succeeded()?;
    anyhow::ensure!(
        printed == NAMES.map(|name| format!("Hello {name}\n")).concat(),
        "it printed {printed:?}"
    );
    let ended = ours.stop_cleanly()?;
    anyhow::ensure!(ended.figure("answered")? == NAMES.len() as u64, "{ended:?}");
    Ok(())
}

/// `server HOST:PORT` prints its address first.
pub(super) fn their_server(programs: &Programs, mut server: Command) -> anyhow::Result<()> {
    let theirs = Daemon::spawn(server.arg("127.0.0.1:0"))?;
    let mut client = programs.client(&theirs.target, &[]);
    let printed = capture(client.args(sample::call(&NAMES)))?.succeeded()?;
    anyhow::ensure!(printed == NAMES.map(sample::reply).concat(), "we printed {printed:?}");
    Ok(())
}

/// gRPC C-core sends the percent-encoded path as `:authority`, which HTTP/2 in the daemon rejects. With
/// an authority of its own the call succeeds.
pub(crate) fn over_unix_socket(programs: &Programs) -> anyhow::Result<String> {
    const REJECTED: &str = "greet_http2_requests_rejected_total";
    let directory = tempfile::tempdir()?;
    let target = format!("unix:{}", directory.path().join("greet.sock").display());
    let flags = ["--listen", &target, "--admin-listen", "127.0.0.1:0"];
    let daemon = Daemon::start(programs, &flags)?;
    let client = || -> anyhow::Result<Command> {
        let mut client = tools::python("clients/python/client.py")?;
        client.args([&target, "Ada"]);
        Ok(client)
    };

    let failed = capture(&mut client()?)?.exited_with(1)?.stderr;
    let reset = "Received RST_STREAM with error code 1"; // PROTOCOL_ERROR
    anyhow::ensure!(failed.contains(reset), "{failed}");
    let rejected = daemon.metric(REJECTED)?;
    anyhow::ensure!(rejected == 1, "{rejected} requests were rejected");

    let printed = capture(client()?.env("AUTHORITY", "localhost"))?.succeeded()?;
    anyhow::ensure!(printed == "Hello Ada\n", "it printed {printed:?}");
    anyhow::ensure!(daemon.metric(REJECTED)? == rejected, "a request was rejected");
    let ended = daemon.stop_cleanly()?;
    anyhow::ensure!(ended.figure("answered")? == 1, "{ended:?}");
    Ok("rejected and counted; with grpc.default_authority: Hello Ada".to_owned())
}

/// Their client and ours request the same tunnel from the proxy of the environment, and none for a host in
/// `no_proxy`.
pub(crate) fn through_proxy(programs: &Programs) -> anyhow::Result<String> {
    const SERVER: &str = "service.test:50051";
    let daemon = Daemon::start(programs, &["--listen", "127.0.0.1:0"])?;
    let proxy = ConnectProxy::start(daemon.address());
    let mut theirs = tools::python("clients/python/client.py")?;
    theirs.args([SERVER, "Ada"]);
    for mut client in [theirs, programs.call(SERVER, "Ada")] {
        client.env("https_proxy", format!("http://{}", proxy.address)).env_remove("no_proxy");
        client.env_remove("NO_PROXY");
        let printed = capture(&mut client)?.succeeded()?;
        anyhow::ensure!(printed == sample::reply("Ada"), "it printed {printed:?}");
        let requests = proxy.requests();
        let is_tunnel =
            |request: &String| request.starts_with(&format!("CONNECT {SERVER} HTTP/1."));
        anyhow::ensure!(requests.len() == 1 && requests.iter().all(is_tunnel), "{requests:?}");

        let direct = capture(client.env("no_proxy", ".test"))?;
        anyhow::ensure!(!direct.status.success(), "it is not reachable directly: {direct}");
        let requests = proxy.requests();
        anyhow::ensure!(requests.is_empty(), "{requests:?}");
    }
    let ended = daemon.stop_cleanly()?;
    anyhow::ensure!(ended.figure("answered")? == 2, "{ended:?}");
    Ok(format!("both sent CONNECT {SERVER}; with no_proxy none"))
}

/// Health, reflection and error details as the libraries of Python read them.
pub(crate) fn services(programs: &Programs) -> anyhow::Result<String> {
    let daemon = Daemon::start(programs, &["--listen", "127.0.0.1:0"])?;
    let python = |script: &str, arguments: &[&str]| {
        let mut python = tools::python(&format!("clients/python/{script}"))?;
        capture(python.arg(daemon.address()).args(arguments))
    };

    for service in ["", "greet.Greeter"] {
        let health = python("health.py", &[service])?.succeeded()?;
        anyhow::ensure!(health == "SERVING\n", "health of {service:?} is {health:?}");
    }
    let unknown = python("health.py", &["no.Such"])?.exited_with(1)?.stderr;
    anyhow::ensure!(unknown == "NOT_FOUND\n", "health of an unknown service is {unknown:?}");

    let reflected = python("reflect.py", &[])?.succeeded()?;
    let expected = [
        "greet.Greeter",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "Hello Reflection",
    ];
    let has_line = |line: &&str| reflected.lines().any(|reflected| reflected == *line);
    anyhow::ensure!(expected.iter().all(has_line), "reflection returned {reflected:?}");

    let details = python("status.py", &[])?.succeeded()?;
    let expected = "INVALID_ARGUMENT name: is 5000 bytes long; the limit is 4096 bytes\n";
    anyhow::ensure!(details == expected, "the details are {details:?}");
    Ok("SERVING, NOT_FOUND; the 4 services; BadRequest names the field".to_owned())
}

//! IPv6: the loopback address, both families on one socket, and a link-local address with its zone.

use crate::harness::command::capture;
use crate::harness::daemon::Daemon;
use crate::harness::net_namespace::NetNamespace;
use crate::harness::programs::Programs;

/// A link-local address on one end of a pair of interfaces. `nodad` makes it usable at once.
const SETUP: &str = "ip link set lo up; ip link add greet0 type veth peer name greet1; \
                     ip link set greet0 up; ip link set greet1 up; \
                     ip address add fe80::50/64 dev greet0 nodad";

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let namespace = NetNamespace::new(SETUP)?;
    let start = |listen: &str| {
        let mut server = namespace.command(&programs.server);
        Daemon::spawn(server.args(["--log-format", "json", "--listen", listen]))
    };
    let hello = |target: &str| {
        let mut greet = namespace.command(&programs.cli);
        capture(greet.args(["--target", target, "hello", "--name", "Ada"]))
    };
    let greets = |target: &str| -> anyhow::Result<()> {
        let reply = hello(target)?.succeeded()?;
        anyhow::ensure!(reply == "Hello Ada\n", "{target}: the reply was {reply:?}");
        Ok(())
    };

    let loopback = start("[::1]:0")?;
    let target = loopback.target.clone();
    anyhow::ensure!(target.starts_with("http://[::1]:"), "it announced {target}");
    greets(&target)?;
    hello(&target.replace("[::1]", "127.0.0.1"))?.exited_with(3)?;
    let ended = loopback.stop_cleanly()?;
    anyhow::ensure!(ended.figure("answered")? == 1, "{ended:?}");

    let any = start("[::]:0")?;
    let (_, port) = any.address().rsplit_once(':').unwrap_or_default();
    for host in ["[::1]", "127.0.0.1", "[fe80::50%greet0]", "[fe80::50%25greet0]"] {
        greets(&format!("http://{host}:{port}"))?;
    }
    for (host, expected) in [
        ("[fe80::50]", "a link-local address needs a zone"),
        ("[fe80::50%none]", "no network interface none"),
    ] {
        let failed = hello(&format!("http://{host}:{port}"))?.exited_with(3)?.stderr;
        anyhow::ensure!(failed.contains(expected), "{host}: {failed}");
    }
    let ended = any.stop_cleanly()?;
    anyhow::ensure!(ended.figure("answered")? == 4, "{ended:?}");
    Ok("[::1]; [::] over IPv6, IPv4 and a link-local address with its zone".to_owned())
}

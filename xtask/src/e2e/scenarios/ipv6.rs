//! IPv6: the loopback address, both families on one socket, and a link-local address with its zone.

use crate::harness::command::capture;
use crate::harness::daemon::Daemon;
use crate::harness::net_namespace::NetNamespace;
use crate::harness::programs::Programs;
use crate::harness::sample;

/// A link-local address on one end of a pair of interfaces. `nodad` makes it usable at once.
const SETUP: &str = "ip link set lo up; ip link add veth0 type veth peer name veth1; \
                     ip link set veth0 up; ip link set veth1 up; \
                     ip address add fe80::50/64 dev veth0 nodad";

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let namespace = NetNamespace::new(SETUP)?;
    let start = |listen: &str| {
        let mut server = namespace.command(&programs.server);
        Daemon::spawn(server.args(["--log-format", "json", "--listen", listen]))
    };
    let call = |target: &str| {
        let mut client = namespace.command(&programs.cli);
        capture(client.args(["--target", target]).args(sample::call(&["Ada"])))
    };
    let is_answered = |target: &str| -> anyhow::Result<()> {
        let reply = call(target)?.succeeded()?;
        anyhow::ensure!(reply == sample::reply("Ada"), "{target}: the reply was {reply:?}");
        Ok(())
    };

    let loopback = start("[::1]:0")?;
    let target = loopback.target.clone();
    anyhow::ensure!(target.starts_with("http://[::1]:"), "it announced {target}");
    is_answered(&target)?;
    call(&target.replace("[::1]", "127.0.0.1"))?.exited_with(3)?;
    let ended = loopback.stop_cleanly()?;
    anyhow::ensure!(ended.figure("answered")? == 1, "{ended:?}");

    let any = start("[::]:0")?;
    let (_, port) = any.address().rsplit_once(':').unwrap_or_default();
    for host in ["[::1]", "127.0.0.1", "[fe80::50%veth0]", "[fe80::50%25veth0]"] {
        is_answered(&format!("http://{host}:{port}"))?;
    }
    for (host, expected) in [
        ("[fe80::50]", "a link-local address needs a zone"),
        ("[fe80::50%none]", "no network interface none"),
    ] {
        let failed = call(&format!("http://{host}:{port}"))?.exited_with(3)?.stderr;
        anyhow::ensure!(failed.contains(expected), "{host}: {failed}");
    }
    let ended = any.stop_cleanly()?;
    anyhow::ensure!(ended.figure("answered")? == 4, "{ended:?}");
    Ok("[::1]; [::] over IPv6, IPv4 and a link-local address with its zone".to_owned())
}

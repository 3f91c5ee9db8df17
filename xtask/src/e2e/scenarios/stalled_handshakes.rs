//! Two thousand peers that stall in the TLS handshake: a client beside them sees no failure, all
//! are closed in time, and two thousand more fit into the memory of the first.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use greet_testkit::certs::Ca;

use crate::harness::command::capture;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::report::require_linux;
use crate::harness::resources::{Resources, raise_descriptor_limit};
use crate::harness::tools;

const PEERS: usize = 2_000;
/// The start of a ClientHello that announces 512 bytes.
const STALLED: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc";
const SECONDS: &str = "6";
const MAX_KIB_EACH: u64 = 32;
/// Maximum growth of the memory in the second round: 2 KiB for each peer.
const MAX_KIB_MORE: u64 = 2 * PEERS as u64;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    require_linux()?;
    raise_descriptor_limit(2 * PEERS as u64)?;
    let certs = Ca::new("servers");
    let [cert, key] = certs.sign_files("server").server_flags();
    let flags = ["--listen=127.0.0.1:0", "--handshake-timeout=3s", &cert, &key];
    let daemon = Daemon::start(programs, &flags)?;
    let address = daemon.address().to_owned();
    let mut good = tools::python("clients/python/reconnect.py")?;
    good.args([&address, SECONDS]).env("CA", certs.ca_file());

    let before = Resources::of(&daemon)?;
    let client = thread::scope(|scope| {
        let good = scope.spawn(move || capture(&mut good));
        stall(&address)?;
        good.join().expect("it does not panic")?.succeeded()
    })?;
    let first = Resources::of(&daemon)?;
    let ca = format!("--ca-cert={}", certs.ca_file().display());
    capture(programs.call(&daemon.target, "Ada").arg(ca))?.succeeded()?;
    stall(&address)?;
    let after = Resources::of(&daemon)?;
    anyhow::ensure!(client.ends_with(", 0 failed\n"), "the client reports: {client}");
    anyhow::ensure!(after.descriptors <= before.descriptors + 1, "{before:?} {after:?}");
    let each = first.peak_kib.saturating_sub(before.kib) / PEERS as u64;
    anyhow::ensure!(each <= MAX_KIB_EACH, "{each} KiB each: {before:?} {first:?}");
    anyhow::ensure!(after.kib <= first.peak_kib + MAX_KIB_MORE, "{first:?} {after:?}");

    let ended = daemon.stop()?;
    let counted = format!("handshake_timeout={}", 2 * PEERS);
    anyhow::ensure!(
        ended.log.contains(&counted),
        "{}",
        ended.log.lines().last().unwrap_or_default()
    );
    Ok(format!("{each} KiB each, all closed, twice; beside them {}", client.trim_end()))
}

/// Connects all peers and waits until the daemon has closed each.
fn stall(address: &str) -> anyhow::Result<()> {
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        let mut peer = TcpStream::connect(address)?;
        peer.set_read_timeout(Some(Duration::from_secs(20)))?;
        peer.write_all(STALLED)?;
        peers.push(peer);
    }
    for mut peer in peers {
        let _ = peer.read_to_end(&mut Vec::new()); // until it is closed, or reset
    }
    Ok(())
}

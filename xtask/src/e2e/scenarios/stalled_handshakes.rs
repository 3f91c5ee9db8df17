//! Two thousand peers that begin TLS and stall, beside a client that goes on: it does not notice, they
//! are gone in time, and with them their descriptors; two thousand more find room in the memory they left.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::harness::command::run as run_command;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::report::Missing;
use crate::harness::resources::{Resources, raise_descriptor_limit};
use crate::harness::tools;
use greet_testkit::certs::Ca;

const CROWD: usize = 2_000;
/// The head of a ClientHello that announces 512 bytes, and nothing more.
const STALLED: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc";
const SECONDS: &str = "6";
const MOST_KIB_EACH: u64 = 32;
/// The allocator may keep what the first crowd took; the second has to make do with that, and 2 KiB each.
const MOST_KIB_MORE: u64 = 2 * CROWD as u64;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    if !cfg!(target_os = "linux") {
        return Err(Missing { what: "/proc", install: "Linux".to_owned() }.into());
    }
    raise_descriptor_limit(2 * CROWD as u64)?;
    let certs = Ca::new("servers");
    let [cert, key] = certs.sign_files("server").server_flags();
    let flags = ["--listen=127.0.0.1:0", "--handshake-timeout=3s", &cert, &key];
    let daemon = Daemon::start(programs, &flags)?;
    let address = daemon.target.trim_start_matches("https://").to_owned();
    let mut good = tools::python("reconnect.py")?;
    good.args([&address, SECONDS]).env("CA", certs.ca_file());

    let before = Resources::of(&daemon)?;
    let told = thread::scope(|scope| {
        let good = scope.spawn(move || run_command(&mut good));
        crowd_comes_and_goes(&address)?;
        good.join().expect("it does not panic")?.succeeded()
    })?;
    let first = Resources::of(&daemon)?;
    let ca = format!("--ca-cert={}", certs.ca_file().display());
    let mut hello = programs.greet(&daemon.target, &[&ca, "hello", "--name=Ada"]);
    run_command(&mut hello)?.succeeded()?;
    crowd_comes_and_goes(&address)?;
    let after = Resources::of(&daemon)?;
    anyhow::ensure!(told.ends_with(", 0 failed\n"), "the good client says: {told}");
    anyhow::ensure!(after.descriptors <= before.descriptors + 1, "{before:?} {after:?}");
    let each = first.peak_kib.saturating_sub(before.kib) / CROWD as u64;
    anyhow::ensure!(each <= MOST_KIB_EACH, "{each} KiB each: {before:?} {first:?}");
    anyhow::ensure!(after.kib <= first.peak_kib + MOST_KIB_MORE, "{first:?} {after:?}");

    let ended = daemon.stop()?;
    let counted = format!("handshake_timeout: {}", 2 * CROWD);
    anyhow::ensure!(
        ended.log.contains(&counted),
        "{}",
        ended.log.lines().last().unwrap_or_default()
    );
    Ok(format!("{each} KiB each, all gone, twice; beside them {}", told.trim_end()))
}

/// Returns when the daemon has closed the last of them.
fn crowd_comes_and_goes(address: &str) -> anyhow::Result<()> {
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        let mut peer = TcpStream::connect(address)?;
        peer.set_read_timeout(Some(Duration::from_secs(20)))?;
        peer.write_all(STALLED)?;
        crowd.push(peer);
    }
    for mut peer in crowd {
        let _ = peer.read_to_end(&mut Vec::new()); // until it is closed, or reset
    }
    Ok(())
}

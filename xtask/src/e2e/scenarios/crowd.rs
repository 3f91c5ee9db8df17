//! Two thousand peers that begin TLS and stall, beside a client that goes on: it does not notice, they
//! are gone in time, and with them their memory and their descriptors.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::command::run as run_command;
use crate::daemon::Daemon;
use crate::e2e::certs::Certs;
use crate::e2e::extras;
use crate::e2e::used::{Used, make_room};
use crate::project::Programs;
use crate::results::Missing;

const CROWD: usize = 2_000;
/// The head of a ClientHello that announces 512 bytes, and nothing more.
const STALLED: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc";
const SECONDS: &str = "6";
const MOST_KIB_EACH: u64 = 32;
const CALLS_UNTIL_IT_IS_GIVEN_BACK: usize = 100;
const MOST_KIB_LEFT: u64 = 32 * 1_024;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    if !cfg!(target_os = "linux") {
        return Err(Missing { what: "/proc", install: "Linux".to_owned() }.into());
    }
    make_room(2 * CROWD as u64)?;
    let certs = Certs::new("servers")?;
    let server = certs.sign(1)?;
    let cert = format!("--tls-cert={}", server.cert.display());
    let key = format!("--tls-key={}", server.key.display());
    let flags = ["--listen=127.0.0.1:0", "--handshake-timeout=3s", &cert, &key];
    let daemon = Daemon::start(programs, &flags)?;
    let address = daemon.target.trim_start_matches("https://").to_owned();
    let mut good = extras::python("reconnect.py")?;
    good.args([&address, SECONDS]).env("CA", certs.ca());

    let before = Used::by(&daemon)?;
    let (during, told) = thread::scope(|scope| {
        let good = scope.spawn(move || run_command(&mut good));
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            let mut peer = TcpStream::connect(&address)?;
            peer.set_read_timeout(Some(Duration::from_secs(20)))?;
            peer.write_all(STALLED)?;
            crowd.push(peer);
        }
        let during = Used::by(&daemon)?;
        for mut peer in crowd {
            let _ = peer.read_to_end(&mut Vec::new()); // until it is closed, or reset
        }
        let told = good.join().expect("it does not panic")?.succeeded()?;
        anyhow::Ok((during, told))
    })?;
    let ca = format!("--ca-cert={}", certs.ca().display());
    let after = given_back(&daemon, before.kib + MOST_KIB_LEFT, || {
        let mut hello = programs.greet(&daemon.target, &[&ca, "hello", "--name=Ada"]);
        run_command(&mut hello)?.succeeded()
    })?;
    anyhow::ensure!(told.ends_with(", 0 failed\n"), "the good client says: {told}");
    anyhow::ensure!(after.descriptors <= before.descriptors + 1, "{before:?} {after:?}");
    let each = during.kib.saturating_sub(before.kib) / CROWD as u64;
    anyhow::ensure!(each <= MOST_KIB_EACH, "{each} KiB each: {before:?} {during:?}");
    anyhow::ensure!(after.kib <= before.kib + MOST_KIB_LEFT, "{before:?} {after:?}");

    let ended = daemon.stop()?;
    let counted = format!("handshake_timeout: {CROWD}");
    anyhow::ensure!(
        ended.log.contains(&counted),
        "{}",
        ended.log.lines().last().unwrap_or_default()
    );
    Ok(format!("{each} KiB each, all gone; beside them {}", told.trim_end()))
}

/// What the daemon holds once it holds no more than `kib`, or after some more calls: an allocator gives
/// back what it has to spare when it is asked for something, not before.
fn given_back(
    daemon: &Daemon,
    kib: u64,
    call: impl Fn() -> anyhow::Result<String>,
) -> anyhow::Result<Used> {
    let mut used = Used::by(daemon)?;
    for _ in 0..CALLS_UNTIL_IT_IS_GIVEN_BACK {
        if used.kib <= kib {
            break;
        }
        call()?;
        used = Used::by(daemon)?;
    }
    Ok(used)
}

//! Certificates are replaced every tenth of a second under clients that connect anew for each call:
//! none of them may notice, and the last certificate is the one that is served in the end.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::harness::command::run as run_command;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::tools;
use greet_testkit::certs::{Ca, IdentityFiles};

const SECONDS: u64 = 10;
const EVERY: Duration = Duration::from_millis(100);
/// The daemon looks each second.
const SERVED_WITHIN: Duration = Duration::from_secs(5);

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let certs = Ca::new("servers");
    let live = certs.directory().join("live");
    sign_generation(&certs, 1)?;
    point(&live, "1")?;
    let [cert, key] = IdentityFiles::in_directory(&live).server_flags();
    let daemon = Daemon::start(programs, &["--listen=127.0.0.1:0", &cert, &key])?;
    let address = daemon.target.trim_start_matches("https://").to_owned();

    let mut client = tools::python("reconnect.py")?;
    client.args([&address, &SECONDS.to_string()]).env("CA", certs.ca_file());
    let (last, told) = thread::scope(|scope| {
        let (done, clients_done) = mpsc::channel();
        let clients = scope.spawn(move || {
            let told = run_command(&mut client);
            drop(done);
            told
        });
        let mut serial = 1;
        while clients_done.recv_timeout(EVERY) == Err::<(), _>(mpsc::RecvTimeoutError::Timeout) {
            serial += 1;
            sign_generation(&certs, serial)?;
            point(&live, &serial.to_string())?;
        }
        let told = clients.join().expect("it does not panic")?.succeeded()?;
        anyhow::Ok((serial, told))
    })?;
    anyhow::ensure!(told.ends_with(", 0 failed\n"), "the clients say: {told}");

    let begun = Instant::now();
    while served(&address, &certs)? != format!("serial={last:02X}") {
        anyhow::ensure!(Instant::now() - begun < SERVED_WITHIN, "{last} is not served");
    }
    let ended = daemon.stop()?;
    anyhow::ensure!(ended.code == Some(0), "{ended:?}");
    anyhow::ensure!(!ended.log.contains("tls_failed"), "{}", ended.log);
    Ok(format!("{last} certificates; {}", told.trim_end()))
}

/// Signs a certificate into a directory of its own.
fn sign_generation(certs: &Ca, serial: u64) -> anyhow::Result<()> {
    let directory = certs.path(&serial.to_string());
    fs::create_dir(&directory)?;
    IdentityFiles::in_directory(&directory).write(&certs.sign_serial(serial));
    Ok(())
}

/// Swaps the link in one step, as Kubernetes does.
#[cfg(unix)]
fn point(live: &Path, generation: &str) -> anyhow::Result<()> {
    let next = live.with_extension("next");
    std::os::unix::fs::symlink(generation, &next)?;
    fs::rename(next, live).context("could not swap the link")
}

#[cfg(not(unix))]
fn point(_live: &Path, _generation: &str) -> anyhow::Result<()> {
    let install = "a Unix system".to_owned();
    Err(crate::harness::report::Missing { what: "a symlink that can be swapped", install }.into())
}

/// `serial=…` of the certificate that a new connection is shown.
fn served(address: &str, certs: &Ca) -> anyhow::Result<String> {
    let mut session = tools::openssl()?;
    session.args(["s_client", "-connect", address, "-alpn", "h2", "-CAfile"]).arg(certs.ca_file());
    let session = run_command(&mut session)?.succeeded()?;
    let shown = certs.directory().join("shown.pem");
    fs::write(&shown, session)?;
    let serial =
        run_command(tools::openssl()?.args(["x509", "-noout", "-serial", "-in"]).arg(shown))?;
    Ok(serial.succeeded()?.trim_end().to_owned())
}

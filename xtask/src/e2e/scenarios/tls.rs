//! TLS, mTLS and certificate rotation with Node, Python and OpenSSL as clients.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use greet_testkit::certs::{Ca, IdentityFiles};

use crate::harness::command::{capture, wait_for};
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::tools;

/// The time of the rotation.
const ROTATION_SECONDS: u64 = 10;
const ROTATION_INTERVAL: Duration = Duration::from_millis(100);
/// The daemon reads the files once a second.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn handshakes(programs: &Programs) -> anyhow::Result<String> {
    let (servers, clients) = (Ca::new("servers"), Ca::new("clients"));
    let [cert, key] = servers.sign_files("server").server_flags();
    let client = clients.sign_files("client");
    let client_ca = format!("--tls-client-ca={}", clients.ca_file().display());

    // OpenSSL waits until the server closes the connection at the handshake timeout.
    let flags = ["--listen=127.0.0.1:0", "--handshake-timeout=1s", &cert, &key];
    let tls = Daemon::start(programs, &flags)?;
    let address = tls.address().to_owned();
    call_with_scripts(&address, &servers, None)?;
    let session = openssl(&address, &servers, None)?;
    anyhow::ensure!(session.contains("ALPN protocol: h2"), "{session}");
    tls.stop()?;

    let mtls = Daemon::start(programs, &[&flags[..], &[&client_ca]].concat())?;
    let address = mtls.address().to_owned();
    call_with_scripts(&address, &servers, Some(&client))?;
    let session = openssl(&address, &servers, Some(&client))?;
    anyhow::ensure!(session.contains("ALPN protocol: h2"), "{session}");
    let refused = openssl(&address, &servers, None)?;
    anyhow::ensure!(refused.contains("alert certificate required"), "{refused}");
    let ended = mtls.stop()?;
    anyhow::ensure!(ended.log.contains("tls_failed=1"), "{}", ended.log);
    Ok("clients of other stacks, OpenSSL; without a certificate: refused with an alert".to_owned())
}

/// Runs the clients of other stacks with their certificates in the environment.
fn call_with_scripts(
    address: &str,
    servers: &Ca,
    client: Option<&IdentityFiles>,
) -> anyhow::Result<()> {
    let scripts = [
        tools::python("clients/python/client.py")?,
        // <greeter>
        crate::harness::stacks::node("clients/node/client.js")?,
        // </greeter>
    ];
    for mut script in scripts {
        script.arg(address).arg("Ada").env("CA", servers.ca_file());
        if let Some(IdentityFiles { cert, key }) = client {
            script.env("CERT", cert).env("KEY", key);
        }
        let printed = capture(&mut script)?.succeeded()?;
        anyhow::ensure!(printed == "Hello Ada\n", "it printed {printed:?}");
    }
    Ok(())
}

/// Returns the output of `openssl s_client`, errors included.
fn openssl(address: &str, servers: &Ca, client: Option<&IdentityFiles>) -> anyhow::Result<String> {
    let mut openssl = tools::openssl()?;
    openssl.args([
        "s_client",
        "-connect",
        address,
        "-alpn",
        "h2",
        "-verify_return_error",
        "-CAfile",
    ]);
    openssl.arg(servers.ca_file());
    match client {
        Some(IdentityFiles { cert, key }) => openssl.arg("-cert").arg(cert).arg("-key").arg(key),
        None => openssl.arg("-ign_eof"), // in TLS 1.3 the alert follows the handshake
    };
    let ran = capture(&mut openssl)?;
    Ok(ran.stdout + &ran.stderr)
}

/// Certificates are replaced ten times a second while clients connect for each call: no call fails,
/// and the last certificate is served at the end.
pub(crate) fn rotation(programs: &Programs) -> anyhow::Result<String> {
    let certs = Ca::new("servers");
    let live = certs.directory().join("live");
    sign_generation(&certs, 1)?;
    point(&live, "1")?;
    let [cert, key] = IdentityFiles::in_directory(&live).server_flags();
    let daemon = Daemon::start(programs, &["--listen=127.0.0.1:0", &cert, &key])?;
    let address = daemon.address().to_owned();

    let mut client = tools::python("clients/python/reconnect.py")?;
    client.args([&address, &ROTATION_SECONDS.to_string()]).env("CA", certs.ca_file());
    let (last, report) = thread::scope(|scope| {
        let (done, clients_done) = mpsc::channel();
        let clients = scope.spawn(move || {
            let output = capture(&mut client);
            drop(done);
            output
        });
        let mut serial = 1;
        while clients_done.recv_timeout(ROTATION_INTERVAL)
            == Err::<(), _>(mpsc::RecvTimeoutError::Timeout)
        {
            serial += 1;
            sign_generation(&certs, serial)?;
            point(&live, &serial.to_string())?;
        }
        let report = clients.join().expect("the thread does not panic")?.succeeded()?;
        anyhow::Ok((serial, report))
    })?;
    anyhow::ensure!(report.ends_with(", 0 failed\n"), "the clients report: {report}");

    let serial = format!("serial={last:02X}");
    wait_for(&format!("{serial} is served"), RELOAD_TIMEOUT, || {
        Ok((served(&address, &certs)? == serial).then_some(()))
    })?;
    let ended = daemon.stop_cleanly()?;
    anyhow::ensure!(!ended.log.contains("tls_failed"), "{}", ended.log);
    Ok(format!("{last} certificates; {}", report.trim_end()))
}

/// Signs a certificate into its own directory.
fn sign_generation(certs: &Ca, serial: u64) -> anyhow::Result<()> {
    let directory = certs.path(&serial.to_string());
    fs::create_dir(&directory)?;
    IdentityFiles::in_directory(&directory).write(&certs.sign_serial(serial));
    Ok(())
}

/// Swaps the symlink in one step, as Kubernetes does.
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

/// Returns `serial=…` of the certificate on a new connection.
fn served(address: &str, certs: &Ca) -> anyhow::Result<String> {
    let mut session = tools::openssl()?;
    session.args(["s_client", "-connect", address, "-alpn", "h2", "-CAfile"]).arg(certs.ca_file());
    let session = capture(&mut session)?.succeeded()?;
    let shown = certs.directory().join("shown.pem");
    fs::write(&shown, session)?;
    let serial = capture(tools::openssl()?.args(["x509", "-noout", "-serial", "-in"]).arg(shown))?;
    Ok(serial.succeeded()?.trim_end().to_owned())
}

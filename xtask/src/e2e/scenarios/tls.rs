//! TLS and mTLS as other stacks see them: Node, Python and OpenSSL are let in with what they need,
//! and told why when they have not got it.

use std::process::Command;

use crate::command::run as run_command;
use crate::daemon::Daemon;
use crate::e2e::certs::{Certs, Identity};
use crate::e2e::extras;
use crate::project::Programs;

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let (servers, clients) = (Certs::new("servers")?, Certs::new("clients")?);
    let (server, client) = (servers.sign(1)?, clients.sign(2)?);
    let cert = format!("--tls-cert={}", server.cert.display());
    let key = format!("--tls-key={}", server.key.display());
    let client_ca = format!("--tls-client-ca={}", clients.ca().display());

    // OpenSSL waits for the server's word; ours to a client that says nothing is to hang up.
    let flags = ["--listen=127.0.0.1:0", "--handshake-timeout=1s", &cert, &key];
    let tls = Daemon::start(programs, &flags)?;
    let address = tls.target.trim_start_matches("https://").to_owned();
    for script in [extras::node("client.js")?, extras::python("client.py")?] {
        greets(script, &address, &servers, None)?;
    }
    let session = openssl(&address, &servers, None)?;
    anyhow::ensure!(session.contains("ALPN protocol: h2"), "{session}");
    tls.stop()?;

    let mtls = Daemon::start(programs, &[&flags[..], &[&client_ca]].concat())?;
    let address = mtls.target.trim_start_matches("https://").to_owned();
    for script in [extras::node("client.js")?, extras::python("client.py")?] {
        greets(script, &address, &servers, Some(&client))?;
    }
    let session = openssl(&address, &servers, Some(&client))?;
    anyhow::ensure!(session.contains("ALPN protocol: h2"), "{session}");
    let refused = openssl(&address, &servers, None)?;
    anyhow::ensure!(refused.contains("alert certificate required"), "{refused}");
    let ended = mtls.stop()?;
    anyhow::ensure!(ended.log.contains("tls_failed: 1"), "{}", ended.log);
    Ok("Node, Python, OpenSSL; without a certificate: told so".to_owned())
}

/// A client's program with its certificates in the environment.
fn greets(
    mut script: Command,
    address: &str,
    servers: &Certs,
    client: Option<&Identity>,
) -> anyhow::Result<()> {
    script.arg(address).arg("Ada").env("CA", servers.ca());
    if let Some(Identity { cert, key }) = client {
        script.env("CERT", cert).env("KEY", key);
    }
    let printed = run_command(&mut script)?.succeeded()?;
    anyhow::ensure!(printed == "Hello Ada\n", "it printed {printed:?}");
    Ok(())
}

/// What `openssl s_client` says of a session, errors included.
fn openssl(address: &str, servers: &Certs, client: Option<&Identity>) -> anyhow::Result<String> {
    let mut openssl = extras::openssl()?;
    openssl.args([
        "s_client",
        "-connect",
        address,
        "-alpn",
        "h2",
        "-verify_return_error",
        "-CAfile",
    ]);
    openssl.arg(servers.ca());
    match client {
        Some(Identity { cert, key }) => openssl.arg("-cert").arg(cert).arg("-key").arg(key),
        None => openssl.arg("-ign_eof"), // waits for the server's word, which in TLS 1.3 comes late
    };
    let ran = run_command(&mut openssl)?;
    Ok(ran.stdout + &ran.stderr)
}

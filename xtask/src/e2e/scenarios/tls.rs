//! TLS and mTLS as other stacks see them: Node, Python and OpenSSL are let in with what they need,
//! and told why when they have not got it.

use std::process::Command;

use crate::harness::command::run as run_command;
use crate::harness::daemon::Daemon;
use crate::harness::programs::Programs;
use crate::harness::tools;
use greet_testkit::certs::{Ca, IdentityFiles};

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    let (servers, clients) = (Ca::new("servers"), Ca::new("clients"));
    let [cert, key] = servers.sign_files("server").server_flags();
    let client = clients.sign_files("client");
    let client_ca = format!("--tls-client-ca={}", clients.ca_file().display());

    // OpenSSL waits for the server's word; ours to a client that says nothing is to hang up.
    let flags = ["--listen=127.0.0.1:0", "--handshake-timeout=1s", &cert, &key];
    let tls = Daemon::start(programs, &flags)?;
    let address = tls.target.trim_start_matches("https://").to_owned();
    for script in [tools::node("client.js")?, tools::python("client.py")?] {
        greets(script, &address, &servers, None)?;
    }
    let session = openssl(&address, &servers, None)?;
    anyhow::ensure!(session.contains("ALPN protocol: h2"), "{session}");
    tls.stop()?;

    let mtls = Daemon::start(programs, &[&flags[..], &[&client_ca]].concat())?;
    let address = mtls.target.trim_start_matches("https://").to_owned();
    for script in [tools::node("client.js")?, tools::python("client.py")?] {
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
    servers: &Ca,
    client: Option<&IdentityFiles>,
) -> anyhow::Result<()> {
    script.arg(address).arg("Ada").env("CA", servers.ca_file());
    if let Some(IdentityFiles { cert, key }) = client {
        script.env("CERT", cert).env("KEY", key);
    }
    let printed = run_command(&mut script)?.succeeded()?;
    anyhow::ensure!(printed == "Hello Ada\n", "it printed {printed:?}");
    Ok(())
}

/// What `openssl s_client` says of a session, errors included.
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
        None => openssl.arg("-ign_eof"), // waits for the server's word, which in TLS 1.3 comes late
    };
    let ran = run_command(&mut openssl)?;
    Ok(ran.stdout + &ran.stderr)
}

//! `dns:///NAME`: every address of the name is a server, and calls rotate over them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};

use greet_testkit::certs::Ca;
use serde_json::{Value, json};

use crate::support::fake_server::{never_reply, serve_on};
use crate::support::host_name::HostName;
use crate::support::sample::{CALL, CALL_LINES, LINE, input};
use crate::support::{CommandOutput, Daemon, assert_timing, cli, parse_object, spawn};

/// Returns the arguments of ten calls.
fn ten() -> Vec<&'static str> {
    [&["--output=json"], CALL, &["--count=10"]].concat()
}

fn daemon(address: IpAddr, port: u16, flags: &[&str]) -> Daemon {
    let listen = format!("--listen={}", SocketAddr::new(address, port));
    Daemon::start(&[&[listen.as_str()], flags].concat())
}

/// Starts a daemon at every address of the name.
fn daemons(name: &HostName, port: u16) -> Vec<Daemon> {
    name.addresses.iter().map(|address| daemon(*address, port, &[])).collect()
}

/// Returns the number of calls by the address that answered them.
#[track_caller]
fn answered_by(ran: &CommandOutput) -> BTreeMap<String, u64> {
    let mut tally = parse_object(ran.stdout.lines().last().unwrap());
    assert_eq!((&tally["failed"], ran.code), (&json!(0), Some(0)), "{ran:?}");
    serde_json::from_value(tally["answered_by"].take()).unwrap()
}

/// Returns [`answered_by`] for `calls` calls at every address of the name.
fn evenly(name: &HostName, port: u16, calls: u64) -> BTreeMap<String, u64> {
    let addresses = name.addresses.iter().map(|address| SocketAddr::new(*address, port));
    addresses.map(|address| (address.to_string(), calls)).collect()
}

#[test]
fn calls_rotate_over_addresses_of_name() {
    let name = HostName::dual_stack();
    let port = name.free_port();
    let _daemons = daemons(&name, port);
    let calls = 10 / name.addresses.len() as u64;
    for flags in [&[][..], &["--concurrency=1"], &["--connections=3"], &["--wait=5s"]] {
        let ran = name.run("dns", port, &[&ten()[..], flags].concat());
        assert_eq!(answered_by(&ran), evenly(&name, port, calls), "{flags:?}");
    }
    let ran = name.run("dns", port, &[&["-v"][..], CALL, &["--count=10"]].concat());
    for (peer, calls) in evenly(&name, port, calls) {
        assert!(ran.stderr.contains(&format!("{calls:>8}  {peer}\n")), "{ran:?}");
    }
}

#[test]
fn lookup_time_is_reported_by_call_that_made_it() {
    let name = HostName::dual_stack();
    let port = name.free_port();
    let _daemons = daemons(&name, port);
    let ran = name.run("dns", port, &[&ten()[..], &["--concurrency=1"]].concat());
    let objects = ran.objects();
    let looked_up = |call: &&Value| call["timing_us"]["dns"].is_u64();
    let calls = &objects[..10];
    assert_eq!(calls.iter().filter(looked_up).count(), 1, "{ran:?}");
    assert!(looked_up(&&calls[0]), "{ran:?}");
    let target = name.target("dns", port);
    assert!(calls.iter().all(|call| call["target"] == target.as_str()), "{ran:?}");
    assert_timing(&calls[0], &["dns", "tcp", "http2", "rpc"]);
}

#[test]
fn refusing_address_is_ejected_and_no_call_fails() {
    let name = HostName::dual_stack();
    let port = name.free_port();
    for alive in name.addresses.iter().take(2) {
        let _daemon = daemon(*alive, port, &[]);
        let ran = name.run("dns", port, &ten());
        let alive = SocketAddr::new(*alive, port).to_string();
        assert_eq!(answered_by(&ran), BTreeMap::from([(alive, 10)]));
        let ran = name.run("dns", port, &[&["--output=json"][..], CALL].concat());
        assert!(ran.object()["timing_us"]["dns"].is_u64(), "this call looked the name up: {ran:?}");
    }
}

#[test]
fn silent_address_uses_only_its_share_of_timeout() {
    let Some((name, [silent, alive])) = HostName::new(["127.0.0.1", "127.0.0.2"]) else {
        return;
    };
    let port = name.free_port();
    serve_on(TcpListener::bind((silent, port)).unwrap(), never_reply);
    let _daemon = daemon(alive, port, &[]);
    let ran = name.run("dns", port, &[&["--timeout=4s"], &ten()[..]].concat());
    let alive = SocketAddr::new(alive, port).to_string();
    assert_eq!(answered_by(&ran), BTreeMap::from([(alive, 10)]));
}

#[test]
fn all_addresses_refusing_is_exit_code_3() {
    let name = HostName::dual_stack();
    let port = name.free_port();
    let ran = name.run("dns", port, CALL);
    assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(3)));
    assert!(ran.stderr.starts_with("greet-cli: tcp: could not connect to "), "{ran:?}");
    assert!(ran.stderr.contains(": connection refused\n\nhint: "), "{ran:?}");
    for arguments in [&["health"][..], &["load", "--count=10"], &["diagnose"]] {
        assert_eq!(name.run("dns", port, arguments).code, Some(3), "{arguments:?}");
    }
}

#[test]
fn unknown_name_fails_in_dns_stage() {
    let target = "dns:///no-such-host.invalid:1";
    for arguments in [CALL, &["health"], &["load", "--count=10"]] {
        let ran = cli(target, arguments);
        let line = "greet-cli: dns: could not look up no-such-host.invalid: ";
        assert!(ran.stderr.starts_with(line), "{ran:?}");
        assert_eq!(ran.code, Some(3), "{ran:?}");
    }
    let diagnosis = cli(target, &["--output=json", "diagnose"]).object();
    assert_eq!(diagnosis["error"]["stage"], "dns");

    let daemon = Daemon::start(&[]);
    let both = format!("{target},{}", daemon.target);
    let counts = BTreeMap::from([(daemon.address().to_owned(), 10)]);
    assert_eq!(answered_by(&cli(&both, &ten())), counts);
}

#[test]
fn load_resolves_dns_target() {
    let name = HostName::dual_stack();
    let port = name.free_port();
    let _daemons = daemons(&name, port);
    let ran = name.run("dns", port, &["--output=json", "load", "--count=100"]);
    assert_eq!(ran.object()["calls"]["by_status"], json!({"OK": 100}), "{ran:?}");
}

#[test]
fn every_address_is_diagnosed() {
    let name = HostName::dual_stack();
    let port = name.free_port();
    let _daemon = daemon(name.addresses[0], port, &[]);
    let ran = name.run("dns", port, &["--output=json", "diagnose"]);
    let diagnoses = ran.objects();
    assert_eq!(diagnoses.len(), name.addresses.len());
    let oks = diagnoses.iter().filter(|diagnosis| diagnosis["ok"] == true).count();
    assert_eq!(oks, 1, "{ran:?}");
    for diagnosis in &diagnoses {
        let found = diagnosis["stages"][0]["details"]["addresses"].as_array().unwrap();
        assert_eq!(found.len(), name.addresses.len(), "each address once: {ran:?}");
    }
}

#[test]
fn certificate_is_checked_against_name_not_address() {
    let name = HostName::dual_stack();
    let port = name.free_port();
    let ca = Ca::new("Test CA");
    let [cert, key] = ca.sign_files_with("server", &[name.name], |_| {}).server_flags();
    let start = |address: &IpAddr| daemon(*address, port, &[&cert, &key]);
    let _daemons: Vec<_> = name.addresses.iter().map(start).collect();
    let ran = name.run("dns+https", port, &[&[ca.ca_cert_flag().as_str()], &ten()[..]].concat());
    let calls = 10 / name.addresses.len() as u64;
    assert_eq!(answered_by(&ran), evenly(&name, port, calls));
    let ran = name.run("dns+https", port, CALL);
    assert!(ran.stderr.starts_with("greet-cli: tls: "), "{ran:?}");
}

#[test]
fn name_is_looked_up_again_once_all_addresses_fail() {
    let addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];
    let Some((mut name, [old, dead, new, dead_too])) = HostName::new(addresses) else {
        return;
    };
    let port = name.free_port();
    name.set_addresses(&[old]);
    let before = daemon(old, port, &[]);
    let target = name.target("dns", port);
    let flags = ["--target", &target, "--output=json"];
    let mut calls = spawn(name.command(&[&flags[..], CALL_LINES].concat()));
    let mut assert_each_answered_by = |address: IpAddr| {
        for text in ["Ada", "Grace", "Edsger", "Barbara"] {
            calls.write(&input(&[text]));
            let peer = parse_object(&calls.read_line())["peer"].take();
            assert_eq!(peer, SocketAddr::new(address, port).to_string());
        }
    };
    assert_each_answered_by(old);
    before.stop(); // its last call would be answered otherwise
    let _after = daemon(new, port, &[]);
    name.set_addresses(&[dead, new, dead_too]);
    assert_each_answered_by(new);
    // The old address is not one of the name any more.
    let dead = [dead, dead_too].map(|address| {
        let address = SocketAddr::new(address, port);
        format!("greet-cli: {target}: tcp: could not connect to {address}: connection refused\n")
    });
    calls.finish().assert("", &dead.concat(), 0);
}

#[test]
fn wait_looks_name_up_again() {
    let Some((mut name, [old, new])) = HostName::new(["127.0.0.1", "127.0.0.2"]) else {
        return;
    };
    let port = name.free_port();
    name.set_addresses(&[old]);
    let target = name.target("dns", port);
    let flags = [&["--target", &target, "--wait=20s"][..], CALL].concat();
    let mut waiting = spawn(name.command(&flags));
    let line = waiting.read_stderr_line();
    assert!(line.starts_with(&format!("greet-cli: waiting for {target}: tcp: ")), "{line}");
    let _daemon = daemon(new, port, &[]);
    name.set_addresses(&[new]);
    waiting.finish().assert(LINE, "", 0);
}

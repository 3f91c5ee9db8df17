//! `dns:///NAME`: each address of a name is a server of its own, and calls go to them in turn.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::certs::Ca;
use crate::support::host_name::Name;
use crate::support::{Daemon, Ran, greet, listen_forever, object};

const TEN: [&str; 4] = ["--output=json", "hello", "--name=Ada", "--count=10"];

fn daemon(address: IpAddr, port: u16, flags: &[&str]) -> Daemon {
    let listen = format!("--listen={}", SocketAddr::new(address, port));
    Daemon::start(&[&[listen.as_str()], flags].concat())
}

/// A server at each address of the name.
fn daemons(name: &Name, port: u16) -> Vec<Daemon> {
    name.addresses.iter().map(|address| daemon(*address, port, &[])).collect()
}

#[track_caller]
fn tally(ran: &Ran) -> Value {
    object(ran.stdout.lines().last().unwrap())
}

/// The addresses that answered, and how often each.
#[track_caller]
fn answered_by(ran: &Ran) -> Vec<(String, u64)> {
    let tally = tally(ran);
    assert_eq!((&tally["failed"], ran.code), (&json!(0), Some(0)), "{ran:?}");
    let counts = tally["answered_by"].as_object().unwrap().clone();
    counts.into_iter().map(|(who, count)| (who, count.as_u64().unwrap())).collect()
}

fn sorted(mut all: Vec<(String, u64)>) -> Vec<(String, u64)> {
    all.sort();
    all
}

/// So many calls from each.
fn each(name: &Name, port: u16, calls: u64) -> Vec<(String, u64)> {
    let peers = name.addresses.iter().map(|address| SocketAddr::new(*address, port).to_string());
    sorted(peers.map(|peer| (peer, calls)).collect())
}

#[test]
fn calls_rotate_over_addresses_of_name() {
    let name = Name::of_both_families();
    let port = name.free_port();
    let _daemons = daemons(&name, port);
    let calls = 10 / name.addresses.len() as u64;
    for flags in [&[][..], &["--concurrency=1"], &["--connections=3"], &["--wait=5s"]] {
        let ran = name.greet("dns", port, &[&TEN, flags].concat());
        assert_eq!(sorted(answered_by(&ran)), each(&name, port, calls), "{flags:?}");
    }
    let ran = name.greet("dns", port, &["-v", "hello", "--name=Ada", "--count=10"]);
    for (peer, calls) in each(&name, port, calls) {
        assert!(ran.stderr.contains(&format!("{calls:>8}  {peer}\n")), "{ran:?}");
    }
}

#[test]
fn lookup_time_is_reported_by_call_that_made_it() {
    let name = Name::of_both_families();
    let port = name.free_port();
    let _daemons = daemons(&name, port);
    let ran = name.greet("dns", port, &[&TEN[..], &["--concurrency=1"]].concat());
    let objects = ran.objects();
    let looked_up = |call: &&Value| call["timing_us"]["dns"].is_u64();
    let calls = &objects[..10];
    assert_eq!(calls.iter().filter(looked_up).count(), 1, "{ran:?}");
    assert!(looked_up(&&calls[0]), "{ran:?}");
    let target = format!("dns:///{}:{port}", name.name);
    assert!(calls.iter().all(|call| call["target"] == target.as_str()), "{ran:?}");
    let timing = &calls[0]["timing_us"];
    let took = |stage: &str| timing[stage].as_u64().unwrap();
    assert!(took("dns") + took("tcp") + took("http2") + took("rpc") <= took("total"), "{timing}");
}

#[test]
fn refusing_address_is_ejected_and_no_call_fails() {
    let name = Name::of_both_families();
    let port = name.free_port();
    for alive in name.addresses.iter().take(2) {
        let _daemon = daemon(*alive, port, &[]);
        let ran = name.greet("dns", port, &TEN);
        let alive = SocketAddr::new(*alive, port).to_string();
        assert_eq!(answered_by(&ran), [(alive, 10)]);
        let ran = name.greet("dns", port, &["--output=json", "hello", "--name=Ada"]);
        assert!(ran.object()["timing_us"]["dns"].is_u64(), "the look-up was this call's: {ran:?}");
    }
}

#[test]
fn silent_address_uses_only_its_share_of_timeout() {
    let Some((name, [silent, alive])) = Name::of(["127.0.0.1", "127.0.0.2"]) else {
        return;
    };
    let port = name.free_port();
    let listener = std::net::TcpListener::bind((silent, port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || listen_forever(stream.unwrap()));
        }
    });
    let _daemon = daemon(alive, port, &[]);
    let ran = name.greet("dns", port, &[&["--timeout=2s"], &TEN[..]].concat());
    assert_eq!(answered_by(&ran), [(SocketAddr::new(alive, port).to_string(), 10)]);
}

#[test]
fn all_addresses_refusing_is_exit_code_3() {
    let name = Name::of_both_families();
    let port = name.free_port();
    let ran = name.greet("dns", port, &["hello", "--name=Ada"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(3)));
    assert!(ran.stderr.starts_with("greet-cli: tcp: could not connect to "), "{ran:?}");
    assert!(ran.stderr.contains(": connection refused\n\nhint: "), "{ran:?}");
    for arguments in [&["health"][..], &["load", "--count=10"], &["diagnose"]] {
        assert_eq!(name.greet("dns", port, arguments).code, Some(3), "{arguments:?}");
    }
}

#[test]
fn unknown_name_fails_in_dns_stage() {
    let target = "dns:///no-such-host.invalid:1";
    for arguments in [&["hello", "--name=Ada"][..], &["health"], &["load", "--count=10"]] {
        let ran = greet(target, arguments);
        let line = "greet-cli: dns: could not look up no-such-host.invalid: ";
        assert!(ran.stderr.starts_with(line), "{ran:?}");
        assert_eq!(ran.code, Some(3), "{ran:?}");
    }
    let diagnosis = greet(target, &["--output=json", "diagnose"]).object();
    assert_eq!(diagnosis["error"]["stage"], "dns");

    let daemon = Daemon::start(&[]);
    let both = format!("{target},{}", daemon.target);
    assert_eq!(answered_by(&greet(&both, &TEN)), [(daemon.address().to_owned(), 10)]);
}

#[test]
fn load_is_spread_over_addresses() {
    let name = Name::of_both_families();
    let port = name.free_port();
    let _daemons = daemons(&name, port);
    let ran = name.greet("dns", port, &["--output=json", "load", "--count=100"]);
    assert_eq!(ran.object()["calls"]["by_status"], json!({"OK": 100}), "{ran:?}");
}

#[test]
fn every_address_is_diagnosed() {
    let name = Name::of_both_families();
    let port = name.free_port();
    let _daemon = daemon(name.addresses[0], port, &[]);
    let ran = name.greet("dns", port, &["--output=json", "diagnose"]);
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
    let name = Name::of_both_families();
    let port = name.free_port();
    let ca = Ca::new("Test CA");
    ca.sign("server", &[name.name], |_| {});
    let [cert, key] = ca.of("server");
    let start = |address: &IpAddr| daemon(*address, port, &[&cert, &key]);
    let _daemons: Vec<_> = name.addresses.iter().map(start).collect();
    let ran = name.greet("dns+https", port, &[&[ca.trusted().as_str()], &TEN[..]].concat());
    let calls = 10 / name.addresses.len() as u64;
    assert_eq!(sorted(answered_by(&ran)), each(&name, port, calls));
    let ran = name.greet("dns+https", port, &["hello", "--name=Ada"]);
    assert!(ran.stderr.starts_with("greet-cli: tls: "), "{ran:?}");
}

/// One call after the other, each begun when the one before is answered.
#[test]
fn name_is_looked_up_again_once_all_addresses_fail() {
    let addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];
    let Some((mut name, [old, dead, new, dead_too])) = Name::of(addresses) else {
        return;
    };
    let port = name.free_port();
    name.now(&[old]);
    let before = daemon(old, port, &[]);
    let target = format!("dns:///{}:{port}", name.name);
    let mut child = name
        .command(&["--target", &target, "--output=json", "hello", "--names-from=-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut peer = |who: &str| {
        writeln!(stdin, "{who}").unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        object(&line)["peer"].clone()
    };
    for who in ["Ada", "Grace", "Edsger", "Barbara"] {
        assert_eq!(peer(who), SocketAddr::new(old, port).to_string());
    }
    drop(before);
    let _after = daemon(new, port, &[]);
    name.now(&[dead, new, dead_too]);
    for who in ["Ada", "Grace", "Edsger", "Barbara"] {
        assert_eq!(peer(who), SocketAddr::new(new, port).to_string());
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn wait_looks_name_up_again() {
    let Some((mut name, [old, new])) = Name::of(["127.0.0.1", "127.0.0.2"]) else {
        return;
    };
    let port = name.free_port();
    name.now(&[old]);
    let target = format!("dns:///{}:{port}", name.name);
    let mut child = name
        .command(&["--target", &target, "--wait=20s", "hello", "--name=Ada"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with(&format!("greet-cli: waiting for {target}: tcp: ")), "{line}");
    let _daemon = daemon(new, port, &[]);
    name.now(&[new]);
    let output = child.wait_with_output().unwrap();
    assert_eq!((&output.stdout[..], output.status.code()), (&b"Hello Ada\n"[..], Some(0)));
}

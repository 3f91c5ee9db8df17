//! Listen addresses: names with several addresses, IPv4 beside IPv6, and zones.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use greet_testkit::Client;
use greet_testkit::certs::{Ca, IdentityDirectory};

use crate::support::http1;
use crate::support::namespace;
use crate::support::process::{Process, daemon};
use crate::tls::TlsClient;

/// Returns the daemon where `daemon.test` has these addresses.
fn daemon_with_hosts(addresses: &[&str], flags: &[&str]) -> Option<std::process::Command> {
    let lines = addresses.iter().map(|address| format!("{address} daemon.test\\n"));
    let hosts: String = lines.collect();
    let setup = format!(
        "hosts=$(mktemp); printf '{hosts}' > $hosts; mount --bind $hosts /etc/hosts; rm $hosts"
    );
    namespace::daemon(&["--mount"], &setup, flags)
}

async fn assert_served(address: &str) {
    let client = Client::connect(address).await;
    assert!(client.is_serving().await.unwrap());
}

/// Returns a port that is free for IPv4 and IPv6.
fn free_port() -> u16 {
    let wildcard = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    wildcard.local_addr().unwrap().port()
}

#[tokio::test]
async fn name_has_a_listener_for_each_of_its_addresses() {
    let flags = ["--listen=daemon.test:0", "--admin-listen=daemon.test:0"];
    let Some(mut command) = daemon_with_hosts(&["127.0.0.1", "::1", "127.0.0.1"], &flags) else {
        return;
    };
    let mut process = Process::start(&mut command);
    let served = [process.next_address(), process.next_address()];
    let admin = [process.next_line(), process.next_line()];
    for address in &served {
        assert_served(address).await;
    }
    for line in &admin {
        let address = line.strip_prefix("admin on http://").expect(line);
        assert_eq!(http1::get(address, "/livez").await.text(), "alive\n");
    }
    let mut hosts = served.map(|address| address.parse::<SocketAddr>().unwrap().ip());
    hosts.sort();
    assert_eq!(hosts.map(|host| host.to_string()), ["127.0.0.1", "::1"]);
    assert_eq!(process.stop_async().await.stdout, "");
}

#[test]
fn addresses_of_other_machines_are_skipped_unless_a_name_has_no_other() {
    let flags = ["--listen=daemon.test:0"];
    let Some(mut command) = daemon_with_hosts(&["198.51.100.1", "127.0.0.1"], &flags) else {
        return;
    };
    let mut process = Process::start(&mut command);
    assert!(process.next_address().starts_with("127.0.0.1:"));
    let exit = process.stop();
    assert_eq!((exit.stdout.as_str(), exit.code), ("", Some(0)));
    assert!(exit.log.contains("listen address skipped"), "{exit:?}");

    let Some(mut command) = daemon_with_hosts(&["198.51.100.1", "198.51.100.2"], &flags) else {
        return;
    };
    let exit = Process::start(&mut command).wait();
    assert_eq!(exit.code, Some(1));
    let expected = "greet-server: could not listen on daemon.test:0: Cannot assign requested";
    assert!(exit.log.lines().any(|line| line.starts_with(expected)), "{exit:?}");
}

#[test]
fn error_of_a_name_has_the_address_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let flag = format!("--listen=daemon.test:{port}");
    let Some(mut command) = daemon_with_hosts(&["127.0.0.1", "127.0.0.2"], &[&flag]) else {
        return;
    };
    let exit = Process::start(&mut command).wait();
    let expected = format!("could not listen on daemon.test:{port}: 127.0.0.1:{port}: Address");
    assert!(exit.log.contains(&expected), "{exit:?}");
}

#[tokio::test]
async fn name_and_its_address_are_one_listener() {
    let port = free_port();
    let flag = format!("--listen=127.0.0.1:{port},daemon.test:{port}");
    let Some(mut command) = daemon_with_hosts(&["127.0.0.1"], &[&flag]) else {
        return;
    };
    let mut process = Process::start(&mut command);
    assert_served(&process.next_address()).await;
    assert_eq!(process.stop_async().await.stdout, "");
}

#[tokio::test]
async fn ipv6_wildcard_serves_both_families_and_logs_plain_ipv4() {
    let flags = ["--listen=[::]:0", "--access-log=all", "--log-format=json"];
    let mut process = Process::start(&mut daemon(&flags));
    let address = process.next_address();
    let port = address.strip_prefix("[::]:").expect(&address);
    assert_served(&format!("127.0.0.1:{port}")).await;
    assert_served(&format!("[::1]:{port}")).await;
    let log = process.stop_async().await.log;
    assert!(log.contains("\"peer\":\"127.0.0.1:") && log.contains("\"peer\":\"[::1]:"), "{log}");
    assert!(!log.contains("ffff"), "{log}");
}

#[tokio::test]
async fn ipv4_address_and_ipv6_wildcard_share_a_port() {
    let port = free_port();
    for ipv4 in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST] {
        for listen in [format!("{ipv4}:{port},[::]:{port}"), format!("[::]:{port},{ipv4}:{port}")] {
            let mut process = Process::start(&mut daemon(&["--listen", &listen]));
            let announced = [process.next_address(), process.next_address()];
            assert_eq!(announced.join(","), listen);
            assert_served(&format!("127.0.0.1:{port}")).await;
            assert_served(&format!("[::1]:{port}")).await;
            assert_eq!(process.stop_async().await.code, Some(0));
        }
    }
}

#[tokio::test]
async fn families_of_a_port_may_have_different_schemes() {
    let ca = Ca::new("Greet Test CA");
    let files = IdentityDirectory::new(&ca.sign("localhost", &["localhost"], |_| {}));
    let port = free_port();
    let listen = format!("--listen=https://[::]:{port},http://0.0.0.0:{port}");
    let mut process = Process::start(daemon(&[&listen]).args(files.server_flags()));
    let announced = [process.next_line(), process.next_line()];
    assert_eq!(
        announced,
        [
            format!("listening on https://[::]:{port}"),
            format!("listening on http://0.0.0.0:{port}"),
        ]
    );
    let tls = TlsClient::without_certificate(&ca).connect_to(&format!("[::1]:{port}")).await;
    assert!(Client::handshake(tls.unwrap()).await.is_serving().await.unwrap());
    assert_served(&format!("127.0.0.1:{port}")).await;
    assert_eq!(process.stop_async().await.code, Some(0));
}

#[test]
fn address_with_two_schemes_is_rejected() {
    let port = free_port();
    for (first, second) in [("http://", ""), ("", "http://")] {
        let listen = format!("--listen={first}127.0.0.1:{port},{second}localhost:{port}");
        let mut process = Process::start(&mut daemon(&[&listen]));
        assert_eq!(process.next_line(), "", "no listener is announced");
        let exit = process.wait();
        let expected = format!(
            "greet-server: could not listen on {second}localhost:{port}: \
             127.0.0.1:{port} is listed with another scheme as well\n"
        );
        assert_eq!(exit.code, Some(1));
        assert!(exit.log.ends_with(&expected), "{exit:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn zone_of_a_link_local_address_is_used() {
    let setup = "ip link set lo up; ip -6 addr add fe80::1/64 dev lo nodad";
    for listen in ["--listen=[fe80::1%lo]:0", "--listen=[fe80::1%25lo]:0"] {
        let Some(mut command) = namespace::daemon(&["--net"], setup, &[listen]) else {
            return;
        };
        let mut process = Process::start(&mut command);
        let address = process.next_address();
        assert!(address.starts_with("[fe80::1%1]:"), "{address}");
        assert_eq!(process.stop().code, Some(0));
    }
    for (listen, problem) in [
        ("[fe80::1]:0", "a link-local address needs its zone, as in [fe80::1%eth0]"),
        ("[fe80::1%none]:0", "failed to lookup address information"),
    ] {
        let exit = Process::start(&mut daemon(&["--listen", listen])).wait();
        let expected = format!("greet-server: could not listen on {listen}: {problem}");
        assert!(exit.log.contains(&expected), "{exit:?}");
    }
}

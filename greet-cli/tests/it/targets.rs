//! The names of a target: the address to connect to, `:authority`, and the name of TLS.

use crate::support::authority_server::{AuthorityServer, Names};
use crate::support::certs::{Ca, tls_config};
use crate::support::greet;

const HELLO: [&str; 2] = ["hello", "--name=Ada"];

#[test]
fn zone_of_address_is_used_to_connect_and_not_sent() {
    let Some(server) = AuthorityServer::start_on_ipv6() else {
        return;
    };
    // glibc accepts a number for every address, and a name for a link-local one.
    for zone in ["%1", "%251"] {
        let zoned = server.address.replace(']', &format!("{zone}]"));
        let object = greet(&zoned, &[&["--output=json"], &HELLO[..]].concat()).object();
        let peer = server.address.replace(']', "%1]");
        assert_eq!(
            (&object["peer"], &object["target"]),
            (&peer.clone().into(), &format!("http://{peer}").into())
        );
        assert_eq!(server.authority(), server.address);
        let diagnosis = greet(&zoned, &["--output=json", "diagnose"]).object();
        assert_eq!(diagnosis["stages"][0]["details"]["addresses"][0], "::1%1");
    }
}

#[test]
fn authority_defaults_to_target_and_can_be_set() {
    let server = AuthorityServer::start(None);
    greet(&server.address, &HELLO);
    assert_eq!(server.authority(), server.address);
    let flag = "--authority=greeter.example";
    for arguments in
        [&[flag, HELLO[0], HELLO[1]][..], &[flag, "health"], &[flag, "health", "--watch"]]
    {
        greet(&server.address, arguments);
        assert_eq!(server.authority(), "greeter.example", "{arguments:?}");
    }
    let dns = format!("dns:///{}", server.address);
    greet(&dns, &[&["--authority=[::1]:8443"], &HELLO[..]].concat());
    assert_eq!(server.authority(), "[::1]:8443");
}

#[cfg(unix)]
#[test]
fn authority_of_unix_socket_can_be_set() {
    let directory = tempfile::tempdir().unwrap();
    let server = AuthorityServer::start_on_unix_socket(&directory.path().join("greet.sock"));
    greet(&server.address, &HELLO);
    assert_eq!(server.authority(), "localhost");
    greet(&server.address, &[&["--authority=greeter.example"], &HELLO[..]].concat());
    assert_eq!(server.authority(), "greeter.example");
}

#[test]
fn authority_is_server_name_unless_that_is_given() {
    let ca = Ca::new("Test CA");
    let server = ca.sign_with("server", &["greeter.example", "127.0.0.1"], |_| {});
    let server = AuthorityServer::start(Some(tls_config(&server, &[b"h2"])));
    let target = format!("https://{}", server.address);
    let names = |flags: &[&str]| {
        greet(&target, &[&[ca.ca_cert_flag().as_str()], flags, &HELLO].concat());
        let Names { sni, authority } = server.names();
        (sni.unwrap_or_default(), authority)
    };
    let pair = |sni: &str, authority: &str| (sni.to_owned(), authority.to_owned());
    let authority = "--authority=greeter.example:8443";
    assert_eq!(names(&[authority]), pair("greeter.example", "greeter.example:8443"));
    let other = "--authority=other.example";
    let server_name = "--server-name=greeter.example";
    assert_eq!(names(&[other, server_name]), pair("greeter.example", "other.example"));
    assert_eq!(names(&[server_name]), pair("greeter.example", "greeter.example"));

    let ran = greet(&target, &[&ca.ca_cert_flag(), other, HELLO[0], HELLO[1]]);
    let line = "is valid for greeter.example, 127.0.0.1, not for other.example\n";
    assert!(ran.stderr.contains(line), "{ran:?}");
}

//! The names of a target: the address to connect to, `:authority`, and the name of TLS.

use greet_testkit::certs::Ca;

use crate::support::authority_server::{AuthorityServer, Names};
use crate::support::certs::tls_config;
use crate::support::cli;
use crate::support::sample::CALL;

#[test]
fn zone_of_address_is_used_to_connect_and_not_sent() {
    let Some(server) = AuthorityServer::start_on_ipv6() else {
        return;
    };
    // glibc accepts a number for every address, and a name for a link-local one.
    for zone in ["%1", "%251"] {
        let zoned = server.address.replace(']', &format!("{zone}]"));
        let object = cli(&zoned, &[&["--output=json"], CALL].concat()).object();
        let peer = server.address.replace(']', "%1]");
        assert_eq!(
            (&object["peer"], &object["target"]),
            (&peer.clone().into(), &format!("http://{peer}").into())
        );
        assert_eq!(server.authority(), server.address);
        let diagnosis = cli(&zoned, &["--output=json", "diagnose"]).object();
        assert_eq!(diagnosis["stages"][0]["details"]["addresses"][0], "::1%1");
    }
}

#[test]
fn authority_defaults_to_target_and_can_be_set() {
    let server = AuthorityServer::start(None);
    cli(&server.address, CALL);
    assert_eq!(server.authority(), server.address);
    let flag = "--authority=service.example";
    for arguments in
        [&[flag, CALL[0], CALL[1]][..], &[flag, "health"], &[flag, "health", "--watch"]]
    {
        cli(&server.address, arguments);
        assert_eq!(server.authority(), "service.example", "{arguments:?}");
    }
    let dns = format!("dns:///{}", server.address);
    cli(&dns, &[&["--authority=[::1]:8443"], CALL].concat());
    assert_eq!(server.authority(), "[::1]:8443");
}

#[cfg(unix)]
#[test]
fn authority_of_unix_socket_can_be_set() {
    let directory = tempfile::tempdir().unwrap();
    let server = AuthorityServer::start_on_unix_socket(&directory.path().join("server.sock"));
    cli(&server.address, CALL);
    assert_eq!(server.authority(), "localhost");
    cli(&server.address, &[&["--authority=service.example"], CALL].concat());
    assert_eq!(server.authority(), "service.example");
}

#[test]
fn authority_is_server_name_unless_that_is_given() {
    let ca = Ca::new("Test CA");
    let server = ca.sign_files_with("server", &["service.example", "127.0.0.1"], |_| {});
    let server = AuthorityServer::start(Some(tls_config(&server, &[b"h2"])));
    let target = format!("https://{}", server.address);
    let names = |flags: &[&str]| {
        cli(&target, &[&[ca.ca_cert_flag().as_str()], flags, CALL].concat());
        let Names { sni, authority } = server.names();
        (sni.unwrap_or_default(), authority)
    };
    let pair = |sni: &str, authority: &str| (sni.to_owned(), authority.to_owned());
    let authority = "--authority=service.example:8443";
    assert_eq!(names(&[authority]), pair("service.example", "service.example:8443"));
    let other = "--authority=other.example";
    let server_name = "--server-name=service.example";
    assert_eq!(names(&[other, server_name]), pair("service.example", "other.example"));
    assert_eq!(names(&[server_name]), pair("service.example", "service.example"));

    let ran = cli(&target, &[&ca.ca_cert_flag(), other, CALL[0], CALL[1]]);
    let line = "is valid for service.example, 127.0.0.1, not for other.example\n";
    assert!(ran.stderr.contains(line), "{ran:?}");
}

//! Exit code 3: the call was never sent. The stage is named, and the address, and what to do.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Ran, fake, greet, listen_forever, nobody, say};

const NAME: [&str; 3] = ["hello", "--name", "Ada"];

/// The first line, the hint and the exit code.
#[track_caller]
fn says(ran: Ran, line: &str, hint: &str) {
    ran.left("", &format!("greet-cli: {line}\n\nhint: {hint}\n"), 3);
}

fn is_it_a_server(address: &str) -> String {
    format!("is it a gRPC server in plaintext that listens at http://{address}?")
}

#[test]
fn nobody_listens() {
    let address = nobody();
    let begun = Instant::now();
    says(
        greet(&address, &NAME),
        &format!("tcp: could not connect to {address}: connection refused"),
        "nothing listens there: start the server, wait for it with --wait, or correct --target",
    );
    assert!(Instant::now() - begun < Duration::from_secs(1));
}

#[test]
fn in_json_it_has_no_status_because_nothing_was_sent() {
    let address = nobody();
    let ran = greet(&address, &["--output=json", "hello", "--name=Ada"]);
    assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(3)));
    let object = ran.object();
    assert_eq!(object["ok"], false);
    assert_eq!(object["status"], json!(null));
    assert_eq!(object["peer"], json!(null));
    assert_eq!(object["error"]["stage"], "tcp");
    assert!(object["timing_us"]["tcp"].is_u64());
    assert_eq!(object["timing_us"]["http2"], json!(null));
}

#[test]
fn the_host_is_unknown() {
    let ran = greet("no-such-host.invalid:1", &NAME);
    assert_eq!(ran.code, Some(3));
    let line = "greet-cli: dns: could not look up no-such-host.invalid: ";
    assert!(ran.stderr.starts_with(line), "{ran:?}");
    assert!(ran.stderr.ends_with("\n\nhint: check the host's name in --target\n"), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn there_is_no_such_socket() {
    says(
        greet("unix:/no/such.sock", &NAME),
        "tcp: could not connect to unix:/no/such.sock: there is no such socket",
        "start the server, wait for it with --wait, or correct --target",
    );
}

#[test]
fn the_server_accepts_and_says_nothing() {
    for bound in ["--timeout=300ms", "--connect-timeout=300ms"] {
        let address = fake(listen_forever);
        let begun = Instant::now();
        let ran = greet(&address, &[&[bound], &NAME[..]].concat());
        let took = Instant::now() - begun;
        assert!(
            took >= Duration::from_millis(300) && took < Duration::from_millis(500),
            "{took:?}"
        );
        let problem = "the server accepted and sent no SETTINGS in time";
        says(
            ran,
            &format!("http2: no HTTP/2 connection to {address}: {problem}"),
            &is_it_a_server(&address),
        );
    }
}

#[test]
fn the_server_closes_before_it_speaks() {
    let address = fake(drop);
    says(
        greet(&address, &NAME),
        &format!(
            "http2: no HTTP/2 connection to {address}: the server closed it before it sent its \
             SETTINGS"
        ),
        &is_it_a_server(&address),
    );
}

#[test]
fn the_server_speaks_something_else() {
    let address = fake(say(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    says(
        greet(&address, &NAME),
        &format!(
            "http2: no HTTP/2 connection to {address}: the server said \"HTTP/1.1 400 Bad Request\""
        ),
        &is_it_a_server(&address),
    );
}

#[test]
fn a_server_that_is_gone_after_its_settings_has_lost_a_call() {
    // The request may have been executed: that is status UNAVAILABLE, and no longer exit code 3.
    let address = fake(|mut stream| {
        use std::io::{Read as _, Write as _};
        stream.write_all(b"\0\0\0\x04\0\0\0\0\0").unwrap();
        let mut received = Vec::new();
        while !received.windows(4).any(|bytes| bytes == b"\x0a\x03Ad") {
            let mut more = [0; 1_024];
            let length = stream.read(&mut more).unwrap();
            received.extend_from_slice(&more[..length]);
        }
    });
    greet(&address, &NAME).left(
        "",
        "greet-cli: rpc: UNAVAILABLE: the connection was lost before the reply\n\n\
         hint: the server is leaving, or something before it is; try again\n",
        78,
    );
}

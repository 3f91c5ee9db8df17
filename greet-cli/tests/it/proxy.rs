//! `https_proxy` and `no_proxy`: calls through an HTTP CONNECT proxy.

use greet_testkit::ConnectProxy;
use greet_testkit::certs::Ca;
use serde_json::{Value, json};

use crate::support::fake_server::{answer, never_reply, reply, sample_reply, serve};
use crate::support::sample::{CALL, DIAGNOSED, LINE, message};
use crate::support::{CommandOutput, Daemon, assert_timing, unused_address, with};

/// A name that only a proxy can connect to, and its `HOST:PORT`.
const TARGET: &str = "http://service.test:50051";
const DESTINATION: &str = "service.test:50051";
/// Maximum size of the head of a reply.
const MAX_HEAD_BYTES: usize = 8 * 1024;

/// Runs greet-cli with `https_proxy`.
fn through(proxy: &str, target: &str, arguments: &[&str]) -> CommandOutput {
    with(&[("https_proxy", proxy)], &[&["--target", target], arguments].concat())
}

/// Asserts that a call through the proxy at `address` fails, and how.
#[track_caller]
fn assert_fails(address: &str, stage: &str, cause: &str, hint: &str) {
    let proxy = format!("http://{address}");
    let cause = cause.replace("PROXY", &proxy);
    let line = format!("greet-cli: {stage}: {cause}\n\nhint: {hint}\n");
    through(&proxy, TARGET, CALL).assert("", &line, 3);
    let json = through(&proxy, TARGET, &[&["--output=json"], CALL].concat()).object();
    assert_eq!(json["error"], json!({ "stage": stage, "cause": cause, "hint": hint }));
    assert_eq!((&json["status"], &json["peer"]), (&Value::Null, &Value::Null), "it was not sent");
}

#[test]
fn call_goes_through_proxy_which_resolves_name() {
    let daemon = Daemon::start(&[]);
    let proxy = ConnectProxy::start(daemon.address());
    let peer = format!("{DESTINATION} via proxy {}", proxy.address);
    let request = format!("CONNECT {DESTINATION} HTTP/1.1\r\nHost: {DESTINATION}\r\n\r\n");
    for url in [format!("http://{}", proxy.address), format!("{}/", proxy.address)] {
        // With `dns:///` as well: only the proxy knows the addresses.
        for target in [TARGET, DESTINATION, "dns:///service.test:50051"] {
            through(&url, target, CALL).assert(LINE, "", 0);
            assert_eq!(proxy.requests(), [request.as_str()]);
            let json = through(&url, target, &[&["--output=json"], CALL].concat()).object();
            assert_eq!(json["peer"], peer.as_str());
            assert_timing(&json, &["dns", "tcp", "proxy", "http2", "rpc"]);
            proxy.requests();
        }
    }
    let direct = with(&[], &[&["--output=json", "--target", &daemon.target], CALL].concat());
    assert_eq!(direct.object()["timing_us"].get("proxy"), None);
}

#[test]
fn tls_is_end_to_end() {
    let ca = Ca::new("Test CA");
    let server = ca.sign_files_with("server", &["service.test"], |_| {});
    let daemon = Daemon::with_tls(&server, &[]);
    let proxy = ConnectProxy::start(daemon.address());
    let ca_cert = ca.ca_cert_flag();
    let call = [&[ca_cert.as_str()], CALL].concat();
    through(&proxy.address, "https://service.test", &call).assert(LINE, "", 0);
    assert!(proxy.requests()[0].starts_with("CONNECT service.test:443 HTTP/1.1\r\n"));

    let ran = through(&proxy.address, "https://other.test:1", &call);
    let peer = format!("other.test:1 via proxy {}", proxy.address);
    let cause = format!(
        "greet-cli: tls: the certificate of {peer} is valid for service.test, not for other.test\n"
    );
    assert!(ran.stderr.starts_with(&cause), "{ran:?}");
}

#[test]
fn every_connection_is_a_tunnel() {
    let daemon = Daemon::start(&[]);
    let proxy = ConnectProxy::start(daemon.address());
    let load = ["--output=json", "load", "--count=40", "--connections=4", "--threads=2"];
    let object = through(&proxy.address, TARGET, &load).object();
    assert_eq!(object["calls"]["by_status"]["OK"], 40, "{object}");
    assert_eq!(proxy.requests().len(), 4);
}

/// The server may be faster than the client, and its first bytes come with the reply of the proxy.
#[test]
fn bytes_after_reply_belong_to_server() {
    let server = serve(answer(sample_reply()));
    let proxy = ConnectProxy::with_late_reply(&server);
    through(&proxy.address, TARGET, CALL).assert(LINE, "", 0);
}

#[test]
fn credentials_are_sent_and_never_printed() {
    let daemon = Daemon::start(&[]);
    let proxy = ConnectProxy::start(daemon.address());
    let refusing = serve(reply("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"));
    let secrets = ["hunter2", "hunter%32", "QWRhOmh1bnRlcjI="]; // the last is base64
    let assert_hidden = |ran: &CommandOutput| {
        let printed = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!secrets.iter().any(|secret| printed.contains(secret)), "{ran:?}");
    };
    let verbose = [&["-v"][..], CALL].concat();
    for arguments in [&verbose[..], &["diagnose"], &["--output=json", "-v", "diagnose"]] {
        let ran = through(&format!("http://Ada:hunter%32@{}", proxy.address), TARGET, arguments);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_hidden(&ran);
        let request = proxy.requests().remove(0);
        let header = "\r\nProxy-Authorization: Basic QWRhOmh1bnRlcjI=\r\n\r\n";
        assert!(request.ends_with(header), "{request:?}");
        for address in [&refusing, &unused_address()] {
            let ran = through(&format!("http://Ada:hunter%32@{address}"), TARGET, arguments);
            assert_eq!(ran.code, Some(3), "{ran:?}");
            assert_hidden(&ran);
        }
    }
    for url in ["socks5://Ada:hunter2@proxy:1", "http://Ada:hunter2@proxy:port", "Ada:hunter2"] {
        let ran = through(url, TARGET, &verbose);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert_hidden(&ran);
    }
}

#[test]
fn refusal_of_proxy_is_shown() {
    for (head, cause, hint) in [
        (
            "407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nServer: s",
            "the proxy PROXY requires authentication: it sent 407 Proxy Authentication Required \
             (server: s, proxy-authenticate: Basic realm=\"x\")",
            "put the user and the password into https_proxy, as in http://USER:PASSWORD@HOST:PORT",
        ),
        (
            "403 Forbidden\r\nContent-Length: 2",
            "the proxy PROXY refused to connect to service.test:50051: it sent 403 Forbidden",
            "check the access rules of the proxy, or list the host in no_proxy to connect without a \
             proxy",
        ),
        (
            "502 Bad Gateway\r\nVia: 1.1 squid",
            "the proxy PROXY could not connect to service.test:50051: it sent 502 Bad Gateway \
             (via: 1.1 squid)",
            "check the host and port in --target, which the proxy looks up, and the log of the proxy",
        ),
    ] {
        assert_fails(&serve(reply(format!("HTTP/1.1 {head}\r\n\r\nno"))), "proxy", cause, hint);
    }
}

#[test]
fn status_line_is_escaped_and_shortened() {
    let reason = format!("\u{202e}{}", "x".repeat(200)); // right-to-left override
    let proxy = serve(reply(format!("HTTP/1.1 403 {reason}\r\n\r\n")));
    for arguments in [&[&["-v"][..], CALL].concat()[..], &["diagnose"]] {
        let ran = through(&proxy, TARGET, arguments);
        let printed = format!("{}{}", ran.stdout, ran.stderr);
        let shown = format!("403 \\u{{202e}}{}…", "x".repeat(75));
        assert!(printed.contains(&shown) && !printed.contains('\u{202e}'), "{printed}");
    }
}

#[test]
fn other_protocol_is_named() {
    let hint = "check the host and port in https_proxy; the proxy must accept HTTP without TLS";
    let alert = &b"\x15\x03\x03\x00\x02\x02\x32"[..];
    for (bytes, shown) in [
        (&b"SSH-2.0-OpenSSH_10.0\r\n"[..], "\"SSH-2.0-OpenSSH_10.0\""),
        (alert, "\"\\u{15}\\u{3}\\u{3}\\0\\u{2}\\u{2}2\""),
        (&b"HTTP/1.1 OK\r\n\r\n"[..], "\"HTTP/1.1 OK\""),
        (&b"HTTP/1.1\r\n\r\n"[..], "\"HTTP/1.1\""),
    ] {
        let cause = format!("the proxy PROXY sent no HTTP/1.1 reply: {shown}");
        assert_fails(&serve(reply(bytes)), "proxy", &cause, hint);
    }
}

#[test]
fn closed_connection_is_an_error() {
    let cause =
        format!("the proxy PROXY closed the connection before its reply to CONNECT {DESTINATION}");
    let hint = "check that https_proxy is the URL of an HTTP proxy, and see the log of the proxy";
    for bytes in ["", "HTTP", "HTTP/1.1 200 OK\r\n"] {
        assert_fails(&serve(reply(bytes)), "proxy", &cause, hint);
    }
}

#[test]
fn silent_proxy_takes_timeout() {
    let proxy = serve(never_reply);
    for flag in ["--timeout=300ms", "--connect-timeout=300ms"] {
        let ran = through(&proxy, TARGET, &[&[flag], CALL].concat());
        let cause = format!("the proxy http://{proxy} did not connect to {DESTINATION} within ");
        assert!(ran.stderr.starts_with(&format!("greet-cli: proxy: {cause}")), "{ran:?}");
        assert_eq!(ran.code, Some(3));
    }
}

#[test]
fn head_of_reply_is_limited() {
    let head = |bytes: usize| {
        let start = "HTTP/1.1 200 OK\r\nfill: ";
        format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
    };
    let daemon = Daemon::start(&[]);
    let proxy = ConnectProxy::with_reply(daemon.address(), &head(MAX_HEAD_BYTES));
    through(&proxy.address, TARGET, CALL).assert(LINE, "", 0);
    assert_fails(
        &serve(reply(head(MAX_HEAD_BYTES + 1))),
        "proxy",
        "the proxy PROXY sent a reply with a head of more than 8192 bytes",
        "check that https_proxy is the URL of an HTTP proxy, and see the log of the proxy",
    );
}

#[test]
fn unreachable_proxy_is_named() {
    let hint = "correct https_proxy, or list the host of --target in no_proxy to connect without a \
                proxy";
    let address = unused_address();
    let cause = format!(
        "no connection to the proxy PROXY: could not connect to {address}: connection refused"
    );
    assert_fails(&address, "tcp", &cause, hint);

    let ran = through("http://no-such-proxy.invalid:3128", TARGET, CALL);
    let line = "greet-cli: dns: no connection to the proxy http://no-such-proxy.invalid:3128: \
                could not look up no-such-proxy.invalid: ";
    assert!(ran.stderr.starts_with(line), "{ran:?}");
    assert!(ran.stderr.ends_with(&format!("\n\nhint: {hint}\n")), "{ran:?}");
}

#[test]
fn excluded_host_is_connected_directly() {
    let daemon = Daemon::start(&[]);
    let proxy = ConnectProxy::start(daemon.address());
    let calls = |target: &str, variables: &[(&str, &str)]| {
        let variables = [variables, &[("https_proxy", proxy.address.as_str())]].concat();
        let ran = with(&variables, &[&["--target", target, "--timeout=5s"], CALL].concat());
        (proxy.requests().len(), ran)
    };
    assert_eq!(calls(TARGET, &[]).0, 1);
    for excluded in ["service.test", ".test", "*", "a.example, service.test:50051"] {
        for name in ["no_proxy", "NO_PROXY"] {
            let (proxied, ran) = calls(TARGET, &[(name, excluded)]);
            assert_eq!((proxied, ran.code), (0, Some(3)));
            let line = "greet-cli: dns: could not look up service.test: ";
            assert!(ran.stderr.starts_with(line), "{ran:?}");
        }
    }
    for others in ["", "vice.test", "service.test:50052", "10.0.0.0/8"] {
        assert_eq!(calls(TARGET, &[("no_proxy", others)]).0, 1, "{others}");
    }
    assert_eq!(calls(TARGET, &[("no_proxy", "x"), ("NO_PROXY", "*")]).0, 1, "the first is used");
    // Loopback and Unix sockets need no exclusion.
    let (proxied, ran) = calls(&daemon.target, &[]);
    assert_eq!(proxied, 0);
    ran.assert(LINE, "", 0);
    let (proxied, ran) = calls("unix:/no/such.sock", &[]);
    assert_eq!((proxied, ran.code), (0, Some(3)));
}

#[test]
fn variable_is_read_in_either_case_unless_empty() {
    let daemon = Daemon::start(&[]);
    let proxy = ConnectProxy::start(daemon.address());
    let unused = unused_address();
    let (used, unused) = (proxy.address.as_str(), unused.as_str());
    let call = [&["--target", TARGET], CALL].concat();
    for variables in [
        &[("HTTPS_PROXY", used)][..],
        &[("https_proxy", used), ("HTTPS_PROXY", unused)],
        &[("https_proxy", ""), ("HTTPS_PROXY", used)],
    ] {
        with(variables, &call).assert(LINE, "", 0);
        assert_eq!(proxy.requests().len(), 1, "{variables:?}");
    }
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "grpc_proxy"] {
        let ran = with(&[(name, used)], &call);
        assert!(
            ran.stderr.starts_with("greet-cli: dns: could not look up service.test"),
            "{ran:?}"
        );
    }
    assert_eq!(proxy.requests().len(), 0);
}

#[test]
fn unusable_variable_is_an_error_if_it_applies() {
    let daemon = Daemon::start(&[]);
    for (url, problem) in [
        ("socks5://proxy:1080", "a proxy with socks5:// is not supported, only with http://"),
        ("https://proxy:443", "a proxy with https:// is not supported, only with http://"),
        ("http://proxy:1/path", "the value (not shown) is not http://[USER:PASSWORD@]HOST[:PORT]"),
    ] {
        for name in ["https_proxy", "HTTPS_PROXY"] {
            let error = format!("greet-cli: {name}: {problem}\n");
            let call = |target| [&["--target", target], CALL].concat();
            with(&[(name, url)], &call(TARGET)).assert("", &error, 2);
            with(&[(name, url)], &call(&daemon.target)).assert(LINE, "", 0);
            let ran = with(&[(name, url), ("no_proxy", "*")], &call(TARGET));
            assert_eq!(ran.code, Some(3), "{ran:?}");
        }
    }
}

#[test]
fn diagnosis_has_stage_proxy() {
    let daemon = Daemon::start(&[]);
    let proxy = ConnectProxy::start(daemon.address());
    let url = format!("http://{}", proxy.address);
    let diagnosis = through(&url, TARGET, &["--output=json", "diagnose"]).object();
    let stages = diagnosis["stages"].as_array().unwrap();
    let names: Vec<_> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["dns", "tcp", "proxy", "tls", "http2", "health", "rpc"]);
    assert_eq!(stages[0]["details"]["addresses"], json!(["127.0.0.1"]));
    assert_eq!(stages[1]["details"]["peer"], proxy.address.as_str());
    let status = "200 Connection established";
    let tunnel = json!({ "proxy": url, "connect": DESTINATION, "reply": status });
    assert_eq!((&stages[2]["result"], &stages[2]["details"]), (&json!("ok"), &tunnel));
    assert_eq!(message(&stages[6]["details"]), DIAGNOSED);

    let text = through(&url, TARGET, &["diagnose"]).stdout;
    assert!(text.contains(&format!("{url}, CONNECT {DESTINATION}: {status}\n")), "{text}");
    let stderr = through(&url, TARGET, &[&["-v"][..], CALL].concat()).stderr;
    assert!(stderr.contains(&format!("us  {}\n* proxy", proxy.address)), "{stderr}");
    assert!(stderr.contains(&format!("us  {url}, CONNECT {DESTINATION}: {status}\n")), "{stderr}");

    let refusing = serve(reply("HTTP/1.1 403 Forbidden\r\n\r\n"));
    let unreached = ["ok", "failed", "not_reached", "not_reached", "not_reached"];
    for (address, expected, reason) in [
        (refusing, ["ok", "ok", "failed", "not_reached", "not_reached"], "403 Forbidden"),
        (unused_address(), unreached, "connection refused"),
    ] {
        let ran = through(&address, TARGET, &["--output=json", "diagnose"]);
        let diagnosis = ran.object();
        let stages = diagnosis["stages"].as_array().unwrap();
        let results: Vec<_> =
            stages.iter().map(|stage| stage["result"].as_str().unwrap()).collect();
        assert_eq!((&results[..5], ran.code), (&expected[..], Some(3)), "{diagnosis}");
        assert_eq!(stages[2]["details"]["connect"], DESTINATION);
        let text = through(&address, TARGET, &["diagnose"]).stdout;
        assert_eq!(text.matches(reason).count(), 1, "{text}");
    }
}

#[test]
fn reason_for_no_proxy_is_shown() {
    let daemon = Daemon::start(&[]);
    let shown = |target: &str, no_proxy: &str, arguments: &[&str]| {
        let variables = [("https_proxy", "proxy.test:1"), ("no_proxy", no_proxy)];
        with(&variables, &[&["--target", target], arguments].concat())
    };
    for (target, no_proxy, reason, dns) in [
        (daemon.target.as_str(), "", "loopback address", "ok"),
        (TARGET, "x, .test", "no_proxy (.test)", "failed"),
    ] {
        let diagnosis = shown(target, no_proxy, &["--output=json", "diagnose"]).object();
        let [dns_stage, proxy] = [0, 2].map(|index| &diagnosis["stages"][index]);
        assert_eq!(dns_stage["result"], dns, "{diagnosis}");
        let expected = json!({
            "stage": "proxy", "result": "none", "time_us": null, "details": { "not_used": reason },
            "error": null,
        });
        assert_eq!(*proxy, expected);
        let text = shown(target, no_proxy, &["diagnose"]).stdout;
        let row = format!("\nproxy   -                     not used: {reason}\n");
        assert!(text.contains(&row), "{text}");
        let verbose = shown(target, no_proxy, &[&["-v"][..], CALL].concat()).stderr;
        let line = format!("\n* proxy           -  not used: {reason}\n");
        assert!(verbose.contains(&line), "{verbose}");
    }
    let unix = shown("unix:/no/such.sock", "", &["diagnose"]).stdout;
    assert!(unix.contains("not used: Unix socket\n"), "{unix}");
    // As without the variable.
    let unusable = [("https_proxy", "socks5://proxy.test:1")];
    let ran = with(&unusable, &["--target", &daemon.target, "diagnose"]);
    assert!(!ran.stdout.contains("\nproxy"), "{ran:?}");
}

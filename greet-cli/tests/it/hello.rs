//! `hello` prints the reply, and with `--output json` all facts about the call.

use serde_json::json;

use crate::support::{Daemon, assert_timing, cli};

#[test]
fn only_reply_is_printed() {
    let daemon = Daemon::start(&[]);
    for name in ["Ada", "", "Zoë \u{1f600}", "-v"] {
        let ran = cli(&daemon.target, &["hello", "--name", name]);
        ran.assert(&format!("Hello {name}\n"), "", 0);
    }
    cli(daemon.address(), &["hello", "--name", "Ada"]).assert("Hello Ada\n", "", 0);
}

#[test]
fn replies_are_in_order_of_names() {
    let daemon = Daemon::start(&[]);
    let names = ["hello", "--name", "a", "--name", "b", "--name", "a"];
    cli(&daemon.target, &names).assert("Hello a\nHello b\nHello a\n", "", 0);
}

#[test]
fn hello_in_json_is_one_object() {
    let daemon = Daemon::start(&["--instance=blue"]);
    let ran = cli(&daemon.target, &["hello", "--name", "Ada", "--output=json"]);
    assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(0)));
    let mut object = ran.object();
    assert_timing(&object, &["dns", "tcp", "http2", "rpc"]);
    assert_eq!(object["timing_us"]["tls"], json!(null));
    object["timing_us"].take();
    assert_eq!(
        object,
        json!({
            "schema": "greet.hello/v1", "ok": true, "name": "Ada", "message": "Hello Ada",
            "status": {"code": 0, "name": "OK", "message": ""},
            "target": daemon.target, "peer": daemon.address(), "instance": "blue",
            "headers": {"greet-instance": "blue"}, "trailers": {}, "attempts": 1,
            "timing_us": null, "error": null,
        })
    );
}

#[test]
fn each_of_several_failures_has_its_details() {
    let daemon = Daemon::start(&[]);
    let name = format!("--name={}", "x".repeat(4_097));
    let ran = cli(&daemon.target, &["hello", &name, "--name=Ada"]);
    ran.assert(
        "Hello Ada\n",
        "greet-cli: call 1: rpc: INVALID_ARGUMENT: name is 4097 bytes long; the limit is 4096 bytes\n  \
         BadRequest field=\"name\" description=\"is 4097 bytes long; the limit is 4096 bytes\"\n\
         hint: correct `name` and retry\n",
        67,
    );
}

#[test]
fn name_over_limit_error_states_limit() {
    let daemon = Daemon::start(&[]);
    cli(&daemon.target, &["hello", "--name", &"x".repeat(5_000)]).assert(
        "",
        "greet-cli: rpc: INVALID_ARGUMENT: name is 5000 bytes long; the limit is 4096 bytes\n  \
         BadRequest field=\"name\" description=\"is 5000 bytes long; the limit is 4096 bytes\"\n\n\
         hint: correct `name` and retry\n",
        67,
    );
}

#[test]
fn reply_is_escaped_to_one_line() {
    let daemon = Daemon::start(&[]);
    let names = ["hello", "--name=two\nlines", "--name=\u{1b}]0;title\u{7}", "--name=\u{202e}adA"];
    let shown = "Hello two\\nlines\nHello \\u{1b}]0;title\\u{7}\nHello \\u{202e}adA\n";
    cli(&daemon.target, &names).assert(shown, "", 0);
    let json = cli(&daemon.target, &["--output=json", "hello", "--name=two\nlines"]);
    assert_eq!(json.object()["message"], "Hello two\nlines", "JSON is exact");
}

#[test]
fn names_are_read_from_file_with_unterminated_last_line() {
    let daemon = Daemon::start(&[]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "\u{feff}Ada\r\n\nGrace").unwrap();
    let from = format!("--names-from={}", file.path().display());
    cli(&daemon.target, &["hello", &from]).assert("Hello Ada\nHello \nHello Grace\n", "", 0);
    let ran = cli(&daemon.target, &["hello", "--names-from=/no/such"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(2)));
    assert!(ran.stderr.starts_with("greet-cli: could not read `/no/such`: "), "{ran:?}");
    let ran = cli(&daemon.target, &["hello", "--names-from=/"]);
    assert_eq!((ran.stdout.as_str(), ran.code), ("", Some(2)), "{ran:?}");
    assert!(ran.stderr.starts_with("greet-cli: could not read `/`: "), "{ran:?}");
}

#[test]
fn name_conflicts_with_names_from_and_method() {
    let method = ["load", "grpc.health.v1.Health/Check"];
    let names = ["--name=a", "--names-from=-"].map(|flag| [method[0], method[1], flag]);
    let json = ["load", "--name=a", "--json={}"];
    for arguments in names.iter().chain([&json, &["hello", "--name=a", "--names-from=-"]]) {
        let ran = cli("x:1", arguments);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("cannot be used with"), "{ran:?}");
    }
}

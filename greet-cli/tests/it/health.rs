//! `health` answers with a word and an exit code.

use serde_json::json;

use crate::support::{Daemon, fake, greet, listen_forever, nobody};

#[test]
fn a_serving_server_is_serving() {
    let daemon = Daemon::start(&[]);
    greet(&daemon.target, &["health"]).left("SERVING\n", "", 0);
    greet(&daemon.target, &["health", "--service", "greet.Greeter"]).left("SERVING\n", "", 0);
}

#[test]
fn an_unknown_service_is_not_found() {
    let daemon = Daemon::start(&[]);
    greet(&daemon.target, &["health", "--service", "no.Such"]).left(
        "",
        "greet-cli: rpc: NOT_FOUND: unknown service\n\n\
         hint: nothing of that name is there; its spelling counts, capitals too\n",
        69,
    );
}

#[test]
fn a_server_that_is_leaving_is_not_serving() {
    let mut daemon = Daemon::start(&["--drain-delay=1s"]);
    daemon.drain();
    // The signal is seen in the server's own time.
    let ran = loop {
        let ran = greet(&daemon.target, &["health"]);
        if ran.stdout != "SERVING\n" {
            break ran;
        }
    };
    ran.left("NOT_SERVING\n", "", 4);
}

#[test]
fn in_json_the_answer_is_an_object() {
    let daemon = Daemon::start(&[]);
    let mut object = greet(&daemon.target, &["--output=json", "health"]).object();
    object["timing_us"].take();
    assert_eq!(
        object,
        json!({
            "schema": "greet.health/v1", "ok": true, "service": "", "serving": "SERVING",
            "status": {"code": 0, "name": "OK", "message": ""},
            "target": daemon.target, "peer": daemon.address(), "instance": null,
            "headers": {}, "trailers": {}, "attempts": 1, "timing_us": null, "error": null,
        })
    );
    let ran = greet(&nobody(), &["--output=json", "health"]);
    assert_eq!(ran.code, Some(3));
    assert_eq!((&ran.object()["ok"], &ran.object()["serving"]), (&json!(false), &json!(null)));
}

#[test]
fn a_server_that_does_not_answer_is_not_connected() {
    let ran = greet(&fake(listen_forever), &["--timeout=50ms", "health"]);
    assert_eq!(ran.code, Some(3));
}

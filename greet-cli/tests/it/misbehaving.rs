//! Servers that answer what they should not. Each costs one line, the right exit code, and no time.

use serde_json::json;

use crate::raw::{
    END_STREAM, GOAWAY, RST_STREAM, SETTINGS, answer, data, frame, head, headers, trailers,
};
use crate::support::{Ran, fake, fakes, greet, listen_forever, say};

/// What `greet-cli` makes of a reply of `frames`.
fn on(frames: &[Vec<u8>]) -> Ran {
    let address = fake(answer(frames.concat()));
    greet(&address, &["hello", "--name", "Ada"])
}

/// Checks the first line and the exit code.
#[track_caller]
fn told(ran: Ran, line: &str, code: i32) {
    assert_eq!((ran.stderr.lines().next(), ran.code), (Some(line), Some(code)), "{ran:?}");
    assert_eq!(ran.stdout, "");
}

const OK: [(&str, &str); 1] = [("grpc-status", "0")];
const ADA: &[u8] = b"\x0a\x09Hello Ada";

#[test]
fn a_reply_by_hand_is_a_reply() {
    on(&[head(), data(ADA), trailers(&OK)]).left("Hello Ada\n", "", 0);
}

#[test]
fn a_status_without_a_reply_may_come_in_the_headers() {
    let only = [(":status", "200"), ("grpc-status", "9"), ("grpc-message", "not%20now")];
    told(on(&[headers(END_STREAM, &only)]), "greet-cli: rpc: FAILED_PRECONDITION: not now", 73);
}

#[test]
fn a_message_that_is_badly_encoded_leaves_the_status_as_it_is() {
    let broken = [("grpc-status", "14"), ("grpc-message", "100%25%FF%zz")];
    told(on(&[head(), trailers(&broken)]), "greet-cli: rpc: UNAVAILABLE: 100%\u{fffd}%zz", 78);
    let details = [("grpc-status", "3"), ("grpc-status-details-bin", "!!!")];
    told(on(&[head(), trailers(&details)]), "greet-cli: rpc: INVALID_ARGUMENT", 67);
}

#[test]
fn a_servers_words_cannot_play_with_the_terminal() {
    let message = [("grpc-status", "13"), ("grpc-message", "one%0Atwo%1B[31m")];
    told(on(&[head(), trailers(&message)]), "greet-cli: rpc: INTERNAL: one\\ntwo\\u{1b}[31m", 77);
}

#[test]
fn a_reply_without_a_status_is_named_with_what_http_says() {
    told(
        on(&[headers(END_STREAM, &[(":status", "502"), ("content-type", "text/html")])]),
        "greet-cli: rpc: UNAVAILABLE: the reply has no grpc-status; its HTTP status is 502 Bad Gateway",
        78,
    );
}

#[test]
fn a_unary_reply_is_exactly_one_message() {
    told(
        on(&[head(), trailers(&OK)]),
        "greet-cli: rpc: UNIMPLEMENTED: the reply has no message",
        76,
    );
    told(
        on(&[head(), data(ADA), data(ADA), trailers(&OK)]),
        "greet-cli: rpc: UNIMPLEMENTED: the reply has more than one message",
        76,
    );
    let nonsense = on(&[head(), data(b"\xff"), trailers(&OK)]);
    assert_eq!(nonsense.code, Some(77));
    assert!(nonsense.stderr.starts_with("greet-cli: rpc: INTERNAL: the reply cannot be decoded: "));
}

#[test]
fn a_reset_means_what_the_protocol_says() {
    let reset = |reason: u32| on(&[frame(RST_STREAM, 0, 1, &reason.to_be_bytes())]).code;
    assert_eq!(reset(8), Some(65), "CANCEL");
    assert_eq!(reset(11), Some(72), "ENHANCE_YOUR_CALM");
    assert_eq!(reset(12), Some(71), "INADEQUATE_SECURITY");
    assert_eq!(reset(2), Some(77), "INTERNAL_ERROR");
}

/// Sends SETTINGS, then a GOAWAY that lets no stream live.
fn leaving(stream: std::net::TcpStream) {
    answer(frame(GOAWAY, 0, 0, &[0; 8]))(stream);
}

#[test]
fn a_call_beyond_the_goaway_is_sent_on_another_connection() {
    let reply = [head(), data(ADA), trailers(&OK)].concat();
    let address = fakes([Box::new(leaving) as Box<_>, Box::new(answer(reply)) as Box<_>]);
    let ran = greet(&address, &["--output=json", "hello", "--name=Ada"]);
    let object = ran.object();
    assert_eq!((&object["message"], &object["attempts"]), (&json!("Hello Ada"), &json!(2)));
}

#[test]
fn a_call_that_was_refused_is_sent_on_another_connection() {
    let refused = answer(frame(RST_STREAM, 0, 1, &7_u32.to_be_bytes()));
    let reply = [head(), data(ADA), trailers(&OK)].concat();
    let address = fakes([Box::new(refused) as Box<_>, Box::new(answer(reply)) as Box<_>]);
    greet(&address, &["hello", "--name=Ada"]).left("Hello Ada\n", "", 0);
}

#[test]
fn a_call_that_nobody_accepts_was_never_sent() {
    let address = fakes([leaving, leaving, leaving].map(|leaving| Box::new(leaving) as Box<_>));
    let ran = greet(&address, &["hello", "--name=Ada"]);
    let line = format!("greet-cli: http2: http://{address} took no call on any connection");
    told(ran, &line, 3);
}

#[test]
fn what_is_too_short_for_a_frame_is_shown_too() {
    let address = fake(say(b"hi\r\n"));
    let ran = greet(&address, &["hello", "--name=Ada"]);
    told(
        ran,
        &format!("greet-cli: http2: no HTTP/2 connection to {address}: the server said \"hi\""),
        3,
    );
}

#[test]
fn long_settings_are_settings() {
    let address = fake(|mut stream| {
        use std::io::Write as _;
        let unknown_setting = [0xf0, 0xf0, 0, 0, 0, 1];
        let settings = frame(SETTINGS, 0, 0, &unknown_setting.repeat(400));
        stream.write_all(&settings).unwrap();
        listen_forever(stream);
    });
    let ran = greet(&address, &["--timeout=300ms", "hello", "--name=Ada"]);
    assert_eq!(ran.code, Some(68), "connected, and no reply: {ran:?}");
}

#[test]
fn who_was_reached_is_told_even_if_it_speaks_no_http2() {
    let address = fake(say(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let object = greet(&address, &["--output=json", "hello", "--name=Ada"]).object();
    assert_eq!(object["peer"], address);
    assert_eq!(object["error"]["stage"], "http2");
}

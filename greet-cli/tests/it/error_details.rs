//! Details of a status (`grpc-status-details-bin`): `google.rpc.*` as text and as JSON.

use std::time::Duration;

use prost::Message as _;
use prost::bytes::Bytes;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _, pb};

use crate::support::sample::CALL;
use crate::support::{Daemon, cli};

/// Starts a daemon that fails every call with a status and `details`.
fn fails_with(details: &[u8]) -> Daemon {
    let status = Status::with_details(Code::Aborted, "no", Bytes::copy_from_slice(details));
    Daemon::with_handler(move |_| {
        let status = status.clone();
        async { Err(status) }
    })
}

/// Returns the lines of the details on standard error.
fn lines(daemon: &Daemon) -> Vec<String> {
    let ran = cli(&daemon.target, CALL);
    let lines = ran.stderr.lines().skip(1).take_while(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

fn in_json(daemon: &Daemon) -> Value {
    cli(&daemon.target, &[&["--output=json"], CALL].concat()).object()["error"]["details"].take()
}

#[test]
fn standard_details_are_decoded() {
    let mut details = ErrorDetails::new();
    details
        .add_bad_request_violation("name", "is too long")
        .add_bad_request_violation("age", "is negative")
        .set_error_info(
            "STOCKOUT",
            "example.com",
            [("zone".to_owned(), "b".to_owned()), ("a".to_owned(), "1".to_owned())],
        )
        .set_retry_info(Some(Duration::from_millis(1_500)))
        .add_quota_failure_violation("user:ada", "10 a day")
        .add_precondition_failure_violation("TOS", "example.com", "not accepted")
        .set_resource_info("book", "b1", "ada", "gone")
        .add_help_link("manual", "https://example.com/")
        .set_localized_message("de", "nein")
        .set_request_info("r1", "s1")
        .set_debug_info(["f()".to_owned(), "g()".to_owned()], "panicked");
    let status = Status::with_error_details(Code::Aborted, "no", details);
    let daemon = fails_with(status.details());
    let mut text = lines(&daemon);
    text.sort();
    assert_eq!(
        text,
        [
            "  BadRequest field=\"age\" description=\"is negative\"",
            "  BadRequest field=\"name\" description=\"is too long\"",
            "  DebugInfo detail=\"panicked\"",
            "  DebugInfo stackEntries=\"f()\"",
            "  DebugInfo stackEntries=\"g()\"",
            "  ErrorInfo reason=\"STOCKOUT\" domain=\"example.com\" a=\"1\" zone=\"b\"",
            "  Help description=\"manual\" url=\"https://example.com/\"",
            "  LocalizedMessage locale=\"de\" message=\"nein\"",
            "  PreconditionFailure type=\"TOS\" subject=\"example.com\" description=\"not accepted\"",
            "  QuotaFailure subject=\"user:ada\" description=\"10 a day\"",
            "  RequestInfo requestId=\"r1\" servingData=\"s1\"",
            "  ResourceInfo resourceType=\"book\" resourceName=\"b1\" owner=\"ada\" description=\"gone\"",
            "  RetryInfo retryDelay=\"1.500s\"",
        ]
    );
    let object = in_json(&daemon);
    let of_type = |name: &str| {
        let url = format!("type.googleapis.com/google.rpc.{name}");
        let mut all = object.as_array().unwrap().iter();
        all.find(|it| it["@type"] == url.as_str()).unwrap_or_else(|| panic!("{name}: {object}"))
    };
    let violation = |field, description| json!({"field": field, "description": description});
    assert_eq!(
        of_type("BadRequest")["fieldViolations"],
        json!([violation("name", "is too long"), violation("age", "is negative")])
    );
    assert_eq!(of_type("ErrorInfo")["metadata"], json!({"a": "1", "zone": "b"}));
    assert_eq!(of_type("RetryInfo")["retryDelay"], "1.500s");
}

/// Encodes a `google.rpc.Status` with these details.
fn encode(details: &[(&str, &[u8])]) -> Vec<u8> {
    let mut status = pb::Status { code: 10, ..pb::Status::default() };
    status.details.resize_with(details.len(), Default::default);
    for (detail, (url, value)) in status.details.iter_mut().zip(details) {
        (detail.type_url, detail.value) = ((*url).to_owned(), value.to_vec());
    }
    status.encode_to_vec()
}

#[test]
fn detail_of_other_or_malformed_type_has_url_and_size() {
    let retry = "type.googleapis.com/google.rpc.RetryInfo";
    let daemon = fails_with(&encode(&[
        ("example.com/a.B", b"\xff\xff"),
        ("example.com/a.C", b""),
        (retry, b"\xff"),
        (retry, b""),
    ]));
    assert_eq!(
        lines(&daemon),
        [
            "  example.com/a.B valueBytes=2",
            "  example.com/a.C valueBytes=0",
            "  RetryInfo valueBytes=1",
            "  RetryInfo"
        ]
    );
    assert_eq!(
        in_json(&daemon),
        json!([
            {"@type": "example.com/a.B", "valueBytes": 2},
            {"@type": "example.com/a.C", "valueBytes": 0},
            {"@type": retry, "valueBytes": 1},
            {"@type": retry},
        ])
    );
}

/// Encodes a `RetryInfo` with a delay of whole seconds.
fn retry_info(seconds: i64) -> Vec<u8> {
    let mut delay = vec![8]; // field 1 of Duration
    prost::encoding::encode_varint(seconds.cast_unsigned(), &mut delay);
    [&[10, u8::try_from(delay.len()).unwrap()][..], &delay].concat()
}

#[test]
fn retry_delay_beyond_duration_is_malformed() {
    let url = "type.googleapis.com/google.rpc.RetryInfo";
    let line = |seconds| lines(&fails_with(&encode(&[(url, &retry_info(seconds))])));
    assert_eq!(line(315_576_000_000), ["  RetryInfo retryDelay=\"315576000000s\""]);
    let malformed = |bytes| [format!("  RetryInfo valueBytes={bytes}")];
    assert_eq!(line(315_576_000_001), malformed(9));
    assert_eq!(line(i64::MIN), malformed(13));
}

#[test]
fn details_are_escaped_and_truncated() {
    let info = |domain: &str| {
        let info = pb::ErrorInfo { domain: domain.to_owned(), ..pb::ErrorInfo::default() };
        encode(&[("t/google.rpc.ErrorInfo", &info.encode_to_vec())])
    };
    assert_eq!(
        lines(&fails_with(&info("\u{1b}[2J\n\u{202e}\""))),
        [r#"  ErrorInfo domain="\u001b[2J\n\u{202e}\"""#]
    );
    let limit = "x".repeat(200);
    assert_eq!(lines(&fails_with(&info(&limit))), [format!("  ErrorInfo domain=\"{limit}\"")]);
    let over = lines(&fails_with(&info(&"x".repeat(201))));
    assert_eq!(over, [format!("  ErrorInfo domain=\"{limit}…\"")]);
}

#[test]
fn lines_of_details_are_limited() {
    let detail: (&str, &[u8]) = ("a/b.C", b"");
    let daemon = fails_with(&encode(&[detail; 20]));
    assert_eq!(lines(&daemon), ["  a/b.C valueBytes=0"; 20]);
    let daemon = fails_with(&encode(&[detail; 21]));
    let lines = lines(&daemon);
    assert_eq!((lines.len(), lines[20].as_str()), (21, "  … and 1 more; --output json prints all"));
    assert_eq!(in_json(&daemon).as_array().unwrap().len(), 21);
}

#[test]
fn diagnose_and_load_report_details() {
    let details = encode(&[("a/b.C", b"x")]);
    let detail = json!([{"@type": "a/b.C", "valueBytes": 1}]);
    let daemon = fails_with(&details);
    let object = cli(&daemon.target, &["--output=json", "diagnose"]).object();
    assert_eq!(object["error"]["details"], detail);
    let ran = cli(&daemon.target, &["diagnose"]);
    assert!(ran.stdout.contains("  a/b.C valueBytes=1\n"), "{ran:?}");
    let object = cli(&daemon.target, &["--output=json", "load", "--count=2"]).object();
    assert_eq!(object["error"]["details"], detail);
}

#[test]
fn malformed_details_are_omitted() {
    assert_eq!(lines(&fails_with(b"\xff\xff")), [""; 0]);
    assert_eq!(in_json(&fails_with(b"\xff\xff")), Value::Null);
}

//! `diagnose` checks every stage of a call and reports each result, whichever stage fails.

use greet_testkit::certs::{Ca, LOOPBACK};
use serde_json::{Value, json};

use crate::support::certs::{expired, tls_config};
use crate::support::fake_server::{
    answer_each, never_reply, reply, sample_reply, serve, serve_tls, trailers_only,
};
use crate::support::sample::{DIAGNOSED, message};
use crate::support::{Daemon, cli, command, run, unused_address};

fn diagnosed(target: &str, flags: &[&str]) -> (Value, Option<i32>) {
    let ran = cli(target, &[flags, &["--output=json", "diagnose"]].concat());
    assert_eq!(ran.stderr, "");
    (ran.object(), ran.code)
}

/// Returns the result of each stage.
fn results(diagnosis: &Value) -> Vec<&str> {
    diagnosis["stages"].as_array().unwrap().iter().map(|s| s["result"].as_str().unwrap()).collect()
}

#[test]
fn all_stages_succeed() {
    let daemon = Daemon::start(&["--instance=blue"]);
    let (diagnosis, code) = diagnosed(&daemon.target, &[]);
    assert_eq!((&diagnosis["ok"], code), (&json!(true), Some(0)));
    assert_eq!(results(&diagnosis), ["ok", "ok", "none", "ok", "ok", "ok"]);
    let details = |stage: usize| &diagnosis["stages"][stage]["details"];
    assert_eq!(details(1)["peer"], daemon.address());
    assert_eq!(details(3)["settings"]["max_concurrent_streams"], 200);
    assert_eq!(details(4)["serving"], "SERVING");
    assert_eq!(message(details(5)), DIAGNOSED);
    assert_eq!(details(5)["instance"], "blue");
}

#[test]
fn tls_details_are_reported() {
    let ca = Ca::new("Test CA");
    let daemon = Daemon::with_tls(&ca.sign_files("server"), &[&ca.client_ca_flag()]);
    let [cert, key] = ca.sign_files("client").client_flags();
    let (diagnosis, code) = diagnosed(&daemon.target, &[&ca.ca_cert_flag(), &cert, &key]);
    assert_eq!(code, Some(0), "{diagnosis}");
    let tls = &diagnosis["stages"][2]["details"];
    assert_eq!((&tls["version"], &tls["alpn"]), (&json!("TLS 1.3"), &json!("h2")));
    assert_eq!(tls["certificate"]["subject"], "CN=server");
    assert_eq!(tls["certificate"]["issuer"], "CN=Test CA");
    assert_eq!(tls["certificate"]["names"], json!(LOOPBACK));
    assert_eq!(tls["client_certificate"], "sent");
}

#[test]
fn rejected_certificate_is_shown() {
    let ca = Ca::new("Test CA");
    let server = ca.sign_files_with("server", &LOOPBACK, expired);
    let target = format!("https://{}", serve_tls(tls_config(&server, &[b"h2"])));
    let (diagnosis, code) = diagnosed(&target, &[&ca.ca_cert_flag()]);
    assert_eq!(code, Some(3));
    let expected = ["ok", "ok", "failed", "not_reached", "not_reached", "not_reached"];
    assert_eq!(results(&diagnosis), expected);
    let certificate = &diagnosis["stages"][2]["details"]["certificate"];
    assert_eq!(certificate["not_after"], "2021-01-01T00:00:00Z");
    assert!(certificate["days_left"].as_i64().unwrap() < -1_000);

    let ran = cli(&target, &[&ca.ca_cert_flag(), "diagnose"]);
    assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(3)));
    assert!(ran.stdout.contains("tls     failed"), "{ran:?}");
    assert!(ran.stdout.contains("expired on 2021-01-01T00:00:00Z\n"), "{ran:?}");
    assert!(ran.stdout.contains("\n\nhint: renew the certificate"), "{ran:?}");
}

#[test]
fn diagnosis_continues_after_failed_health_check() {
    let daemon = Daemon::start(&[]);
    let ran = cli(&daemon.target, &["--output=json", "diagnose", "--service=no.Such"]);
    let diagnosis = ran.object();
    assert_eq!(results(&diagnosis), ["ok", "ok", "none", "ok", "failed", "ok"]);
    assert_eq!((&diagnosis["error"]["stage"], ran.code), (&json!("health"), Some(69)));
}

#[test]
fn draining_server_is_not_serving() {
    let mut daemon = Daemon::start(&["--drain-delay=1m"]);
    daemon.drain_until_not_serving();
    let (diagnosis, code) = diagnosed(&daemon.target, &[]);
    assert_eq!(results(&diagnosis)[4..], ["failed", "ok"]);
    assert_eq!(
        (&diagnosis["error"]["cause"], code),
        (&json!("the server is NOT_SERVING"), Some(4))
    );
}

#[test]
fn missing_health_service_is_not_a_failure() {
    let unimplemented = trailers_only(&[("grpc-status", "12")]);
    let address = serve(answer_each(vec![unimplemented, sample_reply()]));
    let (diagnosis, code) = diagnosed(&address, &[]);
    assert_eq!((&results(&diagnosis)[4..], code), (&["none", "ok"][..], Some(0)));
}

#[test]
fn first_failed_stage_determines_exit_code() {
    let (diagnosis, code) = diagnosed(&unused_address(), &[]);
    assert_eq!((&diagnosis["error"]["stage"], code), (&json!("tcp"), Some(3)));
    let (diagnosis, code) = diagnosed("no-such-host.invalid:1", &[]);
    assert_eq!((&diagnosis["error"]["stage"], code), (&json!("dns"), Some(3)));
}

#[test]
fn every_target_has_its_own_timeout() {
    let daemon = Daemon::start(&[]);
    let targets = format!("{},{}", serve(never_reply), daemon.target);
    let ran = cli(&targets, &["--output=json", "--timeout=2s", "diagnose"]);
    let oks: Vec<_> = ran.objects().iter().map(|object| object["ok"] == true).collect();
    assert_eq!((oks, ran.code), (vec![false, true], Some(3)));
}

#[test]
fn diagnosis_is_wrapped_at_columns() {
    let server = format!("https://{}", serve(reply("HTTP/1.1 400 Bad Request\r\n\r\n")));
    let diagnose = |columns: &str| {
        let mut command = command(&["--target", &server, "diagnose"]);
        command.env("COLUMNS", columns);
        run(command).stdout
    };
    let longest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap();
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let without_times = |text: &str| {
        let is_time = |word: &String| word.ends_with("us") || word.ends_with("ms");
        words(text).into_iter().filter(|word| !is_time(word)).collect::<Vec<_>>()
    };
    let whole = diagnose("");
    assert!(longest(&whole) > 80, "a pipe has no width: {whole}");
    let wrapped = diagnose("80");
    assert!(longest(&wrapped) <= 80, "{wrapped}");
    assert_eq!(without_times(&wrapped), without_times(&whole));
    assert!(longest(&diagnose("1")) <= 50, "a minimum of 20 columns remains");
}

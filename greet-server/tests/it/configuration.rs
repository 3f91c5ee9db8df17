//! Configuration: the order of its sources, the file of `--config`, and the place in each error.

use std::collections::BTreeSet;

use clap::Arg;
use greet_testkit::certs::{Ca, IdentityDirectory};
use tempfile::TempDir;

use crate::support::process::{Ran, daemon, run, valid};

/// Creates a directory with a `greet.toml`.
fn directory_with(text: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("greet.toml"), text).unwrap();
    directory
}

pub(crate) fn run_with_file(text: &str, flags: &[&str]) -> Ran {
    let directory = directory_with(text);
    let mut command = daemon(&["--config", "greet.toml"]);
    run(command.args(flags).current_dir(directory.path()))
}

/// Returns the only line on standard error, without the name of the program.
pub(crate) fn error((code, stdout, stderr): Ran) -> String {
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    let line = stderr.strip_prefix("greet-server: ").and_then(|line| line.strip_suffix('\n'));
    let line = line.filter(|line| !line.contains('\n'));
    line.unwrap_or_else(|| panic!("not one line: {stderr}")).to_owned()
}

/// Returns the name and the placeholder of every key.
fn keys() -> Vec<(String, Option<String>)> {
    let command = greet_server::command();
    let flags = command.get_arguments().filter(|flag| flag.get_env().is_some());
    let takes_value = |flag: &&Arg| flag.get_action().takes_values();
    let key = |flag: &Arg| {
        let placeholder = Some(flag).filter(takes_value).and_then(Arg::get_value_names);
        (flag.get_long().unwrap().to_owned(), placeholder.map(|names| names[0].to_string()))
    };
    let keys: Vec<_> = flags.map(key).filter(|(key, _)| key != "config").collect();
    assert!(keys.len() > 30, "{keys:?}");
    keys
}

#[test]
fn flag_wins_over_variable_over_file_over_default() {
    let directory = directory_with("max-streams = 3\ngrpc-web = true\n");
    let values = |flags: &[&str], file: &str, variables: [(&str, &str); 2]| {
        let mut command = daemon(&["--print-config"]);
        command.args(flags).envs(variables).env("GREET_CONFIG", file);
        let (code, printed, stderr) = run(command.current_dir(directory.path()));
        assert_eq!(code, Some(0), "{stderr}");
        let is_tested =
            |line: &&str| line.starts_with("max-streams") || line.starts_with("grpc-web");
        printed.lines().filter(is_tested).map(str::to_owned).collect::<Vec<_>>()
    };
    let unset = [("GREET_MAX_STREAMS", ""), ("GREET_GRPC_WEB", "")];
    let set = [("GREET_MAX_STREAMS", "2"), ("GREET_GRPC_WEB", "false")];
    assert_eq!(values(&[], "", unset), ["grpc-web = false", "max-streams = 200"]);
    assert_eq!(values(&[], "greet.toml", unset), ["grpc-web = true", "max-streams = 3"]);
    assert_eq!(values(&[], "greet.toml", set), ["grpc-web = false", "max-streams = 2"]);
    let flags = ["--max-streams=1", "--grpc-web"];
    assert_eq!(values(&flags, "greet.toml", set), ["grpc-web = true", "max-streams = 1"]);
}

#[cfg(unix)]
#[test]
fn daemon_serves_with_the_values_of_the_file() {
    let directory = directory_with("listen = \"unix:greet.sock\"\nworkers = 1\n");
    let mut command = daemon(&["--config=greet.toml"]);
    command.current_dir(directory.path());
    let (line, code) = crate::support::process::start_and_stop(command);
    assert_eq!((line.as_str(), code), ("listening on unix:greet.sock", Some(0)));
}

#[test]
fn every_flag_is_a_key_of_the_file() {
    let mut file = String::new();
    for (key, placeholder) in keys() {
        let value = match placeholder.as_deref() {
            None => "true",
            Some("N") => "7",
            Some("DUR") => "\"7s\"",
            Some("SIZE") => "77777777",
            Some("ADDR") if key == "listen" => "[\"https://127.0.0.1:77\", \"unix:seven\"]",
            Some("ADDR") => "\"127.0.0.1:7\"",
            Some("FILE") => "\"seven.pem\"",
            Some("AUTH") => "\"optional\"",
            Some("NAME") => "\"seven\"",
            Some("ORIGIN") => "[\"https://seven.example\"]",
            Some("FORMAT") => "\"text\"",
            Some("FILTER") => "\"debug\"",
            Some("RULE") => "[\"delay=7ms@7%\"]",
            Some("CALLS") => "\"all\"",
            Some("URL") if cfg!(not(feature = "otel")) => "\"off\"",
            Some("URL") => "\"http://seven:7\"",
            Some(other) => panic!("add a valid {other} here, for {key}"),
        };
        file.push_str(&format!("{key} = {value}\n"));
    }
    let (code, printed, stderr) = run_with_file(&file, &["--print-config"]);
    assert_eq!(code, Some(0), "{stderr}");
    let set = printed.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(set.collect::<BTreeSet<_>>(), file.lines().collect());
}

#[test]
fn file_accepts_strings_for_numbers_and_lists() {
    let file = "max-streams = \"7\"\nlisten = \"a:1,b:2\"\nreuse-port = false\nworkers = 0x10\n";
    let printed = run_with_file(file, &["--print-config"]).1;
    for line in ["max-streams = 7\n", "listen = [\"a:1\", \"b:2\"]\n", "workers = 16\n"] {
        assert!(printed.contains(line), "{printed}");
    }
}

#[test]
fn invalid_value_in_file_is_reported_with_line_and_column() {
    for (file, expected) in [
        ("# one\n\nmax-streams = 0\n", "3:15: max-streams: 0 is not between 1 and 1000000"),
        (
            "max-in-flight = \"x\"",
            "1:17: max-in-flight: \"x\" is not a whole number between 1 and 1000000",
        ),
        ("workers = true", "1:11: workers: \"true\" is not a whole number between 1 and 1024"),
        ("drain-delay = 5", "1:15: drain-delay: 5 has no unit; did you mean 5s?"),
        ("grpc-web = \"y\\ns\"", "1:12: grpc-web: \"y\\ns\" is neither true nor false"),
        (
            "access-log = \"error\"",
            "1:14: access-log: \"error\" is not one of off, errors, all; did you mean \"errors\"?",
        ),
        ("listen = [\"a:1\", \"b\"]", "1:10: listen: \"b\" is not HOST:PORT or unix:PATH"),
        (
            "listen = \"https://a\"",
            "1:10: listen: \"https://a\" is not http://HOST:PORT or https://HOST:PORT",
        ),
        ("listen = []", "1:10: listen: the value is empty; remove the key instead"),
        ("tls-cert = \"\"", "1:12: tls-cert: the value is empty; remove the key instead"),
        ("workers = [1]", "1:11: workers: expected a string, a number, true or false"),
        ("tls-key = \"k\"", "1:11: tls-key: needs --tls-cert as well"),
    ] {
        assert_eq!(error(run_with_file(file, &[])), format!("greet.toml:{expected}"));
    }
}

#[test]
fn unknown_key_is_rejected_with_the_nearest_key() {
    for (file, expected) in [
        ("max-inflight = 1", "unknown key \"max-inflight\"; did you mean \"max-in-flight\"?"),
        ("Grpc-Web = true", "unknown key \"Grpc-Web\"; did you mean \"grpc-web\"?"),
        ("zebra = 1", "unknown key \"zebra\""),
        ("check = true", "unknown key \"check\""),
        ("config = \"greet.toml\"", "unknown key \"config\""),
    ] {
        assert_eq!(error(run_with_file(file, &[])), format!("greet.toml:1:1: {expected}"));
    }
    let section = "greet.toml:1:2: unknown section \"tls\"; all keys are at the top level";
    assert_eq!(error(run_with_file("[tls]\n", &[])), section);
}

#[test]
fn key_spelt_as_a_variable_is_rejected_with_the_right_key() {
    for (key, _) in keys() {
        let wrong = key.to_uppercase().replace('-', "_");
        let expected = format!("greet.toml:1:1: unknown key {wrong:?}; did you mean {key:?}?");
        assert_eq!(error(run_with_file(&format!("{wrong} = 1\n"), &[])), expected);
    }
}

#[test]
fn invalid_variable_is_reported_by_its_name() {
    for (variable, value, expected) in [
        ("GREET_MAX_STREAMS", "0", "0 is not between 1 and 1000000"),
        ("GREET_GRPC_WEB", "flase", "\"flase\" is neither true nor false"),
        ("GREET_LOG_FORMAT", "xml", "\"xml\" is not one of text, json"),
        ("GREET_TLS_KEY", "key.pem", "needs --tls-cert as well"),
        ("GREET_TLS_CLIENT_AUTH", "required", "needs --tls-client-ca as well"),
    ] {
        let expected = format!("{variable}: {expected}");
        assert_eq!(error(run(daemon(&["--check"]).env(variable, value))), expected);
    }
    // The same value as a flag is the flag's.
    let mut both = daemon(&["--workers=0"]);
    let expected = "--workers: 0 is not between 1 and 1024";
    assert_eq!(error(run(both.env("GREET_WORKERS", "none"))), expected);
}

#[cfg(feature = "otel")]
#[test]
fn password_in_the_url_of_a_collector_is_not_printed() {
    let expected = "--otlp-endpoint: the URL has user information; use OTEL_EXPORTER_OTLP_HEADERS";
    let flags = ["--check", "--otlp-endpoint=http://user:secret@collector:4317"];
    assert_eq!(error(run(&mut daemon(&flags))), expected);
}

#[test]
fn negative_value_is_an_error_of_its_flag() {
    for (flag, value, expected) in [
        ("--fault-seed", "-1", "\"-1\" is not a whole number between 0 and 4294967295"),
        ("--max-streams", "-1", "\"-1\" is not a whole number between 1 and 1000000"),
        ("--max-name-bytes", "-5", "\"-5\" is not a whole number between"),
        ("--drain-timeout", "-1s", "\"-1s\" is not a duration such as 250ms, 5s or 1m"),
        ("--memory-limit", "-1GiB", "\"-1GiB\" is not"),
    ] {
        let message = error(run(&mut daemon(&["--check", flag, value])));
        assert!(message.starts_with(&format!("{flag}: {expected}")), "{message}");
    }
}

#[test]
fn unknown_flag_is_rejected_with_the_nearest_flag() {
    let expected = "unexpected argument '--listne' found; did you mean --listen?";
    assert_eq!(error(run(&mut daemon(&["--listne=a:1"]))), expected);
}

#[test]
fn invalid_toml_is_reported_with_line_and_column() {
    let unclosed = "# one\nworkers = 2\nlisten = [\"a:1\", 'ä' b]\n";
    let message = error(run_with_file(unclosed, &[]));
    assert!(message.starts_with("greet.toml:3:22: "), "{message}");
    let twice = "workers = 2\nworkers = 2\n";
    assert_eq!(error(run_with_file(twice, &[])), "greet.toml:2:1: duplicate key");
}

#[test]
fn unreadable_file_is_reported() {
    let directory = directory_with("");
    let path = directory.path().display().to_string();
    let message = error(run(&mut daemon(&["--config", &path])));
    assert!(message.starts_with(&format!("could not read `{path}`: ")), "{message}");
    let message = error(run(&mut daemon(&["--config=no-such.toml"])));
    assert!(message.starts_with("could not read `no-such.toml`: No such file"), "{message}");
}

#[test]
fn file_size_is_limited() {
    let comment = |bytes: usize| format!("#{}", "x".repeat(bytes - 1));
    assert_eq!(run_with_file(&comment(1024 * 1024), &["--check"]).0, Some(0));
    let message = error(run_with_file(&comment(1024 * 1024 + 1), &["--check"]));
    assert_eq!(message, "`greet.toml` is larger than 1024 KiB");
}

#[test]
fn empty_file_gives_the_defaults() {
    let printed = run(&mut daemon(&["--print-config"]));
    assert_eq!(run_with_file("", &["--print-config"]), printed);
}

#[test]
fn variables_and_flags_unset_what_the_file_sets() {
    let mut file = "admin-listen = \"127.0.0.1:0\"\nmax-connection-age = \"1h\"\ngrpc-web = true\n\
                    cors-origin = [\"https://a.example\"]\nmax-connections-per-ip = 7\n\
                    max-connection-idle = \"1h\"\n"
        .to_owned();
    if cfg!(feature = "otel") {
        file.push_str("otlp-endpoint = \"http://a:1\"\n");
    }
    let directory = directory_with(&file);
    let keys = file.lines().filter_map(|line| line.split(" = ").next());
    let keys = keys.filter(|key| *key != "grpc-web");
    let flags = keys.clone().map(|key| format!("--{key}=off"));
    let variable = |key: &str| format!("GREET_{}", key.to_uppercase().replace('-', "_"));
    let mut by_flags = daemon(&["--config=greet.toml", "--print-config"]);
    by_flags.args(flags).env("GREET_GRPC_WEB", "no");
    let mut by_variables = daemon(&["--config=greet.toml", "--print-config"]);
    by_variables.envs(keys.clone().map(|key| (variable(key), "off"))).env("GREET_GRPC_WEB", "off");
    for mut command in [by_flags, by_variables] {
        let (code, printed, stderr) = run(command.current_dir(directory.path()));
        assert_eq!(code, Some(0), "{stderr}");
        for key in keys.clone() {
            let off = [format!("\n{key} = \"off\"\n"), format!("\n{key} = [\"off\"]\n")];
            assert!(off.iter().any(|line| printed.contains(line)), "{key} in {printed}");
        }
    }
}

#[test]
fn variable_of_a_switch_is_true_or_false() {
    for (given, value) in [("TRUE", "true"), ("1", "true"), ("no", "false"), ("0", "false")] {
        let printed = run(daemon(&["--print-config"]).env("GREET_GRPC_WEB", given)).1;
        assert!(printed.contains(&format!("\ngrpc-web = {value}\n")), "{given}");
    }
}

#[test]
fn address_listed_twice_is_rejected() {
    let flags = ["--listen=127.0.0.1:7,unix:s", "--admin-listen=127.0.0.1:7", "--check"];
    let expected = "--admin-listen: \"127.0.0.1:7\" is listed twice";
    assert_eq!(error(run(&mut daemon(&flags))), expected);
    for twice in ["http://[::1]:7,https://[::1]:7", "http://[::1]:7,[::1]:7"] {
        let expected = "--listen: \"[::1]:7\" is listed twice";
        assert_eq!(error(run(&mut daemon(&["--check", "--listen", twice]))), expected);
    }
    let free = ["--listen=127.0.0.1:0,127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--check"];
    assert_eq!(run(&mut daemon(&free)).0, Some(0));
}

#[test]
fn off_excludes_the_other_values_of_a_list() {
    for (flags, place) in [
        (["--fault=reset,off", "--check"], "--fault"),
        (["--fault=off", "--fault=reset"], "--fault"),
        (["--grpc-web", "--cors-origin=off,https://a.example"], "--cors-origin"),
    ] {
        let expected = format!("{place}: off excludes other values");
        assert_eq!(error(run(&mut daemon(&flags))), expected);
    }
    let expected = "greet.toml:1:9: fault: off excludes other values";
    assert_eq!(error(run_with_file("fault = [\"off\", \"reset\"]", &[])), expected);
}

#[test]
fn https_without_a_certificate_is_rejected() {
    let problem = "\"https://127.0.0.1:7\" needs --tls-cert as well";
    let listen = "http://127.0.0.1:6,https://127.0.0.1:7";
    let by_flag = error(run(&mut daemon(&["--check", "--listen", listen])));
    assert_eq!(by_flag, format!("--listen: {problem}"));
    let by_variable = error(run(daemon(&["--check"]).env("GREET_LISTEN", listen)));
    assert_eq!(by_variable, format!("GREET_LISTEN: {problem}"));
    let file = "listen = [\"http://127.0.0.1:6\", \"https://127.0.0.1:7\"]";
    assert_eq!(error(run_with_file(file, &[])), format!("greet.toml:1:10: listen: {problem}"));
}

#[test]
fn certificate_that_no_listener_uses_is_a_warning() {
    let files = IdentityDirectory::new(&Ca::new("Greet Test CA").sign_serial(1));
    let [cert, key] = files.server_flags();
    let warning = "--tls-cert: not used, because every --listen is http:// or unix:";
    for (listen, is_unused) in [
        ("http://127.0.0.1:6", true),
        ("http://127.0.0.1:6,unix:s", true),
        ("http://127.0.0.1:6,127.0.0.1:7", false),
        ("unix:s,https://127.0.0.1:7", false),
    ] {
        let (code, _, stderr) = run(&mut daemon(&["--check", &cert, &key, "--listen", listen]));
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(stderr.contains(warning), is_unused, "{listen}: {stderr}");
    }
    let mut by_variable = daemon(&["--check", &key, "--listen=unix:s"]);
    let stderr = run(by_variable.env("GREET_TLS_CERT", &cert["--tls-cert=".len()..])).2;
    assert!(stderr.contains("greet-server: GREET_TLS_CERT: not used"), "{stderr}");
}

#[test]
fn admin_address_with_https_is_rejected() {
    let check = |address: &str| run(&mut daemon(&["--check", "--admin-listen", address]));
    let expected = "--admin-listen: \"https://127.0.0.1:7\" needs TLS, but the admin server is \
                    plain HTTP; use http://";
    assert_eq!(error(check("https://127.0.0.1:7")), expected);
    assert_eq!(check("http://127.0.0.1:7").0, Some(0));
}

#[test]
fn unknown_variable_is_a_warning() {
    let mut command = daemon(&["--check"]);
    command.env("GREET_MAX_STREAM", "7").env("GREET_TARGET", "localhost:50051");
    let warning = "GREET_MAX_STREAM: unknown environment variable, ignored; did you mean \
                   GREET_MAX_STREAMS?";
    let expected = format!("greet-server: {warning}\n{}", valid());
    assert_eq!(run(&mut command), (Some(0), String::new(), expected));
}

#[cfg(all(feature = "otel", unix))]
#[test]
fn unusable_opentelemetry_endpoint_does_not_stop_the_daemon() {
    let mut command = daemon(&["--listen=127.0.0.1:0"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector");
    let (line, code) = crate::support::process::start_and_stop(command);
    assert!(line.starts_with("listening on "), "{line}");
    assert_eq!(code, Some(0));
}

#[test]
fn help_fits_80_columns() {
    for (flag, columns) in [("-h", None), ("--help", None), ("-h", Some("200")), ("-h", Some("80"))]
    {
        let mut command = daemon(&[flag]);
        command.envs(columns.map(|columns| ("COLUMNS", columns)));
        let help = run(&mut command).1;
        assert!(help.contains("\nExit codes:\n"), "{help}");
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

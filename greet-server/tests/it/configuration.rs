//! The file of `--config`: what it may say, what wins over it, and how it is told what is wrong.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::daemon::daemon;

pub(crate) type Said = (Option<i32>, String, String);

pub(crate) fn said(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A directory with `greet.toml` in it.
fn holding(text: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("greet.toml"), text).unwrap();
    directory
}

pub(crate) fn with_file(text: &str, flags: &[&str]) -> Said {
    let directory = holding(text);
    let mut command = daemon(&["--config", "greet.toml"]);
    said(command.args(flags).current_dir(directory.path()))
}

/// Every line on standard error, without the name of the program.
pub(crate) fn complaints((code, stdout, stderr): Said) -> Vec<String> {
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    let lines = stderr.lines().map(|line| line.strip_prefix("greet-server: ").expect(line));
    lines.map(str::to_owned).collect()
}

/// Name and placeholder of every flag that can be a key, as help has them.
fn keys() -> Vec<(String, Option<String>)> {
    let help = said(&mut daemon(&["-h"])).1;
    let (_, below) = help.split_once("\nListening:\n").unwrap();
    let flags = below.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    let key = |flag: &str| {
        let (typed, _) = flag.split_once("  ").unwrap();
        match typed.split_once(" <") {
            Some((name, placeholder)) => {
                (name.to_owned(), Some(placeholder.trim_end_matches('>').to_owned()))
            }
            None => (typed.to_owned(), None),
        }
    };
    let keys: Vec<_> = flags.map(key).collect();
    assert!(keys.len() > 30, "{keys:?}");
    keys
}

#[test]
fn a_flag_wins_over_its_variable_which_wins_over_the_file_which_wins_over_the_default() {
    let directory = holding("max-streams = 3\ngrpc-web = true\n");
    let run = |flags: &[&str], file: &str, variables: [(&str, &str); 2]| {
        let mut command = daemon(&["--print-config"]);
        command.args(flags).envs(variables).env("GREET_CONFIG", file);
        let (code, printed, told) = said(command.current_dir(directory.path()));
        assert_eq!(code, Some(0), "{told}");
        let of_interest = ["max-streams", "grpc-web"];
        let lines =
            printed.lines().filter(|line| of_interest.iter().any(|it| line.starts_with(it)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (unset, set) = (
        [("GREET_MAX_STREAMS", ""), ("GREET_GRPC_WEB", "")],
        [("GREET_MAX_STREAMS", "2"), ("GREET_GRPC_WEB", "false")],
    );
    assert_eq!(run(&[], "", unset), ["grpc-web = false", "max-streams = 200"]);
    assert_eq!(run(&[], "greet.toml", unset), ["grpc-web = true", "max-streams = 3"]);
    assert_eq!(run(&[], "greet.toml", set), ["grpc-web = false", "max-streams = 2"]);
    let flags = ["--max-streams=1", "--grpc-web"];
    assert_eq!(run(&flags, "greet.toml", set), ["grpc-web = true", "max-streams = 1"]);
}

#[cfg(unix)]
#[test]
fn the_daemon_runs_with_what_the_file_says() {
    let directory = holding("listen = \"unix:greet.sock\"\nworkers = 1\n");
    let mut command = daemon(&["--config=greet.toml"]);
    command.current_dir(directory.path());
    let (line, _, code) = crate::daemon::one_life(command);
    assert_eq!((line.as_str(), code), ("listening on unix:greet.sock\n", Some(0)));
}

#[test]
fn every_flag_is_a_key_and_what_the_file_says_holds() {
    let mut file = String::new();
    for (key, placeholder) in keys() {
        let value = match placeholder.as_deref() {
            None => "true",
            Some("N") => "7",
            Some("DUR") => "\"7s\"",
            Some("ADDR") if key == "listen" => "[\"127.0.0.1:77\", \"unix:seven\"]",
            Some("ADDR") => "\"127.0.0.1:7\"",
            Some("FILE") => "\"seven.pem\"",
            Some("AUTH") => "\"optional\"",
            Some("NAME") => "\"seven\"",
            Some("ORIGIN") => "[\"https://seven.example\"]",
            Some("FORMAT") => "\"text\"",
            Some("FILTER") => "\"debug\"",
            Some("CALLS") => "\"all\"",
            Some("URL") => "\"http://seven:7\"",
            Some(other) => panic!("say here what a good {other} is, for {key}"),
        };
        file.push_str(&format!("{key} = {value}\n"));
    }
    let (code, printed, told) = with_file(&file, &["--print-config"]);
    assert_eq!(code, Some(0), "{told}");
    let held = printed.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(held.collect::<Vec<_>>(), file.lines().collect::<Vec<_>>());
}

#[test]
fn a_number_may_be_text_and_a_list_one_string() {
    let file =
        "max-streams = \"7\"\nlisten = \"a:1,b:2\"\nreuse-port = false\nmax-name-bytes = 0\n";
    let printed = with_file(file, &["--print-config"]).1;
    for line in ["max-streams = 7\n", "listen = [\"a:1\", \"b:2\"]\n", "max-name-bytes = 0\n"] {
        assert!(printed.contains(line), "{printed}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    let file =
        "max-inflight = 1\nmax_streams = 1\nGrpc-Web = true\nzebra = 1\ncheck = true\n[tls]\n";
    assert_eq!(
        complaints(with_file(file, &[])),
        [
            "`greet.toml`: unknown key \"Grpc-Web\"; did you mean \"grpc-web\"?",
            "`greet.toml`: unknown key \"check\"",
            "`greet.toml`: unknown key \"max-inflight\"; did you mean \"max-in-flight\"?",
            "`greet.toml`: unknown key \"max_streams\"; did you mean \"max-streams\"?",
            "`greet.toml`: there is no section \"tls\": all keys stand at the top",
            "`greet.toml`: unknown key \"zebra\"",
        ]
    );
}

#[test]
fn a_key_spelled_as_a_variable_is_told_its_right_spelling() {
    let keys: Vec<_> = keys().into_iter().map(|(key, _)| key).collect();
    let shouted = |key: &String| key.to_uppercase().replace('-', "_");
    let file = keys.iter().map(|key| format!("{} = 1\n", shouted(key))).collect::<String>();
    let told = complaints(with_file(&file, &[]));
    for key in &keys {
        let wrong = shouted(key);
        let line = format!("`greet.toml`: unknown key {wrong:?}; did you mean {key:?}?");
        assert!(told.contains(&line), "{line}\n{told:#?}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_each_with_the_place_it_came_from() {
    let directory = holding(
        "max-streams = 0\nmax-in-flight = \"x\"\ngrpc-web = \"y\\ns\"\ninstance = 1.5\ntls-key = \"k\"\n\
         max-name-bytes = true\nlisten = [1]\nlog-level = \"\"\ndrain-delay = 5\nno-key = 1\nworkers = 0\n",
    );
    let mut command = daemon(&["--config=greet.toml", "--access-log=some", "--max-streams=many"]);
    command.env("GREET_DRAIN_TIMEOUT", "later").env("GREET_WORKERS", "none");
    let told = complaints(said(command.current_dir(directory.path())));
    assert_eq!(
        told,
        [
            "`greet.toml`: grpc-web: \"\"\" y s\"\"\" is not true or false",
            "`greet.toml`: instance: 1.5 is not a string",
            "`greet.toml`: listen: [1] is not a string or an array of strings",
            "`greet.toml`: log-level: \"\" is not a value: leave the key out instead",
            "`greet.toml`: max-name-bytes: true is not a whole number",
            "`greet.toml`: unknown key \"no-key\"",
            "GREET_WORKERS (--workers): \"none\" is not a whole number from 1 to 1024",
            "`greet.toml`: tls-key: `k` needs --tls-cert too",
            "`greet.toml`: max-in-flight: \"x\" is not a whole number from 1 to 1000000",
            "--max-streams (GREET_MAX_STREAMS): \"many\" is not a whole number from 1 to 1000000",
            "`greet.toml`: drain-delay: \"5\" is not a duration such as 250ms, 5s or 1m, at most 1day",
            "GREET_DRAIN_TIMEOUT (--drain-timeout): \"later\" is not a duration such as 250ms, 5s or 1m, \
             at most 1day",
            "--access-log (GREET_ACCESS_LOG): \"some\" is not off, errors or all",
        ]
    );
}

#[test]
fn a_file_that_is_no_toml_is_told_in_a_line_with_the_place() {
    let told = complaints(with_file("# one\nworkers = 2\nlisten = [\"a:1\", 'ä' b]\n", &[]));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("`greet.toml`: line 3, column 22: "), "{told:?}");
    let told = complaints(with_file("workers = 2\nworkers = 2\n", &["--max-streams=0"]));
    assert_eq!(told[0], "`greet.toml`: line 2, column 1: duplicate key");
    assert_eq!(told.len(), 2, "the flag's problem is told too: {told:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_told_in_a_line() {
    let directory = holding("");
    let path = directory.path().display();
    let told = complaints(said(&mut daemon(&["--config", &path.to_string()])));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with(&format!("could not read `{path}`: ")), "{told:?}");
    let told = complaints(said(&mut daemon(&["--config=no-such.toml"])));
    assert!(told[0].starts_with("could not read `no-such.toml`: No such file"), "{told:?}");
}

#[test]
fn an_empty_file_is_the_defaults() {
    let printed = said(&mut daemon(&["--print-config"]));
    assert_eq!(with_file("", &["--print-config"]), printed);
}

#[test]
fn what_a_file_turns_on_can_be_turned_off_by_a_variable_or_a_flag() {
    let file = "admin-listen = \"127.0.0.1:0\"\nmax-connection-age = \"1h\"\ngrpc-web = true\n\
                cors-origin = [\"https://a.example\"]\nmax-connections-per-ip = 7\n\
                max-connection-idle = \"1h\"\notlp-endpoint = \"http://a:1\"\n";
    let directory = holding(file);
    let lines: Vec<_> = file.lines().filter_map(|line| line.split(" = ").next()).collect();
    let off = lines.iter().filter(|key| **key != "grpc-web");
    let flags = off.clone().map(|key| format!("--{key}=off"));
    let variables =
        off.map(|key| (format!("GREET_{}", key.to_uppercase().replace('-', "_")), "off"));
    let mut by_flags = daemon(&["--config=greet.toml", "--check"]);
    by_flags.args(flags).env("GREET_GRPC_WEB", "no");
    let mut by_variables = daemon(&["--config=greet.toml", "--check"]);
    by_variables.envs(variables).env("GREET_GRPC_WEB", "off");
    for mut command in [by_flags, by_variables] {
        let (code, _, told) = said(command.current_dir(directory.path()));
        assert_eq!(code, Some(0), "{told}");
    }
}

#[test]
fn a_switch_is_true_or_false_and_a_typing_error_turns_nothing_on() {
    for (given, held) in [("TRUE", "true"), ("1", "true"), ("no", "false"), ("0", "false")] {
        let printed = said(daemon(&["--print-config"]).env("GREET_GRPC_WEB", given)).1;
        assert!(printed.contains(&format!("\ngrpc-web = {held}\n")), "{given}");
    }
    let (code, _, told) = said(daemon(&["--check"]).env("GREET_GRPC_WEB", "flase"));
    let expected = "error: GREET_GRPC_WEB: \"flase\" is neither true nor false\n";
    assert_eq!((code, told.as_str()), (Some(2), expected));
}

#[test]
fn an_address_twice_is_refused_before_the_system_does() {
    let flags = ["--listen=127.0.0.1:7,unix:s", "--admin-listen=127.0.0.1:7", "--check"];
    let expected = "--listen (GREET_LISTEN): \"127.0.0.1:7\" is there twice";
    assert_eq!(complaints(said(&mut daemon(&flags))), [expected]);
    let free = ["--listen=127.0.0.1:0,127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--check"];
    assert_eq!(said(&mut daemon(&free)).0, Some(0));
}

/// As large as it may be, and one byte more; what is in it is one comment.
#[test]
fn a_file_has_a_limit() {
    let comment = |bytes: usize| format!("#{}", "x".repeat(bytes - 1));
    assert_eq!(with_file(&comment(1024 * 1024), &["--check"]).0, Some(0));
    let told = complaints(with_file(&comment(1024 * 1024 + 1), &["--check"]));
    assert_eq!(told, ["`greet.toml` is over 1024 KiB: no configuration of ours"]);
}

//! Completions, man page and help.

use std::process::{Command, Stdio};

use crate::support::{command, run};

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(command(&["completions", shell]));
        assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(0)));
        assert!(ran.stdout.contains("json-from"), "{shell}");
    }
    assert_eq!(run(command(&["completions", "csh"])).code, Some(2));
}

#[test]
fn bash_completes_commands_and_flags() {
    let script = run(command(&["completions", "bash"])).stdout;
    let completed = |words: &str, last: &str, before: &str| {
        let check = format!(
            "eval \"$1\"; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _greet__cli greet-cli {last} {before}; echo \"${{COMPREPLY[*]}}\""
        );
        let mut bash = Command::new("bash");
        let output = bash.args(["-c", &check, "bash", &script]).stderr(Stdio::null()).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert_eq!(completed("greet-cli hea", "hea", "greet-cli"), "health\n");
    assert_eq!(completed("greet-cli call --js", "--js", "call"), "--json --json-from\n");
    assert_eq!(
        completed("greet-cli call grpc.health.v1.Health/C", "grpc.health.v1.Health/C", "call"),
        "grpc.health.v1.Health/Check\n"
    );
    assert_eq!(completed("greet-cli load --fai", "--fai", "load"), "--fail-if\n");
    assert_eq!(completed("greet-cli completions b", "b", "completions"), "bash\n");
    let commands = completed("greet-cli ''", "''", "greet-cli");
    assert!(
        commands.ends_with("call health diagnose load ping completions man errors help\n"),
        "{commands}"
    );
    assert_eq!(completed("greet-cli --retr", "--retr", "greet-cli"), "--retries --retry-on\n");
    let statuses = "UNKNOWN UNIMPLEMENTED UNAVAILABLE UNAUTHENTICATED\n";
    assert_eq!(completed("greet-cli --retry-on UN", "UN", "--retry-on"), statuses);
    assert_eq!(completed("greet-cli --timeout /", "/", "--timeout"), "/\n", "no files");
}

#[test]
fn fish_script_offers_values_and_no_files() {
    let script = run(command(&["completions", "fish"])).stdout;
    let lines = |part: &str| script.lines().filter(|line| line.contains(part)).count();
    assert_eq!(lines("-n \"__fish_greet_cli_using_subcommand completions\" -a \"bash elvish "), 1);
    // Before the subcommand and after each of them.
    let places = commands().len();
    assert_eq!([lines("-l retry-on "), lines("UNAVAILABLE\\t''")], [places; 2]);
    assert_eq!(lines("-r -f -a \"always\\t''") + lines("-r -f -a \"auto\\t''"), places);
    assert!(script.lines().filter(|line| line.contains("-l timeout")).all(|it| it.ends_with("-f")));
    assert!(script.ends_with("complete -c greet-cli -f\n"));
    assert_eq!(script.matches("    or return 0\n").count(), 1, "clap_complete has changed");
}

#[test]
fn man_page_has_every_command_and_flag() {
    let ran = run(command(&["man"]));
    assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(0)));
    let page = ran.stdout.replace('\\', "");
    for part in [
        "GREET-CLI CALL",
        "json-from",
        "ca-cert",
        "64 + n",
        "GREET_TARGET",
        "SSLKEYLOGFILE",
        "no_proxy",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("Skip the verification").count(), 1, "a global flag is listed once");
}

#[test]
fn errors_fit_80_columns_and_have_json() {
    let text = run(command(&["errors"])).stdout;
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(
        text.contains("\n3     tcp    could not connect to PEER: connection refused\n"),
        "{text}"
    );
    let object = run(command(&["errors", "--output=json"])).object();
    let errors = object["errors"].as_array().unwrap();
    assert_eq!(text.matches("hint: ").count(), errors.len());
    let last = &errors[errors.len() - 1];
    assert_eq!((&last["stage"], &last["exit_code"]), (&"rpc".into(), &80.into()));
}

/// Returns the commands with a help text; the first is the program itself.
fn commands() -> Vec<Vec<String>> {
    let command = greet_cli::command();
    let names = command.get_subcommands().map(|command| vec![command.get_name().to_owned()]);
    [Vec::new()].into_iter().chain(names).collect()
}

#[test]
fn help_fits_80_columns() {
    for (arguments, flag) in commands().iter().flat_map(|it| [(it, "-h"), (it, "--help")]) {
        for columns in ["", "80", "200"] {
            let mut command = command(&[flag]);
            command.args(arguments).env("COLUMNS", columns);
            let help = run(command).stdout;
            assert!(help.contains("Usage: "), "{help}");
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
            }
        }
    }
    let all = run(command(&["--help"])).stdout;
    let listed = all.split_once("Commands:\n").unwrap().1.lines();
    let listed =
        listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("  help "));
    assert_eq!(listed.count(), commands().len() - 1, "{all}");
}

#[test]
fn version_is_that_of_the_build() {
    let expected = format!("greet-cli {}\n", greet_flags::product::version());
    assert_eq!(run(command(&["--version"])).stdout, expected);
}

#[test]
fn help_starts_with_examples() {
    for arguments in commands() {
        let mut command = command(&[]);
        command.args(&arguments).arg("-h");
        let help = run(command).stdout;
        let [examples, usage] = ["Examples:", "Usage:"].map(|part| help.find(part).unwrap());
        assert!(examples < usage, "{arguments:?}");
    }
}

//! Completions, man page and help.

use std::process::{Command, Stdio};

use crate::support::{command, run};

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(command(&["completions", shell]));
        assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(0)));
        assert!(ran.stdout.contains("names-from"), "{shell}");
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
    assert_eq!(completed("greet-cli hel", "hel", "greet-cli"), "hello help\n");
    assert_eq!(completed("greet-cli hello --na", "--na", "hello"), "--name --names-from\n");
    assert_eq!(completed("greet-cli load --fai", "--fai", "load"), "--fail-if\n");
    assert_eq!(completed("greet-cli completions b", "b", "completions"), "bash\n");
}

#[test]
fn man_page_has_every_command_and_flag() {
    let ran = run(command(&["man"]));
    assert_eq!((ran.stderr.as_str(), ran.code), ("", Some(0)));
    let page = ran.stdout.replace('\\', "");
    for part in
        ["GREET-CLI HELLO", "GREET-CLI DIAGNOSE", "names-from", "ca-cert", "64 + n", "GREET_TARGET"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("Do not verify the server").count(), 1, "a global flag is listed once");
}

#[test]
fn help_starts_with_examples() {
    for verb in [&["--help"][..], &["hello", "--help"], &["health", "-h"], &["diagnose", "-h"]] {
        let help = run(command(verb)).stdout;
        let [examples, usage] = ["Examples:", "Usage:"].map(|part| help.find(part).unwrap());
        assert!(examples < usage, "{verb:?}");
    }
}

//! `--check` and `--print-config`: what they report without serving.

use std::io::Write as _;
use std::process::Stdio;

use greet_testkit::certs::{Ca, IdentityDirectory};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::configuration::{error, run_with_file};
use crate::support::process::{daemon, run, valid};

#[test]
fn printed_config_has_effective_values_and_comments_for_unset_keys() {
    let printed = run(&mut daemon(&["--print-config", "--workers=3", "--instance=7"])).1;
    for line in [
        "workers = 3\n",
        "max-connections = ",
        "log-format = \"json\"\n",
        "instance = \"7\"\n",
        "admin-listen = \"off\"\n",
        "# tls-cert = \"FILE\"  # not set\n",
    ] {
        assert!(printed.contains(&format!("\n{line}")), "{printed}");
    }
    let command = greet_server::command();
    for line in printed.lines().filter_map(|line| line.strip_suffix("  # not set")) {
        let key = line.strip_prefix("# ").and_then(|line| line.split(' ').next());
        let mut flags = command.get_arguments();
        let flag = flags.find(|flag| flag.get_long() == key).expect("a key is a flag");
        assert!(flag.get_default_values().is_empty(), "{line}");
    }
}

/// As in `greet-server --print-config | greet-server --check --config /dev/stdin`.
#[cfg(unix)]
#[test]
fn printed_config_can_be_read_and_prints_the_same() {
    let files = IdentityDirectory::new(&Ca::new("Greet Test CA").sign_serial(1));
    let listen = "--listen=a:1,https://a:2,http://a:3,unix:b";
    let flags = ["--print-config", listen, "--instance=\"\\ '", "--grpc-web"];
    let (_, printed, stderr) = run(daemon(&flags).args(files.server_flags()));
    let listen = "listen = [\"a:1\", \"https://a:2\", \"http://a:3\", \"unix:b\"]\n";
    assert!(printed.contains(listen), "{stderr}");
    let piped = |flag: &str| {
        let mut command = daemon(&["--config=/dev/stdin", flag]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(printed.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let checked = piped("--check");
    assert_eq!(String::from_utf8(checked.stderr).unwrap(), valid());
    assert_eq!((checked.status.code(), checked.stdout.len()), (Some(0), 0));
    assert_eq!(String::from_utf8(piped("--print-config").stdout).unwrap(), printed);
}

#[test]
fn example_file_is_current_and_its_values_are_the_defaults() {
    let example = greet_server::config::example(&greet_server::command());
    let file = include_str!("../../../deploy/greet.example.toml");
    assert!(file == example, "out of date; run: cargo xtask docs");
    let defaults = example.lines().filter_map(|line| {
        let (key, value) = line.strip_prefix("# ")?.split_once(" = ")?;
        (!key.contains(' ') && !value.ends_with("  # not set"))
            .then(|| format!("{key} = {value}\n"))
    });
    let defaults: String = defaults.collect();
    assert_eq!(run_with_file(&defaults, &["--check"]), (Some(0), String::new(), valid()));
    let printed = |file| run_with_file(file, &["--print-config"]).1;
    assert_eq!(printed(&defaults), printed(""));
}

#[test]
fn check_rejects_unusable_tls_files() {
    let ca = Ca::new("Greet Test CA");
    let (identity, another) = (ca.sign_serial(1), ca.sign_serial(2));
    let files = IdentityDirectory::new(&identity);
    let check = |more: &[&str]| {
        let [cert, key] = files.server_flags();
        run(daemon(&["--check", &cert, &key]).args(more))
    };
    assert_eq!(check(&[]), (Some(0), String::new(), valid()));

    let message = error(check(&["--tls-client-ca=no-such.pem"]));
    assert!(message.starts_with("could not read `no-such.pem`: "), "{message}");

    let key = files.put("key.pem", &another.key_pem);
    let cert = files.path("cert.pem").display().to_string();
    let mismatch = format!("the key in `{key}` does not match the certificate in `{cert}`");
    assert_eq!(error(check(&[])), mismatch);

    let section = "ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    files.put("key.pem", &format!("-----BEGIN {section}"));
    let message = error(check(&[]));
    assert!(message.contains("has no usable private key: it is encrypted"), "{message}");

    files.put("cert.pem", "no PEM");
    let no_pem =
        "has no usable certificate: it is not PEM: it has no line -----BEGIN CERTIFICATE-----";
    assert_eq!(error(check(&[])), format!("`{cert}` {no_pem}"));
}

/// The daemon serves it, with the same warning.
#[test]
fn check_warns_of_an_expired_certificate() {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2021, 1, 1);
    let key = KeyPair::generate().unwrap();
    let files = IdentityDirectory::new(&Ca::new("Greet Test CA").sign_serial(1));
    let cert = files.put("cert.pem", &params.self_signed(&key).unwrap().pem());
    files.put("key.pem", &key.serialize_pem());
    let [cert_flag, key_flag] = files.server_flags();
    let (code, stdout, stderr) = run(&mut daemon(&["--check", &cert_flag, &key_flag]));
    assert_eq!((code, stdout.as_str()), (Some(0), ""));
    let warning = format!("greet-server: `{cert}`: the certificate has expired\n");
    assert_eq!(stderr, warning + &valid());
}

#[test]
fn memory_limit_decides_on_the_memory_and_the_connections() {
    let (code, _, stderr) = run(&mut daemon(&["--check", "--memory-limit=256MiB"]));
    assert_eq!(code, Some(0));
    let memory = "greet-server: at most about 408.0 MiB of memory, 256.0 MiB of it for peers\n";
    assert!(stderr.starts_with(memory), "{stderr}");

    let printed = run(&mut daemon(&["--print-config", "--memory-limit=8MiB"])).1;
    assert!(printed.contains("\nmemory-limit = 8388608\n"), "{printed}");
    assert!(printed.contains("\nmax-connections = 240\n"), "4 MiB of 17 KiB each: {printed}");
    let message = error(run(&mut daemon(&["--check", "--memory-limit=8388607"])));
    let expected = "--memory-limit: \"8388607\" is not a size of at least 8.0 MiB, such as 256MiB";
    assert_eq!(message, expected);
}

#[test]
fn log_filter_without_a_level_is_rejected() {
    for filter in ["inof=", "info,", "=debug", "h2=loud"] {
        let forms = "error, warn, info, debug, trace or off, or pairs such as h2=debug";
        let flag = format!("--log-level={filter}");
        let expected = format!("--log-level: {filter:?} is not {forms}");
        assert_eq!(error(run(&mut daemon(&["--check", &flag]))), expected);
        assert_eq!(error(run(&mut daemon(&["--listen=127.0.0.1:0", &flag]))), expected);
    }
}

#[test]
fn check_shows_fault_rules_and_rejects_unknown_methods() {
    let rules = "--fault=delay=50ms@10%,SayHello:reset";
    let shown = |seed: &str| {
        let rules = "delay=50ms@10%,SayHello:reset";
        format!("greet-server: injects faults into calls: {rules} ({seed})\n{}", valid())
    };
    let checked = run(&mut daemon(&["--check", rules]));
    assert_eq!(checked, (Some(0), String::new(), shown("a random seed")));
    let checked = run(&mut daemon(&["--check", rules, "--fault-seed=7"]));
    assert_eq!(checked, (Some(0), String::new(), shown("seed 7")));

    let expected = "--fault: \"SayHellos\" is not a method; did you mean greet.Greeter/SayHello?";
    for flags in [
        ["--check", "--fault=SayHellos:reset"],
        ["--listen=127.0.0.1:0", "--fault=SayHellos:reset"],
    ] {
        assert_eq!(error(run(&mut daemon(&flags))), expected);
    }
    let problem = expected.strip_prefix("--fault: ").unwrap();
    let by_variable = error(run(daemon(&["--check"]).env("GREET_FAULT", "SayHellos:reset")));
    assert_eq!(by_variable, format!("GREET_FAULT: {problem}"));
    let by_file = error(run_with_file("\nfault = [\"SayHellos:reset\"]", &["--check"]));
    assert_eq!(by_file, format!("greet.toml:2:9: fault: {problem}"));
    let expected = "--fault: \"ServerReflectionInfo\" is not unique: \
                    grpc.reflection.v1.ServerReflection/ServerReflectionInfo, \
                    grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
    let ambiguous = ["--check", "--fault=ServerReflectionInfo:reset"];
    assert_eq!(error(run(&mut daemon(&ambiguous))), expected);
    let rules = |rules| format!("--fault={}", vec!["reset@1%"; rules].join(","));
    assert_eq!(run(&mut daemon(&["--check", &rules(100)])).0, Some(0));
    let over = "--fault: 101 rules are over the limit of 100";
    assert_eq!(error(run(&mut daemon(&["--check", &rules(101)]))), over);
    let invalid = ["--check", "--fault=reset@10"];
    assert_eq!(
        error(run(&mut daemon(&invalid))),
        "--fault: \"reset@10\": 10 has no unit; did you mean 10%?"
    );
}

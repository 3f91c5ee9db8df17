//! The example of a configuration file: every key of the daemon's, made from its help, so that none can
//! be missing or wrong.

/// Where it stands.
pub(crate) const EXAMPLE: &str = "deploy/greet.example.toml";

/// Help's first heading whose flags are keys; those above are about the process.
const FIRST_HEADING: &str = "Listening:";

const HEAD: &str = "\
# Configuration of greet-server: every key, its meaning and its default. Written by `cargo xtask docs`.
#
#     greet-server --config greet.toml            # or GREET_CONFIG=greet.toml
#     greet-server --config greet.toml --check
#
# A flag wins over its variable, a variable over this file, the file over the default. Relative paths
# start at the working directory, as on the command line. The file is read once: SIGHUP reads
# certificates again, not this.
";

/// All of it, from `greet-server -h`.
pub(crate) fn file(help: &str) -> String {
    let mut text = HEAD.to_owned();
    let keys = help.lines().skip_while(|line| *line != FIRST_HEADING);
    for line in keys.take_while(|line| *line != "Exit codes:") {
        if let Some(flag) = line.trim_start().strip_prefix("--") {
            text.push_str(&key(flag));
        } else if let Some(heading) = line.strip_suffix(':') {
            text.push_str(&format!("\n## {heading}\n"));
        }
    }
    text
}

/// `NAME <PLACEHOLDER>  MEANING [default: in words] [env: VARIABLE] [default: VALUE]`
fn key(flag: &str) -> String {
    let (typed, meaning) = flag.split_once("  ").unwrap_or((flag, ""));
    let (name, placeholder) = typed.split_once(" <").unwrap_or((typed, ""));
    let placeholder = placeholder.trim_end_matches('>');
    let (meaning, behind) = meaning.split_once("[env: ").unwrap_or((meaning, ""));
    let (meaning, in_words) = cut_default(meaning);
    let value = match (placeholder, cut_default(behind).1) {
        ("", _) => "false".to_owned(),
        ("N", Some(default)) => default.to_owned(),
        (_, Some(default)) => format!("{default:?}"),
        (_, None) => format!("{placeholder:?}  # {}", in_words.unwrap_or("not set")),
    };
    format!("\n# {}\n# {name} = {value}\n", meaning.trim())
}

/// What stands before `[default: …]`, and what in it.
fn cut_default(text: &str) -> (&str, Option<&str>) {
    match text.trim_end().strip_suffix(']').and_then(|text| text.split_once("[default: ")) {
        Some((before, default)) => (before, Some(default)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_becomes_a_key_with_its_default() {
        let help = "Options:\n  -h, --help  Print help\n\nConfiguration:\n      --check  Look\n\n\
                    Listening:\n      \
                    --listen <ADDR>  Where [env: GREET_LISTEN] [default: [::]:1]\n      \
                    --workers <N>    Threads [default: the cores] [env: GREET_WORKERS]\n      \
                    --reuse-port     Share [env: GREET_REUSE_PORT]\n\n\
                    Limits:\n      \
                    --most <N>       Calls [env: GREET_MOST] [default: 7]\n      \
                    --ca <FILE>      Who [env: GREET_CA]\n\n\
                    Exit codes:\n  0  stopped\n";
        assert_eq!(
            file(help).strip_prefix(HEAD).unwrap(),
            "\n## Listening\n\
             \n# Where\n# listen = \"[::]:1\"\n\
             \n# Threads\n# workers = \"N\"  # the cores\n\
             \n# Share\n# reuse-port = false\n\
             \n## Limits\n\
             \n# Calls\n# most = 7\n\
             \n# Who\n# ca = \"FILE\"  # not set\n"
        );
    }
}

//! `completions` and `man`, made from the definition of the flags, and `errors`, made from the types of the
//! errors.

use std::io::Write as _;

use clap_complete::Shell;

use crate::error::{CallError, ConnectError, RpcError};
use crate::exit::Exit;
use crate::output::Stdout;

pub(crate) async fn completions(
    mut command: clap::Command,
    shell: Shell,
    stdout: &mut Stdout,
) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "greet-cli", &mut script);
    let script = String::from_utf8(script)?;
    // For bash it writes the hyphen in two ways, and then finds no flag of a command (clap-rs/clap#6421).
    stdout.text(script.replace("greet__subcmd__cli", "greet__cli").as_bytes());
    stdout.flush().await?;
    Ok(Exit::Done)
}

/// One page: the commands with their own flags, then the flags that go with all of them.
pub(crate) async fn man(command: clap::Command, stdout: &mut Stdout) -> anyhow::Result<Exit> {
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        render_verb(verb, &mut text)?;
    }
    page.render_options_section(&mut text)?;
    page.render_extra_section(&mut text)?;
    page.render_version_section(&mut text)?;
    stdout.text(&text);
    stdout.flush().await?;
    Ok(Exit::Done)
}

fn render_verb(verb: &clap::Command, text: &mut Vec<u8>) -> anyhow::Result<()> {
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    writeln!(text, ".SH \"GREET\\-CLI {}\"\n{about}.", verb.get_name().to_uppercase())?;
    let mut flags = Vec::new();
    // Its own flags only: the others stand once, at the end.
    let verb = verb.clone().disable_help_flag(true);
    clap_mangen::Man::new(verb.clone()).render_options_section(&mut flags)?;
    let flags = String::from_utf8(flags)?;
    text.write_all(flags.replace(".SH OPTIONS", ".SS Options").as_bytes())?;
    if let Some(examples) = verb.get_before_help() {
        let examples = examples.to_string().replace('\\', "\\e").replace('-', "\\-");
        let (heading, lines) = examples.split_once('\n').unwrap_or(("Examples:", &examples));
        writeln!(text, ".SS {}\n.nf\n{lines}\n.fi", heading.trim_end_matches(':'))?;
    }
    Ok(())
}

pub(crate) async fn errors(stdout: &mut Stdout) -> anyhow::Result<Exit> {
    let connecting = ConnectError::examples().into_iter().map(CallError::from);
    let calling = RpcError::examples().into_iter().map(CallError::from);
    stdout.text(b"| stage | what it says | hint | exit code |\n|---|---|---|---|\n");
    for failure in connecting.chain(calling) {
        let stage = failure.stage().name();
        let (cause, hint, code) = (failure.cause(), failure.hint(), failure.exit().code());
        stdout.text(format!("| {stage} | `{cause}` | {hint} | {code} |\n").as_bytes());
    }
    stdout.flush().await?;
    Ok(Exit::Done)
}

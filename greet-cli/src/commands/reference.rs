//! `completions` and `man`, generated from the definition of the flags, and `errors`, generated from the
//! types of the errors.

use clap_complete::Shell;

use crate::documentation;
use crate::error::{CallError, ConnectError, RpcError};
use crate::exit::Exit;
use crate::output::Stdout;

pub(crate) async fn completions(
    command: &clap::Command,
    shell: Shell,
    stdout: &mut Stdout,
) -> anyhow::Result<Exit> {
    stdout.text(documentation::completions(command, shell)?.as_bytes());
    stdout.flush().await?;
    Ok(Exit::Done)
}

pub(crate) async fn man(command: &clap::Command, stdout: &mut Stdout) -> anyhow::Result<Exit> {
    stdout.text(&documentation::man_page(command, &documentation::VARIABLES)?);
    stdout.flush().await?;
    Ok(Exit::Done)
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

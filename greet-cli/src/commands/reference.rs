//! `completions` and `man`: generated from the definition of the command line.

use clap_complete::Shell;

use crate::documentation;
use crate::exit::Exit;
use crate::output::Data;

pub(super) async fn completions(shell: Shell, data: &mut Data) -> anyhow::Result<Exit> {
    data.text(documentation::completions(&crate::command(), shell)?.as_bytes());
    data.flush().await?;
    Ok(Exit::Done)
}

pub(super) async fn man(data: &mut Data) -> anyhow::Result<Exit> {
    data.text(&documentation::man_page(&crate::command(), &documentation::VARIABLES)?);
    data.flush().await?;
    Ok(Exit::Done)
}

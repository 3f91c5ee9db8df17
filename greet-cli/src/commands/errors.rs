//! The table of `docs/errors.md`: what is told apart, the line and the hint for it, the exit code.

use crate::error::{CallFailed, Failure, NotConnected};
use crate::exit::Exit;
use crate::output::Data;

pub(crate) async fn run(data: &mut Data) -> anyhow::Result<Exit> {
    let connecting = NotConnected::examples().into_iter().map(Failure::from);
    let calling = CallFailed::examples().into_iter().map(Failure::from);
    data.text(b"| stage | what it says | hint | exit code |\n|---|---|---|---|\n");
    for failure in connecting.chain(calling) {
        let stage = failure.stage().name();
        let (cause, hint, code) = (failure.cause(), failure.hint(), failure.exit().code());
        data.text(format!("| {stage} | `{cause}` | {hint} | {code} |\n").as_bytes());
    }
    data.flush().await?;
    Ok(Exit::Done)
}

//! Prints the causes of forced closes as a Markdown table, for `docs/limits.md`.

use std::io::Write as _;

use greet_server::CloseReason;

fn main() -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "| cause | what happened | what the peer sees |\n|---|---|---|")?;
    for cause in CloseReason::ALL {
        let (name, meaning, peer_sees) = (cause.name(), cause.meaning(), cause.peer_sees());
        writeln!(stdout, "| `{name}` | {meaning} | {peer_sees} |")?;
    }
    Ok(())
}

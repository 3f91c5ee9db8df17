//! Prints every metric as a Markdown table, for `docs/metrics.md`.

use std::io::Write as _;

use greet_server::telemetry::metrics::FAMILIES;

fn main() -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "| metric | kind | labels | what it says |\n|---|---|---|---|")?;
    for family in FAMILIES {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (family.name(), family.kind_name(), labels.join(", "));
        writeln!(stdout, "| `{name}` | {kind} | {labels} | {} |", family.help)?;
    }
    Ok(())
}

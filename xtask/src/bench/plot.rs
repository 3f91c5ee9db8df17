//! `docs/benchmarks.svg`: the CPU time of a call, a bar for each server and shape, on a logarithmic
//! scale because the servers differ by two powers of ten.

use std::fmt::Write as _;

use super::figures::Figures;
use super::peers::Peer;

const WIDTH: f64 = 860.0;
const LABELS: f64 = 190.0;
const BAR: f64 = 13.0;
const GAP: f64 = 3.0;
const GROUP_GAP: f64 = 26.0;

pub(super) fn svg(figures: &Figures) -> String {
    let cpu = figures.shapes.iter().flat_map(|table| &table.rows);
    let cpu = cpu.map(|row| row.median(|sample| sample.cpu_us_per_call));
    let (least, most) = cpu.fold((f64::MAX, 0.0_f64), |(a, b), it| (a.min(it), b.max(it)));
    let (from, to) = ((least / 2.0).log10(), most.log10());
    let x = |us: f64| LABELS + (WIDTH - LABELS - 60.0) * (us.log10() - from) / (to - from);
    let mut bars = String::new();
    let mut y = 34.0;
    for table in &figures.shapes {
        let _ =
            write!(bars, r#"<text class="shape" x="4" y="{}">{}</text>"#, y, table.shape.name());
        y += 8.0;
        for row in &table.rows {
            let us = row.median(|sample| sample.cpu_us_per_call);
            let is_ours = matches!(row.peer, Peer::Greet | Peer::GreetGuided);
            let class = if is_ours { "ours" } else { "theirs" };
            let (middle, end) = (y + BAR - 3.0, x(us));
            let _ = write!(
                bars,
                r#"<text x="{}" y="{middle}" text-anchor="end">{}</text><rect class="{class}" x="{LABELS}" y="{y}" width="{:.1}" height="{BAR}"/><text x="{:.1}" y="{middle}">{us:.1}</text>"#,
                LABELS - 6.0,
                row.peer.name(),
                end - LABELS,
                end + 5.0,
            );
            bars.push('\n');
            y += BAR + GAP;
        }
        y += GROUP_GAP;
    }
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" role="img" aria-label="CPU time of a call in microseconds, by server and shape, logarithmic">
<style>text{{font:11px system-ui,sans-serif;fill:#333}}.shape,.title{{font-weight:600;font-size:13px}}.ours{{fill:#c2410c}}.theirs{{fill:#94a3b8}}@media(prefers-color-scheme:dark){{text{{fill:#ddd}}}}</style>
<text class="title" x="4" y="16">CPU time of a call, us (logarithmic; less is better)</text>
{bars}</svg>
"#
    )
}

//! The HTML reports of `greet-cli load` in Chromium: their figures, plots, colors and widths.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::harness::chromium;
use crate::harness::command::capture;
use crate::harness::daemon::Daemon;
use crate::harness::programs::{Programs, target_directory};
use crate::harness::tools;

/// Long enough for ten sections, so that a comparison has verdicts.
const LOAD: [&str; 5] = ["load", "Health/Check", "--rate=500", "--duration=2s", "--warm-up=0s"];
/// Minimum contrast of a text to its background (WCAG 2.2, level AA).
const MIN_CONTRAST: f64 = 4.5;
/// A desktop and a telephone: scheme, its number in Chromium, luminance of the background, width.
const VIEWS: [(&str, u8, RangeInclusive<f64>, u32); 2] =
    [("light", 1, 0.8..=1.0, 1000), ("dark", 0, 0.0..=0.1, 400)];

/// Leaves the message of the first error in an attribute. The page has no event handlers of its own.
const ERRORS: &str = r#"<script>
addEventListener("error", event => document.documentElement.dataset.error ??= event.message);
console.error = message => document.documentElement.dataset.error ??= message;
</script>"#;
const MEASURE: &str = include_str!("load_report.js");

pub(crate) fn run(programs: &Programs) -> anyhow::Result<String> {
    tools::chromium()?;
    let directory = target_directory()?.join("e2e");
    fs::create_dir_all(&directory)?;
    let path = |name: &str| directory.join(name);
    let daemon = Daemon::start(programs, &["--listen=127.0.0.1:0"])?;
    // Returns the report of a run, and its page.
    let measure = |arguments: &[&str], page: &Path| -> anyhow::Result<(Value, String)> {
        let mut client = programs.client(&daemon.target, &["--output=json"]);
        client.args(arguments).arg("--html").arg(page);
        let printed = capture(&mut client)?.stdout;
        Ok((serde_json::from_str(&printed).context(printed)?, fs::read_to_string(page)?))
    };

    let baseline = path("load-baseline.json");
    let (report, page) = measure(&LOAD, &path("load-plain.html"))?;
    fs::write(&baseline, report.to_string())?;
    let mut contrast = check(&path("load-plain.html"), &page, &report, 3)?;

    let stepped = path("load-steps.html");
    // With one call at a time the second rate is not sustained.
    let range =
        ["load", "Health/Check", "--rate=50..40000", "--step=39950", "--hold=1s", "--warm-up=0s"];
    let (report, page) = measure(&[&range[..], &["--concurrency=1"]].concat(), &stepped)?;
    ensure!(report["steps"][1]["is_sustained"] == false, "{}", report["steps"]);
    contrast = contrast.min(check(&stepped, &page, &report, 4)?);
    let (report, page) = without_latency_of_last_step(report, &page)?;
    contrast = contrast.min(check(&stepped, &page, &report, 4)?);

    let flag = format!("--baseline={}", baseline.display());
    let rules = ["--fail-if=p50>+1000000%", "--fail-if=p99.9>+10%"];
    let compared = path("load-compared.html");
    let (report, page) = measure(&[&LOAD[..], &[&flag], &rules].concat(), &compared)?;
    contrast = contrast.min(check(&compared, &page, &report, 3)?);

    let failed = path("load-failed.html");
    let unknown = ["load", "Health/Check", r#"--json={"service": "no.Such"}"#, "--count=10"];
    let (report, page) = measure(&unknown, &failed)?;
    // There are rates, and no latency.
    contrast = contrast.min(check(&failed, &page, &report, 1)?);
    daemon.stop_cleanly()?;
    Ok(format!("5 reports, light and dark, 1000 and 400 pixels wide, contrast {contrast} or more"))
}

/// Returns a report whose last step has no call that ended OK, and its page.
fn without_latency_of_last_step(mut report: Value, page: &str) -> anyhow::Result<(Value, String)> {
    const START: &str = r#"type="application/json">"#;
    report["steps"][1]["latency_us"] = Value::Null;
    report["steps"][1]["lateness_us"] = Value::Null;
    let (head, rest) = page.split_once(START).context("the page has no report")?;
    let (_, tail) = rest.split_once("</script>").context("the report has no end")?;
    let text = report.to_string().replace('<', "\\u003c");
    Ok((report, format!("{head}{START}{text}</script>{tail}")))
}

/// Opens a page in each view, and returns the lowest contrast of a text.
fn check(path: &Path, page: &str, report: &Value, plots: usize) -> anyhow::Result<f64> {
    let page = page.replacen("<head>", &format!("<head>{ERRORS}"), 1);
    let page = page.replacen("</body>", &format!("<script>{MEASURE}</script></body>"), 1);
    fs::write(path, page)?;
    let mut lowest = f64::INFINITY;
    for (scheme, setting, luminance, width) in VIEWS {
        let flags = [
            format!("--window-size={width},2400"),
            format!("--blink-settings=preferredColorScheme={setting}"),
            format!("--screenshot={}", path.with_extension(format!("{scheme}.png")).display()),
        ];
        let url = format!("file://{}", path.display());
        let shown = chromium::elements(&flags.each_ref().map(String::as_str), &url)?;
        let view = format!("{} ({scheme}, {width} pixels)", path.display());
        check_elements(&shown, report, plots).with_context(|| view.clone())?;
        let number = |attribute| number(&shown, attribute);
        let (contrast, background, overflow) =
            (number("contrast")?, number("luminance")?, number("overflow")?);
        let text = attribute(&shown, "weakest").unwrap_or_default();
        ensure!(contrast >= MIN_CONTRAST, "{view}: contrast {contrast} of '{text}'");
        ensure!(luminance.contains(&background), "{view}: background {background}");
        ensure!(overflow <= 0.0, "{view}: {overflow} pixels wider than the window");
        lowest = lowest.min(contrast);
    }
    Ok(lowest)
}

/// Compares the elements of a page with its report.
fn check_elements(shown: &str, report: &Value, plots: usize) -> anyhow::Result<()> {
    if let Some(error) = attribute(shown, "error") {
        anyhow::bail!("the script failed: {error}");
    }
    ensure!(number(shown, "plots")? == plots as f64, "not {plots} plots");
    let percentiles = rows(shown, "Percentiles");
    if let Some(latency) = report["latency_us"].as_object() {
        for (key, value) in latency {
            let name = key.replacen('_', ".", 1);
            let row = percentiles.iter().find(|row| row[0] == name).context(name.clone())?;
            let micros = value.as_f64().unwrap_or_default().round().to_string();
            ensure!(row[2].replace('\u{202f}', "") == micros, "{name}: {row:?}, not {micros}");
        }
    } else {
        ensure!(percentiles.is_empty(), "there are no percentiles: {percentiles:?}");
    }
    let steps = rows(shown, "Steps");
    let expected = report["steps"].as_array().context("no steps")?;
    ensure!(steps.len() == expected.len(), "{steps:?}");
    for (row, step) in steps.iter().zip(expected) {
        ensure!(
            row[0].replace('\u{202f}', "").parse().ok() == step["rate_per_s"].as_f64(),
            "{row:?}"
        );
        let is_sustained = step["is_sustained"] == true;
        ensure!(row[8].starts_with(if is_sustained { "sustained" } else { "not " }), "{row:?}");
    }
    let compared = rows(shown, "Comparison with the baseline");
    let changes = report["baseline"]["changes"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(compared.len() == if changes.is_empty() { 0 } else { changes.len() + 1 });
    for (row, change) in compared.iter().zip(changes) {
        let verdict = change["verdict"].as_str().unwrap_or_default().replace('_', " ");
        ensure!(row[0] == change["metric"].as_str().unwrap_or_default(), "{row:?}");
        ensure!(row[4].ends_with(&verdict), "{row:?} is not {verdict}");
    }
    // p99, p50, the rate and the curve of percentiles, and a sample beside the name in both plots.
    let lines = shown.matches(r#"class="line before""#).count();
    ensure!(lines == if changes.is_empty() { 0 } else { 6 }, "{lines} lines of the baseline");
    Ok(())
}

/// Returns the cells of the table with a caption, row by row.
fn rows(shown: &str, caption: &str) -> Vec<Vec<String>> {
    let table = shown.split_once(&format!("<caption>{caption}</caption>"));
    let body = table.and_then(|(_, rest)| rest.split_once("<tbody>")).map_or("", |(_, body)| body);
    let body = body.split("</tbody>").next().unwrap_or_default();
    let rows = body.split("</tr>").filter(|row| row.contains("<th"));
    rows.map(|row| row.split("<t").skip(2).map(text).collect()).collect()
}

/// Returns the text of an element whose tag has no beginning.
fn text(element: &str) -> String {
    let pieces = element.split('<').filter_map(|piece| piece.split_once('>'));
    pieces.map(|(_, text)| text.replace("&nbsp;", " ")).collect()
}

/// Returns an attribute `data-NAME` of the root element.
fn attribute(shown: &str, name: &str) -> Option<String> {
    let root = shown.split_once("<html")?.1.split_once('>')?.0;
    let value = root.split_once(&format!("data-{name}=\""))?.1;
    Some(value.split('"').next()?.to_owned())
}

fn number(shown: &str, name: &str) -> anyhow::Result<f64> {
    let value = attribute(shown, name).with_context(|| format!("no attribute data-{name}"))?;
    value.parse().with_context(|| format!("data-{name}: {value}"))
}

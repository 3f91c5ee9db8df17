//! Reads the baseline of a load test: the report of an earlier one with an equal load.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::figures::{Figures, IntervalReport, PercentilePoint, SCHEMA};

/// Maximum size of a baseline, which is kept in memory; a report has less than 200 kB.
const MAX_BASELINE_BYTES: u64 = 16 * 1024 * 1024;

/// An earlier report.
#[derive(Debug)]
pub(crate) struct Baseline {
    pub(super) file: String,
    pub(super) report: BaselineReport,
}

/// The part of an earlier report that the report of a comparison repeats.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BaselineReport {
    pub(super) started: String,
    version: String,
    targets: Vec<String>,
    measured_us: u64,
    #[serde(flatten)]
    pub(super) figures: Figures,
    percentiles: Vec<PercentilePoint>,
    intervals: Vec<IntervalReport>,
    pub(super) generator: Generator,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Generator {
    /// The reason that greet-cli may have been the limit.
    pub(super) bottleneck: Option<String>,
}

/// The keys of a report that have to be equal. A server has other figures under another load.
#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct Load {
    pub(super) method: String,
    #[serde(rename = "loop")]
    pub(super) loop_name: String,
    pub(super) rate_per_s: Option<f64>,
    pub(super) arrivals: Option<String>,
    pub(super) concurrency: u32,
    pub(super) connections: u32,
}

impl Baseline {
    /// Reads a report and compares its load with `load`.
    ///
    /// # Errors
    /// The file is not readable, not a report of `load`, or the report of another load.
    pub(crate) fn read(path: &Path, load: &Load) -> anyhow::Result<Baseline> {
        let file = path.display().to_string();
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BASELINE_BYTES + 1).read_to_end(&mut bytes))
            .with_context(|| format!("could not read `{file}`"))?;
        let report = parse(&bytes, load).with_context(|| format!("`{file}`"))?;
        Ok(Baseline { file, report })
    }
}

fn parse(bytes: &[u8], load: &Load) -> anyhow::Result<BaselineReport> {
    let length = bytes.len() as u64;
    ensure!(length <= MAX_BASELINE_BYTES, "longer than {MAX_BASELINE_BYTES} bytes");
    let report: Value =
        serde_json::from_slice(bytes).context("not what `greet-cli --output json load` printed")?;
    match report["schema"].as_str() {
        Some(SCHEMA) => {}
        Some(other) => bail!("its schema is {other}, not {SCHEMA}"),
        None => bail!("not what `greet-cli --output json load` printed: it has no schema"),
    }
    let version = report["version"].as_str().unwrap_or("unknown").to_owned();
    let incomplete = || format!("the report of greet-cli {version} cannot be compared");
    let measured = Load::deserialize(&report).with_context(incomplete)?;
    let differences = measured.differences(load);
    ensure!(differences.is_empty(), "the report of another load: {}", differences.join("; "));
    let has_steps = report["steps"].as_array().is_some_and(|steps| !steps.is_empty());
    ensure!(!has_steps, "a load test of a range of rates (--rate A..B) cannot be compared");
    let report = BaselineReport::deserialize(&report).with_context(incomplete)?;
    ensure!(report.figures.latency_us.is_some(), "no call ended OK in this run");
    Ok(report)
}

impl Load {
    /// Returns a text such as `concurrency 10, not 100` for each difference.
    fn differences(&self, now: &Load) -> Vec<String> {
        let texts = |load: &Load| {
            let rate = load.rate_per_s.map_or("none".to_owned(), |rate| rate.to_string());
            [
                ("method", load.method.clone()),
                ("loop", load.loop_name.clone()),
                ("rate", rate),
                ("arrivals", load.arrivals.clone().unwrap_or("none".to_owned())),
                ("concurrency", load.concurrency.to_string()),
                ("connections", load.connections.to_string()),
            ]
        };
        let pairs = texts(self).into_iter().zip(texts(now)).filter(|(one, other)| one != other);
        pairs.map(|((key, baseline), (_, now))| format!("{key} {baseline}, not {now}")).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::load::summary::Summary;

    /// Returns a baseline with the figures of `summary`.
    pub(in crate::load) fn baseline(summary: &Summary) -> Baseline {
        let report = BaselineReport {
            started: "2026-11-27T18:00:00Z".to_owned(),
            version: String::new(),
            targets: Vec::new(),
            measured_us: 0,
            figures: Figures::of(summary),
            percentiles: Vec::new(),
            intervals: Vec::new(),
            generator: Generator { bottleneck: None },
        };
        Baseline { file: "old.json".to_owned(), report }
    }

    #[test]
    fn longer_baseline_than_maximum_is_rejected() {
        let load = Load {
            method: String::new(),
            loop_name: String::new(),
            rate_per_s: None,
            arrivals: None,
            concurrency: 1,
            connections: 1,
        };
        let error = |length: u64| {
            let bytes = vec![b' '; usize::try_from(length).unwrap()];
            parse(&bytes, &load).unwrap_err().to_string()
        };
        assert!(error(MAX_BASELINE_BYTES).starts_with("not what "));
        assert_eq!(error(MAX_BASELINE_BYTES + 1), "longer than 16777216 bytes");
    }
}

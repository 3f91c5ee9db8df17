//! Runs a load test and reports throughput and latency. Each worker has its own thread, runtime,
//! connections and counters, and sends its counts to the aggregator ten times per second.

mod baseline;
mod bottleneck;
mod by_target;
mod callers;
mod capacity;
mod comparison;
mod figures;
mod metric;
mod outcome;
mod page;
mod plan;
mod recorder;
mod render;
mod report;
pub(crate) mod run;
mod schedule;
mod search;
mod steps_text;
mod summary;
mod thresholds;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use self::baseline::Baseline;
pub(crate) use self::capacity::Capacity;
pub(crate) use self::comparison::Comparison;
pub(crate) use self::outcome::Outcome;
pub(crate) use self::page::page;
pub(crate) use self::plan::{Arrivals, LoadInputs, Plan, Rate, RateRange, Shape, Until};
pub(crate) use self::recorder::Histogram;
pub(crate) use self::render::TextReport;
pub(crate) use self::report::report;
pub(crate) use self::thresholds::{Judgement, Threshold};
use crate::method::Method;

/// The options of `load`.
#[derive(Debug)]
pub(crate) struct LoadOptions {
    pub(crate) method: Arc<dyn Method>,
    pub(crate) inputs: LoadInputs,
    pub(crate) shape: Shape,
    pub(crate) thresholds: Vec<Threshold>,
    /// The rule for which to find the highest rate.
    pub(crate) find: Option<Threshold>,
    /// The report of an earlier load test.
    pub(crate) baseline: Option<PathBuf>,
    /// The file for the HTML report.
    pub(crate) html: Option<PathBuf>,
}

//! A load test: many calls at a time or at a rate, from a thread for each core, and what they took.
//!
//! A worker shares nothing with another: it has a runtime, connections and counters of its own, and
//! sends what it counted ten times a second to the one place where all is added up.

mod plan;
mod recorder;
mod render;
mod report;
pub(crate) mod run;
mod schedule;
mod summary;
mod thresholds;
mod worker;

use std::path::PathBuf;

pub(crate) use self::plan::{LoadNames, Plan, Shape, Until};
pub(crate) use self::render::TextReport;
pub(crate) use self::report::{LoadReport, page};
pub(crate) use self::summary::Summary;
pub(crate) use self::thresholds::{Threshold, exit};

/// What `load` is asked to do.
#[derive(Debug)]
pub(crate) struct LoadOptions {
    pub(crate) names: LoadNames,
    pub(crate) shape: Shape,
    pub(crate) thresholds: Vec<Threshold>,
    /// The file for the page with plots.
    pub(crate) html: Option<PathBuf>,
}

//! A load test: many calls at a time or at a rate, from a thread for each core, and what they took.
//!
//! A worker shares nothing with another: it has a runtime, connections and counters of its own, and
//! sends what it counted ten times a second to the one place where all is added up.

mod cpu;
mod figures;
mod histogram;
mod html;
mod pace;
mod plan;
mod recorder;
mod report;
pub(crate) mod test;
mod text;
mod threshold;
mod worker;

use std::path::PathBuf;

pub(crate) use figures::Figures;
pub(crate) use html::page;
pub(crate) use plan::{NameSource, Plan, Shape, Until};
pub(crate) use report::LoadReport;
pub(crate) use text::Text;
pub(crate) use threshold::{Threshold, exit};

/// What `load` is asked to do.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) names: NameSource,
    pub(crate) shape: Shape,
    pub(crate) thresholds: Vec<Threshold>,
    /// The file for the page with plots.
    pub(crate) html: Option<PathBuf>,
}

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

pub(crate) use figures::Figures;
pub(crate) use html::page;
pub(crate) use plan::{NameSource, Options, Plan, Shape, Until};
pub(crate) use report::LoadReport;
pub(crate) use text::Text;
pub(crate) use threshold::{Threshold, exit};

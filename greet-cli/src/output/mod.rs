//! The only room that prints. Standard output is data, standard error is prose.

mod data;
mod progress;
mod prose;

pub(crate) use data::{Data, Written};
pub(crate) use prose::Prose;

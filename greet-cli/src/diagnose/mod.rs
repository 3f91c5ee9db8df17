//! The whole way of a call, stage by stage, with what was found in each.

mod details;
mod findings;
mod table;

pub(crate) use findings::Diagnosis;

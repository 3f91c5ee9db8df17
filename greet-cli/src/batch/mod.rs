//! Many calls: names as they come, so many at a time, replies in the order of the names.

mod calls;
pub(crate) mod interrupt;
mod lines;
mod names;
mod printer;
mod tally;

pub(crate) use calls::Batch;
pub(crate) use lines::BYTE_ORDER_MARK;
pub(crate) use names::Names;

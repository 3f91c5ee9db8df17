//! Many calls: names as they come, so many at a time, replies in the order of the names.

mod calls;
pub(crate) mod interrupt;
mod ordered_output;
mod source;
mod tally;

pub(crate) use self::calls::Bulk;
pub(crate) use self::source::{BYTE_ORDER_MARK, NameSource, Names};

/// What `hello` is asked to do.
#[derive(Debug)]
pub(crate) struct BulkOptions {
    pub(crate) source: NameSource,
    pub(crate) concurrency: usize,
    pub(crate) connections: usize,
    pub(crate) fail_fast: bool,
    /// Counts the replies of each server.
    pub(crate) with_tally: bool,
}

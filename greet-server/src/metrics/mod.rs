//! What the daemon counts, and how whoever keeps it running reads it.

pub(crate) mod calls;
pub(crate) mod exposition;
mod families;
mod histogram;
pub(crate) mod observed;
mod process;

pub use families::{FAMILIES, Family, Kind};

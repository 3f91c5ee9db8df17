//! Certificates, raw HTTP/2, message framing and bounded waiting for the tests of all crates.
//!
//! Nothing here shares code with the programs under test.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod blocking_peer;
pub mod certs;
pub mod framing;
pub mod http2;
#[cfg(feature = "tokio")]
mod raw_peer;
mod wait;

pub use blocking_peer::BlockingPeer;
#[cfg(feature = "tokio")]
pub use raw_peer::RawPeer;
pub use wait::{TEST_TIMEOUT, poll_until, repeat_for};
#[cfg(feature = "tokio")]
pub use wait::{eventually, with_timeout};

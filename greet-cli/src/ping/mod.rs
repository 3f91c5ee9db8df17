//! Calls targets at a fixed interval and reports outages: `ping`, for a rollout or a failover. Calls
//! start on time whether or not earlier ones have ended (an open loop), so that a call that hangs
//! hides no other.

mod outage;
mod record;
mod render;
mod report;
mod run;
mod start_times;
mod state;

pub(crate) use self::render::failures;
pub(crate) use self::state::{Ping, PingOptions};

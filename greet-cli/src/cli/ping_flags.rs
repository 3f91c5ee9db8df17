//! Flags of `ping`.

use std::num::NonZeroU64;
use std::time::Duration;

use greet_flags::values::{duration, text, timeout};

use super::call_flags::{MethodParser, single_request};
use super::values::count;
use crate::method::JsonMethod;
use crate::ping::PingOptions;

/// Ten calls in an outage of a second, and no load for a server.
const DEFAULT_INTERVAL: &str = "100ms";
/// The resolution of the runtime's timers; `load --rate` makes more calls per second.
const MIN_INTERVAL: Duration = Duration::from_millis(1);
/// Maximum calls in flight to a target: more are typing errors, and would exhaust memory.
const MAX_IN_FLIGHT: u128 = 10_000;

#[derive(Debug, clap::Args)]
pub(crate) struct PingArgs {
    /// Time between the starts of calls to a target
    #[arg(long, value_name = "DUR", default_value = DEFAULT_INTERVAL, value_parser = interval)]
    interval: Duration,

    /// Number of calls to each target [default: until interrupted]
    #[arg(long, value_name = "N", value_parser = count)]
    count: Option<NonZeroU64>,

    /// Time in which calls start, instead of a number of calls
    #[arg(long, value_name = "DUR", conflicts_with = "count", value_parser = timeout)]
    duration: Option<Duration>,

    /// Unary method to call: package.Service/Method, or a unique end of it
    #[arg(value_name = "METHOD", value_parser = MethodParser, hide_possible_values = true)]
    method: Option<JsonMethod>,

    /// Request in the JSON mapping of protobuf [default: {}]
    #[arg(long, value_name = "JSON")]
    json: Option<String>,
}

impl PingArgs {
    /// Fails with the place and the reason if the request is not valid, or if calls that hang until
    /// their timeout are too many.
    pub(crate) fn options(self, timeout: Duration) -> Result<PingOptions, String> {
        let PingArgs { interval, count, duration, method, json } = self;
        let in_flight = timeout.as_nanos().div_ceil(interval.as_nanos());
        if in_flight > MAX_IN_FLIGHT {
            return Err(format!(
                "--interval: {} and a --timeout of {} are up to {in_flight} calls in flight; \
                 the limit is {MAX_IN_FLIGHT}",
                text(interval),
                text(timeout)
            ));
        }
        let until = duration.map(|it| it.as_nanos().div_ceil(interval.as_nanos()));
        let until = until.map(|calls| u64::try_from(calls).unwrap_or(u64::MAX));
        let calls = count.map(NonZeroU64::get).or(until).unwrap_or(u64::MAX);
        let (method, _, body) = single_request(method, json)?;
        Ok(PingOptions { method, body, interval, calls })
    }
}

fn interval(given: &str) -> Result<Duration, String> {
    let interval = duration(given)?;
    if interval < MIN_INTERVAL {
        return Err(format!("{given} is not at least {}", text(MIN_INTERVAL)));
    }
    Ok(interval)
}

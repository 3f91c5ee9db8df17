//! Values that parse themselves, each with the form that is expected.

use std::ffi::OsStr;
use std::num::NonZeroU64;
use std::time::Duration;

use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};
use greet_proto::status::code_from_name;
use rustls::pki_types::ServerName;
use tonic::Code;

/// Beyond a day a duration is a typing error, and arithmetic on it stays far from overflow.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn duration(given: &str) -> Result<Duration, String> {
    match humantime::parse_duration(given) {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        _ => Err("expected a duration such as 250ms, 5s or 1m, at most 1day".to_owned()),
    }
}

/// A duration that leaves time for something to happen.
pub(super) fn timeout(given: &str) -> Result<Duration, String> {
    match duration(given)? {
        Duration::ZERO => Err("expected a duration above zero".to_owned()),
        timeout => Ok(timeout),
    }
}

/// Calls a second; beyond a hundred million it is a typing error.
pub(super) fn rate(given: &str) -> Result<f64, String> {
    match given.parse::<f64>() {
        Ok(rate) if (0.001..=1e8).contains(&rate) => Ok(rate),
        _ => Err("expected calls a second, such as 20000 or 0.5".to_owned()),
    }
}

/// Parses the name of a status that is a failure, in either case and with `-` for `_`.
pub(super) fn status_code(given: &str) -> Result<Code, String> {
    let name = given.trim().to_ascii_uppercase().replace('-', "_");
    let code = code_from_name(&name).filter(|code| *code != Code::Ok);
    code.ok_or_else(|| "expected a status such as UNAVAILABLE or RESOURCE_EXHAUSTED".to_owned())
}

pub(super) fn server_name(given: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(given.to_owned());
    name.map_err(|_| "expected a host's name or an address, as certificates have it".to_owned())
}

/// What a variable says of a flag without a value. A word that is neither is refused: a typing error must
/// not turn anything on.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoolFlag;

impl TypedValueParser for BoolFlag {
    type Value = bool;

    fn parse_ref(
        &self,
        command: &Command,
        flag: Option<&Arg>,
        given: &OsStr,
    ) -> Result<bool, Error> {
        BoolishValueParser::new().parse_ref(command, flag, given).map_err(|_| {
            let variable = flag.and_then(Arg::get_env).unwrap_or_default().display();
            let problem = format!("{variable}: {given:?} is neither true nor false\n");
            Error::raw(ErrorKind::InvalidValue, problem)
        })
    }
}

/// How often; zero times is not at all.
pub(super) fn count(given: &str) -> Result<NonZeroU64, String> {
    given.parse().map_err(|_| "expected a whole number from 1 on".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_needs_unit_and_has_maximum() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1day"), Ok(MAX_DURATION));
        for bad in ["", "5", "-1s", "soon", "2days"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(timeout("0s").is_err());
    }

    #[test]
    fn rate_is_positive_and_bounded() {
        assert_eq!(rate("20000"), Ok(20_000.0));
        assert_eq!(rate("0.5"), Ok(0.5));
        for bad in ["", "0", "-1", "NaN", "inf", "1e9", "20k"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn retryable_status_is_parsed_by_name_and_not_ok() {
        assert_eq!(status_code("unavailable"), Ok(Code::Unavailable));
        assert_eq!(status_code(" resource-exhausted"), Ok(Code::ResourceExhausted));
        assert!(status_code("OK").is_err());
        assert!(status_code("14").is_err());
    }
}

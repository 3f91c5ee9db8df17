//! Value parsers. Each accepts the text of a flag or a variable, and its errors quote the value and
//! state the expected form.

use std::ffi::OsStr;
use std::fmt::Display;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command, Error};
use greet_proto::status;
use rustls::pki_types::ServerName;
use tonic::Code;

/// A longer duration is a typing error; arithmetic on a day is far from overflow.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// A higher rate is a typing error.
const RATES: RangeInclusive<f64> = 0.001..=1e8;

pub(super) fn duration(given: &str) -> Result<Duration, String> {
    match humantime::parse_duration(given) {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        Ok(_) => Err(format!("{given} is longer than 1day")),
        Err(_) if is_number(given) => Err(format!("{given} has no unit; did you mean {given}s?")),
        Err(_) => Err(format!("{given:?} is not a duration such as 250ms, 5s or 1m")),
    }
}

/// Parses a duration above zero.
pub(super) fn timeout(given: &str) -> Result<Duration, String> {
    match duration(given)? {
        Duration::ZERO => Err(format!("{given} is not above zero")),
        timeout => Ok(timeout),
    }
}

pub(super) fn number<N>(range: RangeInclusive<N>) -> impl Fn(&str) -> Result<N, String> + Clone
where
    N: FromStr + PartialOrd + Display + Clone,
{
    move |given| {
        let (min, max) = (range.start(), range.end());
        match given.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ if is_number(given) => Err(format!("{given} is not in {min}..={max}")),
            _ => Err(format!("{given:?} is not a whole number in {min}..={max}")),
        }
    }
}

fn is_number(given: &str) -> bool {
    !given.is_empty() && given.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn count(given: &str) -> Result<NonZeroU64, String> {
    given.parse().map_err(|_| format!("{given:?} is not a whole number above zero"))
}

/// Parses calls per second.
pub(super) fn rate(given: &str) -> Result<f64, String> {
    let rate = given.parse().ok().filter(|rate| RATES.contains(rate));
    rate.ok_or_else(|| {
        format!("{given:?} is not a number of calls per second such as 20000 or 0.5")
    })
}

/// Parses the name of an error status. Completion scripts offer the names.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatusParser;

impl TypedValueParser for StatusParser {
    type Value = Code;

    fn parse_ref(
        &self,
        command: &Command,
        flag: Option<&Arg>,
        given: &OsStr,
    ) -> Result<Code, Error> {
        status_code.parse_ref(command, flag, given)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue>>> {
        let codes = (1..status::COUNT).map(|code| Code::from_i32(code as i32));
        Some(Box::new(codes.map(|code| PossibleValue::new(status::code_name(code)))))
    }
}

/// Parses the name of a status other than OK, in either case and with `-` for `_`.
fn status_code(given: &str) -> Result<Code, String> {
    let name = given.trim().to_ascii_uppercase().replace('-', "_");
    let code = status::code_from_name(&name).filter(|code| *code != Code::Ok);
    code.ok_or_else(|| {
        format!("{given:?} is not an error status such as UNAVAILABLE or RESOURCE_EXHAUSTED")
    })
}

pub(super) fn server_name(given: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(given.to_owned());
    name.map_err(|_| format!("{given:?} is not a host name or an IP address"))
}

/// Parses the variable of a flag without a value. A misspelt word must not enable anything.
pub(super) fn switch(given: &str) -> Result<bool, String> {
    match given.to_ascii_lowercase().as_str() {
        "y" | "yes" | "t" | "true" | "on" | "1" => Ok(true),
        "n" | "no" | "f" | "false" | "off" | "0" => Ok(false),
        _ => Err(format!("{given:?} is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_quote_the_value_and_state_the_form() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1day"), Ok(MAX_DURATION));
        assert_eq!(duration("25h").unwrap_err(), "25h is longer than 1day");
        assert_eq!(duration("5").unwrap_err(), "5 has no unit; did you mean 5s?");
        let expected = "\"-1s\" is not a duration such as 250ms, 5s or 1m";
        assert_eq!(duration("-1s").unwrap_err(), expected);
        assert_eq!(timeout("0s").unwrap_err(), "0s is not above zero");
        let number = number(1..=1_000);
        assert_eq!((number("1"), number("1000")), (Ok(1), Ok(1_000)));
        assert_eq!(number("1001").unwrap_err(), "1001 is not in 1..=1000");
        assert_eq!(number("1k").unwrap_err(), "\"1k\" is not a whole number in 1..=1000");
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

//! Value parsers. Each accepts the text of a flag or a variable, and its errors quote the value and
//! state the expected form.

use std::ffi::OsStr;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command, Error};
use greet_flags::variables::nearest;
use greet_proto::status;
use http::uri::Authority;
use rustls::pki_types::ServerName;
use tonic::Code;

/// A higher rate is a typing error.
const RATES: RangeInclusive<f64> = 0.001..=1e8;

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

/// Calls per second, or the lowest and the highest of a range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum RateValue {
    Fixed(f64),
    Range(f64, f64),
}

/// Parses `20000` or `1000..20000`.
pub(super) fn rate_or_range(given: &str) -> Result<RateValue, String> {
    let Some((from, to)) = given.split_once("..") else {
        return rate(given).map(RateValue::Fixed);
    };
    match (rate(from.trim_end()), rate(to.trim_start())) {
        (Ok(from), Ok(to)) if from < to => Ok(RateValue::Range(from, to)),
        (Ok(from), Ok(to)) if from > to => Err(format!("{given:?}: {from} is above {to}")),
        _ => Err(format!("{given:?} is not a range of rates such as 1000..20000")),
    }
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
        let names = (1..status::COUNT as i32).map(|code| status::code_name(Code::from_i32(code)));
        let question = nearest(&name, names).map(|name| format!("; did you mean {name}?"));
        format!(
            "{given:?} is not an error status such as UNAVAILABLE or RESOURCE_EXHAUSTED{}",
            question.unwrap_or_default()
        )
    })
}

pub(super) fn server_name(given: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(given.to_owned());
    name.map_err(|_| format!("{given:?} is not a host name or an IP address"))
}

/// Parses the value of `:authority`; the part before `@` is deprecated (RFC 9113, section 8.3.1).
pub(super) fn authority(given: &str) -> Result<Authority, String> {
    let parsed = given.parse::<Authority>().ok().filter(|authority| {
        let has_valid_port = authority.port().is_some() || authority.as_str() == authority.host();
        has_valid_port && !authority.host().is_empty() && !given.contains('@')
    });
    parsed.ok_or_else(|| format!("{given:?} is not NAME or NAME:PORT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_positive_and_bounded() {
        assert_eq!(rate("20000"), Ok(20_000.0));
        assert_eq!(rate("0.5"), Ok(0.5));
        for bad in ["", "0", "-1", "NaN", "inf", "1e9", "20k"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn range_of_rates_rises() {
        assert_eq!(rate_or_range("0.5"), Ok(RateValue::Fixed(0.5)));
        assert_eq!(rate_or_range("1..2.5"), Ok(RateValue::Range(1.0, 2.5)));
        assert_eq!(rate_or_range("1 .. 2"), Ok(RateValue::Range(1.0, 2.0)));
        for bad in ["..", "1..", "..2", "2..1", "1..1", "0..1", "1..1e9", "1...2", "1-2", "1..2..3"]
        {
            assert!(rate_or_range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn authority_is_a_name_and_may_have_a_port() {
        for good in ["service.example", "service.example:443", "[::1]", "127.0.0.1:1", "a_b"] {
            assert_eq!(authority(good).unwrap().as_str(), good);
        }
        for bad in ["", ":443", "a:", "a:b", "a:65536", "user@a", "http://a", "a/b", "a b", "::1"] {
            assert!(authority(bad).is_err(), "{bad}");
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

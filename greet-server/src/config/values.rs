//! Checks what was typed, value by value, and keeps all that is wrong: each a line that names the
//! place it came from, what was given and the form that is expected.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderValue;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::config::web_url::WebAddress;
use crate::config::{self, AccessLog, ClientAuth, LogFormat};

/// Destination of spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtlpEndpoint {
    /// None, whatever the OTEL_* variables are.
    Off,
    /// URL of a collector.
    Url(String),
}

impl FromStr for OtlpEndpoint {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        match WebAddress::parse(given) {
            Some(_) => Ok(OtlpEndpoint::Url(given.to_owned())),
            None => Err(format!("{given:?} is not a URL such as http://localhost:4317")),
        }
    }
}

/// Parses values; `None` means that the problem was noted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Check {
    pub(crate) problems: Vec<String>,
    /// Where the values of these flags come from, in words; those of the others were typed.
    pub(crate) places: BTreeMap<String, String>,
}

impl Check {
    /// What was made of the values, if nothing is wrong with any.
    pub(crate) fn done<T>(self, made: Option<T>) -> Result<T, Vec<String>> {
        match made {
            Some(made) if self.problems.is_empty() => Ok(made),
            _ => Err(self.problems),
        }
    }

    /// A flag that is of no use without another.
    pub(crate) fn lacks<T>(&mut self, flag: &str, given: impl Display, other: &str) -> Option<T> {
        let place = self.place(flag);
        self.problems.push(format!("{place}: `{given}` needs {other} too"));
        None
    }

    /// Addresses of which no two can be listened on together; with port 0 there is always another.
    pub(crate) fn once<'a>(&mut self, flag: &str, addresses: impl Iterator<Item = &'a String>) {
        let mut seen = BTreeSet::new();
        for address in addresses.filter(|address| !address.ends_with(":0")) {
            if !seen.insert(address) {
                let place = self.place(flag);
                self.problems.push(format!("{place}: {address:?} is there twice"));
            }
        }
    }

    fn refuse<T>(&mut self, flag: &str, given: &str, expected: impl Display) -> Option<T> {
        let place = self.place(flag);
        self.problems.push(format!("{place}: {given:?} is not {expected}"));
        None
    }

    fn place(&self, flag: &str) -> String {
        let typed = || format!("--{flag} ({})", variable(flag));
        self.places.get(flag).cloned().unwrap_or_else(typed)
    }

    pub(crate) fn parse<T: FromStr<Err: Display>>(&mut self, flag: &str, given: &str) -> Option<T> {
        match given.parse() {
            Ok(value) => Some(value),
            Err(expected) => self.refuse(flag, given, expected),
        }
    }

    pub(crate) fn number<N>(&mut self, flag: &str, given: &str, least: N, most: N) -> Option<N>
    where
        N: FromStr + PartialOrd + Display,
    {
        match given.parse() {
            _ if given.starts_with('+') => self.refuse(flag, given, "a number without a sign"),
            Ok(number) if least <= number && number <= most => Some(number),
            _ => self.refuse(flag, given, format!("a whole number from {least} to {most}")),
        }
    }

    pub(crate) fn duration(&mut self, flag: &str, given: &str) -> Option<Duration> {
        match humantime::parse_duration(given) {
            Ok(duration) if duration <= config::LONGEST_DURATION => Some(duration),
            _ => {
                let longest = text(config::LONGEST_DURATION);
                let expected = format!("a duration such as 250ms, 5s or 1m, at most {longest}");
                self.refuse(flag, given, expected)
            }
        }
    }

    /// A duration that must leave time for something to happen.
    pub(crate) fn timeout(&mut self, flag: &str, given: &str) -> Option<Duration> {
        match self.duration(flag, given)? {
            Duration::ZERO => self.refuse(flag, given, "a duration above zero"),
            timeout => Some(timeout),
        }
    }

    pub(crate) fn instance(&mut self, flag: &str, given: &str) -> Option<HeaderValue> {
        let printable = given.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        match HeaderValue::from_str(given) {
            Ok(value) if printable && (1..=config::MOST_INSTANCE_BYTES).contains(&given.len()) => {
                Some(value)
            }
            _ => {
                let most = config::MOST_INSTANCE_BYTES;
                let expected = format!("a name of 1 to {most} printable ASCII characters");
                self.refuse(flag, given, expected)
            }
        }
    }

    pub(crate) fn log_format(&mut self, flag: &str, given: &str) -> Option<LogFormat> {
        match given {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => self.refuse(flag, given, "text or json"),
        }
    }

    pub(crate) fn client_auth(&mut self, flag: &str, given: &str) -> Option<ClientAuth> {
        match given {
            "required" => Some(ClientAuth::Required),
            "optional" => Some(ClientAuth::Optional),
            _ => self.refuse(flag, given, "required or optional"),
        }
    }

    pub(crate) fn access_log(&mut self, flag: &str, given: &str) -> Option<AccessLog> {
        match given {
            "off" => Some(AccessLog::Off),
            "errors" => Some(AccessLog::Errors),
            "all" => Some(AccessLog::All),
            _ => self.refuse(flag, given, "off, errors or all"),
        }
    }

    pub(crate) fn origin(&mut self, flag: &str, given: &str) -> Option<HeaderValue> {
        let origin = match given {
            "*" => Some("*".to_owned()),
            _ => WebAddress::parse(given).and_then(|address| address.origin()),
        };
        match origin.and_then(|origin| HeaderValue::try_from(origin).ok()) {
            Some(origin) => Some(origin),
            None => self.refuse(flag, given, "an origin such as https://shop.example, or *"),
        }
    }

    pub(crate) fn endpoint(&mut self, flag: &str, given: &str) -> Option<OtlpEndpoint> {
        if cfg!(not(feature = "otel")) {
            return self.refuse(flag, given, "of use to a build without the feature `otel`");
        }
        let endpoint = given.parse().ok();
        endpoint.or_else(|| self.refuse(flag, given, "a URL such as http://localhost:4317"))
    }

    pub(crate) fn filter(&mut self, flag: &str, given: &str) -> Option<Targets> {
        // A word alone would be taken for the name of a target, and a typing error for silence.
        let is_level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
        let is_form = |part: &str| part.contains('=') || is_level(part);
        // A target with a space before it would be one that nobody has.
        let parts: Vec<_> = given.split(',').map(str::trim).collect();
        match parts.join(",").parse() {
            Ok(filter) if parts.into_iter().all(is_form) => Some(filter),
            _ => {
                let expected = "error, warn, info, debug, trace or off, or pairs such as h2=debug";
                self.refuse(flag, given, expected)
            }
        }
    }
}

fn variable(flag: &str) -> String {
    format!("GREET_{}", flag.to_uppercase().replace('-', "_"))
}

/// A duration as it is typed.
pub(crate) fn text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

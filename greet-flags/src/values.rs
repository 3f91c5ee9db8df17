//! Value parsers. Each accepts the text of a flag, a variable or a key of a file, and its errors quote
//! the value and state the expected form.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// A longer duration is a typing error; arithmetic on a day is far from overflow.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// Parses a whole number within `range`.
pub fn number<N>(range: RangeInclusive<N>) -> impl Fn(&str) -> Result<N, String> + Clone
where
    N: FromStr + PartialOrd + Display + Clone,
{
    move |given| {
        let (min, max) = (range.start(), range.end());
        match given.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ if is_number(given) => Err(format!("{given} is not between {min} and {max}")),
            _ => Err(format!("{given:?} is not a whole number between {min} and {max}")),
        }
    }
}

/// Parses the variable or key of a flag without a value. A misspelt word must not enable anything.
///
/// # Errors
/// The word means neither true nor false.
pub fn switch(given: &str) -> Result<bool, String> {
    match given.to_ascii_lowercase().as_str() {
        "y" | "yes" | "t" | "true" | "on" | "1" => Ok(true),
        "n" | "no" | "f" | "false" | "off" | "0" => Ok(false),
        _ => Err(format!("{given:?} is neither true nor false")),
    }
}

/// Parses a duration of at most a day.
///
/// # Errors
/// The text is not a duration, or has no unit.
pub fn duration(given: &str) -> Result<Duration, String> {
    match humantime::parse_duration(given) {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        Ok(_) => Err(format!("{given} is longer than {}", text(MAX_DURATION))),
        Err(_) if is_number(given) => Err(format!("{given} has no unit; did you mean {given}s?")),
        Err(_) => Err(format!("{given:?} is not a duration such as 250ms, 5s or 1m")),
    }
}

/// Parses a [`duration`] above zero.
///
/// # Errors
/// As for [`duration`]; or it is zero.
pub fn timeout(given: &str) -> Result<Duration, String> {
    match duration(given)? {
        Duration::ZERO => Err(format!("{given} is not above zero")),
        timeout => Ok(timeout),
    }
}

/// Returns the form that [`duration`] accepts.
#[must_use]
pub fn text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn is_number(given: &str) -> bool {
    !given.is_empty() && given.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_within_its_range() {
        let number = number(1..=1_024);
        assert_eq!((number("1"), number("1024")), (Ok(1), Ok(1_024)));
        assert_eq!(number("1025").unwrap_err(), "1025 is not between 1 and 1024");
        let expected = "\"64k\" is not a whole number between 1 and 1024";
        assert_eq!(number("64k").unwrap_err(), expected);
    }

    #[test]
    fn switch_is_true_or_false() {
        assert_eq!((switch("on"), switch("False")), (Ok(true), Ok(false)));
        assert_eq!(switch("flase").unwrap_err(), "\"flase\" is neither true nor false");
    }

    #[test]
    fn duration_has_a_unit_and_is_at_most_a_day() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1day"), Ok(MAX_DURATION));
        assert_eq!(duration("25h").unwrap_err(), "25h is longer than 1day");
        assert_eq!(duration("5").unwrap_err(), "5 has no unit; did you mean 5s?");
        let expected = "\"-1s\" is not a duration such as 250ms, 5s or 1m";
        assert_eq!(duration("-1s").unwrap_err(), expected);
        assert_eq!(
            (duration("0s"), timeout("1s")),
            (Ok(Duration::ZERO), Ok(Duration::from_secs(1)))
        );
        assert_eq!(timeout("0s").unwrap_err(), "0s is not above zero");
    }
}

//! Durations, sizes and lines for people.

use std::fmt;
use std::time::Duration;

/// The width of a report, which is the same in a file as on a terminal.
pub(crate) const LINE_COLUMNS: usize = 80;

/// A duration in a single unit: `85us`, `1.2ms`, `5s`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HumanDuration(pub(crate) Duration);

impl HumanDuration {
    pub(crate) fn from_micros(micros: u64) -> HumanDuration {
        HumanDuration(Duration::from_micros(micros))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let tenths = |unit: u128| micros.saturating_add(unit / 20) / (unit / 10);
        let (tenths, unit) = match micros {
            ..1_000 => return f.pad(&format!("{micros}us")),
            1_000..1_000_000 => (tenths(1_000), "ms"),
            _ => (tenths(1_000_000), "s"),
        };
        match (tenths / 10, tenths % 10) {
            (whole, 0) => f.pad(&format!("{whole}{unit}")),
            (whole, tenth) => f.pad(&format!("{whole}.{tenth}{unit}")),
        }
    }
}

/// A number of calls per second: `12000/s`, `0.5/s`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PerSecond(pub(crate) f64);

impl PerSecond {
    /// Rounds a slow rate to three decimals, and others to whole calls.
    pub(crate) fn rounded(self) -> f64 {
        let scale = if self.0 >= 100.0 { 1.0 } else { 1e3 };
        (self.0 * scale).round() / scale
    }
}

impl fmt::Display for PerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/s", self.rounded()))
    }
}

/// A number of bytes in a single unit: `85 B`, `1.2 MB`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HumanBytes(pub(crate) u64);

impl fmt::Display for HumanBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        match self.0 {
            ..1_000 => write!(f, "{} B", self.0),
            1_000..1_000_000 => write!(f, "{:.1} kB", bytes / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.1} MB", bytes / 1e6),
            _ => write!(f, "{:.1} GB", bytes / 1e9),
        }
    }
}

/// Returns a number with its noun: `1 thread`, `2 threads`.
pub(crate) fn plural(number: impl Into<u64>, noun: &str) -> String {
    let number = number.into();
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Returns at most `max_chars` characters of a text, with a mark of what is missing.
pub(crate) fn truncated(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Breaks a text into lines of at most `columns` characters; a longer word has a line of its own.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_has_one_unit_and_at_most_one_decimal() {
        let shown = |micros| HumanDuration(Duration::from_micros(micros)).to_string();
        assert_eq!(shown(0), "0us");
        assert_eq!(shown(999), "999us");
        assert_eq!(shown(1_249), "1.2ms");
        assert_eq!(shown(300_040), "300ms");
        assert_eq!(shown(5_000_000), "5s");
        assert_eq!(shown(90_250_000), "90.3s");
    }

    #[test]
    fn rate_has_few_digits() {
        let shown = |rate| PerSecond(rate).to_string();
        let shown = [shown(12_000.4), shown(100.6), shown(12.3456), shown(0.5), shown(2.0)];
        assert_eq!(shown, ["12000/s", "101/s", "12.346/s", "0.5/s", "2/s"]);
    }

    #[test]
    fn noun_is_plural_unless_there_is_one() {
        let shown = [0_u64, 1, 2].map(|number| plural(number, "call"));
        assert_eq!(shown, ["0 calls", "1 call", "2 calls"]);
    }

    #[test]
    fn text_is_wrapped_at_columns() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("aa bb cc", 4), ["aa", "bb", "cc"]);
        assert_eq!(wrap("aa bb cc", 8), ["aa bb cc"]);
        assert_eq!(wrap("a verylong é é", 3), ["a", "verylong", "é é"]);
        assert_eq!(wrap("", 3), [""]);
    }

    #[test]
    fn byte_count_has_one_unit() {
        let bytes = |bytes| HumanBytes(bytes).to_string();
        assert_eq!([bytes(999), bytes(1_234), bytes(1_250_000)], ["999 B", "1.2 kB", "1.2 MB"]);
    }
}

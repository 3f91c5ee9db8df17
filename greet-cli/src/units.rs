//! How long something took, for people.

use std::fmt;
use std::time::Duration;

/// A duration in the one unit that fits it: `85us`, `1.2ms`, `5s`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Brief(pub(crate) Duration);

impl fmt::Display for Brief {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_one_unit_and_at_most_one_decimal() {
        let brief = |micros| Brief(Duration::from_micros(micros)).to_string();
        assert_eq!(brief(0), "0us");
        assert_eq!(brief(999), "999us");
        assert_eq!(brief(1_249), "1.2ms");
        assert_eq!(brief(300_040), "300ms");
        assert_eq!(brief(5_000_000), "5s");
        assert_eq!(brief(90_250_000), "90.3s");
    }
}

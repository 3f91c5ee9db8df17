//! Turns the name of an enum's variant into words, for errors of libraries that have no text of their
//! own: `NoCipherSuitesInCommon` becomes "no cipher suites in common".

use std::fmt::Debug;

/// Returns the words of the variant's name, without its fields.
#[must_use]
pub fn words(variant: &impl Debug) -> String {
    let debug = format!("{variant:?}");
    let name = debug.split(|char: char| !char.is_ascii_alphanumeric()).next().unwrap_or_default();
    let chars: Vec<_> = name.chars().collect();
    let mut words = String::new();
    for (index, char) in chars.iter().enumerate() {
        let after_lower = index > 0 && !chars[index - 1].is_ascii_uppercase();
        let before_lower = chars.get(index + 1).is_some_and(char::is_ascii_lowercase);
        if char.is_ascii_uppercase() && index > 0 && (after_lower || before_lower) {
            words.push(' ');
        }
        words.push(char.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, InvalidMessage, PeerIncompatible};

    use super::*;

    #[test]
    fn variant_is_words_without_fields() {
        assert_eq!(words(&PeerIncompatible::NoCipherSuitesInCommon), "no cipher suites in common");
        assert_eq!(words(&InvalidMessage::MissingData("x")), "missing data");
        assert_eq!(words(&AlertDescription::UnknownPSKIdentity), "unknown psk identity");
        assert_eq!(words(&AlertDescription::UnknownCA), "unknown ca");
        assert_eq!(words(&PeerIncompatible::Tls12NotOffered), "tls12 not offered");
    }
}

//! Escapes text from a peer before it reaches a terminal or a log: control characters move the
//! cursor or start a new line, and format characters such as U+202E reorder the visible text.

use std::fmt::{self, Write as _};

/// Text on one line, with control, format and separator characters escaped: `\n`, `\u{202e}`.
///
/// The joiners U+200C and U+200D stay: words in Persian and Indic scripts and many emoji need them,
/// and they move no text.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(is_unsafe) {
            let (safe, tail) = rest.split_at(at);
            let mut characters = tail.chars();
            f.write_str(safe)?;
            for escaped in characters.next().into_iter().flat_map(char::escape_default) {
                f.write_char(escaped)?;
            }
            rest = characters.as_str();
        }
        f.write_str(rest)
    }
}

/// Returns whether a terminal acts on the character instead of showing it (general categories Cc,
/// Cf, Zl and Zp of Unicode 17, without the joiners).
#[must_use]
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0001}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        Escaped(text).to_string()
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(escaped("two\nlines\r\t"), "two\\nlines\\r\\t");
        assert_eq!(escaped("\u{1b}[2J\u{7f}\u{9b}"), "\\u{1b}[2J\\u{7f}\\u{9b}");
    }

    #[test]
    fn bidirectional_and_invisible_characters_are_escaped() {
        for character in [
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            let expected = format!("a\\u{{{:x}}}b", u32::from(character));
            assert_eq!(escaped(&format!("a{character}b")), expected);
        }
    }

    #[test]
    fn text_in_any_script_is_unchanged() {
        for text in ["", "Ada \\n \"x\"", "Zoë", "علی\u{200c}رضا", "שרה", "👩\u{200d}🚀", "日本語"]
        {
            assert_eq!(escaped(text), text);
        }
    }
}

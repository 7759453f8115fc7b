//! How one event becomes one line. Reads no clock and writes nowhere.

use std::fmt::{self, Debug, Write};

use tracing::{
    Level,
    field::{Field, Visit},
};

use crate::model::Moment;

/// Longest message or value, in bytes. More is cut, so that no caller can make a line of any length.
const LONGEST: usize = 4096;

/// Stands where text was cut.
const CUT: &str = "…[cut]";

/// What an event says: its message as it was given, and its other fields ready for the line.
#[derive(Debug, Default)]
pub(super) struct Content {
    message: Clipped,
    fields: String,
}

impl Content {
    /// The message as it was given: not escaped, but cut.
    pub(super) fn message(&self) -> &str {
        &self.message.text
    }

    /// The line for this event, without its newline.
    pub(super) fn line(&self, now: Moment, level: Level, suppressed: u64) -> String {
        let mut line = now.iso_seconds();
        line.push_str(match level {
            Level::ERROR => " error:",
            Level::WARN => " warning:",
            _ => "",
        });
        if !self.message.text.is_empty() {
            line.push(' ');
            self.message.escape_into(&mut line, Quoted::No);
        }
        line.push_str(&self.fields);
        if suppressed > 0 {
            line.push_str(" suppressed=");
            line.push_str(&suppressed.to_string());
        }
        line
    }

    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let name = field.name();
        if name.starts_with("secret") {
            return;
        }
        let clipped = Clipped::of(value);
        if name == "message" {
            self.message = clipped;
            return;
        }
        self.fields.push(' ');
        self.fields.push_str(name);
        self.fields.push('=');
        let bare = !clipped.text.is_empty() && !clipped.text.contains([' ', '"']);
        clipped.escape_into(&mut self.fields, if bare { Quoted::No } else { Quoted::Yes });
    }
}

impl Visit for Content {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoted {
    Yes,
    No,
}

/// Text of at most [`LONGEST`] bytes. What does not fit is never stored.
#[derive(Debug, Default)]
struct Clipped {
    text: String,
    cut: bool,
}

impl Clipped {
    fn of(value: fmt::Arguments<'_>) -> Self {
        let mut clipped = Self::default();
        if clipped.write_fmt(value).is_err() {
            clipped.text.push_str("[unprintable]");
        }
        clipped
    }

    fn escape_into(&self, out: &mut String, quoted: Quoted) {
        if quoted == Quoted::Yes {
            out.push('"');
        }
        for character in self.text.chars() {
            if is_dangerous(character) {
                out.extend(character.escape_unicode());
            } else {
                if quoted == Quoted::Yes && matches!(character, '"' | '\\') {
                    out.push('\\');
                }
                out.push(character);
            }
        }
        if self.cut {
            out.push_str(CUT);
        }
        if quoted == Quoted::Yes {
            out.push('"');
        }
    }
}

impl Write for Clipped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !self.cut {
            let mut kept = text.len().min(LONGEST.saturating_sub(self.text.len()));
            while !text.is_char_boundary(kept) {
                kept -= 1;
            }
            self.text.push_str(&text[..kept]);
            self.cut = kept < text.len();
        }
        Ok(())
    }
}

/// Characters that command a terminal or show one line as two or in another order: the controls (C0, DEL,
/// C1), the line and paragraph separators, and those that change the direction of text.
fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str, quoted: Quoted) -> String {
        let mut out = String::new();
        Clipped::of(format_args!("{text}")).escape_into(&mut out, quoted);
        out
    }

    #[test]
    fn controls_are_shown_and_other_text_is_left_alone() {
        let given = "a\u{1b}[2J\nb\u{7f}\u{9b}\u{202e}é日";
        assert_eq!(escaped(given, Quoted::No), "a\\u{1b}[2J\\u{a}b\\u{7f}\\u{9b}\\u{202e}é日");
    }

    #[test]
    fn quotes_inside_quotes_are_escaped() {
        assert_eq!(escaped(r#"say "a\b""#, Quoted::Yes), r#""say \"a\\b\"""#);
    }

    #[test]
    fn long_text_is_cut_at_a_character_with_a_mark() {
        let long = "é".repeat(3000);
        let line = escaped(&format!("x{long}"), Quoted::No);
        assert!(line.ends_with("é…[cut]"), "cut between two characters");
        assert_eq!(line.len(), 4095 + CUT.len());
        assert_eq!(escaped(&"x".repeat(4096), Quoted::No).len(), 4096, "the limit itself fits");
    }

    proptest! {
        #[test]
        fn no_text_makes_a_second_line_or_an_escape(text in any::<String>()) {
            prop_assert!(!escaped(&text, Quoted::No).chars().any(is_dangerous));
            prop_assert!(!escaped(&text, Quoted::Yes).chars().any(is_dangerous));
        }
    }
}

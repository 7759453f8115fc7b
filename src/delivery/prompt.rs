//! A text that can be typed. Pure.

use crate::api::LARGEST_PROMPT;

/// What ends a paste: everything behind it would be keys.
const ENDS_OF_PASTE: [&str; 2] = ["\u{1b}[201~", "\u{9b}201~"];

/// A text that was cleaned for typing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    text: String,
    removed: usize,
}

/// Why a text cannot be typed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPrompt {
    /// Nothing but blanks.
    #[error("the prompt is empty")]
    Blank,
    /// It holds the sequence that ends a paste.
    #[error("the prompt holds an end-of-paste sequence at character {0}: what follows would be typed as keys")]
    EndOfPaste(usize),
    /// It is too large.
    #[error("the prompt has {size} bytes; at most {LARGEST_PROMPT} are taken")]
    TooLarge {
        /// Its size.
        size: usize,
    },
}

impl Prompt {
    /// Cleans a text: CR LF and CR become LF; line breaks at the end and control characters but LF and TAB are removed.
    ///
    /// # Errors
    /// [`BadPrompt`].
    pub fn clean(raw: &str) -> Result<Self, BadPrompt> {
        if raw.len() > LARGEST_PROMPT {
            return Err(BadPrompt::TooLarge { size: raw.len() });
        }
        if let Some(at) = ENDS_OF_PASTE.iter().filter_map(|end| raw.find(end)).min() {
            return Err(BadPrompt::EndOfPaste(raw[..at].chars().count()));
        }
        let lines = raw.replace("\r\n", "\n").replace('\r', "\n");
        let text: String = lines.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        let removed = lines.chars().count() - text.chars().count();
        // Line breaks at the end would submit it before it is seen.
        let text = text.trim_end_matches('\n').to_owned();
        if text.trim().is_empty() {
            return Err(BadPrompt::Blank);
        }
        Ok(Self { text, removed })
    }

    /// What is typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many control characters were removed.
    pub fn removed(&self) -> usize {
        self.removed
    }

    /// Does it have more than one line?
    pub fn has_lines(&self) -> bool {
        self.text.contains('\n')
    }

    /// The longest line in bytes, without its end.
    pub fn longest_line(&self) -> usize {
        self.text.split('\n').map(str::len).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn line_ends_become_one_kind_and_controls_go() {
        let prompt = Prompt::clean("a\r\nb\rc\td\u{7}\u{1b}[31m\u{9b}e\u{7f}\0").unwrap();
        assert_eq!((prompt.text(), prompt.removed()), ("a\nb\nc\td[31me", 5));
        assert_eq!(Prompt::clean("a\r\n\n").unwrap().text(), "a");
        for whole in ["/x", "!x", "#x", "@x", "-x", "x;", "x\\", "שלום", "世界", "👩‍👩‍👧", " x "] {
            assert_eq!(Prompt::clean(whole).unwrap().text(), whole);
        }
    }

    #[test]
    fn what_would_escape_the_paste_is_refused() {
        assert_eq!(Prompt::clean("é\u{1b}[201~rm"), Err(BadPrompt::EndOfPaste(1)));
        assert_eq!(Prompt::clean("\u{9b}201~"), Err(BadPrompt::EndOfPaste(0)));
        assert_eq!(Prompt::clean(" \r\n\u{1b}"), Err(BadPrompt::Blank));
        let size = LARGEST_PROMPT + 1;
        assert_eq!(Prompt::clean(&"x".repeat(size)), Err(BadPrompt::TooLarge { size }));
    }

    proptest! {
        #[test]
        fn a_clean_text_is_clean(raw in "(\\PC|[\\x00-\\x1f\\x7f-\\x9f]){0,60}") {
            if let Ok(prompt) = Prompt::clean(&raw) {
                prop_assert!(prompt.text().chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
                let again = Prompt::clean(prompt.text()).unwrap();
                prop_assert_eq!((again.text(), again.removed()), (prompt.text(), 0));
            }
        }
    }
}

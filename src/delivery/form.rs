//! The form in which a text is typed into one tool so that it arrives as it was given. Pure.
//!
//! Tools do things with a text that their user did not mean: they fold long pastes, take a first sign for a command,
//! let a last one open a menu. Where a blank at an end keeps them from it, and they cut it off again, it is typed too;
//! where nothing does, the text is refused.

use unicode_width::UnicodeWidthChar;

use super::prompt::Prompt;
use crate::{agents::DeliveryRules, tmux::input::Stroke};

/// Ends one paste and begins the next, inside the frame that tmux puts around both.
const NEXT_PASTE: &str = "\u{1b}[201~\u{1b}[200~";

/// Stands for any command in a profile's list.
const ANY: &str = "*";

/// A text, ready to be typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    bytes: String,
    parts: usize,
    size: usize,
    command: Option<String>,
    blanks: Vec<&'static str>,
}

/// Why a tool cannot be given a text: a stable word and a sentence.
pub type Unfit = (&'static str, String);

impl Form {
    /// The form for a tool with these rules.
    ///
    /// # Errors
    /// [`Unfit`]: it would not arrive as text.
    pub fn of(prompt: &Prompt, rules: &DeliveryRules) -> Result<Self, Unfit> {
        let text = prompt.text();
        let command = command(text, rules);
        let mut blanks = Vec::new();
        if command.is_none()
            && let Some(does) = first_sign(text, rules)
        {
            if !rules.trims_blanks_in_front {
                let first: String = text.chars().take(1).collect();
                let detail =
                    format!("`{first}` at the beginning {does}; a blank in front of it makes it text for the model");
                return Err(("would_run_command", detail));
            }
            blanks.push("in_front");
        }
        if last_sign(text, rules) {
            blanks.push("behind");
        }
        let mut typed = text.to_owned();
        if blanks.contains(&"in_front") {
            typed.insert(0, ' ');
        }
        if blanks.contains(&"behind") {
            typed.push(' ');
        }
        let parts = parts(&typed, rules);
        Ok(Self { bytes: parts.join(NEXT_PASTE), parts: parts.len(), size: text.len(), command, blanks })
    }

    /// What goes into the buffer.
    pub fn bytes(&self) -> &str {
        &self.bytes
    }

    /// It is more than one paste.
    fn is_parted(&self) -> bool {
        self.parts > 1
    }

    /// What types it, from a buffer that holds [`Form::bytes`].
    pub(super) fn stroke(&self, buffer: String) -> Stroke {
        Stroke::Paste { buffer, bracketed: true, framed: self.is_parted() }
    }

    /// How many pastes it is.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// The tool's own command that it is, without what follows the name.
    pub fn command(&self) -> Option<&str> {
        self.command.as_deref()
    }

    /// Blanks that were added, which the tool cuts off: `in_front`, `behind`.
    pub fn blanks(&self) -> &[&'static str] {
        &self.blanks
    }

    /// How long the tool must have shown it unchanged before Enter.
    pub fn before_enter(&self, rules: &DeliveryRules) -> std::time::Duration {
        if self.size > rules.large { rules.before_enter_large.max(rules.before_enter) } else { rules.before_enter }
    }
}

/// The name of the command that this text is for the tool: a slash and a word, then the end or a blank.
fn command(text: &str, rules: &DeliveryRules) -> Option<String> {
    let rest = text.strip_prefix('/')?;
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let name = &rest[..end];
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.'));
    let is_known = rules.commands.iter().any(|known| known == ANY || known == name);
    (is_name && is_known).then(|| format!("/{name}"))
}

/// What the tool would do with the text because of how it begins.
fn first_sign<'a>(text: &str, rules: &'a DeliveryRules) -> Option<&'a str> {
    let (_, does) = rules.first_characters.iter().find(|(first, _)| text.starts_with(first.as_str()))?;
    // A path is no command: a slash, and another one before the first blank.
    let word = text.split(char::is_whitespace).next().unwrap_or_default();
    let is_path = word.len() > 1 && word.starts_with('/') && word[1..].contains('/');
    (!is_path || rules.trims_blanks_in_front).then_some(does.as_str())
}

/// Would Enter behind the text do something else than submit it?
fn last_sign(text: &str, rules: &DeliveryRules) -> bool {
    let word = text.rsplit(char::is_whitespace).next().unwrap_or_default();
    rules.last_characters.iter().any(|last| text.ends_with(last.as_str()))
        || rules.last_words.iter().any(|sign| word.starts_with(sign.as_str()))
}

/// The text in pieces that the tool neither folds nor changes.
fn parts(text: &str, rules: &DeliveryRules) -> Vec<String> {
    let (breaks, characters) =
        (rules.chunk_breaks.unwrap_or(usize::MAX), rules.chunk_characters.unwrap_or(usize::MAX).max(1));
    let mut parts = vec![String::new()];
    let (mut seen_breaks, mut seen) = (0, 0);
    for c in text.chars() {
        // What has no width belongs to the sign before it: a tool composes both only if they come together.
        let joins = c != '\n' && c.width().unwrap_or(0) == 0;
        if (c == '\n' && seen_breaks >= breaks) || (seen >= characters && !joins) {
            parts.push(String::new());
            (seen_breaks, seen) = (0, 0);
        }
        seen_breaks += usize::from(c == '\n');
        seen += 1;
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(trims: bool) -> DeliveryRules {
        DeliveryRules {
            chunk_breaks: Some(2),
            chunk_characters: Some(10),
            first_characters: vec![("!".into(), "runs a shell command".into()), ("/".into(), "is a command".into())],
            last_characters: vec!["\\".into()],
            last_words: vec!["@".into()],
            trims_blanks_in_front: trims,
            commands: if trims { vec!["new".into()] } else { vec![ANY.into()] },
            ..DeliveryRules::default()
        }
    }

    fn form(text: &str, trims: bool) -> Result<String, &'static str> {
        let form = Form::of(&Prompt::clean(text).unwrap(), &rules(trims));
        form.map(|form| form.bytes().replace(NEXT_PASTE, "|")).map_err(|(reason, _)| reason)
    }

    #[test]
    fn blanks_make_text_of_what_would_be_something_else() {
        for (text, typed) in [
            ("!ls", " !ls"),
            ("/tmp", " /tmp"),
            ("/new", "/new"),
            ("/news", " /news"),
            ("/ x", " / x"),
            ("/a/b x", " /a/b x"),
            ("x\\", "x\\ "),
            ("see @R", "see @R "),
            ("a@b.c", "a@b.c"),
            ("@R see", "@R see"),
            ("x !", "x !"),
        ] {
            assert_eq!(form(text, true).as_deref(), Ok(typed), "{text}");
        }
    }

    #[test]
    fn without_that_way_out_it_is_refused() {
        for (text, typed) in [
            ("!ls", Err("would_run_command")),
            ("/", Err("would_run_command")),
            ("/ x", Err("would_run_command")),
            ("/anything", Ok("/anything")),
            ("/a/b x", Ok("/a/b x")),
            ("//x", Ok("//x")),
            (" !ls", Ok(" !ls")),
        ] {
            assert_eq!(form(text, false).as_deref(), typed.as_ref().map(|text| *text), "{text}");
        }
        let command =
            |text: &str| Form::of(&Prompt::clean(text).unwrap(), &rules(false)).unwrap().command().map(str::to_owned);
        assert_eq!(command("/compact all of it").as_deref(), Some("/compact"));
        assert_eq!(command("/etc/hosts is"), None);
        assert_eq!(command("compact"), None);
    }

    #[test]
    fn pastes_are_short_and_a_sign_stays_whole() {
        assert_eq!(form("a\nb\nc\nd", true).as_deref(), Ok("a\nb\nc|\nd"));
        assert_eq!(form("0123456789abc", true).as_deref(), Ok("0123456789|abc"));
        assert_eq!(form("012345678e\u{301}\u{301}x", true).as_deref(), Ok("012345678e\u{301}\u{301}|x"));
        let plain = Form::of(&Prompt::clean("a\nb\nc\nd").unwrap(), &DeliveryRules::default()).unwrap();
        assert_eq!((plain.bytes(), plain.is_parted()), ("a\nb\nc\nd", false));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_between_the_pastes(text in "[a-z\\n é\u{301}!/@]{1,80}") {
            let Ok(prompt) = Prompt::clean(&text) else { return Ok(()) };
            let Ok(form) = Form::of(&prompt, &rules(true)) else { return Ok(()) };
            let whole = form.bytes().replace(NEXT_PASTE, "");
            prop_assert_eq!(whole.trim(), prompt.text().trim());
            let short = form.bytes().split(NEXT_PASTE).all(|part| {
                part.matches('\n').count() <= 2 && part.chars().filter(|c| c.width() != Some(0)).count() <= 10
            });
            prop_assert!(short);
        }
    }
}

//! Names that people choose. Each is checked once, here, and safe to hand to tmux or a path afterwards.

use std::fmt;

/// A name that was refused: why, and what to type instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadName {
    /// What is wrong with it, with the name quoted.
    pub message: String,
    /// A name or a rule that works.
    pub hint: String,
}

impl From<BadName> for crate::model::Failure {
    fn from(bad: BadName) -> Self {
        Self::usage(bad.message, bad.hint)
    }
}

fn plain_word(what: &str, text: &str, longest: usize) -> Result<(), BadName> {
    let first_ok = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let rest_ok = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if first_ok && rest_ok && text.len() <= longest {
        return Ok(());
    }
    Err(BadName {
        message: format!("{} cannot be {what}", quoted(text)),
        hint: format!("use 1 to {longest} letters, digits, `_` or `-`, beginning with a letter or a digit"),
    })
}

/// The text in backticks with control bytes made visible, cut to a readable length.
fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 {
        shown.push('…');
    }
    format!("`{shown}`")
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $what:literal, $longest:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Checks and takes the text.
            ///
            /// # Errors
            /// [`BadName`] when it holds anything but letters, digits, `_` and `-`, or is too long.
            pub fn parse(text: &str) -> Result<Self, BadName> {
                plain_word($what, text, $longest)?;
                Ok(Self(text.to_owned()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

word!(
    /// What a person calls an agent. Not unique: two sessions may have one name, and are then told apart by id.
    AgentName, "an agent name", 64
);
word!(
    /// The registry's key: one live agent per id.
    AgentId, "an agent id", 64
);
word!(
    /// The program that plays the agent, lower case: `claude`, `codex`, `bash`.
    ToolName, "a tool name", 32
);

/// The name of a tmux session that we may create or adopt.
///
/// tmux runs `#(command)` inside names that reach its formats and treats `$ @ % = {` and others at the
/// front as something else than a name, so those are refused rather than escaped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionName(String);

impl SessionName {
    /// Longest name in bytes; tmux itself has no limit, status lines and paths do.
    pub const LONGEST: usize = 128;

    /// Checks a session name that somebody typed.
    ///
    /// # Errors
    /// [`BadName`], whose hint is the name that tmux would store or the rule that was broken.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let refuse = |why: &str, hint: String| Err(BadName { message: format!("{} {why}", quoted(text)), hint });
        if text.trim().is_empty() {
            return refuse("is not a session name: it is empty", "give the name that `tmux ls` shows".to_owned());
        }
        if text.len() > Self::LONGEST {
            return refuse(
                "is not a session name: it is too long",
                format!("use at most {} bytes; this has {}", Self::LONGEST, text.len()),
            );
        }
        if text.chars().any(char::is_control) {
            return refuse("is not a session name: it holds control characters", "use printable characters".to_owned());
        }
        if text.contains('#') {
            return refuse(
                "is not a session name: tmux expands `#` in names and may run what follows",
                "leave out `#`; `tmux rename-session` gives an existing session another name".to_owned(),
            );
        }
        if text.contains('/') || text == "~" {
            return refuse(
                "is not a session name: it looks like a path",
                "give the name that `tmux ls` shows".to_owned(),
            );
        }
        if text.contains(['.', ':']) {
            let stored = text.replace(['.', ':'], "_");
            return refuse("is not a session name: tmux stores `.` and `:` as `_`", format!("use `{stored}`"));
        }
        if text.starts_with(['-', '=', '$', '@', '%', '{', '!', '+', '~']) {
            return refuse(
                "is not a session name: its first character means something else to tmux",
                "begin with a letter or a digit".to_owned(),
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names_that_tmux_would_change_or_run_are_refused_with_a_way_out() {
        let hint = |text: &str| SessionName::parse(text).unwrap_err().hint;
        assert_eq!(hint("a.b"), "use `a_b`");
        assert_eq!(hint("a:b"), "use `a_b`");
        assert!(hint("x#(touch pwned)").contains("rename-session"));
        for wrong in ["", "  ", "-x", "=x", "$1", "@1", "%1", "{mouse}", "a\nb", "../x", "/etc", "~", "\u{1b}[2J"] {
            assert!(SessionName::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(SessionName::parse(&"x".repeat(129)).is_err());
    }

    #[test]
    fn session_names_with_spaces_and_emoji_are_names() {
        for fine in ["my work", "🦀 crab", "עברית", "a-b_c", "A b-2"] {
            assert!(SessionName::parse(fine).is_ok(), "{fine}");
        }
    }

    #[test]
    fn refused_names_are_shown_with_their_control_bytes_visible() {
        let bad = AgentName::parse("a\u{1b}[2Jb").unwrap_err();
        assert!(bad.message.contains("\\u{1b}[2J"), "{}", bad.message);
        assert!(AgentName::parse("alpha-1_x").is_ok());
        assert!(AgentName::parse("_x").is_err());
    }
}

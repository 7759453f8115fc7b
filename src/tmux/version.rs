//! Which tmux is it, and is it new enough?

use std::fmt;

use serde::{Deserialize, Serialize};

/// The version of a tmux, `3.3a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    major: u32,
    minor: u32,
    /// The letter of a patch release, `a` and later; a space for none, so that it sorts first.
    patch: char,
}

impl Version {
    /// The oldest tmux that has everything we use: client flags, subscriptions, `new-session -e`.
    pub const OLDEST: Self = Self { major: 3, minor: 2, patch: ' ' };

    /// Reads `3.3a`, `tmux 3.4`, `next-3.6`, `openbsd-7.4`-style texts; `None` if no number is in it.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches("tmux").trim().trim_start_matches("next-");
        // Builds from the repository's head call themselves so; they are newer than any release.
        if text == "master" {
            return Some(Self { major: u32::MAX, minor: 0, patch: ' ' });
        }
        let (major, rest) = text.split_once('.')?;
        let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let patch = rest[minor.len()..].chars().next().filter(char::is_ascii_lowercase).unwrap_or(' ');
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()?, patch })
    }

    /// Can we work with it?
    pub fn is_supported(self) -> bool {
        self >= Self::OLDEST
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}{}", self.major, self.minor, self.patch.to_string().trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_real_builds_are_read_and_ordered() {
        for (text, fine) in [
            ("tmux 3.3a", true),
            ("3.2", true),
            ("tmux next-3.7", true),
            ("tmux master", true),
            ("3.10", true),
            ("tmux 3.1c", false),
            ("tmux 2.8", false),
        ] {
            assert_eq!(Version::parse(text).map(Version::is_supported), Some(fine), "{text}");
        }
        assert_eq!(Version::parse("tmux"), None);
        assert_eq!(Version::parse("tmux 3.3a").map(|version| version.to_string()).as_deref(), Some("3.3a"));
    }
}

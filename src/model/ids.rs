//! Ids: tmux's own (`$1`, `@2`, `%3`) and ours for session roots.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a tmux {kind} id (expected `{sigil}` and a number)")]
pub struct BadId {
    text: String,
    kind: &'static str,
    sigil: char,
}

macro_rules! tmux_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $sigil:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(u32);

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                text.strip_prefix($sigil)
                    .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
                    .and_then(|digits| digits.parse().ok())
                    .map(Self)
                    .ok_or_else(|| BadId { text: text.to_owned(), kind: $kind, sigil: $sigil })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $sigil, self.0)
            }
        }
    };
}

tmux_id!(
    /// A tmux session: `$` and a number that its server never reuses. A new server starts again at `$0`.
    TmuxSessionId, "session", '$'
);
tmux_id!(
    /// A tmux window: `@` and a number that its server never reuses.
    WindowId, "window", '@'
);
tmux_id!(
    /// A tmux pane: `%` and a number that its server never reuses. Respawning keeps the id and changes the pid.
    PaneId, "pane", '%'
);

/// The name of a session root: `<prefix>-<YYYYMMDD>-<HHMMSS>Z-<8 hex>` (contract section 0).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionRootId(String);

impl SessionRootId {
    /// Builds the id of a new root. `stamp` is `<YYYYMMDD>-<HHMMSS>Z`, `entropy` makes it unique.
    pub fn new(prefix: &str, stamp: &str, entropy: u32) -> Self {
        Self(format!("{prefix}-{stamp}-{entropy:08x}"))
    }

    /// The id as text; safe as a folder name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionRootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_sigil_and_nothing_else_passes() {
        assert_eq!("%12".parse::<PaneId>().map(|id| id.to_string()), Ok("%12".to_owned()));
        for wrong in ["12", "%", "@1", "%1x", "%-1", "% 1", "%99999999999", "%+1"] {
            assert!(wrong.parse::<PaneId>().is_err(), "{wrong}");
        }
    }
}

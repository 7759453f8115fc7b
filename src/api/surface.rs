//! `surface.json`: our own facts about the agent's pane, which the contract's files have no place for.

use serde::{Deserialize, Serialize};

use super::{BrokenRule, Document, expect_version};
use crate::model::ProcessIdentity;

/// How a session came to be ours. Decides what `stop` may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `agents launch` made it.
    Launched,
    /// Somebody else made it; it is never killed.
    Joined,
}

/// The agent's pane, proof against renamed sessions, reused ids and restarted servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surface {
    /// Always 1.
    pub schema_version: u32,
    /// Launched or joined.
    pub origin: Origin,
    /// Full path of the tmux server's socket.
    pub tmux_socket: String,
    /// The tmux server's pid.
    pub tmux_server_pid: u32,
    /// The tmux server's start, seconds since 1970 (`#{start_time}`).
    pub tmux_server_started: i64,
    /// `$3`.
    pub tmux_session_id: String,
    /// `@2`.
    pub window_id: String,
    /// `%2`: the anchor.
    pub pane_id: String,
    /// The process that the pane runs.
    pub process: ProcessIdentity,
    /// Program and arguments as launched; empty for a joined session.
    pub program: Vec<String>,
    /// When these facts were taken.
    pub observed_at_utc: String,
}

impl Document for Surface {
    const NAME: &'static str = "surface.json";
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)?;
        for (field, text, sigil) in [
            ("tmux_session_id", &self.tmux_session_id, '$'),
            ("window_id", &self.window_id, '@'),
            ("pane_id", &self.pane_id, '%'),
        ] {
            let number = text.strip_prefix(sigil).unwrap_or_default();
            if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
                return Err(BrokenRule::other(format!("`{field}` must be `{sigil}` and a number")));
            }
        }
        if !self.tmux_socket.starts_with('/') {
            return Err(BrokenRule::other("`tmux_socket` must be an absolute path"));
        }
        Ok(())
    }
}

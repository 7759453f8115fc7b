//! What the tools say themselves: titles, status sequences, hooks, records on disk.
//!
//! Promises: no I/O, no clock; what is not understood says nothing, and never fails: tools change their files and hooks
//! from one release to the next. Callers: `tracker`, `http`.

mod claude;
mod codex;
mod gemini;
mod program_status;
mod title;

use serde_json::Value;

pub use claude::{Status as ClaudeStatus, Transcript};
pub use codex::Rollout;
pub use gemini::Chat;
pub use program_status::{Heard, ProgramStatus};
pub use title::TitleMarks;

use super::Sign;
use crate::model::Outcome;

/// The longest text of a tool that is kept: a reply, a prompt, a message.
const LONGEST: usize = 1 << 20;

/// What something says, in order; empty if it says nothing.
pub type Signs = Vec<Sign>;

/// A tool whose signs are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
    /// Gemini CLI.
    Gemini,
}

impl Tool {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Claude, Self::Codex, Self::Gemini];

    /// By its name; `None` for a tool whose signs nobody has written down.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// `claude`, `codex`, `gemini`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
        }
    }
}

/// What one event of a tool's hook says. `None`: no such tool, or this is no event of it; an empty list: an event that
/// says nothing about turns.
pub fn hooks(tool: &str, event: &Value) -> Option<Signs> {
    match Tool::named(tool)? {
        Tool::Claude => claude::hooks(event),
        Tool::Codex => codex::hooks(event),
        Tool::Gemini => gemini::hooks(event),
    }
}

/// A text of the tool, if it says something; cut at the limit.
fn text(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| !text.trim().is_empty())?;
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).map(str::to_owned)
}

/// The end of a turn. A reply that the tool tells is the exact one.
fn ended(turn: Option<String>, outcome: Outcome, reply: Option<String>, error: Option<String>) -> Sign {
    Sign::TurnEnded { turn, outcome, exact: reply.is_some(), reply, error }
}

/// One line of a file with a JSON document per line; `None` for half a line and for anything else.
fn line(text: &str) -> Option<Value> {
    let text = text.trim();
    if !text.starts_with('{') {
        return None;
    }
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests;

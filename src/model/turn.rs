//! A turn: prompt submitted → agent settled again.

use serde::{Deserialize, Serialize};

use super::RequestId;

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The agent finished.
    Success,
    /// A person or a program stopped it.
    Interrupted,
    /// The agent says that it failed: an API error, a crash.
    Failed,
    /// It is over, and nothing says how.
    Unknown,
}

impl Outcome {
    /// The word on the wire and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Which sense an observation came through, weakest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The kernel: is it alive, in the foreground, does it work.
    Process,
    /// Somebody told us: a prompt was noted or typed, an interrupt was pressed.
    Input,
    /// The tool's own records on disk: status file, transcript, rollout, chat.
    Record,
    /// A hook of the tool.
    Hook,
    /// Status sequences in the tool's output (OSC 7501).
    ProgramStatus,
    /// The pane's title (OSC 0/2).
    Title,
    /// What the screen shows.
    Screen,
}

impl Source {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Input => "input",
            Self::Record => "record",
            Self::Hook => "hook",
            Self::ProgramStatus => "program_status",
            Self::Title => "title",
            Self::Screen => "screen",
        }
    }
}

/// What the agent answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The text.
    pub text: String,
    /// Where it was read.
    pub source: Source,
    /// It is the tool's own record of it, sign for sign but for blanks around it.
    pub exact: bool,
    /// It was longer than is kept.
    #[serde(default)]
    pub truncated: bool,
}

/// What spoke for one edge of a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoken {
    /// Through which sense.
    pub source: Source,
    /// What it said, in one short sentence.
    pub what: String,
    /// When.
    pub at_utc: String,
}

/// One turn, open or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnRecord {
    /// `turn-20261121-115826Z-5508dee7`.
    pub id: String,
    /// The request that began it; `None` if a person did.
    pub request_id: Option<RequestId>,
    /// The tool's own name for it.
    pub tool_turn_id: Option<String>,
    /// What was asked, where it is known.
    pub prompt: Option<String>,
    /// When it began: UTC with milliseconds.
    pub started_at_utc: String,
    /// When it ended; `None` while it is open.
    pub ended_at_utc: Option<String>,
    /// How; `None` while it is open.
    pub outcome: Option<Outcome>,
    /// What was answered; `None` if nothing is known of it.
    pub reply: Option<Reply>,
    /// What the tool said about a failure.
    pub error: Option<String>,
    /// What spoke for its beginning.
    pub started_by: Vec<Spoken>,
    /// What spoke for its end.
    pub ended_by: Vec<Spoken>,
}

//! Headless agents: the template of their turns, the files that each turn leaves, and what the gateway says of it all
//! (contract sections 1.10 and 4.6).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BrokenRule, ChatMode, ChatSession, Document, expect_version};
use crate::model::{Outcome, ProcessIdentity};

/// `headless.json`: how a turn of this session is started. What the manifest has no place for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadlessFile {
    /// Always 1.
    pub schema_version: u32,
    /// Whose words its output is made of: `claude`, `codex`, `gemini`, or `generic`.
    pub dialect: String,
    /// Which conversation a first turn takes up.
    pub startup: StartupChat,
    /// The model of every turn that names no other.
    #[serde(default)]
    pub model: Option<String>,
    /// How hard it thinks, unless a turn says otherwise.
    #[serde(default)]
    pub reasoning_level: Option<u64>,
    /// How long the files of its turns stay.
    #[serde(default)]
    pub keep: KeepTurns,
}

/// How many of a session's turns keep their files, and for how long. What is over one limit goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepTurns {
    /// The newest so many; `None`: all.
    #[serde(default)]
    pub turns: Option<u32>,
    /// So many days after their end; `None`: for ever.
    #[serde(default)]
    pub days: Option<u32>,
}

impl KeepTurns {
    /// Nothing ever goes.
    pub const FOR_EVER: Self = Self { turns: None, days: None };
}

impl Default for KeepTurns {
    fn default() -> Self {
        Self { turns: Some(1_000), days: None }
    }
}

impl Document for HeadlessFile {
    const NAME: &'static str = "headless.json";
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)?;
        if self.keep.turns == Some(0) || self.keep.days == Some(0) {
            return Err(BrokenRule::other("`keep.turns` and `keep.days` are above zero, or null"));
        }
        match (self.startup.mode, &self.startup.id) {
            (ChatMode::Exact, None) => Err(BrokenRule::other("`startup` with mode `exact` needs an `id`")),
            (ChatMode::Current | ChatMode::Auto, _) => {
                Err(BrokenRule::other("`startup.mode` must be `new`, `tool_last_or_new` or `exact`"))
            }
            _ => Ok(()),
        }
    }
}

/// Which conversation a first turn takes up: `new`, `tool_last_or_new`, or `exact` with its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartupChat {
    /// How it is chosen.
    pub mode: ChatMode,
    /// Its id; exactly with [`ChatMode::Exact`].
    #[serde(default)]
    pub id: Option<String>,
}

/// `headless-turn.json`: the turn that was started last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastStarted {
    /// Always 1.
    pub schema_version: u32,
    /// Its name, which is its folder's.
    pub turn_id: String,
    /// Counts the turns of the session from 1.
    pub turn_index: u64,
}

impl Document for LastStarted {
    const NAME: &'static str = "headless-turn.json";
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)
    }
}

/// `turn.json`: what a turn is to do. Written before anything is started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnPlan {
    /// Always 1.
    pub schema_version: u32,
    /// Its name.
    pub turn_id: String,
    /// Counts the turns of the session from 1.
    pub turn_index: u64,
    /// The request that asked for it.
    pub request_id: Option<String>,
    /// Whose words its output is made of.
    pub dialect: String,
    /// Program and arguments.
    pub words: Vec<String>,
    /// The program reads `prompt.txt`; otherwise the prompt is among the words.
    pub reads_prompt: bool,
    /// The conversation as it was chosen: `new`, `last`, or an id.
    pub conversation: String,
    /// The id that the conversation has whatever the program says: ours, for a program that is told it.
    pub session_id: Option<String>,
    /// Why the conversation is another one than the caller may expect.
    pub note: Option<String>,
    /// Where the program works.
    pub working_directory: String,
    /// The process whose environment the program gets; ours if it is gone.
    pub environment_of: Option<ProcessIdentity>,
    /// What is added to that environment: names and values.
    pub environment: Vec<(String, String)>,
    /// When it was planned.
    pub created_at_utc: String,
}

impl Document for TurnPlan {
    const NAME: &'static str = "turn.json";
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)
    }
}

/// `runner.json`: who looks after a turn, and what it started. The first version stands there before the program is
/// started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnProcesses {
    /// Always 1.
    pub schema_version: u32,
    /// The runner.
    pub runner: ProcessIdentity,
    /// The program; `None` while nothing is known to be started.
    pub child: Option<ProcessIdentity>,
    /// When the program was started; before that, when the runner was there.
    pub at_utc: String,
}

impl Document for TurnProcesses {
    const NAME: &'static str = "runner.json";
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)
    }
}

/// `process.json` (contract section 1.10).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFile {
    /// Pid of the runner.
    pub runner_pid: u32,
    /// Pid of the program.
    pub child_pid: u32,
    /// When it was started.
    pub launched_at_utc: String,
}

/// `end.json`: how a turn ended. While it is missing, the turn is not settled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnEnd {
    /// Always 1.
    pub schema_version: u32,
    /// How.
    pub outcome: Outcome,
    /// The exit status; `None` if nobody was there to see it.
    pub exit_code: Option<i32>,
    /// The conversation, as the program told it.
    pub session_id: Option<String>,
    /// What was answered; it stands in `reply.txt`.
    #[serde(skip)]
    pub reply: Option<String>,
    /// There is an answer.
    pub has_reply: bool,
    /// It was longer than is kept.
    pub reply_truncated: bool,
    /// The reply is the program's own record of it.
    pub exact: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// Tokens and cost, in the program's words.
    pub usage: Option<Value>,
    /// When the program was started; `None` if it was not.
    pub started_at_utc: Option<String>,
    /// When its end was seen.
    pub ended_at_utc: String,
}

impl Document for TurnEnd {
    const NAME: &'static str = "end.json";
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), BrokenRule> {
        expect_version(self.schema_version, Self::SCHEMA_VERSION)
    }
}

/// A line of `canonical-events.jsonl` (contract section 1.10).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CanonicalEvent {
    /// `session`, `progress`, `reasoning`, `assistant`, `action_request`, `action_result`, `completion`, `diagnostic`
    /// or `passthrough`.
    pub kind: String,
    /// For a person.
    pub message: String,
    /// The dialect.
    pub provider: String,
    /// The program's own word for it.
    pub provider_event_type: String,
    /// The conversation, as far as it is known.
    pub session_id: Option<String>,
    /// Counts the turns of the session from 1.
    pub turn_index: u64,
    /// When it was read.
    pub timestamp_utc: String,
    /// What was understood of it.
    pub data: Value,
    /// As it came: JSON, or the line as a text.
    pub raw_payload: Value,
}

/// `GET /v1/control/headless/state` (contract section 4.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadlessState {
    /// Always 1.
    pub schema_version: u32,
    /// A next turn can take up the conversation.
    pub runtime_resumable: bool,
    /// The tmux session is there.
    pub tmux_session_live: bool,
    /// `ready_only` would be admitted.
    pub can_accept_prompt_now: bool,
    /// A turn runs that an interrupt would end.
    pub interruptible: bool,
    /// Which conversation.
    pub chat_session: HeadlessChat,
    /// As in the status document.
    pub request_admission: super::Admission,
    /// As in the status document.
    pub active_execution: super::Execution,
    /// As in the status document.
    pub queue_depth: u64,
    /// The turn that runs.
    pub active_turn_id: Option<String>,
}

/// Which conversation the next prompts belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadlessChat {
    /// The pinned one.
    pub current: Option<ChatId>,
    /// What a first turn takes up.
    pub startup_default: StartupChat,
    /// What the next prompt takes up instead, once; its mode is always `new`.
    pub next_prompt_override: Option<NextPrompt>,
}

/// A conversation's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatId {
    /// As the tool names it.
    pub id: String,
}

/// `{"mode":"new"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextPrompt {
    /// Always [`ChatMode::New`].
    pub mode: ChatMode,
}

impl From<StartupChat> for ChatSession {
    fn from(chat: StartupChat) -> Self {
        Self { mode: chat.mode, id: chat.id }
    }
}

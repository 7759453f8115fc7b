//! What crosses HTTP and stands in files: one type per document, with the contract's exact key sets.
//!
//! Every document refuses unknown keys and wrong JSON types, as the v1 gateway contract does, and checks
//! the rules between fields in [`Document::check`]. The bodies of requests are read in `http`, which names every wrong
//! field at once. No I/O here: `session` reads and writes the documents.

mod agent_event;
mod approval;
mod attach;
mod desired;
mod expiry;
mod headless;
mod instance;
mod journal;
mod keys;
mod mail;
mod mail_call;
mod manifest;
mod memory;
mod notifier;
mod on_draft;
mod ready;
mod recording;
mod registry;
mod registry_v2;
mod reminder;
mod request;
mod status;
mod surface;
mod tui;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use agent_event::{AgentEventTaken, LARGEST_AGENT_EVENT};
pub use approval::{Approval, ApprovalAnswered, ApprovalChoice, ApprovalOption, Approvals};
pub use attach::{AttachContract, BackendMetadata, GatewayManifest};
pub use desired::{DesiredConfig, DiagnosticLogging, TimingWishes, TrackingTimings};
pub use expiry::{BadExpiry, parse_expires_in};
pub use headless::{
    CanonicalEvent, ChatId, HeadlessChat, HeadlessFile, HeadlessState, KeepTurns, LastStarted, NextPrompt, ProcessFile,
    StartupChat, TurnEnd, TurnPlan, TurnProcesses,
};
pub use instance::{ControlClient, CurrentInstance, Owner};
pub use journal::{
    EventView, ReceiptView, Reconcile, ReconcileAction, Reconciled, RequestDetail, RequestFilter, RequestList,
    RequestView,
};
pub use keys::{KeyPress, SpecialKey, UnknownKey, parse_keys};
pub use mail::{
    AttachmentView, BlockPlacement, FilesystemBinding, JmapBinding, MailAttached, MailBinding, MailChanged,
    MailContent, MailDone, MailDraft, MailFlags, MailIdentity, MailList, MailPost, MailQuery, MailReply, MailStatus,
    MailboxKind, MessageView, NewAttachment, NotifyAuth, NotifyBlock, Participant, ReplyPolicy,
};
pub use mail_call::{MailAnswer, MailCall, MailGateway, resolve_live};
pub use manifest::{AgentLaunchAuthority, GatewayAuthority, Interactive, LaunchPlan, Manifest, Runtime, TmuxSection};
pub use memory::{MemoryAnswer, MemoryCall, MemoryPaths, PageEntry, PageKind};
pub use notifier::{
    BlockAuthMode, BlockEntry, BlockRender, BlockVerifier, ContextAction, ContextErrorPolicy, MessageSummary,
    NotifierChange, NotifierMode, NotifierSettings, NotifierStatus, NotifierWait, SharedTokens, WaitsFor,
};
pub use on_draft::OnDraft;
pub use ready::{Place, Readiness};
pub use recording::{Recording, RecordingAction, Recordings};
pub use registry::{
    GatewayPointer, Identity, Lifecycle, LifecycleState, Liveness, RegistryRecord, RuntimePointer, Terminal,
};
pub use reminder::{
    LONGEST_DELAY_SECONDS, MOST_OWED, MOST_REMINDERS, ReminderDefinition, ReminderDeleted, ReminderDelivery,
    ReminderKeys, ReminderList, ReminderMode, ReminderPlan, ReminderStart, ReminderView, WhenMissed,
};
pub use request::{
    AdmissionPolicy, ChatMode, ChatSession, ControlInput, ControlInputSent, ControlPrompt, ControlPromptRefused,
    ControlPromptSent, ExecutionOverride, LARGEST_PROMPT, LARGEST_SEQUENCE, ModelOverride, Reasoning, RequestAccepted,
    RequestCreate, RequestPayload, SubmitPrompt,
};
pub use status::{Admission, Connectivity, Eligibility, Execution, GatewayHealth, Health, Recovery, StatusDocument};
pub use surface::{Origin, Surface};
pub use tui::{
    DiagnosticsView, Explanation, Ground, Heard, HistoryEntry, LastTurnView, ParsedSurface, ProbeView, SenseError,
    StabilityView, SurfaceView, TrackedSession, TransitionView, TuiHistory, TuiState, TurnDetail, TurnList, TurnPhase,
    TurnView,
};

/// The protocol tag of the contract.
pub const PROTOCOL_VERSION: &str = "v1";

/// Response header with the random id of the gateway process that answered.
///
/// `/health` may not gain keys, so identity travels beside the body.
pub const INSTANCE_HEADER: &str = "agents-gateway-instance";

/// Request header with the caller's name for one piece of work: 1 to 128 visible ASCII characters.
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";

/// Response header of a refusal with its stable word; the contract's body has place for a sentence only.
pub const ERROR_CODE_HEADER: &str = "agents-error-code";

/// Request header with the longest wait; [`parse_expires_in`] reads it.
pub const EXPIRES_IN_HEADER: &str = "agents-expires-in";

/// Request header with what to do with a draft; one of the words of [`OnDraft`].
pub const ON_DRAFT_HEADER: &str = "agents-on-draft";

/// A document with rules between its fields.
pub trait Document: Serialize + DeserializeOwned {
    /// What a person calls it.
    const NAME: &'static str;
    /// The `schema_version` that this program reads and writes.
    const SCHEMA_VERSION: u32;

    /// A document of another version in today's shape; `None` for every version that is not read.
    fn upgraded(_other: Value) -> Option<Self> {
        None
    }

    /// The rules that the shape alone cannot express.
    ///
    /// # Errors
    /// The broken rule.
    fn check(&self) -> Result<(), BrokenRule>;
}

/// A rule of a document that its content breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenRule {
    /// A gateway says that it runs in the agent's window. Nobody acts on such a record.
    #[error("the gateway claims tmux window 0, which belongs to the agent")]
    ClaimsWindowZero,
    /// Any other, in one sentence.
    #[error("{0}")]
    Other(String),
}

impl BrokenRule {
    /// A rule that nobody tells from the others.
    pub fn other(sentence: impl Into<String>) -> Self {
        Self::Other(sentence.into())
    }
}

/// How the gateway process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionMode {
    /// Its own process group and session, in no window.
    #[default]
    DetachedProcess,
    /// In an auxiliary window (index 1 or higher) of the agent's tmux session.
    TmuxAuxiliaryWindow,
}

/// Where a gateway listens: exactly one of the two hosts that the contract allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Host {
    /// This machine only.
    #[serde(rename = "127.0.0.1")]
    Loopback,
    /// Every interface; needs a token.
    #[serde(rename = "0.0.0.0")]
    Any,
}

impl Host {
    /// The address to bind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "127.0.0.1",
            Self::Any => "0.0.0.0",
        }
    }

    /// Reads one of the two legal spellings.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "127.0.0.1" => Some(Self::Loopback),
            "0.0.0.0" => Some(Self::Any),
            _ => None,
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The window of a gateway that runs in one, as tmux names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// `@3`.
    pub window_id: String,
    /// `"1"` or higher; never `"0"`, which belongs to the agent.
    pub window_index: String,
    /// `%5`.
    pub pane_id: String,
}

fn expect_version(found: u32, wanted: u32) -> Result<(), BrokenRule> {
    if found == wanted {
        Ok(())
    } else {
        Err(BrokenRule::other(format!("schema_version is {found}, expected {wanted}")))
    }
}

fn expect_text(field: &str, text: &str) -> Result<(), BrokenRule> {
    if text.trim().is_empty() { Err(BrokenRule::other(format!("`{field}` must not be blank"))) } else { Ok(()) }
}

/// Window fields are all set for a window and all null otherwise, and never name window 0.
fn expect_window(
    mode: ExecutionMode,
    id: Option<&str>,
    index: Option<&str>,
    pane: Option<&str>,
) -> Result<(), BrokenRule> {
    if index == Some("0") {
        return Err(BrokenRule::ClaimsWindowZero);
    }
    match mode {
        ExecutionMode::TmuxAuxiliaryWindow if id.is_none() || index.is_none() || pane.is_none() => {
            Err(BrokenRule::other("an auxiliary window needs its id, index and pane id"))
        }
        ExecutionMode::DetachedProcess if id.is_some() || index.is_some() || pane.is_some() => {
            Err(BrokenRule::other("a detached process has no tmux window"))
        }
        _ => Ok(()),
    }
}

//! The bodies that bring work (contract sections 4.2 to 4.4) and their answers.
//!
//! `http` reads the bodies field by field, because a refusal names every wrong field at once; the shapes here are what
//! comes out of that, and what a client writes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{RequestKind, RequestState};

/// The longest prompt that is taken, in bytes of UTF-8.
pub const LARGEST_PROMPT: usize = 524_288;

/// The longest sequence of keys that is taken, in bytes of UTF-8.
pub const LARGEST_SEQUENCE: usize = 65_536;

/// `POST /v1/requests`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestCreate {
    /// Always 1.
    pub schema_version: u32,
    /// `submit_prompt` or `interrupt`; agrees with the payload.
    pub kind: RequestKind,
    /// What the kind asks for.
    pub payload: RequestPayload,
}

impl RequestCreate {
    /// A prompt for the agent as it is.
    pub fn prompt(text: impl Into<String>) -> Self {
        Self::prompt_with(text, None)
    }

    /// A prompt with a model of its own.
    pub fn prompt_with(text: impl Into<String>, execution: Option<ExecutionOverride>) -> Self {
        let payload = SubmitPrompt { prompt: text.into(), turn_id: None, chat_session: None, execution };
        Self { schema_version: 1, kind: RequestKind::SubmitPrompt, payload: RequestPayload::SubmitPrompt(payload) }
    }

    /// The agent's interrupt key.
    pub fn interrupt() -> Self {
        Self { schema_version: 1, kind: RequestKind::Interrupt, payload: RequestPayload::Interrupt {} }
    }
}

/// The payload of one kind of request, as it crosses the wire and as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RequestPayload {
    /// Text to type and submit.
    SubmitPrompt(SubmitPrompt),
    /// `{}`.
    Interrupt {},
}

impl RequestPayload {
    /// The object in the column `payload_json`: every key is there, absent ones are null.
    pub fn stored(&self) -> Value {
        // Plain text and numbers: there is nothing in it that could fail.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The payload of `submit_prompt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitPrompt {
    /// Not blank, at most [`LARGEST_PROMPT`] bytes, no end of a bracketed paste in it.
    pub prompt: String,
    /// The caller's name for the turn; not blank.
    #[serde(default)]
    pub turn_id: Option<String>,
    /// Which conversation.
    #[serde(default)]
    pub chat_session: Option<ChatSession>,
    /// Which model; only where the gateway starts the agent for each turn, never for a terminal.
    #[serde(default)]
    pub execution: Option<ExecutionOverride>,
}

/// Which conversation of the agent a prompt belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatSession {
    /// How it is chosen.
    pub mode: ChatMode,
    /// Its id; exactly with [`ChatMode::Exact`].
    #[serde(default)]
    pub id: Option<String>,
}

/// How a conversation is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatMode {
    /// Whatever the gateway prefers.
    Auto,
    /// A fresh one.
    New,
    /// The pinned one.
    Current,
    /// The one the tool used last.
    ToolLastOrNew,
    /// The one with this id.
    Exact,
}

impl ChatMode {
    /// The words of the wire, in the contract's order.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("auto", Self::Auto),
        ("new", Self::New),
        ("current", Self::Current),
        ("tool_last_or_new", Self::ToolLastOrNew),
        ("exact", Self::Exact),
    ];
}

/// Another model for one turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionOverride {
    /// At least one of its fields is set.
    pub model: ModelOverride,
}

/// Which model, and how hard it thinks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelOverride {
    /// The provider's name of it.
    #[serde(default)]
    pub name: Option<String>,
    /// How hard it thinks.
    #[serde(default)]
    pub reasoning: Option<Reasoning>,
}

/// How hard a model thinks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reasoning {
    /// 0 or higher; what it means depends on the provider.
    pub level: u64,
}

/// The answer to `POST /v1/requests`: on disk, and not typed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestAccepted {
    /// Name of the request from now on.
    pub request_id: String,
    /// As asked.
    pub request_kind: RequestKind,
    /// Always `accepted`.
    pub state: RequestState,
    /// In seconds.
    pub accepted_at_utc: String,
    /// Rows in `accepted` and `running`, this one included.
    pub queue_depth: u64,
    /// The life of the agent that it was accepted for.
    pub managed_agent_instance_epoch: u64,
}

/// When a direct prompt may be typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdmissionPolicy {
    /// Only when nothing waits and the agent is ready and quiet.
    #[default]
    ReadyOnly,
    /// Also when it is busy, unless something waits in its composer.
    IfNoPending,
    /// Whenever the agent is there.
    Always,
}

impl AdmissionPolicy {
    /// The words of the wire, in the contract's order.
    pub const WORDS: [(&'static str, Self); 3] =
        [("ready_only", Self::ReadyOnly), ("if_no_pending", Self::IfNoPending), ("always", Self::Always)];

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadyOnly => "ready_only",
            Self::IfNoPending => "if_no_pending",
            Self::Always => "always",
        }
    }
}

impl std::fmt::Display for AdmissionPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// `POST /v1/control/prompt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlPrompt {
    /// Always 2.
    pub schema_version: u32,
    /// As in [`SubmitPrompt`].
    pub prompt: String,
    /// When it may be typed.
    pub admission_policy: AdmissionPolicy,
    /// A terminal knows only a new one.
    pub chat_session: Option<ChatSession>,
    /// Never for a terminal.
    pub execution: Option<ExecutionOverride>,
}

impl ControlPrompt {
    /// A prompt for the agent as it is.
    pub fn new(prompt: impl Into<String>, admission_policy: AdmissionPolicy) -> Self {
        Self { schema_version: 2, prompt: prompt.into(), admission_policy, chat_session: None, execution: None }
    }
}

/// The answer to `POST /v1/control/prompt` when the prompt was typed and Enter pressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlPromptSent {
    /// Always `ok`.
    pub status: String,
    /// Always `submit_prompt`.
    pub action: String,
    /// Always true.
    pub sent: bool,
    /// As asked.
    pub admission_policy: AdmissionPolicy,
    /// One sentence for a person.
    pub detail: String,
}

impl ControlPromptSent {
    /// The one good answer.
    pub fn new(admission_policy: AdmissionPolicy, detail: impl Into<String>) -> Self {
        Self {
            status: "ok".to_owned(),
            action: "submit_prompt".to_owned(),
            sent: true,
            admission_policy,
            detail: detail.into(),
        }
    }
}

/// What stands in `detail` when a direct prompt is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlPromptRefused {
    /// Always `error`.
    pub status: String,
    /// Always `submit_prompt`.
    pub action: String,
    /// Always false.
    pub sent: bool,
    /// As asked.
    pub admission_policy: AdmissionPolicy,
    /// A stable word.
    pub error_code: String,
    /// One sentence for a person.
    pub detail: String,
}

impl ControlPromptRefused {
    /// Not sent, for this reason.
    pub fn new(admission_policy: AdmissionPolicy, error_code: &str, detail: impl Into<String>) -> Self {
        Self {
            status: "error".to_owned(),
            action: "submit_prompt".to_owned(),
            sent: false,
            admission_policy,
            error_code: error_code.to_owned(),
            detail: detail.into(),
        }
    }
}

/// `POST /v1/control/send-keys`. It has no `schema_version`; sending one is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlInput {
    /// Text and `<[Key]>` tokens; not empty, at most [`LARGEST_SEQUENCE`] bytes.
    pub sequence: String,
    /// Type the tokens as text too.
    pub escape_special_keys: bool,
}

/// The answer to `POST /v1/control/send-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlInputSent {
    /// Always `ok`.
    pub status: String,
    /// Always `control_input`.
    pub action: String,
    /// One sentence for a person.
    pub detail: String,
}

impl ControlInputSent {
    /// The one good answer.
    pub fn new(detail: impl Into<String>) -> Self {
        Self { status: "ok".to_owned(), action: "control_input".to_owned(), detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies_have_exactly_the_contracts_keys() {
        let payload = json!({"chat_session": null, "execution": null, "prompt": "hello", "turn_id": null});
        let create = RequestCreate::prompt("hello");
        assert_eq!(create.payload.stored(), payload);
        let body = json!({"schema_version": 1, "kind": "submit_prompt", "payload": payload});
        assert_eq!(serde_json::to_value(create).unwrap(), body);
        let interrupt = json!({"schema_version": 1, "kind": "interrupt", "payload": {}});
        assert_eq!(serde_json::to_value(RequestCreate::interrupt()).unwrap(), interrupt);
        let sent = ControlPromptSent::new(AdmissionPolicy::IfNoPending, "typed");
        let answer = json!({
            "status": "ok", "action": "submit_prompt", "sent": true, "admission_policy": "if_no_pending", "detail": "typed",
        });
        assert_eq!(serde_json::to_value(sent).unwrap(), answer);
    }

    #[test]
    fn words_agree_with_the_wire() {
        for (word, policy) in AdmissionPolicy::WORDS {
            assert_eq!((policy.name(), serde_json::to_value(policy).unwrap()), (word, json!(word)));
        }
        for (word, mode) in ChatMode::WORDS {
            assert_eq!(serde_json::to_value(mode).unwrap(), word);
        }
    }
}

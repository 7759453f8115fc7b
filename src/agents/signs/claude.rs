//! What Claude Code says: its hooks, its status file and its transcripts. Pure.

use serde_json::Value;

use super::{Signs, ended, text};
use crate::{
    agents::{DialogKind, Sign},
    model::Outcome,
};

/// Reads a hook's event.
///
/// A prompt that Claude puts behind a running turn comes with the id of that turn, and an interrupt comes not at all.
pub(super) fn hooks(event: &Value) -> Option<Signs> {
    let turn = || text(&event["prompt_id"]);
    let said = || text(&event["last_assistant_message"]);
    let signs = match event["hook_event_name"].as_str()? {
        "SessionStart" => vec![Sign::SessionBegan {
            session: text(&event["session_id"]),
            why: text(&event["source"]).unwrap_or_default(),
        }],
        "UserPromptSubmit" => vec![Sign::PromptTaken { text: text(&event["prompt"]), turn: turn(), queued: false }],
        "PostToolUse" => vec![Sign::Working],
        "Stop" => vec![ended(turn(), Outcome::Success, said(), None)],
        "StopFailure" => {
            let error = said().or_else(|| text(&event["error"])).unwrap_or_else(|| "a failure".to_owned());
            vec![ended(turn(), Outcome::Failed, None, Some(error))]
        }
        "PermissionRequest" => {
            let kind = match event["tool_name"].as_str() {
                Some("AskUserQuestion") => DialogKind::Question,
                _ => DialogKind::Permission,
            };
            vec![Sign::Waiting { kind, message: text(&event["tool_name"]) }]
        }
        "Notification" => notified(event).into_iter().collect(),
        "PreCompact" => vec![Sign::Compacting],
        "PostCompact" => vec![Sign::Compacted],
        "SessionEnd" => vec![Sign::SessionEnded { why: text(&event["reason"]).unwrap_or_default() }],
        _ => Vec::new(),
    };
    Some(signs)
}

fn notified(event: &Value) -> Option<Sign> {
    let message = text(&event["message"]);
    match event["notification_type"].as_str()? {
        "permission_prompt" => Some(Sign::Waiting { kind: DialogKind::Permission, message }),
        "elicitation_dialog" => Some(Sign::Waiting { kind: DialogKind::Question, message }),
        "idle_prompt" => Some(Sign::Idle),
        _ => None,
    }
}

/// Claude's status file, `sessions/<pid>.json`. It stays behind when Claude is killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The process that it is about.
    pub pid: u32,
    /// When that process was started, in the kernel's ticks since the machine was.
    pub start_ticks: Option<u64>,
    /// The folder that it works in.
    pub folder: Option<String>,
    /// The conversation: the name of its transcript.
    pub session: String,
    /// Claude's version.
    pub version: Option<String>,
    /// What it does; `None` before it has said so for the first time.
    pub sign: Option<Sign>,
}

impl Status {
    /// Reads the whole file; `None` for half of one.
    pub fn read(file: &str) -> Option<Self> {
        let file: Value = serde_json::from_str(file).ok()?;
        let sign = match file["status"].as_str() {
            Some("busy") => Some(Sign::Working),
            Some("idle") => Some(Sign::Idle),
            Some("waiting") => {
                let kind = match file["waitingFor"].as_str() {
                    Some("permission prompt") => DialogKind::Permission,
                    Some("input needed") => DialogKind::Question,
                    _ => DialogKind::Other,
                };
                Some(Sign::Waiting { kind, message: text(&file["waitingFor"]) })
            }
            _ => None,
        };
        let pid = u32::try_from(file["pid"].as_u64()?).ok()?;
        let start_ticks = file["procStart"].as_str().and_then(|ticks| ticks.parse().ok());
        let session = text(&file["sessionId"])?;
        Some(Self { pid, start_ticks, folder: text(&file["cwd"]), session, version: text(&file["version"]), sign })
    }
}

/// Reads a transcript, line by line.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    /// Claude's version, from the last line that has it.
    pub version: Option<String>,
    /// The turn of the last prompt.
    turn: Option<String>,
    /// The text of the last message, and its id.
    answer: Option<(String, String)>,
}

impl Transcript {
    /// Takes in one line; returns what it says.
    pub fn read(&mut self, line: &str) -> Signs {
        // Most of it is attachments and requests, some very long: told apart before anything is parsed.
        let kinds =
            ["\"type\":\"user\"", "\"type\":\"assistant\"", "\"type\":\"system\"", "\"type\":\"queue-operation\""];
        if !kinds.iter().any(|kind| line.contains(kind)) {
            return Vec::new();
        }
        let Some(line) = super::line(line) else { return Vec::new() };
        if line["isSidechain"] == true {
            return Vec::new();
        }
        if let Some(version) = text(&line["version"]) {
            self.version = Some(version);
        }
        match line["type"].as_str() {
            Some("user") => self.user(&line).into_iter().collect(),
            Some("assistant") => self.assistant(&line).into_iter().collect(),
            Some("system") if line["subtype"] == "compact_boundary" => vec![Sign::Compacted],
            Some("queue-operation") if line["operation"] == "enqueue" => {
                vec![Sign::PromptTaken { text: text(&line["content"]), turn: None, queued: true }]
            }
            _ => Vec::new(),
        }
    }

    fn user(&mut self, line: &Value) -> Option<Sign> {
        if line["isMeta"] == true || line["isCompactSummary"] == true {
            return None;
        }
        let typed = typed(&line["message"]["content"])?;
        let turn = text(&line["promptId"]);
        if typed.starts_with("[Request interrupted by user") {
            let partial = self.answer.take().map(|(_, said)| said);
            return Some(ended(turn.or(self.turn.take()), Outcome::Interrupted, partial, None));
        }
        // Commands of Claude itself, and what they print.
        let own = ["<command-name>", "<command-message>", "<local-command", "<bash-"];
        if own.iter().any(|beginning| typed.starts_with(beginning)) {
            return None;
        }
        self.turn.clone_from(&turn);
        self.answer = None;
        Some(Sign::PromptTaken { text: Some(typed), turn, queued: false })
    }

    fn assistant(&mut self, line: &Value) -> Option<Sign> {
        let message = &line["message"];
        let said = blocks(&message["content"]);
        if line["isApiErrorMessage"] == true {
            return Some(ended(self.turn.clone(), Outcome::Failed, None, said));
        }
        let new = said.is_some();
        // One message comes in as many lines as it has parts.
        if let Some(said) = said {
            let id = text(&message["id"]).unwrap_or_default();
            match &mut self.answer {
                Some((known, answer)) if *known == id => {
                    answer.push('\n');
                    answer.push_str(&said);
                }
                answer => *answer = Some((id, said)),
            }
        }
        let answer = self.answer.as_ref().map(|(_, said)| said.clone());
        match message["stop_reason"].as_str() {
            Some("end_turn" | "stop_sequence" | "max_tokens" | "refusal") => {
                Some(ended(self.turn.clone(), Outcome::Success, answer, None))
            }
            _ => answer.filter(|_| new).map(|text| Sign::Replied { turn: self.turn.clone(), text, exact: true }),
        }
    }
}

/// What a person typed; `None` for results of tools.
fn typed(content: &Value) -> Option<String> {
    match content {
        Value::Array(parts) if parts.iter().any(|part| part["type"] == "tool_result") => None,
        other => blocks(other),
    }
}

/// A text, or the text parts of one.
fn blocks(content: &Value) -> Option<String> {
    match content {
        Value::Array(parts) => {
            let parts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            text(&Value::String(parts.join("\n")))
        }
        other => text(other),
    }
}

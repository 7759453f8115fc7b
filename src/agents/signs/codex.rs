//! What Codex says: its hooks, its `notify` program's argument, and its rollout files. Pure.

use serde_json::Value;

use super::{Signs, ended, text};
use crate::{
    agents::{DialogKind, Sign},
    model::Outcome,
};

/// Reads a hook's event, or the argument of a `notify` program.
pub(super) fn hooks(event: &Value) -> Option<Signs> {
    if event["type"] == "agent-turn-complete" {
        return Some(notified(event).into_iter().collect());
    }
    let turn = text(&event["turn_id"]);
    let signs = match event["hook_event_name"].as_str()? {
        "SessionStart" => vec![Sign::SessionBegan {
            session: text(&event["session_id"]),
            why: text(&event["source"]).unwrap_or_default(),
        }],
        "UserPromptSubmit" => vec![Sign::PromptTaken { text: text(&event["prompt"]), turn, queued: false }],
        "Stop" => vec![ended(turn, Outcome::Success, text(&event["last_assistant_message"]), None)],
        "Interrupt" => vec![ended(turn, Outcome::Interrupted, None, None)],
        "PermissionRequest" => {
            vec![Sign::Waiting { kind: DialogKind::Permission, message: text(&event["tool_name"]) }]
        }
        "PreCompact" => vec![Sign::Compacting],
        "PostCompact" => vec![Sign::Compacted],
        "SessionEnd" => vec![Sign::SessionEnded { why: text(&event["reason"]).unwrap_or_default() }],
        _ => Vec::new(),
    };
    Some(signs)
}

/// The end of a turn, as `notify` tells it; also of the hidden conversations in which Codex looks for a title.
fn notified(event: &Value) -> Option<Sign> {
    let reply = text(&event["last-assistant-message"]);
    let hidden = event["input-messages"].as_array().is_some_and(|all| all.len() == 1)
        && reply
            .as_deref()
            .and_then(|reply| serde_json::from_str::<Value>(reply).ok())
            .is_some_and(|reply| reply["title"].is_string());
    (!hidden).then(|| ended(text(&event["turn-id"]), Outcome::Success, reply, None))
}

/// Reads a rollout file (`rollout-*.jsonl`), line by line.
#[derive(Debug, Clone, Default)]
pub struct Rollout {
    /// The conversation's id, from the first line.
    pub session: Option<String>,
    /// The folder that it works in, from the first line.
    pub folder: Option<String>,
    /// Codex's version, from the first line.
    pub version: Option<String>,
    /// A conversation that Codex leads for itself, or one of an agent inside it.
    pub hidden: bool,
    /// The turn that only shortens the context.
    compacting: Option<String>,
}

impl Rollout {
    /// Takes in one line; returns what it says.
    pub fn read(&mut self, line: &str) -> Signs {
        // Most of a rollout is instructions and results: told apart before anything is parsed.
        let interesting = ["\"session_meta\"", "\"event_msg\""]
            .iter()
            .any(|kind| line.get(..200.min(line.len())).unwrap_or(line).contains(kind));
        if !interesting {
            return Vec::new();
        }
        let Some(line) = super::line(line) else { return Vec::new() };
        let payload = &line["payload"];
        match line["type"].as_str() {
            Some("session_meta") => self.began(payload),
            Some("event_msg") => self.event(payload),
            _ => Vec::new(),
        }
    }

    fn began(&mut self, meta: &Value) -> Signs {
        if self.session.is_some() {
            return Vec::new();
        }
        self.session = text(&meta["id"]);
        self.folder = text(&meta["cwd"]);
        self.version = text(&meta["cli_version"]);
        self.hidden =
            meta["thread_source"].as_str().is_some_and(|source| source != "user") || meta["source"].is_object();
        if self.hidden {
            return Vec::new();
        }
        vec![Sign::SessionBegan { session: self.session.clone(), why: "startup".to_owned() }]
    }

    fn event(&mut self, event: &Value) -> Signs {
        if self.hidden {
            return Vec::new();
        }
        let turn = text(&event["turn_id"]);
        let sign = match event["type"].as_str() {
            // Versions that tell who asked for a turn leave that out for one that nobody did.
            Some("task_started" | "turn_started")
                if event["turn_attribution"].is_null() && !event["root_turn_id"].is_null() =>
            {
                self.compacting = turn;
                Sign::Compacting
            }
            Some("task_started" | "turn_started") => Sign::PromptTaken { text: None, turn, queued: false },
            Some("item_completed") if event["item"]["type"] == "UserMessage" => {
                Sign::PromptTaken { text: message(&event["item"]["content"]), turn, queued: false }
            }
            // As older versions tell it.
            Some("user_message") => Sign::PromptTaken { text: text(&event["message"]), turn, queued: false },
            Some("task_complete" | "turn_complete") if turn.is_some() && turn == self.compacting => {
                self.compacting = None;
                match error(&event["error"]) {
                    Some(error) => ended(turn, Outcome::Failed, None, Some(error)),
                    None => Sign::Compacted,
                }
            }
            Some("task_complete" | "turn_complete") => {
                let error = error(&event["error"]);
                let outcome = if error.is_some() { Outcome::Failed } else { Outcome::Success };
                ended(turn, outcome, text(&event["last_agent_message"]), error)
            }
            Some("turn_aborted") => {
                self.compacting = None;
                let outcome = match event["reason"].as_str() {
                    Some("interrupted" | "replaced" | "review_ended") | None => Outcome::Interrupted,
                    Some(_) => Outcome::Unknown,
                };
                ended(turn, outcome, None, None)
            }
            _ => return Vec::new(),
        };
        vec![sign]
    }
}

/// The text parts of a message, as it was typed.
fn message(content: &Value) -> Option<String> {
    let parts: Vec<&str> = content.as_array()?.iter().filter_map(|part| part["text"].as_str()).collect();
    text(&Value::String(parts.concat()))
}

/// What Codex says about a failure, without the wrapping that the model's server put around it.
fn error(error: &Value) -> Option<String> {
    if error.is_null() {
        return None;
    }
    let said = text(&error["message"]).or_else(|| text(error)).unwrap_or_else(|| error.to_string());
    let inner = serde_json::from_str::<Value>(&said).ok().and_then(|inner| text(&inner["error"]["message"]));
    Some(inner.unwrap_or(said))
}

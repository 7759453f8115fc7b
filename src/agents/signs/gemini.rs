//! What Gemini CLI says: its hooks and its chat files. Pure.

use std::collections::HashSet;

use serde_json::Value;

use super::{Signs, ended, text};
use crate::{
    agents::{DialogKind, Sign},
    model::{Moment, Outcome},
};

/// Reads a hook's event. `PreCompress` comes before every turn, and says nothing.
pub(super) fn hooks(event: &Value) -> Option<Signs> {
    let signs = match event["hook_event_name"].as_str()? {
        "SessionStart" => vec![Sign::SessionBegan {
            session: text(&event["session_id"]),
            why: text(&event["source"]).unwrap_or_default(),
        }],
        "BeforeAgent" => vec![Sign::PromptTaken { text: text(&event["prompt"]), turn: None, queued: false }],
        // It comes after an interrupt as well, and glues what it answers together with blanks of its own.
        "AfterAgent" => vec![Sign::TurnEnded {
            turn: None,
            outcome: Outcome::Unknown,
            reply: text(&event["prompt_response"]),
            exact: false,
            error: None,
        }],
        "Notification" if event["notification_type"] == "ToolPermission" => {
            vec![Sign::Waiting { kind: DialogKind::Permission, message: text(&event["message"]) }]
        }
        "SessionEnd" => vec![Sign::SessionEnded { why: text(&event["reason"]).unwrap_or_default() }],
        _ => Vec::new(),
    };
    Some(signs)
}

/// How long writing a history again takes, by the moments of its messages: they all have one, but for a long history.
const REWRITE_MILLIS: i64 = 100;

/// Reads a chat file (`session-*.jsonl`), line by line.
///
/// Nothing in it says that a turn is over, but for a failure or an interrupt: an answer may be followed by a tool's call.
#[derive(Debug, Clone, Default)]
pub struct Chat {
    /// The conversation's id, from the first line.
    pub session: Option<String>,
    /// Prompts that were told already.
    told: HashSet<(String, String)>,
    /// When its history was written again: an interrupted tool makes Gemini do that, with new ids and one new moment.
    rewritten: Option<Moment>,
    /// What was answered since the last prompt, by the id of the message.
    answers: Vec<(String, String)>,
}

impl Chat {
    /// Takes in one line; returns what it says.
    pub fn read(&mut self, line: &str) -> Signs {
        let Some(line) = super::line(line) else { return Vec::new() };
        if let Some(session) = text(&line["sessionId"]) {
            let first = self.session.replace(session.clone()).is_none();
            let began = Sign::SessionBegan { session: Some(session), why: "startup".to_owned() };
            return if first { vec![began] } else { Vec::new() };
        }
        self.message(&line).into_iter().collect()
    }

    fn message(&mut self, message: &Value) -> Option<Sign> {
        let stamp = text(&message["timestamp"]).unwrap_or_default();
        let kind = message["type"].as_str()?;
        let typed = if kind == "user" { Some(content(&message["content"])?) } else { None };
        if typed.as_ref().is_some_and(|typed| typed.starts_with("<session_context>")) {
            self.rewritten = Moment::parse(&stamp);
            return None;
        }
        if kind != "info" && self.is_history(&stamp) {
            return None;
        }
        match kind {
            "user" => {
                let typed = typed?;
                if !self.told.insert((stamp, typed.clone())) {
                    return None;
                }
                self.answers.clear();
                Some(Sign::PromptTaken { text: Some(typed), turn: None, queued: false })
            }
            "gemini" => {
                let id = text(&message["id"]).unwrap_or_default();
                let said = content(&message["content"])?;
                if self.answers.iter().any(|(known, text)| *known == id && *text == said) {
                    // The same message with the results of its calls. It goes on, and its title says for how long.
                    return None;
                }
                self.answers.retain(|(known, _)| *known != id);
                self.answers.push((id, said.clone()));
                Some(Sign::Replied { turn: None, text: said, exact: true })
            }
            "info" if message["content"] == "Request cancelled." => Some(ended(None, Outcome::Interrupted, None, None)),
            "error" => {
                let error = text(&message["content"]).map(|said| plain(&said));
                Some(ended(None, Outcome::Failed, None, error))
            }
            _ => None,
        }
    }
}

impl Chat {
    /// Was this written down when the history was?
    fn is_history(&self, stamp: &str) -> bool {
        let (Some(rewritten), Some(at)) = (self.rewritten, Moment::parse(stamp)) else { return false };
        (0..REWRITE_MILLIS).contains(&(at.epoch_millis() - rewritten.epoch_millis()))
    }
}

/// A text, or the text parts of one; `None` for results of calls.
fn content(content: &Value) -> Option<String> {
    match content {
        Value::Array(parts) => {
            let parts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            text(&Value::String(parts.concat()))
        }
        other => text(other),
    }
}

/// `[API Error: {"error": {"message": …}}]` in the words of the server.
fn plain(said: &str) -> String {
    let inner = said.strip_prefix("[API Error: ").and_then(|rest| rest.strip_suffix(']')).unwrap_or(said);
    let parsed = serde_json::from_str::<Value>(inner).ok();
    parsed.and_then(|parsed| text(&parsed["error"]["message"])).unwrap_or_else(|| said.to_owned())
}

//! The events of the protocol, and what each must hold. *Pure.*

use serde_json::{Map, Value};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A text with something in it.
    Name,
    /// A text that is not empty.
    Delta,
    /// Any text.
    Text,
    /// Who speaks.
    Role,
    List,
    Flag,
    Any,
}

use Kind::{Any, Delta, Flag, List, Name, Role, Text};

/// A field: its name, whether it must be there, what it holds.
type Field = (&'static str, bool, Kind);

/// Fields of every event.
const BASE: [&str; 3] = ["type", "timestamp", "rawEvent"];

const ROLES: [&str; 4] = ["developer", "system", "assistant", "user"];

const MESSAGE: Field = ("messageId", true, Name);
const CALL: Field = ("toolCallId", true, Name);
const RUN: [Field; 2] = [("threadId", true, Name), ("runId", true, Name)];

/// Every event, with its own fields.
const EVENTS: &[(&str, &[Field])] = &[
    ("TEXT_MESSAGE_START", &[MESSAGE, ("role", false, Role), ("name", false, Text)]),
    ("TEXT_MESSAGE_CONTENT", &[MESSAGE, ("delta", true, Delta)]),
    ("TEXT_MESSAGE_END", &[MESSAGE]),
    (
        "TEXT_MESSAGE_CHUNK",
        &[("messageId", false, Name), ("role", false, Role), ("delta", false, Text), ("name", false, Text)],
    ),
    ("THINKING_START", &[("title", false, Text)]),
    ("THINKING_END", &[]),
    ("THINKING_TEXT_MESSAGE_START", &[]),
    ("THINKING_TEXT_MESSAGE_CONTENT", &[("delta", true, Delta)]),
    ("THINKING_TEXT_MESSAGE_END", &[]),
    ("REASONING_START", &[MESSAGE]),
    ("REASONING_END", &[MESSAGE]),
    ("REASONING_MESSAGE_START", &[MESSAGE, ("role", false, Text)]),
    ("REASONING_MESSAGE_CONTENT", &[MESSAGE, ("delta", true, Delta)]),
    ("REASONING_MESSAGE_END", &[MESSAGE]),
    ("REASONING_MESSAGE_CHUNK", &[("messageId", false, Name), ("delta", false, Text)]),
    ("REASONING_ENCRYPTED_VALUE", &[("subtype", true, Name), ("entityId", true, Name), ("encryptedValue", true, Text)]),
    ("TOOL_CALL_START", &[CALL, ("toolCallName", true, Name), ("parentMessageId", false, Name)]),
    ("TOOL_CALL_ARGS", &[CALL, ("delta", true, Text)]),
    ("TOOL_CALL_END", &[CALL]),
    (
        "TOOL_CALL_CHUNK",
        &[
            ("toolCallId", false, Name),
            ("toolCallName", false, Name),
            ("parentMessageId", false, Name),
            ("delta", false, Text),
        ],
    ),
    ("TOOL_CALL_RESULT", &[MESSAGE, CALL, ("content", true, Text), ("role", false, Text)]),
    ("STATE_SNAPSHOT", &[("snapshot", true, Any)]),
    ("STATE_DELTA", &[("delta", true, List)]),
    ("MESSAGES_SNAPSHOT", &[("messages", true, List)]),
    ("ACTIVITY_SNAPSHOT", &[MESSAGE, ("activityType", true, Name), ("content", true, Any), ("replace", false, Flag)]),
    ("ACTIVITY_DELTA", &[MESSAGE, ("activityType", true, Name), ("patch", true, List)]),
    ("RAW", &[("event", true, Any), ("source", false, Text)]),
    ("CUSTOM", &[("name", true, Name), ("value", true, Any)]),
    ("RUN_STARTED", &[RUN[0], RUN[1], ("parentRunId", false, Name), ("input", false, Any)]),
    ("RUN_FINISHED", &[RUN[0], RUN[1], ("result", false, Any), ("outcome", false, Any)]),
    ("RUN_ERROR", &[("message", true, Text), ("code", false, Text)]),
    ("STEP_STARTED", &[("stepName", true, Name)]),
    ("STEP_FINISHED", &[("stepName", true, Name)]),
];

/// Is this an event of the protocol? Nulls stand for fields that are not there.
///
/// # Errors
/// The field that is wrong, and why.
pub(super) fn check(event: &Value) -> Result<(), (String, String)> {
    let wrong = |field: &str, why: &str| Err((field.to_owned(), why.to_owned()));
    let Some(map) = event.as_object() else { return wrong("", "an event is an object") };
    let Some(kind) = map.get("type").and_then(Value::as_str) else { return wrong("type", "a word is missing") };
    let Some((_, fields)) = EVENTS.iter().find(|(name, _)| *name == kind) else {
        return wrong("type", "the protocol has no such event");
    };
    if present(map, "timestamp").is_some_and(|at| !at.is_number()) {
        return wrong("timestamp", "a number of milliseconds is expected");
    }
    for (name, required, kind) in *fields {
        match map.get(*name) {
            None if *required => return wrong(name, "it is missing"),
            // `null` is a value where anything may stand.
            Some(Value::Null) if *required && *kind != Any => return wrong(name, "it is missing"),
            None | Some(Value::Null) => {}
            Some(value) => {
                if let Some(why) = kind.against(value) {
                    return wrong(name, why);
                }
            }
        }
    }
    let known = |name: &str| BASE.contains(&name) || fields.iter().any(|(field, ..)| *field == name);
    match map.keys().find(|name| !known(name)) {
        Some(name) => wrong(name, "this event has no such field"),
        None => Ok(()),
    }
}

/// The thread that an event names.
pub(super) fn thread(event: &Value) -> Option<&str> {
    event["threadId"].as_str()
}

fn present<'v>(map: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    map.get(name).filter(|value| !value.is_null())
}

impl Kind {
    /// What speaks against this value.
    fn against(self, value: &Value) -> Option<&'static str> {
        let text = value.as_str();
        match self {
            Self::Name if text.is_none_or(|text| text.trim().is_empty()) => {
                Some("a text that is not blank is expected")
            }
            Self::Delta if text.is_none_or(str::is_empty) => Some("a text that is not empty is expected"),
            Self::Text if text.is_none() => Some("a text is expected"),
            Self::Role if text.is_none_or(|text| !ROLES.contains(&text)) => {
                Some("one of developer, system, assistant, user is expected")
            }
            Self::List if !value.is_array() => Some("a list is expected"),
            Self::Flag if !value.is_boolean() => Some("true or false is expected"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_hold_what_the_protocol_says() {
        for event in [
            json!({ "type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant" }),
            json!({ "type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": " ", "timestamp": 1, "rawEvent": {} }),
            json!({ "type": "TEXT_MESSAGE_CHUNK" }),
            json!({ "type": "CUSTOM", "name": "n", "value": null }),
            json!({ "type": "RUN_STARTED", "threadId": "t", "runId": "r", "parentRunId": null }),
            json!({ "type": "STATE_DELTA", "delta": [{ "op": "add", "path": "/a", "value": 1 }] }),
        ] {
            assert_eq!(check(&event), Ok(()), "{event}");
        }
        for (event, field) in [
            (json!([]), ""),
            (json!({}), "type"),
            (json!({ "type": "SOMETHING" }), "type"),
            (json!({ "type": "TEXT_MESSAGE_START" }), "messageId"),
            (json!({ "type": "TEXT_MESSAGE_START", "message_id": "m", "messageId": "m" }), "message_id"),
            (json!({ "type": "TEXT_MESSAGE_START", "messageId": "m", "role": "robot" }), "role"),
            (json!({ "type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "" }), "delta"),
            (json!({ "type": "CUSTOM", "name": "n" }), "value"),
            (json!({ "type": "STATE_DELTA", "delta": {} }), "delta"),
            (json!({ "type": "RUN_STARTED", "threadId": " ", "runId": "r" }), "threadId"),
            (json!({ "type": "THINKING_END", "timestamp": "now" }), "timestamp"),
        ] {
            assert_eq!(check(&event).unwrap_err().0, field, "{event}");
        }
    }

    #[test]
    fn what_a_run_tells_is_of_the_protocol_itself() {
        for (name, fields) in EVENTS {
            assert!(fields.iter().all(|(field, ..)| !BASE.contains(field)), "{name}");
        }
    }
}

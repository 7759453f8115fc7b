//! `gemini --output-format stream-json`: an `init`, messages in pieces, tools, and a `result`.

use serde_json::{Value, json};

use super::{Event, Kind, Told, short, text};

/// Takes in one object.
pub(super) fn read(value: &Value, told: &mut Told) -> Vec<Event> {
    let type_name = text(value, "type");
    let event = |kind, message: &str| Event::new(kind, type_name, message);
    match (type_name, text(value, "role")) {
        ("message", "assistant") => return piece(value, told),
        // It says the prompt again.
        ("message", "user") => return vec![event(Kind::Progress, "working")],
        _ => {}
    }
    // Whatever else it says, the message before it is whole.
    let mut events: Vec<Event> =
        told.saying.take().map(|said| Event::new(Kind::Assistant, "message", said)).into_iter().collect();
    events.push(match type_name {
        "init" => {
            let (id, model) = (text(value, "session_id"), text(value, "model"));
            if !id.is_empty() {
                told.session_id = Some(id.to_owned());
            }
            event(Kind::Session, &format!("conversation {id}, model {model}"))
                .with(json!({ "session_id": id, "model": model }))
        }
        "tool_use" => {
            let (name, input) = (text(value, "tool_name"), value.get("parameters").cloned().unwrap_or_default());
            event(Kind::ActionRequest, &format!("{name} {}", short(&input.to_string())))
                .with(json!({ "tool": name, "input": input, "id": text(value, "tool_id") }))
        }
        "tool_result" => {
            let failed = text(value, "status") == "error";
            let why = value.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
            let said = Some(text(value, "output")).filter(|said| !said.is_empty()).unwrap_or(why);
            event(Kind::ActionResult, said).with(json!({ "id": text(value, "tool_id"), "is_error": failed }))
        }
        "error" => {
            told.error = Some(text(value, "message").to_owned());
            event(Kind::Diagnostic, text(value, "message"))
        }
        "result" => result(value, told),
        _ => event(Kind::Passthrough, type_name),
    });
    events
}

/// A piece of a message, or a whole one. The answer is the last message, also when its program dies in the middle of it.
fn piece(value: &Value, told: &mut Told) -> Vec<Event> {
    let said = text(value, "content");
    if value.get("delta").and_then(Value::as_bool) != Some(true) {
        told.saying = None;
        told.reply(said);
        return vec![Event::new(Kind::Assistant, "message", said)];
    }
    let mut whole = told.saying.take().unwrap_or_default();
    // What is beyond that is not kept anyway.
    if whole.len() <= super::LONGEST_REPLY {
        whole.push_str(said);
        told.reply(&whole);
    }
    told.saying = Some(whole);
    vec![Event::new(Kind::Progress, "message.delta", said)]
}

fn result(value: &Value, told: &mut Told) -> Event {
    let well = text(value, "status") == "success";
    told.ended = Some(well);
    told.usage = value.get("stats").cloned();
    if well {
        told.error = None;
    } else {
        let said = value.pointer("/error/message").and_then(Value::as_str).map(str::to_owned);
        told.error = said.or_else(|| told.error.take());
        told.reply = None;
    }
    let message = if well { "done".to_owned() } else { told.error.clone().unwrap_or_else(|| "failed".to_owned()) };
    let data = json!({ "is_error": !well, "usage": told.usage, "duration_ms": value.pointer("/stats/duration_ms") });
    Event::new(Kind::Completion, "result", message).with(data)
}

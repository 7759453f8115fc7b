//! `gemini --output-format stream-json`: an `init`, messages, tools, and a `result`.

use serde_json::{Value, json};

use super::{Event, Kind, Told, short, text};

/// Takes in one object.
pub(super) fn read(value: &Value, told: &mut Told) -> Vec<Event> {
    let type_name = text(value, "type");
    let event = |kind, message: &str| Event::new(kind, type_name, message);
    match (type_name, text(value, "role")) {
        ("init", _) => {
            let id = text(value, "session_id");
            if !id.is_empty() {
                told.session_id = Some(id.to_owned());
            }
            vec![event(Kind::Session, &format!("conversation {id}")).with(json!({ "session_id": id }))]
        }
        ("message", "assistant") => {
            let said = text(value, "content");
            let whole = match (&told.reply, value.get("delta").and_then(Value::as_bool)) {
                (Some(before), Some(true)) => format!("{before}{said}"),
                _ => said.to_owned(),
            };
            told.reply(&whole);
            vec![event(Kind::Assistant, said)]
        }
        ("tool_use", _) => {
            let message = format!("{} {}", text(value, "tool_name"), short(&value["parameters"].to_string()));
            vec![event(Kind::ActionRequest, &message)]
        }
        ("tool_result", _) => vec![event(Kind::ActionResult, text(value, "output"))],
        ("error", _) => {
            told.error = Some(text(value, "message").to_owned());
            vec![event(Kind::Diagnostic, text(value, "message"))]
        }
        ("result", _) => {
            let well = text(value, "status") == "success";
            told.ended = Some(well);
            told.usage = value.get("stats").cloned();
            let said = value.pointer("/error/message").and_then(Value::as_str);
            told.error = if well { None } else { said.map(str::to_owned).or_else(|| told.error.take()) };
            vec![event(Kind::Completion, if well { "done" } else { "failed" }).with(json!({ "is_error": !well }))]
        }
        _ => vec![event(Kind::Passthrough, type_name)],
    }
}

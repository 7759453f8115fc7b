//! `claude -p --output-format stream-json --verbose`: one JSON object for each message.

use serde_json::{Value, json};

use super::{Event, Kind, Told, short, text};

/// Takes in one object.
pub(super) fn read(value: &Value, told: &mut Told) -> Vec<Event> {
    let type_name = text(value, "type");
    // A result alone is no conversation: one that cannot be found is told with the id that was asked for.
    let id = value.get("session_id").and_then(Value::as_str).filter(|id| !id.is_empty() && type_name != "result");
    if let Some(id) = id {
        told.session_id = Some(id.to_owned());
    }
    match (type_name, text(value, "subtype")) {
        ("system", "init") => {
            let (id, model) = (text(value, "session_id"), text(value, "model"));
            vec![
                Event::new(Kind::Session, "system.init", format!("conversation {id}, model {model}"))
                    .with(json!({ "session_id": id, "model": model })),
            ]
        }
        ("system", subtype) => vec![Event::new(Kind::Progress, format!("system.{subtype}"), subtype)],
        ("assistant", _) => parts(value).map(|part| assistant(part, told)).collect(),
        ("user", _) => parts(value).filter_map(result_of_tool).collect(),
        ("result", subtype) => vec![result(value, subtype, told)],
        (other, _) => vec![Event::new(Kind::Passthrough, other, other)],
    }
}

fn parts(value: &Value) -> impl Iterator<Item = &Value> {
    value.pointer("/message/content").and_then(Value::as_array).into_iter().flatten()
}

fn assistant(part: &Value, told: &mut Told) -> Event {
    match text(part, "type") {
        "text" => {
            let said = text(part, "text");
            // Until the result says it: a program that is killed has said at least this.
            told.reply(said);
            Event::new(Kind::Assistant, "assistant.text", said)
        }
        "thinking" => Event::new(Kind::Reasoning, "assistant.thinking", text(part, "thinking")),
        "tool_use" => {
            let (name, input) = (text(part, "name"), part.get("input").cloned().unwrap_or_default());
            let message = format!("{name} {}", short(&input.to_string()));
            let data = json!({ "tool": name, "input": input, "id": text(part, "id") });
            Event::new(Kind::ActionRequest, "assistant.tool_use", message).with(data)
        }
        other => Event::new(Kind::Passthrough, format!("assistant.{other}"), other),
    }
}

fn result_of_tool(part: &Value) -> Option<Event> {
    if text(part, "type") != "tool_result" {
        return None;
    }
    let said = match part.get("content") {
        Some(Value::String(said)) => said.clone(),
        Some(Value::Array(parts)) => parts.iter().map(|part| text(part, "text")).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    };
    let failed = part.get("is_error").and_then(Value::as_bool).unwrap_or_default();
    let data = json!({ "id": text(part, "tool_use_id"), "is_error": failed });
    Some(Event::new(Kind::ActionResult, "user.tool_result", said).with(data))
}

fn result(value: &Value, subtype: &str, told: &mut Told) -> Event {
    let failed = value.get("is_error").and_then(Value::as_bool).unwrap_or(subtype != "success");
    told.ended = Some(!failed);
    let said = text(value, "result");
    let errors = value.get("errors").and_then(Value::as_array).into_iter().flatten();
    let errors: Vec<&str> = errors.filter_map(Value::as_str).collect();
    if failed {
        let first = [said, &errors.join("; "), subtype].into_iter().find(|text| !text.is_empty()).map(str::to_owned);
        told.error = first;
        told.reply = None;
    } else {
        told.reply(said);
    }
    told.usage =
        value.get("usage").map(|usage| json!({ "usage": usage, "total_cost_usd": value.get("total_cost_usd") }));
    let message = if failed { told.error.clone().unwrap_or_default() } else { "done".to_owned() };
    let data = json!({ "is_error": failed, "usage": value.get("usage"), "duration_ms": value.get("duration_ms"),
        "total_cost_usd": value.get("total_cost_usd") });
    Event::new(Kind::Completion, format!("result.{subtype}"), message).with(data)
}

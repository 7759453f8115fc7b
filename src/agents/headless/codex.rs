//! `codex exec --json`: events of a thread, its turns and their items.

use serde_json::{Value, json};

use super::{Event, Kind, Told, short, text};

/// Takes in one object.
pub(super) fn read(value: &Value, told: &mut Told) -> Vec<Event> {
    let type_name = text(value, "type");
    let event = |kind, message: &str| Event::new(kind, type_name, message);
    match type_name {
        "thread.started" => {
            let id = text(value, "thread_id");
            if !id.is_empty() {
                told.session_id = Some(id.to_owned());
            }
            vec![event(Kind::Session, &format!("conversation {id}")).with(json!({ "session_id": id }))]
        }
        "turn.started" => vec![event(Kind::Progress, "working")],
        "turn.completed" => {
            told.ended = Some(true);
            told.error = None;
            told.usage = value.get("usage").cloned();
            vec![event(Kind::Completion, "done").with(json!({ "is_error": false, "usage": value.get("usage") }))]
        }
        "turn.failed" => {
            let said = value.pointer("/error/message").and_then(Value::as_str).unwrap_or("the turn failed");
            told.ended = Some(false);
            told.error = Some(said.to_owned());
            told.reply = None;
            vec![event(Kind::Completion, said).with(json!({ "is_error": true }))]
        }
        "error" => {
            let said = text(value, "message");
            // It tries again after most of them; the end of the turn says whether that helped.
            told.error = Some(said.to_owned());
            vec![event(Kind::Diagnostic, said)]
        }
        "item.started" | "item.updated" | "item.completed" => {
            value.get("item").map(|item| of_item(item, type_name, told)).into_iter().collect()
        }
        _ => vec![event(Kind::Passthrough, type_name)],
    }
}

fn of_item(item: &Value, type_name: &str, told: &mut Told) -> Event {
    let what = text(item, "type");
    let event = |kind, message: &str| Event::new(kind, format!("{type_name}.{what}"), message);
    let done = type_name == "item.completed";
    match (what, done) {
        ("agent_message", true) => {
            let said = text(item, "text");
            told.reply(said);
            event(Kind::Assistant, said)
        }
        ("reasoning", true) => event(Kind::Reasoning, text(item, "text")),
        ("command_execution", true) => {
            let data = json!({ "command": text(item, "command"), "exit_code": item.get("exit_code"),
                "status": item.get("status"), "id": text(item, "id") });
            event(Kind::ActionResult, text(item, "aggregated_output")).with(data)
        }
        ("command_execution", false) if type_name == "item.started" => {
            event(Kind::ActionRequest, &short(text(item, "command")))
                .with(json!({ "command": text(item, "command"), "id": text(item, "id") }))
        }
        ("error", true) => event(Kind::Diagnostic, text(item, "message")),
        ("file_change" | "mcp_tool_call" | "web_search", true) => {
            event(Kind::ActionResult, &short(&item.to_string())).with(item.clone())
        }
        ("file_change" | "mcp_tool_call" | "web_search", false) => {
            event(Kind::ActionRequest, &short(&item.to_string())).with(item.clone())
        }
        ("agent_message" | "reasoning" | "command_execution" | "todo_list", _) => event(Kind::Progress, what),
        _ => event(Kind::Passthrough, what),
    }
}

//! `OpenAI` Responses, as Codex uses it.

use serde_json::{Value, json};

use super::{Asked, Voice, names};

/// What the tool itself puts beside the user's words.
const NOT_THE_USER: [&str; 4] = ["<environment_context>", "<user_instructions>", "<turn_aborted>", "# AGENTS.md"];

pub(super) fn asked(body: &Value) -> Asked {
    let items = body["input"].as_array().map_or(&[][..], Vec::as_slice);
    let mut after_tool = false;
    for item in items.iter().rev() {
        if let Some(text) = user_text(item) {
            return Asked { text, after_tool };
        }
        after_tool |= item["type"].as_str().is_some_and(|kind| kind.ends_with("_call_output"));
        // A reply between: what came before it was answered.
        if item["role"] == "assistant" && !after_tool {
            break;
        }
    }
    Asked { text: body["input"].as_str().unwrap_or_default().to_owned(), after_tool }
}

fn user_text(item: &Value) -> Option<String> {
    if item["role"] != "user" {
        return None;
    }
    let mut parts = item["content"].as_array()?.iter().filter_map(|part| part["text"].as_str());
    let own = |text: &&str| !NOT_THE_USER.iter().any(|mark| text.starts_with(mark));
    parts.rfind(own).map(str::to_owned)
}

pub(super) fn offered(body: &Value) -> (Vec<String>, bool) {
    (names(&body["tools"]), body["text"]["format"]["type"] == "json_schema")
}

fn event(value: &Value) -> String {
    format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap_or_default())
}

fn response(voice: &Voice, status: &str, output: &Value) -> Value {
    json!({
        "id": format!("resp_{:08}", voice.n),
        "object": "response",
        "status": status,
        "model": voice.model,
        "output": output,
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 19,
        },
    })
}

fn message(voice: &Voice, said: &str) -> Value {
    json!({
        "type": "message",
        "id": format!("msg_{:08}", voice.n),
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": said, "annotations": []}],
    })
}

pub(super) fn begin(voice: &Voice) -> String {
    let created = json!({"type": "response.created", "response": response(voice, "in_progress", &json!([]))});
    let mut item = message(voice, "");
    item["content"] = json!([]);
    item["status"] = json!("in_progress");
    event(&created) + &event(&json!({"type": "response.output_item.added", "output_index": 0, "item": item}))
}

pub(super) fn text(voice: &Voice, part: &str) -> String {
    let id = format!("msg_{:08}", voice.n);
    let kind = "response.output_text.delta";
    event(&json!({"type": kind, "item_id": id, "output_index": 0, "content_index": 0, "delta": part}))
}

pub(super) fn end(voice: &Voice, said: &str, command: Option<&str>) -> String {
    let mut output = vec![message(voice, said)];
    output.extend(command.map(|command| call(voice, command)));
    let done = |(index, item): (usize, &Value)| {
        event(&json!({"type": "response.output_item.done", "output_index": index, "item": item}))
    };
    let frames: String = output.iter().enumerate().map(done).collect();
    frames + &event(&json!({"type": "response.completed", "response": response(voice, "completed", &json!(output))}))
}

/// The shell has another name in each family of models; the request says which one is there.
fn call(voice: &Voice, command: &str) -> Value {
    let has = |name: &str| voice.tools.iter().any(|tool| tool == name);
    let (name, arguments) = if has("exec_command") {
        let reason = "the stub model was asked to";
        let outside = "require_escalated";
        ("exec_command", json!({"cmd": command, "sandbox_permissions": outside, "justification": reason}))
    } else if has("shell_command") {
        ("shell_command", json!({"command": command, "sandbox_permissions": "require_escalated"}))
    } else {
        ("shell", json!({"command": ["bash", "-c", command]}))
    };
    json!({
        "type": "function_call",
        "id": format!("fc_{:08}", voice.n),
        "call_id": format!("call_{:08}", voice.n),
        "name": name,
        "arguments": arguments.to_string(),
        "status": "completed",
    })
}

pub(super) fn whole(voice: &Voice, said: &str) -> Value {
    response(voice, "completed", &json!([message(voice, said)]))
}

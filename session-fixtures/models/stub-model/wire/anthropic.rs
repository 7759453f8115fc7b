//! Anthropic Messages, as Claude Code uses it.

use serde_json::{Value, json};

use super::{Asked, Voice, names};

/// What the tool itself puts beside the user's words.
const NOT_THE_USER: [&str; 2] = ["<system-reminder>", "<local-command-caveat>"];

pub(super) fn asked(body: &Value) -> Asked {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let of_user = |message: &&Value| message["role"] == "user";
    let last = messages.iter().rev().find(of_user);
    if let Some(text) = last.and_then(user_text) {
        return Asked { text, after_tool: false };
    }
    let text = messages.iter().rev().filter(of_user).find_map(user_text).unwrap_or_default();
    let after_tool = last.is_some_and(|message| blocks(message).any(|block| block["type"] == "tool_result"));
    Asked { text, after_tool }
}

fn blocks(message: &Value) -> impl Iterator<Item = &Value> {
    message["content"].as_array().into_iter().flatten()
}

/// The last words of the user in one message.
fn user_text(message: &Value) -> Option<String> {
    let own = |text: &&str| !NOT_THE_USER.iter().any(|mark| text.trim_start().starts_with(mark));
    let plain = message["content"].as_str();
    let texts = blocks(message).filter_map(|block| block["text"].as_str());
    plain.into_iter().chain(texts).filter(own).last().map(str::to_owned)
}

pub(super) fn offered(body: &Value) -> (Vec<String>, bool) {
    (names(&body["tools"]), body["output_config"]["format"].is_object())
}

fn event(value: &Value) -> String {
    format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap_or_default())
}

fn message(voice: &Voice, content: &Value, reason: &Value) -> Value {
    json!({
        "id": format!("msg_{:08}", voice.n),
        "type": "message",
        "role": "assistant",
        "model": voice.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": null,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    })
}

pub(super) fn begin(voice: &Voice) -> String {
    let start = event(&json!({"type": "message_start", "message": message(voice, &json!([]), &Value::Null)}));
    let block = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    start + &event(&block)
}

pub(super) fn text(part: &str) -> String {
    event(&json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": part}}))
}

pub(super) fn end(voice: &Voice, command: Option<&str>) -> String {
    let mut frames = event(&json!({"type": "content_block_stop", "index": 0}));
    if let Some(command) = command {
        let call = json!({"type": "tool_use", "id": format!("toolu_{:08}", voice.n), "name": "Bash", "input": {}});
        let input = json!({"command": command, "description": "Run what was asked"}).to_string();
        let delta = json!({"type": "input_json_delta", "partial_json": input});
        frames += &event(&json!({"type": "content_block_start", "index": 1, "content_block": call}));
        frames += &event(&json!({"type": "content_block_delta", "index": 1, "delta": delta}));
        frames += &event(&json!({"type": "content_block_stop", "index": 1}));
    }
    let reason = if command.is_some() { "tool_use" } else { "end_turn" };
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    frames += &event(&json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9}}));
    frames + &event(&json!({"type": "message_stop"}))
}

pub(super) fn whole(voice: &Voice, said: &str) -> Value {
    message(voice, &json!([{"type": "text", "text": said}]), &json!("end_turn"))
}

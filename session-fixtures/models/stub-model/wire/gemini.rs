//! Gemini's `generateContent`, as Gemini CLI uses it.

use serde_json::{Value, json};

use super::{Asked, Voice};

/// What the tool itself puts beside the user's words.
const NOT_THE_USER: [&str; 1] = ["<session_context>"];

pub(super) fn asked(body: &Value) -> Asked {
    let contents = body["contents"].as_array().map_or(&[][..], Vec::as_slice);
    let of_user = |content: &&Value| content["role"] == "user";
    let last = contents.iter().rev().find(of_user);
    let after_tool = last.is_some_and(|content| parts(content).any(|part| part["functionResponse"].is_object()));
    let text = contents.iter().rev().filter(of_user).find_map(user_text).unwrap_or_default();
    Asked { text, after_tool }
}

fn parts(content: &Value) -> impl Iterator<Item = &Value> {
    content["parts"].as_array().into_iter().flatten()
}

fn user_text(content: &Value) -> Option<String> {
    let own = |text: &&str| !NOT_THE_USER.iter().any(|mark| text.trim_start().starts_with(mark));
    parts(content).filter_map(|part| part["text"].as_str()).filter(own).last().map(str::to_owned)
}

pub(super) fn offered(body: &Value) -> (Vec<String>, bool) {
    let groups = body["tools"].as_array().into_iter().flatten();
    let tools = groups.flat_map(|group| super::names(&group["functionDeclarations"])).collect();
    (tools, body["generationConfig"]["responseMimeType"] == "application/json")
}

fn chunk(voice: &Voice, parts: &Value, reason: Option<&str>) -> Value {
    let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
    if let Some(reason) = reason {
        candidate["finishReason"] = json!(reason);
    }
    json!({
        "candidates": [candidate],
        "modelVersion": voice.model,
        "responseId": format!("r{:08}", voice.n),
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 9, "totalTokenCount": 19},
    })
}

fn event(value: &Value) -> String {
    format!("data: {value}\r\n\r\n")
}

pub(super) fn text(voice: &Voice, part: &str) -> String {
    event(&chunk(voice, &json!([{"text": part}]), None))
}

pub(super) fn end(voice: &Voice, command: Option<&str>) -> String {
    let parts = command.map_or(json!([{"text": ""}]), |command| {
        let args = json!({"command": command, "description": "Run what was asked"});
        json!([{"functionCall": {"id": format!("call_{:08}", voice.n), "name": "run_shell_command", "args": args}}])
    });
    event(&chunk(voice, &parts, Some("STOP")))
}

pub(super) fn whole(voice: &Voice, said: &str) -> Value {
    chunk(voice, &json!([{"text": said}]), Some("STOP"))
}

//! Real coding agents against the stub model. A tool that is not installed is skipped: `just real-agents` installs it.

use serde_json::{Value, json};

use crate::support::{Http, Model, Tool, Turn, World, fnv1a, raw};

/// A prompt that is pasted with tmux alone arrives exactly, and its reply is on the screen.
fn a_pasted_prompt_arrives(tool: Tool) {
    let world = World::new();
    let Some(real) = world.real("alpha", tool) else { return };
    let text = "tell me the hash: Grüße, 你好 👍 \"quoted\" $HOME `ls`; end";
    real.submit(&world, text, "tell me the hash:");
    let turns = real.model.wait_for(1);
    assert_eq!(turns.iter().map(|turn| turn.text.as_str()).collect::<Vec<_>>(), [text], "{turns:#?}");
    let reply = format!("You said: {} ({} bytes)", fnv1a(text.as_bytes()), text.len());
    let (_, outcome, said) = turns[0].end.clone().unwrap();
    assert_eq!((outcome.as_str(), &said), ("whole", &reply));
    real.shows(&world, &reply);
    // The tool takes the next one too, so that the first left nothing in its composer.
    real.submit(&world, "say the second", "say the second");
    let texts: Vec<String> = real.model.wait_for(2).into_iter().map(|turn| turn.text).collect();
    assert_eq!(texts, [text, "say the second"]);
}

/// A call of the tool's shell waits for a yes, and the model gets its result.
fn a_tool_call_asks_first(tool: Tool, question: &str) {
    let world = World::new();
    let Some(real) = world.real("alpha", tool) else { return };
    real.submit(&world, "tool mkdir -p made-by-stub", "tool mkdir -p made-by-stub");
    real.shows(&world, question);
    assert!(!world.work().join("made-by-stub").exists(), "it ran before it was allowed");
    assert_eq!(real.model.wait_for(1).len(), 1);
    real.confirm(&world, question);
    let turns = real.model.wait_for(2);
    assert!(turns[1].after_tool, "{turns:#?}");
    assert!(world.work().join("made-by-stub").is_dir());
    real.shows(&world, "tool done");
}

/// Esc while the model says nothing: the tool leaves the request. (What stays in its composer differs.)
fn esc_gives_the_request_up(tool: Tool) {
    let world = World::new();
    let Some(real) = world.real("alpha", tool) else { return };
    real.submit(&world, "hang", "hang");
    real.model.wait_for_arrival(1);
    real.press(&world, "Escape");
    let (_, outcome, said) = real.model.wait_for(1)[0].end.clone().unwrap();
    assert_eq!((outcome.as_str(), said.as_str()), ("left", ""));
}

/// Twelve lines arrive as one prompt. Returns what was sent and what arrived. The composer shows one of `shown`.
fn many_lines_arrive(tool: Tool, shown: &[&str]) -> (String, String) {
    let lines: Vec<String> = (1..=12).map(|number| format!("line {number} of twelve")).collect();
    let text = lines.join("\n");
    let world = World::new();
    let Some(real) = world.real("alpha", tool) else { return (text.clone(), text) };
    real.submit_shown_as(&world, &text, shown);
    let arrived = real.model.wait_for(1);
    assert_eq!(arrived.len(), 1, "{arrived:#?}");
    (text, arrived[0].text.clone())
}

#[test]
fn claude_gives_up_on_esc() {
    esc_gives_the_request_up(Tool::Claude);
}

#[test]
fn codex_gives_up_on_esc() {
    esc_gives_the_request_up(Tool::Codex);
}

#[test]
fn gemini_gives_up_on_esc() {
    esc_gives_the_request_up(Tool::Gemini);
}

/// It marks a paste of more than three lines as one, which no sender can avoid but by smaller pastes.
#[test]
fn claude_gets_many_lines_in_a_wrapper() {
    if Tool::Claude.program().is_none() {
        return;
    }
    let (text, arrived) = many_lines_arrive(Tool::Claude, &["[Pasted text #1 +11 lines]"]);
    assert!(arrived.trim_start().starts_with("<pasted_content id="), "{arrived}");
    assert!(arrived.contains(&text), "{arrived}");
}

#[test]
fn codex_gets_many_lines_exactly() {
    let (text, arrived) = many_lines_arrive(Tool::Codex, &["line 12 of twelve"]);
    assert_eq!(arrived, text);
}

#[test]
fn gemini_gets_many_lines_exactly() {
    // It folds a paste once it has read its own settings, which a busy machine delays.
    let (text, arrived) = many_lines_arrive(Tool::Gemini, &["line 12 of twelve", "[Pasted Text: 12 lines]"]);
    assert_eq!(arrived, text);
}

#[test]
fn claude_gets_a_pasted_prompt() {
    a_pasted_prompt_arrives(Tool::Claude);
}

#[test]
fn codex_gets_a_pasted_prompt() {
    a_pasted_prompt_arrives(Tool::Codex);
}

#[test]
fn gemini_gets_a_pasted_prompt() {
    a_pasted_prompt_arrives(Tool::Gemini);
}

#[test]
fn claude_asks_before_a_tool_call() {
    a_tool_call_asks_first(Tool::Claude, "Do you want to proceed?");
}

#[test]
fn codex_asks_before_a_tool_call() {
    a_tool_call_asks_first(Tool::Codex, "Would you like to run the following command?");
}

#[test]
fn gemini_asks_before_a_tool_call() {
    a_tool_call_asks_first(Tool::Gemini, "Allow execution of");
}

/// The instrument itself, also where no tool is installed.
#[test]
fn the_stub_model_speaks_three_languages() {
    let world = World::new();
    let model = Model::new(&world, "model");
    let tools = json!([{"name": "shell", "functionDeclarations": [{"name": "shell"}]}]);
    let ask = |text: &str| {
        let message = json!({"role": "user", "content": [{"type": "text", "text": text}]});
        let contents = json!([{"role": "user", "parts": [{"text": text}]}]);
        [
            ("/v1/messages", json!({"stream": true, "tools": tools, "messages": [message]})),
            ("/v1/responses", json!({"stream": true, "tools": tools, "input": [message]})),
            ("/v1beta/models/m:streamGenerateContent", json!({"tools": tools, "contents": contents})),
        ]
    };
    let http = Http::new(model.port).with("connection", "close");
    let said =
        |path: &str, body: &Value| raw(model.port, &http.request("POST", path, Some(body.to_string().as_bytes())));
    for (path, body) in ask("say 你好 \"all\"") {
        let answer = said(path, &body);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.contains(r#"你好 \"all\""#), "{path}: {}", answer.body);
    }
    for (path, body) in ask("tool touch it") {
        assert!(said(path, &body).body.contains("touch it"), "{path}");
    }
    for (path, body) in ask("error 429") {
        assert_eq!(said(path, &body).status, 429, "{path}");
    }
    let turns = model.wait_for(9);
    assert!(turns[..3].iter().all(|turn| turn.text == "say 你好 \"all\""), "{turns:#?}");
    let ends = |turn: &Turn| turn.end.clone().unwrap().1;
    assert_eq!(turns[6..].iter().map(ends).collect::<Vec<_>>(), ["error"; 3]);
}

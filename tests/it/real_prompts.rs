//! Prompts through the gateway into real coding agents: exact at the model, each once. A tool that is not installed is
//! skipped.

use crate::support::{Steered, Tool};

/// Everything that a prompt may look like; the stub model answers each at once.
fn shapes() -> Vec<String> {
    let twelve: Vec<String> = (1..=12).map(|number| format!("line {number} of twelve")).collect();
    let rows: Vec<String> = (0..140).map(|number| format!("this is row {number} and it has some text")).collect();
    vec![
        "tell me the hash".to_owned(),
        twelve.join("\n"),
        format!("hash {}", "abcdefghi ".repeat(500).trim_end()),
        rows.join("\n"),
        "Grüße, 你好 👍 \"quoted\" $HOME `ls`; end".to_owned(),
        "/etc/hosts is what?".to_owned(),
        "ends with \\".to_owned(),
        "# a heading".to_owned(),
        "? a question".to_owned(),
    ]
}

fn every_shape_arrives(tool: Tool, count: usize) {
    let Some(agent) = Steered::new(tool) else { return };
    let texts: Vec<String> = shapes().into_iter().cycle().take(count).collect();
    let ids: Vec<String> = texts.iter().map(|text| agent.send(text)).collect();
    for id in &ids {
        agent.completed(id);
    }
    agent.real.model.wait_for(count);
    let arrived = agent.texts();
    for (got, text) in arrived.iter().zip(&texts) {
        assert_eq!(got, text);
    }
    assert_eq!(arrived.len(), texts.len());
    for id in &ids {
        eprintln!("{}", agent.turn_ended(id));
    }
}

#[test]
fn claude_gets_every_prompt_exactly_once() {
    every_shape_arrives(Tool::Claude, 9);
}

#[test]
fn codex_gets_every_prompt_exactly_once() {
    every_shape_arrives(Tool::Codex, 9);
}

#[test]
fn gemini_gets_every_prompt_exactly_once() {
    every_shape_arrives(Tool::Gemini, 9);
}

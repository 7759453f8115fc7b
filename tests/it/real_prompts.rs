//! Prompts through the gateway into real coding agents: exact at the model, each once, with the reply that the model
//! gave; and everything that must not be typed into them. A tool that is not installed is skipped.

use serde_json::{Value, json};

use crate::support::{Steered, Tool, eventually};

/// Texts that some step on the way could harm; the stub model answers each at once.
fn shapes() -> Vec<String> {
    let twelve: Vec<String> = (1..=12).map(|number| format!("line {number} of twelve")).collect();
    let rows: Vec<String> = (0..140).map(|number| format!("this is row {number} and it has some text")).collect();
    let words = [
        "tell me the hash",
        "Grüße, 你好 👍 \"quoted\" $HOME `ls`; end",
        "/etc/hosts is what?",
        "plain words, the next ones",
        "ends with \\",
        "# a heading",
        "? a question",
        "see @README",
        "שלום עולם, זה מבחן",
    ];
    let long = [twelve.join("\n"), format!("hash {}", "abcdefghi ".repeat(500).trim_end()), rows.join("\n")];
    words.iter().map(|text| (*text).to_owned()).chain(long).collect()
}

fn every_prompt_arrives(tool: Tool, count: usize) {
    let Some(agent) = Steered::new(tool) else { return };
    // Each is another text, so that one that comes twice is seen.
    let shapes = shapes();
    let texts: Vec<String> = (0..count).map(|number| shapes[number % shapes.len()].clone()).collect();
    let ids: Vec<String> = texts.iter().map(|text| agent.send(text)).collect();
    let shown: Vec<Value> = ids.iter().map(|id| agent.completed(id)).collect();
    let ended: Vec<Value> = ids.iter().map(|id| agent.turn_ended(id)).collect();
    let arrived = agent.arrived();
    for (number, text) in texts.iter().enumerate() {
        let got = &arrived[number];
        assert_eq!(&got.text, text, "prompt {number}: {:#}", shown[number]);
        let (_, outcome, said) = got.end.clone().unwrap();
        assert_eq!(outcome, "whole");
        let receipt = &ended[number];
        let told = (receipt["reply"].clone(), receipt["exact"].clone(), receipt["outcome"].clone());
        assert_eq!(told, (json!(said), json!(true), json!("success")), "{number}: {receipt:#}");
        let turn = eventually("the reply of the turn", || match agent.turn_of(&ids[number]) {
            turn if turn["reply"]["text"].is_string() => Ok(turn),
            turn => Err(format!("{number}: {turn:#}")),
        });
        let reply = (turn["reply"]["text"].clone(), turn["reply"]["exact"].clone());
        assert_eq!(reply, (json!(said), json!(true)), "{number}: {turn:#}");
    }
    assert_eq!(arrived.len(), texts.len(), "each once");
    for id in &ids {
        let receipts: Vec<Value> = agent.shown(id)["receipts"].as_array().unwrap().clone();
        let steps: Vec<&str> =
            receipts.iter().filter_map(|one| one["receipt"].as_str()).filter(|one| *one != "deferred").collect();
        assert_eq!(steps, ["queued", "typing", "typed", "submitted", "turn_started", "turn_ended"], "{id}");
    }
}

#[test]
fn claude_gets_every_prompt_exactly_once() {
    every_prompt_arrives(Tool::Claude, 100);
}

#[test]
fn codex_gets_every_prompt_exactly_once() {
    every_prompt_arrives(Tool::Codex, 100);
}

#[test]
fn gemini_gets_every_prompt_exactly_once() {
    every_prompt_arrives(Tool::Gemini, 12);
}

/// What is a command for the tool is refused, or text, or a command that is carried out and begins no turn.
fn commands_are_told_from_text(tool: Tool, bang: Result<&str, &str>, new_chat: &str) {
    let Some(agent) = Steered::new(tool) else { return };
    let id = agent.send("!touch banged");
    match bang {
        Ok(arrives) => {
            agent.completed(&id);
            agent.turn_ended(&id);
            assert_eq!(agent.texts(), [arrives]);
        }
        Err(code) => {
            agent.receipt(&id, "refused", Some(code));
            assert!(agent.texts().is_empty());
        }
    }
    assert!(!agent.world.work().join("banged").exists(), "it ran as a command");
    let reset = agent.send(new_chat);
    assert_eq!(agent.receipt(&reset, "submitted", None)["evidence"]["command"], new_chat);
    assert_eq!(agent.turn_ended(&reset)["reply_missing"], "it is a command of the tool");
    let next = agent.send("say after the command");
    assert_eq!(agent.turn_ended(&next)["reply"], "after the command");
    assert_eq!(agent.texts().last().map(String::as_str), Some("say after the command"));
}

#[test]
fn claude_runs_its_own_commands_and_no_shell() {
    commands_are_told_from_text(Tool::Claude, Err("would_run_command"), "/clear");
}

#[test]
fn codex_runs_its_own_commands_and_no_shell() {
    commands_are_told_from_text(Tool::Codex, Ok("!touch banged"), "/new");
}

/// A prompt waits while the agent works and while it asks; the question is answered through the gateway.
fn dialogs_are_answered_and_never_typed_into(tool: Tool) {
    let Some(agent) = Steered::new(tool) else { return };
    let asks = agent.send("tool mkdir -p made-by-stub");
    let waits = agent.send("say later");
    let open = agent.approval();
    agent.receipt(&waits, "deferred", Some("dialog"));
    assert_eq!(open["kind"], "permission", "{open:#}");
    assert!(open["options"].as_array().unwrap().len() >= 2, "{open:#}");
    let id = open["id"].as_str().unwrap();
    let path = |id: &str| format!("/v1/approvals/{id}");
    agent.http.post(&path("0123456789abcdef"), &json!({"option": 1})).refused(409);
    agent.http.post(&path(id), &json!({"option": 99})).refused(422);
    agent.http.post(&path(id), &json!({"option": 1, "answer": "accept"})).refused(422);
    assert!(!agent.world.work().join("made-by-stub").exists(), "it ran before it was allowed");
    let answered = agent.http.post(&path(id), &json!({"option": 1})).ok();
    assert_eq!((&answered["status"], &answered["option"]["number"]), (&json!("ok"), &json!(1)));
    agent.http.post(&path(id), &json!({"option": 1})).refused(404);
    assert_eq!(agent.turn_ended(&asks)["outcome"], "success");
    assert!(agent.world.work().join("made-by-stub").is_dir());
    assert_eq!(agent.turn_ended(&waits)["reply"], "later");
    // And refused, by the command line.
    let refused = agent.send("tool mkdir -p never-made");
    let open = agent.approval();
    let id = open["id"].as_str().unwrap();
    let listed = agent.world.agents(&["gateway", "approvals", "--json", "--agent-id", &agent.real.agent.id]).json();
    assert_eq!(listed["approvals"][0]["id"], id);
    agent.world.agents(&["gateway", "approve", id, "--reject", "--agent-id", &agent.real.agent.id]).ok();
    agent.turn_over(&refused);
    assert!(!agent.world.work().join("never-made").exists());
    let after = agent.send("say again");
    assert_eq!(agent.turn_ended(&after)["reply"], "again");
}

#[test]
fn claudes_dialogs_are_answered_and_never_typed_into() {
    dialogs_are_answered_and_never_typed_into(Tool::Claude);
}

#[test]
fn codexs_dialogs_are_answered_and_never_typed_into() {
    dialogs_are_answered_and_never_typed_into(Tool::Codex);
}

/// Interrupted before the first word: the next prompt arrives alone, also where the tool gives the first one back.
fn an_interrupt_leaves_nothing_behind(tool: Tool) {
    let Some(agent) = Steered::new(tool) else { return };
    for (number, first) in ["hang", "slow 60000"].into_iter().enumerate() {
        let id = agent.send(first);
        eventually("the request at the model", || match agent.texts() {
            texts if texts.len() == number * 2 + 1 => Ok(()),
            texts => Err(format!("{texts:?}")),
        });
        let waits = agent.send("say the next one");
        agent.receipt(&waits, "deferred", Some("busy"));
        agent.interrupt();
        agent.turn_over(&id);
        assert_eq!(agent.turn_ended(&waits)["reply"], "the next one");
        assert_eq!(agent.texts()[number * 2..], [first.to_owned(), "say the next one".to_owned()]);
    }
}

#[test]
fn an_interrupt_of_claude_leaves_nothing_behind() {
    an_interrupt_leaves_nothing_behind(Tool::Claude);
}

#[test]
fn an_interrupt_of_codex_leaves_nothing_behind() {
    an_interrupt_leaves_nothing_behind(Tool::Codex);
}

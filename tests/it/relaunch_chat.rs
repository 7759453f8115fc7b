//! `agents relaunch --chat-session-mode`: which conversation goes on.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::{
    headless::Headless,
    support::{World, eventually},
};

#[test]
fn a_headless_agent_begins_where_its_relaunch_says() {
    let headless = Headless::new("alpha");
    let relaunch = |more: &[&str]| {
        headless.world.agents(&[&["relaunch", "--agent-id", &headless.agent.id, "--chat-session-mode"], more].concat())
    };
    headless.submit("say one", &[]).ok();
    // With a gateway, which stays and follows.
    let http = headless.attach();
    relaunch(&["new"]).ok();
    let state = &headless.agent.file("manifest.json")["backend_state"];
    assert_eq!((&state["session_id"], &state["turn_index"]), (&Value::Null, &json!(0)), "never turns without an id");
    let state = http.get("/v1/control/headless/state").ok();
    assert_eq!(state["chat_session"]["current"], Value::Null, "{state}");
    headless.submit("say two", &[]).ok();
    headless.submit("say three", &[]).ok();
    relaunch(&["exact", "--chat-session-id", "chat-7"]).ok();
    let state = http.get("/v1/control/headless/state").ok();
    assert_eq!(state["chat_session"]["startup_default"], json!({ "mode": "exact", "id": "chat-7" }));
    headless.submit("say four", &[]).ok();
    headless.world.agents(&["relaunch", "--agent-id", &headless.agent.id]).ok();
    headless.submit("say five", &[]).ok();
    relaunch(&["tool_last_or_new"]).ok();
    headless.submit("say six", &[]).ok();
    let chats: Vec<String> = headless.chats().into_iter().map(|chat| chat.0).collect();
    assert!(chats[0] != chats[1] && chats[1] == chats[2], "{chats:?}");
    assert_eq!((chats[3].as_str(), chats[4].as_str()), ("chat-7", "chat-7"), "without a mode it goes on");
    assert_ne!(chats[5], "chat-7");
    // While a turn runs its end would bring its conversation back: refused before anything is stopped.
    let viewer = headless.agent.file("surface.json")["process"]["pid"].clone();
    http.queue_prompt("slow a");
    headless.wait_for_run("slow a");
    relaunch(&["new"]).fails(8, "runs", "agents interrupt");
    assert_eq!(headless.agent.file("surface.json")["process"]["pid"], viewer);
    headless.release("a");
    relaunch(&["exact"]).fails(2, "needs the conversation's id", "--chat-session-id");
    relaunch(&["new", "--chat-session-id", "x"]).fails(2, "goes with", "exact");
}

#[test]
fn a_tool_in_a_terminal_is_told_in_its_own_words() {
    let world = World::new();
    let (program, runs) = (world.path().join("claude"), world.path().join("runs"));
    std::fs::write(&program, format!("#!/bin/sh\necho \"$@\" >> '{}'\nexec cat\n", runs.display())).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.to_str().unwrap();
    let agent = world.launch_with(&["alpha", "--tool", "claude", "--", program, "--model", "m"]);
    let relaunch = |id: &str, more: &[&str]| world.agents(&[&["relaunch", "--agent-id", id], more].concat());
    relaunch(&agent.id, &["--chat-session-mode", "tool_last_or_new"]).ok();
    relaunch(&agent.id, &["--chat-session-mode", "exact", "--chat-session-id", "abc"]).ok();
    relaunch(&agent.id, &["--chat-session-mode", "new"]).ok();
    relaunch(&agent.id, &[]).ok();
    let wanted = ["--model m", "--continue --model m", "--resume abc --model m", "--model m", "--model m"];
    eventually("five starts", || match std::fs::read_to_string(&runs).unwrap_or_default() {
        text if text.lines().count() == wanted.len() => Ok(()),
        text => Err(text),
    });
    // The hooks that a launch gives to Claude stay between them.
    let hooks = format!("--settings {}/agent-settings.json ", agent.root.display());
    let told = std::fs::read_to_string(&runs).unwrap().replace(&hooks, "");
    assert_eq!(told.lines().collect::<Vec<_>>(), wanted);
    let words = agent.file("surface.json")["program"].to_string();
    assert!(!words.contains("--resume") && words.contains("--model"), "as it was launched: {words}");
    // What is not understood is refused, and runs on.
    let other = world.launch_with(&["beta", "--tool", "aider", "--", "cat"]);
    let pid = other.file("surface.json")["process"]["pid"].clone();
    let mode = ["--chat-session-mode", "tool_last_or_new"];
    relaunch(&other.id, &mode).fails(8, "how `aider` is told", "as it was launched");
    let wrapped = world.launch_with(&["gamma", "--tool", "claude", "--", "sh", "-c", "exec cat", "claude"]);
    relaunch(&wrapped.id, &mode).fails(8, "not `claude` itself", "as it was launched");
    assert_eq!(other.file("surface.json")["process"]["pid"], pid);
    assert!(crate::support::stat(u32::try_from(pid.as_u64().unwrap()).unwrap()).is_some());
}

//! What hooks of the agent's program tell: the route, the command that they run, and the real Claude with both.

use std::{io::Write, os::unix::fs::PermissionsExt, process::Stdio};

use serde_json::{Value, json};

use crate::support::{Agent, Http, Tool, World, eventually, eventually_within, port_of, signal};

/// A screen that no profile knows, in a session that is said to be Claude's.
fn live() -> (World, Agent, Http) {
    let world = World::new();
    let program = World::scripted_agent();
    let agent = world.launch_with(&["alpha", "--tool", "claude", "--", program.to_str().unwrap(), "tui"]);
    let http = Http::new(world.attach_quietly(&agent));
    (world, agent, http)
}

fn event(event: &Value) -> Value {
    json!({"tool": "claude", "event": event})
}

/// Waits until the newest turn is so; returns it.
#[track_caller]
fn newest(http: &Http, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    eventually_within(std::time::Duration::from_secs(60), what, || {
        let turns = http.get("/v1/turns").ok();
        match turns["turns"].as_array().and_then(|turns| turns.first()) {
            Some(turn) if is_it(turn) => Ok(turn.clone()),
            _ => Err(format!("{turns}; {}", http.get("/v1/explain").body)),
        }
    })
}

#[test]
fn hooks_begin_and_end_a_turn() {
    let (_world, _agent, http) = live();
    let took = |event: Value| {
        let answer = http.post("/v1/agent-events", &event);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["signs"].clone()
    };
    let prompt = json!({"hook_event_name": "UserPromptSubmit", "prompt": "do it", "prompt_id": "p1"});
    assert_eq!(took(event(&prompt)), 1);
    let turn = newest(&http, "a turn that runs", |turn| turn["prompt"] == "do it");
    assert_eq!((&turn["outcome"], &turn["started_by"][0]["source"]), (&Value::Null, &json!("hook")), "{turn}");
    assert_eq!(took(event(&json!({"hook_event_name": "SubagentStop"}))), 0, "it says nothing about turns");
    took(event(&json!({"hook_event_name": "Stop", "prompt_id": "p1", "last_assistant_message": "done *it*"})));
    let turn = newest(&http, "its end", |turn| turn["outcome"] == "success");
    assert_eq!(turn["reply"]["text"], "done *it*", "{turn}");
    assert_eq!((&turn["reply"]["exact"], &turn["reply"]["source"]), (&json!(true), &json!("hook")), "{turn}");
}

#[test]
fn what_is_no_event_is_refused() {
    let (_world, _agent, http) = live();
    for (body, status, words) in [
        (json!({"tool": "bash", "event": {"hook_event_name": "Stop"}}), 422, "no event of a hook of `bash`"),
        (json!({"tool": "claude", "event": {"name": "Stop"}}), 422, "no event of a hook of `claude`"),
        (event(&json!({"hook_event_name": "Stop", "x": "y".repeat(300_000)})), 413, "at most 262144 are taken"),
    ] {
        let answer = http.post("/v1/agent-events", &body);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(words), "{answer:?}");
    }
    assert_eq!(http.get("/v1/turns").ok()["turns"], json!([]));
}

/// Runs the command of a hook with this on its stdin; it must say nothing and succeed.
#[track_caller]
fn hook(world: &World, agent: &Agent, stdin: &[u8], more: &[&str]) {
    let root = agent.root.to_str().unwrap();
    let mut command = world.command(World::program());
    command.args(["agent-event", "--tool", "claude", "--session-root", root]).args(more);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).ok();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_command_of_a_hook_tells_and_never_disturbs() {
    let (world, agent, http) = live();
    let long = "z".repeat(2_000_000);
    let prompt = json!({"hook_event_name": "UserPromptSubmit", "prompt": "by stdin", "tool_input": {"x": long}});
    hook(&world, &agent, prompt.to_string().as_bytes(), &[]);
    newest(&http, "a turn that stdin told", |turn| turn["prompt"] == "by stdin");
    let stop = json!({"hook_event_name": "Stop", "last_assistant_message": "by argument"});
    hook(&world, &agent, b"", &[&stop.to_string()]);
    let turn = newest(&http, "an end that an argument told", |turn| turn["outcome"] == "success");
    assert_eq!(turn["reply"]["text"], "by argument");
    for nonsense in [&b""[..], b"{", b"\xff\xfe", b"[]", b"{\"hook_event_name\":7}"] {
        hook(&world, &agent, nonsense, &[]);
    }
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    hook(&world, &agent, prompt.to_string().as_bytes(), &[]);
    world.kill_gateways();
    std::fs::remove_dir_all(agent.root.join("gateway/run")).ok();
    hook(&world, &agent, prompt.to_string().as_bytes(), &[]);
}

#[test]
fn launch_says_which_hooks_it_installed() {
    let world = World::new();
    let program = world.path().join("claude");
    std::fs::write(&program, "#!/bin/sh\nexec cat\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.to_str().unwrap();
    let launch = |name: &str, words: &[&str]| {
        let all = [&["launch", "--json", name], words, &["--", "env", "A=1", program][..]].concat();
        world.agents(&all).json()
    };
    let told = launch("alpha", &["--tool", "claude"]);
    let hooks: Vec<&str> = told["hooks"].as_array().unwrap().iter().map(|hook| hook.as_str().unwrap()).collect();
    assert_eq!(hooks, ["SessionStart", "UserPromptSubmit", "Stop", "Notification", "PreCompact", "SessionEnd"]);
    let agent = Agent::read(&told);
    let given = agent.file("surface.json")["program"].clone();
    let settings = agent.root.join("agent-settings.json");
    assert_eq!(given.as_array().unwrap()[1..5], [json!("A=1"), json!(program), json!("--settings"), json!(settings)]);
    for (name, words) in [("beta", &["--tool", "claude", "--no-hooks"][..]), ("gamma", &["--tool", "other"])] {
        let told = launch(name, words);
        assert_eq!((&told["hooks"], &told["notes"]), (&json!([]), &json!([])), "{told}");
        assert!(!Agent::read(&told).root.join("agent-settings.json").exists());
    }
}

/// Hooks and records of the real Claude, through its gateway: every way in which a turn ends.
#[test]
fn claude_tells_its_gateway_what_becomes_of_each_turn() {
    let world = World::new();
    let Some(real) = world.real("alpha", Tool::Claude) else { return };
    let http = Http::new(port_of(&world.attach(&real.agent)));
    real.submit(&world, "say hello", "say hello");
    let turn = newest(&http, "the end of the first turn", |turn| turn["outcome"] == "success");
    assert_eq!((&turn["prompt"], &turn["reply"]["text"]), (&json!("say hello"), &json!("hello")), "{turn}");
    let told = |edge: &str| turn[edge].as_array().unwrap().iter().any(|one| one["source"] == "hook");
    assert!(told("started_by") && told("ended_by"), "{turn}");
    assert!(real.home.join("own-hook-ran").exists(), "the user's own hooks run beside ours");

    real.submit(&world, "slow 20000", "slow 20000");
    newest(&http, "the second turn", |turn| turn["prompt"] == "slow 20000");
    real.shows(&world, Tool::Claude.streaming());
    real.press(&world, "Escape");
    newest(&http, "its interrupt", |turn| turn["outcome"] == "interrupted");

    real.submit(&world, "error 400", "error 400");
    let turn = newest(&http, "the failure", |turn| turn["outcome"] == "failed");
    assert!(turn["error"].as_str().unwrap().contains("stub model says 400"), "{turn}");

    real.submit(&world, "slow 20000", "slow 20000");
    newest(&http, "the last turn", |turn| turn["prompt"] == "slow 20000" && turn["outcome"].is_null());
    let state = || http.get("/v1/control/tui/state").ok();
    let pid = world.tmux(&["display-message", "-p", "-t", &real.agent.pane, "#{pane_pid}"]);
    signal(pid.trim().parse().unwrap(), rustix::process::Signal::KILL);
    eventually("the end of Claude", || match state() {
        state if state["diagnostics"]["process_state"] == "tui_down" => Ok(()),
        state => Err(state.to_string()),
    });
    newest(&http, "the end of the last turn", |turn| turn["outcome"] == "failed" && turn["prompt"] == "slow 20000");
    assert_eq!(http.get("/v1/turns").ok()["turns"].as_array().unwrap().len(), 4, "{}", http.get("/v1/turns").body);
}

/// The same of a tool that has no hooks here: its records, its title and its status sequences tell.
fn tells_its_gateway(tool: Tool) {
    let world = World::new();
    let Some(real) = world.real("alpha", tool) else { return };
    let http = Http::new(port_of(&world.attach(&real.agent)));
    real.submit(&world, "say hello", "say hello");
    let turn = newest(&http, "the end of the first turn", |turn| turn["outcome"] == "success");
    assert_eq!((&turn["prompt"], &turn["reply"]["text"]), (&json!("say hello"), &json!("hello")), "{turn}");
    real.shows(&world, tool.ready());
    real.submit(&world, "slow 20000", "slow 20000");
    newest(&http, "the second turn", |turn| turn["prompt"] == "slow 20000");
    real.shows(&world, tool.streaming());
    real.press(&world, "Escape");
    newest(&http, "its interrupt", |turn| turn["outcome"] == "interrupted");
    real.shows(&world, tool.ready());
    real.submit(&world, "error 400", "error 400");
    let turn = newest(&http, "the failure", |turn| turn["outcome"] == "failed");
    assert!(turn["error"].as_str().unwrap().contains("stub model says 400"), "{turn}");
    let state = http.get("/v1/control/tui/state").ok();
    let version = state["tracked_session"]["observed_tool_version"].as_str().unwrap();
    assert!(version.starts_with("0."), "{state}");
}

#[test]
fn codex_tells_its_gateway_what_becomes_of_each_turn() {
    tells_its_gateway(Tool::Codex);
}

#[test]
fn gemini_tells_its_gateway_what_becomes_of_each_turn() {
    tells_its_gateway(Tool::Gemini);
}

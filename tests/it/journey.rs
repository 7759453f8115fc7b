//! The main job, as an operator does it.

use serde_json::json;

use crate::support::{World, eventually, get};

#[test]
fn a_session_gets_its_gateway_and_gives_it_back() {
    let world = World::new();
    let agent = world.launch("alpha");
    assert_eq!(agent.file("gateway/state.json")["gateway_health"], "not_attached");
    assert_eq!(world.windows(&agent.session), ["0 agent"]);

    let live = world.attach(&agent);
    assert_eq!(live["gateway_health"], "healthy");
    assert_eq!(live["managed_agent_connectivity"], "connected");
    assert_eq!(live["gateway_tmux_window_index"], "1");
    assert_eq!(world.windows(&agent.session), ["0 agent", "1 gateway"]);
    assert_eq!(world.live_variables(&agent.session).len(), 8);
    assert_eq!(world.status(&agent), live);

    let port = u16::try_from(live["gateway_port"].as_u64().unwrap()).unwrap();
    let health = get(port, "/health", "");
    assert_eq!((health.status, health.body.as_str()), (200, r#"{"protocol_version":"v1","status":"ok"}"#));

    let offline = world.agents(&["gateway", "detach", "--json", "--agent-id", &agent.id]).json();
    assert_eq!(offline["gateway_health"], "not_attached");
    assert_eq!(offline["gateway_port"], json!(null));
    assert_eq!(world.live_variables(&agent.session), Vec::<String>::new());
    eventually("the gateway's window to close", || match world.windows(&agent.session) {
        windows if windows == ["0 agent"] => Ok(()),
        windows => Err(format!("{windows:?}")),
    });
    assert_eq!(world.gateway_pids(), Vec::<u32>::new());

    let events = std::fs::read_to_string(agent.root.join("gateway/events.jsonl")).unwrap();
    let kinds: Vec<String> = events
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["gateway_started", "gateway_stopped"]);
    world.agents(&["stop", "--agent-id", &agent.id]).ok();
    assert!(world.try_tmux(&["has-session", "-t", &format!("={}", agent.session)]).status != 0);
}

#[test]
fn a_gateway_killed_with_sigkill_leaves_an_honest_offline_status() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.attach(&agent);
    world.kill_gateways();
    assert_eq!(world.live_variables(&agent.session).len(), 8, "a crash cleans nothing");
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let state = std::fs::File::options().write(true).open(agent.root.join("gateway/state.json")).unwrap();
    state.set_modified(hour_ago).unwrap();
    let run = world.agents(&["gateway", "status", "--json", "--agent-id", &agent.id]);
    assert!(run.stderr.contains("last status was written 360"), "{run:#?}");
    let offline = run.json();
    assert_eq!(offline["gateway_health"], "not_attached");
    assert_eq!(world.live_variables(&agent.session), Vec::<String>::new());
    assert!(!agent.root.join("gateway/run/current-instance.json").exists());
    assert_eq!(world.attach(&agent)["gateway_health"], "healthy");
}

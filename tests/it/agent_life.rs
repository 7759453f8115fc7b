//! The agent's own life as its gateway sees it: killed, respawned, relaunched, stopped; and the log of all that.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Agent, World, eventually, gone, signal, stat};

fn agent_pid(world: &World, agent: &Agent) -> u32 {
    world.tmux(&["display-message", "-p", "-t", &agent.pane, "#{pane_pid}"]).parse().unwrap()
}

/// Waits until the status says this of the agent, and returns it.
fn agent_becomes(world: &World, agent: &Agent, connectivity: &str, epoch: u64) -> Value {
    let status = eventually(&format!("{connectivity} in epoch {epoch}"), || match world.status(agent) {
        status
            if status["managed_agent_connectivity"] == connectivity
                && status["managed_agent_instance_epoch"] == epoch =>
        {
            Ok(status)
        }
        status => Err(status.to_string()),
    });
    let (recovery, admission) = match connectivity {
        "connected" => ("idle", "open"),
        _ => ("awaiting_rebind", "blocked_unavailable"),
    };
    assert_eq!(status["managed_agent_recovery"], recovery, "{status}");
    assert_eq!(status["request_admission"], admission, "{status}");
    status
}

#[test]
fn a_killed_agent_is_unavailable_and_a_respawned_one_is_a_new_epoch() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.attach(&agent);
    agent_becomes(&world, &agent, "connected", 1);
    world.tmux(&["respawn-pane", "-k", "-t", &agent.pane, "sleep 1000"]);
    agent_becomes(&world, &agent, "connected", 2);
    eventually("the epoch in the live record", || match agent.file("gateway/run/current-instance.json") {
        record if record["managed_agent_instance_epoch"] == 2 => Ok(()),
        record => Err(record.to_string()),
    });
    world.tmux(&["set-option", "-w", "-t", &agent.pane, "remain-on-exit", "on"]);
    signal(agent_pid(&world, &agent), Signal::KILL);
    let status = agent_becomes(&world, &agent, "unavailable", 2);
    assert_eq!(status["gateway_health"], "healthy", "the gateway does not go with the agent");
    assert_eq!(status["terminal_surface_eligibility"], "not_ready");
    world.tmux(&["respawn-pane", "-t", &agent.pane, "sleep 1000"]);
    agent_becomes(&world, &agent, "connected", 3);
}

#[test]
fn copy_mode_and_closed_input_make_the_terminal_not_ready() {
    let world = World::new();
    let agent = world.launch("alpha");
    assert_eq!(world.attach(&agent)["terminal_surface_eligibility"], "ready");
    for (enter, leave) in [
        (&["copy-mode", "-t", &agent.pane][..], &["send-keys", "-t", &agent.pane, "-X", "cancel"][..]),
        (&["select-pane", "-d", "-t", &agent.pane], &["select-pane", "-e", "-t", &agent.pane]),
    ] {
        for (words, expected) in [(enter, "not_ready"), (leave, "ready")] {
            world.tmux(words);
            eventually(expected, || match world.status(&agent) {
                status if status["terminal_surface_eligibility"] == expected => Ok(()),
                status => Err(status.to_string()),
            });
        }
    }
}

#[test]
fn a_dead_agent_is_relaunched_in_its_pane() {
    let world = World::new();
    world.server_with(&["remain-on-exit on"]);
    let agent = world.launch("alpha");
    world.attach(&agent);
    world.tmux(&["set-option", "-w", "-t", &agent.pane, "remain-on-exit", "on"]);
    signal(agent_pid(&world, &agent), Signal::KILL);
    agent_becomes(&world, &agent, "unavailable", 1);
    world.agents(&["relaunch", "--agent-id", &agent.id]).ok();
    agent_becomes(&world, &agent, "connected", 2);
    assert_eq!(world.windows(&agent.session), ["0 agent", "1 gateway"]);
    let again = Agent::read(&world.agents(&["relaunch", "--json", "--agent-id", &agent.id]).json());
    assert_eq!((again.name, again.pane, again.root), (agent.name.clone(), agent.pane.clone(), agent.root.clone()));
    agent_becomes(&world, &agent, "connected", 3);
    world.is_consistent(&agent);
}

#[test]
fn an_agent_whose_window_is_gone_is_relaunched_in_window_0() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.attach(&agent);
    world.tmux(&["kill-window", "-t", &format!("={}:0", agent.session)]);
    agent_becomes(&world, &agent, "unavailable", 1);
    let again = Agent::read(&world.agents(&["relaunch", "--json", "--agent-id", &agent.id]).json());
    assert_ne!(again.pane, agent.pane);
    agent_becomes(&world, &again, "connected", 2);
    assert_eq!(world.windows(&agent.session), ["0 agent", "1 gateway"]);
    world.is_consistent(&again);
}

#[test]
fn an_agent_whose_session_is_gone_is_relaunched_in_a_new_one() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.attach(&agent);
    let pid = world.gateway_pid();
    world.tmux(&["kill-server"]);
    gone(pid);
    world.agents(&["gateway", "attach", "--agent-id", &agent.id]).fails(3, "no tmux session", "agents relaunch");
    let again = Agent::read(&world.agents(&["relaunch", "--json", "--agent-id", &agent.id]).json());
    assert_eq!((&again.session, &again.root), (&agent.session, &agent.root));
    assert_eq!(world.attach(&again)["managed_agent_instance_epoch"], 2);
    world.is_consistent(&again);
}

#[test]
fn stop_ends_an_agent_that_ignores_hang_ups() {
    let world = World::new();
    let scripted = World::scripted_agent();
    let words = ["alpha", "--", scripted.to_str().unwrap(), "ignore-hup", "print=deaf", "sleep"];
    let agent = world.launch_with(&words);
    eventually("the agent to be deaf", || {
        let screen = world.tmux(&["capture-pane", "-p", "-t", &agent.pane]);
        if screen.contains("deaf") { Ok(()) } else { Err(screen) }
    });
    let pid = agent_pid(&world, &agent);
    world.attach(&agent);
    world.agents(&["stop", "--agent-id", &agent.id]).ok();
    assert!(stat(pid).is_none());
    world.no_gateway();
}

#[test]
fn stop_keeps_a_session_with_windows_of_the_user() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.attach(&agent);
    world.tmux(&["new-window", "-d", "-n", "mine", "-t", &format!("={}:5", agent.session), "sleep 1000"]);
    let pid = agent_pid(&world, &agent);
    let stopped = world.agents(&["stop", "--json", "--agent-id", &agent.id]).json();
    assert_eq!(stopped["agent_ended"], true);
    assert!(stopped["session_kept"].as_str().unwrap().contains("1 other pane"), "{stopped}");
    assert_eq!(world.windows(&agent.session), ["5 mine"]);
    let variables = world.tmux(&["show-environment", "-t", &format!("={}:", agent.session)]);
    assert!(!variables.contains("AGENTS_") && !variables.contains("HOUMAO_"), "{variables}");
    gone(pid);
    world.no_gateway();
}

#[test]
fn logs_shows_the_last_lines() {
    let world = World::new();
    let agent = world.launch("alpha");
    for _ in 0..3 {
        world.attach(&agent);
        world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    }
    let all: Vec<String> = agent.log().lines().map(str::to_owned).collect();
    assert!(all.len() > 6, "{all:#?}");
    let shown = |words: &[&str]| world.agents(&[&["gateway", "logs", "--agent-id", &agent.id], words].concat()).ok();
    assert_eq!(shown(&[]).lines().collect::<Vec<_>>(), all);
    for count in [0, 1, 5] {
        let lines = shown(&["-n", &count.to_string()]);
        assert_eq!(lines.lines().collect::<Vec<_>>(), all[all.len() - count..]);
    }
    let words = ["gateway", "logs", "--json", "-n", "2", "--agent-id", &agent.id];
    assert_eq!(world.agents(&words).json()["lines"], serde_json::json!(all[all.len() - 2..]));
}

#[test]
fn a_log_that_has_grown_too_large_is_rotated() {
    let world = World::new();
    let agent = world.launch("alpha");
    let path = agent.root.join("gateway/logs/gateway.log");
    let old = format!("{}\n", "x".repeat(99)).repeat(60_000);
    std::fs::write(&path, &old).unwrap();
    world.attach(&agent);
    assert!(!agent.log().contains("xxx"), "the old lines were moved away");
    assert!(agent.log().contains("gateway started"));
    let rotated = std::fs::read_to_string(agent.root.join("gateway/logs/gateway.log.1")).unwrap();
    assert_eq!(rotated, old);
    assert!(world.agents(&["gateway", "logs", "--agent-id", &agent.id]).ok().contains("gateway started"));
}

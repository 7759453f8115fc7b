//! A gateway that does not answer, records that lie, and many transitions at once.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Agent, Run, Stopped, World, eventually, gone, lock_is_held, port_of, signal};

/// The contract of every reading command: an answer within five seconds, whatever hangs.
fn within_five_seconds(run: impl FnOnce() -> Run) -> Run {
    let begun = Instant::now();
    let run = run();
    assert!(begun.elapsed() < Duration::from_secs(5), "{run:?}");
    run
}

fn variables_become(world: &World, agent: &Agent, count: usize) {
    eventually(&format!("{count} live variables"), || match world.live_variables(&agent.session) {
        variables if variables.len() == count => Ok(()),
        variables => Err(format!("{variables:?}")),
    });
}

#[test]
fn a_stopped_gateway_is_reported_offline_and_publishes_itself_again_when_it_wakes() {
    // tmux itself wakes a program that was stopped in a pane; a detached one stays stopped.
    let world = World::new();
    let agent = world.launch("alpha");
    let live = world.agents(&["gateway", "attach", "--background", "--json", "--agent-id", &agent.id]).json();
    let pid = world.gateway_pid();
    let stopped = Stopped::new(pid);
    for _ in 0..2 {
        let status = ["gateway", "status", "--json", "--agent-id", &agent.id];
        let status = within_five_seconds(|| world.agents(&status));
        for part in [&format!("pid {pid}"), "--restart", &format!("kill -CONT {pid}")] {
            assert!(status.stderr.contains(part), "`{part}` in {status:?}");
        }
        assert_eq!(status.json()["gateway_health"], "not_attached");
        assert_eq!(world.live_variables(&agent.session), Vec::<String>::new());
    }
    assert!(lock_is_held(&agent));
    assert_eq!(agent.file("gateway/run/owner.json")["process"]["pid"], pid);
    assert_eq!(agent.file("gateway/run/current-instance.json")["pid"], pid);
    let attach = within_five_seconds(|| world.agents(&["gateway", "attach", "--agent-id", &agent.id]));
    attach.fails(5, &format!("pid {pid}"), "--restart");
    let required = ["gateway", "status", "--require-live", "--agent-id", &agent.id];
    within_five_seconds(|| world.agents(&required)).fails(6, &format!("pid {pid}"), "--restart");
    drop(stopped);
    variables_become(&world, &agent, 8);
    world.is_consistent(&agent);
    assert_eq!(world.status(&agent), live);
    assert_eq!(world.gateway_pid(), pid);
}

#[test]
fn a_stopped_gateway_can_be_replaced_and_detached() {
    let world = World::new();
    let agent = world.launch("alpha");
    let port = port_of(&world.agents(&["gateway", "attach", "--background", "--json", "--agent-id", &agent.id]).json());
    for words in [&["attach", "--background", "--restart"][..], &["detach"]] {
        let pid = world.gateway_pid();
        let stopped = Stopped::new(pid);
        world.agents(&[&["gateway"][..], words, &["--agent-id", &agent.id]].concat()).ok();
        gone(pid);
        drop(stopped);
        world.is_consistent(&agent);
    }
    assert_eq!(port_of(&world.attach(&agent)), port);
}

#[test]
fn a_dead_window_that_tmux_kept_is_recognised_and_replaced() {
    let world = World::new();
    let agent = world.launch("alpha");
    for verb in ["attach", "status", "detach"] {
        let window = world.attach(&agent)["gateway_tmux_window_id"].as_str().unwrap().to_owned();
        world.tmux(&["set-option", "-w", "-t", &window, "remain-on-exit", "on"]);
        signal(world.gateway_pid(), Signal::KILL);
        eventually("the dead pane", || match world.tmux(&["display-message", "-p", "-t", &window, "#{pane_dead}"]) {
            dead if dead == "1" => Ok(()),
            dead => Err(dead),
        });
        let state = world.agents(&["gateway", verb, "--json", "--agent-id", &agent.id]).json();
        if verb == "attach" {
            assert_ne!(state["gateway_tmux_window_id"], window.as_str());
            assert_eq!(world.windows(&agent.session).len(), 2);
        } else {
            assert_eq!(world.windows(&agent.session), ["0 agent"]);
        }
        world.is_consistent(&agent);
        world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    }
}

#[test]
fn timestamps_of_another_century_do_no_harm() {
    for stamp in ["1999-12-31T23:59:59Z", "2999-12-31T23:59:59Z"] {
        let world = World::new();
        let agent = world.launch("alpha");
        let live = world.attach(&agent);
        let record = world.home().join("registry/live_agents").join(&agent.id).join("record.json");
        let files = [agent.root.join("gateway/run/owner.json"), agent.root.join("surface.json"), record];
        for path in &files {
            let Ok(text) = std::fs::read_to_string(path) else { panic!("{}", path.display()) };
            let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
            age(&mut document, stamp);
            std::fs::write(path, document.to_string()).unwrap();
        }
        assert_eq!(world.status(&agent), live, "{stamp}");
        world.agents(&["list"]).ok();
        assert_eq!(world.agents(&["gateway", "attach", "--json", "--agent-id", &agent.id]).json(), live, "{stamp}");
        signal(world.gateway_pid(), Signal::KILL);
        world.no_gateway();
        assert_eq!(world.status(&agent)["gateway_health"], "not_attached", "{stamp}");
        assert_eq!(world.attach(&agent)["gateway_health"], "healthy", "{stamp}");
        world.is_consistent(&agent);
    }
}

/// Sets every time in a document.
fn age(value: &mut serde_json::Value, stamp: &str) {
    match value {
        serde_json::Value::Object(fields) => fields.values_mut().for_each(|value| age(value, stamp)),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|value| age(value, stamp)),
        serde_json::Value::String(text) if text.starts_with("20") && text.contains('T') => *value = json!(stamp),
        _ => {}
    }
}

#[test]
fn a_storm_of_transitions_ends_in_a_consistent_state() {
    let world = World::new();
    let agent = world.launch("alpha");
    let attach = ["gateway", "attach", "--agent-id", &agent.id];
    let background = ["gateway", "attach", "--background", "--restart", "--agent-id", &agent.id];
    let detach = ["gateway", "detach", "--agent-id", &agent.id];
    let status = ["gateway", "status", "--agent-id", &agent.id];
    for last in [&attach[..], &detach, &background] {
        let storm: [&[&str]; 8] = [&attach, &detach, &status, &background, &status, &detach, &attach, &status];
        for run in world.at_once(&storm) {
            run.ok();
        }
        world.is_consistent(&agent);
        world.agents(last).ok();
        world.is_consistent(&agent);
        assert_eq!(world.gateway_pids().len(), usize::from(last != &detach[..]));
    }
}

#[test]
fn crashes_in_a_storm_leave_nothing_that_the_next_command_cannot_mend() {
    let world = World::new();
    let agent = world.launch("alpha");
    let attach = ["gateway", "attach", "--agent-id", &agent.id];
    let status = ["gateway", "status", "--agent-id", &agent.id];
    for _ in 0..5 {
        world.agents(&attach).ok();
        signal(world.gateway_pid(), Signal::KILL);
        for run in world.at_once(&[&status, &attach, &status, &status, &attach]) {
            run.ok();
        }
        world.is_consistent(&agent);
        assert_eq!(world.gateway_pids().len(), 1);
        assert!(agent.root.join("gateway/run/gateway.sock").exists(), "a reader took a living gateway's socket away");
    }
}

#[test]
fn stop_in_a_storm_ends_everything() {
    let world = World::new();
    world.server_with(&[]);
    let agent = world.launch("alpha");
    let attach = ["gateway", "attach", "--agent-id", &agent.id];
    let stop = ["stop", "--agent-id", &agent.id];
    for run in world.at_once(&[&attach, &attach, &stop, &attach, &stop]) {
        // Whoever comes after the stop finds no session.
        assert!([0, 3].contains(&run.status), "{run:?}");
    }
    world.agents(&stop).ok();
    world.no_gateway();
    assert_ne!(world.try_tmux(&["has-session", "-t", &format!("={}", agent.session)]).status, 0);
    assert_eq!(agent.file("gateway/state.json")["gateway_health"], "not_attached");
    assert!(!lock_is_held(&agent));
}

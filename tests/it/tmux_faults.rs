//! tmux hangs, dies, floods, or loses our control client: the gateway lives with it and the server is never harmed.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Agent, Stopped, World, children, eventually, gone, port_of, resident, signal};

/// The gateway's control client, once it is attached: killed before that, it takes a tmux 3.3a server with it.
fn control_client(world: &World, gateway: u32, not: &[u32]) -> u32 {
    eventually("an attached control client", || match children(gateway).as_slice() {
        [client] if !not.contains(client) && is_attached(world, *client) => Ok(*client),
        others => Err(format!("{others:?}")),
    })
}

fn is_attached(world: &World, client: u32) -> bool {
    let listed = world.try_tmux(&["list-clients", "-F", "#{client_pid}"]).stdout;
    listed.lines().any(|line| line == client.to_string())
}

fn name_becomes(agent: &Agent, name: &str) {
    eventually("the session's name in state.json", || match agent.file("gateway/state.json") {
        state if state["tmux_session_name"] == name => Ok(()),
        state => Err(state.to_string()),
    });
}

#[test]
fn a_hung_server_fails_every_command_in_time_and_costs_no_processes() {
    let world = World::new();
    let agent = world.launch("alpha");
    let live = world.attach(&agent);
    let (server, gateway) = (world.server_pid(), world.gateway_pid());
    control_client(&world, gateway, &[]);
    let socket = world.socket().to_string_lossy().into_owned();
    let stopped = Stopped::new(server);
    for words in [&["gateway", "status"][..], &["gateway", "attach"], &["gateway", "detach"], &["stop"], &["relaunch"]]
    {
        let begun = Instant::now();
        let run = world.agents(&[words, &["--agent-id", &agent.id]].concat());
        assert!(begun.elapsed() < Duration::from_secs(5), "{run:?}");
        run.fails(7, "tmux did not answer", "kill -CONT");
    }
    let clients = procfs::process::all_processes().unwrap().flatten().filter(|process| {
        let words = process.cmdline().unwrap_or_default();
        process.stat().is_ok_and(|stat| stat.state != 'Z' && stat.comm.starts_with("tmux"))
            && words.contains(&socket)
            && u32::try_from(process.pid) != Ok(server)
    });
    assert!(clients.count() <= 2, "the gateway's one client and at most one look of its own");
    assert!(children(gateway).len() <= 2);
    drop(stopped);
    eventually("the status to be as before", || match world.status(&agent) {
        status if status == live => Ok(()),
        status => Err(status.to_string()),
    });
    world.tmux(&["rename-session", "-t", &format!("={}", agent.session), "awake"]);
    name_becomes(&agent, "awake");
}

#[test]
fn a_launch_right_after_the_server_was_killed_succeeds() {
    let world = World::new();
    for number in 0..20 {
        let agent = world.launch(&format!("agent-{number}"));
        assert_eq!(world.windows(&agent.session), ["0 agent"]);
        world.tmux(&["kill-server"]);
    }
}

#[test]
fn a_stopped_gateway_does_not_let_the_server_grow_while_a_pane_floods() {
    let world = World::new();
    let scripted = World::scripted_agent();
    let agent = world.launch_with(&["alpha", "--", scripted.to_str().unwrap(), "flood"]);
    world.agents(&["gateway", "attach", "--background", "--agent-id", &agent.id]).ok();
    let (server, gateway) = (world.server_pid(), world.gateway_pid());
    control_client(&world, gateway, &[]);
    let flooder: i32 = world.tmux(&["display-message", "-p", "-t", &agent.pane, "#{pane_pid}"]).parse().unwrap();
    let flooder = procfs::process::Process::new(flooder).unwrap();
    let printed = |least: u64| {
        let begun = flooder.io().unwrap().wchar;
        eventually("the pane to flood", || match flooder.io().unwrap().wchar - begun {
            bytes if bytes >= least => Ok(()),
            bytes => Err(format!("{bytes} bytes")),
        });
    };
    // The pane's history is full before the memory is looked at.
    printed(4 << 20);
    let before = resident(server);
    let stopped = Stopped::new(gateway);
    printed(48 << 20);
    let after = resident(server);
    assert!(after < before + (16 << 20), "{before} → {after}");
    // Beside a client that lags with output, this ends a tmux 3.3a server; ours takes no output.
    world.tmux(&["respawn-pane", "-k", "-t", &agent.pane, "sleep 1000"]);
    assert_eq!(world.tmux(&["display-message", "-p", "#{pid}"]), server.to_string());
    world.tmux(&["kill-session", "-t", &format!("={}", agent.session)]);
    drop(stopped);
    gone(gateway);
}

#[test]
fn a_lost_control_client_is_replaced_and_nothing_is_missed() {
    let world = World::new();
    let agent = world.launch("alpha");
    let live = world.attach(&agent);
    let gateway = world.gateway_pid();
    let mut lost = Vec::new();
    for number in 0..3 {
        let client = control_client(&world, gateway, &lost);
        signal(client, Signal::KILL);
        gone(client);
        lost.push(client);
        // Once while nobody listens for it, and once to the new client.
        let name = format!("early-{number}");
        world.tmux(&["rename-session", "-t", &current(&world), &name]);
        name_becomes(&agent, &name);
        control_client(&world, gateway, &lost);
        let name = format!("late-{number}");
        world.tmux(&["rename-session", "-t", &current(&world), &name]);
        name_becomes(&agent, &name);
    }
    let status = world.status(&agent);
    assert_eq!((status["gateway_health"].as_str(), port_of(&status)), (Some("healthy"), port_of(&live)));
    assert_eq!(world.gateway_pid(), gateway);
}

fn current(world: &World) -> String {
    world.tmux(&["list-sessions", "-F", "#{session_id}"])
}

#[test]
fn the_users_window_keeps_its_size() {
    let world = World::new();
    world.server_with(&["default-size 200x50", "window-size latest"]);
    let agent = world.launch("alpha");
    let size = || world.tmux(&["display-message", "-p", "-t", &agent.pane, "#{window_width}x#{window_height}"]);
    let before = size();
    assert_eq!(before, "200x50");
    world.attach(&agent);
    let gateway = world.gateway_pid();
    let first = control_client(&world, gateway, &[]);
    assert_eq!(size(), before);
    signal(first, Signal::KILL);
    control_client(&world, gateway, &[first]);
    world.tmux(&["rename-session", "-t", &format!("={}", agent.session), "seen"]);
    name_becomes(&agent, "seen");
    assert_eq!(size(), before);
}

#[test]
fn a_removed_socket_names_the_cure() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.attach(&agent);
    let server = world.server_pid();
    std::fs::remove_file(world.socket()).unwrap();
    let status = world.agents(&["gateway", "status", "--agent-id", &agent.id]);
    status.fails(7, "its socket", &format!("kill -USR1 {server}"));
    signal(server, Signal::USR1);
    eventually("the socket", || if world.socket().exists() { Ok(()) } else { Err("missing".to_owned()) });
    assert_eq!(world.status(&agent)["gateway_health"], "healthy");
}

//! How a gateway ends: asked by signals, keys and windows, killed together with its tmux, or robbed of its lock.

use std::{
    io::Write,
    net::TcpStream,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Agent, Client, Stopped, World, children, eventually, gone, listens, lock_is_held, port_of, signal, stat,
};

fn attach(world: &World, agent: &Agent, words: &[&str]) -> Value {
    world.agents(&[&["gateway", "attach", "--json", "--agent-id", &agent.id][..], words].concat()).json()
}

#[test]
fn every_signal_that_asks_for_an_end_leaves_what_a_detach_leaves() {
    let world = World::new();
    let agent = world.launch("alpha");
    for place in [&[][..], &["--background"]] {
        for asked in [Signal::TERM, Signal::INT, Signal::HUP] {
            let port = port_of(&attach(&world, &agent, place));
            let pid = world.gateway_pid();
            signal(pid, asked);
            gone(pid);
            world.windows_become(&agent.session, &["0 agent"]);
            world.is_consistent(&agent);
            assert!(!listens(port), "{place:?} {asked:?}");
            assert!(agent.log().trim_end().ends_with("gateway stopped"), "{}", agent.log());
        }
    }
}

#[test]
fn a_second_signal_ends_a_gateway_that_still_finishes_its_answers() {
    let world = World::new();
    let agent = world.launch("alpha");
    let port = port_of(&world.attach(&agent));
    let pid = world.gateway_pid();
    // A client that asks and never reads keeps an answer unfinished.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nonblocking(true).unwrap();
    let question = format!("GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").repeat(100);
    let (mut sent, mut refusals) = (0, 0);
    eventually("the connection to be full both ways", || {
        refusals += 1;
        // A question that was cut is gone on with: the gateway reads whole ones only.
        while let Ok(bytes) = stream.write(&question.as_bytes()[sent..]) {
            sent = (sent + bytes) % question.len();
            refusals = 0;
        }
        if refusals > 20 { Ok(()) } else { Err(format!("{refusals} refusals in a row")) }
    });
    signal(pid, Signal::TERM);
    eventually("the first signal to be heard", || {
        if agent.log().contains("gateway stopping") { Ok(()) } else { Err(agent.log()) }
    });
    signal(pid, Signal::TERM);
    gone(pid);
    assert!(agent.log().contains("asked a second time"), "{}", agent.log());
    assert_eq!(world.status(&agent)["gateway_health"], "not_attached");
    world.is_consistent(&agent);
}

#[test]
fn ctrl_c_in_the_window_ends_the_gateway() {
    let world = World::new();
    let agent = world.launch("alpha");
    let pane = world.attach(&agent)["gateway_tmux_pane_id"].as_str().unwrap().to_owned();
    world.tmux(&["send-keys", "-t", &pane, "C-c"]);
    world.windows_become(&agent.session, &["0 agent"]);
    world.no_gateway();
    world.is_consistent(&agent);
}

#[test]
fn ctrl_z_and_ctrl_backslash_in_the_window_do_nothing() {
    let world = World::new();
    let agent = world.launch("alpha");
    let live = world.attach(&agent);
    let pane = live["gateway_tmux_pane_id"].as_str().unwrap();
    let pid = world.gateway_pid();
    let clients = eventually("the control client", || match children(pid) {
        clients if clients.len() == 1 => Ok(clients),
        clients => Err(format!("{clients:?}")),
    });
    for (key, echo) in [("C-z", "^Z"), ("C-\\", "^\\")] {
        world.tmux(&["send-keys", "-t", pane, key]);
        eventually("the key to arrive", || {
            let screen = world.tmux(&["capture-pane", "-p", "-t", pane]);
            if screen.contains(echo) { Ok(()) } else { Err(screen) }
        });
        assert_ne!(stat(pid).unwrap().state, 'T', "{key}");
        assert_eq!(world.status(&agent), live, "{key}");
        assert_eq!(children(pid), clients, "{key} reached the control client");
        assert_ne!(stat(clients[0]).unwrap().state, 'T', "{key}");
    }
}

#[test]
fn ctrl_s_in_the_window_stops_only_the_window() {
    let world = World::new();
    let agent = world.launch("alpha");
    let live = world.attach(&agent);
    let pane = live["gateway_tmux_pane_id"].as_str().unwrap();
    let pid = world.gateway_pid();
    world.tmux(&["send-keys", "-t", pane, "C-s"]);
    for number in 0..30 {
        let name = format!("renamed-{number}");
        world.tmux(&["rename-session", "-t", &live_session(&world), &name]);
        eventually("the new name", || match world.status(&agent) {
            status if status["tmux_session_name"] == name.as_str() => Ok(()),
            status => Err(status.to_string()),
        });
    }
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    gone(pid);
    assert_eq!(agent.file("gateway/state.json")["gateway_health"], "not_attached");
}

fn live_session(world: &World) -> String {
    world.tmux(&["list-sessions", "-F", "#{session_id}"])
}

#[test]
fn closing_the_gateways_window_detaches() {
    let world = World::new();
    let agent = world.launch("alpha");
    let live = world.attach(&agent);
    world.tmux(&["kill-window", "-t", live["gateway_tmux_window_id"].as_str().unwrap()]);
    world.no_gateway();
    world.is_consistent(&agent);
    assert!(agent.log().contains("the window was closed"), "{}", agent.log());
    assert_eq!(world.status(&agent)["gateway_health"], "not_attached");
    assert_eq!(port_of(&world.attach(&agent)), port_of(&live));
}

#[test]
fn a_gateway_ends_with_its_server_or_its_session() {
    for place in [&[][..], &["--background"]] {
        for whole_server in [true, false] {
            let world = World::new();
            world.server_with(&[]);
            let agent = world.launch("alpha");
            let port = port_of(&attach(&world, &agent, place));
            let pid = world.gateway_pid();
            if whole_server {
                signal(world.server_pid(), Signal::KILL);
            } else {
                world.tmux(&["kill-session", "-t", &format!("={}", agent.session)]);
            }
            gone(pid);
            let free = || if listens(port) || lock_is_held(&agent) { Err("held".to_owned()) } else { Ok(()) };
            eventually("port and lock to be free", free);
            let state = agent.file("gateway/state.json");
            assert_eq!(state["gateway_health"], "not_attached", "{place:?} {whole_server}: {}", agent.log());
            assert!(!agent.root.join("gateway/run/current-instance.json").exists());
            let status = world.agents(&["gateway", "status", "--json", "--agent-id", &agent.id]);
            assert!(status.stderr.contains("session is gone"), "{status:?}");
            assert_eq!(status.json(), state);
        }
    }
}

#[test]
fn nobody_but_the_gateway_holds_its_lock() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.attach(&agent);
    let pid = world.gateway_pid();
    let agent_pid: u32 = world.tmux(&["display-message", "-p", "-t", &agent.pane, "#{pane_pid}"]).parse().unwrap();
    let holds = |pid: u32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        files.filter(|file| std::fs::read_link(file.path()).is_ok_and(|path| path.ends_with("gateway.lock"))).count()
    };
    assert_eq!(holds(pid), 1);
    for other in [agent_pid, world.server_pid()].into_iter().chain(children(pid)) {
        assert_eq!(holds(other), 0, "{:?}", stat(other).map(|stat| stat.comm));
    }
    signal(pid, Signal::KILL);
    gone(pid);
    eventually("a free lock", || if lock_is_held(&agent) { Err("held".to_owned()) } else { Ok(()) });
}

#[test]
fn records_that_name_a_living_stranger_harm_nobody() {
    let world = World::new();
    let agent = world.launch("alpha");
    let mut command = Command::new("sleep");
    command.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut stranger = Client(command.spawn().unwrap());
    let ticks = stat(stranger.0.id()).unwrap().starttime;
    let pid = json!(stranger.0.id());
    let changes: [&dyn Fn(&mut Value); 4] = [
        // the number was given away again
        &|owner| owner["process"]["pid"] = pid.clone(),
        // even a record that fits the stranger in everything
        &|owner| {
            owner["process"]["pid"] = pid.clone();
            owner["process"]["start_ticks"] = json!(ticks);
        },
        // the machine was started anew
        &|owner| {
            owner["process"]["pid"] = pid.clone();
            owner["process"]["start_ticks"] = json!(ticks);
            owner["process"]["boot_id"] = json!("00000000-0000-0000-0000-000000000000");
        },
        &|owner| *owner = json!("nothing that makes sense"),
    ];
    for verb in ["attach", "status", "detach"] {
        for change in changes {
            world.attach(&agent);
            signal(world.gateway_pid(), Signal::KILL);
            world.no_gateway();
            eventually("a free lock", || if lock_is_held(&agent) { Err("held".to_owned()) } else { Ok(()) });
            let mut owner = agent.file("gateway/run/owner.json");
            change(&mut owner);
            std::fs::write(agent.root.join("gateway/run/owner.json"), owner.to_string()).unwrap();
            let mut instance = agent.file("gateway/run/current-instance.json");
            instance["pid"] = pid.clone();
            std::fs::write(agent.root.join("gateway/run/current-instance.json"), instance.to_string()).unwrap();
            let state = world.agents(&["gateway", verb, "--json", "--agent-id", &agent.id]).json();
            assert_eq!(state["gateway_health"] == "healthy", verb == "attach", "{owner}");
            world.is_consistent(&agent);
            assert!(stranger.0.try_wait().unwrap().is_none(), "the stranger was signalled: {owner}");
            world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
        }
    }
}

#[test]
fn a_gateway_whose_lock_file_is_gone_gives_up() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.attach(&agent);
    let pid = world.gateway_pid();
    std::fs::remove_file(agent.root.join("gateway/gateway.lock")).unwrap();
    gone(pid);
    assert!(agent.log().contains("the lock file was removed or replaced"), "{}", agent.log());
    assert_eq!(world.status(&agent)["gateway_health"], "not_attached");
    world.is_consistent(&agent);
    assert_eq!(world.attach(&agent)["gateway_health"], "healthy");
    world.is_consistent(&agent);
}

#[test]
fn a_newcomer_does_not_join_a_gateway_that_lost_its_lock_file_unknowingly() {
    let world = World::new();
    let agent = world.launch("alpha");
    attach(&world, &agent, &["--background"]);
    let pid = world.gateway_pid();
    let stopped = Stopped::new(pid);
    std::fs::remove_file(agent.root.join("gateway/gateway.lock")).unwrap();
    let refused = world.agents(&["gateway", "attach", "--agent-id", &agent.id]);
    assert_ne!(refused.status, 0, "{refused:?}");
    assert!(refused.stderr.contains(&pid.to_string()), "{refused:?}");
    assert_eq!(world.gateway_pids(), [pid]);
    drop(stopped);
    gone(pid);
    assert_eq!(world.attach(&agent)["gateway_health"], "healthy");
    world.is_consistent(&agent);
}

#[test]
fn the_tmux_client_of_a_killed_detached_gateway_is_ended_by_the_next_look() {
    let world = World::new();
    let agent = world.launch("alpha");
    attach(&world, &agent, &["--background"]);
    let client = agent.file("gateway/run/control-client.json")["process"]["pid"].as_u64().unwrap();
    let client = u32::try_from(client).unwrap();
    assert_eq!(world.tmux(&["list-clients", "-F", "#{client_pid}"]), client.to_string());
    world.kill_gateways();
    let run = world.agents(&["gateway", "status", "--agent-id", &agent.id]);
    assert_eq!(run.status, 0, "{run:#?}");
    gone(client);
    assert_eq!(world.tmux(&["list-clients", "-F", "#{client_pid}"]), "");
    assert!(!agent.root.join("gateway/run/control-client.json").exists());
    world.is_consistent(&agent);
}

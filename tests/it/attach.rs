//! Attaching: the auxiliary window, its place among the others, reuse, replacement, and many attaches at once.

use rustix::process::Signal;

use crate::support::{Agent, World, eventually, free_port, gone, listens, port_of, signal, stat};

fn attach_words(agent: &Agent) -> Vec<&str> {
    vec!["gateway", "attach", "--json", "--agent-id", &agent.id]
}

/// `index name active` of every window: who has the focus, and what was it before.
fn focus(world: &World, agent: &Agent) -> String {
    let format = "#{window_index} #{window_active} #{window_last_flag}";
    let windows = world.tmux(&["list-windows", "-t", &format!("={}:", agent.session), "-F", format]);
    windows.lines().filter(|line| !line.ends_with(" 0 0")).collect::<Vec<_>>().join("\n")
}

#[test]
fn neither_attach_nor_detach_moves_the_focus() {
    let world = World::new();
    let agent = world.launch("alpha");
    let client = world.client(&agent.session);
    for _ in 0..2 {
        world.tmux(&["new-window", "-n", "sleep", "-t", &format!("={}:", agent.session), "sleep 1000"]);
    }
    world.tmux(&["select-window", "-t", &format!("={}:1", agent.session)]);
    let before = focus(&world, &agent);
    assert_eq!(before, "1 1 0\n2 0 1");
    assert_eq!(world.attach(&agent)["gateway_tmux_window_index"], "3");
    assert_eq!(focus(&world, &agent), before);
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    world.windows_become(&agent.session, &["0 agent", "1 sleep", "2 sleep"]);
    assert_eq!(focus(&world, &agent), before);
    drop(client);
}

#[test]
fn the_gateway_takes_the_first_free_index_from_one() {
    let world = World::new();
    let agent = world.launch("alpha");
    for index in [1, 2, 5] {
        world.tmux(&["new-window", "-d", "-t", &format!("={}:{index}", agent.session), "sleep 1000"]);
    }
    assert_eq!(world.attach(&agent)["gateway_tmux_window_index"], "3", "the gap is used");
    for index in (4..=20).filter(|index| *index != 5) {
        world.tmux(&["new-window", "-d", "-t", &format!("={}:{index}", agent.session), "sleep 1000"]);
    }
    world.tmux(&["new-window", "-d", "-t", &format!("={}:22", agent.session), "sleep 1000"]);
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    world.tmux(&["new-window", "-d", "-t", &format!("={}:3", agent.session), "sleep 1000"]);
    assert_eq!(world.attach(&agent)["gateway_tmux_window_index"], "21", "twenty windows are no obstacle");
}

#[test]
fn the_users_window_numbering_does_not_matter() {
    for options in [&["base-index 1"][..], &["renumber-windows on"], &["base-index 1", "renumber-windows on"]] {
        let world = World::new();
        world.server_with(options);
        let agent = world.launch("alpha");
        let live = world.attach(&agent);
        assert_eq!(world.windows(&agent.session), ["0 agent", "1 gateway"], "{options:?}");
        assert_eq!(live["gateway_tmux_window_index"], "1", "{options:?}");
        world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
        world.windows_become(&agent.session, &["0 agent"]);
        assert_eq!(world.attach(&agent)["gateway_health"], "healthy");
    }
}

#[test]
fn the_gateways_window_closes_also_where_dead_panes_are_kept() {
    let world = World::new();
    world.server_with(&["remain-on-exit on"]);
    let agent = world.launch("alpha");
    world.attach(&agent);
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    world.windows_become(&agent.session, &["0 agent"]);
    world.attach(&agent);
    signal(world.gateway_pid(), Signal::KILL);
    world.no_gateway();
    world.windows_become(&agent.session, &["0 agent"]);
}

#[test]
fn without_the_agents_window_attach_is_refused_with_the_way_out() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.tmux(&["new-window", "-d", "-n", "sleep", "-t", &format!("={}:", agent.session), "sleep 1000"]);
    world.tmux(&["kill-window", "-t", &format!("={}:0", agent.session)]);
    let refused = world.agents(&["gateway", "attach", "--agent-id", &agent.id]);
    refused.fails(3, "window 0 does not exist", "agents relaunch");
    assert_eq!(world.windows(&agent.session), ["1 sleep"]);
    world.agents(&["relaunch", "--agent-id", &agent.id]).ok();
    assert_eq!(world.attach(&agent)["gateway_tmux_window_index"], "2");
}

fn recorded_index(agent: &Agent) -> String {
    let (state, record) = (agent.file("gateway/state.json"), agent.file("gateway/run/current-instance.json"));
    assert_eq!(state["gateway_tmux_window_id"], record["tmux_window_id"]);
    match (state["gateway_tmux_window_index"].as_str(), record["tmux_window_index"].as_str()) {
        (Some(one), Some(other)) if one == other => one.to_owned(),
        other => format!("{other:?}"),
    }
}

fn index_becomes(agent: &Agent, expected: &str) {
    eventually(&format!("both records to say window {expected}"), || match recorded_index(agent) {
        index if index == expected => Ok(()),
        index => Err(index),
    });
}

#[test]
fn the_records_follow_the_gateways_window() {
    let world = World::new();
    let agent = world.launch("alpha");
    let at = |index: u32| format!("={}:{index}", agent.session);
    for index in 1..=3 {
        world.tmux(&["new-window", "-d", "-n", "gateway", "-t", &at(index), "sleep 1000"]);
    }
    let window = world.attach(&agent)["gateway_tmux_window_id"].as_str().unwrap().to_owned();
    index_becomes(&agent, "4");
    world.tmux(&["kill-window", "-t", &at(2)]);
    world.tmux(&["move-window", "-r", "-t", &format!("={}:", agent.session)]);
    index_becomes(&agent, "3");
    world.tmux(&["move-window", "-d", "-s", &window, "-t", &at(9)]);
    index_becomes(&agent, "9");
    assert_eq!(world.status(&agent)["gateway_tmux_window_id"], window.as_str());
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    world.windows_become(&agent.session, &["0 agent", "1 gateway", "2 gateway"]);
}

#[test]
fn a_gateway_that_comes_to_window_0_moves_itself_away() {
    let world = World::new();
    let agent = world.launch("alpha");
    let window = world.attach(&agent)["gateway_tmux_window_id"].as_str().unwrap().to_owned();
    world.tmux(&["swap-window", "-d", "-s", &window, "-t", &format!("={}:0", agent.session)]);
    world.windows_become(&agent.session, &["1 agent", "2 gateway"]);
    index_becomes(&agent, "2");
    world.tmux(&["move-window", "-d", "-s", &agent.pane, "-t", &format!("={}:0", agent.session)]);
    world.tmux(&["kill-window", "-t", &format!("={}:0", agent.session)]);
    world.tmux(&["move-window", "-r", "-t", &format!("={}:", agent.session)]);
    world.windows_become(&agent.session, &["1 gateway"]);
    index_becomes(&agent, "1");
    assert_eq!(world.status(&agent)["gateway_health"], "healthy");
}

#[test]
fn a_background_gateway_has_no_terminal_and_outlives_its_callers() {
    let world = World::new();
    let agent = world.launch("alpha");
    let command =
        format!("{} gateway attach --background --agent-id {}; sleep 1000", World::program().display(), agent.id);
    let caller = world.tmux(&["new-session", "-d", "-P", "-F", "#{pane_pid}", "-s", "caller", &command]);
    let pid = eventually("a gateway that answers", || {
        let state = agent.file("gateway/state.json");
        if state["gateway_health"] == "healthy" { Ok(world.gateway_pid()) } else { Err(state.to_string()) }
    });
    let kernel = stat(pid).unwrap();
    assert_eq!((kernel.session, kernel.tty_nr), (kernel.pid, 0), "its own session, and no terminal");
    world.tmux(&["kill-session", "-t", "=caller"]);
    gone(caller.parse().unwrap());
    let live = world.status(&agent);
    assert_eq!((&live["gateway_health"], &live["execution_mode"]), (&"healthy".into(), &"detached_process".into()));
    assert_eq!((world.gateway_pid(), world.windows(&agent.session)), (pid, vec!["0 agent".to_owned()]));
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    gone(pid);
    world.is_consistent(&agent);
}

#[test]
fn a_healthy_gateway_is_reused_and_only_restart_replaces_it() {
    let world = World::new();
    let agent = world.launch("alpha");
    let live = world.attach(&agent);
    let (pid, port) = (world.gateway_pid(), port_of(&live).to_string());
    let again = world.agents(&attach_words(&agent));
    assert!(again.stderr.contains("running already"), "{again:?}");
    assert_eq!(again.json(), live);
    assert_eq!(world.agents(&[&attach_words(&agent)[..], &["--gateway-port", &port]].concat()).json(), live);
    let other = free_port().to_string();
    let words = ["gateway", "attach", "--agent-id", &agent.id, "--gateway-port", &other];
    world.agents(&words).fails(5, "already listens", "--restart");
    assert_eq!((world.gateway_pid(), world.windows(&agent.session).len()), (pid, 2));

    let replaced = world.agents(&[&words[..], &["--restart", "--json"]].concat()).json();
    assert_eq!(port_of(&replaced).to_string(), other);
    gone(pid);
    world.is_consistent(&agent);
    assert_eq!(port_of(&world.agents(&[&attach_words(&agent)[..], &["--restart"]].concat()).json()).to_string(), other);
}

#[test]
fn the_next_gateway_listens_on_the_same_port() {
    let world = World::new();
    let agent = world.launch("alpha");
    let port = port_of(&world.attach(&agent));
    for _ in 0..3 {
        world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
        assert!(!listens(port));
        assert_eq!(port_of(&world.attach(&agent)), port);
    }
}

#[test]
fn many_attaches_at_once_make_one_gateway() {
    for count in [2, 10, 20] {
        let world = World::new();
        let agent = world.launch("alpha");
        let words = attach_words(&agent);
        let runs = world.at_once(&vec![&words[..]; count]);
        let started = runs.iter().filter(|run| !run.stderr.contains("running already")).count();
        assert_eq!(started, 1, "{runs:#?}");
        let mut ports: Vec<u16> = runs.into_iter().map(|run| port_of(&run.json())).collect();
        ports.dedup();
        assert_eq!(ports.len(), 1, "{ports:?}");
        assert_eq!(world.windows(&agent.session), ["0 agent", "1 gateway"]);
        world.is_consistent(&agent);
    }
}

#[test]
fn an_attach_while_the_old_gateway_stops_starts_a_new_one() {
    let world = World::new();
    let agent = world.launch("alpha");
    for _ in 0..5 {
        let port = port_of(&world.attach(&agent));
        let old = world.gateway_pid();
        signal(old, Signal::TERM);
        eventually("the old one to stop listening", || {
            if listens(port) { Err("it listens") } else { Ok(()) }.map_err(str::to_owned)
        });
        assert_eq!(port_of(&world.attach(&agent)), port);
        assert_ne!(world.gateway_pid(), old);
        world.is_consistent(&agent);
    }
}

#[test]
fn the_gateways_own_window_and_window_0_are_no_places_to_start_from() {
    let world = World::new();
    let agent = world.launch("alpha");
    let root = agent.root.to_string_lossy().into_owned();
    let run = ["gateway", "run", "--session-root", &root];
    world.agents_in(&agent.pane, &run).fails(8, "window 0 belongs to the agent", "agents gateway attach");
    world.is_consistent(&agent);
    let pane = world.attach(&agent)["gateway_tmux_pane_id"].as_str().unwrap().to_owned();
    let pid = world.gateway_pid();
    for words in [&["gateway", "attach", "--restart"][..], &["gateway", "detach"], &["stop"]] {
        world.agents_in(&pane, words).fails(8, "the gateway's own window", "another window");
    }
    assert_eq!(world.gateway_pid(), pid);
    assert_eq!(world.agents_in(&agent.pane, &["gateway", "attach", "--json"]).json()["gateway_health"], "healthy");
}

#[test]
fn a_gateway_run_by_hand_is_as_public_as_an_attached_one() {
    let world = World::new();
    let agent = world.launch("alpha");
    let command = format!("{} gateway run --session-root {}", World::program().display(), agent.root.display());
    let at = format!("={}:", agent.session);
    let window = world.tmux(&["new-window", "-d", "-P", "-F", "#{window_id}", "-n", "mine", "-t", &at, &command]);
    let live = |mode: &str| {
        eventually("the gateway to be public", || {
            let state = world.status(&agent);
            let variables = world.live_variables(&agent.session).len();
            let is_public = state["gateway_health"] == "healthy" && state["execution_mode"] == mode && variables == 8;
            if is_public { Ok(state) } else { Err(state.to_string()) }
        })
    };
    assert_eq!(live("tmux_auxiliary_window")["gateway_tmux_window_id"], window.as_str());
    let refused = world.agents(&["gateway", "run", "--session-root", &agent.root.to_string_lossy()]);
    refused.fails(5, "holds this session", "--restart");
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    world.windows_become(&agent.session, &["0 agent"]);

    let mut outside = world.command(World::program());
    outside.args(["gateway", "run", "--session-root"]).arg(&agent.root);
    let mut child = outside.spawn().unwrap();
    assert_eq!(live("detached_process")["gateway_tmux_window_id"], serde_json::Value::Null);
    signal(child.id(), Signal::INT);
    assert!(child.wait().unwrap().success());
    world.is_consistent(&agent);
}

/// Breaks the session's files so that a gateway cannot start, and expects the reason and nothing left.
fn cannot_start(break_it: impl Fn(&Agent), expected: &str) {
    for place in [&[][..], &["--background"]] {
        let world = World::new();
        let agent = world.launch("alpha");
        break_it(&agent);
        let run = world.agents(&[&["gateway", "attach", "--agent-id", &agent.id][..], place].concat());
        assert_ne!(run.status, 0, "{run:?}");
        let status = run.status;
        run.fails(status, expected, "");
        world.no_gateway();
        world.windows_become(&agent.session, &["0 agent"]);
        assert_eq!(world.live_variables(&agent.session), Vec::<String>::new());
        assert!(!agent.root.join("gateway/run/current-instance.json").exists());
        assert_eq!(agent.file("gateway/state.json")["gateway_health"], "not_attached");
        assert_eq!(agent.file("gateway/desired-config.json")["desired_port"], serde_json::Value::Null);
        let ready = std::fs::read_dir(agent.root.join("gateway/run")).unwrap().flatten();
        assert_eq!(ready.filter(|entry| entry.file_name().to_string_lossy().starts_with("ready-")).count(), 0);
    }
}

#[test]
fn a_folder_in_place_of_the_queue_keeps_the_gateway_from_starting() {
    cannot_start(
        |agent| {
            let queue = agent.root.join("gateway/queue.sqlite");
            std::fs::remove_file(&queue).ok();
            std::fs::create_dir(&queue).unwrap();
        },
        "queue.sqlite",
    );
}

#[test]
fn a_folder_in_place_of_the_lock_keeps_the_gateway_from_starting() {
    cannot_start(
        |agent| {
            let lock = agent.root.join("gateway/gateway.lock");
            std::fs::remove_file(&lock).ok();
            std::fs::create_dir(&lock).unwrap();
        },
        "gateway.lock",
    );
}

#[test]
fn a_running_gateway_survives_the_replacement_of_its_program() {
    let world = World::new();
    let agent = world.launch("alpha");
    let program = world.path().join("agents");
    let copy = |to: &std::path::Path| {
        // By another process: a file that is open for writing anywhere cannot be run.
        let mut command = world.command("cp");
        command.arg(World::program()).arg(to);
        world.finish(command).ok();
    };
    copy(&program);
    let run = |words: &[&str]| {
        let mut command = world.command(&program);
        command.args(words);
        world.finish(command)
    };
    let live = run(&attach_words(&agent)).json();
    let pid = world.gateway_pid();
    let fresh = world.path().join("agents.new");
    copy(&fresh);
    std::fs::rename(&fresh, &program).unwrap();
    assert_eq!(run(&["gateway", "status", "--json", "--agent-id", &agent.id]).json(), live);
    run(&[&attach_words(&agent)[..], &["--restart"]].concat()).ok();
    assert_ne!(world.gateway_pid(), pid);
    std::fs::remove_file(&program).unwrap();
    assert_eq!(world.status(&agent)["gateway_health"], "healthy", "a deleted program runs on");
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    world.is_consistent(&agent);
}

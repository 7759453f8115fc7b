//! Where a gateway listens: the order of wishes, taken ports, bad values, and the network.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::{Agent, Run, World, free_port, get, port_of};

/// Attaches with words and variables of the caller.
fn attach(world: &World, agent: &Agent, words: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut command = world.command(World::program());
    command.args(["gateway", "attach", "--agent-id", &agent.id]).args(words).envs(variables.iter().copied());
    world.finish(command)
}

fn detach(world: &World, agent: &Agent) {
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
}

fn edit(agent: &Agent, name: &str, change: impl FnOnce(&mut Value)) {
    let mut document = agent.file(name);
    change(&mut document);
    std::fs::write(agent.root.join(name), document.to_string()).unwrap();
}

#[test]
fn the_port_is_the_first_wish_of_flag_environment_configuration_and_attach_contract() {
    let world = World::new();
    let agent = world.launch("alpha");
    let [flag, ours, theirs, desired, contract] = [(); 5].map(|()| free_port());
    let (flag_text, ours_text, theirs_text) = (flag.to_string(), ours.to_string(), theirs.to_string());
    edit(&agent, "gateway/attach.json", |file| file["desired_port"] = json!(contract));
    let both = [("AGENTS_GATEWAY_PORT", ours_text.as_str()), ("HOUMAO_AGENT_GATEWAY_PORT", theirs_text.as_str())];
    let port = |words: &[&str], variables: &[(&str, &str)]| {
        let port = port_of(&attach(&world, &agent, &[words, &["--json"]].concat(), variables).json());
        detach(&world, &agent);
        assert_eq!(agent.file("gateway/desired-config.json")["desired_port"], port, "the next start is the same");
        port
    };
    assert_eq!(port(&[], &[]), contract);
    edit(&agent, "gateway/desired-config.json", |file| file["desired_port"] = json!(desired));
    assert_eq!(port(&[], &[]), desired);
    assert_eq!(port(&[], &both[1..]), theirs);
    assert_eq!(port(&[], &both), ours);
    assert_eq!(port(&["--gateway-port", &flag_text], &both), flag);
}

#[test]
fn without_any_wish_the_system_chooses_the_port() {
    let world = World::new();
    let (one, other) = (world.launch("alpha"), world.launch("beta"));
    let ports = (port_of(&world.attach(&one)), port_of(&world.attach(&other)));
    assert_ne!(ports.0, ports.1);
    assert_ne!(world.gateway_pids().len(), 1);
}

#[test]
fn a_live_binding_in_the_environment_is_no_wish() {
    let world = World::new();
    let (one, other) = (world.launch("alpha"), world.launch("beta"));
    let live = port_of(&world.attach(&one));
    let state = one.root.join("gateway/state.json");
    for (family, state_path) in
        [("AGENTS_GATEWAY", "AGENTS_GATEWAY_STATE_PATH"), ("HOUMAO_AGENT_GATEWAY", "HOUMAO_GATEWAY_STATE_PATH")]
    {
        let names = [format!("{family}_HOST"), format!("{family}_PORT")];
        let variables = [
            (names[0].as_str(), "127.0.0.1"),
            (names[1].as_str(), &*live.to_string()),
            (state_path, &*state.to_string_lossy()),
        ];
        let chosen = port_of(&attach(&world, &other, &["--json"], &variables).json());
        assert_ne!(chosen, live, "{family}");
        assert_eq!(port_of(&attach(&world, &other, &["--json"], &variables).json()), chosen, "{family}");
        detach(&world, &other);
    }
}

#[test]
fn a_taken_port_that_was_asked_for_fails_and_leaves_nothing() {
    let world = World::new();
    let agent = world.launch("alpha");
    let before = std::fs::read(agent.root.join("gateway/desired-config.json")).unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    for place in [&[][..], &["--background"]] {
        let words = [&["--gateway-port", &port][..], place].concat();
        let run = attach(&world, &agent, &words, &[]);
        let run = run.fails(8, &format!("port {port} on 127.0.0.1 is taken by `"), "another --gateway-port");
        assert!(run.stderr.contains(&format!("(pid {})", std::process::id())), "{run:?}");
        world.no_gateway();
        world.windows_become(&agent.session, &["0 agent"]);
        world.is_consistent(&agent);
        assert_eq!(std::fs::read(agent.root.join("gateway/desired-config.json")).unwrap(), before);
        assert!(!agent.root.join("gateway/run/owner.json").exists());
    }
    assert_ne!(port_of(&world.attach(&agent)).to_string(), port);
}

#[test]
fn a_remembered_port_that_is_taken_gives_way_with_a_note() {
    let world = World::new();
    let agent = world.launch("alpha");
    let port = port_of(&world.attach(&agent));
    detach(&world, &agent);
    let holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let run = attach(&world, &agent, &["--json"], &[]);
    assert!(run.stderr.contains(&format!("port {port}, used before")), "{run:?}");
    let other = port_of(&run.json());
    assert_ne!(other, port);
    detach(&world, &agent);
    drop(holder);
    assert_eq!(port_of(&world.attach(&agent)), other, "the last port is the one to come back to");
}

#[test]
fn values_that_are_no_port_are_refused() {
    let world = World::new();
    let agent = world.launch("alpha");
    for value in ["0", "70000", "abc", "-1", "", "80 "] {
        let flag = attach(&world, &agent, &[&format!("--gateway-port={value}")], &[]);
        flag.fails(2, "--gateway-port", "");
        if value.is_empty() {
            continue;
        }
        let variable = attach(&world, &agent, &[], &[("AGENTS_GATEWAY_PORT", value)]);
        variable.fails(2, "AGENTS_GATEWAY_PORT", "1 to 65535");
    }
    for value in ["0.0.0.1", "localhost", "::1", "evil.example"] {
        attach(&world, &agent, &["--gateway-host", value], &[]).fails(2, "is not a host to listen on", "127.0.0.1");
    }
    assert_eq!(world.windows(&agent.session), ["0 agent"]);
    edit(&agent, "gateway/desired-config.json", |file| file["desired_port"] = json!(70_000));
    attach(&world, &agent, &[], &[]).fails(2, "desired-config.json", "desired_port");
    world.is_consistent(&agent);
}

#[test]
fn a_restart_onto_a_strangers_port_leaves_the_gateway_that_runs_alone() {
    let world = World::new();
    let agent = world.launch("alpha");
    let live = attach(&world, &agent, &["--json"], &[]).json();
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port().to_string();
    for (words, variables) in
        [(&["--restart", "--gateway-port", &port][..], &[][..]), (&["--restart"], &[("AGENTS_GATEWAY_PORT", &*port)])]
    {
        attach(&world, &agent, words, variables).fails(8, "is taken by", "--gateway-port");
        assert_eq!(world.status(&agent), live);
    }
    // Its own port is no stranger's.
    let own = port_of(&live).to_string();
    let again = attach(&world, &agent, &["--restart", "--gateway-port", &own, "--json"], &[]).json();
    assert_eq!(port_of(&again).to_string(), own);
    world.is_consistent(&agent);
}

#[test]
fn the_network_needs_an_explicit_permission() {
    let world = World::new();
    let agent = world.launch("alpha");
    for (words, variables) in
        [(&["--gateway-host", "0.0.0.0"][..], &[][..]), (&[], &[("AGENTS_GATEWAY_HOST", "0.0.0.0")])]
    {
        attach(&world, &agent, words, variables).fails(2, "open to the network", "--allow-remote");
    }
    edit(&agent, "gateway/desired-config.json", |file| file["desired_host"] = json!("0.0.0.0"));
    attach(&world, &agent, &[], &[]).fails(2, "open to the network", "--allow-remote");
    world.no_gateway();
    world.windows_become(&agent.session, &["0 agent"]);

    let live = attach(&world, &agent, &["--allow-remote", "--gateway-host", "0.0.0.0", "--json"], &[]).json();
    assert_eq!(live["gateway_host"], "0.0.0.0");
    assert_eq!(get(port_of(&live), "/health", "").status, 200);
    assert_eq!(world.status(&agent), live);
    // A refusal leaves the gateway that runs alone.
    attach(&world, &agent, &["--restart"], &[]).fails(2, "open to the network", "--gateway-host 127.0.0.1");
    assert_eq!(world.status(&agent), live);
    world.is_consistent(&agent);
}

//! Join: a session that somebody else started becomes gateway-capable, and is otherwise left as it is.

use crate::support::{Agent, World, eventually, keys, predecessor};

/// Somebody starts a session by hand; returns its pane.
fn start(world: &World, name: &str) -> String {
    // tmux expands the name as a format, and takes a final `;` for the end of the command.
    let name = &name.replace('#', "##").replace(';', "\\;");
    world.tmux(&[
        "new-session",
        "-d",
        "-s",
        name,
        "-x",
        "120",
        "-y",
        "40",
        "-n",
        "work",
        "-P",
        "-F",
        "#{pane_id}",
        "bash --norc",
    ])
}

/// Everything about a session that joining must not change.
fn portrait(world: &World, session: &str) -> String {
    let at = format!("={session}:");
    let windows = "#{window_index} #{window_id} #{window_name} #{window_layout} #{window_width}x#{window_height} \
                   #{pane_id} #{pane_pid} #{window_active} #{pane_active}";
    let mut lines = vec![world.tmux(&["list-panes", "-s", "-t", &at, "-F", windows])];
    lines.push(world.tmux(&["display-message", "-p", "-t", &at, "#{session_id} #{session_name} #{session_windows}"]));
    lines.push(world.tmux(&["show-options", "-t", &at]));
    lines.push(world.tmux(&["show-options", "-w", "-t", &at]));
    lines.push(world.tmux(&["show-options", "-p", "-t", &at]));
    lines.join("\n")
}

fn variables(world: &World, session: &str) -> Vec<String> {
    let shown = world.tmux(&["show-environment", "-t", &format!("={session}:")]);
    shown.lines().filter(|line| line.starts_with("AGENTS_") || line.starts_with("HOUMAO_")).map(str::to_owned).collect()
}

#[test]
fn joining_leaves_the_session_as_it_was() {
    let world = World::new();
    start(&world, "mine");
    world.tmux(&["split-window", "-d", "-t", "=mine:0", "sleep 1000"]);
    world.tmux(&["set-option", "-t", "=mine:", "status-left", "[#S] "]);
    let before = portrait(&world, "mine");
    let joined = world.agents(&["join", "--json", "--target-tmux-session", "mine"]).json();
    assert_eq!(portrait(&world, "mine"), before);
    let agent = Agent::read(&joined);
    assert_eq!((agent.name.as_str(), agent.session.as_str()), ("mine", "mine"));
    assert!(before.contains(&agent.pane), "{} in {before}", agent.pane);
    assert_eq!(joined["tool"], "bash");
    assert_eq!(agent.file("surface.json")["origin"], "joined");
    // Three of the session and three of the memory, in both families of names.
    assert_eq!(variables(&world, "mine").len(), 12);
    let free = ["launch_plan.metadata", "system_prompt", "launch_policy_provenance"];
    assert_eq!(keys(&agent.file("manifest.json"), &free), keys(&predecessor("manifest.json"), &free));

    let live = world.attach(&agent);
    assert_eq!(live["gateway_tmux_window_index"], "1");
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    eventually("the session to look as before", || match portrait(&world, "mine") {
        now if now == before => Ok(()),
        now => Err(now),
    });
}

#[test]
fn join_inside_a_session_means_that_session() {
    let world = World::new();
    start(&world, "other");
    let pane = start(&world, "mine");
    let agent = Agent::read(&world.agents_in(&pane, &["join", "--json", "--agent-name", "alpha"]).json());
    assert_eq!((agent.name.as_str(), agent.session.as_str(), agent.pane.as_str()), ("alpha", "mine", pane.as_str()));
    assert_eq!(world.agents_in(&pane, &["gateway", "status", "--json"]).json()["tmux_session_name"], "mine");
    assert_eq!(variables(&world, "other"), Vec::<String>::new());
    world.agents(&["join"]).fails(2, "no session was named", "--target-tmux-session");
}

#[test]
fn an_agent_outside_window_0_is_refused_with_the_command_that_moves_it() {
    let world = World::new();
    world.server_with(&["base-index 1"]);
    let pane = start(&world, "mine");
    let before = portrait(&world, "mine");
    let words = ["join", "--json", "--target-tmux-session", "mine"];
    let refused = world.agents(&["join", "--target-tmux-session", "mine"]).fails(
        8,
        "window 0 does not exist: the agent stands in window 1",
        "--renumber",
    );
    assert_eq!(portrait(&world, "mine"), before);
    assert_eq!(variables(&world, "mine"), Vec::<String>::new());
    let command = refused.stderr.split('`').find(|text| text.starts_with("tmux -S")).unwrap().to_owned();
    let mut shell = world.command("sh");
    shell.args(["-c", &command]);
    world.finish(shell).ok();
    assert_eq!(world.windows("mine"), ["0 work"]);
    assert_eq!(Agent::read(&world.agents(&words).json()).pane, pane);
}

#[test]
fn renumber_moves_the_agents_window_and_nothing_else() {
    let world = World::new();
    world.server_with(&["base-index 1", "renumber-windows on"]);
    let pane = start(&world, "mine");
    world.tmux(&["new-window", "-d", "-t", "=mine:", "-n", "logs", "sleep 1000"]);
    let joined = world.agents(&["join", "--json", "--renumber", "--target-tmux-session", "mine"]).json();
    assert_eq!(joined["primary_pane_id"].as_str().unwrap(), pane);
    assert!(joined["notes"][0].as_str().unwrap().contains("from index 1 to 0"), "{joined}");
    assert_eq!(world.windows("mine"), ["0 work", "2 logs"]);
    world.tmux(&["kill-window", "-t", "=mine:logs"]);
    assert_eq!(world.windows("mine"), ["0 work"], "tmux does not shift it back");
    assert_eq!(world.attach(&Agent::read(&joined))["gateway_health"], "healthy");
}

#[test]
fn session_names_with_spaces_and_emoji_can_be_joined_under_a_plain_agent_name() {
    let world = World::new();
    for (session, name) in [("my work", "first"), ("🦀 crab", "second"), ("it's \"so\"", "third"), ("tail;", "fourth")]
    {
        start(&world, session);
        world.agents(&["join", "--target-tmux-session", session]).fails(2, "cannot be an agent's name", "--agent-name");
        let words = ["join", "--json", "--agent-name", name, "--target-tmux-session", session];
        let agent = Agent::read(&world.agents(&words).json());
        assert_eq!(agent.session, session);
        assert_eq!(world.attach(&agent)["tmux_session_name"].as_str(), Some(session));
        let found = world.agents(&["gateway", "status", "--json", "--target-tmux-session", session]).json();
        assert_eq!(found["gateway_health"], "healthy", "{session}");
    }
}

#[test]
fn a_session_whose_name_tmux_might_run_is_refused_with_the_rename() {
    let world = World::new();
    let pane = start(&world, "x#(touch pwned)");
    world.agents(&["join", "--target-tmux-session", "x#(touch pwned)"]).fails(
        2,
        "may run what follows",
        "tmux rename-session",
    );
    world.agents_in(&pane, &["join", "--agent-name", "a"]).fails(
        8,
        "may run what follows",
        "tmux rename-session -t '$0' NEW",
    );
    world.tmux(&["rename-session", "-t", "$0", "fine"]);
    world.agents_in(&pane, &["join"]).ok();
    let long = "x".repeat(200);
    start(&world, &long);
    world.agents(&["join", "--target-tmux-session", &long]).fails(2, "too long", "at most 128 bytes; this has 200");
    assert!(!world.has_canary("pwned"));
}

#[test]
fn a_session_is_joined_once() {
    let world = World::new();
    let pane = start(&world, "mine");
    let first = world.agents(&["join", "--json", "--target-tmux-session", "mine"]).json();
    let before = world.home_tree();
    for words in [
        &["join", "--target-tmux-session", "mine"][..],
        &["join", "--target-tmux-session", "mine", "--agent-name", "b"],
    ] {
        world.agents(words).fails(8, "already gateway-capable as agent `mine`", "agents gateway attach");
    }
    world.agents_in(&pane, &["join"]).fails(8, "already gateway-capable", "agents gateway attach");
    assert_eq!(world.home_tree(), before);
    let launched = world.launch("alpha");
    world.agents(&["join", "--target-tmux-session", &launched.session]).fails(8, "as agent `alpha`", "attach");
    assert_eq!(Agent::read(&first).file("manifest.json")["agent_name"], "mine");
}

#[test]
fn two_sessions_cannot_share_an_agent_id() {
    let world = World::new();
    start(&world, "one");
    start(&world, "two");
    world.agents(&["join", "--target-tmux-session", "one", "--agent-name", "alpha"]).ok();
    let words = ["join", "--target-tmux-session", "two", "--agent-name", "alpha"];
    world.agents(&words).fails(8, "is running in session `one`", "--agent-id OTHER");
    assert_eq!(variables(&world, "two"), Vec::<String>::new());
    world.agents(&[&words[..], &["--agent-id", "second"]].concat()).ok();
}

#[test]
fn stopping_a_joined_session_ends_the_gateway_and_leaves_the_rest_alone() {
    let world = World::new();
    start(&world, "mine");
    let before = portrait(&world, "mine");
    let agent = Agent::read(&world.agents(&["join", "--json", "--target-tmux-session", "mine"]).json());
    world.attach(&agent);
    assert_eq!(world.live_variables("mine").len(), 8);
    let stopped = world.agents(&["stop", "--json", "--agent-id", &agent.id]).json();
    assert_eq!(stopped["agent_ended"], false);
    assert!(stopped["session_kept"].as_str().unwrap().contains("joined"), "{stopped}");
    eventually("the session to look as before", || match portrait(&world, "mine") {
        now if now == before => Ok(()),
        now => Err(now),
    });
    assert_eq!(variables(&world, "mine"), Vec::<String>::new());
    assert_eq!(world.gateway_pids(), Vec::<u32>::new());
    // And it can be joined again, under the same name.
    let again = Agent::read(&world.agents(&["join", "--json", "--target-tmux-session", "mine"]).json());
    assert_eq!(again.id, agent.id);
    assert_ne!(again.root, agent.root);
}

#[test]
fn the_tool_is_what_runs_in_the_foreground_unless_named() {
    let world = World::new();
    let script = World::scripted_agent();
    world.tmux(&["new-session", "-d", "-s", "direct", &format!("exec {} sleep", script.display())]);
    world.tmux(&["new-session", "-d", "-s", "shell", "bash --norc"]);
    world.tmux(&["send-keys", "-t", "=shell:", &format!("{} lines", script.display()), "Enter"]);
    for session in ["direct", "shell"] {
        eventually("the agent to run in the foreground", || {
            match world
                .tmux(&["display-message", "-p", "-t", &format!("={session}:"), "#{pane_current_command}"])
                .as_str()
            {
                "scripted-agent" => Ok(()),
                other => Err(other.to_owned()),
            }
        });
        let joined = world.agents(&["join", "--json", "--target-tmux-session", session]).json();
        assert_eq!(joined["tool"], "scripted-agent", "{session}");
    }
    start(&world, "named");
    let joined = world.agents(&["join", "--json", "--target-tmux-session", "named", "--tool", "claude"]).json();
    assert_eq!(joined["tool"], "claude");
}

#[test]
fn a_stale_manifest_pointer_is_no_obstacle_to_joining() {
    let world = World::new();
    start(&world, "mine");
    for pointer in ["/nowhere/manifest.json", "relative/manifest.json", "/etc/passwd"] {
        world.tmux(&["set-environment", "-t", "=mine:", "AGENTS_MANIFEST_PATH", pointer]);
        let agent = Agent::read(&world.agents(&["join", "--json", "--target-tmux-session", "mine"]).json());
        let manifest = agent.root.join("manifest.json");
        assert!(variables(&world, "mine").contains(&format!("AGENTS_MANIFEST_PATH={}", manifest.display())));
        world.agents(&["stop", "--agent-id", &agent.id]).ok();
    }
}

#[test]
fn a_session_whose_program_has_ended_is_not_joined() {
    let world = World::new();
    world.server_with(&["remain-on-exit on"]);
    world.tmux(&["new-session", "-d", "-s", "over", "true"]);
    eventually("the pane to die", || {
        match world.tmux(&["display-message", "-p", "-t", "=over:", "#{pane_dead}"]).as_str() {
            "1" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    world.agents(&["join", "--target-tmux-session", "over"]).fails(8, "window 0 has ended", "start the agent");
    world.agents(&["join", "--target-tmux-session", "ove"]).fails(3, "exactly `ove`", "did you mean `over`");
}

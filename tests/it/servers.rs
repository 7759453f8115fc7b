//! Which tmux server: lost sockets, successors on a socket, and what the environment names.

use crate::support::{Agent, Run, World, eventually, signal};

/// A launched agent in a session of this name.
#[track_caller]
fn launch(world: &World, name: &str) -> Agent {
    world.launch_with(&[name, "--session-name", name, "--", "bash", "--norc"])
}

fn status(world: &World, selector: &[&str]) -> Run {
    world.agents(&[&["gateway", "status", "--json"], selector].concat())
}

#[test]
fn a_server_that_lost_its_socket_is_named_with_the_signal_that_brings_it_back() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    let pid = world.tmux(&["display-message", "-p", "#{pid}"]);
    std::fs::remove_file(world.socket()).unwrap();
    for words in [&["gateway", "attach"][..], &["gateway", "status"], &["gateway", "detach"], &["stop"]] {
        world.agents(&[words, &["--agent-id", &agent.id]].concat()).fails(
            7,
            &format!("(pid {pid}) still runs, but its socket"),
            &format!("kill -USR1 {pid}"),
        );
    }
    assert!(!world.socket().exists(), "no second server was started");
    signal(pid.parse().unwrap(), rustix::process::Signal::USR1);
    eventually("the socket to be back", || if world.socket().exists() { Ok(()) } else { Err("no socket".into()) });
    assert_eq!(world.attach(&agent)["gateway_health"], "healthy");
}

#[test]
fn agents_of_a_server_whose_socket_another_one_took_are_not_called_gone() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    let pid = world.tmux(&["display-message", "-p", "#{pid}"]);
    std::fs::remove_file(world.socket()).unwrap();
    world.tmux(&["new-session", "-d", "-s", "alpha", "bash --norc"]);
    let other = world.tmux(&["display-message", "-p", "#{pid}"]);
    let listed = world.agents(&["list", "--json"]);
    let status = status(&world, &["--agent-id", &agent.id]);
    // Nobody reaches it by its socket any more, so it is ended here.
    signal(pid.parse().unwrap(), rustix::process::Signal::KILL);
    let taken = format!("(pid {pid}) of this agent still runs, but another one (pid {other}) answers");
    let list: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!((listed.status, list["agents"][0]["agent"].as_str()), (1, Some("unknown")), "{listed:#?}");
    assert!(list["problems"][0].as_str().unwrap().contains(&taken), "{listed:#?}");
    assert!(status.status == 7 && status.stdout.contains(&taken), "{status:#?}");
}

#[test]
fn launch_does_not_start_a_second_server_beside_one_that_lost_its_socket() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    let pid = world.tmux(&["display-message", "-p", "#{pid}"]);
    std::fs::remove_file(world.socket()).unwrap();
    let run = world.agents(&["launch", "beta", "--", "bash", "--norc"]);
    signal(pid.parse().unwrap(), rustix::process::Signal::USR1);
    run.fails(7, "still runs, but its socket", &format!("kill -USR1 {pid}"));
    eventually("the socket to be back", || if world.socket().exists() { Ok(()) } else { Err("no socket".into()) });
    assert_eq!(world.tmux(&["display-message", "-p", "#{pid}"]), pid);
    assert_eq!(world.status(&agent)["gateway_health"], "not_attached");
}

#[test]
fn the_recorded_socket_is_used_whatever_the_caller_names() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    world.attach(&agent);
    let elsewhere = world.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let run = world.agents_as(&["gateway", "status", "--json", "--agent-id", &agent.id], |command| {
        command.env_remove("AGENTS_TMUX_SOCKET").env("TMUX_TMPDIR", &elsewhere);
    });
    assert_eq!(run.json()["gateway_health"], "healthy");
    let other = world.path().join("other").to_string_lossy().into_owned();
    let run = world.agents(&["gateway", "status", "--json", "--agent-id", &agent.id, "--tmux-socket", &other]);
    assert_eq!(run.json()["gateway_health"], "healthy");
    world.agents(&["gateway", "status", "--target-tmux-session", "alpha", "--tmux-socket", &other]).fails(
        7,
        "no tmux server answers on socket",
        "--tmux-socket",
    );
}

#[test]
fn a_tmux_variable_that_names_a_dead_server_is_an_environment_fault() {
    let world = World::new();
    launch(&world, "alpha");
    let dead = world.path().join("dead");
    let in_dead = |words: &[&str]| {
        world.agents_as(words, |command| {
            command.env_remove("AGENTS_TMUX_SOCKET");
            command.env("TMUX", format!("{},1,0", dead.display())).env("TMUX_PANE", "%0");
        })
    };
    let socket = dead.to_string_lossy();
    in_dead(&["gateway", "status"]).fails(7, &socket, "unset TMUX");
    in_dead(&["join"]).fails(7, &socket, "");
    assert!(!dead.exists(), "no server was started there");
    let here = format!("{}", world.socket().display());
    let run = in_dead(&["gateway", "status", "--json", "--tmux-socket", &here, "--target-tmux-session", "alpha"]);
    assert_eq!(run.json()["tmux_session_name"], "alpha");
    let empty = world.work();
    world
        .agents_as(&["gateway", "status", "--agent-name", "alpha"], |command| {
            command.env("PATH", &empty);
        })
        .fails(7, "tmux is not installed", "install tmux");
}

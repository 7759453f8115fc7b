//! "Which session do you mean?": every selector, and every proof that keeps it from meaning another one.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::support::{Agent, Answer, Run, World, edit, eventually, get, raw, tree};

/// A launched agent in a session of this name.
#[track_caller]
fn launch(world: &World, name: &str) -> Agent {
    world.launch_with(&[name, "--session-name", name, "--", "bash", "--norc"])
}

fn status(world: &World, selector: &[&str]) -> Run {
    world.agents(&[&["gateway", "status", "--json"], selector].concat())
}

fn by_session(world: &World, session: &str) -> Run {
    world.agents(&["gateway", "status", "--target-tmux-session", session])
}

/// Points the session's manifest variables somewhere else.
fn point(world: &World, session: &str, path: &Path) {
    for name in ["AGENTS_MANIFEST_PATH", "HOUMAO_MANIFEST_PATH"] {
        world.tmux(&["set-environment", "-t", &format!("={session}:"), name, &path.to_string_lossy()]);
    }
}

fn record_of(world: &World, agent: &Agent) -> PathBuf {
    world.home().join("registry/live_agents").join(&agent.id).join("record.json")
}

/// Takes the agent out of the registry, so that only the pointer is left.
fn forget_record(world: &World, agent: &Agent) {
    std::fs::remove_dir_all(record_of(world, agent).parent().unwrap()).unwrap();
}

#[test]
fn every_selector_finds_the_same_session() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    launch(&world, "beta");
    let found = [
        status(&world, &["--agent-name", "alpha"]),
        status(&world, &["--agent-id", &agent.id]),
        status(&world, &["--target-tmux-session", "alpha"]),
        world.agents_in(&agent.pane, &["gateway", "status", "--json", "--current-session"]),
        world.agents_in(&agent.pane, &["gateway", "status", "--json"]),
        world.agents_in(&agent.pane, &["gateway", "status", "--json", "--agent-name", "alpha"]),
    ];
    for run in found {
        assert_eq!(run.json()["attach_identity"].as_str(), agent.root.file_name().unwrap().to_str());
    }
    let elsewhere = world.agents_in(&agent.pane, &["gateway", "status", "--json", "--agent-name", "beta"]).json();
    assert_eq!(elsewhere["tmux_session_name"], "beta");
}

#[test]
fn two_selectors_and_none_outside_tmux_are_usage_errors_that_list_the_choices() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    for command in ["attach", "status", "detach", "logs"] {
        world.agents(&["gateway", command, "--agent-name", "alpha", "--agent-id", &agent.id]).fails(
            2,
            "more than one session was named",
            "--target-tmux-session SESSION",
        );
        world.agents(&["gateway", command]).fails(2, "no session was named", "--agent-name NAME, --agent-id ID");
        world.agents(&["gateway", command, "--current-session"]).fails(2, "outside tmux", "--agent-name NAME");
        world.agents(&["gateway", command, "--agent-name", " "]).fails(2, "cannot be an agent name", "letters");
        world.agents(&["gateway", command, "--target-tmux-session", ""]).fails(2, "it is empty", "tmux ls");
    }
    assert_eq!(world.gateway_pids(), Vec::<u32>::new());
}

#[test]
fn a_name_means_itself_and_never_a_longer_one() {
    let world = World::new();
    let longer = launch(&world, "foobar");
    let live = world.attach(&longer);
    for words in [&["gateway", "attach"][..], &["gateway", "status"], &["gateway", "detach"], &["stop"], &["show"]] {
        world.agents(&[words, &["--target-tmux-session", "foo"]].concat()).fails(
            3,
            "no tmux session is called exactly `foo`",
            "did you mean `foobar`?",
        );
        world.agents(&[words, &["--agent-name", "foo"]].concat()).fails(
            3,
            "no agent is called exactly `foo`",
            "did you mean `--agent-name foobar`?",
        );
    }
    assert_eq!(world.status(&longer), live);
    let shorter = launch(&world, "foo");
    assert_eq!(world.attach(&shorter)["tmux_session_name"], "foo");
    world.agents(&["gateway", "detach", "--target-tmux-session", "foo"]).ok();
    world.agents(&["stop", "--target-tmux-session", "foo"]).ok();
    assert_eq!(world.status(&longer), live);
    assert_eq!(world.windows("foobar"), ["0 agent", "1 gateway"]);
    world.agents(&["gateway", "status", "--agent-id", "nobody"]).fails(3, "`nobody`", "agents list --all");
}

#[test]
fn a_session_of_an_ended_server_is_not_found_on_its_successor() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    let before = world.tmux(&["display-message", "-p", "-t", &agent.pane, "#{session_id} #{pane_id}"]);
    world.tmux(&["kill-server"]);
    eventually("the server to end", || {
        let run = world.try_tmux(&["new-session", "-d", "-s", "alpha", "-n", "new", "bash --norc"]);
        if run.status == 0 { Ok(()) } else { Err(run.stderr) }
    });
    let after = world.tmux(&["display-message", "-p", "-t", "=alpha:", "#{session_id} #{pane_id}"]);
    assert_eq!(before, after, "the new server gives the same ids");
    assert_eq!(world.agents(&["list", "--json"]).json()["agents"][0]["agent"], "gone");
    world.agents(&["gateway", "attach", "--agent-id", &agent.id]).fails(
        3,
        "recorded on another tmux server, which has ended since",
        "agents relaunch",
    );
    by_session(&world, "alpha").fails(3, "not gateway-capable", "agents join");
    point(&world, "alpha", &agent.root.join("manifest.json"));
    by_session(&world, "alpha").fails(3, "recorded on another tmux server", "agents join");
    assert_eq!(world.windows("alpha"), ["0 new"]);
}

#[test]
fn a_renamed_session_stays_itself() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    world.tmux(&["rename-session", "-t", "=alpha", "before any gateway"]);
    assert_eq!(status(&world, &["--agent-id", &agent.id]).json()["gateway_health"], "not_attached");
    assert_eq!(world.attach(&agent)["tmux_session_name"], "before any gateway");
    world.tmux(&["rename-session", "-t", "=before any gateway", "while it runs"]);
    eventually("the status to show the new name", || {
        match world.status(&agent)["tmux_session_name"].as_str().unwrap() {
            "while it runs" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    eventually("manifest and registry to follow", || {
        let (manifest, record) = (agent.file("manifest.json"), record_of(&world, &agent));
        let record: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(record).unwrap()).unwrap();
        let seen = json!([
            manifest["tmux_session_name"],
            manifest["tmux"]["session_name"],
            record["terminal"]["current_session_name"]
        ]);
        if seen == json!(["while it runs", "while it runs", "while it runs"]) { Ok(()) } else { Err(seen.to_string()) }
    });
    let by_name = status(&world, &["--target-tmux-session", "while it runs"]).json();
    assert_eq!(by_name["gateway_health"], "healthy");
    by_session(&world, "alpha").fails(3, "exactly `alpha`", "");
}

#[test]
fn a_new_session_of_the_same_name_is_not_adopted() {
    let world = World::new();
    world.server_with(&[]);
    let agent = launch(&world, "alpha");
    world.attach(&agent);
    world.tmux(&["kill-session", "-t", "=alpha"]);
    world.tmux(&["new-session", "-d", "-s", "alpha", "-n", "new", "bash --norc"]);
    by_session(&world, "alpha").fails(3, "not gateway-capable", "agents join");
    world.agents(&["gateway", "attach", "--agent-id", &agent.id]).fails(
        3,
        "the tmux session was closed",
        "agents relaunch",
    );
    point(&world, "alpha", &agent.root.join("manifest.json"));
    by_session(&world, "alpha").fails(3, "belongs to the session with id", "agents join");
    assert_eq!(world.windows("alpha"), ["0 new"]);
    assert_eq!(world.live_variables("alpha"), Vec::<String>::new());
}

#[test]
fn an_agent_that_moved_within_its_session_is_followed_and_outside_it_refused() {
    let world = World::new();
    world.server_with(&[]);
    let agent = launch(&world, "alpha");
    world.tmux(&["new-window", "-d", "-t", "=alpha:5", "-n", "other", "sleep 1000"]);
    world.tmux(&["join-pane", "-d", "-s", &agent.pane, "-t", "=alpha:5"]);
    assert_eq!(world.windows("alpha"), ["5 other"]);
    assert_eq!(world.attach(&agent)["managed_agent_connectivity"], "connected");
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    world.tmux(&["join-pane", "-d", "-s", &agent.pane, "-t", "=keeper:0"]);
    world.agents(&["gateway", "attach", "--agent-id", &agent.id]).fails(
        3,
        &format!("pane {} is gone", agent.pane),
        "agents relaunch",
    );
    assert_eq!(world.gateway_pids(), Vec::<u32>::new());
    let state = world.agents(&["state", "--json", "--agent-id", &agent.id]).json();
    assert_eq!(state["agent"], "gone");
}

/// What a shell hands to the program when this command is pasted.
fn paste(world: &World, command: &str) -> Vec<String> {
    let heard = world.path().join("heard");
    let bin =
        world.stand_in(command.split(' ').next().unwrap(), &format!("printf '%s\\0' \"$@\" >{}", heard.display()));
    let mut shell = world.command("sh");
    shell.args(["-c", command]).env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    world.finish(shell).ok();
    let heard = std::fs::read_to_string(heard).unwrap();
    heard.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn a_command_in_a_hint_can_be_pasted_whatever_the_session_is_called() {
    let world = World::new();
    let name = "x'; touch pwned; '$(touch pwned)";
    world.tmux(&["new-session", "-d", "-s", name, "bash --norc"]);
    let hinted = |run: Run| {
        let hint =
            run.stderr.lines().find_map(|line| line.strip_prefix("hint: `")).unwrap_or_else(|| panic!("{run:#?}"));
        hint[..hint.rfind('`').unwrap()].to_owned()
    };
    let join = hinted(by_session(&world, name).fails(3, "not gateway-capable", "makes it so"));
    assert_eq!(paste(&world, &join), ["join", "--target-tmux-session", name]);

    let joined = world.agents(&["join", "--agent-name", "alpha", "--target-tmux-session", name]).ok();
    let look = joined.lines().find_map(|line| line.strip_prefix("look")).unwrap().trim().to_owned();
    let socket = world.socket().to_string_lossy().into_owned();
    assert_eq!(paste(&world, &look), ["-S", &socket, "attach", "-t", &format!("={name}")]);

    let words = ["gateway", "status", "--require-live", "--target-tmux-session", name];
    let attach = hinted(world.agents(&words).fails(6, "no live gateway", "starts one"));
    assert_eq!(paste(&world, &attach), ["gateway", "attach", "--target-tmux-session", name]);
    assert!(!world.has_canary("pwned"));
}

#[test]
fn a_manifest_pointer_must_be_the_absolute_path_of_this_sessions_manifest() {
    let world = World::new();
    let (agent, other) = (launch(&world, "alpha"), launch(&world, "beta"));
    forget_record(&world, &agent);
    let manifest = agent.root.join("manifest.json");
    let relative = Path::new("home/manifest.json").to_owned();
    let climbing = agent.root.join("../").join(agent.root.file_name().unwrap()).join("manifest.json");
    for (path, why) in [
        (relative, "is not an absolute path"),
        (climbing, "climbs with `..`"),
        (world.path().join("nowhere/manifest.json"), "does not exist"),
        (agent.root.join("surface.json"), "is not a manifest.json"),
        (other.root.join("manifest.json"), "it belongs to the session with id"),
    ] {
        point(&world, "alpha", &path);
        by_session(&world, "alpha").fails(3, why, "agents join --target-tmux-session alpha");
    }
    point(&world, "alpha", &manifest);
    by_session(&world, "alpha").ok();
    let moved = world.path().join("moved.json");
    std::fs::rename(&manifest, &moved).unwrap();
    symlink(&moved, &manifest).unwrap();
    by_session(&world, "alpha").fails(8, "a symbolic link, not a plain file", "nothing was followed");
}

#[test]
fn a_session_root_that_others_could_change_is_refused_with_the_component_and_its_mode() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    let selectors = [["--agent-id", agent.id.as_str()], ["--target-tmux-session", "alpha"]];
    let set = |mode| std::fs::set_permissions(&agent.root, std::fs::Permissions::from_mode(mode)).unwrap();
    let root = agent.root.to_string_lossy();
    for mode in [0o777, 0o720, 0o702] {
        set(mode);
        for selector in selectors {
            for command in ["attach", "status", "detach"] {
                let run = world.agents(&[&["gateway", command][..], &selector].concat());
                let run = run.fails(8, &format!("can be changed by others (mode {mode:04o})"), "chmod 700");
                assert!(run.stderr.contains(&*root), "{run:#?}");
            }
        }
    }
    set(0o700);
    // Only root can give a folder away.
    if rustix::process::geteuid().is_root() {
        chown(&agent.root, Some(65_534), None).unwrap();
        world.agents(&["gateway", "status", "--agent-id", &agent.id]).fails(8, "belongs to user 65534", "chown");
        chown(&agent.root, Some(0), None).unwrap();
    }
    let moved = world.path().join("moved");
    std::fs::rename(&agent.root, &moved).unwrap();
    symlink(&moved, &agent.root).unwrap();
    for selector in selectors {
        world.agents(&[&["gateway", "attach"][..], &selector].concat()).fails(8, "is a symbolic link", "");
    }
    assert_eq!(world.gateway_pids(), Vec::<u32>::new());
}

/// Every file below a folder, with what is in it.
fn contents(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    tree(folder).into_keys().map(|path| (path.clone(), std::fs::read(path).ok())).collect()
}

#[test]
fn a_link_in_the_middle_of_a_session_root_is_refused_and_nothing_is_written_behind_it() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    world.attach(&agent);
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    let moved = world.path().join("moved");
    for name in ["gateway", "gateway/run", "gateway/logs"] {
        let folder = agent.root.join(name);
        std::fs::rename(&folder, &moved).unwrap();
        let before = contents(&moved);
        symlink(&moved, &folder).unwrap();
        for selector in [["--agent-id", agent.id.as_str()], ["--target-tmux-session", "alpha"]] {
            for words in [&["gateway", "attach"][..], &["gateway", "status"], &["gateway", "detach"], &["stop"]] {
                let run = world.agents(&[words, &selector].concat());
                run.fails(8, &format!("{name}` is a symbolic link, not a folder"), "nothing was followed");
            }
        }
        assert!(contents(&moved) == before, "{name}");
        std::fs::remove_file(&folder).unwrap();
        std::fs::rename(&moved, &folder).unwrap();
    }
    let run = agent.root.join("gateway/run");
    std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o777)).unwrap();
    by_session(&world, "alpha").fails(8, "gateway/run` can be changed by others (mode 0777)", "chmod 700");
    // A missing folder is made, and one that others may read is as its own program left it.
    std::fs::remove_dir_all(&run).unwrap();
    std::fs::set_permissions(agent.root.join("gateway"), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(world.attach(&agent)["gateway_health"], "healthy");
}

#[test]
fn a_stale_pointer_is_healed_by_a_fresh_record() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    for path in ["/nowhere/manifest.json", "relative"] {
        point(&world, "alpha", Path::new(path));
        assert_eq!(by_session(&world, "alpha").status, 0, "{path}");
        assert_eq!(
            world.agents(&["show", "--json", "--target-tmux-session", "alpha"]).json()["found_by"],
            "registry record"
        );
    }
    for name in ["AGENTS_MANIFEST_PATH", "HOUMAO_MANIFEST_PATH"] {
        world.tmux(&["set-environment", "-u", "-t", "=alpha:", name]);
    }
    by_session(&world, "alpha").ok();
    edit(&record_of(&world, &agent), |record| {
        record["runtime"]["manifest_path"] = json!("/nowhere/manifest.json");
    });
    by_session(&world, "alpha").fails(3, "not gateway-capable", "agents join");
}

#[test]
fn the_contracts_pointer_is_enough() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    forget_record(&world, &agent);
    for name in ["AGENTS_MANIFEST_PATH", "AGENTS_AGENT_ID", "AGENTS_AGENT_DEF_DIR"] {
        world.tmux(&["set-environment", "-u", "-t", "=alpha:", name]);
    }
    by_session(&world, "alpha").ok();
    let shown = world.agents(&["show", "--json", "--target-tmux-session", "alpha"]).json();
    assert_eq!(shown["found_by"], "manifest pointer");
}

#[test]
fn a_lease_that_ran_out_or_a_clock_that_stepped_does_not_hide_a_living_session() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    let leases = [
        ("2001-01-01T00:00:00+00:00", "2001-01-02T00:00:00+00:00"),
        ("2099-01-01T00:00:00+00:00", "2099-01-02T00:00:00+00:00"),
    ];
    for (published, expires) in leases {
        edit(&record_of(&world, &agent), |record| {
            record["liveness"]["published_at"] = json!(published);
            record["liveness"]["lease_expires_at"] = json!(expires);
        });
        for selector in
            [["--agent-id", agent.id.as_str()], ["--agent-name", "alpha"], ["--target-tmux-session", "alpha"]]
        {
            assert_eq!(status(&world, &selector).json()["gateway_health"], "not_attached", "{published} {selector:?}");
        }
        world.agents(&["launch", "alpha", "--", "bash"]).fails(8, "is running in session", "--agent-id OTHER");
        assert_eq!(world.attach(&agent)["gateway_health"], "healthy");
        world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    }
}

#[test]
fn a_record_of_the_version_before_is_read_and_written_anew() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    let path = record_of(&world, &agent);
    edit(&path, |record| {
        let fields = record.as_object_mut().unwrap();
        let lease = fields.remove("liveness").unwrap();
        fields.remove("lifecycle");
        for key in ["published_at", "lease_expires_at"] {
            fields.insert(key.to_owned(), lease[key].clone());
        }
        record["schema_version"] = json!(2);
        record["terminal"] = json!({ "kind": "tmux", "session_name": "alpha" });
    });
    assert_eq!(world.agents(&["list", "--json"]).json()["agents"][0]["agent"], "running");
    world.attach(&agent);
    eventually("the record in today's version", || {
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let is_new = record["schema_version"] == 3 && record["terminal"]["current_session_name"] == "alpha";
        if is_new && record["gateway"]["port"].is_u64() { Ok(()) } else { Err(record.to_string()) }
    });
}

#[test]
fn a_record_of_an_ended_session_does_not_compete_for_the_name() {
    let world = World::new();
    world.server_with(&[]);
    launch(&world, "alpha");
    let words = ["alpha", "--agent-id", "second", "--session-name", "second", "--", "bash", "--norc"];
    let living = world.launch_with(&words);
    world.tmux(&["kill-session", "-t", "=alpha"]);
    let found = status(&world, &["--agent-name", "alpha"]).json();
    assert_eq!(found["tmux_session_name"].as_str().unwrap(), living.session);
}

#[test]
fn a_stranger_on_the_port_of_a_dead_gateway_is_not_believed_and_hears_no_token() {
    let world = World::new();
    let agent = launch(&world, "alpha");
    let live = world.attach(&agent);
    let port = u16::try_from(live["gateway_port"].as_u64().unwrap()).unwrap();
    let answer: Answer = raw(port, b"\x00nonsense\r\n\r\n");
    assert_eq!(answer.status, 400, "{answer:#?}");
    assert!(get(port, "/health", "").head.contains("agents-gateway-instance: "));
    assert_eq!(world.status(&agent), live, "nonsense disturbs nobody");
    let run = agent.root.join("gateway/run");
    let record = std::fs::read(run.join("current-instance.json")).unwrap();
    world.kill_gateways();
    // Without an owner the record looks like another program's, and only the port can tell.
    std::fs::remove_file(run.join("owner.json")).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let stranger = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let count = stream.read(&mut head).unwrap();
        let body = r#"{"protocol_version":"v1","status":"ok","extra":1}"#;
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        String::from_utf8_lossy(&head[..count]).into_owned()
    });
    std::fs::write(run.join("current-instance.json"), record).unwrap();
    assert_eq!(world.status(&agent)["gateway_health"], "not_attached");
    let heard = stranger.join().unwrap().to_lowercase();
    assert!(heard.starts_with("get /health") && !heard.contains("authorization"), "{heard}");
    assert_eq!(world.live_variables("alpha"), Vec::<String>::new());
    assert!(agent.log().contains(&format!("port={port} ")), "{}", agent.log());
}

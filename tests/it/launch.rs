//! Launch: what is created, what is refused, and that a refusal leaves nothing behind.

use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{World, eventually, keys, predecessor, predecessor_text};

/// Nothing was made: no server, no file.
#[track_caller]
fn expect_nothing(world: &World) {
    assert!(!world.socket().exists(), "no tmux server was started");
    assert_eq!(world.home_tree().into_keys().collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
}

/// No session root and no record is left, whatever folders stay.
#[track_caller]
fn expect_no_session_files(world: &World) {
    let files: Vec<_> =
        world.home_tree().into_keys().filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    assert_eq!(files, Vec::<std::path::PathBuf>::new());
}

fn sessions(world: &World) -> Vec<String> {
    let run = world.try_tmux(&["list-sessions", "-F", "#{session_name}"]);
    run.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn the_files_of_a_session_have_exactly_the_keys_of_the_contract() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.attach(&agent);
    for (ours, theirs, free) in [
        ("manifest.json", "manifest.json", ["launch_plan.metadata"].as_slice()),
        ("gateway/attach.json", "attach.json", &[]),
        ("gateway/gateway_manifest.json", "gateway_manifest.json", &[]),
        ("gateway/state.json", "state.json", &[]),
        ("gateway/desired-config.json", "desired-config.json", &["desired_tui_tracking_timings"]),
        ("gateway/run/current-instance.json", "current-instance.json", &[]),
    ] {
        let (mut found, mut wanted) = (keys(&agent.file(ours), free), keys(&predecessor(theirs), free));
        found.remove("observation_channels");
        wanted.remove("observation_channels");
        assert_eq!(found, wanted, "{ours}");
    }
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    for name in ["state.json", "gateway_manifest.json"] {
        let (mut found, mut wanted) =
            (keys(&agent.file(&format!("gateway/{name}")), &[]), keys(&predecessor(name), &[]));
        found.remove("observation_channels");
        wanted.remove("observation_channels");
        assert_eq!(found, wanted, "{name} after detach");
    }
    assert_eq!(std::fs::read_to_string(agent.root.join("gateway/protocol-version.txt")).unwrap(), "v1\n");
}

#[test]
fn the_queue_has_the_tables_and_columns_of_the_contract() {
    let world = World::new();
    let agent = world.launch("alpha");
    let ours = Connection::open(agent.root.join("gateway/queue.sqlite")).unwrap();
    let theirs = Connection::open_in_memory().unwrap();
    theirs.execute_batch(&predecessor_text("queue.schema.sql")).unwrap();
    let columns = |database: &Connection, table: &str| -> Vec<(String, String, bool, Option<String>, i64)> {
        let mut statement =
            database.prepare("SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1)").unwrap();
        let rows =
            statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)));
        rows.unwrap().map(Result::unwrap).collect()
    };
    for table in ["gateway_requests", "gateway_mail_notifier", "gateway_notifier_audit"] {
        let wanted = columns(&theirs, table);
        assert!(!wanted.is_empty(), "the recorded schema holds {table}");
        assert_eq!(columns(&ours, table), wanted, "{table}");
    }
    let version: i64 = ours.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 0, "the contract leaves user_version alone");
    let rows: i64 = ours.query_row("SELECT count(*) FROM gateway_mail_notifier", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn everything_below_the_home_is_readable_by_its_owner_alone() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.attach(&agent);
    let tree = world.home_tree();
    assert!(tree.len() > 20, "{tree:#?}");
    let open: Vec<String> = tree
        .iter()
        .filter(|(path, mode)| **mode != if path.is_dir() { 0o700 } else { 0o600 })
        .map(|(path, mode)| format!("{mode:04o} {}", path.display()))
        .collect();
    assert_eq!(open, Vec::<String>::new());
}

#[test]
fn both_families_of_capability_variables_are_published_and_no_live_one() {
    let world = World::new();
    let agent = world.launch("alpha");
    let shown = world.tmux(&["show-environment", "-t", &format!("={}:", agent.session)]);
    let value = |name: &str| {
        shown
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}=")))
            .unwrap_or_else(|| panic!("{name} in {shown}"))
    };
    let manifest = agent.root.join("manifest.json");
    for family in ["AGENTS", "HOUMAO"] {
        assert_eq!(Path::new(value(&format!("{family}_MANIFEST_PATH"))), manifest);
        assert_eq!(value(&format!("{family}_AGENT_ID")), agent.id);
        assert_eq!(Path::new(value(&format!("{family}_AGENT_DEF_DIR"))), agent.root.join("agent_def"));
    }
    assert_eq!(world.live_variables(&agent.session), Vec::<String>::new());
    assert_eq!(agent.id, "2c1743a391305fbf367df8e4f069f9f9", "the default id is the MD5 of the name");
}

#[test]
fn the_session_is_called_after_the_agent_and_the_moment_unless_named() {
    let world = World::new();
    let named_by_us = world.launch("alpha");
    let digits = named_by_us.session.strip_prefix("AGENTS-alpha-").unwrap();
    assert!(digits.len() >= 13 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{digits}");
    let named = world.launch_with(&["beta", "--session-name", "my beta 🦀", "--", "bash", "--norc"]);
    assert_eq!(named.session, "my beta 🦀");
    assert!(sessions(&world).contains(&"my beta 🦀".to_owned()));
    assert_eq!(world.attach(&named)["tmux_session_name"], "my beta 🦀");
}

#[test]
fn a_missing_working_directory_or_program_is_refused_before_anything_is_made() {
    let world = World::new();
    world.agents(&["launch", "alpha", "--workdir", "/nowhere/at/all", "--", "bash"]).fails(
        2,
        "`/nowhere/at/all` does not exist",
        "--workdir",
    );
    expect_nothing(&world);
    let file = world.work().join("file");
    std::fs::write(&file, "").unwrap();
    world.agents(&["launch", "alpha", "--workdir", &file.to_string_lossy(), "--", "bash"]).fails(
        2,
        "does not exist",
        "--workdir",
    );
    world.agents(&["launch", "alpha", "--", "no-such-program-anywhere"]).fails(
        2,
        "`no-such-program-anywhere` was not found",
        "full path",
    );
    world.agents(&["launch", "alpha", "--", "./file"]).fails(2, "cannot be run", "full path");
    world.agents(&["launch", "alpha"]).fails(2, "nothing to run was named", "agents launch alpha");
    expect_nothing(&world);
}

#[test]
fn a_program_that_ends_at_once_is_reported_with_its_last_line_and_leaves_nothing() {
    let world = World::new();
    world.agents(&["launch", "alpha", "--", "sh", "-c", "echo first; echo no licence found; exit 3"]).fails(
        8,
        "its last line was `no licence found`",
        "by hand",
    );
    world.agents(&["launch", "alpha", "--", "true"]).fails(8, "ended at once", "by hand");
    assert_eq!(sessions(&world), Vec::<String>::new());
    expect_no_session_files(&world);
    world.launch("alpha");
}

#[test]
fn the_agent_stands_in_window_0_whatever_the_base_index() {
    let world = World::new();
    world.server_with(&["base-index 1", "pane-base-index 1"]);
    let agent = world.launch("alpha");
    assert_eq!(world.windows(&agent.session), ["0 agent"]);
    world.attach(&agent);
    assert_eq!(world.windows(&agent.session), ["0 agent", "1 gateway"]);
    assert_eq!(agent.file("manifest.json")["tmux"]["primary_window_index"], "0");
}

#[test]
fn closing_another_window_does_not_move_the_agent_where_tmux_renumbers() {
    let world = World::new();
    world.server_with(&["base-index 1", "renumber-windows on"]);
    let agent = world.launch("alpha");
    let at = format!("={}:", agent.session);
    world.tmux(&["new-window", "-d", "-t", &at, "-n", "mine", "sleep 1000"]);
    world.attach(&agent);
    world.tmux(&["kill-window", "-t", &format!("={}:mine", agent.session)]);
    let windows = world.windows(&agent.session);
    assert!(windows.contains(&"0 agent".to_owned()), "{windows:?}");
    assert_eq!(world.status(&agent)["gateway_health"], "healthy");
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    assert_eq!(world.windows(&agent.session)[0], "0 agent");
}

#[test]
fn a_working_directory_is_a_path_and_never_a_format() {
    let world = World::new();
    for (number, name) in
        ["two words", "#(touch pwned)", "#{session_name}", "tail #", "ünï 🦀", "it's \"so\";"].iter().enumerate()
    {
        let folder = world.work().join(name);
        std::fs::create_dir(&folder).unwrap();
        let agent =
            world.launch_with(&[&format!("a{number}"), "--workdir", &folder.to_string_lossy(), "--", "bash", "--norc"]);
        let path = world.tmux(&["display-message", "-p", "-t", &agent.pane, "#{pane_current_path}"]);
        assert_eq!(Path::new(&path), folder);
        assert_eq!(Path::new(agent.file("manifest.json")["working_directory"].as_str().unwrap()), folder);
        let live = world.attach(&agent);
        assert_eq!(live["gateway_health"], "healthy");
        let gateway = live["gateway_tmux_pane_id"].as_str().unwrap();
        let path = world.tmux(&["display-message", "-p", "-t", gateway, "#{pane_current_path}"]);
        assert_eq!(Path::new(&path), folder);
    }
    assert!(!world.has_canary("pwned"));
}

#[test]
fn program_arguments_arrive_byte_for_byte() {
    let world = World::new();
    let arguments = [
        "a;",
        ";",
        "\\;",
        "it's",
        "say \"hi\"",
        "two\nlines",
        "",
        "#(touch pwned)",
        "#{session_name}",
        "$HOME",
        "`id`",
        "\\",
        "-x",
        "--",
        "🦀 ünï",
        "tab\there",
        "%1",
        "{a,b}",
        "a b",
    ];
    let script = "for word in \"$@\"; do printf '%s\\0' \"$word\"; done > partial; mv partial arrived; exec sleep 1000";
    let mut words = vec!["launch", "alpha", "--", "sh", "-c", script, "zero"];
    words.extend(arguments);
    world.agents(&words).ok();
    let arrived =
        eventually("the arguments", || std::fs::read(world.work().join("arrived")).map_err(|e| e.to_string()));
    let arrived: Vec<String> = arrived
        .strip_suffix(b"\0")
        .unwrap()
        .split(|byte| *byte == 0)
        .map(|word| String::from_utf8(word.to_vec()).unwrap())
        .collect();
    assert_eq!(arrived, arguments);
    assert!(!world.has_canary("pwned"));
}

#[test]
fn a_program_in_a_folder_with_spaces_and_no_arguments_is_started_as_it_is() {
    let world = World::new();
    let folder = world.work().join("my tools; #(touch pwned)");
    std::fs::create_dir(&folder).unwrap();
    let program = folder.join("a gent");
    std::fs::copy("/bin/bash", &program).unwrap();
    let agent = world.launch_with(&["alpha", "--tool", "bash", "--", &program.to_string_lossy()]);
    assert_eq!(Path::new(agent.file("manifest.json")["launch_plan"]["executable"].as_str().unwrap()), program);
    assert!(!world.has_canary("pwned"));
}

#[test]
fn a_session_name_that_is_taken_is_refused() {
    let world = World::new();
    let agent = world.launch_with(&["alpha", "--session-name", "mine", "--", "bash", "--norc"]);
    world.agents(&["launch", "beta", "--session-name", "mine", "--", "bash"]).fails(
        8,
        "`mine` exists already",
        "agents join",
    );
    assert_eq!(sessions(&world), ["mine"]);
    assert_eq!(world.status(&agent)["tmux_session_name"], "mine");
    let records = world.agents(&["list", "--all", "--json"]).json();
    assert_eq!(records["agents"].as_array().unwrap().len(), 1, "{records}");
}

#[test]
fn a_second_agent_of_a_name_needs_an_id_and_is_then_told_apart_by_it() {
    let world = World::new();
    let first = world.launch("alpha");
    world.agents(&["launch", "alpha", "--", "bash"]).fails(
        8,
        &format!("id `{}` is running in session `{}`", first.id, first.session),
        "--agent-id OTHER",
    );
    assert_eq!(sessions(&world).len(), 1);
    let second = world.launch_with(&["alpha", "--agent-id", "other", "--", "bash", "--norc"]);
    let refused = world.agents(&["gateway", "status", "--agent-name", "alpha"]).fails(
        4,
        "2 agents are called `alpha`",
        &format!("--agent-id {}", first.id),
    );
    assert!(refused.stderr.contains("--agent-id other"), "{refused:#?}");
    assert!(refused.stderr.contains(&second.session), "{refused:#?}");
    world.agents(&["stop", "--agent-id", "other"]).ok();
    let only = world.agents(&["gateway", "status", "--json", "--agent-name", "alpha"]).json();
    assert_eq!(only["tmux_session_name"].as_str().unwrap(), first.session);
}

#[test]
fn names_that_tmux_would_change_run_or_misread_are_refused_before_anything_is_made() {
    let world = World::new();
    let long = "x".repeat(129);
    for (name, message, hint) in [
        ("a.b", "`a.b`", "use `a_b`"),
        ("a:b", "`a:b`", "use `a_b`"),
        ("x#(touch pwned)", "may run", "leave out `#`"),
        ("x#{pid}", "may run", "leave out `#`"),
        ("", "is empty", "tmux ls"),
        (long.as_str(), "too long", "at most 128 bytes"),
        ("a\u{1b}[2Jb", "\\u{1b}[2J", "printable"),
        ("a\nb", "a\\nb", "printable"),
        ("=a", "`=a`", "begin with"),
        ("$1", "`$1`", "begin with"),
        ("@1", "`@1`", "begin with"),
        ("%1", "`%1`", "begin with"),
        ("{last}", "`{last}`", "begin with"),
        ("../x", "looks like a path", "tmux ls"),
        ("/etc", "looks like a path", "tmux ls"),
        ("~", "looks like a path", "tmux ls"),
    ] {
        let option = format!("--session-name={name}");
        let run = world.agents(&["launch", "alpha", &option, "--", "bash"]).fails(2, message, hint);
        assert!(!run.stderr.contains('\u{1b}'), "{run:#?}");
    }
    for name in ["a.b", "a b", "", "_a", "../x", "a#(touch pwned)", "ünï", "a\u{7}", &"x".repeat(65)] {
        world.agents(&["launch", name, "--", "bash"]).fails(2, "cannot be an agent name", "letters, digits");
    }
    world.agents(&["launch", "-x", "--", "bash"]).fails(2, "-x", "");
    world.agents(&["launch", "alpha", "--session-name=-x", "--", "bash"]).fails(2, "`-x`", "begin with");
    world.agents(&["launch", "a", "--agent-id", "../x", "--", "bash"]).fails(
        2,
        "`../x` cannot be an agent id",
        "letters",
    );
    expect_nothing(&world);
    assert!(!world.has_canary("pwned"));
}

#[test]
fn proxy_variables_of_the_caller_change_nothing() {
    let world = World::new();
    let agent = world.launch("alpha");
    let with_proxy = |words: &[&str]| {
        world.agents_as(words, |command| {
            for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
                command.env(name, "http://127.0.0.1:1");
            }
        })
    };
    let live = with_proxy(&["gateway", "attach", "--json", "--agent-id", &agent.id]).json();
    assert_eq!(live["gateway_health"], "healthy");
    assert_eq!(with_proxy(&["gateway", "status", "--json", "--agent-id", &agent.id]).json(), live);
}

#[test]
fn tmux_missing_or_too_old_is_an_environment_fault_with_the_version_needed() {
    let world = World::new();
    let empty = world.work();
    world
        .agents_as(&["launch", "alpha", "--", "/bin/bash"], |command| {
            command.env("PATH", &empty);
        })
        .fails(7, "tmux is not installed", "tmux 3.2");
    let old = world.stand_in("tmux", "echo 'tmux 2.8'");
    let path = format!("{}:{}", old.display(), std::env::var("PATH").unwrap());
    world
        .agents_as(&["launch", "alpha", "--", "bash"], |command| {
            command.env("PATH", &path);
        })
        .fails(7, "tmux 2.8 is too old; 3.2 or newer is needed", "upgrade");
    expect_nothing(&world);
    let doctor = |path: &str| {
        world.agents_as(&["doctor", "--json"], |command| {
            command.env("PATH", path);
        })
    };
    for (path, finding) in [(path.as_str(), "2.8 is too old"), (&empty.to_string_lossy(), "not installed")] {
        let run = doctor(path);
        assert_eq!(run.status, 1, "{run:#?}");
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        let check = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "tmux").unwrap();
        assert_eq!(check["severity"], "broken");
        assert!(check["finding"].as_str().unwrap().contains(finding), "{check}");
    }
}

#[test]
fn the_socket_is_a_full_path_so_a_missing_tmux_folder_changes_nothing() {
    let world = World::new();
    let gone = world.path().join("gone");
    let words = ["launch", "alpha", "--json", "--", "bash", "--norc"];
    let made = world
        .agents_as(&words, |command| {
            command.env("TMUX_TMPDIR", &gone);
        })
        .json();
    assert_eq!(Path::new(made["tmux_socket"].as_str().unwrap()), world.socket());
    assert_eq!(sessions(&world).len(), 1);
    assert!(!gone.exists());
}

#[test]
fn a_socket_path_that_no_system_takes_is_refused() {
    let world = World::new();
    let long = world.path().join("x".repeat(110));
    world.agents(&["launch", "alpha", "--tmux-socket", &long.to_string_lossy(), "--", "bash"]).fails(
        2,
        "longer than 107 bytes",
        "shorter path",
    );
    world.agents(&["launch", "alpha", "--tmux-socket", " ", "--", "bash"]).fails(2, "is empty", "name a socket");
    expect_nothing(&world);
}

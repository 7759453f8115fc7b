//! The command line's own contract: one document or a few clear lines, and an exit status that means something.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::{Agent, Run, World, edit, signal};

/// Exactly one JSON document, whatever the outcome.
#[track_caller]
fn document(run: &Run) -> Value {
    let mut documents = serde_json::Deserializer::from_str(&run.stdout).into_iter::<Value>();
    let first = documents.next().unwrap_or_else(|| panic!("a document: {run:#?}")).unwrap();
    assert!(documents.next().is_none(), "one document: {run:#?}");
    if run.status != 0 && first.get("error").is_some() {
        let error = first["error"].as_object().unwrap();
        assert_eq!(error.keys().collect::<Vec<_>>(), ["code", "hint", "message"], "{run:#?}");
        assert!(error.values().all(|value| value.as_str().is_some_and(|text| !text.is_empty())), "{run:#?}");
        assert_eq!(first.as_object().unwrap().len(), 1, "{run:#?}");
    }
    first
}

/// The findings of doctor that are not fine, as `severity finding → mend` lines; and its exit status.
fn findings(world: &World) -> (i32, Vec<String>) {
    let run = world.agents(&["doctor", "--json"]);
    let report = document(&run);
    assert_eq!(report["healthy"].as_bool().unwrap(), run.status == 0, "{run:#?}");
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["severity"] != "ok");
    let line = |check: &Value| {
        let text = |key: &str| check[key].as_str().unwrap_or_else(|| panic!("{key} in {check}")).to_owned();
        format!("{} {} -> {}", text("severity"), text("finding"), text("mend"))
    };
    (run.status, checks.map(line).collect())
}

#[track_caller]
fn expect_finding(world: &World, status: i32, severity: &str, finding: &str, mend: &str) {
    let (code, found) = findings(world);
    assert_eq!(code, status, "{found:#?}");
    let fits = |line: &&String| line.starts_with(severity) && line.contains(finding) && line.contains(mend);
    assert!(found.iter().any(|line| fits(&line)), "{severity} {finding} {mend} in {found:#?}");
}

#[test]
fn json_is_one_document_on_success() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.tmux(&["new-session", "-d", "-s", "mine", "bash --norc"]);
    let id = agent.id.as_str();
    for words in [
        &["list"][..],
        &["show", "--agent-id", id],
        &["state", "--agent-id", id],
        &["gateway", "attach", "--agent-id", id],
        &["gateway", "attach", "--agent-id", id],
        &["gateway", "status", "--agent-id", id, "--require-live"],
        &["gateway", "logs", "--agent-id", id],
        &["gateway", "detach", "--agent-id", id],
        &["gateway", "detach", "--agent-id", id],
        &["join", "--target-tmux-session", "mine"],
        &["doctor"],
        &["cleanup"],
        &["completions", "bash"],
        &["man", "pages"],
        &["relaunch", "--agent-id", id],
        &["launch", "beta", "--gateway-auto-attach", "--", "bash", "--norc"],
        &["stop", "--agent-id", id],
    ] {
        let run = world.agents(&[&["--json"], words].concat());
        assert_eq!(run.status, 0, "{run:#?}");
        assert!(document(&run).is_object(), "{run:#?}");
    }
}

#[test]
fn json_is_one_document_on_failure() {
    let world = World::new();
    for (words, status, code) in [
        (&["launch", "a b", "--", "bash"][..], 2, "usage"),
        (&["launch"], 2, "usage"),
        (&["join"], 2, "usage"),
        (&["join", "--target-tmux-session", "nobody"], 7, "tmux_unavailable"),
        (&["show", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["state", "--agent-name", "nobody"], 3, "target_not_found"),
        (&["stop", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["relaunch", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["cleanup", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["gateway", "attach", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["gateway", "status", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["gateway", "detach", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["gateway", "logs", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["gateway", "run", "--session-root", "/nowhere"], 3, "target_not_found"),
        (&["gateway", "prompt", "--prompt", "x", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["gateway", "interrupt", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["gateway", "send-keys", "--sequence", "x", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["gateway", "requests", "list", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["gateway", "reconcile", "--keep", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["prompt", "--prompt", "x", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["prompt", "--agent-id", "nobody"], 2, "usage"),
        (&["interrupt", "--agent-id", "nobody"], 3, "target_not_found"),
        (&["gateway", "attach", "--agent-id", "x", "--gateway-port", "0"], 2, "usage"),
        (&["gateway", "attach", "--agent-id", "x", "--gateway-port", "70000"], 2, "usage"),
        (&["gateway", "attach", "--agent-id", "x", "--gateway-port", "abc"], 2, "usage"),
        (&["gateway", "attach", "--agent-id", "x", "--gateway-host", "::"], 2, "usage"),
        (&["gateway", "logs", "--follow", "--agent-id", "x"], 2, "usage"),
        (&["gateway"], 2, "usage"),
        (&["nonsense"], 2, "usage"),
        (&["list", "--nonsense"], 2, "usage"),
        (&["completions", "cobol"], 2, "usage"),
        (&["man", "/dev/null/x"], 2, "usage"),
        (&[], 2, "usage"),
    ] {
        let run = world.agents(&[&["--json"], words].concat());
        assert_eq!((run.status, document(&run)["error"]["code"].as_str()), (status, Some(code)), "{run:#?}");
        assert_eq!(run.stderr, "", "{run:#?}");
    }
}

#[test]
fn each_exit_status_means_one_thing() {
    let world = World::new();
    let agent = world.launch("alpha");
    let id = agent.id.as_str();
    let (one, two) = (&["gateway", "status", "--agent-id", id][..], &["gateway", "attach", "--agent-id", id][..]);
    world.agents(one).ok();
    world.agents(&[one, &["--require-live"]].concat()).fails(
        6,
        "no live gateway answers for agent `alpha`",
        "gateway attach",
    );
    let live = world.attach(&agent);
    world.agents(&[one, &["--require-live"]].concat()).ok();
    let other = if live["gateway_port"] == 4444 { "4445" } else { "4444" };
    world.agents(&[two, &["--gateway-port", other]].concat()).fails(5, "already listens on", "--restart");
    // tmux wakes a stopped program of its panes, so the gateway to be stopped is none of them.
    world.agents(&[two, &["--restart", "--background"]].concat()).ok();
    let pid = world.gateway_pids()[0];
    signal(pid, rustix::process::Signal::STOP);
    let stopped = world.agents(two);
    signal(pid, rustix::process::Signal::CONT);
    stopped.fails(5, "holds this session and does not answer", "--restart");
    world.agents(&[two, &["--gateway-host", "0.0.0.0"]].concat()).fails(2, "open to the network", "--allow-remote");
    edit(&agent.root.join("surface.json"), |surface| surface["schema_version"] = json!(2));
    world.agents(one).fails(12, "schema_version 2; this program reads 1", "newer");
    let page = world.agents(&["--help"]).ok().split_whitespace().collect::<Vec<_>>().join(" ");
    for word in [
        "2 usage",
        "3 not found",
        "4 ambiguous",
        "5 already attached",
        "6 not attached",
        "7 tmux",
        "8 refused",
        "9 unconfirmed",
        "10 timeout",
        "12 incompatible",
        "13 turn failed",
    ] {
        assert!(page.contains(word), "{word} in {page}");
    }
}

#[test]
fn wrong_words_are_one_error_line_and_one_hint_line() {
    let world = World::new();
    for (words, error, hint) in [
        (&["lunch"][..], "lunch", "launch"),
        (&["gateway", "atach"], "atach", "attach"),
        (&["list", "--al"], "--al", "--all"),
        (&["gateway", "status", "--agent-nam", "x"], "--agent-nam", "--agent-name"),
        (&[], "needs a command", "agents --help"),
        (&["gateway"], "needs a command", "agents"),
        (&["launch"], "<NAME>", "usage: agents launch"),
        (&["list", "-q", "-v"], "cannot be used with", ""),
        (&["list", "--color", "pink"], "pink", ""),
        (&["list", "extra"], "extra", "usage: agents list"),
    ] {
        let run = world.agents(words).fails(2, error, hint);
        assert_eq!(run.stderr.lines().count(), 2, "{run:#?}");
    }
    let run = world.agents(&["show", "--agent-id", "nobody"]).fails(3, "no agent has the id `nobody`", "list --all");
    assert_eq!(run.stderr.lines().count(), 2, "{run:#?}");
}

#[test]
fn help_and_version_are_answers() {
    let world = World::new();
    for words in [&["--help"][..], &["gateway", "attach", "--help"], &["help", "launch"]] {
        assert!(world.agents(words).ok().contains("Usage: agents"), "{words:?}");
    }
    assert_eq!(world.agents(&["--version"]).ok(), format!("agents {}\n", env!("CARGO_PKG_VERSION")));
    assert!(world.home_tree().is_empty() && !world.socket().exists());
}

/// The program with its stdout on a device that takes nothing.
fn on_a_full_disk(world: &World, words: &[&str]) -> Run {
    let mut command = world.command("sh");
    command.args(["-c", "exec \"$@\" >/dev/full", "sh"]).arg(World::program()).args(words);
    world.finish(command)
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let world = World::new();
    let agent = world.launch("alpha");
    for words in [
        &["--help"][..],
        &["--version"],
        &["list"],
        &["list", "--json"],
        &["doctor"],
        &["completions", "bash"],
        &["gateway", "status", "--json", "--agent-id", &agent.id],
        &["gateway", "status", "--agent-id", &agent.id],
    ] {
        on_a_full_disk(&world, words).fails(1, "could not write to stdout: No space left", "send it elsewhere");
    }
    let lost = on_a_full_disk(&world, &["show", "--json", "--agent-id", "nobody"]).fails(1, "No space left", "");
    assert!(lost.stderr.contains("note: no agent has the id `nobody`"), "{lost:#?}");
    // What needs no stdout does not miss it, and a stderr that takes nothing is no reason to panic.
    on_a_full_disk(&world, &["show", "--agent-id", "nobody"]).fails(3, "`nobody`", "list");
    let mut silent = world.command("sh");
    silent.args(["-c", "exec \"$@\" 2>/dev/full", "sh"]).arg(World::program()).args(["show", "--agent-id", "nobody"]);
    assert_eq!(world.finish(silent).status, 3);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let world = World::new();
    for (words, status) in [(&["--help"][..], 0), (&["completions", "bash"], 0), (&["--json", "nonsense"], 2)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = world.command(World::program()).args(words).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(status), "{words:?}: {said}");
        assert!(!said.contains("could not write") && !said.contains("panicked"), "{words:?}: {said}");
    }
}

#[test]
fn completions_and_man_pages_know_every_command() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = world.agents(&["completions", shell]).ok();
        for word in ["launch", "attach", "target-tmux-session"] {
            assert!(script.contains(word), "{word} for {shell}");
        }
        if shell == "bash" {
            // It is longer than one argument may be.
            let path = world.work().join("completions.bash");
            std::fs::write(&path, &script).unwrap();
            let mut check = world.command("bash");
            check.arg("-n").arg(&path);
            world.finish(check).ok();
        }
    }
    let written = world.agents(&["man", "some/pages"]).ok();
    for page in [
        "agents.1",
        "agents-launch.1",
        "agents-gateway.1",
        "agents-gateway-attach.1",
        "agents-gateway-requests-watch.1",
    ] {
        assert!(written.contains(page), "{page} in {written}");
        let text = std::fs::read_to_string(world.work().join("some/pages").join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
    assert!(!written.contains("help.1"), "{written}");
}

#[test]
fn an_empty_list_says_how_to_begin() {
    let world = World::new();
    let run = world.agents(&["list"]);
    assert!(run.stderr.contains("note: no agents; `agents launch"), "{run:#?}");
    assert_eq!(run.ok(), "");
    assert_eq!(world.agents(&["list", "--json"]).json(), json!({ "agents": [], "problems": [] }));
    assert!(world.home_tree().is_empty() && !world.socket().exists());
}

#[test]
fn list_shows_what_each_agent_is() {
    let world = World::new();
    world.server_with(&[]);
    let (live, gone, stopped) = (world.launch("alpha"), world.launch("beta"), world.launch("gamma"));
    let port = world.attach(&live)["gateway_port"].as_u64().unwrap();
    world.tmux(&["kill-session", "-t", &format!("={}", gone.session)]);
    world.agents(&["stop", "--agent-id", &stopped.id]).ok();
    let table = world.agents(&["list", "--all"]).ok();
    let row = |name: &str| -> Vec<&str> {
        let found = table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {table}"));
        found.split_whitespace().collect()
    };
    assert_eq!(row("NAME"), ["NAME", "AGENT", "GATEWAY", "TOOL", "SESSION", "ID"]);
    let gateway = format!("127.0.0.1:{port}");
    assert_eq!(row("alpha"), ["alpha", "running", gateway.as_str(), "bash", live.session.as_str(), live.id.as_str()]);
    assert_eq!(row("beta")[..3], ["beta", "gone", "-"]);
    assert_eq!(row("gamma")[..3], ["gamma", "stopped", "-"]);
    assert!(!world.agents(&["ls"]).ok().contains("gamma"));
}

#[test]
fn cleanup_lists_and_deletes_only_sessions_that_are_gone_and_only_with_yes() {
    let world = World::new();
    world.server_with(&[]);
    let (live, gone) = (world.launch("alpha"), world.launch("beta"));
    let nothing = world.agents(&["cleanup", "--yes"]);
    assert!(nothing.stderr.contains("nothing is left over"), "{nothing:#?}");
    world.tmux(&["kill-session", "-t", &format!("={}", gone.session)]);
    let listed = world.agents(&["cleanup"]);
    assert!(listed.stderr.contains("add --yes"), "{listed:#?}");
    let listed = listed.ok();
    assert!(listed.starts_with(&format!("would remove {}", gone.root.display())), "{listed}");
    assert!(listed.contains("the tmux session was closed") && listed.lines().count() == 1, "{listed}");
    assert!(gone.root.exists());
    world.agents(&["cleanup", "--yes", "--agent-id", &live.id]).fails(8, "`alpha` is alive", "agents stop");
    let removed = world.agents(&["cleanup", "--yes", "--json"]).json();
    assert_eq!(removed["removed"], json!([gone.root]));
    assert!(!gone.root.exists() && live.root.exists());
    let left = world.agents(&["list", "--all", "--json"]).json();
    assert_eq!(left["agents"].as_array().unwrap().len(), 1, "{left}");
    assert_eq!(world.status(&live)["gateway_health"], "not_attached");
    world.launch("beta");
}

#[test]
fn doctor_is_content_with_a_healthy_world_and_changes_nothing() {
    let world = World::new();
    assert_eq!(findings(&world), (0, vec![]));
    assert!(world.home_tree().is_empty() && !world.socket().exists());
    let agent = world.launch("alpha");
    assert_eq!(findings(&world), (0, vec![]));
    world.attach(&agent);
    assert_eq!(findings(&world), (0, vec![]));
}

#[test]
fn doctor_finds_what_a_dead_gateway_left_and_its_mend_works() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.attach(&agent);
    world.kill_gateways();
    expect_finding(&world, 1, "broken", "its gateway died", &format!("agents gateway status --agent-id {}", agent.id));
    assert_eq!(world.live_variables(&agent.session).len(), 8, "doctor cleans nothing");
    world.agents(&["gateway", "status", "--agent-id", &agent.id]).ok();
    assert_eq!(findings(&world), (0, vec![]));
    let at = format!("={}:", agent.session);
    world.tmux(&["set-environment", "-t", &at, "AGENTS_GATEWAY_PORT", "1"]);
    expect_finding(&world, 1, "broken", "1 live variables name a gateway that does not run", "gateway status");
}

#[test]
fn doctor_finds_a_stopped_gateway() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.agents(&["gateway", "attach", "--background", "--agent-id", &agent.id]).ok();
    let pid = world.gateway_pids()[0];
    signal(pid, rustix::process::Signal::STOP);
    let found = findings(&world);
    signal(pid, rustix::process::Signal::CONT);
    assert_eq!(found.0, 1, "{found:#?}");
    assert!(found.1[0].contains(&format!("kill -CONT {pid}")), "{found:#?}");
}

#[test]
fn doctor_finds_open_modes_stale_records_and_left_over_windows() {
    let world = World::new();
    world.server_with(&[]);
    let agent = world.launch("alpha");
    let mode = |mode| std::fs::set_permissions(world.home(), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o777);
    expect_finding(&world, 1, "broken", "can be changed by others (mode 0777)", "chmod 700");
    mode(0o700);
    let at = format!("={}:7", agent.session);
    world.tmux(&["new-window", "-d", "-t", &at, "-n", "gateway", "sleep 1000"]);
    let mark = agent.root.file_name().unwrap().to_str().unwrap();
    world.tmux(&["set-option", "-w", "-t", &at, "@agents_gateway", mark]);
    expect_finding(&world, 0, "warning", "window 7 was a gateway's and holds none", "kill-window -t @");
    world.tmux(&["kill-window", "-t", &at]);
    assert_eq!(findings(&world), (0, vec![]));
    world.tmux(&["kill-session", "-t", &format!("={}", agent.session)]);
    expect_finding(&world, 0, "warning", "its tmux session is gone", "agents cleanup --agent-id");
    std::fs::remove_dir_all(&agent.root).unwrap();
    expect_finding(&world, 1, "broken", "manifest.json`, which does not exist", "rm -r /");
}

#[test]
fn quiet_silences_notes_and_never_errors() {
    let world = World::new();
    let agent: Agent = world.launch("alpha");
    for words in [&["list"][..], &["cleanup"], &["gateway", "attach", "--agent-id", &agent.id]] {
        world.agents(words).ok();
        assert_eq!(world.agents(&[&["-q"], words].concat()).stderr, "");
    }
    assert!(world.agents(&["cleanup"]).stderr.contains("note: "));
    world.agents(&["-q", "show", "--agent-id", "nobody"]).fails(3, "nobody", "list");
}

#[test]
fn control_characters_never_reach_the_terminal_raw() {
    let world = World::new();
    let agent = world.launch("alpha");
    let record = world.home().join("registry/live_agents").join(&agent.id).join("record.json");
    let evil = "x\u{1b}]0;owned\u{7}\u{9b}2J\nforged row";
    edit(&record, |record| {
        record["agent_name"] = json!(evil);
        record["identity"]["tool"] = json!(evil);
        record["terminal"]["current_session_name"] = json!(evil);
    });
    std::fs::write(agent.root.join("gateway/logs/gateway.log"), format!("line {}\n", evil.replace('\n', ""))).unwrap();
    edit(&agent.root.join("manifest.json"), |manifest| manifest["role_name"] = json!(evil));
    for words in [
        &["list"][..],
        &["doctor"],
        &["show", "--agent-id", &agent.id],
        &["gateway", "status", "--agent-id", &agent.id],
        &["gateway", "logs", "--agent-id", &agent.id],
        &["gateway", "status", "--agent-name", evil],
        &["gateway", "status", "--target-tmux-session", evil],
        &["launch", evil, "--", "bash"],
        &["launch", "b", "--workdir", evil, "--", "bash"],
        &["launch", "b", "--", evil],
        &["--home", evil, "list"],
        &[evil],
        &["list", &format!("--{evil}")],
        &["completions", evil],
    ] {
        let run = world.agents(words);
        let raw = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
        assert!(!raw(&run.stdout) && !raw(&run.stderr), "{run:#?}");
        assert!(!run.stdout.lines().chain(run.stderr.lines()).any(|line| line.starts_with("forged")), "{run:#?}");
    }
}

//! Damaged, planted and unwritable files: a clear refusal or an honest answer, never a panic, never a guess.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::support::{Agent, Run, World, edit};

/// What a command must do when one file is damaged.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// Fail, and name the file.
    Refuses,
    /// Do its job.
    Works,
    /// Do its job, unless a folder stands where it must write: then fail, and name it.
    WorksUnlessFolder,
}

/// What may happen to the damaged file itself.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// It is evidence, or the operator's: nothing touches it.
    Kept,
    /// It is derived from other files, and is written anew.
    Rewritten,
}

struct Case {
    file: &'static str,
    status: Then,
    detach: Then,
    attach: Then,
    fate: Fate,
}

enum Damage {
    Bytes(Vec<u8>),
    Folder,
    Link,
}

/// Every way of damage, with its name.
fn damages(pristine: &[u8]) -> Vec<(String, Damage)> {
    let text = String::from_utf8(pristine.to_vec()).unwrap();
    let value: Value = serde_json::from_slice(pristine).unwrap();
    let version = value["schema_version"].as_u64().unwrap();
    let with_version = |version: u64| {
        let mut other = value.clone();
        other["schema_version"] = json!(version);
        serde_json::to_vec(&other).unwrap()
    };
    let prefixed = |prefix: &[u8]| [b"{", prefix, b",", &pristine[1..]].concat();
    let mut all = vec![
        ("empty".to_owned(), Damage::Bytes(Vec::new())),
        ("blank".to_owned(), Damage::Bytes(b" \n\n".to_vec())),
        ("zeroes".to_owned(), Damage::Bytes(vec![0; 4096])),
        ("a list".to_owned(), Damage::Bytes(b"[]".to_vec())),
        ("an older version".to_owned(), Damage::Bytes(with_version(version - 1))),
        ("a newer version".to_owned(), Damage::Bytes(with_version(version + 1))),
        ("an unknown key".to_owned(), Damage::Bytes(prefixed(b"\"no_such_key\": 1"))),
        ("a doubled key".to_owned(), Damage::Bytes(prefixed(format!("\"schema_version\": {version}").as_bytes()))),
        ("a wrong type".to_owned(), Damage::Bytes(prefixed(b"\"schema_version\": \"1\""))),
        ("NaN".to_owned(), Damage::Bytes(text.replacen(&format!(": {version}"), ": NaN", 1).into_bytes())),
        ("trailing text".to_owned(), Damage::Bytes([pristine, b"tail"].concat())),
        ("not UTF-8".to_owned(), Damage::Bytes(prefixed(b"\"\xff\xfe\": 1"))),
        (
            "depth 10,000".to_owned(),
            Damage::Bytes(prefixed(&[b"\"backend_state\":".as_slice(), &[b'['; 10_000], &[b']'; 10_000]].concat())),
        ),
        ("a folder".to_owned(), Damage::Folder),
        ("a link".to_owned(), Damage::Link),
    ];
    let cuts = (97..pristine.len() - 1).step_by(97);
    all.extend(cuts.map(|length| (format!("cut at {length}"), Damage::Bytes(pristine[..length].to_vec()))));
    all
}

fn clear(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        std::fs::remove_dir_all(path).unwrap();
    } else {
        std::fs::remove_file(path).ok();
    }
}

fn plant(path: &Path, damage: &Damage, pristine: &[u8], world: &World) {
    clear(path);
    match damage {
        Damage::Bytes(bytes) => std::fs::write(path, bytes).unwrap(),
        Damage::Folder => std::fs::create_dir(path).unwrap(),
        Damage::Link => {
            let real = world.path().join("elsewhere.json");
            std::fs::write(&real, pristine).unwrap();
            symlink(real, path).unwrap();
        }
    }
}

/// What stands there: enough to see a change.
fn look(path: &Path) -> String {
    match std::fs::read_link(path) {
        Ok(target) => format!("link to {} holding {:?}", target.display(), std::fs::read(path)),
        Err(_) if path.is_dir() => "folder".to_owned(),
        Err(_) => format!("{:?}", std::fs::read(path)),
    }
}

/// The rules for every answer, whatever the damage.
#[track_caller]
fn expect_civil(run: &Run, what: &str) {
    assert!((0..=12).contains(&run.status), "{what}: {run:#?}");
    assert!(!run.stderr.contains("panicked") && !run.stderr.contains("RUST_BACKTRACE"), "{what}: {run:#?}");
    serde_json::from_str::<Value>(&run.stdout).unwrap_or_else(|error| panic!("{what}: {error}: {run:#?}"));
}

#[track_caller]
fn expect(run: &Run, then: Then, damage: &Damage, name: &str, what: &str) {
    expect_civil(run, what);
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    if run.status != 0 {
        let may = then == Then::Refuses || (then == Then::WorksUnlessFolder && matches!(damage, Damage::Folder));
        assert!(may, "{what}: {run:#?}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(name), "{what} names the file: {run:#?}");
        assert!(!answer["error"]["hint"].as_str().unwrap().is_empty(), "{what}: {run:#?}");
    } else {
        assert!(then != Then::Refuses, "{what}: {run:#?}");
    }
}

/// Every file that a case may change, as it was.
fn snapshot(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let tree = world.home_tree();
    let documents = tree.into_keys().filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    documents.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn path_of(world: &World, agent: &Agent, file: &str) -> PathBuf {
    if file == "record.json" {
        return world.home().join("registry/live_agents").join(&agent.id).join(file);
    }
    agent.root.join(file)
}

/// Plants every damage in one file, and runs every command on it.
fn run_matrix(case: &Case) {
    let world = World::new();
    let agent = world.launch("alpha");
    world.attach(&agent);
    let is_live_record = case.file.contains("/run/");
    let live = if is_live_record { std::fs::read(path_of(&world, &agent, case.file)).unwrap() } else { Vec::new() };
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    let before = snapshot(&world);
    let path = path_of(&world, &agent, case.file);
    let pristine = if is_live_record { live } else { std::fs::read(&path).unwrap() };
    let name = path.file_name().unwrap().to_str().unwrap();
    for (kind, damage) in damages(&pristine) {
        plant(&path, &damage, &pristine, &world);
        let planted = look(&path);
        let say = |command: &str| format!("{command} with {kind} in {}", case.file);

        let listed = world.agents(&["list", "--json"]);
        expect_civil(&listed, &say("list"));
        if case.file == "record.json" {
            assert!(listed.status == 1 && listed.stdout.contains(name), "{}: {listed:#?}", say("list"));
        }
        let doctor = world.agents(&["doctor", "--json"]);
        expect_civil(&doctor, &say("doctor"));
        assert_eq!(doctor.status, 1, "{}: {doctor:#?}", say("doctor"));
        assert!(doctor.stdout.contains(name), "{}: {doctor:#?}", say("doctor"));
        assert_eq!(look(&path), planted, "{}", say("doctor"));

        let status = world.agents(&["gateway", "status", "--json", "--agent-id", &agent.id]);
        expect(&status, case.status, &damage, name, &say("status"));
        if status.status == 0 {
            assert!(status.stdout.contains("\"gateway_health\": \"not_attached\""), "{}: {status:#?}", say("status"));
        }
        let detach = world.agents(&["gateway", "detach", "--json", "--agent-id", &agent.id]);
        expect(&detach, case.detach, &damage, name, &say("detach"));
        let attach = world.agents(&["gateway", "attach", "--json", "--agent-id", &agent.id]);
        expect(&attach, case.attach, &damage, name, &say("attach"));
        if case.fate == Fate::Kept {
            assert_eq!(look(&path), planted, "{}", say("attach"));
        } else if attach.status == 0 {
            assert!(serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).is_ok(), "{}", say("attach"));
        }
        assert_eq!(attach.status == 0, !world.gateway_pids().is_empty(), "{}: {attach:#?}", say("attach"));
        let agent_lives = world.tmux(&["display-message", "-p", "-t", &agent.pane, "#{pane_dead}"]);
        assert_eq!(agent_lives, "0", "{}", say("every command"));

        world.kill_gateways();
        for name in ["gateway/run/current-instance.json", "gateway/run/owner.json"] {
            clear(&agent.root.join(name));
        }
        clear(&path);
        before.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    }
}

#[test]
fn a_damaged_manifest_is_refused_by_name_and_kept() {
    let refuses = Then::Refuses;
    run_matrix(&Case { file: "manifest.json", status: refuses, detach: refuses, attach: refuses, fate: Fate::Kept });
}

#[test]
fn a_damaged_surface_is_refused_by_name_and_kept() {
    let refuses = Then::Refuses;
    run_matrix(&Case { file: "surface.json", status: refuses, detach: refuses, attach: refuses, fate: Fate::Kept });
}

#[test]
fn a_damaged_registry_record_is_refused_by_name_and_kept() {
    let refuses = Then::Refuses;
    run_matrix(&Case { file: "record.json", status: refuses, detach: refuses, attach: refuses, fate: Fate::Kept });
}

#[test]
fn a_damaged_wish_list_keeps_only_attach_from_working() {
    run_matrix(&Case {
        file: "gateway/desired-config.json",
        status: Then::Works,
        detach: Then::Works,
        attach: Then::Refuses,
        fate: Fate::Kept,
    });
}

#[test]
fn a_damaged_attach_contract_is_written_again_by_attach() {
    run_matrix(&Case {
        file: "gateway/attach.json",
        status: Then::Works,
        detach: Then::Works,
        attach: Then::WorksUnlessFolder,
        fate: Fate::Rewritten,
    });
}

#[test]
fn a_damaged_snapshot_is_written_again() {
    run_matrix(&Case {
        file: "gateway/state.json",
        status: Then::WorksUnlessFolder,
        detach: Then::WorksUnlessFolder,
        attach: Then::WorksUnlessFolder,
        fate: Fate::Rewritten,
    });
}

#[test]
fn a_damaged_live_record_of_a_dead_gateway_is_cleaned() {
    run_matrix(&Case {
        file: "gateway/run/current-instance.json",
        status: Then::WorksUnlessFolder,
        detach: Then::WorksUnlessFolder,
        attach: Then::WorksUnlessFolder,
        fate: Fate::Rewritten,
    });
}

#[test]
fn a_damaged_owner_record_of_a_dead_gateway_is_cleaned() {
    run_matrix(&Case {
        file: "gateway/run/owner.json",
        status: Then::WorksUnlessFolder,
        detach: Then::WorksUnlessFolder,
        attach: Then::WorksUnlessFolder,
        fate: Fate::Rewritten,
    });
}

#[test]
fn an_error_in_the_wish_list_is_a_usage_error_with_its_line_and_the_known_keys() {
    let world = World::new();
    let agent = world.launch("alpha");
    let path = agent.root.join("gateway/desired-config.json");
    for (text, message, hint) in [
        (
            "{\n  \"schema_version\": 1,\n  \"desired_prot\": 80\n}",
            "line 3, column 16: unknown field `desired_prot`",
            "desired_port",
        ),
        ("{\n  \"desired_port\": \"80\"\n}", "line 2", "desired_port"),
        ("{\"desired_port\": 0}", "must be 1 to 65535", "desired_port"),
        ("{\"desired_host\": \"::1\"}", "line 1", "desired_host"),
        ("", "is empty", "schema_version"),
    ] {
        std::fs::write(&path, text).unwrap();
        let run = world.agents(&["gateway", "attach", "--agent-id", &agent.id]).fails(2, message, hint);
        assert!(run.stderr.contains("desired-config.json"), "{run:#?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_damaged_live_record_under_a_living_gateway_is_reported_and_nothing_is_killed() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.attach(&agent);
    let pids = world.gateway_pids();
    let path = agent.root.join("gateway/run/current-instance.json");
    std::fs::write(&path, "{").unwrap();
    let run = world.agents(&["gateway", "attach", "--agent-id", &agent.id]);
    assert!([0, 5].contains(&run.status), "{run:#?}");
    let run = world.agents(&["gateway", "status", "--agent-id", &agent.id]);
    assert_eq!(run.status, 0, "{run:#?}");
    assert_eq!(world.gateway_pids(), pids);
    world.agents(&["gateway", "attach", "--restart", "--agent-id", &agent.id]).ok();
    assert_ne!(world.gateway_pids(), pids);
    assert_eq!(world.status(&agent)["gateway_health"], "healthy");
}

#[test]
fn a_record_that_claims_window_0_is_refused_and_nothing_is_killed() {
    let world = World::new();
    let agent = world.launch("alpha");
    world.attach(&agent);
    let path = agent.root.join("gateway/run/current-instance.json");
    let record = std::fs::read(&path).unwrap();
    let pid: u32 = world.tmux(&["display-message", "-p", "-t", &agent.pane, "#{pane_pid}"]).parse().unwrap();
    let claim = |value: &mut Value| {
        value["pid"] = json!(pid);
        value["tmux_window_index"] = json!("0");
        value["tmux_window_id"] = json!("@0");
        value["tmux_pane_id"] = json!(agent.pane);
    };
    world.kill_gateways();
    std::fs::write(&path, record).unwrap();
    edit(&path, claim);
    for command in ["detach", "attach", "status"] {
        world.agents(&["gateway", command, "--agent-id", &agent.id]).fails(8, "window 0", "doctor");
    }
    let still = world.tmux(&["display-message", "-p", "-t", &agent.pane, "#{pane_pid}"]);
    assert_eq!(still, pid.to_string());
    assert_eq!(world.windows(&agent.session), ["0 agent"]);
}

#[test]
fn an_unreadable_or_missing_snapshot_is_told_and_answered_with_offline() {
    let world = World::new();
    let agent = world.launch("alpha");
    let path = agent.root.join("gateway/state.json");
    for damage in ["", "{\"schema_version\":", "no json"] {
        std::fs::write(&path, damage).unwrap();
        let run = world.agents(&["gateway", "status", "--agent-id", &agent.id]);
        assert!(
            run.stderr.contains("note: the snapshot could not be used") && run.stderr.contains("state.json"),
            "{run:#?}"
        );
        assert!(run.ok().contains("offline"));
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(world.status(&agent)["gateway_health"], "not_attached");
    let quiet = world.agents(&["gateway", "status", "--agent-id", &agent.id]);
    assert!(!quiet.stderr.contains("snapshot"), "mended: {quiet:#?}");
}

#[test]
fn status_changes_no_manifest_and_copies_no_variable() {
    let world = World::new();
    let agent = world.launch("alpha");
    let manifest = agent.root.join("manifest.json");
    let facts = || {
        let modified = std::fs::metadata(&manifest).unwrap().modified().unwrap();
        let at = format!("={}:", agent.session);
        let variables = [world.tmux(&["show-environment", "-t", &at]), world.tmux(&["show-environment", "-g"])];
        (std::fs::read(&manifest).unwrap(), modified, variables)
    };
    let before = facts();
    let status = || {
        let words = ["gateway", "status", "--json", "--agent-id", &agent.id];
        world
            .agents_as(&words, |command| {
                command.env("MY_SECRET", "hunter2");
            })
            .json()
    };
    assert_eq!(status()["gateway_health"], "not_attached");
    assert_eq!(facts(), before);
    world.attach(&agent);
    let attached = facts();
    assert_eq!((&attached.0, attached.1), (&before.0, before.1));
    assert_eq!(status()["gateway_health"], "healthy");
    assert_eq!(facts(), attached);
    world.kill_gateways();
    assert_eq!(status()["gateway_health"], "not_attached");
    assert_eq!(facts(), before);
}

#[test]
fn temporary_files_of_a_crash_are_swept_and_others_are_not() {
    let world = World::new();
    let agent = world.launch("alpha");
    let unique = "0123456789abcdef0123456789abcdef";
    let gateway = agent.root.join("gateway");
    let ours =
        [gateway.join(format!(".state.json.{unique}.tmp")), gateway.join(format!("run/.owner.json.{unique}.tmp"))];
    let others = [gateway.join(".notes.tmp"), gateway.join("state.json.bak"), agent.root.join(".mine.tmp")];
    ours.iter().chain(&others).for_each(|path| std::fs::write(path, "x").unwrap());
    let young = gateway.join(".state.json.fedcba9876543210fedcba9876543210.tmp");
    std::fs::write(&young, "x").unwrap();
    for path in ours.iter().chain(&others) {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    world.attach(&agent);
    assert!(young.exists(), "a young one may be another program's work of this moment");
    for path in &ours {
        assert!(!path.exists(), "{}", path.display());
    }
    for path in &others {
        assert!(path.exists(), "{}", path.display());
    }
}

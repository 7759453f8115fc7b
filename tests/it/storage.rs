//! Disks that are full or read-only, played in a mount namespace of the test's own.

use serde_json::Value;

use crate::support::{Run, World, tree};

/// Runs a shell script in a mount namespace, with `a NAME WORDS…` for the program and `$ROOT` for the session root.
///
/// `None` where the system does not allow such namespaces; the caller then has nothing to prove.
fn in_namespace(world: &World, script: &str) -> Option<Run> {
    let mut trial = world.command("unshare");
    trial.args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    let trial = world.finish(trial);
    if trial.status != 0 {
        eprintln!("skipped: mount namespaces are not allowed here: {}", trial.stderr.trim());
        return None;
    }
    let prelude = r#"set -u
        a() {
            name=$1; shift
            "$PROGRAM" --json "$@" >"$OUT/$name.out" 2>"$OUT/$name.err"
            echo $? >"$OUT/$name.rc"
        }
        root() { ROOT=$(echo "$AGENTS_HOME"/runtime/sessions/*/*); }
    "#;
    let mut command = world.command("unshare");
    command.args(["-rm", "sh", "-c", &format!("{prelude}\n{script}")]);
    command.env("PROGRAM", World::program()).env("OUT", world.path());
    let run = world.finish(command);
    assert_eq!(run.status, 0, "{run:#?}");
    Some(run)
}

/// What the run of this name answered.
#[track_caller]
fn answer(world: &World, name: &str) -> (i32, Value) {
    let read = |kind: &str| std::fs::read_to_string(world.path().join(format!("{name}.{kind}"))).unwrap();
    let said = read("err");
    assert!(!said.contains("panicked"), "{said}");
    (read("rc").trim().parse().unwrap(), serde_json::from_str(&read("out")).unwrap())
}

#[track_caller]
fn expect_failure(world: &World, name: &str, message: &str, hint: &str) {
    let (code, answer) = answer(world, name);
    assert_eq!(code, 1, "{name}: {answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains(message), "{name}: {answer}");
    assert!(answer["error"]["hint"].as_str().unwrap().contains(hint), "{name}: {answer}");
}

#[test]
fn a_launch_on_a_full_disk_says_so_and_leaves_no_session() {
    let world = World::new();
    let script = r#"
        mount -t tmpfs -o size=16k,mode=0700 tmpfs "$AGENTS_HOME"
        a launch launch alpha -- bash --norc
        find "$AGENTS_HOME" -name '*.json' -o -name '*.tmp' >"$OUT/left"
    "#;
    if in_namespace(&world, script).is_none() {
        return;
    }
    expect_failure(&world, "launch", "No space left", "free some space");
    assert_eq!(std::fs::read_to_string(world.path().join("left")).unwrap(), "");
    assert_eq!(world.try_tmux(&["list-sessions"]).stdout, "");
}

#[test]
fn a_full_disk_keeps_the_old_snapshot_whole_and_status_works_again_with_space() {
    let world = World::new();
    let script = r#"
        mount -t tmpfs -o size=2m,mode=0700 tmpfs "$AGENTS_HOME"
        a launch launch alpha -- bash --norc
        root
        a attach gateway attach --agent-name alpha
        kill -9 "$(cat "$ROOT/gateway/run/gateway.pid")"
        while flock -n "$ROOT/gateway/gateway.lock" true; [ $? -ne 0 ]; do :; done
        # Removing these would give back the space that the snapshot needs.
        rm "$ROOT"/gateway/run/*.json "$ROOT/gateway/run/gateway.pid"
        cp "$ROOT/gateway/state.json" "$OUT/before"
        cat /dev/zero >"$AGENTS_HOME/filler" 2>/dev/null
        a full gateway status --agent-name alpha
        cp "$ROOT/gateway/state.json" "$OUT/after"
        ls -A "$ROOT/gateway" >"$OUT/left"
        rm "$AGENTS_HOME/filler"
        a free gateway status --agent-name alpha
        a again gateway attach --agent-name alpha
        a stop stop --agent-name alpha
    "#;
    if in_namespace(&world, script).is_none() {
        return;
    }
    assert_eq!(answer(&world, "attach").0, 0);
    expect_failure(&world, "full", "No space left", "free some space");
    let read = |name: &str| std::fs::read_to_string(world.path().join(name)).unwrap();
    assert_eq!(read("after"), read("before"));
    assert!(!read("left").contains(".tmp"), "{}", read("left"));
    assert_eq!(answer(&world, "free").1["gateway_health"], "not_attached");
    assert_eq!(answer(&world, "again").1["gateway_health"], "healthy");
    assert_eq!(answer(&world, "stop").0, 0);
}

#[test]
fn a_read_only_home_is_named_and_status_still_answers() {
    let world = World::new();
    let script = r#"
        mount --bind "$AGENTS_HOME" "$AGENTS_HOME"
        a launch launch alpha -- bash --norc
        root
        mount -o remount,bind,ro "$AGENTS_HOME"
        a status gateway status --agent-name alpha
        a list list
        a attach gateway attach --agent-name alpha
        a detach gateway detach --agent-name alpha
        a second launch beta -- bash --norc
        a doctor doctor
        mount -o remount,bind,rw "$AGENTS_HOME"
        a again gateway attach --agent-name alpha
        a stop stop --agent-name alpha
    "#;
    if in_namespace(&world, script).is_none() {
        return;
    }
    assert_eq!(answer(&world, "status"), (0, answer(&world, "status").1));
    assert_eq!(answer(&world, "status").1["gateway_health"], "not_attached");
    assert_eq!(answer(&world, "list").0, 0);
    for name in ["attach", "detach", "second"] {
        expect_failure(&world, name, "ead-only file system", "the file system is read-only");
    }
    let (code, doctor) = answer(&world, "doctor");
    assert_eq!((code, doctor["healthy"].as_bool()), (0, Some(true)), "{doctor}");
    assert_eq!(answer(&world, "again").1["gateway_health"], "healthy");
    assert!(tree(&world.home()).keys().all(|path| path.extension().is_none_or(|extension| extension != "tmp")));
}

#[test]
fn a_damaged_queue_is_set_aside_whole_and_the_log_names_it() {
    let world = World::new();
    let agent = world.launch("alpha");
    let garbage = "this is no database ".repeat(1000);
    std::fs::write(agent.root.join("gateway/queue.sqlite"), &garbage).unwrap();
    world.attach(&agent);
    let entries = std::fs::read_dir(agent.root.join("gateway")).unwrap().flatten();
    let aside: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("queue.sqlite.damaged-"))
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(std::fs::read_to_string(&aside[0]).unwrap(), garbage);
    let log = agent.log();
    assert!(log.contains(&*aside[0].file_name().unwrap().to_string_lossy()), "{log}");
    assert!(log.contains("not a database"), "{log}");
}

#[test]
fn a_queue_of_a_newer_program_keeps_the_gateway_from_starting_and_stays() {
    let world = World::new();
    let agent = world.launch("alpha");
    let queue = agent.root.join("gateway/queue.sqlite");
    let file = rusqlite::Connection::open(&queue).unwrap();
    file.execute("UPDATE agents_meta SET value = '99' WHERE key = 'schema_version'", []).unwrap();
    drop(file);
    let before = std::fs::read(&queue).unwrap();
    world.agents(&["gateway", "attach", "--agent-id", &agent.id]).fails(12, "has version 99", "newer version");
    assert_eq!(std::fs::read(&queue).unwrap(), before);
}

//! Every recorded screen and stream reads as somebody wrote down that it does.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::World;

fn check(world: &World, folder: &Path) -> (i32, Value) {
    let run = world.agents(&["contract", "check", folder.to_str().unwrap(), "--json"]);
    (run.status, serde_json::from_str(&run.stdout).unwrap())
}

#[test]
fn every_fixture_reads_as_it_was_written_down() {
    let world = World::new();
    let (status, report) = check(&world, Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/session-fixtures")));
    let cases = report["cases"].as_array().unwrap();
    let differs = |case: &&Value| !case["differences"].as_array().unwrap().is_empty();
    let wrong: Vec<&Value> = cases.iter().filter(differs).collect();
    assert!(wrong.is_empty() && status == 0, "{wrong:#?}");
    assert!(cases.len() > 140, "{} fixtures only: did the folder move?", cases.len());
}

#[test]
fn a_difference_is_named_and_fails() {
    let world = World::new();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("session-fixtures/screens/claude/2.1.330");
    let to = world.path().join("fixtures/screens/claude/2.1.330");
    fs::create_dir_all(&to).unwrap();
    for file in ["draft.ansi", "draft.json", "idle.ansi", "idle.json"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    fs::write(to.join("states.toml"), "draft = { composer = \"empty\" }\n").unwrap();
    let folder = world.path().join("fixtures");
    let run = world.agents(&["contract", "check", folder.to_str().unwrap()]);
    assert_eq!(run.status, 1, "{run:#?}");
    assert!(run.stdout.contains("screens/claude/2.1.330/draft\n    composer: expected empty, read draft"), "{run:#?}");
    assert!(run.stdout.contains("idle\n    it is not in states.toml"), "{run:#?}");
    assert!(run.stdout.contains("2 fixtures read, 0 as written down"), "{run:#?}");
    let (status, report) = check(&world, &folder);
    assert_eq!((status, report["differ"].as_u64()), (1, Some(2)));
}

#[test]
fn a_replay_prints_the_same_on_every_run() {
    let world = World::new();
    let streams = Path::new(env!("CARGO_MANIFEST_DIR")).join("session-fixtures/streams");
    for tool in ["claude-2.1.330", "codex-0.169.0", "gemini-0.61.0"] {
        let file = streams.join(tool).join("turn.cast");
        let file = file.to_str().unwrap();
        let first = world.agents(&["replay", file]).ok();
        assert!(first.lines().filter(|line| line.contains("ended success")).count() == 3, "{first}");
        assert_eq!(world.agents(&["replay", file, "--instant"]).ok(), first);
        assert_eq!(world.agents(&["replay", file, "--speed", "100000"]).ok(), first);
        let document: Value = serde_json::from_str(&world.agents(&["replay", file, "--json"]).ok()).unwrap();
        assert_eq!(document["timeline"].as_array().unwrap().len(), first.lines().count(), "{document:#}");
    }
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let world = World::new();
    let file = world.path().join("nameless.cast");
    fs::write(&file, "{\"version\": 2, \"width\": 80, \"height\": 24}\n[0.1, \"o\", \"hello\"]\n").unwrap();
    let file = file.to_str().unwrap();
    let nameless = world.agents(&["replay", file]);
    assert_eq!(nameless.status, 2, "{nameless:#?}");
    assert!(nameless.stderr.contains("does not say which agent program"), "{nameless:#?}");
    let other = world.agents(&["replay", file, "--tool", "claude", "--tool-version", "9.9"]);
    assert_eq!(other.status, 0, "{other:#?}");
    assert!(other.stderr.contains("was not made for version 9.9"), "{other:#?}");
    assert_eq!(world.agents(&["replay", "/nowhere.cast"]).status, 3);
}

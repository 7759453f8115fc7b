//! What turns of headless agents leave: the history, also of those that commands made, and files that go when they are old.

use serde_json::{Value, json};

use crate::{
    headless::Headless,
    support::{Event, Http, Tracer, World, eventually, stat},
};

/// The turns as they are told, the oldest first, once there are so many and none is open.
#[track_caller]
fn history(http: &Http, count: usize) -> Vec<Value> {
    eventually(&format!("{count} turns in the history"), || {
        let mut turns = http.get("/v1/turns").ok()["turns"].as_array().unwrap().clone();
        turns.reverse();
        let whole = turns.len() == count && turns.iter().all(|turn| turn["ended_at_utc"].is_string());
        if whole { Ok(turns) } else { Err(format!("{turns:?}")) }
    })
}

fn ids(turns: &[Value]) -> Vec<String> {
    turns.iter().map(|turn| turn["id"].as_str().unwrap().to_owned()).collect()
}

/// Edges of turns in the journal: the turn, and which edge.
fn edges(headless: &Headless) -> Vec<(String, String)> {
    let queue = rusqlite::Connection::open(headless.agent.root.join("gateway/queue.sqlite")).unwrap();
    let mut rows = queue
        .prepare("SELECT kind, data_json FROM agents_journal WHERE kind IN ('turn_started', 'turn_ended') ORDER BY id")
        .unwrap();
    let edge = |row: &rusqlite::Row<'_>| {
        let data: Value = serde_json::from_str(&row.get::<_, String>(1)?).unwrap();
        Ok((data["turn_id"].as_str().unwrap().to_owned(), row.get(0)?))
    };
    rows.query_map([], edge).unwrap().map(Result::unwrap).collect()
}

#[track_caller]
fn each_edge_once(headless: &Headless, turns: &[String]) {
    let edge = |kind: &'static str| move |id: &String| (id.clone(), kind.to_owned());
    let mut wanted: Vec<_> =
        turns.iter().map(edge("turn_started")).chain(turns.iter().map(edge("turn_ended"))).collect();
    let mut told = edges(headless);
    wanted.sort();
    told.sort();
    assert_eq!(told, wanted);
}

/// A turn beside the gateway: at once or not at all needs none.
fn beside(headless: &Headless, text: &str) {
    let words = ["prompt", "--agent-id", &headless.agent.id, "--prompt", text, "--admission-policy", "ready-only"];
    headless.world.agents(&[&words[..], &["--wait=submitted"]].concat()).ok();
}

#[test]
fn turns_of_commands_are_in_the_history_once() {
    let headless = Headless::new("alpha");
    headless.submit("say one", &[]).ok();
    headless.submit("exit 3", &[]).fails(13, "why it failed", "agents turn stderr");
    let http = headless.attach();
    let turns = history(&http, 2);
    assert_eq!(ids(&turns), ["turn-0001", "turn-0002"]);
    let (first, second) = (&turns[0], &turns[1]);
    assert_eq!((&first["prompt"], &first["reply"]["text"]), (&json!("say one"), &json!("one")));
    assert_eq!((&first["outcome"], &first["request_id"]), (&json!("success"), &Value::Null));
    assert_eq!((&second["outcome"], &second["prompt"]), (&json!("failed"), &json!("exit 3")));
    let list = headless.world.agents(&["gateway", "turns", "list", "--agent-id", &headless.agent.id]).ok();
    assert!(list.contains("turn-0001") && list.contains("turn-0002"), "{list}");
    // One that runs beside the gateway is told while it runs.
    beside(&headless, "slow a");
    headless.wait_for_run("slow a");
    eventually("the turn to be told", || match http.get("/v1/turns").ok()["turns"][0].clone() {
        turn if turn["prompt"] == "slow a" && turn["ended_at_utc"].is_null() => Ok(()),
        turn => Err(turn.to_string()),
    });
    headless.release("a");
    history(&http, 3);
    let queued = http.queue_prompt("say behind");
    Headless::settled(&http, &queued);
    let turns = history(&http, 4);
    assert_eq!(turns[2]["reply"]["text"], "begun\ndone a");
    assert_eq!(turns[3]["request_id"], queued.as_str());
    // One that ran while no gateway was there, and everything once however often one comes and goes.
    beside(&headless, "slow b");
    headless.wait_for_run("slow b");
    headless.kill_gateway();
    headless.release("b");
    headless.submit("say last", &[]).ok();
    let mut told = Vec::new();
    for _ in 0..2 {
        told = history(&headless.attach(), 6);
        headless.kill_gateway();
    }
    assert_eq!(told[4]["reply"]["text"], "begun\ndone b");
    each_edge_once(&headless, &ids(&told));
}

#[test]
fn a_gateway_that_is_killed_while_it_takes_turns_in_takes_each_in_once() {
    let headless = Headless::new("alpha");
    let mut count = 6;
    for round in 0..count {
        headless.submit(&format!("say {round}"), &[]).ok();
    }
    // Somewhere on its way through them: each needs several syncs.
    for round in 0..5_u64 {
        headless.attach();
        let begun = std::time::Instant::now();
        while begun.elapsed() < std::time::Duration::from_millis(round) {
            std::thread::yield_now();
        }
        headless.kill_gateway();
    }
    let mut told = history(&headless.attach(), count);
    if World::strace_available() {
        // At every sync on the way of one.
        for number in 1..=3 {
            let gateway = headless.world.gateway_pid();
            let tracer = Tracer::new(gateway, "fdatasync,fsync", &format!("signal=KILL:when={number}"));
            beside(&headless, &format!("say traced {number}"));
            count += 1;
            let died = eventually("its death, or the turn in the history", || {
                let known = || ids(&told).len() < edges(&headless).iter().filter(|edge| edge.1 == "turn_ended").count();
                match (stat(gateway).is_none(), known()) {
                    (true, _) => Ok(true),
                    (_, true) => Ok(false),
                    _ => Err("neither".to_owned()),
                }
            });
            drop(tracer);
            assert!(died || number > 1, "no sync at all");
            headless.kill_gateway();
            told = history(&headless.attach(), count);
        }
    }
    each_edge_once(&headless, &ids(&told));
    let prompts: Vec<_> = told[..6].iter().map(|turn| turn["prompt"].as_str().unwrap().to_owned()).collect();
    assert_eq!(prompts, (0..6).map(|n| format!("say {n}")).collect::<Vec<_>>(), "in their order");
}

#[test]
fn the_files_of_old_turns_go_at_the_end_of_a_turn_or_with_cleanup() {
    let headless = Headless::new("alpha");
    let artefacts = headless.agent.root.join("manifest.turn-artifacts");
    let left = || {
        let names = std::fs::read_dir(&artefacts).unwrap().map(|one| one.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    // As if it had ended an hour ago: what ended a moment ago stays.
    let age = |turn: &str| {
        let path = artefacts.join(turn).join("end.json");
        let mut end: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        end["ended_at_utc"] = json!("2026-01-01T00:00:00.000Z");
        std::fs::write(path, end.to_string()).unwrap();
    };
    let keep = |turns: &Value, days: &Value| {
        let mut file = headless.agent.file("headless.json");
        assert!(file["keep"].is_object(), "{file}");
        file["keep"] = json!({ "turns": turns, "days": days });
        std::fs::write(headless.agent.root.join("headless.json"), file.to_string()).unwrap();
    };
    assert_eq!(headless.agent.file("headless.json")["keep"], json!({ "turns": 1000, "days": null }));
    for n in 1..=3 {
        headless.submit(&format!("say {n}"), &[]).ok();
        age(&format!("turn-000{n}"));
    }
    keep(&json!(2), &Value::Null);
    headless.submit("say 4", &[]).ok();
    eventually("the oldest to go", || match left() {
        left if left == ["turn-0003", "turn-0004"] => Ok(()),
        left => Err(format!("{left:?}")),
    });
    // Turns of requests too, once they are in the history; that keeps what they said.
    let http = headless.attach();
    let mine = json!({ "kind": "submit_prompt", "payload": { "prompt": "say mine", "turn_id": "mine" } });
    let id = crate::support::id_of(&http.post("/v1/requests", &mine).ok());
    Headless::settled(&http, &id);
    eventually("the turn to be on record", || match artefacts.join("mine/recorded").exists() {
        true => Ok(()),
        false => Err(format!("{:?}", left())),
    });
    eventually("another one to go", || match left() {
        left if left == ["mine", "turn-0004"] => Ok(()),
        left => Err(format!("{left:?}")),
    });
    age("turn-0004");
    age("mine");
    keep(&Value::Null, &json!(30));
    // By hand: listed first, then removed; the last turn stays whatever its age is.
    let cleanup =
        |more: &[&str]| headless.world.agents(&[&["cleanup", "--agent-id", &headless.agent.id], more].concat());
    let listed = cleanup(&[]).ok();
    assert!(listed.contains("would remove 1 old turn ("), "{listed}");
    assert_eq!(left().len(), 2);
    let removed = cleanup(&["--yes", "--json"]).json();
    assert_eq!(removed["old_turns"][0]["turns"], json!(["turn-0004"]), "{removed}");
    assert_eq!(left(), ["mine"]);
    let last = http.queue_prompt("say last");
    Headless::settled(&http, &last);
    eventually("the aged one to go", || match left() {
        left if left.len() == 1 && left != ["mine"] => Ok(()),
        left => Err(format!("{left:?}")),
    });
    assert_eq!(history(&http, 4)[2]["reply"]["text"], "mine", "the history keeps what it said");
    let words = ["launch", "beta", "--headless", "--keep-turns", "off", "--keep-days", "7", "--", "cat"];
    let beta = headless.world.launch_with(&words[1..]);
    assert_eq!(beta.file("headless.json")["keep"], json!({ "turns": null, "days": 7 }));
    headless.world.agents(&["launch", "gamma", "--headless", "--keep-turns", "0", "--", "cat"]).fails(
        2,
        "above zero",
        "--help",
    );
}

#[test]
fn a_run_tells_what_the_turn_does_at_its_start_and_at_its_end() {
    let headless = Headless::new("alpha");
    let http = headless.attach();
    let input = json!({ "threadId": "t", "runId": "r", "state": {}, "tools": [], "context": [], "forwardedProps": {},
        "messages": [{ "id": "m1", "role": "user", "content": "slow a" }] });
    let stream = http.post_events("/v1/ag-ui/runs", &input).unwrap();
    headless.wait_for_run("slow a");
    let mut told = Vec::new();
    stream.until("the start of the turn", |event: &Event| {
        told.extend(event.comment.is_none().then(|| event.json()));
        told.last().is_some_and(|event| event["type"] == "ACTIVITY_SNAPSHOT")
    });
    headless.release("a");
    stream.until("the end of the run", |event: &Event| {
        told.extend(event.comment.is_none().then(|| event.json()));
        told.last().is_some_and(|event| event["type"] == "RUN_FINISHED" || event["type"] == "RUN_ERROR")
    });
    let types: Vec<&str> =
        told.iter().map(|event| event["type"].as_str().unwrap()).filter(|kind| *kind != "CUSTOM").collect();
    assert_eq!(
        types,
        [
            "RUN_STARTED",
            "ACTIVITY_SNAPSHOT",
            "TEXT_MESSAGE_START",
            "TEXT_MESSAGE_CONTENT",
            "TEXT_MESSAGE_END",
            "ACTIVITY_SNAPSHOT",
            "RUN_FINISHED"
        ]
    );
    let activity: Vec<&Value> = told.iter().filter(|event| event["type"] == "ACTIVITY_SNAPSHOT").collect();
    let turn = headless.last();
    assert_eq!(
        (&activity[0]["content"]["turnPhase"], &activity[0]["content"]["turnId"]),
        (&json!("active"), &json!(turn))
    );
    assert_eq!(activity[1]["content"]["outcome"], "success");
    assert_eq!((&activity[0]["messageId"], &activity[1]["replace"]), (&activity[1]["messageId"], &json!(true)));
    // What is published has to hold the same as what is sent here.
    let batch = json!({ "threadId": "t", "events": activity });
    assert_eq!(http.post("/v1/ag-ui/events", &batch).ok()["acceptedCount"], 2);
}

//! The queue over HTTP: what is refused, what is done once, what waits, what is taken back.
//!
//! | what | test |
//! | --- | --- |
//! | blank, end of paste, invalid UTF-8 | `texts_that_cannot_be_typed_are_refused_with_the_place` |
//! | wrong bodies, expiry out of range | `bodies_of_another_shape_are_refused` |
//! | key reused, too long, with control characters | `a_key_names_one_piece_of_work` |
//! | the same POST 50 times at once | `one_key_fifty_times_at_once_is_one_row_with_fifty_equal_answers` |
//! | caller leaves before the answer | `a_caller_that_leaves_early_decides_nothing` |
//! | unknown and impossible ids and numbers | `ids_that_name_nothing_are_unknown`, `requests_are_listed_in_pages_newest_first` |
//! | cancel what was typed | `what_waits_can_be_taken_back_and_what_was_typed_cannot` |
//! | expiry | `what_is_too_old_is_not_typed` |
//! | coalescing | `adjacent_control_intents_become_one_of_each` |
//! | interrupt behind a turn, behind copy mode | `an_interrupt_waits_for_nobody`, `an_interrupt_reaches_an_agent_behind_copy_mode` |
//! | events, replay, a cursor that is gone | `events_tell_every_step_and_can_be_replayed`, `events_survive_a_restart` |

use std::{collections::BTreeSet, io::Write, net::TcpStream, sync::Barrier};

use serde_json::{Value, json};

use crate::support::{Live, eventually, id_of, prompt};

/// A gateway whose agent takes nothing for now.
fn held() -> Live {
    Live::new(&["draft=somebody thinks"])
}

/// Lets the agent take prompts.
fn release(live: &Live) {
    live.keys(&["C-c"]);
}

#[track_caller]
fn invalid(live: &Live, path: &str, body: &Value) -> String {
    let answer = live.http.post(path, body);
    assert_eq!(answer.status, 422, "{body}: {answer:?}");
    answer.json()["detail"].to_string()
}

#[test]
fn texts_that_cannot_be_typed_are_refused_with_the_place() {
    let live = held();
    for blank in ["", " ", "\n\t \r\n"] {
        invalid(&live, "/v1/requests", &prompt(blank));
        invalid(&live, "/v1/control/prompt", &json!({"prompt": blank}));
    }
    for (text, position) in [("\u{1b}[201~rm -rf", "0"), ("héllo \u{1b}[201~", "6"), ("\u{9b}201~", "0")] {
        let detail = invalid(&live, "/v1/requests", &prompt(text));
        assert!(detail.contains(&format!("at character {position}")), "{detail}");
        invalid(&live, "/v1/control/prompt", &json!({"prompt": text}));
    }
    let mut body = prompt("x").to_string().into_bytes();
    let at = body.iter().position(|byte| *byte == b'x').unwrap();
    body[at] = 0xff;
    let refused = live.http.post_bytes("/v1/requests", &body).refused(400).to_string();
    assert!(refused.contains(&format!("at byte {at}")), "{refused}");
    assert_eq!(live.status()["queue_depth"], 0);
    assert_eq!(live.log.noted("paste"), 0);
}

#[test]
fn bodies_of_another_shape_are_refused() {
    let live = held();
    for body in [
        json!({}),
        json!([]),
        json!({"kind": "submit_prompt"}),
        json!({"kind": "submit_prompt", "payload": {}}),
        json!({"kind": "submit_prompt", "payload": {"prompt": 7}}),
        json!({"kind": "submit_prompt", "payload": {"prompt": "x", "more": 1}}),
        json!({"kind": "mail_notifier_prompt", "payload": {"prompt": "x"}}),
        json!({"kind": "interrupt", "payload": {"prompt": "x"}}),
        json!({"kind": "submit_prompt", "payload": {"prompt": "x"}, "schema_version": 2}),
        json!({"kind": "submit_prompt", "payload": {"prompt": "x"}, "priority": 1}),
        json!({"kind": "submit_prompt", "payload": {"prompt": "x", "execution": {"model": {"name": "m"}}}}),
    ] {
        invalid(&live, "/v1/requests", &body);
    }
    for (value, message) in [("-5s", ""), ("0", ""), ("36500d", "30 d"), ("soon", ""), ("", "")] {
        let answer = live.http.with("Agents-Expires-In", value).post("/v1/requests", &prompt("x"));
        assert_eq!(answer.status, 422, "{value}: {answer:?}");
        assert!(answer.body.contains(message) && answer.body.contains("30 days"), "{answer:?}");
    }
    assert_eq!(live.status()["queue_depth"], 0);
}

#[test]
fn a_key_names_one_piece_of_work() {
    let live = held();
    for wrong in ["", " ", "a b", &"x".repeat(129), "é"] {
        live.http.with("Idempotency-Key", wrong).post("/v1/requests", &prompt("x")).refused(400);
    }
    let longest = "k".repeat(128);
    let keyed = live.http.with("Idempotency-Key", &longest);
    let first = keyed.post("/v1/requests", &prompt("one")).ok();
    assert_eq!(keyed.post("/v1/requests", &prompt("one")).ok(), first);
    keyed.post("/v1/requests", &prompt("two")).refused(409);
    keyed.post("/v1/control/send-keys", &json!({"sequence": "x"})).refused(409);
    release(&live);
    live.completed(&id_of(&first));
    assert_eq!(keyed.post("/v1/requests", &prompt("one")).ok(), first, "also when it is done");
    live.world.kill_gateways();
    let mut live = live;
    live.restart();
    let keyed = live.http.with("Idempotency-Key", &longest);
    assert_eq!(keyed.post("/v1/requests", &prompt("one")).ok(), first, "also after a restart");
    assert_eq!(live.log.texts(), ["one"]);
}

#[test]
fn one_key_fifty_times_at_once_is_one_row_with_fifty_equal_answers() {
    let live = held();
    let start = Barrier::new(50);
    let answers: BTreeSet<String> = std::thread::scope(|scope| {
        let one = || {
            let mut connection = live.http.with("Idempotency-Key", "the-same").keep();
            start.wait();
            connection.post("/v1/requests", &prompt("fifty")).ok().to_string()
        };
        let threads: Vec<_> = (0..50).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert_eq!(live.status()["queue_depth"], 1);
    release(&live);
    live.completed(&id_of(&serde_json::from_str(answers.first().unwrap()).unwrap()));
    assert_eq!(live.log.texts(), ["fifty"]);
}

#[test]
fn a_caller_that_leaves_early_decides_nothing() {
    let live = held();
    for number in 0..20 {
        let (key, text) = (format!("left-{number}"), format!("prompt {number}"));
        let keyed = live.http.with("Idempotency-Key", &key);
        let body = prompt(&text).to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", live.http.port)).unwrap();
        stream.write_all(&keyed.request("POST", "/v1/requests", Some(body.as_bytes()))).unwrap();
        drop(stream);
        // Stored by the first or by this one, but once.
        let answer = keyed.post_bytes("/v1/requests", body.as_bytes()).ok();
        assert_eq!(keyed.post_bytes("/v1/requests", body.as_bytes()).ok(), answer);
    }
    assert_eq!(live.status()["queue_depth"], 20);
    release(&live);
    assert_eq!(live.log.wait_for(20).len(), 20);
    assert_eq!(live.log.texts(), (0..20).map(|number| format!("prompt {number}")).collect::<Vec<_>>());
}

#[test]
fn requests_are_listed_in_pages_newest_first() {
    let live = held();
    let ids: Vec<String> = (0..7).map(|number| live.send(&format!("prompt {number}"))).collect();
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let page = live.http.get(&format!("/v1/requests?limit=3{before}")).ok();
        seen.extend(page["requests"].as_array().unwrap().iter().map(id_of));
        match page["next_before"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    seen.reverse();
    assert_eq!(seen, ids);
    let one = live.http.get("/v1/requests?limit=1").ok()["requests"][0].clone();
    let keys: BTreeSet<&str> = one.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "accepted_at_utc",
        "error_detail",
        "expires_at_utc",
        "finished_at_utc",
        "managed_agent_instance_epoch",
        "prompt",
        "receipt",
        "request_id",
        "request_kind",
        "result",
        "route",
        "sequence",
        "started_at_utc",
        "state",
    ];
    assert_eq!(keys, BTreeSet::from(expected));
    let count =
        |state: &str| live.http.get(&format!("/v1/requests?state={state}")).ok()["requests"].as_array().unwrap().len();
    assert_eq!((count("accepted"), count("completed")), (7, 0));
    for wrong in ["limit=0", "limit=501", "state=gone", "before=-1", "before=1e9", "before=18446744073709551616"] {
        assert_eq!(live.http.get(&format!("/v1/requests?{wrong}")).status, 422, "{wrong}");
    }
}

#[test]
fn ids_that_name_nothing_are_unknown() {
    let live = held();
    for id in ["gwreq-20261121-115826Z-00000000", "-1", "1e9", "18446744073709551616", "x%00y"] {
        let path = format!("/v1/requests/{id}");
        assert_eq!(live.http.get(&path).status, 404, "{id}");
        assert_eq!(live.http.delete(&path).status, 404, "{id}");
    }
    live.http.get("/v1/requests/%2e%2e").refused(400);
}

#[test]
fn what_waits_can_be_taken_back_and_what_was_typed_cannot() {
    let live = held();
    let (first, second) = (live.send("first"), live.send("second"));
    let gone = live.http.delete(&format!("/v1/requests/{first}")).ok();
    assert_eq!(
        (&gone["request_id"], &gone["state"], &gone["receipt"]),
        (&json!(first), &json!("failed"), &json!("refused"))
    );
    live.failed(&first, "refused", "cancelled");
    live.http.delete(&format!("/v1/requests/{first}")).refused(409);
    release(&live);
    live.completed(&second);
    let refused = live.http.delete(&format!("/v1/requests/{second}")).refused(409).to_string();
    assert!(refused.contains("completed"), "{refused}");
    assert_eq!(live.log.texts(), ["second"]);
}

#[test]
fn what_is_too_old_is_not_typed() {
    let live = held();
    let short = live.http.with("Agents-Expires-In", "1s");
    let old = id_of(&short.post("/v1/requests", &prompt("old")).ok());
    let young = id_of(&live.http.with("Agents-Expires-In", "1d").post("/v1/requests", &prompt("young")).ok());
    live.failed(&old, "refused", "expired");
    assert!(live.shown(&old)["expires_at_utc"].is_string());
    release(&live);
    live.completed(&young);
    assert_eq!(live.log.texts(), ["young"]);

    // Also while nobody watched the clock.
    let mut live = held();
    let old = id_of(&live.http.with("Agents-Expires-In", "1s").post("/v1/requests", &prompt("old")).ok());
    live.world.kill_gateways();
    let accepted = std::time::Instant::now();
    eventually("its time to pass", || if accepted.elapsed().as_millis() > 1_100 { Ok(()) } else { Err(String::new()) });
    release(&live);
    live.restart();
    live.failed(&old, "refused", "expired");
    assert_eq!(live.log.texts(), Vec::<String>::new());
}

#[test]
fn adjacent_control_intents_become_one_of_each() {
    let live = held();
    let (before, compact) = (live.send("before"), live.send(" /compact "));
    let (clear, new, after) = (live.send("/clear"), live.send("/new"), live.send("after"));
    let alone = live.send("/compact");
    release(&live);
    for id in [&before, &new, &after, &alone] {
        live.completed(id);
    }
    for id in [&compact, &clear] {
        let shown = live.ended(id);
        assert_eq!(
            (&shown["state"], &shown["result"]["coalesced_into_request_id"]),
            (&json!("coalesced"), &json!(new))
        );
        assert_eq!(shown["result"]["coalesced_reason"], "superseded_control_intent");
    }
    assert_eq!(live.log.wait_for(4).len(), 4);
    assert_eq!(live.log.texts(), ["before", "/new", "after", "/compact"]);
}

#[test]
fn an_interrupt_waits_for_nobody() {
    let live = Live::new(&["work=600000"]);
    let first = live.send("first");
    live.receives(&first, "turn_started");
    let waiting: Vec<String> = (0..3).map(|number| live.send(&format!("waits {number}"))).collect();
    live.deferred(&waiting[0], "busy");
    let interrupt = live.interrupt();
    assert_eq!(live.log.wait_for_event("interrupt")["prompt"], 1);
    let shown = live.ended(&interrupt);
    assert_eq!(
        (&shown["state"], &shown["request_kind"], &shown["prompt"]),
        (&json!("completed"), &json!("interrupt"), &Value::Null)
    );
    live.completed(&waiting[0]);
    assert_eq!(live.log.wait_for(2)[1].text, "waits 0");
    live.world.agents(&["gateway", "interrupt", "--agent-id", &live.agent.id]).ok();
    assert_eq!(live.log.wait_for(3)[2].text, "waits 1");
    live.world.agents(&["interrupt", "--agent-id", &live.agent.id]).ok();
    assert_eq!(live.log.wait_for(4)[3].text, "waits 2");
    assert_eq!(live.log.event_names(), ["interrupt"; 3]);
}

#[test]
fn an_interrupt_reaches_an_agent_behind_copy_mode() {
    let live = Live::new(&["work=600000"]);
    live.receives(&live.send("first"), "turn_started");
    live.world.tmux(&["copy-mode", "-t", &live.agent.pane]);
    live.completed(&live.interrupt());
    live.log.wait_for_event("interrupt");
    assert_eq!(live.world.tmux(&["display-message", "-p", "-t", &live.agent.pane, "#{pane_in_mode}"]), "1");
}

#[test]
fn events_tell_every_step_and_can_be_replayed() {
    let live = held();
    let stream = live.http.events("/v1/events").unwrap();
    assert!(stream.head.contains("content-type: text/event-stream"), "{}", stream.head);
    let id = live.send("one");
    release(&live);
    let mut seen = Vec::new();
    stream.until("the submission", |event| {
        if event.comment.is_none() {
            assert_eq!(event.json()["id"], event.number());
            assert_eq!(event.json()["kind"], event.name);
            seen.push(event.clone());
        }
        event.comment.is_none() && event.json()["receipt"] == "submitted"
    });
    assert!(seen.windows(2).all(|pair| pair[0].number() < pair[1].number()));
    let names = |events: &[crate::support::Event]| -> Vec<String> {
        let own = events.iter().filter(|event| event.json()["request_id"] == id.as_str());
        own.map(|event| event.json()["receipt"].as_str().unwrap().to_owned()).collect()
    };
    let told = names(&seen);
    assert_eq!(told.first().map(String::as_str), Some("queued"));
    assert_eq!(told, live.receipts(&id)[..told.len()]);

    let cursor = seen[0].id.clone();
    for replay in [
        live.http.with("Last-Event-ID", &cursor).events("/v1/events").unwrap(),
        live.http.events(&format!("/v1/events?after={cursor}")).unwrap(),
        live.http.events(&format!("/v1/events?after={cursor}&request_id={id}")).unwrap(),
    ] {
        let again: Vec<_> = seen[1..].iter().map(|_| replay.next()).collect();
        assert_eq!(again, seen[1..]);
    }
    let after = live.http.events(&format!("/v1/events?request_id={id}&after=0")).unwrap();
    let other = live.send("two");
    live.completed(&other);
    let mut ids = BTreeSet::new();
    for _ in &told {
        ids.insert(after.next().json()["request_id"].to_string());
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    live.http.events("/v1/events?after=999999999").unwrap_err().refused(409);
    live.http.with("Last-Event-ID", "999999999").events("/v1/events").unwrap_err().refused(409);
    for wrong in ["x", "-1", "18446744073709551615"] {
        assert_eq!(live.http.events(&format!("/v1/events?after={wrong}")).unwrap_err().status, 422, "{wrong}");
    }
}

#[test]
fn events_survive_a_restart() {
    let mut live = Live::new(&[]);
    let id = live.send("one");
    live.receives(&id, "turn_ended");
    let first = live.http.events("/v1/events?after=0").unwrap().next();
    live.kill_and_restart();
    assert_eq!(live.http.events("/v1/events?after=0").unwrap().next(), first);

    // Old entries go some day; whoever comes back for them is told.
    live.world.agents(&["gateway", "detach", "--agent-id", &live.agent.id]).ok();
    let queue = rusqlite::Connection::open(live.agent.root.join("gateway/queue.sqlite")).unwrap();
    queue.execute_batch("DELETE FROM agents_journal WHERE id <= 2").unwrap();
    queue.execute("INSERT OR REPLACE INTO agents_meta VALUES ('journal_floor', '2')", []).unwrap();
    queue.close().unwrap();
    live.restart();
    let gone = live.http.events("/v1/events?after=1").unwrap_err().refused(409).to_string();
    assert!(gone.contains('3'), "{gone}");
    assert_eq!(live.http.events("/v1/events?after=2").unwrap().next().id, "3");
}

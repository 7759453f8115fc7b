//! Reminders: what is due is said once, in order, whoever dies meanwhile.
//!
//! | what | test |
//! | --- | --- |
//! | shapes, order, 404, 409, 422, delete and update while executing | `reminders_have_the_contracts_shapes_and_refusals` |
//! | ranking, paused, blocked | `only_the_first_is_said_and_a_paused_one_keeps_all_others_back` |
//! | busy, queue not empty, in the past, leap second | `what_is_due_waits_for_the_queue`, `moments_in_the_past_and_leap_seconds` |
//! | keys and their Enter | `keys_end_with_one_enter` |
//! | without a gateway, after a reboot | `what_fell_due_without_a_gateway_is_treated_as_it_says` |
//! | kill -9 in every commit, and at any moment | `a_death_in_every_commit…`, `deaths_at_any_moment…` |
//! | repeats | `a_repeat_is_said_on_its_grid` |
//! | wrong words | `the_command_line_makes_changes_and_removes_reminders` |

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Answer, Live, Seeded, Tracer, World, eventually, prompt, stat};

fn once(title: &str, ranking: i64, after: f64) -> Value {
    json!({ "mode": "one_off", "title": title, "prompt": title, "ranking": ranking, "start_after_seconds": after })
}

fn with(mut one: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        one[name] = value.clone();
    }
    one
}

impl Live {
    #[track_caller]
    fn remind(&self, one: &Value) -> String {
        let made = self.http.post("/v1/reminders", &json!({ "schema_version": 1, "reminders": [one] })).ok();
        made["reminders"][0]["reminder_id"].as_str().unwrap().to_owned()
    }

    fn put(&self, id: &str, one: &Value) -> Answer {
        let path = format!("/v1/reminders/{id}");
        self.http.keep().send("PUT", &path, Some(one.to_string().as_bytes())).expect("an answer")
    }

    /// The reminder with what is ours.
    #[track_caller]
    fn reminder(&self, id: &str) -> Value {
        self.http.get(&format!("/v1/reminders/{id}?view=full")).ok()
    }

    #[track_caller]
    fn becomes(&self, id: &str, delivery: &str) -> Value {
        eventually(&format!("{id} to be {delivery}"), || match self.reminder(id) {
            one if one["delivery_state"] == delivery => Ok(one),
            one => Err(one.to_string()),
        })
    }

    #[track_caller]
    fn reminders(&self) -> Vec<Value> {
        self.http.get("/v1/reminders").ok()["reminders"].as_array().unwrap().clone()
    }

    /// Waits until no reminder is left.
    #[track_caller]
    fn all_said(&self) {
        eventually("no reminder to be left", || match self.reminders() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}; {:?}", self.log.texts())),
        });
    }

    /// Kinds of the events about a reminder.
    fn told(&self, id: &str) -> Vec<String> {
        let file = self.database();
        let mut rows = file
            .prepare("SELECT kind FROM agents_journal WHERE kind LIKE 'reminder_%' AND data_json LIKE ?1 ORDER BY id")
            .unwrap();
        rows.query_map([format!("%{id}%")], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.agent.root.join("gateway/queue.sqlite")).unwrap()
    }

    #[track_caller]
    fn detach(&self) {
        self.world.agents(&["gateway", "detach", "--agent-id", &self.agent.id]).ok();
    }

    fn reminders_words(&self, words: &[&str]) -> crate::support::Run {
        self.world.agents(&[&["gateway", "reminders"], words, &["--agent-id", &self.agent.id]].concat())
    }
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn reminders_have_the_contracts_shapes_and_refusals() {
    let live = Live::new(&["draft=somebody thinks"]);
    let body = json!({ "schema_version": 1, "reminders": [
        once("later", 5, 5000.0),
        json!({ "mode": "repeat", "title": "keys", "send_keys": { "sequence": "/x" }, "ranking": -2, "paused": true,
            "deliver_at_utc": "2099-01-01T12:00:00+02:00", "interval_seconds": 60.5 }),
    ] });
    let made = live.http.post("/v1/reminders", &body).ok();
    assert_eq!(keys(&made), BTreeSet::from(["effective_reminder_id", "reminders", "schema_version"]));
    let (later, first) = (made["reminders"][0].clone(), made["reminders"][1].clone());
    let (later_id, first_id) = (later["reminder_id"].as_str().unwrap(), first["reminder_id"].as_str().unwrap());
    let expected = json!({
        "schema_version": 1, "reminder_id": first_id, "mode": "repeat", "delivery_kind": "send_keys", "title": "keys",
        "prompt": null, "send_keys": { "sequence": "/x", "ensure_enter": true }, "ranking": -2, "paused": true,
        "selection_state": "effective", "delivery_state": "scheduled", "created_at_utc": first["created_at_utc"],
        "next_due_at_utc": "2099-01-01T10:00:00.000000+00:00", "interval_seconds": 60.5, "last_started_at_utc": null,
        "blocked_by_reminder_id": null,
    });
    assert_eq!(first, expected, "nothing of ours for a strict reader");
    assert_eq!((&later["selection_state"], &later["blocked_by_reminder_id"]), (&json!("blocked"), &json!(first_id)));
    assert_eq!(made["effective_reminder_id"], first_id);
    assert!(first_id.strip_prefix("greminder-").is_some_and(|hex| hex.len() == 12), "{first_id}");
    let all = live.http.get("/v1/reminders").ok();
    assert_eq!(all["reminders"], json!([first, later]), "in the order of ranking");
    assert_eq!(live.http.get(&format!("/v1/reminders/{later_id}")).ok(), later);
    assert_eq!(live.reminder(later_id)["when_missed"], "fire_once");

    for id in ["greminder-000000000000", "-1", "x%00y"] {
        let path = format!("/v1/reminders/{id}");
        let gone = live.http.get(&path);
        assert_eq!((gone.status, gone.header("agents-error-code")), (404, Some("unknown_reminder")));
        assert_eq!((live.http.delete(&path).status, live.put(id, &once("x", 0, 1.0)).status), (404, 404));
    }
    for wrong in [json!({}), json!({ "reminders": [] }), json!({ "reminders": [once("x", 0, 0.0)] }), once("x", 0, 1.0)]
    {
        assert_eq!(live.http.post("/v1/reminders", &wrong).status, 422, "{wrong}");
    }
    assert_eq!(live.http.get("/v1/reminders?view=short").status, 422);
    assert_eq!(live.reminders().len(), 2, "nothing of a wrong body is kept");

    // An update begins anew, and keeps id and age.
    let changed = live.put(later_id, &with(once("now", -9, 0.01), &json!({ "schema_version": 1 }))).ok();
    assert_eq!(
        (&changed["reminder_id"], &changed["created_at_utc"]),
        (&later["reminder_id"], &later["created_at_utc"])
    );
    let executing = live.becomes(later_id, "executing");
    let request = executing["request_id"].as_str().unwrap();
    live.deferred(request, "draft");
    let refused = live.put(later_id, &once("never", 0, 1.0));
    assert_eq!((refused.status, refused.header("agents-error-code")), (409, Some("reminder_executing")));
    let deleted = live.http.delete(&format!("/v1/reminders/{later_id}")).ok();
    let expected = json!({ "schema_version": 1, "status": "ok", "action": "delete_reminder", "reminder_id": later_id,
        "deleted": true, "detail": deleted["detail"] });
    assert_eq!(deleted, expected);
    assert!(deleted["detail"].as_str().unwrap().contains(request), "{deleted}");
    live.keys(&["C-c"]);
    live.completed(request);
    assert_eq!(live.log.wait_for(1)[0].text, "now", "what was begun goes on");
    assert_eq!(
        live.told(later_id),
        ["reminder_registered", "reminder_updated", "reminder_started", "reminder_deleted"]
    );
}

#[test]
fn only_the_first_is_said_and_a_paused_one_keeps_all_others_back() {
    let live = Live::new(&["work=5"]);
    let paused = live.remind(&with(once("first", 0, 0.01), &json!({ "paused": true })));
    let behind = live.remind(&once("second", 1, 0.01));
    live.remind(&once("third", 2, 0.01));
    let shown = live.becomes(&behind, "overdue");
    assert_eq!(shown["selection_state"], "blocked");
    live.becomes(&paused, "overdue");
    assert_eq!(live.log.texts().len(), 0);
    live.put(&paused, &once("first", 0, 0.01)).ok();
    live.all_said();
    assert_eq!(live.log.texts(), ["first", "second", "third"]);
    assert_eq!(
        live.told(&behind),
        ["reminder_registered", "reminder_started", "reminder_completed"],
        "one that waits behind others has nothing to tell"
    );
}

#[test]
fn what_is_due_waits_for_the_queue() {
    let live = Live::new(&["work=400"]);
    let first = live.send("a long one");
    live.receives(&first, "submitted");
    let second = live.send("another");
    let reminder = live.remind(&once("the reminder", 0, 0.01));
    eventually("what it waits for", || match live.reminder(&reminder) {
        one if one["waits_for"].as_str().is_some_and(|why| why.contains("waits in the queue")) => Ok(()),
        one => Err(one.to_string()),
    });
    live.completed(&second);
    live.all_said();
    assert_eq!(live.log.texts(), ["a long one", "another", "the reminder"]);
    assert!(live.log.prompts().iter().all(|prompt| !prompt.mid_turn), "nobody was interrupted");
    let told = live.told(&reminder);
    assert_eq!(told, ["reminder_registered", "reminder_deferred", "reminder_started", "reminder_completed"]);
}

#[test]
fn moments_in_the_past_and_leap_seconds() {
    let live = Live::new(&["work=5"]);
    let at = |moment: &str, paused: bool| {
        json!({ "mode": "one_off", "title": "past", "prompt": "past", "ranking": 0, "deliver_at_utc": moment,
            "paused": paused })
    };
    let leap = live.remind(&at("2016-12-31T23:59:60Z", true));
    let shown = live.becomes(&leap, "overdue");
    assert_eq!(shown["next_due_at_utc"], "2017-01-01T00:00:00.000000+00:00");
    for wrong in ["2016-12-31T23:59:60", "2016-12-31T12:00:60Z", "2026-11-21T10:00:00", "soon"] {
        let answer = live.http.post("/v1/reminders", &json!({ "reminders": [at(wrong, false)] }));
        assert_eq!(answer.status, 422, "{wrong}: {answer:?}");
    }
    live.put(&leap, &at("2016-12-31T18:29:60-05:30", false)).ok();
    live.all_said();
    assert_eq!(live.log.texts(), ["past"]);
}

#[test]
fn keys_end_with_one_enter() {
    let live = Live::new(&["work=5"]);
    let press = |sequence: &str, ensure_enter: bool| {
        json!({ "mode": "one_off", "title": "k", "ranking": 0, "start_after_seconds": 0.01,
            "send_keys": { "sequence": sequence, "ensure_enter": ensure_enter } })
    };
    let first = live.remind(&press("one<[Enter]><[Enter]>", true));
    live.all_said();
    live.log.wait_for_note("turn_ended", 1);
    live.remind(&press("two", true));
    live.all_said();
    live.log.wait_for_note("turn_ended", 2);
    live.remind(&press("three", false));
    live.all_said();
    live.world.shows(&live.agent.pane, "three");
    assert_eq!(live.log.texts(), ["one", "two"]);
    assert_eq!(live.told(&first), ["reminder_registered", "reminder_started", "reminder_completed"]);
}

#[test]
fn a_repeat_is_said_on_its_grid() {
    let live = Live::new(&["work=5"]);
    let id = live.remind(&json!({ "mode": "repeat", "title": "r", "prompt": "again", "ranking": 0,
        "start_after_seconds": 0.01, "interval_seconds": 0.25 }));
    let due = |one: &Value| {
        let text = one["next_due_at_utc"].as_str().unwrap();
        text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
    };
    let first = due(&live.reminder(&id));
    live.log.wait_for(3);
    live.http.delete(&format!("/v1/reminders/{id}")).ok();
    let last = live.told(&id);
    assert!(last.iter().filter(|kind| *kind == "reminder_started").count() >= 3, "{last:?}");
    let file = live.database();
    let mut rows = file.prepare("SELECT data_json FROM agents_journal WHERE kind = 'reminder_started'").unwrap();
    for data in rows.query_map([], |row| row.get::<_, String>(0)).unwrap() {
        let data: Value = serde_json::from_str(&data.unwrap()).unwrap();
        let slot = due(&json!({ "next_due_at_utc": data["due_at_utc"] }));
        assert_eq!((slot - first) % 250_000, 0, "{data}");
    }
}

#[test]
fn what_fell_due_without_a_gateway_is_treated_as_it_says() {
    let mut live = Live::new(&["work=5"]);
    let make = |title: &str, ranking: i64, policy: &str, repeat: bool| {
        let mode = if repeat { "repeat" } else { "one_off" };
        let added = json!({ "when_missed": policy, "mode": mode, "interval_seconds": repeat.then_some(100) });
        live.remind(&with(once(title, ranking, 1000.0), &added))
    };
    let (kept, gone) = (make("kept", 0, "fire_once", false), make("gone", 0, "skip", false));
    let (all, one, none) =
        (make("all", 1, "fire_all", true), make("one", 2, "fire_once", true), make("none", 3, "skip", true));
    let future = make("future", 4, "skip", false);
    live.detach();
    // As if 1350 seconds had gone by: every slot is 350 seconds old.
    let file = live.database();
    let back = "UPDATE agents_reminders SET due_us = due_us - 1350000000, due_wall_us = due_wall_us - 1350000000";
    file.execute(&format!("{back} WHERE reminder_id <> ?1"), [&future]).unwrap();
    // And as if the machine had been started again since one of them was made.
    file.execute("UPDATE agents_reminders SET boot_id = 'another', due_us = 7 WHERE reminder_id = ?1", [&all]).unwrap();
    drop(file);
    live.restart();
    // A repeat stays the first until somebody takes it away.
    for (id, texts) in [(&all, 5), (&one, 6)] {
        live.log.wait_for(texts);
        let shown = live.becomes(id, "scheduled");
        let times = if id == &all { 4 } else { 1 };
        assert_eq!((&shown["times_fired"], &shown["owed"]), (&json!(times), &json!(1)), "{shown}");
        live.http.delete(&format!("/v1/reminders/{id}")).ok();
    }
    let left = live.reminders();
    assert_eq!(left.iter().map(|one| &one["delivery_state"]).collect::<Vec<_>>(), ["scheduled", "scheduled"]);
    assert_eq!(live.log.texts(), ["kept", "all", "all", "all", "all", "one"]);
    assert_eq!(live.told(&gone), ["reminder_registered", "reminder_skipped"]);
    assert_eq!(live.told(&none), ["reminder_registered", "reminder_skipped"]);
    assert_eq!(live.told(&future), ["reminder_registered"]);
    let told = live.told(&kept);
    assert_eq!(told, ["reminder_registered", "reminder_missed", "reminder_started", "reminder_completed"]);
    // Nothing of it is said again.
    live.kill_and_restart();
    assert_eq!((live.reminders().len(), live.log.texts().len()), (2, 6));
}

#[test]
fn a_reminder_that_falls_due_while_detached_is_said_by_the_next_gateway() {
    let mut live = Live::new(&["work=5"]);
    let begun = Instant::now();
    live.remind(&once("while detached", 0, 0.3));
    live.detach();
    assert_eq!(live.log.texts().len(), 0);
    eventually("its time", || if begun.elapsed() > Duration::from_millis(400) { Ok(()) } else { Err(String::new()) });
    live.restart();
    live.all_said();
    assert_eq!(live.log.texts(), ["while detached"]);
}

#[test]
fn a_death_in_every_commit_says_nothing_twice_and_loses_nothing() {
    if !World::strace_available() {
        eprintln!("skipped: no strace here");
        return;
    }
    let mut live = Live::new(&["work=5"]);
    let mut kept = Vec::new();
    for number in 1.. {
        let (text, gateway) = (format!("reminder {number}"), live.world.gateway_pid());
        let tracer = Tracer::new(gateway, "fdatasync,fsync", &format!("signal=KILL:when={number}"));
        let body = json!({ "reminders": [once(&text, 0, 0.02)] }).to_string();
        let made = live.http.try_keep().and_then(|mut connection| {
            connection.send("POST", "/v1/reminders", Some(body.as_bytes())).map(|answer| answer.ok())
        });
        if made.is_ok() {
            kept.push(text.clone());
        }
        let died = eventually("its death, or the end of the turn", || {
            if stat(gateway).is_none() {
                return Ok(true);
            }
            let asked = live.http.try_keep().and_then(|mut connection| connection.send("GET", "/v1/requests", None));
            match asked.map(|answer| answer.json()["requests"][0].clone()) {
                Ok(last) if last["prompt"] == text.as_str() && last["receipt"] == "turn_ended" => Ok(false),
                other => Err(format!("{other:?}")),
            }
        });
        drop(tracer);
        if !died {
            assert!(number > 4, "it has more commits than that");
            break;
        }
        live.restart();
        // What was not answered may have been kept all the same.
        live.all_said();
    }
    live.drained(crate::support::PATIENCE);
    let texts = live.log.texts();
    let unique: BTreeSet<&String> = texts.iter().collect();
    assert_eq!(unique.len(), texts.len(), "twice: {texts:?}");
    assert!(kept.iter().all(|text| texts.contains(text)), "lost: {kept:?} of {texts:?}");
}

#[test]
fn deaths_at_any_moment_say_nothing_twice_and_lose_nothing() {
    let seed = 20_261_122;
    let mut chance = Seeded::new(seed);
    let mut live = Live::new(&["work=5"]);
    let mut all = Vec::new();
    for run in 0..15 {
        for _ in 0..chance.within(1..3) {
            let text = format!("reminder {} of run {run}.", all.len());
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let after = chance.within(1..60) as f64 / 1000.0;
            live.remind(&once(&text, 0, after));
            all.push(text);
        }
        let end = Instant::now() + Duration::from_micros(chance.within(0..80_000));
        while Instant::now() < end {
            std::thread::yield_now();
        }
        live.kill_and_restart();
    }
    live.all_said();
    live.drained(Duration::from_secs(60));
    let mut said = live.log.texts();
    said.sort();
    all.sort();
    assert_eq!(said, all, "seed {seed}");
}

#[test]
fn the_command_line_makes_changes_and_removes_reminders() {
    let live = Live::new(&["work=5"]);
    let words = |words: &[&str]| live.reminders_words(words);
    let make = ["create", "--json", "--title", "daily", "--mode", "repeat", "--prompt", "-v", "--ranking", "-3"];
    let daily =
        words(&[&make[..], &["--deliver-at-utc", "2099-03-29T03:30:00+02:00", "--interval-seconds", "86400"]].concat())
            .json();
    assert_eq!(
        (&daily["next_due_at_utc"], &daily["prompt"]),
        (&json!("2099-03-29T01:30:00.000000+00:00"), &json!("-v"))
    );
    let daily_id = daily["reminder_id"].as_str().unwrap();
    let make =
        ["create", "--json", "--title", "keys", "--mode", "one_off", "--sequence", "/compact", "--no-ensure-enter"];
    let keys = words(
        &[&make[..], &["--before-all", "--paused", "--start-after-seconds", "500", "--when-missed", "skip"]].concat(),
    )
    .json();
    assert_eq!((&keys["ranking"], &keys["when_missed"], &keys["paused"]), (&json!(-4), &json!("skip"), &json!(true)));
    let keys_id = keys["reminder_id"].as_str().unwrap();

    let set =
        words(&["set", "--json", "--reminder-id", keys_id, "--after-all", "--no-paused", "--ensure-enter"]).json();
    assert_eq!((&set["ranking"], &set["paused"], &set["when_missed"]), (&json!(-2), &json!(false), &json!("skip")));
    assert_eq!(set["send_keys"], json!({ "sequence": "/compact", "ensure_enter": true }));
    let drift = |one: &Value| one["next_due_at_utc"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    assert!((drift(&set) - drift(&keys)).abs() <= 2, "the delay goes on: {keys} {set}");
    let set = words(&["set", "--json", "--reminder-id", daily_id, "--mode", "one_off", "--title", "not daily"]).json();
    assert_eq!((&set["interval_seconds"], &set["mode"]), (&Value::Null, &json!("one_off")));
    assert_eq!(set["next_due_at_utc"], daily["next_due_at_utc"]);

    let shown = words(&["list"]).ok();
    assert!(shown.contains("not daily") && shown.contains("blocked") && shown.contains("once"), "{shown}");
    let shown = words(&["get", "--reminder-id", keys_id]).ok();
    assert!(shown.contains("/compact<[Enter]>") && shown.contains("skip") && shown.contains(daily_id), "{shown}");
    words(&["remove", "--reminder-id", daily_id]).ok();
    words(&["remove", "--reminder-id", daily_id]).fails(3, "no reminder has the id", "reminders list");
    words(&["get", "--reminder-id", "greminder-0"]).fails(3, "no reminder has the id", "reminders list");

    let base = ["create", "--title", "t", "--mode", "one_off", "--ranking", "0"];
    let due = ["--start-after-seconds", "5"];
    let wrong: &[(&[&str], &str)] = &[
        (&["--prompt", "x"], "--start-after-seconds"),
        (&["--prompt", "x", "--sequence", "y", "--start-after-seconds", "5"], "--sequence"),
        (
            &["--prompt", "x", "--start-after-seconds", "5", "--deliver-at-utc", "2099-01-01T00:00:00Z"],
            "cannot be used",
        ),
        (&["--prompt", "x", "--deliver-at-utc", "2099-01-01T00:00:00"], "offset"),
        (&["--prompt", "x", "--start-after-seconds", "0"], "above 0"),
        (&["--prompt", " ", "--start-after-seconds", "5"], "empty"),
        (&["--prompt", "x", "--start-after-seconds", "5", "--interval-seconds", "5"], "--mode repeat"),
        (&["--prompt", "x", "--start-after-seconds", "5", "--no-ensure-enter"], "always submitted"),
        (&["--sequence", "<[F1]>", "--start-after-seconds", "5"], "unsupported special key"),
        (&["--prompt", "x", "--start-after-seconds", "5", "--after-all"], "cannot be used"),
    ];
    for (more, expected) in wrong {
        words(&[&base[..], more].concat()).fails(2, expected, "");
    }
    let repeat = ["create", "--title", "t", "--mode", "repeat", "--ranking", "0", "--prompt", "x"];
    words(&[&repeat[..], &due].concat()).fails(2, "interval_seconds is required", "nothing was done");
    words(&["get", "--reminder-id", "../status"]).fails(2, "an id looks like", "");
    assert_eq!(live.reminders().len(), 1);
    live.detach();
    words(&["list"]).fails(6, "", "gateway attach");
}

/// Its table was not there before: a file of the version before is brought up to date.
#[test]
fn a_queue_of_an_earlier_version_gets_reminders() {
    let mut live = Live::new(&["work=5"]);
    live.detach();
    let file = live.database();
    file.execute_batch("DROP TABLE agents_reminders; UPDATE agents_meta SET value = '3' WHERE key = 'schema_version'")
        .unwrap();
    drop(file);
    live.restart();
    live.remind(&once("new", 0, 0.01));
    live.all_said();
    live.http.post("/v1/requests", &prompt("old")).ok();
    live.log.wait_for(2);
    assert!(live.agent.root.join("gateway/queue.sqlite.v3-backup").exists());
}

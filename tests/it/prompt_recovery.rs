//! The gateway dies, at any moment: no prompt is typed twice, and none is lost without a word.
//!
//! | what | test |
//! | --- | --- |
//! | killed between insert and answer | `a_death_in_every_commit_of_a_delivery_is_survived` |
//! | killed after the intent, after the paste, between paste and Enter, after Enter | `a_death_in_every_commit_of_a_delivery_is_survived`, `a_death_at_each_receipt_is_survived` |
//! | killed 200 times at any moment | `two_hundred_deaths_at_any_moment_type_nothing_twice_and_lose_nothing` |
//! | killed in the middle of a group commit | `deaths_in_the_middle_of_a_commit_lose_nothing_that_was_answered` |
//! | killed while many callers wait | `a_death_between_two_gateways_of_many_callers_keeps_each_answer` |
//! | asked to end during a delivery | `a_gateway_that_is_told_to_stop_finishes_what_it_types_and_begins_nothing_more` |
//! | restart with a queue | `accepted_prompts_wait_for_the_next_gateway` |
//! | agent replaced meanwhile | `another_agent_in_the_same_session_gets_nothing_unasked`, `an_agent_replaced_with_an_empty_queue_blocks_nobody` |
//! | tmux server lost | `a_server_that_was_lost_leaves_its_prompt_uncertain` |

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    Http, Live, Seeded, Sent, Told, Tracer, World, eventually, eventually_within, gone, id_of, lock_is_held, port_of,
    prompt, signal, stat, tree,
};

fn sent(client: &str, text: String, id: Option<String>) -> Sent {
    Sent { client: client.to_owned(), text, id }
}

/// Sends, and sends the same again until it is answered: what a careful caller does.
fn send_surely(live: &mut Live, text: &str, key: &str) -> String {
    loop {
        let http = live.http.with("Idempotency-Key", key);
        let body = prompt(text).to_string();
        let answer =
            http.try_keep().and_then(|mut connection| connection.send("POST", "/v1/requests", Some(body.as_bytes())));
        match answer {
            Ok(answer) if answer.status == 200 => return id_of(&answer.json()),
            Ok(answer) if answer.status == 503 => {}
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => live.restart(),
        }
    }
}

/// Lets this much of a busy agent's work pass; precise below a millisecond.
fn pass(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::thread::yield_now();
    }
}

/// Nothing of the dead gateways is left in tmux, among the processes, or in the folders.
#[track_caller]
fn is_tidy(live: &Live) {
    live.world.is_consistent(&live.agent);
    eventually("one control client", || match live.world.tmux(&["list-clients", "-F", "#{client_control_mode}"]) {
        clients if clients == "1" => Ok(()),
        clients => Err(clients),
    });
    assert_eq!(live.world.tmux(&["list-buffers"]), "");
    // A snapshot may be on its way into its place.
    eventually("no temporary file", || {
        let is_temporary = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "tmp");
        tree(&live.agent.root).into_keys().find(is_temporary).map_or(Ok(()), |path| Err(path.display().to_string()))
    });
    let queue = rusqlite::Connection::open(live.agent.root.join("gateway/queue.sqlite")).unwrap();
    let found: String = queue.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
}

#[test]
fn two_hundred_deaths_at_any_moment_type_nothing_twice_and_lose_nothing() {
    let seed = 20_261_121;
    let mut chance = Seeded::new(seed);
    let mut live = Live::new(&["work=5"]);
    let mut all = Vec::new();
    for run in 0..200 {
        for _ in 0..chance.within(1..3) {
            let text = format!("prompt {} of run {run}.", all.len());
            let id = send_surely(&mut live, &text, &format!("key-{}", all.len()));
            all.push(sent("one", text, Some(id)));
        }
        pass(Duration::from_micros(chance.within(0..80_000)));
        live.kill_and_restart();
    }
    live.drained(Duration::from_secs(120));
    eprintln!("seed {seed}: {} prompts", all.len());
    live.holds(&all, &[]);
    let uncertain = Told::all(&live.http).into_iter().filter(|told| told.state == "failed").count();
    assert_eq!(uncertain, 0, "the pane's own memory tells what became of each");
    is_tidy(&live);
}

#[test]
fn a_death_in_every_commit_of_a_delivery_is_survived() {
    if !World::strace_available() {
        eprintln!("skipped: no strace here");
        return;
    }
    let mut live = Live::new(&["work=20"]);
    let mut all = Vec::new();
    let mut died = true;
    while died {
        let number = all.len() + 1;
        let (text, key) = (format!("prompt {number}."), format!("key-{number}"));
        let gateway = live.world.gateway_pid();
        let tracer = Tracer::new(gateway, "fdatasync,fsync", &format!("signal=KILL:when={number}"));
        let body = prompt(&text).to_string();
        let first = live.http.with("Idempotency-Key", &key).try_keep().and_then(|mut connection| {
            connection.send("POST", "/v1/requests", Some(body.as_bytes())).map(|answer| id_of(&answer.ok()))
        });
        died = eventually("its death, or the end of the turn", || match &first {
            _ if stat(gateway).is_none() => Ok(true),
            Ok(id) => {
                // It may die while it answers.
                let shown = live
                    .http
                    .try_keep()
                    .and_then(|mut connection| connection.send("GET", &format!("/v1/requests/{id}"), None));
                match shown {
                    Ok(shown) if shown.json()["receipt"] == "turn_ended" => Ok(false),
                    other => Err(format!("{other:?}")),
                }
            }
            Err(error) => Err(error.to_string()),
        });
        drop(tracer);
        if died {
            live.world.kill_gateways();
            live.restart();
        }
        // The caller who heard nothing asks again.
        let id = send_surely(&mut live, &text, &key);
        assert!(first.is_err() || first.is_ok_and(|first| first == id));
        live.receives(&id, "turn_ended");
        let typed = live.receipts(&id).iter().filter(|name| *name == "typing").count();
        assert!((1..=2).contains(&typed), "{:?}", live.shown(&id));
        all.push(sent("one", text, Some(id)));
    }
    assert!(all.len() >= 5, "accepted, typing, typed, submitted, turn: {}", all.len());
    live.holds(&all, &[]);
    assert_eq!(live.log.event_names(), Vec::<String>::new());
    is_tidy(&live);
}

#[test]
fn a_death_at_each_receipt_is_survived() {
    for step in ["queued", "typing", "typed", "submitted", "turn_started"] {
        for round in 0..3 {
            let mut live = Live::new(&["work=200", "slow-paint=40"]);
            let before = live.send("before");
            live.receives(&before, "turn_ended");
            let stream = live.http.events("/v1/events").unwrap();
            let gateway = live.world.gateway_pid();
            let texts = [format!("one at {step}"), format!("two at {step}")];
            let ids = texts.each_ref().map(|text| live.send(text));
            stream.until(step, |event| {
                event.comment.is_none()
                    && event.json()["request_id"] == ids[0].as_str()
                    && event.json()["receipt"] == step
            });
            signal(gateway, Signal::KILL);
            live.world.kill_gateways();
            live.restart();
            ids.iter().for_each(|id| drop(live.completed(id)));
            live.drained(crate::support::PATIENCE);
            let expected = ["before".to_owned(), texts[0].clone(), texts[1].clone()];
            assert_eq!(live.log.texts(), expected, "round {round}");
            let sent: Vec<Sent> = texts.into_iter().zip(ids).map(|(text, id)| sent("one", text, Some(id))).collect();
            live.holds(&sent, &[]);
        }
    }
}

#[test]
fn deaths_in_the_middle_of_a_commit_lose_nothing_that_was_answered() {
    if !World::strace_available() {
        eprintln!("skipped: no strace here");
        return;
    }
    let mut chance = Seeded::new(11);
    let mut live = Live::new(&["draft=half a thought"]);
    let mut all = Vec::new();
    for run in 0..12 {
        let gateway = live.world.gateway_pid();
        let tracer = Tracer::new(gateway, "fdatasync,fsync", &format!("signal=KILL:when={}", chance.within(2..9)));
        let answered: Vec<Sent> = std::thread::scope(|scope| {
            let port = live.http.port;
            let client = move |client: usize| {
                let mut answered = Vec::new();
                for number in 0.. {
                    let text = format!("prompt {number} of client {client} in run {run}.");
                    let body = prompt(&text).to_string();
                    let answer = Http::new(port)
                        .try_keep()
                        .and_then(|mut connection| connection.send("POST", "/v1/requests", Some(body.as_bytes())));
                    let Ok(answer) = answer else { break };
                    answered.push(sent(&format!("{client} in {run}"), text, Some(id_of(&answer.ok()))));
                }
                answered
            };
            let clients: Vec<_> = (0..8).map(|number| scope.spawn(move || client(number))).collect();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        gone(gateway);
        drop(tracer);
        all.extend(answered);
        live.world.kill_gateways();
        live.restart();
    }
    assert!(!all.is_empty());
    live.keys(&["C-c"]);
    live.drained(Duration::from_secs(120));
    // Some were stored although nobody heard of it: the checker knows them from the gateway.
    live.holds(&all, &[]);
}

/// Runs a gateway of this session as a child, and waits until it is public.
fn gateway_child(live: &mut Live) -> std::process::Child {
    live.world.agents(&["gateway", "detach", "--agent-id", &live.agent.id]).ok();
    let mut command = live.world.command(World::program());
    command.args(["gateway", "run", "--session-root"]).arg(&live.agent.root);
    let child = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let port = eventually("the gateway to be public", || match live.world.status(&live.agent) {
        status if status["gateway_health"] == "healthy" => Ok(port_of(&status)),
        status => Err(status.to_string()),
    });
    live.http = Http::new(port);
    child
}

#[test]
fn a_gateway_that_is_told_to_stop_finishes_what_it_types_and_begins_nothing_more() {
    for step in ["queued", "typing", "typed"] {
        let mut live = Live::new(&["slow-paint=150", "work=50"]);
        let mut child = gateway_child(&mut live);
        let (first, second) = (live.send("first"), live.send("second"));
        live.receives(&first, step);
        signal(child.id(), Signal::TERM);
        assert!(child.wait().unwrap().success(), "{step}");
        assert_eq!(live.world.status(&live.agent)["gateway_health"], "not_attached");
        assert!(!lock_is_held(&live.agent));
        assert!(live.log.texts().len() <= 1, "{step}");
        live.restart();
        live.completed(&first);
        live.completed(&second);
        assert_eq!((live.log.wait_for(2).len(), live.log.texts()), (2, vec!["first".to_owned(), "second".to_owned()]));
        let typed = live.receipts(&first).iter().filter(|name| *name == "typing").count();
        assert!((1..=2).contains(&typed), "{step}: {:?}", live.receipts(&first));
        is_tidy(&live);
    }
}

#[test]
fn accepted_prompts_wait_for_the_next_gateway() {
    let mut live = Live::new(&["draft=half a thought"]);
    let ids: Vec<String> = (0..5).map(|number| live.send(&format!("prompt {number}"))).collect();
    live.world.kill_gateways();
    live.keys(&["C-c"]);
    live.restart();
    ids.iter().for_each(|id| drop(live.completed(id)));
    assert_eq!(live.status()["managed_agent_instance_epoch"], 1);
    assert_eq!(live.log.texts(), (0..5).map(|number| format!("prompt {number}")).collect::<Vec<_>>());
    let (first, running) = (live.send("first"), live.send("second"));
    live.completed(&first);
    live.completed(&running);
    live.world.agents(&["gateway", "detach", "--agent-id", &live.agent.id]).ok();
    live.restart();
    assert_eq!(live.ended(&first)["state"], "completed");
    assert_eq!(live.log.texts().len(), 7);
}

#[test]
fn another_agent_in_the_same_session_gets_nothing_unasked() {
    for keep in [true, false] {
        let mut live = Live::new(&["draft=half a thought"]);
        let id = live.send("for the first");
        live.deferred(&id, "draft");
        live.world.kill_gateways();
        live.world.agents(&["relaunch", "--agent-id", &live.agent.id]).ok();
        live.log.wait_for_note("ready", 2);
        live.keys(&["C-c"]);
        live.restart();
        let status = live.status();
        assert_eq!(
            (&status["request_admission"], &status["managed_agent_instance_epoch"]),
            (&json!("blocked_reconciliation"), &json!(2))
        );
        live.http.post("/v1/requests", &prompt("more")).refused(409);
        let now = live.http.post("/v1/control/prompt", &json!({"prompt": "now"})).refused(409);
        assert_eq!(now["error_code"], "blocked_reconciliation");
        let (action, word) = if keep { ("keep", "kept") } else { ("drop", "dropped") };
        let done = live.http.post("/v1/reconcile", &json!({"action": action})).ok();
        assert_eq!((&done["action"], &done[word], &done["epoch"]), (&json!(action), &json!(1), &json!(2)));
        if keep {
            live.completed(&id);
        } else {
            live.failed(&id, "refused", "dropped");
        }
        live.completed(&live.send("for the second"));
        assert_eq!(live.log.texts().len(), if keep { 2 } else { 1 });
        live.http.post("/v1/reconcile", &json!({"action": action})).refused(409);
        assert_eq!(live.http.post("/v1/reconcile", &json!({"action": "forget"})).status, 422);
    }
}

#[test]
fn an_agent_replaced_with_an_empty_queue_blocks_nobody() {
    let mut live = Live::new(&[]);
    live.completed(&live.send("one"));
    live.world.kill_gateways();
    live.world.agents(&["relaunch", "--agent-id", &live.agent.id]).ok();
    live.log.wait_for_note("ready", 2);
    live.restart();
    live.completed(&live.send("two"));
    assert_eq!(live.log.texts(), ["one", "two"]);
}

#[test]
fn a_server_that_was_lost_leaves_its_prompt_uncertain() {
    let mut live = Live::new(&["no-echo"]);
    let id = live.send("one");
    live.receives(&id, "typing");
    let (gateway, server) = (live.world.gateway_pid(), live.world.server_pid());
    signal(gateway, Signal::KILL);
    signal(server, Signal::KILL);
    gone(server);
    live.world.agents(&["relaunch", "--agent-id", &live.agent.id]).ok();
    live.log.wait_for_note("ready", 2);
    live.restart();
    live.failed(&id, "indeterminate", "agent_ended");
    assert_eq!(live.log.texts(), Vec::<String>::new());
}

#[test]
fn a_death_between_two_gateways_of_many_callers_keeps_each_answer() {
    let mut live = Live::new(&["work=5"]);
    let port = live.http.port;
    let stop = AtomicBool::new(false);
    let all: Vec<Sent> = std::thread::scope(|scope| {
        let stop = &stop;
        let client = move |client: usize| {
            let mut sent_here = Vec::new();
            for number in 0..30 {
                let text = format!("prompt {number} of client {client}.");
                let http = Http::new(port).with("Idempotency-Key", &format!("{client}-{number}"));
                let body = prompt(&text).to_string();
                // Sends the same again until it is answered.
                let id = eventually_within(Duration::from_secs(60), "an answer", || {
                    let answer = http
                        .try_keep()
                        .and_then(|mut connection| connection.send("POST", "/v1/requests", Some(body.as_bytes())));
                    match answer {
                        Ok(answer) if answer.status == 200 => Ok(id_of(&answer.json())),
                        other => Err(format!("{other:?}")),
                    }
                });
                sent_here.push(sent(&client.to_string(), text, Some(id)));
            }
            sent_here
        };
        let clients: Vec<_> = (0..4).map(|number| scope.spawn(move || client(number))).collect();
        let mut chance = Seeded::new(5);
        let live = &mut live;
        let killer = scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                pass(Duration::from_millis(chance.within(1..300)));
                live.world.kill_gateways();
                let again =
                    live.world.agents(&["gateway", "attach", "--background", "--json", "--agent-id", &live.agent.id]);
                assert_eq!(port_of(&again.json()), port);
            }
        });
        let all = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        stop.store(true, Ordering::Relaxed);
        killer.join().unwrap();
        all
    });
    live.drained(Duration::from_secs(120));
    live.holds(&all, &[]);
    assert_eq!(live.log.texts().len(), 120);
}

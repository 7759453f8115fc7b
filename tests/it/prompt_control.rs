//! Direct control: at once or not at all, and never between another sender's text and its Enter.

use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::{Answer, Live, PATIENCE, Sent, eventually};

fn now(live: &Live, text: &str, policy: &str) -> Answer {
    live.http.post("/v1/control/prompt", &json!({"schema_version": 2, "prompt": text, "admission_policy": policy}))
}

/// A refusal in the contract's form, with this code.
#[track_caller]
fn refused(answer: &Answer, status: u16, policy: &str, code: &str) {
    let detail = answer.refused(status);
    let text = detail["detail"].clone();
    assert!(text.as_str().is_some_and(|text| !text.is_empty()), "{detail}");
    let expected = json!({"status": "error", "action": "submit_prompt", "sent": false, "admission_policy": policy,
        "error_code": code, "detail": text});
    assert_eq!(detail, expected);
}

#[test]
fn a_ready_agent_takes_a_prompt_at_once() {
    let live = Live::new(&[]);
    for (number, policy) in ["ready_only", "if_no_pending", "always"].into_iter().enumerate() {
        let text = format!("prompt {number}");
        let answer = now(&live, &text, policy).ok();
        let expected = json!({"status": "ok", "action": "submit_prompt", "sent": true, "admission_policy": policy,
            "detail": answer["detail"]});
        assert_eq!(answer, expected);
        assert_eq!(live.log.wait_for(number + 1)[number].text, text);
        live.log.wait_for_note("turn_ended", number + 1);
    }
    let default = live.http.post("/v1/control/prompt", &json!({"prompt": "default"})).ok();
    assert_eq!(default["admission_policy"], "ready_only");
    for body in [
        json!({"prompt": "x", "schema_version": 1}),
        json!({"prompt": "x", "force": true}),
        json!({"prompt": "x", "admission_policy": "sometimes"}),
        json!({"admission_policy": "always"}),
    ] {
        assert_eq!(live.http.post("/v1/control/prompt", &body).status, 422, "{body}");
    }
    assert_eq!(live.log.texts().len(), 4);
}

#[test]
fn a_busy_agent_is_for_those_who_say_always() {
    let live = Live::new(&["work=600000"]);
    now(&live, "first", "ready_only").ok();
    live.world.shows(&live.agent.pane, "Working…");
    refused(&now(&live, "second", "ready_only"), 409, "ready_only", "not_ready");
    assert_eq!(live.log.texts(), ["first"]);
    assert_eq!(live.log.noted("paste"), 1);
}

#[test]
fn a_draft_is_never_mixed_with_a_prompt() {
    let live = Live::new(&["draft=half a thought"]);
    refused(&now(&live, "one", "ready_only"), 409, "ready_only", "not_ready");
    refused(&now(&live, "one", "if_no_pending"), 409, "if_no_pending", "pending_input");
    assert_eq!(now(&live, "one", "always").status, 422);
    assert_eq!(live.log.noted("paste"), 0);
    live.world.shows(&live.agent.pane, "❯ half a thought");
}

#[test]
fn chat_sessions_and_models_are_not_for_terminals() {
    let live = Live::new(&[]);
    let with = |more: Value| {
        let mut body = json!({"prompt": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        live.http.post("/v1/control/prompt", &body)
    };
    refused(&with(json!({"chat_session": {"mode": "current"}})), 422, "ready_only", "invalid_chat_session");
    let body = json!({"chat_session": {"mode": "new"}, "admission_policy": "always"});
    refused(&with(body), 422, "always", "invalid_admission_policy");
    refused(&with(json!({"execution": {"model": {"name": "m"}}})), 422, "ready_only", "invalid_execution");
    assert_eq!(live.log.noted("paste"), 0);
    // A new conversation begins with the agent's own word for it.
    with(json!({"chat_session": {"mode": "new"}})).ok();
    assert_eq!(live.log.wait_for(2).len(), 2);
    assert_eq!(live.log.texts(), ["/clear", "x"]);
}

#[test]
fn of_two_at_the_same_time_exactly_one_is_admitted() {
    let live = Live::new(&["work=600000"]);
    for round in 0..10 {
        let start = Barrier::new(4);
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let (live, start) = (&live, &start);
            let one = move |number: usize| {
                start.wait();
                now(live, &format!("prompt {number} of {round}"), "ready_only").status
            };
            let threads: Vec<_> = (0..4).map(|number| scope.spawn(move || one(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let admitted = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!((admitted, live.log.wait_for(round + 1).len()), (1, round + 1), "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
        live.interrupt();
        live.log.wait_for_note("turn_ended", round + 1);
        live.drained(PATIENCE);
        live.world.shows(&live.agent.pane, "❯");
    }
}

#[test]
fn direct_prompts_do_not_overtake_what_waits() {
    let live = Live::new(&["draft=half a thought"]);
    let id = live.send("queued");
    live.deferred(&id, "draft");
    refused(&now(&live, "direct", "ready_only"), 409, "ready_only", "not_ready");
    live.keys(&["C-c"]);
    live.completed(&id);
    assert_eq!(live.log.texts(), ["queued"]);
}

#[test]
fn an_unconfirmed_prompt_is_not_called_sent() {
    let live = Live::new(&["no-echo"]);
    let answer = now(&live, "unseen", "ready_only");
    refused(&answer, 422, "ready_only", "dispatch_failed");
    assert_eq!(live.log.texts(), Vec::<String>::new());
}

#[test]
fn keys_are_pressed_as_they_are_written() {
    let live = Live::new(&[]);
    let keys = |body: Value| live.http.post("/v1/control/send-keys", &body);
    let answer = keys(json!({"sequence": "-l one; #{pane_id} ~ é你;<[Enter]>"})).ok();
    assert_eq!(answer, json!({"status": "ok", "action": "control_input", "detail": answer["detail"]}));
    assert_eq!(live.log.wait_for(1)[0].text, "-l one; #{pane_id} ~ é你;");
    keys(json!({"sequence": "twoo<[BSpace]> <[enter ]> <[Enter<[Enter]>"})).ok();
    assert_eq!(live.log.wait_for(2)[1].text, "two <[enter ]> <[Enter");
    keys(json!({"sequence": "<[Enter]>", "escape_special_keys": true})).ok();
    live.world.shows(&live.agent.pane, "❯ <[Enter]>");
    keys(json!({"sequence": "<[C-c]><[Escape]><[Up]>"})).ok();
    eventually("the keys", || match live.log.event_names() {
        names if names == ["draft_cleared", "escape", "key"] => Ok(()),
        names => Err(format!("{names:?}")),
    });
    for (body, status) in [
        (json!({"sequence": "x<[F1]>"}), 422),
        (json!({"sequence": "x<[enter]>"}), 422),
        (json!({"sequence": ""}), 422),
        (json!({"sequence": "x", "schema_version": 1}), 422),
        (json!({}), 422),
    ] {
        assert_eq!(keys(body.clone()).status, status, "{body}");
    }
    live.world.shows(&live.agent.pane, "❯");
    assert_eq!(live.log.texts().len(), 2, "nothing of a wrong sequence is typed");
}

#[test]
fn many_senders_of_every_kind_never_interleave() {
    let live = Live::new(&["work=10"]);
    let all: Vec<Sent> = std::thread::scope(|scope| {
        let live = &live;
        let queued = scope.spawn(move || {
            let text = |number| format!("queued {number}.");
            (0..30)
                .map(|number| Sent { client: "queue".into(), text: text(number), id: Some(live.send(&text(number))) })
                .collect::<Vec<_>>()
        });
        let direct = scope.spawn(move || {
            let mut sent = Vec::new();
            for number in 0..60 {
                let text = format!("direct {number}.");
                match now(live, &text, "ready_only").status {
                    200 => sent.push(text),
                    409 => {}
                    other => panic!("{other}"),
                }
            }
            sent
        });
        let typed = scope.spawn(move || {
            let mut sent = Vec::new();
            for number in 0..60 {
                let text = format!("keys {number}.");
                // Keys are for those who know what they do: only when nothing is half-typed.
                let answer = live.http.post("/v1/control/send-keys", &json!({"sequence": format!("{text}<[Enter]>")}));
                match answer.status {
                    200 => sent.push(text),
                    409 | 422 | 503 => {}
                    other => panic!("{other}"),
                }
            }
            sent
        });
        let mut all = queued.join().unwrap();
        let (direct, typed) = (direct.join().unwrap(), typed.join().unwrap());
        all.extend(direct.into_iter().map(|text| Sent { client: "direct".into(), text, id: None }));
        all.extend(typed.into_iter().map(|text| Sent { client: "keys".into(), text, id: None }));
        all
    });
    live.drained(std::time::Duration::from_secs(60));
    let got = live.log.wait_for(all.len());
    assert_eq!(got.len(), all.len());
    for sent in &all {
        assert_eq!(got.iter().filter(|prompt| prompt.text == sent.text).count(), 1, "{sent:?}");
    }
    for client in ["queue", "direct", "keys"] {
        let texts: Vec<&str> = all.iter().filter(|sent| sent.client == client).map(|sent| sent.text.as_str()).collect();
        let order: Vec<&str> =
            got.iter().map(|prompt| prompt.text.as_str()).filter(|text| texts.contains(text)).collect();
        assert_eq!(order, texts);
    }
}

#[test]
fn prompts_without_the_gateway_do_not_interleave_with_its_own() {
    let live = Live::new(&["work=10", "slow-paint=20"]);
    let all: Vec<Sent> = std::thread::scope(|scope| {
        let live = &live;
        let queued = scope.spawn(move || {
            let texts = (0..20).map(|number| format!("queued {number}."));
            texts.map(|text| Sent { client: "queue".into(), id: Some(live.send(&text)), text }).collect::<Vec<_>>()
        });
        let direct = |client: usize| {
            let send = move |number: usize| {
                let text = format!("direct {number} of {client}.");
                live.world.agents(&["prompt", "--agent-id", &live.agent.id, "--prompt", &text]).ok();
                Sent { client: format!("direct {client}"), text, id: None }
            };
            scope.spawn(move || (0..6).map(send).collect::<Vec<_>>())
        };
        let others = [direct(1), direct(2)];
        let mut all = queued.join().unwrap();
        all.extend(others.into_iter().flat_map(|client| client.join().unwrap()));
        all
    });
    live.drained(PATIENCE);
    let got = live.log.wait_for(all.len());
    assert_eq!((got.len(), live.log.event_names()), (all.len(), vec![]));
    for sent in &all {
        assert_eq!(got.iter().filter(|prompt| prompt.text == sent.text).count(), 1, "{sent:?}");
    }
    for client in ["queue", "direct 1", "direct 2"] {
        let texts: Vec<&str> = all.iter().filter(|sent| sent.client == client).map(|sent| sent.text.as_str()).collect();
        let order: Vec<&str> =
            got.iter().map(|prompt| prompt.text.as_str()).filter(|text| texts.contains(text)).collect();
        assert_eq!(order, texts);
    }
}

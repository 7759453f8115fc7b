//! The agent on the AG-UI protocol, over real streams.
//!
//! | what | test |
//! | --- | --- |
//! | capabilities, connect, publish, destinations, detach | `published_events_reach_those_who_are_connected_there` |
//! | wrong batches, threads and inputs | `what_is_no_batch_no_thread_and_no_input_is_refused` |
//! | a slow reader | `a_slow_reader_holds_nobody_up_and_is_told_what_it_missed` |
//! | a run, busy, closed, stopped, left | `a_run_is_told_from_its_start_to_its_end`, `a_run_is_alone…`, `the_end_of_the_gateway…` |
//! | a real agent's exact reply | `a_run_of_claude_ends_with_its_reply` |
//! | wrong words | `the_command_line_publishes_events` |

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Answer, Event, Live, Steered, Tool, eventually, signal};

fn input(thread: &str, text: &str) -> Value {
    json!({ "threadId": thread, "runId": "run-1", "state": {}, "tools": [], "context": [], "forwardedProps": {},
        "messages": [{ "id": "m1", "role": "user", "content": text }] })
}

fn custom(value: &Value) -> Value {
    json!({ "type": "CUSTOM", "name": "test", "value": value })
}

#[track_caller]
fn publish(live: &Live, batch: &Value) -> Value {
    live.http.post("/v1/ag-ui/events", batch).ok()
}

/// A refusal in the form of this family of routes.
#[track_caller]
fn not_ok(answer: &Answer, code: &str) {
    let body = answer.json();
    assert_eq!((answer.status, &body["ok"], &body["code"]), (422, &json!(false), &json!(code)), "{answer:?}");
    assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{answer:?}");
}

/// Everything until the run is over, without what the gateway noted on the way.
#[track_caller]
fn told(events: &crate::support::Events) -> Vec<Value> {
    let mut all = Vec::new();
    events.until("the end of the run", |event: &Event| {
        if event.comment.is_some() {
            return false;
        }
        let event = event.json();
        let over = ["RUN_FINISHED", "RUN_ERROR"].contains(&event["type"].as_str().unwrap());
        all.push(event);
        over
    });
    all
}

fn types(events: &[Value]) -> Vec<&str> {
    let is_note = |event: &&Value| event["name"] == "houmao.gateway.event";
    events.iter().filter(|event| !is_note(event)).map(|event| event["type"].as_str().unwrap()).collect()
}

#[test]
fn published_events_reach_those_who_are_connected_there() {
    let live = Live::new(&[]);
    let can = live.http.get("/v1/ag-ui/capabilities").ok();
    assert_eq!(can["houmao"]["replaySupport"], "current_snapshot_only");
    assert_eq!(can["houmao"]["features"]["taskRunSubmission"], true);
    assert_eq!(can["capabilities"]["transport"]["streaming"], true);

    let one = live.http.post_events("/v1/ag-ui/connect", &input("t1", "x")).unwrap();
    let least = json!({ "threadId": "t2", "runId": "r2", "lastSeenEventId": "7" });
    let two = live.http.post_events("/v1/ag-ui/connect", &least).unwrap();
    for line in ["content-type: text/event-stream", "cache-control: no-cache", "x-accel-buffering: no"] {
        assert!(one.head.contains(line), "{}", one.head);
    }
    let snapshot = one.next().json();
    assert_eq!(snapshot["type"], "STATE_SNAPSHOT");
    let id = snapshot["snapshot"]["houmao"]["connectionId"].as_str().unwrap().to_owned();
    assert!(one.head.contains(&format!("agents-connection-id: {id}")), "{}", one.head);
    assert_eq!(two.next().json()["snapshot"]["houmao"]["gateway"]["admission"], "open");

    let answer = publish(&live, &json!({ "threadId": "t1", "events": [custom(&json!(1)), custom(&json!(2))] }));
    let expected = json!({ "status": "accepted", "acceptedCount": 2, "storedCount": 0, "deliveredCount": 2,
        "replay": "none", "destinationKind": "thread", "threadId": "t1" });
    assert_eq!(answer, expected);
    assert_eq!((one.next().json()["value"].clone(), one.next().json()["value"].clone()), (json!(1), json!(2)));
    let answer = publish(&live, &json!({ "events": [custom(&json!(3))] }));
    assert_eq!(answer["warnings"], json!(["default_sink_due_to_no_destination"]));
    assert_eq!((&answer["deliveredCount"], &answer["destinationKind"]), (&json!(0), &json!("default_sink")));

    let destination = live.http.get("/v1/ag-ui/destination").ok();
    assert_eq!(destination["activeThread"], json!({ "status": "empty" }));
    assert_eq!(
        (&destination["lastSentThread"]["status"], &destination["lastSentThread"]["threadId"]),
        (&json!("sent"), &json!("t1"))
    );
    let put = |body: &Value| {
        let body = body.to_string();
        live.http.keep().send("PUT", "/v1/ag-ui/active-thread", Some(body.as_bytes())).unwrap()
    };
    let active = put(&json!({ "threadId": "t2", "source": "gui_button" })).ok();
    assert_eq!((&active["status"], &active["source"]), (&json!("active"), &json!("gui_button")));
    assert_eq!(live.http.get("/v1/ag-ui/active-thread").ok(), active);
    assert_eq!(publish(&live, &json!({ "events": [custom(&json!(4))] }))["destinationKind"], "active_thread");
    assert_eq!(two.next().json()["value"], 4);
    assert_eq!(live.http.delete("/v1/ag-ui/active-thread?threadId=t1").ok()["status"], "active");
    assert_eq!(live.http.delete("/v1/ag-ui/active-thread?threadId=t2").ok()["status"], "empty");
    for wrong in [
        json!({ "threadId": " ", "source": "manual" }),
        json!({ "threadId": "t" }),
        json!({ "threadId": "t", "source": "me" }),
        json!([]),
    ] {
        not_ok(&put(&wrong), "ag_ui_active_thread_invalid");
    }

    let path = format!("/v1/ag-ui/connections/{id}");
    let detached = live.http.delete(&path).ok();
    assert_eq!(
        (&detached["status"], &detached["connectionId"], &detached["detached"]),
        (&json!("detached"), &json!(id), &json!(true))
    );
    assert!(!one.within(crate::support::PATIENCE).1, "its stream has ended");
    let gone = live.http.delete(&path);
    assert_eq!(
        (gone.status, &gone.json()["status"], &gone.json()["detached"]),
        (404, &json!("not_found"), &json!(false))
    );
    drop(two);
    eventually("the reader that left to be forgotten", || {
        match publish(&live, &json!({ "threadId": "t2", "events": [custom(&json!(5))] })) {
            answer if answer["warnings"] == json!(["no_reader_is_connected"]) => Ok(()),
            answer => Err(answer.to_string()),
        }
    });
}

#[test]
fn what_is_no_batch_no_thread_and_no_input_is_refused() {
    let live = Live::new(&[]);
    let send = |body: &Value| live.http.post("/v1/ag-ui/events", body);
    not_ok(&send(&json!({ "events": [] })), "ag_ui_batch_empty");
    not_ok(&send(&json!({ "event": [] })), "ag_ui_batch_invalid");
    not_ok(&send(&json!({ "events": vec![custom(&json!(1)); 101] })), "ag_ui_batch_too_large");
    not_ok(&send(&json!({ "events": [custom(&json!("x".repeat(300_000)))] })), "ag_ui_batch_too_large");
    not_ok(&live.http.post_bytes("/v1/ag-ui/events", b"{"), "ag_ui_batch_invalid");
    let wrong = send(
        &json!({ "events": [custom(&json!(1)), { "type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "" }] }),
    );
    not_ok(&wrong, "ag_ui_event_invalid");
    assert_eq!((&wrong.json()["eventIndex"], &wrong.json()["field"]), (&json!(1), &json!("delta")));
    for path in ["/v1/ag-ui/connect", "/v1/ag-ui/runs"] {
        assert_eq!(live.http.post(path, &json!({ "threadId": "t" })).status, 422, "{path}");
        assert_eq!(live.http.post(path, &json!({ "thread_id": "t", "run_id": "r", "messages": [] })).status, 422);
    }
    for messages in
        [json!([]), json!([{ "role": "assistant", "content": "x" }]), json!([{ "role": "user", "content": " " }])]
    {
        let answer = live.http.post("/v1/ag-ui/runs", &json!({ "threadId": "t", "runId": "r", "messages": messages }));
        assert_eq!(
            (answer.status, answer.header("agents-error-code")),
            (422, Some("ag_ui_input_unusable")),
            "{messages}"
        );
    }
    assert_eq!(live.status()["queue_depth"], 0);
}

#[test]
fn a_slow_reader_holds_nobody_up_and_is_told_what_it_missed() {
    let live = Live::new(&[]);
    let slow = live.http.post_events("/v1/ag-ui/connect", &input("t", "x")).unwrap();
    let id = slow.next().json()["snapshot"]["houmao"]["connectionId"].as_str().unwrap().to_owned();
    drop(slow);
    // One that reads nothing at all: what the kernel holds for it is soon full.
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", live.http.port)).unwrap();
    let request = live.http.request("POST", "/v1/ag-ui/connect", Some(input("t", "x").to_string().as_bytes()));
    std::io::Write::write_all(&mut stream, &request).unwrap();
    let large = "x".repeat(200_000);
    let (mut lost, mut sent) = (0, 0);
    eventually("the first event that is dropped", || {
        let answer = publish(&live, &json!({ "threadId": "t", "events": [custom(&json!(large))] }));
        sent += 1;
        match answer["warnings"][0].as_str() {
            Some(word) if word.starts_with("dropped_") => {
                lost += 1;
                Ok(())
            }
            _ => Err(answer.to_string()),
        }
    });
    assert!(sent > 100, "{sent}: its queue comes first");
    // It begins to read, and is told where the gap is.
    let mut text = Vec::new();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    eventually("the gap", || {
        let mut part = vec![0; 1 << 20];
        let count = std::io::Read::read(&mut stream, &mut part).map_err(|error| error.to_string())?;
        text.extend_from_slice(&part[..count]);
        let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(1 << 20)..]).into_owned();
        if tail.contains("agents.events.dropped") && tail.contains("\"droppedCount\":1") {
            Ok(())
        } else {
            Err(format!("{} bytes", text.len()))
        }
    });
    assert_eq!(live.http.delete(&format!("/v1/ag-ui/connections/{id}")).status, 404);
}

#[test]
fn a_run_is_told_from_its_start_to_its_end() {
    let live = Live::new(&["work=50"]);
    let run = live.http.post_events("/v1/ag-ui/runs", &input("t", "do it")).unwrap();
    let events = told(&run);
    let expected = [
        "RUN_STARTED",
        "CUSTOM",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "CUSTOM",
        "RUN_FINISHED",
    ];
    assert_eq!(types(&events), expected, "{events:#?}");
    assert_eq!((&events[0]["threadId"], &events[0]["runId"]), (&json!("t"), &json!("run-1")));
    let reply = events.iter().find(|event| event["type"] == "TEXT_MESSAGE_CONTENT").unwrap();
    assert!(reply["delta"].as_str().unwrap().contains("reply 1"), "{reply}");
    let last = events.last().unwrap();
    let request = last["result"]["gatewayRequestId"].as_str().unwrap();
    let result =
        json!({ "gatewayRequestId": request, "gatewayRequestState": "completed", "targetTransportFamily": "tui" });
    assert_eq!(last["result"], result);
    assert_eq!(live.shown(request)["prompt"], "do it");
    let receipts: Vec<&str> = events
        .iter()
        .filter(|event| event["name"] == "houmao.gateway.event")
        .filter_map(|event| event["value"]["receipt"].as_str())
        .collect();
    assert_eq!(receipts.first(), Some(&"queued"));
    assert!(receipts.ends_with(&["turn_ended"]), "{receipts:?}");
    assert!(!run.within(crate::support::PATIENCE).1, "the stream has ended");
    // What it tells is of the protocol itself: it could be published again.
    publish(&live, &json!({ "events": events }));
}

#[test]
fn a_run_is_alone_and_goes_on_without_its_reader() {
    let live = Live::new(&["draft=somebody thinks"]);
    let run = live.http.post_events("/v1/ag-ui/runs", &input("t", "first")).unwrap();
    run.until("that it waits", |event| event.comment.is_none() && event.json()["value"]["reason"] == "draft");
    let busy = live.http.post("/v1/ag-ui/runs", &input("t", "second"));
    assert_eq!((busy.status, busy.header("agents-error-code")), (409, Some("ag_ui_busy")));
    drop(run);
    let busy = live.http.post("/v1/ag-ui/runs", &input("t", "second"));
    assert_eq!(busy.status, 409, "it still waits in the queue: {busy:?}");
    live.keys(&["C-c"]);
    live.log.wait_for(1);
    live.drained(crate::support::PATIENCE);
    assert_eq!(live.log.texts(), ["first"]);
    // Taken back while it waits: the run fails.
    live.keys(&["x"]);
    live.world.shows(&live.agent.pane, "x");
    let run = eventually("another run", || {
        live.http.post_events("/v1/ag-ui/runs", &input("t", "never")).map_err(|answer| answer.body)
    });
    let waits =
        run.until("that it waits", |event| event.comment.is_none() && event.json()["value"]["receipt"] == "deferred");
    let request = waits.json()["value"]["gatewayRequestId"].as_str().unwrap().to_owned();
    live.http.delete(&format!("/v1/requests/{request}")).ok();
    let last = told(&run).pop().unwrap();
    assert_eq!(
        (&last["type"], &last["code"]),
        (&json!("RUN_ERROR"), &json!("houmao_gateway_request_failed")),
        "{last}"
    );
    assert_eq!(live.log.texts(), ["first"]);
    // Without the agent nothing is taken.
    let pid: u32 =
        live.world.tmux(&["display-message", "-p", "-t", &live.agent.pane, "#{pane_pid}"]).trim().parse().unwrap();
    live.world.tmux(&["set-option", "-t", &live.agent.session, "remain-on-exit", "on"]);
    signal(pid, Signal::KILL);
    // Until its end was noticed, a run may still begin.
    eventually("a closed gateway", || match live.http.post_events("/v1/ag-ui/runs", &input("t", "x")) {
        Err(answer) if answer.status == 503 => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn the_end_of_the_gateway_is_told_to_every_stream() {
    let live = Live::new(&["draft=somebody thinks"]);
    let connection = live.http.post_events("/v1/ag-ui/connect", &input("t", "x")).unwrap();
    let run = live.http.post_events("/v1/ag-ui/runs", &input("t", "later")).unwrap();
    run.until("that it waits", |event| event.comment.is_none() && event.json()["value"]["receipt"] == "deferred");
    live.world.agents(&["gateway", "detach", "--agent-id", &live.agent.id]).ok();
    let last = told(&run).pop().unwrap();
    assert_eq!((&last["type"], &last["code"]), (&json!("RUN_ERROR"), &json!("houmao_run_stream_failed")), "{last}");
    assert!(!connection.within(crate::support::PATIENCE).1, "its stream has ended");
}

#[test]
fn a_run_of_claude_ends_with_its_reply() {
    let Some(agent) = Steered::new(Tool::Claude) else { return };
    let run = eventually("a run", || {
        agent.http.post_events("/v1/ag-ui/runs", &input("t", "say hello there")).map_err(|answer| answer.body)
    });
    let events = told(&run);
    let reply =
        events.iter().find(|event| event["type"] == "TEXT_MESSAGE_CONTENT").unwrap_or_else(|| panic!("{events:#?}"));
    assert_eq!(reply["delta"], "hello there");
    assert_eq!(events.last().unwrap()["type"], "RUN_FINISHED", "{events:#?}");
}

#[test]
fn the_command_line_publishes_events() {
    let live = Live::new(&[]);
    let reader = live.http.post_events("/v1/ag-ui/connect", &input("t", "x")).unwrap();
    reader.next();
    let file = live.world.path().join("events.json");
    let place = file.to_str().unwrap();
    let run = |words: &[&str]| {
        live.world.agents(&[&["gateway", "ag-ui", "publish", "--agent-id", &live.agent.id], words].concat())
    };
    for (text, value) in [
        (custom(&json!("one")).to_string(), "one"),
        (json!([custom(&json!("two"))]).to_string(), "two"),
        (json!({ "threadId": "elsewhere", "events": [custom(&json!("three"))] }).to_string(), "three"),
    ] {
        std::fs::write(&file, text).unwrap();
        let answer = run(&["--json", "--input", place, "--thread-id", "t"]).json();
        assert_eq!((&answer["acceptedCount"], &answer["deliveredCount"]), (&json!(1), &json!(1)), "{answer}");
        assert_eq!(reader.next().json()["value"], value);
    }
    let shown = run(&["--input", place, "--run-id", "nobody", "--thread-id", "t"]);
    assert!(shown.stderr.contains("no reader is connected"), "{shown:?}");
    run(&["--input", "missing.json"]).fails(2, "cannot be read", "stdin");
    std::fs::write(&file, "{").unwrap();
    run(&["--input", place]).fails(2, "not JSON", "nothing was sent");
    std::fs::write(&file, "7").unwrap();
    run(&["--input", place]).fails(2, "no event", "list");
    std::fs::write(&file, r#"{"type":"NO"}"#).unwrap();
    run(&["--input", place]).fails(2, "event 0, `type`: the protocol has no such event", "nothing was done");
    run(&[]).fails(2, "--input", "");
}

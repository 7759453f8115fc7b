//! Commands that follow a request: how they wait, watch, list and take back. The gateway here is one of the test's own,
//! so that each answer comes when the test wants it.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::process::Signal;
use serde_json::json;

use crate::support::one_request::{ID, TURN, accepted, detail, events, of, request};
use crate::support::{Heard, Reply, StandIn, World, eventually, signal};

/// A gateway whose journal grows by one receipt each time somebody reads the events.
fn growing(
    steps: &'static [&'static str],
    states: &'static [(&'static str, &'static str)],
) -> impl Fn(&Heard) -> Reply {
    let known = AtomicUsize::new(1);
    move |heard| {
        if heard.method == "POST" {
            return Reply::Json(200, accepted(3));
        }
        if heard.path.starts_with("/v1/events") {
            let after = heard.header("last-event-id").unwrap().parse().unwrap();
            let count = known.fetch_add(1, Ordering::SeqCst) + 1;
            let text = events(&steps[..count.min(steps.len())], after);
            // The last one stays open, the others break off.
            return if count >= steps.len() { Reply::EventsAndSilence(text) } else { Reply::Events(text) };
        }
        let now = &steps[..known.load(Ordering::SeqCst).min(steps.len())];
        let last = now.last().unwrap().split(' ').next().unwrap();
        let state = states.iter().find(|(receipt, _)| *receipt == last).map_or("accepted", |(_, state)| state);
        Reply::Json(200, detail(state, now))
    }
}

const STATES: &[(&str, &str)] = &[
    ("typing", "running"),
    ("typed", "running"),
    ("submitted", "completed"),
    ("turn_started", "completed"),
    ("turn_ended", "completed"),
    ("refused", "failed"),
    ("indeterminate", "failed"),
];

#[test]
fn a_wait_ends_with_its_receipt_however_often_the_connection_breaks() {
    let world = World::new();
    let agent = world.launch("alpha");
    let wait = |until: &str, more: &[&str]| {
        let _gateway = StandIn::new(&world, &agent, growing(TURN, STATES));
        let words = [&["gateway", "prompt", "--prompt", "x", until], more].concat();
        world.agents(&of(&words, &agent))
    };
    let run = wait("--wait", &["-v"]);
    let notes: Vec<&str> = run.stderr.lines().collect();
    let expected = ["queued · 2 ahead", "deferred: the pane is in copy mode", "typing", "typed", "submitted"];
    assert_eq!(notes, expected.map(|step| format!("note: {step}")), "{run:#?}");
    assert_eq!(run.ok(), format!("request  {ID}\nstate    completed\nreceipt  submitted\n"));

    let run = wait("--wait=started", &[]);
    assert_eq!(run.stderr, "", "without a terminal only who asks hears more");
    assert_eq!(run.ok(), format!("request  {ID}\nstate    completed\nreceipt  turn started\n"));

    assert_eq!(wait("--wait=ended", &[]).ok(), "four\n", "the reply, and nothing else");

    let document = wait("--wait=ended", &["--json"]).json();
    assert_eq!(
        (&document["request_id"], &document["state"], &document["reply"]),
        (&json!(ID), &json!("completed"), &json!("four\n"))
    );
    let steps: Vec<&str> =
        document["receipts"].as_array().unwrap().iter().map(|one| one["receipt"].as_str().unwrap()).collect();
    assert_eq!(steps, TURN.iter().map(|step| step.split(' ').next().unwrap()).collect::<Vec<_>>());
}

#[test]
fn a_wait_that_cannot_reach_its_goal_says_why() {
    let world = World::new();
    let agent = world.launch("alpha");
    let cases: [(&'static [&'static str], &str, i32, &str, &str); 3] = [
        (
            &["queued", "refused expired it waited longer than 5 s"],
            "--wait",
            8,
            "(expired): it waited",
            "requests show",
        ),
        (&["queued", "typing", "indeterminate server_lost tmux ended"], "--wait", 9, "(server_lost): tmux", "look at"),
        (
            &["queued", "submitted", "indeterminate agent_ended gone"],
            "--wait=ended",
            9,
            "(agent_ended): gone",
            "look at",
        ),
    ];
    for (steps, until, status, error, hint) in cases {
        let _gateway = StandIn::new(&world, &agent, growing(steps, STATES));
        let run = world.agents(&of(&["gateway", "prompt", "--prompt", "x", until], &agent)).fails(status, error, hint);
        assert!(run.stderr.contains(ID), "{run:#?}");
    }
    let waits = &["queued", "deferred draft somebody is typing"];
    let _gateway = StandIn::new(&world, &agent, |heard| match heard.path.as_str() {
        "/v1/requests" => Reply::Json(200, accepted(1)),
        path if path.starts_with("/v1/events") => Reply::EventsAndSilence(": following\n\n".to_owned()),
        _ => Reply::Json(200, detail("accepted", waits)),
    });
    let words = ["gateway", "prompt", "--prompt", "x", "--wait=started", "--timeout", "300ms"];
    let error =
        format!("request `{ID}` has no receipt `turn_started` yet; the last one is deferred: somebody is typing");
    world.agents(&of(&words, &agent)).fails(10, &error, "requests watch");
}

#[test]
fn a_wait_outlives_lost_answers_and_a_journal_that_begins_anew() {
    let world = World::new();
    let agent = world.launch("alpha");
    let looks = AtomicUsize::new(0);
    let gateway = StandIn::new(&world, &agent, move |heard| match heard.path.as_str() {
        "/v1/requests" => Reply::Json(200, accepted(1)),
        path if path.starts_with("/v1/events") => {
            Reply::Json(409, json!({"detail": "the cursor is of another journal"}))
        }
        _ => match looks.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::HangUp,
            1 => Reply::Json(503, json!({"detail": "the store is busy"})),
            2 | 3 => Reply::Json(200, detail("accepted", &["queued"])),
            _ => Reply::Json(200, detail("completed", &["queued", "typing", "submitted"])),
        },
    });
    world.agents(&of(&["gateway", "prompt", "--prompt", "x", "--wait"], &agent)).ok();
    assert!(gateway.heard().iter().any(|heard| heard.path.starts_with("/v1/events?request_id=")));
}

#[test]
fn an_interrupt_is_over_when_it_was_done() {
    let world = World::new();
    let agent = world.launch("alpha");
    let _gateway = StandIn::new(&world, &agent, |heard| {
        let mut answer = if heard.method == "POST" { accepted(4) } else { detail("completed", &["queued", "typed"]) };
        answer["request_kind"] = json!("interrupt");
        Reply::Json(200, answer)
    });
    let run = world.agents(&of(&["gateway", "interrupt", "--wait", "--timeout", "20s", "-v"], &agent));
    assert!(run.stderr.starts_with("note: queued\nnote: typed\n"), "it waits behind nobody: {run:#?}");
    assert_eq!(run.ok(), format!("request  {ID}\nstate    completed\nreceipt  typed\n"));
}

#[test]
fn ctrl_c_ends_the_wait_and_not_the_request() {
    let world = World::new();
    let agent = world.launch("alpha");
    let gateway = StandIn::new(&world, &agent, |heard| match heard.path.as_str() {
        "/v1/requests" => Reply::Json(200, accepted(1)),
        path if path.starts_with("/v1/events") => Reply::EventsAndSilence(": following\n\n".to_owned()),
        _ => Reply::Json(200, detail("accepted", &["queued"])),
    });
    let commands: [&[&str]; 3] = [
        &["gateway", "prompt", "--prompt", "x", "--wait"],
        &["gateway", "requests", "watch", ID],
        &["gateway", "requests", "watch"],
    ];
    for words in commands {
        let before = gateway.heard().len();
        let mut command = world.command(World::program());
        command.args(of(words, &agent)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        eventually("the wait to begin", || {
            let heard = gateway.heard();
            let begun = heard[before..].iter().any(|heard| heard.path.starts_with("/v1/events"));
            if begun { Ok(()) } else { Err(format!("{heard:#?}")) }
        });
        signal(child.id(), Signal::INT);
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{words:?}: {said}");
        if words != ["gateway", "requests", "watch"] {
            assert!(said.contains(&format!("note: request `{ID}`: it goes on")), "{said}");
            assert!(said.contains(&format!("`agents gateway requests cancel {ID} --agent-id {}`", agent.id)), "{said}");
        }
        assert!(!gateway.heard().iter().any(|heard| heard.method == "DELETE"));
    }
}

#[test]
fn watch_shows_every_receipt_once_and_goes_on_where_it_stood() {
    let world = World::new();
    let agent = world.launch("alpha");
    let steps = &TURN[..4];
    let opened = AtomicUsize::new(0);
    let gateway = StandIn::new(&world, &agent, move |_| match opened.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Events(": following\nid: 0\n\n".to_owned()),
        1 => Reply::Events(events(&steps[..2], 0)),
        2 => Reply::Json(503, json!({"detail": "the store is busy"})),
        _ => Reply::EventsAndSilence(
            events(steps, 2) + "id: 5\nevent: admission\ndata: {\"id\":5,\"kind\":\"admission\",\"at_utc\":\"T\"}\n\n",
        ),
    });
    let mut command = world.command(World::program());
    command.args(of(&["gateway", "requests", "watch"], &agent)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap()).lines().take(5).map(Result::unwrap).collect();
    // Nobody reads any more: the next line ends it. It would wait for one for ever, so it is ended.
    signal(child.id(), Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let expected = [
        format!("2026-11-21T11:58:26.001Z  {ID}  queued"),
        format!("2026-11-21T11:58:26.002Z  {ID}  deferred  copy_mode: the pane is in copy mode"),
        format!("2026-11-21T11:58:26.003Z  {ID}  typing"),
        format!("2026-11-21T11:58:26.004Z  {ID}  typed"),
        "T  -  admission".to_owned(),
    ];
    assert_eq!(lines, expected);
    let places: Vec<_> = gateway.heard().iter().map(|heard| heard.header("last-event-id")).collect();
    let place = |text: &str| Some(text.to_owned());
    assert_eq!(places, [None, place("0"), place("2"), place("2")]);
}

#[test]
fn watch_of_one_request_ends_with_it() {
    let world = World::new();
    let agent = world.launch("alpha");
    {
        let _gateway = StandIn::new(&world, &agent, growing(TURN, STATES));
        let shown = world.agents(&of(&["gateway", "requests", "watch", ID], &agent)).ok();
        assert_eq!(shown.lines().count(), TURN.len(), "{shown}");
        assert!(shown.ends_with("2026-11-21T11:58:26.007Z  turn_ended\n"), "{shown}");
        let document = world.agents(&of(&["gateway", "requests", "watch", ID, "--json"], &agent)).json();
        assert_eq!(document["receipts"].as_array().unwrap().len(), TURN.len());
    }
    let _gateway = StandIn::new(&world, &agent, growing(&["queued", "refused cancelled taken back"], STATES));
    let run = world.agents(&of(&["gateway", "requests", "watch", ID], &agent));
    assert_eq!((run.status, run.stdout.lines().count()), (8, 2), "{run:#?}");
    assert!(run.stderr.contains("was refused (cancelled): taken back"), "{run:#?}");
}

#[test]
fn requests_are_listed_shown_and_taken_back() {
    let world = World::new();
    let agent = world.launch("alpha");
    let gateway = StandIn::new(&world, &agent, |heard| match heard.call().as_str() {
        "GET /v1/requests?limit=50" => {
            let mut interrupt = request("completed", "submitted");
            interrupt["request_kind"] = json!("interrupt");
            interrupt["prompt"] = json!(null);
            let mut evil = request("accepted", "deferred");
            evil["prompt"] = json!("\u{1b}]0;owned\u{7} and a very long line that does not fit into any table at all");
            Reply::Json(200, json!({"requests": [request("accepted", "queued"), interrupt, evil], "next_before": 3}))
        }
        "GET /v1/requests?limit=2&state=failed" => Reply::Json(200, json!({"requests": [], "next_before": null})),
        call if call.starts_with("GET /v1/requests/") => {
            let mut one = detail("completed", TURN);
            one["finished_at_utc"] = json!("2026-11-21T11:58:30+00:00");
            Reply::Json(200, one)
        }
        call if call.starts_with("DELETE ") => Reply::Json(200, request("failed", "refused")),
        other => Reply::Json(500, json!({ "detail": other })),
    });
    let run = world.agents(&of(&["gateway", "requests", "list"], &agent));
    assert!(run.stderr.contains("note: there are older ones; --limit shows more"), "{run:#?}");
    let table = run.ok();
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect()).collect();
    assert_eq!(rows[0], ["ID", "KIND", "STATE", "RECEIPT", "ACCEPTED", "PROMPT"]);
    assert_eq!(rows[1], [ID, "submit_prompt", "accepted", "queued", "2026-11-21T11:58:26+00:00", "hello…"]);
    assert_eq!(rows[2], [ID, "interrupt", "completed", "submitted", "2026-11-21T11:58:26+00:00"]);
    assert!(rows[3][5].starts_with("\\u{1b}]0;owned\\u{7} and") && rows[3][5].ends_with('…'), "{rows:?}");
    assert!(!table.contains('\u{1b}'), "{table}");
    let run = world.agents(&of(&["gateway", "requests", "list", "--state", "failed", "--limit", "2"], &agent));
    assert!(run.stderr.contains("note: no requests"), "{run:#?}");
    let document = world.agents(&of(&["gateway", "requests", "list", "--json"], &agent)).json();
    assert_eq!((document["requests"].as_array().unwrap().len(), &document["next_before"]), (3, &json!(3)));

    let shown = world.agents(&of(&["gateway", "requests", "show", ID], &agent)).ok();
    for line in [
        &format!("request   {ID}"),
        "kind      submit_prompt, by queue",
        "state     completed",
        "finished  2026-11-21T11:58:30+00:00",
        "prompt    hello… (11 bytes)",
        "2026-11-21T11:58:26.002Z  deferred  copy_mode: the pane is in copy mode",
        "2026-11-21T11:58:26.007Z  turn_ended",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
    }
    let document = world.agents(&of(&["gateway", "requests", "show", ID, "--json"], &agent)).json();
    assert_eq!(document["receipts"][6]["evidence"]["reply"], "four\n");

    let taken = world.agents(&of(&["gateway", "requests", "cancel", ID], &agent)).ok();
    assert_eq!(taken, format!("request  {ID}\nstate    failed\nreceipt  refused\n"));
    assert_eq!(gateway.heard().pop().unwrap().call(), format!("DELETE /v1/requests/{ID}"));
}

#[test]
fn on_a_terminal_one_line_is_written_over_with_each_receipt() {
    let world = World::new();
    let agent = world.launch("alpha");
    let step = Arc::new(AtomicUsize::new(2));
    let now = step.clone();
    let _gateway = StandIn::new(&world, &agent, move |heard| {
        let known = &TURN[..now.load(Ordering::SeqCst)];
        let state = if known.len() >= 5 { "completed" } else { "accepted" };
        match heard.path.as_str() {
            "/v1/requests" => Reply::Json(200, accepted(3)),
            path if path.starts_with("/v1/events") => Reply::Events(String::new()),
            _ => Reply::Json(200, detail(state, known)),
        }
    });
    let command = format!(
        "{} --home {} --tmux-socket {} gateway prompt --prompt x --wait --agent-id {}; echo [end]; sleep 1000",
        World::program().display(),
        world.home().display(),
        world.socket().display(),
        agent.id
    );
    world.tmux(&["new-session", "-d", "-s", "terminal", "-x", "40", "-y", "10", &command]);
    let shows = |what: &str, fits: &dyn Fn(&str) -> bool| {
        eventually(what, || match world.tmux(&["capture-pane", "-p", "-t", "=terminal:"]) {
            screen if fits(&screen) => Ok(screen),
            screen => Err(screen),
        })
    };
    let screen = shows("the reason", &|screen| screen.starts_with("deferred: the pane is in copy mode"));
    assert_eq!(screen.trim().lines().count(), 1, "{screen}");
    step.store(3, Ordering::SeqCst);
    let screen = shows("the next step", &|screen| screen.starts_with("typing"));
    assert_eq!(screen.trim(), "typing");
    step.store(5, Ordering::SeqCst);
    let screen = shows("the end", &|screen| screen.contains("[end]"));
    assert_eq!(screen.trim(), format!("request  {ID}\nstate    completed\nreceipt  submitted\n[end]"));
}

//! The command line of prompts: what it sends, what it makes of every answer, and how it waits. The gateway here is
//! one of the test's own, so that each answer comes when the test wants it.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Agent, Heard, Reply, Run, StandIn, World, eventually, signal};

const ID: &str = "gwreq-20261121-115826Z-5508dee7";

fn accepted(depth: u64) -> Value {
    json!({
        "request_id": ID, "request_kind": "submit_prompt", "state": "accepted",
        "accepted_at_utc": "2026-11-21T11:58:26+00:00", "queue_depth": depth, "managed_agent_instance_epoch": 1,
    })
}

fn request(state: &str, receipt: &str) -> Value {
    json!({
        "request_id": ID, "request_kind": "submit_prompt", "route": "queue", "state": state, "receipt": receipt,
        "accepted_at_utc": "2026-11-21T11:58:26+00:00", "started_at_utc": null, "finished_at_utc": null,
        "expires_at_utc": null, "managed_agent_instance_epoch": 1, "prompt": "hello\nworld", "error_detail": null,
        "result": null, "sequence": 3,
    })
}

/// A journal of receipts: `queued`, `deferred copy_mode the pane is in copy mode`.
fn receipts(steps: &[&str]) -> Vec<Value> {
    let receipt = |(at, step): (usize, &&str)| {
        let mut words = step.splitn(3, ' ');
        let (receipt, reason, detail) = (words.next(), words.next(), words.next());
        let evidence = (receipt == Some("turn_ended")).then(|| json!({"reply": "four\n"}));
        json!({
            "id": at + 1, "receipt": receipt, "reason": reason, "detail": detail, "evidence": evidence,
            "at_utc": format!("2026-11-21T11:58:26.{:03}Z", at + 1),
        })
    };
    steps.iter().enumerate().map(receipt).collect()
}

fn detail(state: &str, steps: &[&str]) -> Value {
    let last = steps.last().and_then(|step| step.split(' ').next()).unwrap_or("queued");
    let mut detail = request(state, last);
    detail["receipts"] = json!(receipts(steps));
    detail
}

/// The same journal as events, from this place on.
fn events(steps: &[&str], after: usize) -> String {
    let event = |receipt: &Value| {
        let mut data = receipt.clone();
        data["request_id"] = json!(ID);
        data["kind"] = json!("receipt");
        format!("id: {}\nevent: receipt\ndata: {data}\n\n", data["id"])
    };
    receipts(steps).iter().skip(after).map(event).collect()
}

/// Runs with this text on stdin.
fn with_stdin(world: &World, words: &[&str], text: &[u8]) -> Run {
    let path = world.path().join("stdin");
    std::fs::write(&path, text).unwrap();
    world.agents_as(words, |command| {
        command.stdin(File::open(&path).unwrap());
    })
}

/// The words with this agent's selector behind them.
fn of<'a>(words: &[&'a str], agent: &'a Agent) -> Vec<&'a str> {
    [words, &["--agent-id", &agent.id]].concat()
}

#[test]
fn wrong_words_are_refused_before_anybody_is_asked() {
    let world = World::new();
    let prompt = &["gateway", "prompt", "--agent-id", "x"][..];
    let direct = &["prompt", "--agent-id", "x"][..];
    for (words, more, error, hint) in [
        (prompt, &[][..], "the prompt is empty", "--prompt TEXT"),
        (prompt, &["--prompt", ""], "the prompt is empty", "--prompt TEXT"),
        (prompt, &["--prompt", " \n"], "the prompt is empty", "--prompt TEXT"),
        (direct, &[], "the prompt is empty", "--prompt TEXT"),
        (prompt, &["--prompt"], "--prompt", ""),
        (prompt, &["--prompt", "x", "--admission-policy", "never"], "'never'", ""),
        (prompt, &["--prompt", "x", "--admission-policy", "ready_only"], "ready_only", "ready-only"),
        (prompt, &["--prompt", "x", "--wait=forever"], "forever", ""),
        (prompt, &["--prompt", "x", "--wait", "submitted"], "'submitted'", "usage: agents gateway prompt"),
        (prompt, &["--prompt", "x", "--wait", "--timeout", "soon"], "a whole number and a unit", ""),
        (prompt, &["--prompt", "x", "--wait", "--timeout", "0"], "longer than nothing", ""),
        (prompt, &["--prompt", "x", "--timeout", "5s"], "--wait", "usage: agents gateway prompt"),
        (prompt, &["--prompt", "x", "--wait", "--admission-policy", "always"], "cannot be used with", ""),
        (prompt, &["--prompt", "x", "--expires-in", "5s", "--admission-policy", "always"], "cannot be used with", ""),
        (prompt, &["--prompt", "x", "--expires-in", "31d"], "1 second to 30 days", ""),
        (prompt, &["--prompt", "x", "--expires-in", "500ms"], "1 second to 30 days", ""),
        (prompt, &["--prompt", "x", "--idempotency-key", "a b"], "1 to 128 visible ASCII", ""),
        (prompt, &["--prompt", "x", "--new-chat"], "--admission-policy", ""),
        (direct, &["--prompt", "x", "--timeout", "1 s"], "a whole number and a unit", ""),
        (&["gateway", "interrupt", "--agent-id", "x"], &["--timeout", "5s"], "--wait", ""),
        (&["gateway", "send-keys", "--agent-id", "x"], &[], "--sequence", "usage: agents gateway send-keys"),
        (&["gateway", "send-keys", "--agent-id", "x"], &["--sequence", ""], "the sequence is empty", "--sequence"),
        (
            &["gateway", "send-keys", "--agent-id", "x"],
            &["--sequence", "a<[F1]>"],
            "`<[F1]>` at character 1",
            "--escape",
        ),
        (&["gateway", "requests"], &[], "needs a command", "agents gateway requests --help"),
        (&["gateway", "requests", "list", "--agent-id", "x"], &["--limit", "501"], "501", ""),
        (&["gateway", "requests", "list", "--agent-id", "x"], &["--limit", "0"], "0 is not in", ""),
        (&["gateway", "requests", "list", "--agent-id", "x"], &["--state", "done"], "'done'", ""),
        (&["gateway", "requests", "show", "--agent-id", "x"], &[], "<ID>", ""),
        (&["gateway", "requests", "show", "--agent-id", "x"], &["../x"], "is not a request id", ""),
        (&["gateway", "requests", "watch", "--agent-id", "x"], &["--json"], "never ends", "name one request"),
        (&["gateway", "reconcile", "--agent-id", "x"], &[], "--keep", "usage: agents gateway reconcile"),
        (&["gateway", "reconcile", "--agent-id", "x"], &["--keep", "--drop"], "cannot be used with", ""),
    ] {
        let words = [words, more].concat();
        let run = world.agents(&words);
        if words.contains(&"--json") {
            assert_eq!(run.status, 2, "{run:#?}");
            assert!(run.stdout.contains(error) && run.stdout.contains(hint), "{run:#?}");
            continue;
        }
        let run = run.fails(2, error, hint);
        assert_eq!(run.stderr.lines().count(), 2, "{run:#?}");
    }
}

#[test]
fn a_prompt_that_is_no_text_or_too_long_is_refused_with_the_numbers() {
    let world = World::new();
    let words = &["gateway", "prompt", "--agent-id", "x"];
    with_stdin(&world, words, b"ab\xc3\x28").fails(2, "not UTF-8: byte 2 ", "iconv");
    with_stdin(&world, words, &[b"x".repeat(524_288), b"yz\n".to_vec()].concat()).fails(
        2,
        "the prompt has 524290 bytes; at most 524288 are taken",
        "file",
    );
    with_stdin(&world, words, b"\n").fails(2, "the prompt is empty", "stdin");
    // A text that can be taken comes as far as the question who is meant.
    with_stdin(&world, words, &[b"x".repeat(524_288), b"\n".to_vec()].concat()).fails(3, "no agent has the id `x`", "");
}

#[test]
fn a_terminal_as_stdin_is_no_prompt() {
    let world = World::new();
    world.server_with(&[]);
    let shown = world.path().join("shown");
    let command =
        format!("{} prompt --agent-id x >{1} 2>&1; echo done >>{1}", World::program().display(), shown.display());
    world.tmux(&["new-session", "-d", "-s", "terminal", &command]);
    eventually("the command to end", || match std::fs::read_to_string(&shown) {
        Ok(text) if text.contains("done") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let text = std::fs::read_to_string(&shown).unwrap();
    assert!(text.contains("error: there is no prompt: --prompt is missing, and stdin is a terminal"), "{text}");
}

#[test]
fn without_a_gateway_every_command_says_how_to_get_one() {
    let world = World::new();
    let agent = world.launch("alpha");
    for words in [
        &["gateway", "prompt", "--prompt", "x"][..],
        &["gateway", "prompt", "--prompt", "x", "--wait"],
        &["gateway", "prompt", "--prompt", "x", "--admission-policy", "always"],
        &["gateway", "interrupt"],
        &["gateway", "send-keys", "--sequence", "x"],
        &["gateway", "requests", "list"],
        &["gateway", "requests", "show", ID],
        &["gateway", "requests", "cancel", ID],
        &["gateway", "requests", "watch"],
        &["gateway", "reconcile", "--drop"],
    ] {
        world.agents(&[words, &["--agent-name", "alpha"]].concat()).fails(
            6,
            "no live gateway answers for agent `alpha`: none is attached",
            "`agents gateway attach --agent-name alpha` starts one",
        );
        world.agents(&[words, &["--agent-id", "nobody"]].concat()).fails(3, "no agent has the id `nobody`", "list");
    }
    world.attach(&agent);
    world.kill_gateways();
    world.agents(&of(&["gateway", "requests", "list"], &agent)).fails(6, "ended without a goodbye", "gateway attach");
}

#[test]
fn a_prompt_arrives_at_the_gateway_byte_for_byte() {
    let world = World::new();
    let agent = world.launch("alpha");
    let gateway = StandIn::new(&world, &agent, |_| Reply::Json(200, accepted(3)));
    let token = std::fs::read_to_string(agent.root.join("gateway/run/token")).unwrap();
    let words = of(&["gateway", "prompt"], &agent);
    for (text, expected) in [
        ("hello\n", "hello"),
        ("hello\n\n", "hello\n"),
        (" two \t words ", " two \t words "),
        ("/clear", "/clear"),
        ("שלום 你好 👩‍👩‍👧\r\n-- ; \\", "שלום 你好 👩‍👩‍👧\r\n-- ; \\"),
    ] {
        with_stdin(&world, &words, text.as_bytes()).ok();
        let heard = gateway.heard().pop().unwrap();
        assert_eq!(heard.call(), "POST /v1/requests");
        assert_eq!(heard.body["kind"], "submit_prompt");
        assert_eq!(heard.body["payload"]["prompt"], expected);
        assert_eq!(heard.header("authorization").unwrap(), format!("bearer {}", token.trim().to_lowercase()));
        assert_eq!(heard.header("agents-expires-in"), None);
    }
    // A text with a dash in front is a text, not a flag.
    for text in ["--json", "-", "--", "- one\n- two"] {
        let run = world.agents(&of(&["gateway", "prompt", "--prompt", text], &agent));
        assert!(run.stdout.starts_with("request  "), "{run:#?}");
        assert_eq!(gateway.heard().pop().unwrap().body["payload"]["prompt"], text);
    }
    let keys: Vec<_> = gateway.heard().iter().map(|heard| heard.header("idempotency-key").unwrap()).collect();
    let mut distinct = keys.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), keys.len(), "each prompt has a key of its own");
    let before = gateway.everything().len();
    let run = world.agents(&of(
        &["gateway", "prompt", "--prompt", "x", "--expires-in", "2h", "--idempotency-key", "job-17"],
        &agent,
    ));
    assert!(
        run.stderr.contains(&format!("note: `agents gateway requests watch {ID} --agent-id {}` ", agent.id)),
        "{run:#?}"
    );
    assert_eq!(run.ok(), format!("request  {ID}\nstate    accepted\nahead    2\n"));
    let heard = gateway.heard().pop().unwrap();
    assert_eq!(heard.header("idempotency-key").as_deref(), Some("job-17"));
    assert_eq!(heard.header("agents-expires-in").as_deref(), Some("7200s"));
    let proof = &gateway.everything()[before..];
    assert!(proof.iter().filter(|heard| heard.path == "/health").all(|heard| !heard.head.contains("authorization")));
    let document = world.agents(&of(&["gateway", "prompt", "--prompt", "x", "--json"], &agent)).json();
    assert_eq!(document, accepted(3));
}

#[test]
fn what_is_typed_at_once_goes_to_the_control_routes() {
    let world = World::new();
    let agent = world.launch("alpha");
    let gateway = StandIn::new(&world, &agent, |heard| match heard.path.as_str() {
        "/v1/control/prompt" => Reply::Json(
            200,
            json!({"status": "ok", "action": "submit_prompt", "sent": true, "detail": "typed and submitted",
                "admission_policy": heard.body["admission_policy"]}),
        ),
        "/v1/control/send-keys" => {
            Reply::Json(200, json!({"status": "ok", "action": "control_input", "detail": "2 keys"}))
        }
        "/v1/reconcile" => Reply::Json(200, json!({"action": "keep", "kept": 2, "dropped": 0, "epoch": 4})),
        _ => Reply::Json(200, accepted(1)),
    });
    let last = || gateway.heard().pop().unwrap();
    let words = &["gateway", "prompt", "--prompt", "x", "--admission-policy"];
    for (policy, name) in [("ready-only", "ready_only"), ("if-no-pending", "if_no_pending"), ("always", "always")] {
        let run = world.agents(&of(&[words, &[policy][..]].concat(), &agent));
        assert_eq!(run.ok(), "sent  typed and submitted\n");
        let body = json!({"schema_version": 2, "prompt": "x", "admission_policy": name, "chat_session": null,
            "execution": null});
        assert_eq!((last().call().as_str(), last().body), ("POST /v1/control/prompt", body));
        assert!(last().header("idempotency-key").is_some());
    }
    let run = world.agents(&of(&[words, &["ready-only", "--new-chat", "--json"][..]].concat(), &agent));
    assert_eq!(run.json()["sent"], true);
    assert_eq!(last().body["chat_session"]["mode"], "new");

    let keys = "-a<[Enter]>";
    assert_eq!(world.agents(&of(&["gateway", "send-keys", "--sequence", keys], &agent)).ok(), "sent  2 keys\n");
    assert_eq!(last().body, json!({"sequence": keys, "escape_special_keys": false}));
    let literal = &["gateway", "send-keys", "--escape-special-keys", "--json", "--sequence", "<[F1]>"];
    assert_eq!(world.agents(&of(literal, &agent)).json()["action"], "control_input");
    assert_eq!(last().body, json!({"sequence": "<[F1]>", "escape_special_keys": true}));

    world.agents(&of(&["gateway", "interrupt"], &agent)).ok();
    assert_eq!(last().call(), "POST /v1/requests");
    assert_eq!((last().body["kind"].clone(), last().body["payload"].clone()), (json!("interrupt"), json!({})));

    let run = world.agents(&of(&["gateway", "reconcile", "--keep"], &agent));
    assert_eq!(run.ok(), "kept     2\ndropped  0\nepoch    4\n");
    assert_eq!((last().call().as_str(), last().body), ("POST /v1/reconcile", json!({"action": "keep"})));
}

#[test]
fn each_refusal_of_a_gateway_has_its_exit_status_its_word_and_a_hint() {
    let world = World::new();
    let agent = world.launch("alpha");
    let answer = Arc::new(Mutex::new(Reply::HangUp));
    let next = answer.clone();
    let _gateway = StandIn::new(&world, &agent, move |_| next.lock().unwrap().clone());
    let prompt = &["gateway", "prompt", "--prompt", "x"][..];
    let show = &["gateway", "requests", "show", ID][..];
    let text = |text: &str| json!({ "detail": text });
    let refused = json!({"detail": {"status": "error", "action": "submit_prompt", "sent": false,
        "admission_policy": "ready_only", "error_code": "not_ready", "detail": "a turn is active"}});
    let invalid = json!({"detail": [{"type": "value_error", "loc": ["body", "payload", "prompt"],
        "msg": "Value error, must not be blank", "input": ""}]});
    for (words, reply, status, error, hint) in [
        (prompt, Reply::Json(409, refused), 8, "(not_ready): a turn is active", "without --admission-policy"),
        (prompt, Reply::Json(409, text("rows wait")), 8, "(conflict): rows wait", "agents gateway status"),
        (
            prompt,
            Reply::Marked(409, "agents-error-code: blocked_reconciliation", text("rows wait")),
            8,
            "(blocked_reconciliation): rows wait",
            &*format!("`agents gateway reconcile --keep --agent-id {}`", agent.id),
        ),
        (
            prompt,
            Reply::Marked(409, "agents-error-code: key_reused", text("x")),
            8,
            "(key_reused)",
            "--idempotency-key",
        ),
        (prompt, Reply::Marked(429, "retry-after: 7", text("full")), 8, "(queue_full): full", "try again in 7 s"),
        (prompt, Reply::Json(503, text("the agent is away")), 8, "(unavailable)", "agents gateway status"),
        (prompt, Reply::Json(507, text("no space left")), 8, "(disk_full): no space left", "make room"),
        (prompt, Reply::Json(413, text("too large")), 2, "too large", "nothing was done"),
        (prompt, Reply::Json(422, invalid), 2, "payload.prompt: Value error, must not be blank", "nothing was done"),
        (prompt, Reply::Json(401, text("a token is needed")), 11, "a token is needed", "user"),
        (prompt, Reply::Json(500, json!("Internal Server Error")), 1, "answered 500", "doctor"),
        (prompt, Reply::Json(404, text("Not Found")), 12, "does not know this command", "attach --restart"),
        (prompt, Reply::Json(200, json!({"request_id": 1})), 12, "not the contract's", "attach --restart"),
        (prompt, Reply::HangUp, 9, "POST /v1/requests was sent and not answered", "--idempotency-key "),
        (show, Reply::Json(404, text("no request has the id `x`")), 3, "no request has the id", "requests list"),
        (prompt, Reply::Json(504, text("it took more than 30 s")), 9, "more than 30 s", "types nothing twice"),
        (show, Reply::Json(504, text("it took more than 30 s")), 10, "more than 30 s", "agents gateway status"),
        (show, Reply::HangUp, 10, "GET /v1/requests/", "agents gateway status"),
        (
            &["gateway", "requests", "cancel", ID],
            Reply::Json(409, text("the request is running")),
            8,
            "the request is running",
            "",
        ),
        (&["gateway", "interrupt"], Reply::HangUp, 9, "whether it was done is not known", "requests list"),
        (&["gateway", "reconcile", "--drop"], Reply::Json(409, text("nothing waits")), 8, "nothing waits", ""),
    ] {
        *answer.lock().unwrap() = reply;
        let run = world.agents(&of(words, &agent)).fails(status, error, hint);
        assert_eq!(run.stderr.lines().count(), 2, "{run:#?}");
        let json = world.agents(&of(&[words, &["--json"][..]].concat(), &agent));
        let document: Value = serde_json::from_str(&json.stdout).unwrap();
        assert_eq!(json.status, status, "{json:#?}");
        assert!(document["error"]["message"].as_str().unwrap().contains(error), "{json:#?}");
    }
}

#[test]
fn a_stranger_hears_neither_the_prompt_nor_the_token() {
    let world = World::new();
    let agent = world.launch("alpha");
    let words = of(&["gateway", "prompt", "--prompt", "the secret"], &agent);
    // The first connection asks for the status; by the second one somebody else listens.
    for (proven, error) in [(0, "no live gateway answers for agent `alpha`"), (1, "it is not the recorded gateway")] {
        let gateway = StandIn::proving(proven, &world, &agent, |_| Reply::Json(200, accepted(1)));
        world.agents(&words).fails(6, error, "`agents gateway ");
        let heard = gateway.everything();
        let asked: Vec<_> = heard.iter().map(|heard| heard.path.as_str()).collect();
        let expected: &[&str] = if proven == 0 { &["/health"] } else { &["/health", "/v1/status", "/health"] };
        assert_eq!(asked, expected);
        let told_strangers: Vec<_> = heard.iter().filter(|heard| heard.path == "/health").collect();
        assert!(!told_strangers.iter().any(|heard| heard.head.contains("authorization")), "{heard:#?}");
    }
}

#[test]
fn a_gateway_of_another_program_takes_prompts_and_gives_no_receipts() {
    let world = World::new();
    let agent = world.launch("alpha");
    let gateway = StandIn::new(&world, &agent, |heard| match heard.call().as_str() {
        "POST /v1/requests" => Reply::Json(200, accepted(1)),
        _ => Reply::Json(404, json!({"detail": "Not Found"})),
    });
    // Only ours describes its owner.
    std::fs::remove_file(agent.root.join("gateway/run/owner.json")).unwrap();
    let prompt = &["gateway", "prompt", "--prompt", "x"][..];
    world.agents(&of(prompt, &agent)).ok();
    assert_eq!(gateway.heard().pop().unwrap().header("authorization"), None, "it wants no token of ours");
    let asked = gateway.heard().len();
    let wait = [prompt, &["--wait"]].concat();
    world.agents(&of(&wait, &agent)).fails(12, "does not say what becomes of a request", "leave out --wait");
    assert_eq!(gateway.heard().len(), asked, "nothing was sent that could not be followed");
    for words in [&["gateway", "requests", "list"][..], &["gateway", "requests", "show", ID]] {
        world.agents(&of(words, &agent)).fails(12, "does not know this command", "attach --restart");
    }
}

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

const TURN: &[&str] = &[
    "queued",
    "deferred copy_mode the pane is in copy mode",
    "typing",
    "typed",
    "submitted",
    "turn_started",
    "turn_ended",
];

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

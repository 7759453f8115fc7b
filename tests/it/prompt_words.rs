//! The command line of prompts: what it sends, and what it makes of every answer. The gateway here is one of the
//! test's own, so that each answer comes when the test wants it.

use std::{
    fs::File,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::support::one_request::{ID, accepted, of};
use crate::support::{Reply, Run, StandIn, World, eventually};

/// Runs with this text on stdin.
fn with_stdin(world: &World, words: &[&str], text: &[u8]) -> Run {
    let path = world.path().join("stdin");
    std::fs::write(&path, text).unwrap();
    world.agents_as(words, |command| {
        command.stdin(File::open(&path).unwrap());
    })
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

//! The instruments of the tests, tried before they are trusted.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    time::Duration,
};

use serde_json::json;

use crate::support::{Checker, Habits, Http, Sent, Told, World, eventually, free_port, port_of};

#[test]
fn the_activity_of_a_session_follows_what_a_person_types() {
    let world = World::new();
    let (pane, log) = world.scripted_pane("alpha", &["tui"]);
    log.wait_for_note("ready", 1);
    let number = |format: &str| -> i64 { world.tmux(&["display-message", "-p", "-t", &pane, format]).parse().unwrap() };
    let person = world.person("alpha");
    // The clock of this has whole seconds, and attaching is activity too.
    let since = eventually("a second without activity", || match number("#{session_activity}") {
        since if clock() > since + 1 => Ok(since),
        since => Err(since.to_string()),
    });
    // What a program puts into the pane is no person's doing.
    world.tmux(&["send-keys", "-t", &pane, "-l", "x"]);
    world.shows(&pane, "❯ x");
    assert_eq!(number("#{session_activity}"), since, "it stands still while nobody types");
    person.types("hello; there;");
    world.shows(&pane, "❯ xhello; there;");
    assert!(number("#{session_activity}") > since + 1, "it moved with the typing");
    person.press("Enter");
    assert_eq!(log.wait_for(1)[0].text, "xhello; there;");
    assert!(person.sees().contains("reply 1:"));
}

fn clock() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

#[test]
fn a_person_types_by_itself_and_the_same_seed_types_the_same() {
    let habits = Habits { seed: 3, key: Duration::from_millis(1), burst: 1..6, rest: 1..20, pause: 1..20 };
    let typed = |count: usize| {
        let world = World::new();
        let (_, log) = world.scripted_pane("alpha", &["tui"]);
        log.wait_for_note("ready", 1);
        let person = world.person("alpha");
        let typing = person.keeps_typing(habits.clone());
        log.wait_for(count);
        let lines = typing.stop();
        assert_eq!(log.wait_for(lines.len()).len(), lines.len());
        assert_eq!(log.texts(), lines, "each line whole, once, in order");
        assert_eq!(log.event_names(), Vec::<String>::new());
        lines
    };
    assert_eq!(typed(3)[..3], typed(3)[..3]);
}

#[test]
fn many_requests_go_over_one_connection() {
    let world = World::new();
    let agent = world.launch("alpha");
    let http = Http::new(port_of(&world.attach(&agent)));
    let mut connection = http.keep();
    for _ in 0..20 {
        assert_eq!(connection.get("/health").ok(), json!({"protocol_version": "v1", "status": "ok"}));
    }
    assert_eq!(connection.post("/health", &json!({})).refused(405), "Method Not Allowed");
    assert_eq!(http.post("/health", &json!({})).refused(405), "Method Not Allowed");
    assert_eq!(http.delete("/health").refused(405), "Method Not Allowed");
    assert_eq!(http.post_bytes("/health", b"\xff").status, 405);
    let refused = http.with("Origin", "https://evil.example").get("/health");
    assert_eq!((refused.status, refused.header("content-type")), (403, Some("application/json")));
    assert_eq!(http.events("/nothing").unwrap_err().refused(404), "Not Found");
}

/// Answers one connection with these bytes, a few at a time.
fn server(answer: Vec<u8>, piece: usize) -> Http {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            asked.extend(byte);
        }
        stream.set_nodelay(true).unwrap();
        for part in answer.chunks(piece) {
            stream.write_all(part).unwrap();
        }
        // Open until the reader leaves.
        stream.read_to_end(&mut asked).ok();
    });
    Http::new(port)
}

#[test]
fn the_checker_reads_every_page_of_the_requests() {
    let page = |ids: &[&str], next: Option<u64>| {
        let requests: Vec<_> = ids.iter().map(|id| json!({"request_id": id})).collect();
        json!({"requests": requests, "next_before": next})
    };
    let one = |id: &str| {
        let receipts = json!([{"receipt": "queued"}, {"receipt": "submitted"}]);
        json!({"request_id": id, "prompt": format!("text {id}"), "state": "completed", "receipts": receipts})
    };
    let answers = [
        ("/v1/requests?limit=500", page(&["r2", "r1"], Some(1))),
        ("/v1/requests/r2", one("r2")),
        ("/v1/requests/r1", one("r1")),
        ("/v1/requests?limit=500&before=1", page(&["r0"], None)),
        ("/v1/requests/r0", one("r0")),
    ];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = Http::new(listener.local_addr().unwrap().port());
    let thread = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        for (path, body) in answers {
            let mut asked = String::new();
            while !asked.ends_with("\r\n\r\n") {
                stream.read_line(&mut asked).unwrap();
            }
            assert!(asked.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{asked}");
            let body = body.to_string();
            write!(stream.get_mut(), "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    let told = Told::all(&http);
    thread.join().unwrap();
    assert_eq!(told.iter().map(|told| told.id.as_str()).collect::<Vec<_>>(), ["r2", "r1", "r0"]);
    assert_eq!((told[0].text.as_str(), told[0].receipts.len()), ("text r2", 2));
}

#[test]
fn scripted_agents_are_launched_with_their_log() {
    let world = World::new();
    let (alpha, log) = world.tui("alpha", &["draft=it's half"]);
    log.wait_for_note("ready", 1);
    world.shows(&alpha.pane, "❯ it's half");
    assert!(alpha.file("manifest.json").to_string().contains(r#""tool":"scripted""#));
    let (beta, _) = world.scripted("beta", &["lines"]);
    world.shows(&beta.pane, "ready>");
    let (gamma, log) = world.tui_in_shell("gamma", &["exit-after=0"]);
    log.wait_for_note("left", 1);
    world.shows(&gamma.pane, "bash");
}

#[test]
fn events_are_read_from_a_stream_in_any_pieces() {
    let text = ": hello\n\nid: 7\nevent: receipt\ndata: {\"a\":\ndata: 1}\n\n:\nid: 8\ndata: {\"é\":2}\n\n";
    let (one, two) = text.split_at(25);
    let chunked = format!("{:x}\r\n{one}\r\n{:X}\r\n{two}\r\n", one.len(), two.len());
    for (head, body) in [("Transfer-Encoding: chunked", chunked.as_str()), ("Connection: close", text)] {
        for piece in [1, 7, 4096] {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{head}\r\n\r\n{body}");
            let events = server(answer.into_bytes(), piece).events("/v1/events").unwrap();
            assert!(events.head.contains("text/event-stream"));
            let comment = events.until("a comment", |event| event.comment.is_some());
            assert_eq!(comment.comment.as_deref(), Some("hello"));
            let first = events.next();
            assert_eq!((first.number(), first.name.as_str(), first.json()), (7, "receipt", json!({"a": 1})));
            assert_eq!(events.next().json(), json!({"é": 2}));
            assert_eq!(events.within(Duration::ZERO), (vec![], true));
        }
    }
}

#[test]
fn a_server_that_goes_away_before_it_answered_is_an_error_not_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = Http::new(listener.local_addr().unwrap().port());
    let thread = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let mut connection = http.try_keep().unwrap();
    assert!(connection.send("GET", "/health", None).is_err());
    thread.join().unwrap();
    assert!(Http::new(free_port()).try_keep().is_err());
}

#[test]
fn a_small_disk_fills_and_is_free_again() {
    let Some(world) = World::on_small_disk(2048) else {
        eprintln!("skipped: this machine allows no file system of our own");
        return;
    };
    let agent = world.launch("alpha");
    assert_eq!(agent.file("manifest.json")["schema_version"].as_u64(), Some(4), "seen through the disk");
    assert!(!world.home().join("registry").exists(), "nobody else sees it");
    world.disk().fill();
    let refused = world.agents(&["launch", "beta", "--", "bash", "--norc"]);
    assert_ne!(refused.status, 0, "{refused:?}");
    world.disk().free();
    world.launch("beta");
}

#[test]
fn a_tracer_is_used_only_where_there_is_one() {
    let world = World::new();
    if !World::strace_available() {
        eprintln!("skipped: no strace here");
        return;
    }
    let mut command = world.command("strace");
    command.args(["-f", "-e", "inject=write:error=ENOSPC:when=1", "-o", "/dev/null", "echo", "word"]);
    assert_ne!(world.finish(command).status, 0);
}

fn sent(client: &str, text: &str, id: &str) -> Sent {
    Sent { client: client.to_owned(), text: text.to_owned(), id: Some(id.to_owned()) }
}

fn told(id: &str, text: &str, state: &str, receipts: &[&str]) -> Told {
    Told::read(&json!({
        "request_id": id,
        "prompt": text,
        "state": state,
        "receipts": receipts.iter().map(|receipt| json!({"receipt": receipt})).collect::<Vec<_>>(),
    }))
}

/// A run in which all went well: two clients, a person, a refusal and something uncertain.
fn good() -> Checker {
    let done = &["queued", "typing", "typed", "submitted", "turn_started", "turn_ended"][..];
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let mut lost = sent("a", "a4", "none");
    lost.id = None;
    Checker {
        sent: vec![
            sent("a", "a1", "1"),
            sent("a", "a2", "2"),
            sent("b", "b1", "3"),
            sent("b", "b2", "4"),
            sent("a", "a3", "5"),
            lost,
        ],
        told: vec![
            told("1", "a1", "completed", done),
            told("2", "a2", "completed", &done[..4]),
            told("3", "b1", "completed", done),
            told("4", "b2", "failed", &["queued", "deferred", "refused"]),
            told("5", "a3", "failed", &["queued", "typing", "indeterminate"]),
            told("6", "a4", "completed", done),
        ],
        got: texts(&["b1", "a1", "mine 1", "a2", "a3", "mine 2", "a4"]),
        person: texts(&["mine 1", "mine 2"]),
    }
}

#[test]
fn the_checker_finds_nothing_where_nothing_is_wrong() {
    good().holds();
    let mut without = good();
    without.got.retain(|text| text != "a3");
    without.holds();
}

/// Breaks the good run, and expects exactly one complaint about it.
#[track_caller]
fn complains(expected: &str, break_it: impl FnOnce(&mut Checker)) {
    let mut run = good();
    break_it(&mut run);
    let faults = run.faults();
    assert!(faults.iter().any(|fault| fault.contains(expected)), "expected `{expected}` in {faults:#?}");
}

#[test]
fn the_checker_finds_every_broken_promise() {
    complains("`a1` is `completed` (Once); the agent got it 0 times", |run| {
        run.got.retain(|text| text != "a1");
    });
    complains("`a1` is `completed` (Once); the agent got it 2 times", |run| run.got.push("a1".to_owned()));
    complains("`b2` is `failed` (Never); the agent got it 1 times", |run| run.got.push("b2".to_owned()));
    complains("`a3` is `failed` (AtMostOnce); the agent got it 2 times", |run| run.got.push("a3".to_owned()));
    complains("has not ended: running", |run| run.told[0].state = "running".to_owned());
    complains("has not ended: accepted", |run| run.told[0].state = "accepted".to_owned());
    complains("does not fit its receipts", |run| run.told[0].state = "failed".to_owned());
    complains("does not fit its receipts", |run| run.told[0].receipts.push("refused".to_owned()));
    complains("something follows `refused`", |run| run.told[3].receipts.push("queued".to_owned()));
    complains("2 was accepted and is not known", |run| {
        run.told.remove(1);
    });
    complains("3 is told twice", |run| run.told.push(run.told[2].clone()));
    complains("one id was given to two prompts", |run| run.sent[0].id = Some("2".to_owned()));
    complains("1 is `a1`, sent was `other`", |run| run.sent[0].text = "other".to_owned());
    complains("something merged: `mine 1a1`", |run| run.got[2] = "mine 1a1".to_owned());
    complains("`surprise`, which nobody sent", |run| run.got.push("surprise".to_owned()));
    complains("the person's line `mine 1` came 0 times", |run| run.got[2] = "min".to_owned());
    complains("a: `a1` came after `a2`", |run| run.got.swap(1, 3));
    complains("the person: `mine 1` came after `mine 2`", |run| run.got.swap(2, 5));
}

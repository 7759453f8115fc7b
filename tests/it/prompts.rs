//! A prompt arrives: every text, byte for byte, once, with receipts that were proven.

use serde_json::json;

use crate::support::{Http, Live, World, eventually, fnv1a, id_of, port_of, prompt};

const FAMILY: &str = "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}";

fn words(bytes: usize) -> String {
    let all: Vec<String> = (0..bytes / 5).map(|number| format!("word{number}")).collect();
    all.join(" ")[..bytes].trim_end().to_owned()
}

fn lines(count: usize) -> String {
    (1..=count).map(|number| format!("line {number}")).collect::<Vec<_>>().join("\n")
}

/// Texts that some step on the way could harm.
fn texts() -> Vec<String> {
    let mut all: Vec<String> = [
        "plain",
        "/help me",
        "!ls",
        "# not a comment",
        "@file",
        "-l",
        "--",
        "ends in ;",
        ";",
        "ends in \\",
        "\\;",
        "quotes ' \" ` $HOME $(id) #{pane_id} #(id) %s",
        "<[Enter]>",
        "  spaces around  ",
        "tab\there",
        "one\n\nthree",
        "Enter",
        "C-c",
        "שלום עולם, זה מבחן",
        "你好，世界。这是一个测试",
        "e\u{301} u\u{308}",
        "\u{1f44d}\u{1f3fd}",
        "?",
    ]
    .map(str::to_owned)
    .to_vec();
    all.extend([format!("{FAMILY} and text"), FAMILY.to_owned(), words(50_000), lines(500)]);
    all
}

#[test]
fn every_text_arrives_byte_for_byte_once_and_in_order() {
    for steps in [&["placeholder"][..], &["work=30", "footer=? for shortcuts"]] {
        let live = Live::new(steps);
        let texts = texts();
        let ids: Vec<String> = texts.iter().map(|text| live.send(text)).collect();
        for (number, (id, text)) in ids.iter().zip(&texts).enumerate() {
            let shown = live.completed(id);
            assert_eq!(shown["prompt"], text.as_str());
            let got = &live.log.wait_for(number + 1)[number];
            // But for line breaks at the end, which would submit it in a program without pastes.
            let text = &text.trim_end_matches('\n').to_owned();
            assert_eq!((&got.text, &got.hash, got.mid_turn), (text, &fnv1a(text.as_bytes()), false));
            let receipts = live.receipts(id);
            let proven: Vec<&str> =
                receipts.iter().map(String::as_str).filter(|name| *name != "deferred").take(4).collect();
            assert_eq!(proven, ["queued", "typing", "typed", "submitted"], "{text:?}");
        }
        assert_eq!(live.log.texts().len(), texts.len());
        assert_eq!(live.log.event_names(), Vec::<String>::new());
    }
}

#[test]
fn line_ends_are_made_alike_and_control_characters_are_left_out() {
    let live = Live::new(&[]);
    let id = live.send("one\r\ntwo\rthree\u{1b}[31m\u{7}\u{0}\u{7f}\u{9b}");
    live.completed(&id);
    assert_eq!(live.log.wait_for(1)[0].text, "one\ntwo\nthree[31m");
    // A line break at the end would submit it before anybody has seen it.
    live.completed(&live.send("four\r\n\n"));
    assert_eq!(live.log.wait_for(2)[1].text, "four");
    assert_eq!(live.log.event_names(), Vec::<String>::new());
}

#[test]
fn an_accepted_prompt_is_answered_in_the_contracts_form() {
    let live = Live::new(&["work=600000"]);
    let answer = live.http.post("/v1/requests", &prompt("one")).ok();
    let (id, at) = (id_of(&answer), answer["accepted_at_utc"].clone());
    let expected = json!({"request_id": id, "request_kind": "submit_prompt", "state": "accepted",
        "accepted_at_utc": at, "queue_depth": answer["queue_depth"], "managed_agent_instance_epoch": 1});
    assert_eq!(answer, expected);
    live.completed(&id);
    live.receives(&id, "turn_started");
    let second = live.http.post("/v1/requests", &prompt("two")).ok();
    assert_eq!(second["queue_depth"], 1);
    live.deferred(&id_of(&second), "busy");
    assert_eq!(live.status()["queue_depth"], 1);
    assert_eq!(live.log.texts(), ["one"]);
}

#[test]
fn a_turn_is_followed_to_its_end() {
    let live = Live::new(&["work=300"]);
    let id = live.send("one");
    live.receives(&id, "turn_ended");
    let receipts = live.receipts(&id);
    let last: Vec<&str> = receipts.iter().rev().take(3).map(String::as_str).collect();
    assert_eq!(last, ["turn_ended", "turn_started", "submitted"]);
    let shown = live.shown(&id).to_string();
    assert!(shown.contains(&fnv1a(b"one")), "the reply is between the turn's edges: {shown}");
}

#[test]
fn programs_that_read_lines_are_agents_too() {
    let world = World::new();
    for (name, program, sent, reply) in [
        ("shell", &["bash", "--norc"][..], "for n in 1 2; do echo $((40 + n)); sleep 0.2; done", "41\n42"),
        ("python", &["python3", "-i", "-q"], "print(40 + 2, '\\n\\nüß')", "42 \n\nüß"),
        ("sqlite", &["sqlite3"], "select 40 + 2; select 'é';", "42\né"),
        ("lines", &[World::scripted_agent().to_str().unwrap(), "lines"], "hello", "reply: hello"),
    ] {
        let agent = world.launch_with(&[&[name, "--"], program].concat());
        let http = Http::new(port_of(&world.attach(&agent)));
        for _ in 0..3 {
            let id = id_of(&http.post("/v1/requests", &prompt(sent)).ok());
            let shown = eventually(&format!("the end of {name}'s turn"), || {
                let shown = http.get(&format!("/v1/requests/{id}")).ok();
                if shown["receipt"] == "turn_ended" { Ok(shown) } else { Err(shown.to_string()) }
            });
            assert_eq!(shown["state"], "completed", "{shown}");
            let end = &shown["receipts"].as_array().unwrap().last().unwrap()["evidence"];
            assert_eq!(end["reply"], reply, "{name}: {shown}");
        }
    }
}

#[test]
fn a_line_that_its_terminal_would_cut_is_refused() {
    let world = World::new();
    let (agent, log) = world.scripted("alpha", &["lines"]);
    world.shows(&agent.pane, "ready>");
    let live = Live::over(world, agent, log);
    live.failed(&live.send(&"x".repeat(5_000)), "refused", "line_too_long");
    let fits = "y".repeat(4_000);
    live.completed(&live.send(&fits));
    assert_eq!(live.log.wait_for(1)[0].text, fits);
    assert_eq!(live.log.texts().len(), 1);
}

#[test]
fn the_command_line_sends_and_waits() {
    let live = Live::new(&["work=50"]);
    let id = live.agent.id.as_str();
    let run = live.world.agents(&["gateway", "prompt", "--agent-id", id, "--prompt", "one", "--wait=ended", "--json"]);
    assert!(run.json()["request_id"].is_string());
    let mut command = live.world.command(World::program());
    let file = live.world.path().join("stdin");
    std::fs::write(&file, "from\nstdin").unwrap();
    command.args(["gateway", "prompt", "--agent-id", id, "--wait"]).stdin(std::fs::File::open(&file).unwrap());
    live.world.finish(command).ok();
    live.world.agents(&["prompt", "--agent-id", id, "--prompt", "direct"]).ok();
    assert_eq!(live.log.wait_for(3).len(), 3);
    assert_eq!(live.log.texts(), ["one", "from\nstdin", "direct"]);
    let listed = live.world.agents(&["gateway", "requests", "list", "--agent-id", id, "--json"]).json();
    assert!(listed["requests"].as_array().unwrap().len() >= 2, "{listed}");
}

#[test]
fn a_prompt_needs_no_gateway() {
    let world = World::new();
    let (agent, log) = world.tui("alpha", &["work=50"]);
    log.wait_for_note("ready", 1);
    for (number, text) in ["one", "-two;", "three\nlines\nhere"].iter().enumerate() {
        world.agents(&["prompt", "--agent-id", &agent.id, "--prompt", text]).ok();
        assert_eq!(log.wait_for(number + 1)[number].text, *text);
    }
    assert_eq!((log.event_names(), world.gateway_pids()), (Vec::<String>::new(), vec![]));
}

#[test]
fn the_command_lines_exit_status_says_what_became_of_it() {
    let live = Live::new(&["draft=half a thought"]);
    let id = live.agent.id.as_str();
    let now = ["gateway", "prompt", "--agent-id", id, "--prompt", "x", "--admission-policy", "ready-only"];
    live.world.agents(&now).fails(8, "not_ready", "");
    let wait = ["gateway", "prompt", "--agent-id", id, "--prompt", "x", "--wait", "--timeout", "1"];
    live.world.agents(&wait).fails(10, "", "");
    assert_eq!(live.log.texts(), Vec::<String>::new());

    let live = Live::new(&["no-echo"]);
    let wait = ["gateway", "prompt", "--agent-id", &live.agent.id, "--prompt", "unseen", "--wait"];
    live.world.agents(&wait).fails(9, "unconfirmed", "");
}

#[test]
fn a_reply_is_right_or_missing_when_rows_are_dropped_from_a_full_history() {
    let world = World::new();
    world.server_with(&["history-limit 60"]);
    let agent = world.launch("alpha");
    let http = Http::new(world.attach_quietly(&agent));
    let mut known = 0;
    for number in 0..30 {
        let id = id_of(&http.post("/v1/requests", &prompt(&format!("echo $(({number} + 1000)); seq 5"))).ok());
        let shown = eventually("the end of the turn", || {
            let shown = http.get(&format!("/v1/requests/{id}")).ok();
            if shown["receipt"] == "turn_ended" { Ok(shown) } else { Err(shown.to_string()) }
        });
        let end = &shown["receipts"].as_array().unwrap().last().unwrap()["evidence"];
        match end["reply"].as_str() {
            Some(reply) => assert_eq!(reply, format!("{}\n1\n2\n3\n4\n5", number + 1000)),
            None => assert!(end["reply_missing"].is_string(), "{shown}"),
        }
        known += usize::from(end["reply"].is_string());
    }
    assert!(known > 10, "{known}");
}

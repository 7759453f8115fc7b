//! What can be wrong with a terminal while a prompt is on its way.
//!
//! | what | test |
//! | --- | --- |
//! | pane dead | `a_dead_pane_gets_nothing_and_the_server_lives` |
//! | copy mode, held for a while | `copy_mode_is_waited_for_and_keeps_its_place` |
//! | copy mode between text and Enter | `copy_mode_between_a_text_and_its_enter_is_waited_for` |
//! | pane input off | `a_pane_whose_input_is_off_is_waited_for` |
//! | synchronized panes | `synchronized_panes_get_nothing_that_was_meant_for_one` |
//! | pane respawned, same id | `a_respawned_pane_is_another_agent` |
//! | a flood beside, and in the same pane | `a_flood_beside_the_agent_does_not_hold_a_prompt_up`, `a_flood_in_the_agents_own_pane_is_waited_for` |
//! | a person types while we deliver | `a_half_typed_line_of_a_person_is_left_alone`, `a_persons_keys_between_a_text_and_its_enter_stay_theirs` |
//! | prompt over the limit; the largest one | `a_prompt_over_the_limit_is_refused_with_both_numbers_and_the_largest_arrives_whole` |
//! | agent exited to its shell | `an_agent_that_left_to_its_shell_gets_nothing` |
//! | yes/no dialog | `a_dialog_needs_a_person` |
//! | nothing shows that the prompt was taken | `an_agent_that_shows_nothing_leaves_it_unconfirmed_and_is_not_asked_twice` |
//! | Enter swallowed, Enter taken for a line break | `an_enter_that_was_swallowed_is_pressed_once_more_and_no_more`, `an_enter_that_became_a_line_break_is_not_called_submitted`, `a_line_break_in_a_known_composer_is_followed_by_one_more_enter` |
//! | slow or busy program | `a_slow_painter_gets_its_time`, `a_busy_agent_is_waited_for` |
//! | agent dies mid-delivery | `an_agent_that_dies_while_it_is_typed_to_is_told` |
//! | session renamed, pane resized mid-delivery | `a_renamed_session_and_a_resized_pane_change_nothing` |
//! | tmux server stopped, before and in a delivery | `a_server_that_sleeps_is_waited_for`, `a_server_that_falls_asleep_behind_a_text_is_waited_for` |
//! | gateway stopped | `a_gateway_that_slept_goes_on_where_it_was` |

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use rustix::process::Signal;

use crate::support::{
    Http, Live, PATIENCE, Sent, Stopped, World, all_the_while, eventually, fnv1a, prompt, resident, signal,
};

fn sent(client: &str, text: &str, id: &str) -> Sent {
    Sent { client: client.to_owned(), text: text.to_owned(), id: Some(id.to_owned()) }
}

#[test]
fn a_dead_pane_gets_nothing_and_the_server_lives() {
    let live = Live::new(&["draft=half a thought"]);
    let pane = live.agent.pane.as_str();
    let asked = |format: &str| live.world.tmux(&["display-message", "-p", "-t", pane, format]);
    live.world.tmux(&["set", "-w", "-t", pane, "remain-on-exit", "on"]);
    let server = live.world.server_pid();
    let waiting = live.send("one");
    live.deferred(&waiting, "draft");
    signal(asked("#{pane_pid}").parse().unwrap(), Signal::KILL);
    eventually("a dead pane", || match asked("#{pane_dead}").as_str() {
        "1" => Ok(()),
        other => Err(other.to_owned()),
    });
    live.deferred(&waiting, "agent_not_running");
    live.http.post("/v1/requests", &prompt("two")).refused(503);
    let now = serde_json::json!({"prompt": "now", "admission_policy": "always"});
    live.http.post("/v1/control/prompt", &now).refused(503);
    live.http.post("/v1/control/send-keys", &serde_json::json!({"sequence": "x"})).refused(503);
    let direct = live.world.agents(&["prompt", "--agent-id", &live.agent.id, "--prompt", "direct"]);
    assert_ne!(direct.status, 0, "{direct:#?}");
    assert_eq!((live.world.server_pid(), live.log.texts()), (server, vec![]));
    assert_eq!(live.log.noted("paste"), 0);
}

#[test]
fn copy_mode_is_waited_for_and_keeps_its_place() {
    let lines: Vec<String> = (0..60).map(|number| format!("print=line {number}")).collect();
    let live = Live::new(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let pane = live.agent.pane.as_str();
    live.world.tmux(&["copy-mode", "-t", pane]);
    live.world.tmux(&["send-keys", "-t", pane, "-X", "-N", "20", "scroll-up"]);
    let reader = || live.world.tmux(&["display-message", "-p", "-t", pane, "#{pane_in_mode},#{scroll_position}"]);
    let before = reader();
    assert!(before.starts_with("1,"), "{before}");
    let id = live.send("behind the reader");
    live.deferred(&id, "copy_mode");
    let keys = serde_json::json!({"sequence": "x<[Enter]>"});
    let refused = live.http.post("/v1/control/send-keys", &keys).refused(422).to_string();
    assert!(refused.contains("copy_mode"), "{refused}");
    all_the_while(Duration::from_secs(3), || {
        assert_eq!((reader(), live.log.noted("paste")), (before.clone(), 0));
    });
    live.world.tmux(&["send-keys", "-t", pane, "-X", "cancel"]);
    live.completed(&id);
    assert_eq!(live.log.wait_for(1)[0].text, "behind the reader");
}

#[test]
fn copy_mode_between_a_text_and_its_enter_is_waited_for() {
    let live = Live::new(&["slow-paint=800"]);
    let id = live.send("one");
    live.receives(&id, "typing");
    live.world.tmux(&["copy-mode", "-t", &live.agent.pane]);
    live.deferred(&id, "copy_mode");
    all_the_while(Duration::from_secs(1), || assert_eq!(live.log.texts(), Vec::<String>::new()));
    live.world.tmux(&["send-keys", "-t", &live.agent.pane, "-X", "cancel"]);
    live.completed(&id);
    assert_eq!((live.log.wait_for(1).len(), live.log.noted("paste"), live.log.texts()), (1, 1, vec!["one".to_owned()]));
}

#[test]
fn a_pane_whose_input_is_off_is_waited_for() {
    let live = Live::new(&[]);
    live.world.tmux(&["select-pane", "-d", "-t", &live.agent.pane]);
    let id = live.send("one");
    live.deferred(&id, "input_off");
    live.world.tmux(&["select-pane", "-e", "-t", &live.agent.pane]);
    live.completed(&id);
    assert_eq!(live.log.wait_for(1).len(), 1);
}

#[test]
fn synchronized_panes_get_nothing_that_was_meant_for_one() {
    let live = Live::new(&[]);
    let (words, other) = live.world.script("other", &["tui"]);
    live.world.tmux(&["split-window", "-d", "-t", &live.agent.pane, &words.join(" ")]);
    other.wait_for_note("ready", 1);
    live.world.tmux(&["set", "-w", "-t", &live.agent.pane, "synchronize-panes", "on"]);
    let id = live.send("for one only");
    live.deferred(&id, "synchronized");
    live.world.tmux(&["set", "-w", "-t", &live.agent.pane, "synchronize-panes", "off"]);
    live.completed(&id);
    assert_eq!(live.log.wait_for(1)[0].text, "for one only");
    assert_eq!((other.texts(), other.events()), (vec![], vec![]));
    assert_eq!(other.noted("paste"), 0);
}

#[test]
fn a_respawned_pane_is_another_agent() {
    for (action, texts) in [("keep", vec!["for the first"]), ("drop", vec![])] {
        let live = Live::new(&["draft=busy"]);
        let id = live.send("for the first");
        live.deferred(&id, "draft");
        let (words, second) = live.world.script("second", &["tui"]);
        live.world.tmux(&["respawn-pane", "-k", "-t", &live.agent.pane, &words.join(" ")]);
        second.wait_for_note("ready", 1);
        eventually("the replaced agent to be noticed", || match live.status() {
            status if status["request_admission"] == "blocked_reconciliation" => Ok(()),
            status => Err(status.to_string()),
        });
        live.http.post("/v1/requests", &prompt("more")).refused(409);
        live.deferred(&id, "reconciliation");
        assert_eq!(second.texts(), Vec::<String>::new());
        live.world.agents(&["gateway", "reconcile", "--agent-id", &live.agent.id, &format!("--{action}")]).ok();
        if action == "keep" {
            live.completed(&id);
        } else {
            live.failed(&id, "refused", "dropped");
        }
        let more = live.send("for the second");
        live.completed(&more);
        let all: Vec<String> = texts.into_iter().chain(["for the second"]).map(str::to_owned).collect();
        assert_eq!((second.wait_for(all.len()).len(), second.texts()), (all.len(), all));
        assert_eq!(live.log.texts(), Vec::<String>::new());
    }
}

#[test]
fn a_flood_beside_the_agent_does_not_hold_a_prompt_up() {
    let live = Live::new(&[]);
    let scripted = World::scripted_agent();
    let at = format!("={}:", live.agent.session);
    live.world.tmux(&["new-window", "-d", "-t", &at, scripted.to_str().unwrap(), "flood"]);
    for number in 0..20 {
        live.completed(&live.send(&format!("prompt {number}")));
    }
    assert_eq!(live.log.texts().len(), 20);
    live.http.get("/health").ok();
}

#[test]
fn a_flood_in_the_agents_own_pane_is_waited_for() {
    let world = World::new();
    let agent = world.launch("alpha");
    let live = Live { http: Http::new(world.attach_quietly(&agent)), log: world.script("none", &[]).1, world, agent };
    let flood = format!("{} flood", World::scripted_agent().display());
    live.keys(&[&flood, "Enter"]);
    live.world.shows(&live.agent.pane, "xxxx");
    let id = live.send("echo $((40 + 2))");
    live.deferred(&id, "busy");
    let gateway = live.world.gateway_pid();
    all_the_while(Duration::from_secs(2), || {
        live.http.get("/health").ok();
        assert!(resident(gateway) < 128 << 20, "{}", resident(gateway));
    });
    live.keys(&["C-c"]);
    live.receives(&id, "turn_ended");
    let end = live.shown(&id)["receipts"].as_array().unwrap().last().unwrap()["evidence"].clone();
    assert!(end["reply"] == "42" || end["reply_missing"].is_string(), "{end}");
}

#[test]
fn a_prompt_over_the_limit_is_refused_with_both_numbers_and_the_largest_arrives_whole() {
    let live = Live::new(&["placeholder"]);
    let detail = live.http.post("/v1/requests", &prompt(&"x".repeat(600_000))).refused(413).to_string();
    assert!(detail.contains("600000") && detail.contains("524288"), "{detail}");
    // A body that cannot be a prompt is not read to its end.
    let mut half = TcpStream::connect(("127.0.0.1", live.http.port)).unwrap();
    let whole = live.http.request("POST", "/v1/requests", Some(&vec![b'x'; 2 << 20]));
    half.write_all(&whole[..1_000]).unwrap();
    half.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    BufReader::new(&half).read_line(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let row = "0123456789abcdef".repeat(63) + "...............\n";
    let largest = row.repeat(512).trim_end().to_owned();
    live.completed(&live.send(&largest));
    let got = live.log.wait_for(1).remove(0);
    assert_eq!((got.bytes, got.hash), (largest.len() as u64, fnv1a(largest.as_bytes())));
}

#[test]
fn an_agent_that_left_to_its_shell_gets_nothing() {
    let world = World::new();
    let (agent, log) = world.tui_in_shell("alpha", &["work=600000", "exit-after=1"]);
    log.wait_for_note("ready", 1);
    let live = Live::over(world, agent, log);
    live.completed(&live.send("one"));
    live.keys(&["C-c"]);
    live.log.wait_for_note("left", 1);
    live.world.shows(&live.agent.pane, "bash");
    let id = live.send("touch canary");
    live.deferred(&id, "agent_not_running");
    let now = live
        .http
        .post("/v1/control/prompt", &serde_json::json!({"prompt": "touch canary", "admission_policy": "always"}));
    assert_ne!(now.status, 200, "{now:?}");
    live.http.delete(&format!("/v1/requests/{id}")).ok();
    live.failed(&id, "refused", "cancelled");
    let screen = live.world.screen(&live.agent.pane);
    assert!(!screen.contains("canary") && !live.world.has_canary("canary"), "{screen}");
}

#[test]
fn a_dialog_needs_a_person() {
    let live = Live::new(&["dialog-after=1"]);
    live.completed(&live.send("one"));
    live.log.wait_for_note("dialog", 1);
    let id = live.send("two");
    live.deferred(&id, "dialog");
    let now = live.http.post("/v1/control/prompt", &serde_json::json!({"prompt": "now", "admission_policy": "always"}));
    assert_ne!(now.status, 200, "{now:?}");
    assert_eq!(live.log.events(), Vec::<serde_json::Value>::new(), "no key reached it");
    live.keys(&["y"]);
    live.completed(&id);
    assert_eq!((live.log.wait_for(2).len(), live.log.texts()), (2, vec!["one".to_owned(), "two".to_owned()]));
    assert_eq!(live.log.event_names(), ["dialog_key"]);
}

#[test]
fn an_agent_that_shows_nothing_leaves_it_unconfirmed_and_is_not_asked_twice() {
    for steps in [&["no-echo"][..], &["swallow"]] {
        let live = Live::new(steps);
        let id = live.send("unseen");
        live.failed(&id, "indeterminate", "unconfirmed");
        assert!(!live.receipts(&id).contains(&"submitted".to_owned()));
        assert_eq!(live.log.texts(), Vec::<String>::new(), "Enter follows only a text that is seen");
        assert!(live.log.noted("paste") <= 1, "typed at most once");
    }
}

#[test]
fn an_enter_that_was_swallowed_is_pressed_once_more_and_no_more() {
    // It shows signs of life behind the first Enter, so that one was lost.
    let live = Live::new(&["dead-enter=1", "tick=200"]);
    live.completed(&live.send("one"));
    assert_eq!(live.log.wait_for(1)[0].text, "one");
    assert_eq!(live.log.event_names(), ["dead_enter"]);

    let live = Live::new(&["dead-enter=1000", "tick=200"]);
    let id = live.send("stuck");
    live.failed(&id, "indeterminate", "unconfirmed");
    assert_eq!((live.log.texts().len(), live.log.noted("paste")), (0, 1));
    assert!(live.log.events().len() <= 2, "{:?}", live.log.events());
    // What stands there is not the next one's, and the next one is not glued to it.
    let next = live.send("next");
    live.deferred(&next, "draft");
    assert_eq!(live.log.noted("paste"), 1);
}

#[test]
fn an_enter_that_became_a_line_break_is_not_called_submitted() {
    let live = Live::new(&["enter-gap=60000"]);
    let id = live.send("one");
    let shown = live.ended(&id);
    live.log.wait_for_event("enter_too_soon");
    assert_eq!((shown["state"].as_str(), live.log.texts().len()), (Some("failed"), 0), "{shown}");
}

/// A composer with these settings, read by rules of its own.
fn known(steps: &[&str]) -> Live {
    let world = World::new();
    let folder = world.home().join("detectors");
    std::fs::create_dir_all(&folder).unwrap();
    let rules = "tool = \"scripted\"\nname = \"own\"\nversions = \">=0\"\n[composer]\nsign = '^❯ ?'\nindent = 2\n\
        [[rules]]\nname = \"any\"\nproves = \"known\"\nregion = \"screen\"\npattern = '.'\n";
    std::fs::write(folder.join("own.toml"), rules).unwrap();
    let (agent, log) = world.tui("alpha", steps);
    log.wait_for_note("ready", 1);
    Live::over(world, agent, log)
}

#[test]
fn an_interrupt_of_nothing_leaves_a_draft_alone() {
    let live = known(&["draft=half typed"]);
    eventually("the draft to be seen", || match live.http.get("/v1/control/tui/state").ok() {
        state if state["surface"]["editing_input"] == "yes" && state["turn"]["phase"] == "ready" => Ok(()),
        state => Err(format!("{state:#}")),
    });
    live.failed(&live.interrupt(), "refused", "draft");
    let direct = live.world.agents(&["interrupt", "--agent-id", &live.agent.id]);
    direct.fails(8, "nothing runs", "send-keys");
    assert_eq!(live.log.events(), Vec::<serde_json::Value>::new(), "no key reached it");
}

#[test]
fn a_line_break_in_a_known_composer_is_followed_by_one_more_enter() {
    // A busy tool reads the paste and the Enter behind it as one, and goes on without another word.
    let live = known(&["enter-gap=500"]);
    let shown = live.completed(&live.send("one"));
    assert_eq!(live.log.event_names(), ["enter_too_soon"]);
    assert_eq!((live.log.wait_for(1)[0].text.trim(), live.log.noted("paste")), ("one", 1), "{shown:#}");
}

#[test]
fn a_slow_painter_gets_its_time() {
    let live = Live::new(&["slow-paint=400", "work=100"]);
    let ids: Vec<String> = (0..5).map(|number| live.send(&format!("prompt {number}"))).collect();
    ids.iter().for_each(|id| drop(live.completed(id)));
    assert_eq!(live.log.texts(), (0..5).map(|number| format!("prompt {number}")).collect::<Vec<_>>());
    assert_eq!(live.log.event_names(), Vec::<String>::new());
}

#[test]
fn a_busy_agent_is_waited_for() {
    let world = World::new();
    let (agent, log) = world.tui("alpha", &["busy=3000", "work=50"]);
    let live = Live::over(world, agent, log);
    let id = live.send("one");
    live.completed(&id);
    let got = live.log.wait_for(1).remove(0);
    assert!(!got.mid_turn);
}

#[test]
fn an_agent_that_dies_while_it_is_typed_to_is_told() {
    let world = World::new();
    let (agent, log) = world.tui_in_shell("alpha", &["crash-on-paste"]);
    log.wait_for_note("ready", 1);
    let live = Live::over(world, agent, log);
    let id = live.send("touch canary");
    let shown = live.ended(&id);
    assert_eq!(shown["state"], "failed", "{shown}");
    assert_eq!(live.log.event_names(), ["crash"]);
    assert!(!live.world.has_canary("canary"), "no Enter for the shell that is there now");

    let live = Live::new(&["crash-on-paste"]);
    let id = live.send("one");
    let shown = live.http.get(&format!("/v1/requests/{id}"));
    // The session may end with its agent, and the gateway with the session.
    if shown.status == 200 {
        assert_ne!(shown.json()["state"], "completed");
    }
}

#[test]
fn a_renamed_session_and_a_resized_pane_change_nothing() {
    let live = Live::new(&["slow-paint=150"]);
    let mut all = Vec::new();
    for number in 0..8 {
        let text = format!("prompt {number} {}", "wide ".repeat(30));
        let id = live.send(&text);
        let target = live.world.tmux(&["display-message", "-p", "-t", &live.agent.pane, "#{session_id}"]);
        live.world.tmux(&["rename-session", "-t", &target, &format!("name-{number}")]);
        let width = if number % 2 == 0 { "60" } else { "110" };
        live.world.tmux(&["resize-window", "-t", &live.agent.pane, "-x", width, "-y", "20"]);
        all.push(sent("one", &text, &id));
    }
    live.drained(Duration::from_secs(60));
    live.holds(&all, &[]);
    assert_eq!(live.log.texts().len(), all.len());
}

#[test]
fn a_server_that_sleeps_is_waited_for() {
    let live = Live::new(&["work=20"]);
    live.completed(&live.send("before"));
    let stopped = Stopped::new(live.world.server_pid());
    let ids: Vec<String> = (0..3).map(|number| live.send(&format!("asleep {number}"))).collect();
    eventually("the sleeping server to be noticed", || {
        let receipts = live.receipts(&ids[0]);
        if receipts.len() > 1 { Ok(()) } else { Err(format!("{receipts:?}")) }
    });
    all_the_while(Duration::from_secs(3), || drop(live.http.get("/health").ok()));
    drop(stopped);
    ids.iter().for_each(|id| drop(live.completed(id)));
    assert_eq!(live.log.texts(), ["before", "asleep 0", "asleep 1", "asleep 2"]);
}

#[test]
fn a_server_that_falls_asleep_behind_a_text_is_waited_for() {
    let live = Live::new(&["slow-paint=800"]);
    let id = live.send("one");
    live.log.wait_for_note("paste", 1);
    let stopped = Stopped::new(live.world.server_pid());
    all_the_while(Duration::from_secs(3), || drop(live.http.get("/health").ok()));
    drop(stopped);
    live.completed(&id);
    assert_eq!((live.log.noted("paste"), live.log.wait_for(1).len()), (1, 1));
}

#[test]
fn a_gateway_that_slept_goes_on_where_it_was() {
    let live = Live::new(&["slow-paint=100"]);
    let id = live.send("one");
    let stopped = Stopped::new(live.world.gateway_pid());
    live.world.shows(&live.agent.pane, "❯");
    drop(stopped);
    live.completed(&id);
    assert_eq!(live.log.texts(), ["one"]);
}

#[test]
fn a_half_typed_line_of_a_person_is_left_alone() {
    let live = Live::new(&[]);
    let person = live.world.person(&live.agent.session);
    person.types("half a thought");
    live.world.shows(&live.agent.pane, "❯ half a thought");
    let id = live.send("from outside");
    eventually("it to wait", || {
        let receipts = live.receipts(&id);
        if receipts.last().is_some_and(|name| name == "deferred") { Ok(()) } else { Err(format!("{receipts:?}")) }
    });
    live.deferred(&id, "draft");
    person.types(", and its end");
    person.press("Enter");
    live.completed(&id);
    assert_eq!(
        (live.log.wait_for(2).len(), live.log.texts()),
        (2, vec!["half a thought, and its end".to_owned(), "from outside".to_owned()])
    );
}

#[test]
fn a_persons_keys_between_a_text_and_its_enter_stay_theirs() {
    let live = Live::new(&["slow-paint=700"]);
    let person = live.world.person(&live.agent.session);
    let id = live.send("from outside.");
    live.receives(&id, "typing");
    // The pane shows neither the text nor the key yet.
    person.types("x");
    eventually("the text to be taken back", || {
        let (screen, receipts) = (live.world.screen(&live.agent.pane), live.receipts(&id));
        let is_alone = screen.lines().any(|row| row == "❯ x");
        if is_alone && receipts.last().is_some_and(|name| name == "deferred") {
            Ok(())
        } else {
            Err(format!("{receipts:?}\n{screen}"))
        }
    });
    person.types("yz");
    person.press("Enter");
    live.completed(&id);
    let expected = ["xyz".to_owned(), "from outside.".to_owned()];
    assert_eq!((live.log.wait_for(2).len(), live.log.texts()), (2, expected.to_vec()));
}

//! What is promised for every prompt, each line with its own test.
//!
//! | promise | test |
//! | --- | --- |
//! | accepted means on disk | `nobody_is_answered_before_the_disk_has_it` |
//! | typed at most once, exactly once while tmux lives | `prompt_recovery::two_hundred_deaths_…`, `…a_death_in_every_commit_…` |
//! | never into another program than the recorded one | `prompt_faults::a_respawned_pane_…`, `…an_agent_that_left_to_its_shell_…` |
//! | order kept within a session | `prompt_load::a_thousand_prompts_…` |
//! | unknown is called unknown | `what_cannot_be_proven_is_called_so` |
//! | the user's tmux is never harmed | `the_users_tmux_is_as_it_was` |
//! | the queue drains by itself after faults | `after_many_faults_the_queue_drains_by_itself` |

use std::{fs, time::Duration};

use rustix::process::Signal;

use crate::support::{Live, Seeded, Sent, Stopped, Tracer, World, eventually, gone, id_of, prompt, signal};

#[test]
fn nobody_is_answered_before_the_disk_has_it() {
    if !World::strace_available() {
        eprintln!("skipped: no strace here");
        return;
    }
    let live = Live::new(&["draft=somebody thinks"]);
    live.deferred(&live.send("before"), "draft");
    let file = live.world.path().join("calls");
    let tracer = Tracer::writing(live.world.gateway_pid(), "fdatasync,fsync,write,writev,sendto,sendmsg", &file);
    for number in 0..10 {
        live.send(&format!("prompt {number}"));
    }
    let calls = eventually("the last answer", || {
        let calls = fs::read_to_string(&file).unwrap_or_default();
        let answers = calls.lines().filter(|line| line.contains("HTTP/1.1 200")).count();
        if answers >= 10 { Ok(calls) } else { Err(calls) }
    });
    drop(tracer);
    // One caller at a time, so between two answers there is a sync of its own.
    let mut synced = false;
    for line in calls.lines() {
        if line.contains("sync") && line.ends_with("= 0") {
            synced = true;
        } else if line.contains("HTTP/1.1 200") {
            assert!(std::mem::take(&mut synced), "{line} in\n{calls}");
        }
    }
}

#[test]
fn what_cannot_be_proven_is_called_so() {
    // The program takes the text and the Enter, and dies before it shows anything.
    let world = World::new();
    let (agent, log) = world.tui("alpha", &["no-echo"]);
    log.wait_for_note("ready", 1);
    world.tmux(&["set", "-w", "-t", &agent.pane, "remain-on-exit", "on"]);
    let live = Live::over(world, agent, log);
    let id = live.send("one");
    live.log.wait_for_note("paste", 1);
    let pid = live.world.tmux(&["display-message", "-p", "-t", &live.agent.pane, "#{pane_pid}"]);
    signal(pid.parse().unwrap(), Signal::KILL);
    let shown = live.failed(&id, "indeterminate", "agent_ended");
    assert!(shown["error_detail"].as_str().unwrap().starts_with("indeterminate (agent_ended)"), "{shown}");
    assert!(!live.receipts(&id).contains(&"submitted".to_owned()));
    live.http.delete(&format!("/v1/requests/{id}")).refused(409);
}

/// All that a person could miss: buffers, windows, panes with their sizes, options, the server itself.
fn of_the_user(live: &Live) -> String {
    let ask = |words: &[&str]| live.world.tmux(words);
    let panes = "#{session_name} #{window_index} #{window_layout} #{pane_id} #{pane_pid} #{pane_in_mode} \
                 #{pane_width}x#{pane_height} #{pane_input_off}";
    [
        ask(&["display-message", "-p", "#{pid} #{start_time}"]),
        ask(&["list-buffers", "-F", "#{buffer_name} #{buffer_size} #{buffer_created}"]),
        ask(&["show-buffer"]),
        ask(&["show-buffer", "-b", "mine"]),
        ask(&["list-panes", "-a", "-F", panes]),
        ask(&["show-options", "-g"]),
        ask(&["show-options", "-s"]),
        ask(&["list-keys"]),
    ]
    .join("\n")
}

#[test]
fn the_users_tmux_is_as_it_was() {
    let mut live = Live::new(&["work=30"]);
    let session = format!("={}:", live.agent.session);
    live.world.tmux(&["new-window", "-d", "-t", &session, "sleep 1000"]);
    live.world.tmux(&["split-window", "-d", "-t", &session, "-v", "-l", "5", "sleep 1000"]);
    live.world.tmux(&["new-session", "-d", "-s", "other", "-x", "133", "-y", "44", "sleep 1000"]);
    live.world.tmux(&["copy-mode", "-t", "=other:"]);
    live.world.tmux(&["set-buffer", "-b", "mine", "precious"]);
    live.world.tmux(&["set-buffer", "on top"]);
    live.completed(&live.send("settled"));
    let before = of_the_user(&live);
    for text in ["short", "three\nlines\nhere", &"long ".repeat(2_000)] {
        live.completed(&live.send(text));
    }
    live.completed(&live.interrupt());
    live.log.wait_for_event("escape");
    live.keys(&["x"]);
    let held = live.send("held");
    live.deferred(&held, "draft");
    live.http.delete(&format!("/v1/requests/{held}")).ok();
    let keys = serde_json::json!({"sequence": "and; more<[C-c]>"});
    live.http.post("/v1/control/send-keys", &keys).ok();
    live.world.agents(&["prompt", "--agent-id", &live.agent.id, "--prompt", "direct"]).ok();
    let last = live.send("last");
    live.receives(&last, "typing");
    live.kill_and_restart();
    live.completed(&last);
    live.world.agents(&["gateway", "detach", "--agent-id", &live.agent.id]).ok();
    assert_eq!(of_the_user(&live), before);
    assert_eq!(live.world.tmux(&["list-clients"]), "");
}

/// One thing that goes wrong and ends again.
fn fault(live: &mut Live, kind: u64, round: u64) {
    let pane = live.agent.pane.clone();
    let typed = live.log.noted("paste");
    // A fault that lasts is one that something meets.
    let meets = |live: &Live| {
        eventually("something to go on", || {
            let waits = live.status()["queue_depth"] != 0;
            if !waits || live.log.noted("paste") > typed { Ok(()) } else { Err(live.world.screen(&live.agent.pane)) }
        });
    };
    match kind {
        0 => {
            live.world.tmux(&["copy-mode", "-t", &pane]);
            live.http.get("/health").ok();
            live.world.tmux(&["send-keys", "-t", &pane, "-X", "cancel"]);
        }
        1 => {
            live.world.tmux(&["select-pane", "-d", "-t", &pane]);
            live.http.get("/health").ok();
            live.world.tmux(&["select-pane", "-e", "-t", &pane]);
        }
        2 => drop(Stopped::new(live.world.server_pid())),
        3 => drop(Stopped::new(live.world.gateway_pid())),
        4 => {
            live.world.kill_gateways();
            live.restart();
        }
        5 => {
            let gateway = live.world.gateway_pid();
            signal(gateway, Signal::TERM);
            gone(gateway);
            live.restart();
        }
        6 => {
            let id = live.world.tmux(&["display-message", "-p", "-t", &pane, "#{session_id}"]);
            live.world.tmux(&["rename-session", "-t", &id, &format!("name-{round}")]);
        }
        7 => drop(live.world.tmux(&["resize-window", "-t", &pane, "-x", &(60 + round).to_string(), "-y", "20"])),
        8 => {
            live.world.tmux(&["set", "-w", "-t", &pane, "synchronize-panes", "on"]);
            live.world.tmux(&["set", "-w", "-t", &pane, "synchronize-panes", "off"]);
        }
        _ => {
            let client = live.world.tmux(&["list-clients", "-F", "#{client_pid}"]);
            client.lines().for_each(|pid| signal(pid.parse().unwrap(), Signal::KILL));
        }
    }
    meets(live);
}

#[test]
fn after_many_faults_the_queue_drains_by_itself() {
    let seed = 11;
    let mut chance = Seeded::new(seed);
    let mut live = Live::new(&["work=10", "slow-paint=5"]);
    let mut all = Vec::new();
    let mut kinds: Vec<u64> = (0..30).map(|number| number % 10).collect();
    for at in (1..kinds.len()).rev() {
        kinds.swap(at, usize::try_from(chance.within(0..at as u64 + 1)).unwrap());
    }
    for (round, kind) in kinds.into_iter().enumerate() {
        for _ in 0..chance.within(1..4) {
            let text = format!("prompt {} before fault {round}.", all.len());
            let id = id_of(&live.http.post("/v1/requests", &prompt(&text)).ok());
            all.push(Sent { client: "one".to_owned(), text, id: Some(id) });
        }
        fault(&mut live, kind, round as u64);
    }
    live.drained(Duration::from_secs(60));
    eprintln!("seed {seed}: {} prompts", all.len());
    live.holds(&all, &[]);
    all.iter().for_each(|sent| drop(live.completed(sent.id.as_ref().unwrap())));
    assert_eq!(live.log.event_names(), Vec::<String>::new());
}

//! What becomes of a prompt that finds somebody's draft in the composer: it waits, is refused, or the tool keeps the draft
//! meanwhile. A draft is never lost and never submitted by us, whoever dies on the way.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Http, Live, Steered, Tool, all_the_while, eventually, eventually_within, id_of, now_ms, prompt, signal,
};

/// Queues a prompt that has this to say about drafts.
fn send(http: &Http, text: &str, on_draft: &str) -> String {
    id_of(&http.with("Agents-On-Draft", on_draft).post("/v1/requests", &prompt(text)).ok())
}

/// The newest receipt.
fn last(shown: &Value) -> Value {
    shown["receipts"].as_array().unwrap().last().unwrap().clone()
}

#[test]
fn a_draft_refuses_those_who_say_so_and_nobody_else() {
    let mut live = Live::new(&["draft=half a thought"]);
    let refused = send(&live.http, "not beside a draft", "refuse");
    live.failed(&refused, "refused", "draft");
    let waits = live.send("as ever");
    live.deferred(&waits, "draft");
    // Behind another one it is refused when it is its turn, also by the next gateway.
    let behind = send(&live.http, "behind it", "refuse");
    live.kill_and_restart();
    live.http.delete(&format!("/v1/requests/{waits}")).ok();
    live.failed(&behind, "refused", "draft");
    assert_eq!(live.log.texts(), Vec::<String>::new());
    live.keys(&["C-c"]);
    eventually("the composer to be empty", || match live.world.screen(&live.agent.pane) {
        screen if !screen.contains("half a thought") => Ok(()),
        screen => Err(screen),
    });
    live.completed(&send(&live.http, "alone", "refuse"));
    assert_eq!(live.log.texts(), ["alone"]);
    let wrong = live.http.with("Agents-On-Draft", "perhaps").post("/v1/requests", &prompt("x")).refused(422);
    assert!(wrong.to_string().contains("agents-on-draft"), "{wrong}");
}

#[test]
fn the_command_line_says_what_a_draft_means() {
    let live = Live::new(&["draft=half a thought"]);
    let agents = |words: &[&str]| live.world.agents(&[words, &["--agent-id", live.agent.id.as_str()]].concat());
    let queued = ["gateway", "prompt", "--prompt", "one", "--on-draft", "refuse", "--wait"];
    agents(&queued).fails(8, "refused (draft)", "");
    agents(&["prompt", "--prompt", "two", "--on-draft", "refuse"]).fails(8, "draft: ", "submit or clear");
    let late = ["prompt", "--prompt", "three", "--on-draft", "stash", "--timeout", "300ms"];
    agents(&late).fails(10, "it is not put aside: only a gateway", "--timeout");
    assert_eq!(live.log.texts(), Vec::<String>::new());
}

#[test]
fn a_draft_that_no_tool_keeps_is_waited_for_and_the_receipt_says_why() {
    let live = Live::new(&["draft=half a thought"]);
    let id = send(&live.http, "later", "stash");
    live.deferred(&id, "draft");
    let why = last(&live.shown(&id))["detail"].clone();
    assert!(why.as_str().unwrap().contains("it is not put aside: no way is proven"), "{why}");
    live.keys(&["C-c"]);
    live.completed(&id);
    assert_eq!(live.log.texts(), ["later"]);
}

impl Steered {
    /// Types a draft as a person would, without submitting it.
    #[track_caller]
    fn draft(&self, text: &str, shown: &str) {
        self.real.paste(&self.world, text);
        self.real.shows(&self.world, shown);
    }

    /// What the journal says of drafts for a request, in order.
    fn drafts(&self, id: &str) -> Vec<Value> {
        let file = self.real.agent.root.join("gateway/queue.sqlite");
        let journal = rusqlite::Connection::open(file).unwrap();
        let mut of_drafts = journal
            .prepare(
                "SELECT kind, data_json FROM agents_journal WHERE request_id = ?1 AND kind LIKE 'draft%' ORDER BY id",
            )
            .unwrap();
        let entry = |row: &rusqlite::Row<'_>| {
            let data: String = row.get(1)?;
            Ok(json!({"kind": row.get::<_, String>(0)?, "data": serde_json::from_str::<Value>(&data).unwrap()}))
        };
        of_drafts.query_map([id], entry).unwrap().map(Result::unwrap).collect()
    }

    /// The state of a request in the file, whoever has it open.
    fn state_on_record(&self, id: &str) -> String {
        let file = self.real.agent.root.join("gateway/queue.sqlite");
        let queue = rusqlite::Connection::open(file).unwrap();
        queue.query_row("SELECT state FROM gateway_requests WHERE request_id = ?1", [id], |row| row.get(0)).unwrap()
    }

    /// Waits until the draft is in the composer again, and the record of it says so.
    #[track_caller]
    fn draft_is_back(&self, id: &str) -> Value {
        eventually_within(Duration::from_secs(20), "the draft to be back", || match self.drafts(id) {
            events if events.last().is_some_and(|event| event["kind"] == "draft_restored") => {
                Ok(events.last().unwrap().clone())
            }
            events => Err(format!("{events:#?}; the pane:\n{}", self.world.screen(&self.real.agent.pane))),
        })
    }
}

#[test]
fn claude_keeps_a_draft_while_a_prompt_is_submitted() {
    let Some(agent) = Steered::new(Tool::Claude) else { return };
    agent.draft("half a thought", "half a thought");
    let id = send(&agent.http, "say one", "stash");
    let submitted = agent.receipt(&id, "submitted", None);
    assert_eq!(agent.turn_ended(&id)["reply"], "one", "{submitted:#}");
    assert_eq!(agent.draft_is_back(&id)["data"]["same"], true);
    let kinds: Vec<Value> = agent.drafts(&id).into_iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds, ["draft_stashing", "draft_stashed", "draft_restored"]);
    agent.real.shows(&agent.world, "❯\u{a0}half a thought");
    // Nobody submitted it, and whoever does not ask for it still waits.
    assert_eq!(agent.texts(), ["say one"]);
    let waits = agent.send("say two");
    agent.receipt(&waits, "deferred", Some("draft"));
    agent.real.press(&agent.world, "Enter");
    assert_eq!(agent.turn_ended(&waits)["reply"], "two");
    assert_eq!(agent.texts(), ["say one", "half a thought", "say two"]);
}

#[test]
fn a_draft_is_put_aside_only_after_a_pause_of_the_person() {
    let Some(agent) = Steered::new(Tool::Claude) else { return };
    let person = agent.world.person(&agent.real.agent.session);
    let last_key = i64::try_from(now_ms()).unwrap();
    person.types("half a thought");
    agent.real.shows(&agent.world, "half a thought");
    let id = send(&agent.http, "say one", "stash");
    agent.turn_ended(&id);
    assert_eq!(agent.draft_is_back(&id)["data"]["same"], true);
    agent.real.shows(&agent.world, "❯\u{a0}half a thought");
    assert_eq!(agent.texts(), ["say one"]);
    let file = agent.real.agent.root.join("gateway/queue.sqlite");
    let journal = rusqlite::Connection::open(file).unwrap();
    let pressed_at: i64 = journal
        .query_row("SELECT unixepoch(at_utc) FROM agents_journal WHERE kind = 'draft_stashing'", [], |row| row.get(0))
        .unwrap();
    // tmux knows whole seconds.
    assert!(pressed_at >= last_key / 1000 + 2, "{pressed_at} after a key at {last_key}");
}

#[test]
fn a_folded_draft_comes_back_and_a_second_one_is_waited_for() {
    let Some(agent) = Steered::new(Tool::Claude) else { return };
    let rows: Vec<String> = (1..=8).map(|row| format!("row {row} of a draft")).collect();
    agent.draft(&rows.join("\n"), "[Pasted text #1 +7 lines]");
    let id = send(&agent.http, "say one", "stash");
    agent.completed(&id);
    assert_eq!(agent.draft_is_back(&id)["data"]["same"], true);
    agent.turn_ended(&id);
    // A person's own draft that is aside already has the one place.
    agent.real.press(&agent.world, "C-s");
    agent.real.shows(&agent.world, "draft stashed");
    agent.draft("another thought", "another thought");
    let waits = send(&agent.http, "say two", "stash");
    let told = agent.receipt(&waits, "deferred", Some("draft"));
    assert!(told["detail"].as_str().unwrap().contains("keeps a draft already"), "{told:#}");
    agent.real.press(&agent.world, "Enter");
    agent.real.shows(&agent.world, "[Pasted text #1 +7 lines]");
    agent.turn_over(&id);
    let texts = agent.real.model.wait_for(2);
    assert_eq!(texts[1].text, "another thought");
}

/// Waits for a record of the journal, kills the gateway at once, and says of which request it was.
fn killed_at(agent: &Steered, kind: &str, text: &str, more: &[(&str, &str)]) -> String {
    let stream = agent.http.events("/v1/events").unwrap();
    let gateway = agent.world.gateway_pid();
    let http =
        more.iter().fold(agent.http.with("Agents-On-Draft", "stash"), |http, (name, value)| http.with(name, value));
    let id = id_of(&http.post("/v1/requests", &prompt(text)).ok());
    stream.until(kind, |event| {
        event.comment.is_none()
            && event.json()["request_id"] == id.as_str()
            && (event.json()["kind"] == kind || event.json()["receipt"] == kind)
    });
    signal(gateway, Signal::KILL);
    id
}

#[test]
fn no_death_of_a_gateway_loses_a_draft_that_claude_keeps() {
    let Some(mut agent) = Steered::new(Tool::Claude) else { return };
    agent.draft("half a thought", "half a thought");
    let mut sent = Vec::new();
    for step in ["draft_stashing", "draft_stashed", "typing", "typed", "submitted"] {
        let text = format!("say after {step}");
        let id = killed_at(&agent, step, &text, &[]);
        agent.kill_and_restart();
        agent.completed(&id);
        agent.turn_over(&id);
        agent.draft_is_back(&id);
        agent.real.shows(&agent.world, "❯\u{a0}half a thought");
        sent.push(text);
        assert_eq!(agent.texts(), sent, "{step}");
    }
    // A request that ends before it is typed: the gateway itself has the tool bring the draft back.
    // One that was typed before the kill met it is no such request.
    let mut tries = 0;
    let id = loop {
        let text = format!("say too late {tries}");
        let id = killed_at(&agent, "draft_stashed", &text, &[("Agents-Expires-In", "1s")]);
        agent.world.kill_gateways();
        if agent.state_on_record(&id) == "accepted" {
            break id;
        }
        agent.kill_and_restart();
        let over = |shown: &Value| shown["state"] == "completed" || shown["state"] == "failed";
        if agent.until(&id, "its end", over)["state"] == "completed" {
            agent.turn_over(&id);
            sent.push(text);
        }
        agent.draft_is_back(&id);
        tries += 1;
        assert!(tries < 30, "a kill meets a request between two steps sooner or later");
    };
    agent.real.shows(&agent.world, "draft stashed");
    all_the_while(Duration::from_millis(1_100), || {});
    agent.kill_and_restart();
    agent.receipt(&id, "refused", Some("expired"));
    assert_eq!(agent.draft_is_back(&id)["data"], json!({"same": true}));
    agent.real.shows(&agent.world, "❯\u{a0}half a thought");
    assert_eq!(agent.texts(), sent);
}

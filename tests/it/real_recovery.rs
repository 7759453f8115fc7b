//! The gateway of a real tool dies, again and again: the model gets no prompt twice, and none is lost without a word.
//!
//! What arrived is asked of the stub model, never of the gateway. A tool that is not installed is skipped.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Checker, Seeded, Sent, Steered, Told, Tool, eventually_within, signal};

/// Texts of every way into a composer: a line, lines, a text that a tool folds or is given in parts, an odd end.
fn text(number: usize) -> String {
    let body = match number % 4 {
        0 => String::new(),
        1 => "\nsecond line\nthird line".to_owned(),
        2 => format!(" {}", "long enough to be folded ".repeat(50).trim_end()),
        _ => " Grüße, 你好 \"quoted\" $HOME".to_owned(),
    };
    format!("prompt {number}{body}")
}

/// Everything that was sent, with the ids that were answered.
struct Sending {
    agent: Steered,
    all: Vec<Sent>,
}

impl Sending {
    fn new(tool: Tool) -> Option<Self> {
        Some(Self { agent: Steered::new(tool)?, all: Vec::new() })
    }

    fn send(&mut self) -> String {
        let number = self.all.len();
        let (text, key) = (text(number), format!("key-{number}"));
        let id = self.agent.send_surely(&text, &key);
        self.all.push(Sent { client: "one".to_owned(), text, id: Some(id.clone()) });
        id
    }

    /// Waits for the end of each, and compares what the gateway tells with what the model got.
    fn holds(&self, what: &str) {
        let agent = &self.agent;
        eventually_within(Duration::from_secs(60), "an empty queue", || match agent.http.get("/v1/status").ok() {
            status if status["queue_depth"] == 0 && status["active_execution"] == "idle" => Ok(()),
            status => Err(format!("{status}; the pane:\n{}", agent.world.screen(&agent.real.agent.pane))),
        });
        let told = Told::all(&agent.http);
        let submitted = told.iter().filter(|told| told.state == "completed").count();
        // A text reaches the model a moment after the tool took it.
        eventually_within(Duration::from_secs(30), "the model to get what was submitted", || match agent.texts() {
            texts if texts.len() >= submitted => Ok(()),
            texts => Err(format!("{submitted} submitted, got {texts:#?}")),
        });
        let uncertain: Vec<String> = told
            .iter()
            .filter(|told| told.state != "completed")
            .map(|told| format!("{:#}", agent.shown(&told.id)))
            .collect();
        eprintln!("{what}: {} prompts, {} uncertain", self.all.len(), uncertain.len());
        Checker { sent: self.all.clone(), told, got: agent.texts(), person: Vec::new() }.holds();
        for sent in &self.all {
            let shown = agent.shown(sent.id.as_ref().unwrap());
            let receipts = shown["receipts"].as_array().unwrap();
            let ends = receipts.iter().filter(|one| one["receipt"] == "turn_ended").count();
            assert!(ends <= 1, "{shown:#}");
        }
        assert!(uncertain.is_empty(), "the pane's own memory tells what became of each: {}", uncertain.join("\n"));
    }
}

/// Dies once at every receipt, and then at moments that only the seed knows.
fn deaths_at_any_moment(tool: Tool, seed: u64) {
    let Some(mut sending) = Sending::new(tool) else { return };
    for step in ["queued", "typing", "typed", "submitted", "turn_started"] {
        let stream = sending.agent.http.events("/v1/events").unwrap();
        let gateway = sending.agent.world.gateway_pid();
        let id = sending.send();
        stream.until(step, |event| {
            event.comment.is_none() && event.json()["request_id"] == id.as_str() && event.json()["receipt"] == step
        });
        signal(gateway, Signal::KILL);
        sending.agent.kill_and_restart();
    }
    let mut chance = Seeded::new(seed);
    while sending.all.len() < 14 {
        for _ in 0..chance.within(1..3) {
            sending.send();
        }
        for _ in 0..chance.within(1..3) {
            // Spread over the time that one prompt takes.
            std::thread::sleep(Duration::from_micros(chance.within(0..700_000)));
            sending.agent.kill_and_restart();
        }
    }
    sending.holds(&format!("seed {seed}"));
}

#[test]
fn deaths_of_claudes_gateway_send_nothing_twice_and_lose_nothing() {
    deaths_at_any_moment(Tool::Claude, 20_261_122);
}

#[test]
fn deaths_of_codexs_gateway_send_nothing_twice_and_lose_nothing() {
    deaths_at_any_moment(Tool::Codex, 20_261_123);
}

//! A scripted agent with a gateway, and what a caller asks of both.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Agent, Checker, Http, Log, Sent, Told, World, eventually, port_of};

/// One agent, its log, and its gateway.
pub struct Live {
    pub world: World,
    pub agent: Agent,
    pub log: Log,
    pub http: Http,
}

impl Live {
    /// A composer with these settings, and a gateway in the background, which can be stopped and killed.
    #[track_caller]
    pub fn new(steps: &[&str]) -> Self {
        let world = World::new();
        let (agent, log) = world.tui("alpha", steps);
        log.wait_for_note("ready", 1);
        Self::over(world, agent, log)
    }

    /// A gateway for this agent.
    #[track_caller]
    pub fn over(world: World, agent: Agent, log: Log) -> Self {
        let http = Http::new(world.attach_quietly(&agent));
        Self { world, agent, log, http }
    }

    /// Kills the gateway as it is, and starts the next one.
    #[track_caller]
    pub fn kill_and_restart(&mut self) {
        self.world.kill_gateways();
        self.http = Http::new(self.world.attach_quietly(&self.agent));
    }

    #[track_caller]
    pub fn restart(&mut self) {
        self.http = Http::new(self.world.attach_quietly(&self.agent));
    }

    /// Queues a prompt; returns its id.
    #[track_caller]
    pub fn send(&self, text: &str) -> String {
        self.http.queue_prompt(text)
    }

    /// Queues an interrupt; returns its id.
    #[track_caller]
    pub fn interrupt(&self) -> String {
        self.http.queue_interrupt()
    }

    /// The request with its receipts.
    #[track_caller]
    pub fn shown(&self, id: &str) -> Value {
        self.http.shown(id)
    }

    /// Names of the receipts of a request, oldest first.
    #[track_caller]
    pub fn receipts(&self, id: &str) -> Vec<String> {
        Told::read(&self.shown(id)).receipts
    }

    /// Waits until the request is over; returns it.
    #[track_caller]
    pub fn ended(&self, id: &str) -> Value {
        eventually(&format!("the end of {id}"), || match self.shown(id) {
            shown if ["completed", "failed", "coalesced"].contains(&shown["state"].as_str().unwrap()) => Ok(shown),
            shown => Err(format!("{shown}; the pane:\n{}", self.world.screen(&self.agent.pane))),
        })
    }

    /// Waits until the prompt is submitted.
    #[track_caller]
    pub fn completed(&self, id: &str) -> Value {
        let shown = self.ended(id);
        assert_eq!(shown["state"], "completed", "{shown}");
        shown
    }

    /// Waits until the request has failed; its last receipt has this name and reason.
    #[track_caller]
    pub fn failed(&self, id: &str, receipt: &str, reason: &str) -> Value {
        let shown = self.ended(id);
        let last = shown["receipts"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(
            (&shown["state"], &last["receipt"], &last["reason"]),
            (&"failed".into(), &receipt.into(), &reason.into()),
            "{shown}"
        );
        assert!(shown["error_detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{shown}");
        shown
    }

    /// Waits until the newest receipt of a request says that it waits for this.
    #[track_caller]
    pub fn deferred(&self, id: &str, reason: &str) {
        eventually(&format!("{id} to wait for `{reason}`"), || {
            let shown = self.shown(id);
            let last = shown["receipts"].as_array().unwrap().last().unwrap();
            if last["receipt"] == "deferred" && last["reason"] == reason { Ok(()) } else { Err(shown.to_string()) }
        });
    }

    /// Waits until a request has this receipt.
    #[track_caller]
    pub fn receives(&self, id: &str, receipt: &str) {
        eventually(&format!("the receipt `{receipt}` of {id}"), || match self.receipts(id) {
            receipts if receipts.iter().any(|name| name == receipt) => Ok(()),
            receipts => Err(format!("{receipts:?}; the pane:\n{}", self.world.screen(&self.agent.pane))),
        });
    }

    /// What the gateway says about itself.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.http.get("/v1/status").ok()
    }

    /// Waits until nothing waits and nothing runs.
    #[track_caller]
    pub fn drained(&self, limit: Duration) {
        eventually_within(limit, "an empty queue", || match self.status() {
            status if status["queue_depth"] == 0 && status["active_execution"] == "idle" => Ok(()),
            status => Err(format!("{status}; the pane:\n{}", self.world.screen(&self.agent.pane))),
        });
    }

    /// Checks every promise over this run.
    #[track_caller]
    pub fn holds(&self, sent: &[Sent], person: &[String]) {
        let run = Checker {
            sent: sent.to_vec(),
            told: Told::all(&self.http),
            got: self.log.texts(),
            person: person.to_vec(),
        };
        run.holds();
    }

    /// Presses keys in the agent's pane with tmux, as no person and no gateway.
    pub fn keys(&self, keys: &[&str]) {
        self.world.tmux(&[&["send-keys", "-t", &self.agent.pane], keys].concat());
    }
}

impl World {
    /// Attaches in the background; returns the port.
    #[track_caller]
    pub fn attach_quietly(&self, agent: &Agent) -> u16 {
        let attached = self.agents(&["gateway", "attach", "--background", "--json", "--agent-id", &agent.id]);
        assert_eq!(attached.status, 0, "{attached:#?}\nits log:\n{}", agent.log());
        port_of(&attached.json())
    }
}

/// The body that queues a prompt.
pub fn prompt(text: &str) -> Value {
    json!({"schema_version": 1, "kind": "submit_prompt", "payload": {"prompt": text}})
}

/// The id in an answer or a row.
#[track_caller]
pub fn id_of(answer: &Value) -> String {
    answer["request_id"].as_str().unwrap_or_else(|| panic!("no id in {answer}")).to_owned()
}

/// Waits longer than `eventually`, for what takes long by its nature.
#[track_caller]
pub fn eventually_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) if Instant::now() > deadline => panic!("waited in vain for {what}; last seen: {last}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

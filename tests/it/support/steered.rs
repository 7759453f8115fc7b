//! A real agent with a gateway, and what a caller asks of both.

use serde_json::Value;

use super::{Http, REAL_PATIENCE, Real, Tool, Turn, World, eventually_within, id_of, prompt};

/// One real agent and its gateway. Dropped in this order: the agent's processes, then the world.
pub struct Steered {
    pub http: Http,
    pub real: Real,
    pub world: World,
}

impl Steered {
    /// `None` where the tool is not installed.
    #[track_caller]
    pub fn new(tool: Tool) -> Option<Self> {
        let world = World::new();
        let real = world.real("alpha", tool)?;
        let http = Http::new(world.attach_quietly(&real.agent));
        Some(Self { http, real, world })
    }

    /// Queues a prompt; returns its id.
    #[track_caller]
    pub fn send(&self, text: &str) -> String {
        self.http.queue_prompt(text)
    }

    /// Queues a prompt, and sends the same again until it is answered: what a careful caller does.
    #[track_caller]
    pub fn send_surely(&self, text: &str, key: &str) -> String {
        let (http, body) = (self.http.with("Idempotency-Key", key), prompt(text).to_string());
        eventually_within(REAL_PATIENCE, "an answer", || {
            let mut connection = http.try_keep().map_err(|error| error.to_string())?;
            match connection.send("POST", "/v1/requests", Some(body.as_bytes())) {
                Ok(answer) if answer.status == 200 => Ok(id_of(&answer.json())),
                other => Err(format!("{other:?}")),
            }
        })
    }

    /// Kills the gateway as it is, and starts the next one.
    #[track_caller]
    pub fn kill_and_restart(&mut self) {
        self.world.kill_gateways();
        self.http = Http::new(self.world.attach_quietly(&self.real.agent));
    }

    /// Queues an interrupt; returns its id.
    #[track_caller]
    pub fn interrupt(&self) -> String {
        self.http.queue_interrupt()
    }

    #[track_caller]
    pub fn shown(&self, id: &str) -> Value {
        self.http.shown(id)
    }

    /// Waits until this is so for a request; returns it.
    #[track_caller]
    pub fn until(&self, id: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually_within(REAL_PATIENCE, &format!("{id}: {what}"), || match self.shown(id) {
            shown if fits(&shown) => Ok(shown),
            shown => Err(format!("{shown:#}; the pane:\n{}", self.world.screen(&self.real.agent.pane))),
        })
    }

    /// The turn that a request began, as `GET /v1/turns` has it; null while there is none.
    #[track_caller]
    pub fn turn_of(&self, id: &str) -> Value {
        let turns = self.http.get("/v1/turns?limit=500").ok();
        let ours = turns["turns"].as_array().and_then(|turns| turns.iter().find(|turn| turn["request_id"] == id));
        ours.cloned().unwrap_or_default()
    }

    /// Waits until the prompt is submitted.
    #[track_caller]
    pub fn completed(&self, id: &str) -> Value {
        let shown = self.until(id, "its end", |shown| {
            ["completed", "failed"].contains(&shown["state"].as_str().unwrap_or_default())
        });
        assert_eq!(shown["state"], "completed", "{shown:#}");
        shown
    }

    /// Waits until a receipt of this name (and reason) is there; returns the newest such.
    #[track_caller]
    pub fn receipt(&self, id: &str, name: &str, reason: Option<&str>) -> Value {
        let find = |shown: &Value| {
            let all = shown["receipts"].as_array().cloned().unwrap_or_default();
            all.into_iter().rev().find(|one| one["receipt"] == name && reason.is_none_or(|why| one["reason"] == why))
        };
        let what = format!("`{name}` {}", reason.unwrap_or_default());
        find(&self.until(id, &what, |shown| find(shown).is_some())).unwrap()
    }

    /// Waits until the request's turn is over; returns the evidence.
    #[track_caller]
    pub fn turn_ended(&self, id: &str) -> Value {
        self.receipt(id, "turn_ended", None)["evidence"].clone()
    }

    /// Waits until the request's turn is over, however it ended; returns the receipt.
    #[track_caller]
    pub fn turn_over(&self, id: &str) -> Value {
        self.receipt(id, "turn_ended", None)
    }

    /// Waits until a dialog is open; returns it.
    #[track_caller]
    pub fn approval(&self) -> Value {
        eventually_within(REAL_PATIENCE, "an open dialog", || {
            match self.http.get("/v1/approvals").ok()["approvals"][0].clone() {
                Value::Null => Err(self.world.screen(&self.real.agent.pane)),
                open => Ok(open),
            }
        })
    }

    /// What arrived at the model so far.
    pub fn arrived(&self) -> Vec<Turn> {
        self.real.model.turns().into_iter().filter(|turn| !turn.after_tool).collect()
    }

    /// Texts that arrived at the model so far.
    pub fn texts(&self) -> Vec<String> {
        self.arrived().into_iter().map(|turn| turn.text).collect()
    }
}

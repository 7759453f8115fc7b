//! One run: a request of the queue, told as a stream of events from its acceptance to the end of its turn.
//!
//! The journal tells: whenever it grew, what is new about this request is read. The request goes on when its reader
//! leaves.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tokio::sync::{
    broadcast::{self, error::RecvError},
    watch,
};

use super::{Alone, News, RunInput};
use crate::{
    api::{EventView, OnDraft, RequestPayload, SubmitPrompt},
    model::{RequestId, RequestKind, RequestState},
    os::clock,
    queue::{NewWork, Queue, Refusal},
    tracker::{Phase, Tracker},
};

/// Journal entries that are read together.
const PAGE: usize = 100;

const REQUEST_FAILED: &str = "houmao_gateway_request_failed";
const STREAM_FAILED: &str = "houmao_run_stream_failed";

/// Ours: it was typed, and the agent did not bring it to a good end.
const TURN_FAILED: &str = "agents_turn_failed";

/// The stream of one run.
#[derive(Debug)]
pub struct Run {
    queue: Queue,
    tracker: Tracker,
    input: RunInput,
    family: &'static str,
    request: RequestId,
    newest: watch::Receiver<u64>,
    cursor: u64,
    news: broadcast::Receiver<News>,
    stopping: watch::Receiver<bool>,
    ready: VecDeque<Value>,
    /// Somebody else told the reply as it came.
    told_reply: bool,
    over: bool,
    /// No other run begins while this one is followed.
    _alone: Alone,
}

/// What speaks against a run now.
pub(super) fn is_busy(queue: &Queue, tracker: &Tracker) -> Option<String> {
    if let Some(running) = &queue.activity().borrow().running {
        return Some(format!("request {running} is being typed"));
    }
    let waiting = queue.depth().waiting;
    if waiting > 0 {
        return Some(format!("{waiting} requests wait in the queue"));
    }
    match tracker.now_state().phase {
        Phase::Active => Some("the agent works on something".to_owned()),
        Phase::Blocked => Some("the agent waits for the answer to a dialog".to_owned()),
        Phase::Ready | Phase::Unknown => None,
    }
}

/// What the agent does now.
pub(super) fn observation(tracker: &Tracker) -> Value {
    let state = tracker.now_state();
    json!({
        "turnPhase": state.phase.name(),
        "acceptingInput": state.surface.accepting_input.name(),
        "editingInput": state.surface.editing_input.name(),
        "readyPosture": state.surface.ready_posture.name(),
        "stable": state.stability.stable,
        "observedAtUtc": clock::now().iso_seconds(),
    })
}

fn custom(name: &str, value: &Value) -> Value {
    json!({ "type": "CUSTOM", "name": name, "value": value })
}

/// What the one turn of a run does: the last one of these counts. An agent in a terminal is observed instead.
fn activity(content: &Value) -> Value {
    let message = format!("activity-{}", content["turnId"].as_str().unwrap_or_default());
    json!({ "type": "ACTIVITY_SNAPSHOT", "messageId": message, "activityType": "houmao.headless.turn",
        "content": content, "replace": true })
}

impl Run {
    /// Puts the prompt on disk.
    #[expect(clippy::too_many_arguments, reason = "the handles of one agent, given once")]
    pub(super) async fn begin(
        queue: Queue,
        tracker: Tracker,
        input: RunInput,
        prompt: String,
        family: &'static str,
        news: broadcast::Receiver<News>,
        stopping: watch::Receiver<bool>,
        alone: Alone,
    ) -> Result<Self, Refusal> {
        let newest = queue.newest_event();
        let (_, cursor) = queue.event_range().await?;
        let payload = SubmitPrompt { prompt, turn_id: None, chat_session: None, execution: None };
        let payload = RequestPayload::SubmitPrompt(payload).stored();
        let work =
            NewWork { kind: RequestKind::SubmitPrompt, payload, key: None, expires_in: None, on_draft: OnDraft::Wait };
        let accepted = queue.accept(work).await?;
        let request: RequestId = accepted
            .request_id
            .parse()
            .map_err(|error| Refusal::new(500, "internal", format!("the queue's own id: {error}")))?;
        let mut ready = VecDeque::new();
        let (thread, run) = (&input.thread_id, &input.run_id);
        ready.push_back(json!({ "type": "RUN_STARTED", "threadId": thread, "runId": run }));
        if family == "tui" {
            ready.push_back(custom("houmao.tui.observation", &observation(&tracker)));
        }
        Ok(Self {
            queue,
            tracker,
            input,
            family,
            request,
            newest,
            cursor,
            news,
            stopping,
            ready,
            told_reply: false,
            over: false,
            _alone: alone,
        })
    }

    /// The next event; `None` after `RUN_FINISHED` or `RUN_ERROR`. May be called anew after it was given up.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            if *self.stopping.borrow() {
                let why = format!("the gateway stops; request {} goes on with the next one", self.request);
                self.fail(STREAM_FAILED, &why);
                continue;
            }
            self.hear();
            self.newest.mark_unchanged();
            match self.queue.events(self.cursor, Some(&self.request), PAGE).await {
                Ok(page) if !page.is_empty() => {
                    self.hear();
                    for entry in page {
                        self.cursor = entry.id;
                        self.take(&entry);
                    }
                }
                Ok(_) => self.wait().await,
                Err(refusal) => self.fail(STREAM_FAILED, &refusal.detail),
            }
        }
    }

    async fn wait(&mut self) {
        tokio::select! {
            changed = self.newest.changed() => {
                if changed.is_err() {
                    self.fail(STREAM_FAILED, "the gateway's store has ended");
                }
            }
            news = self.news.recv() => match news {
                Ok(news) => self.forward(&news),
                Err(RecvError::Lagged(missed)) => {
                    self.ready.push_back(custom("agents.events.dropped", &json!({ "droppedCount": missed })));
                }
                // The sender lives as long as the agent.
                Err(RecvError::Closed) => self.fail(STREAM_FAILED, "the gateway has ended"),
            },
            () = stopped(&mut self.stopping) => {}
        }
    }

    /// Takes in what was told meanwhile.
    fn hear(&mut self) {
        loop {
            match self.news.try_recv() {
                Ok(news) => self.forward(&news),
                Err(broadcast::error::TryRecvError::Lagged(missed)) => {
                    self.ready.push_back(custom("agents.events.dropped", &json!({ "droppedCount": missed })));
                }
                Err(_) => return,
            }
        }
    }

    fn forward(&mut self, news: &News) {
        let (request, event) = &**news;
        if *request == self.request {
            self.told_reply |= event["type"].as_str().is_some_and(|kind| kind.starts_with("TEXT_MESSAGE_"));
            self.ready.push_back(event.clone());
        }
    }

    /// One entry of the journal about this request.
    fn take(&mut self, entry: &EventView) {
        if self.over {
            return;
        }
        let text = |name: &str| entry.data.get(name).and_then(Value::as_str);
        let receipt = text("receipt").unwrap_or_default().to_owned();
        let value = json!({ "gatewayRequestId": self.request, "kind": entry.kind, "receipt": text("receipt"),
            "reason": text("reason"), "detail": text("detail"), "atUtc": entry.at_utc });
        self.ready.push_back(custom("houmao.gateway.event", &value));
        let evidence = entry.data.get("evidence").cloned().unwrap_or_default();
        match receipt.as_str() {
            "turn_started" if self.family == "headless" => {
                self.ready.push_back(activity(&json!({ "turnPhase": "active", "turnId": evidence["turn_id"],
                    "startedAtUtc": evidence["started_at_utc"] })));
            }
            "turn_ended" => self.finish(&evidence),
            "refused" | "indeterminate" => {
                let why = text("detail").or_else(|| text("reason")).unwrap_or("it was not done");
                self.fail(REQUEST_FAILED, &format!("request {} was {receipt}: {why}", self.request));
            }
            _ => {}
        }
    }

    /// The turn is over: what was answered, how it stands, the end.
    fn finish(&mut self, evidence: &Value) {
        if let Some(reply) = evidence["reply"].as_str().filter(|reply| !reply.is_empty() && !self.told_reply) {
            let message = evidence["turn_id"].as_str().unwrap_or(self.request.as_str()).to_owned();
            self.ready.extend([
                json!({ "type": "TEXT_MESSAGE_START", "messageId": message, "role": "assistant" }),
                json!({ "type": "TEXT_MESSAGE_CONTENT", "messageId": message, "delta": reply }),
                json!({ "type": "TEXT_MESSAGE_END", "messageId": message }),
            ]);
        }
        if self.family == "headless" {
            self.ready.push_back(activity(&json!({ "turnPhase": "ready", "turnId": evidence["turn_id"],
                "startedAtUtc": evidence["started_at_utc"], "endedAtUtc": evidence["ended_at_utc"],
                "outcome": evidence["outcome"], "exitCode": evidence["exit_code"], "usage": evidence["usage"],
                "replyExact": evidence["exact"], "replyMissing": evidence["reply_missing"] })));
        }
        if self.family == "tui" {
            let mut seen = observation(&self.tracker);
            seen["outcome"] = evidence["outcome"].clone();
            seen["replyExact"] = evidence["exact"].clone();
            seen["replyMissing"] = evidence["reply_missing"].clone();
            self.ready.push_back(custom("houmao.tui.observation", &seen));
        }
        let words = match evidence["outcome"].as_str() {
            Some("failed") => Some("failed"),
            Some("interrupted") => Some("was interrupted"),
            // A program that did not say how it ended.
            Some("unknown") if self.family == "headless" => Some("came to no known end"),
            _ => None,
        };
        if let Some(words) = words {
            let why = evidence["error"].as_str().map(|error| format!(": {error}")).unwrap_or_default();
            return self.fail(TURN_FAILED, &format!("the turn {words}{why}"));
        }
        // Only what was submitted has a turn.
        let result = json!({ "gatewayRequestId": self.request, "gatewayRequestState": RequestState::Completed,
            "targetTransportFamily": self.family });
        let (thread, run) = (&self.input.thread_id, &self.input.run_id);
        self.ready.push_back(json!({ "type": "RUN_FINISHED", "threadId": thread, "runId": run, "result": result }));
        self.over = true;
    }

    fn fail(&mut self, code: &str, message: &str) {
        self.ready.push_back(json!({ "type": "RUN_ERROR", "message": message, "code": code }));
        self.over = true;
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}

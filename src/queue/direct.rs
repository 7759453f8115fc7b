//! Direct prompts and keys: at once or not at all, in the same slot as everything else.
//!
//! The caller only waits: the worker does it, so a caller that leaves stops nothing half-way.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{
    AgentNow, Key, Queue, Refusal,
    door::key_reused,
    recover::After,
    run::{Done, Text},
    worker::Worker,
};
use crate::{
    api::{AdmissionPolicy, ControlInputSent, ControlPromptSent, KeyPress, SpecialKey},
    delivery::{Decision, Policy, Prompt, Stage, decide, survey},
    model::{Note, Receipt, RequestId, RequestKind, RequestState, Route},
    os::{clock, random},
    store::{Admitted, Answer, NewRow},
    tmux::input::{Acted, Guard, Hand, HandError, Look, Mark, Stroke},
};

/// How long a pane that moves may take to come to rest before it counts as not ready.
const REST: Duration = Duration::from_millis(300);

/// How long the agent may take to be ready in a new conversation (contract section 4.3).
const NEW_CHAT: Duration = Duration::from_secs(15);

/// Programs take what follows an Escape at once for one key with it.
const AFTER_ESCAPE: Duration = Duration::from_millis(150);

/// Work for the worker, with the caller that waits for it.
#[derive(Debug)]
pub(super) enum Job {
    Prompt(DirectPrompt, oneshot::Sender<Result<ControlPromptSent, Refusal>>),
    Keys(DirectKeys, oneshot::Sender<Result<ControlInputSent, Refusal>>),
}

#[derive(Debug)]
pub(super) struct DirectPrompt {
    prompt: Prompt,
    policy: AdmissionPolicy,
    new_chat: bool,
    key: Option<Key>,
}

#[derive(Debug)]
pub(super) struct DirectKeys {
    keys: Vec<KeyPress>,
    sequence: String,
    escaped: bool,
    key: Option<Key>,
}

impl Queue {
    /// Types a prompt at once or not at all. `new_chat`: into a new conversation.
    ///
    /// # Errors
    /// [`Refusal`] with an `error_code` of the contract.
    pub async fn control_prompt(
        &self,
        prompt: String,
        policy: AdmissionPolicy,
        new_chat: bool,
        key: Option<Key>,
    ) -> Result<ControlPromptSent, Refusal> {
        if let Some(answer) = self.answered(key.as_ref()).await? {
            return again(answer.answer);
        }
        let asked = async {
            self.check_open()?;
            let prompt =
                Prompt::clean(&prompt).map_err(|error| Refusal::new(422, "invalid_prompt", error.to_string()))?;
            let _taken = (policy == AdmissionPolicy::ReadyOnly).then(|| self.only_one()).transpose()?;
            let direct = DirectPrompt { prompt, policy, new_chat, key };
            self.ask(|answer| Job::Prompt(direct, answer)).await
        };
        let answer = asked.await;
        match &answer {
            Ok(_) => self.record("control_prompt_submitted", json!({ "admission_policy": policy })).await,
            Err(refusal) => self.note_refused_prompt(policy, refusal).await,
        }
        answer
    }

    /// Notes a direct prompt that was refused.
    pub async fn note_refused_prompt(&self, policy: AdmissionPolicy, refusal: &Refusal) {
        let data = json!({ "admission_policy": policy, "error_code": refusal.code, "detail": refusal.detail });
        self.record("control_prompt_refused", data).await;
    }

    /// Presses keys, in the order of all that is typed.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn send_keys(
        &self,
        keys: Vec<KeyPress>,
        sequence: String,
        escaped: bool,
        key: Option<Key>,
    ) -> Result<ControlInputSent, Refusal> {
        if let Some(answer) = self.answered(key.as_ref()).await? {
            return again(answer.answer);
        }
        self.check_open()?;
        let direct = DirectKeys { keys, sequence, escaped, key };
        self.ask(|answer| Job::Keys(direct, answer)).await
    }

    /// A prompt that wants to disturb nobody is alone, or is refused: of two at once exactly one goes on.
    fn only_one(&self) -> Result<Alone<'_>, Refusal> {
        let activity = self.inner.activity.borrow().clone();
        if activity.running.is_some() || activity.depth.waiting > 0 {
            let detail = format!("{} requests wait or run before it", activity.depth.waiting.max(1));
            return Err(Refusal::new(409, "not_ready", detail));
        }
        Alone::take(&self.inner.alone)
            .ok_or_else(|| Refusal::new(409, "not_ready", "another direct prompt is being typed"))
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Job) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        let stopping = || Refusal::new(503, "unavailable", "the gateway is stopping").again_in(1);
        self.inner.jobs.send(job(answer)).await.map_err(|_closed| stopping())?;
        answered.await.map_err(|_dropped| stopping())?
    }

    async fn record(&self, kind: &'static str, data: Value) {
        if let Err(error) = self.inner.store.record(None, kind, data, clock::now()).await {
            tracing::warn!(%error, kind, "an event could not be recorded");
        }
    }

    /// Puts direct work on record before anything is typed.
    async fn register(
        &self,
        kind: RequestKind,
        route: Route,
        payload: &Value,
        key: Option<&Key>,
    ) -> Result<RequestId, Refusal> {
        let now = clock::now();
        let row = NewRow {
            id: RequestId::direct(now, random::serial()),
            kind,
            payload_json: payload.to_string(),
            epoch: self.inner.agent.borrow().epoch,
            route,
            accepted_at: now,
            expires_at: None,
            key: key.map(|key| (key.text.clone(), key.digest)),
        };
        let id = row.id.clone();
        match self.inner.store.accept(row, u64::MAX).await? {
            Admitted::New { .. } => Ok(id),
            Admitted::Replay(_) => {
                Err(Refusal::new(409, "in_progress", "the first request with this key is still being done"))
            }
            Admitted::KeyReused | Admitted::Full { .. } => Err(key_reused()),
        }
    }

    /// Keeps the answer for the same key.
    async fn answer<T: serde::Serialize>(&self, id: &RequestId, answer: &T) {
        let body = serde_json::to_string(answer).unwrap_or_default();
        if let Err(error) = self.inner.store.settle_answer(id, 200, body).await {
            tracing::warn!(%error, request_id = %id, "an answer could not be kept for its key");
        }
    }
}

/// Held while a prompt that wants to be alone is on its way.
struct Alone<'a>(&'a AtomicBool);

impl<'a> Alone<'a> {
    fn take(flag: &'a AtomicBool) -> Option<Self> {
        (!flag.swap(true, Ordering::AcqRel)).then(|| Self(flag))
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The answer that the first request with a key got.
fn again<T: serde::de::DeserializeOwned>(answer: Answer) -> Result<T, Refusal> {
    match answer {
        Answer::Given { body, .. } => serde_json::from_str(&body).map_err(|_other| key_reused()),
        Answer::Queued { .. } => Err(key_reused()),
        Answer::Pending => {
            let detail =
                "the first request with this key is still being done, or a crash ended it; `GET /v1/requests` shows it";
            Err(Refusal::new(409, "in_progress", detail))
        }
    }
}

fn policy_of(policy: AdmissionPolicy) -> Policy {
    match policy {
        AdmissionPolicy::ReadyOnly => Policy::ReadyOnly,
        AdmissionPolicy::IfNoPending => Policy::IfNoPending,
        AdmissionPolicy::Always => Policy::Always,
    }
}

/// The contract's code for what speaks against a prompt (section 4.3, checks 8, 9 and 13).
fn not_now(policy: Policy, reason: &str, detail: String) -> Refusal {
    match (policy, reason) {
        (Policy::ReadyOnly, _) | (_, "person_typing") => Refusal::new(409, "not_ready", format!("{reason}: {detail}")),
        (Policy::IfNoPending, "draft") => Refusal::new(409, "pending_input", detail),
        (Policy::IfNoPending, "pending_unknown") => Refusal::new(409, "pending_input_unknown", detail),
        _ => Refusal::new(422, "dispatch_failed", format!("{reason}: {detail}")),
    }
}

fn failed(error: &HandError) -> Refusal {
    Refusal::new(422, "dispatch_failed", format!("tmux_unreachable: {error}"))
}

impl Worker {
    /// Does one piece of direct work and answers its caller.
    pub(super) async fn direct(&mut self, job: Job) {
        // A caller that left in the meantime is answered into nothing; what was typed is on record.
        match job {
            Job::Prompt(prompt, answer) => {
                let done = self.direct_prompt(prompt).await;
                self.notice(done.as_ref().err());
                drop(answer.send(done));
            }
            Job::Keys(keys, answer) => {
                let done = self.direct_keys(keys).await;
                self.notice(done.as_ref().err());
                drop(answer.send(done));
            }
        }
    }

    /// When the store failed, the work may be half done.
    fn notice(&mut self, refusal: Option<&Refusal>) {
        if refusal.is_some_and(|refusal| refusal.status >= 500) {
            self.unsettled.get_or_insert(After::Failure);
        }
    }

    async fn direct_prompt(&mut self, direct: DirectPrompt) -> Result<ControlPromptSent, Refusal> {
        let (hand, agent) = (self.queue.hand(), self.queue.agent());
        let policy = policy_of(direct.policy);
        let mut look = self.rest(&hand, &direct.prompt, policy, REST).await?;
        let payload = json!({ "prompt": direct.prompt.text(), "admission_policy": direct.policy,
            "chat_session": direct.new_chat.then(|| json!({ "mode": "new" })) });
        let id =
            self.queue.register(RequestKind::SubmitPrompt, Route::ControlPrompt, &payload, direct.key.as_ref()).await?;
        if direct.new_chat {
            look = self.new_chat(&hand, &id, &agent, look, &direct.prompt).await?;
        }
        let text = Text { id: id.clone(), kind: RequestKind::SubmitPrompt, prompt: direct.prompt, pid: pid_of(&agent) };
        let (code, detail) = match self.queue.deliver(&hand, &text, Stage::Fresh(Box::new(look))).await {
            Ok(Done::Submitted(turn)) => {
                self.follow_next(turn);
                let sent = ControlPromptSent::new(direct.policy, format!("the prompt was submitted as request {id}"));
                self.queue.answer(&id, &sent).await;
                return Ok(sent);
            }
            Ok(Done::Waits(reason, detail) | Done::PutBack(reason, detail)) => {
                self.queue.refuse(&id, reason, &detail).await?;
                return Err(not_now(policy, reason, detail));
            }
            Ok(Done::Withdrawn) => ("withdrawn", "the request was taken back".to_owned()),
            Ok(Done::Unproven(detail)) => ("unconfirmed", format!("request {id}: {detail}")),
            Err(closed) => return Err(closed.into()),
        };
        Err(Refusal::new(422, "dispatch_failed", format!("{code}: {detail}")))
    }

    /// Looks until the text may be typed, or until something speaks against it that does not pass by itself.
    async fn rest(&mut self, hand: &Hand, prompt: &Prompt, policy: Policy, limit: Duration) -> Result<Look, Refusal> {
        let begun = Instant::now();
        loop {
            let look = hand.look().await.map_err(|error| failed(&error))?;
            let (around, reading) = survey(&look, &self.queue.inner.place.tool);
            let quiet = self.quiet.observe(&look, self.age());
            let now = clock::now().epoch_millis() / 1000;
            match decide(prompt, &look, &around, &reading, policy, quiet, now) {
                Decision::Go => return Ok(look),
                Decision::Wait("settling", _) if begun.elapsed() < limit => sleep(Duration::from_millis(10)).await,
                Decision::Wait("settling", detail) => return Err(not_now(policy, "busy", detail)),
                Decision::Wait(reason, detail) => return Err(not_now(policy, reason, detail)),
                Decision::Refuse(reason, detail) => {
                    return Err(Refusal::new(422, "dispatch_failed", format!("{reason}: {detail}")));
                }
            }
        }
    }

    /// The tool's own reset command, and the wait until it is ready again.
    async fn new_chat(
        &mut self,
        hand: &Hand,
        id: &RequestId,
        agent: &AgentNow,
        look: Look,
        next: &Prompt,
    ) -> Result<Look, Refusal> {
        let tool = &self.queue.inner.place.tool;
        let command = if tool.starts_with("codex") { "/new" } else { "/clear" };
        let unready = |detail: String| Refusal::new(422, "dispatch_failed", format!("new conversation: {detail}"));
        let prompt = Prompt::clean(command).map_err(|error| unready(error.to_string()))?;
        let payload = json!({ "prompt": command, "for": id.as_str() });
        let reset = self.queue.register(RequestKind::SubmitPrompt, Route::ControlPrompt, &payload, None).await?;
        let text = Text { id: reset, kind: RequestKind::SubmitPrompt, prompt, pid: pid_of(agent) };
        let refused = match self.queue.deliver(hand, &text, Stage::Fresh(Box::new(look))).await {
            Ok(Done::Submitted(_)) => None,
            Ok(Done::Waits(reason, detail) | Done::PutBack(reason, detail)) => {
                self.queue.refuse(&text.id, reason, &detail).await?;
                Some(detail)
            }
            Ok(Done::Withdrawn) => Some("it was taken back".to_owned()),
            Ok(Done::Unproven(detail)) => Some(detail),
            Err(closed) => return Err(closed.into()),
        };
        if let Some(detail) = refused {
            self.queue.refuse(id, "new_chat", &detail).await?;
            return Err(unready(detail));
        }
        self.quiet.reset();
        let begun = Instant::now();
        loop {
            match self.rest(hand, next, Policy::ReadyOnly, REST).await {
                Ok(look) => return Ok(look),
                Err(refusal) if begun.elapsed() >= NEW_CHAT => {
                    self.queue.refuse(id, "new_chat", &refusal.detail).await?;
                    return Err(unready(refusal.detail));
                }
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn direct_keys(&mut self, direct: DirectKeys) -> Result<ControlInputSent, Refusal> {
        let (hand, agent) = (self.queue.hand(), self.queue.agent());
        let look = hand.look().await.map_err(|error| failed(&error))?;
        let (_, reading) = survey(&look, &self.queue.inner.place.tool);
        // Keys may answer a dialog or wake a program, so readiness does not count; that they arrive does.
        if let Some(why) = reading.against.filter(|why| why.hard && why.reason != "dialog") {
            return Err(Refusal::new(422, "dispatch_failed", format!("{}: {}", why.reason, why.detail)));
        }
        let payload = json!({ "sequence": direct.sequence, "escape_special_keys": direct.escaped });
        let id = self.queue.register(RequestKind::SendKeys, Route::SendKeys, &payload, direct.key.as_ref()).await?;
        let _slot = match self.queue.slot() {
            Ok(slot) => slot,
            Err((reason, detail)) => {
                self.queue.refuse(&id, reason, &detail).await?;
                return Err(Refusal::new(409, "not_ready", detail).again_in(1));
            }
        };
        let store = &self.queue.inner.store;
        store.begin(&id, clock::now(), vec![Note::new(Receipt::Typing)]).await?;
        let typed = self.type_keys(&hand, &id, pid_of(&agent), &direct.keys).await;
        let now = clock::now();
        let (state, error, note) = match &typed {
            Ok(()) => (RequestState::Completed, None, Note::new(Receipt::Submitted)),
            Err((receipt, reason, detail)) => {
                let note = Note::new(*receipt).because(reason, detail.clone());
                (RequestState::Failed, Some(format!("{receipt} ({reason}): {detail}")), note)
            }
        };
        store.finish(&id, state, error, None, vec![note], now).await?;
        let preview: String = direct.sequence.chars().take(120).collect();
        let data = json!({ "escape_special_keys": direct.escaped, "sequence_preview": preview,
            "submitted_at_utc": now.iso_seconds() });
        match typed {
            Ok(()) => {
                self.queue.record("control_input", data).await;
                let sent = ControlInputSent::new(format!("the keys were typed as request {id}"));
                self.queue.answer(&id, &sent).await;
                Ok(sent)
            }
            Err((_, reason, detail)) => Err(Refusal::new(422, "dispatch_failed", format!("{reason}: {detail}"))),
        }
    }

    /// Types a sequence: one message for all of it, cut only behind an Escape.
    async fn type_keys(
        &self,
        hand: &Hand,
        id: &RequestId,
        pid: u32,
        keys: &[KeyPress],
    ) -> Result<(), (Receipt, &'static str, String)> {
        let unreachable = |error: HandError| match error {
            HandError::NoAnswer(why) => (Receipt::Indeterminate, "unconfirmed", why),
            HandError::Gone(why) => (Receipt::Indeterminate, "server_lost", why),
            HandError::Failed(why) => (Receipt::Refused, "tmux_unreachable", why),
        };
        hand.take().await.map_err(unreachable)?;
        let parts = keys.split_inclusive(|key| *key == KeyPress::Special(SpecialKey::Escape));
        for (number, part) in parts.enumerate() {
            if number > 0 {
                sleep(AFTER_ESCAPE).await;
            }
            let name = format!("{id}-{number}");
            let mut strokes = Vec::with_capacity(part.len());
            for (place, key) in part.iter().enumerate() {
                strokes.push(match key {
                    KeyPress::Special(key) => Stroke::Key(key.name()),
                    KeyPress::Literal(text) => {
                        let bytes = text.as_bytes().to_vec();
                        let buffer = hand.load(&format!("{name}-{place}"), bytes).await.map_err(unreachable)?;
                        Stroke::Paste { buffer, bracketed: false }
                    }
                });
            }
            let guard = Guard { pid, ..Guard::default() };
            let acted = hand.act(&guard, &strokes, &Mark::Typed(name)).await.map_err(unreachable)?;
            if let Acted::Held(_) = acted {
                for stroke in &strokes {
                    if let Stroke::Paste { buffer, .. } = stroke {
                        hand.unload(buffer).await;
                    }
                }
                let receipt = if number == 0 { Receipt::Refused } else { Receipt::Indeterminate };
                return Err((receipt, "target_changed", "the pane stopped taking keys in the last moment".to_owned()));
            }
        }
        Ok(())
    }
}

fn pid_of(agent: &AgentNow) -> u32 {
    agent.process.as_ref().map_or(0, |process| process.process.pid)
}

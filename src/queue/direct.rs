//! Direct prompts and keys: at once or not at all, in the same slot as everything else.
//!
//! The caller only waits: the worker does it, so a caller that leaves stops nothing half-way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{
    AgentNow, Key, Queue, Refusal, admission,
    approvals::DirectAnswer,
    door::key_reused,
    headless::DirectTurn,
    recover::After,
    run::{Done, Text},
    worker::Worker,
};
use crate::{
    api::{AdmissionPolicy, ApprovalAnswered, ControlInputSent, ControlPromptSent, KeyPress, OnDraft},
    delivery::{Decision, Prompt, Sight, Stage, Timings, decide},
    model::{RequestId, RequestKind, Route},
    os::{clock, random},
    store::{Admitted, NewRow},
    tmux::input::{Hand, HandError, Look},
    tracker::{Pending, Reading},
};

/// How long a pane that moves may take to come to rest before it counts as not ready.
const REST: Duration = Duration::from_millis(300);

/// How long a tool that is ready may take to count as stable.
const STABLE: Duration = Duration::from_millis(1_500);

/// How long the agent may take to be ready in a new conversation (contract section 4.3).
const NEW_CHAT: Duration = Duration::from_secs(15);

/// How long a text that was typed at once may wait for its Enter: somebody waits for the answer.
const HELD: Duration = Duration::from_secs(10);

/// Work for the worker, with the caller that waits for it.
#[derive(Debug)]
pub(super) enum Job {
    Prompt(DirectPrompt, oneshot::Sender<Result<ControlPromptSent, Refusal>>),
    Keys(DirectKeys, oneshot::Sender<Result<ControlInputSent, Refusal>>),
    Answer(DirectAnswer, oneshot::Sender<Result<ApprovalAnswered, Refusal>>),
    Turn(DirectTurn, oneshot::Sender<Result<ControlPromptSent, Refusal>>),
}

#[derive(Debug)]
pub(super) struct DirectPrompt {
    prompt: Prompt,
    policy: AdmissionPolicy,
    new_chat: bool,
    key: Option<Key>,
    /// The life of the agent that it was meant for.
    epoch: u64,
    /// Kept to the end of the work, also when its caller left.
    _alone: Option<Alone>,
}

#[derive(Debug)]
pub(super) struct DirectKeys {
    pub(super) keys: Vec<KeyPress>,
    pub(super) sequence: String,
    pub(super) escaped: bool,
    pub(super) key: Option<Key>,
    epoch: u64,
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
        let work = async {
            let asked = async {
                self.check_open()?;
                let prompt =
                    Prompt::clean(&prompt).map_err(|error| Refusal::new(422, "invalid_prompt", error.to_string()))?;
                let alone = (policy == AdmissionPolicy::ReadyOnly).then(|| self.only_one()).transpose()?;
                let epoch = self.inner.agent.borrow().epoch;
                Ok(DirectPrompt { prompt, policy, new_chat, key: key.clone(), epoch, _alone: alone })
            };
            match asked.await {
                Ok(direct) => self.ask(|answer| Job::Prompt(direct, answer)).await,
                Err(refusal) => {
                    self.note_refused_prompt(policy, &refusal).await;
                    Err(refusal)
                }
            }
        };
        self.once(key.as_ref(), work).await
    }

    /// Notes a direct prompt that was refused before anybody looked at the pane.
    pub async fn note_refused_prompt(&self, policy: AdmissionPolicy, refusal: &Refusal) {
        self.note_refused(policy, refusal, None).await;
    }

    pub(super) async fn note_refused(&self, policy: AdmissionPolicy, refusal: &Refusal, tracked: Option<&Value>) {
        let mut data = json!({ "admission_policy": policy, "error_code": refusal.code, "detail": refusal.detail,
            "refused_at_utc": clock::now().iso_seconds() });
        add(&mut data, tracked.unwrap_or(&tracked_as(None, false)));
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
        let work = async {
            self.check_open()?;
            let epoch = self.inner.agent.borrow().epoch;
            let direct = DirectKeys { keys, sequence, escaped, key: key.clone(), epoch };
            self.ask(|answer| Job::Keys(direct, answer)).await
        };
        self.once(key.as_ref(), work).await
    }

    /// A prompt that wants to disturb nobody is alone, or is refused: of two at once exactly one goes on.
    pub(super) fn only_one(&self) -> Result<Alone, Refusal> {
        if let Some(running) = self.inner.activity.borrow().running.as_ref() {
            return Err(Refusal::new(409, "not_ready", format!("request {running} is being typed")));
        }
        let waiting = self.depth().waiting;
        if waiting > 0 {
            let wait = if waiting == 1 { "request waits" } else { "requests wait" };
            return Err(Refusal::new(409, "not_ready", format!("{waiting} {wait} before it")));
        }
        Alone::take(&self.inner.alone)
            .ok_or_else(|| Refusal::new(409, "not_ready", "another direct prompt is being typed"))
    }

    pub(super) async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Job,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        let stopping = || Refusal::new(503, "unavailable", "the gateway is stopping").again_in(1);
        self.inner.jobs.send(job(answer)).await.map_err(|_closed| stopping())?;
        answered.await.map_err(|_dropped| stopping())?
    }

    pub(super) async fn record(&self, kind: &'static str, data: Value) {
        if let Err(error) = self.inner.store.record(None, kind, data, clock::now()).await {
            tracing::warn!(%error, kind, "an event could not be recorded");
        }
    }

    /// Puts direct work on record before anything is typed.
    pub(super) async fn register(
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
            on_draft: OnDraft::Wait,
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
}

/// Held while a prompt that wants to be alone is on its way.
#[derive(Debug)]
pub(super) struct Alone(Arc<AtomicBool>);

impl Alone {
    fn take(flag: &Arc<AtomicBool>) -> Option<Self> {
        (!flag.swap(true, Ordering::AcqRel)).then(|| Self(flag.clone()))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What was seen of the agent, in the words of the contract's events (section 1.8); null where nobody looked.
pub(super) fn tracked_as(reading: Option<&Reading>, stable: bool) -> Value {
    let Some(reading) = reading else {
        return json!({ "tracked_turn_phase": null, "tracked_accepting_input": null, "tracked_editing_input": null,
            "tracked_ready_posture": null, "tracked_pending_input": null, "tracked_stable": null });
    };
    let reason = reading.against.as_ref().map(|why| why.reason);
    let (phase, accepting, posture) = match reason {
        None => ("ready", "yes", "yes"),
        Some("busy") => ("active", "unknown", "no"),
        Some("draft") => ("ready", "yes", "no"),
        Some(_) => ("unknown", "no", "no"),
    };
    let pending = match reading.pending {
        Pending::Yes => "yes",
        Pending::No => "no",
        Pending::Unknown => "unknown",
    };
    json!({ "tracked_turn_phase": phase, "tracked_accepting_input": accepting, "tracked_editing_input": pending,
        "tracked_ready_posture": posture, "tracked_pending_input": pending, "tracked_stable": stable })
}

pub(super) fn add(data: &mut Value, more: &Value) {
    if let (Some(data), Some(more)) = (data.as_object_mut(), more.as_object()) {
        data.extend(more.clone());
    }
}

/// The contract's code for what speaks against a prompt (section 4.3, checks 8, 9 and 13).
fn not_now(policy: AdmissionPolicy, reason: &str, detail: String) -> Refusal {
    match (policy, reason) {
        (AdmissionPolicy::ReadyOnly, _) | (_, "person_typing") => {
            Refusal::new(409, "not_ready", format!("{reason}: {detail}"))
        }
        (AdmissionPolicy::IfNoPending, "draft") => Refusal::new(409, "pending_input", detail),
        (AdmissionPolicy::IfNoPending, "pending_unknown") => Refusal::new(409, "pending_input_unknown", detail),
        _ => Refusal::new(422, "dispatch_failed", format!("{reason}: {detail}")),
    }
}

pub(super) fn failed(error: &HandError) -> Refusal {
    Refusal::new(422, "dispatch_failed", format!("tmux_unreachable: {error}"))
}

impl Worker {
    /// Does one piece of direct work and answers its caller.
    pub(super) async fn direct(&mut self, job: Job) {
        let epoch = self.queue.agent().epoch;
        let other = || Refusal::new(409, "not_ready", "the agent was replaced since the request came in");
        match job {
            // Nobody waits any more, and nothing was typed yet.
            Job::Prompt(_, answer) if answer.is_closed() => {}
            Job::Keys(_, answer) if answer.is_closed() => {}
            Job::Answer(_, answer) if answer.is_closed() => {}
            // Another worker's.
            Job::Turn(..) => {}
            Job::Answer(direct, answer) => {
                let done = if direct.epoch == epoch { self.answer(&direct).await } else { Err(other()) };
                self.notice(done.as_ref().err());
                drop(answer.send(done));
            }
            // A caller that leaves from here on is answered into nothing; what was typed is on record.
            Job::Prompt(prompt, answer) => {
                let done = if prompt.epoch == epoch { self.direct_prompt(&prompt).await } else { Err(other()) };
                self.notice(done.as_ref().err());
                drop(prompt);
                drop(answer.send(done));
            }
            Job::Keys(keys, answer) => {
                let done = if keys.epoch == epoch { self.direct_keys(&keys).await } else { Err(other()) };
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

    async fn direct_prompt(&mut self, direct: &DirectPrompt) -> Result<ControlPromptSent, Refusal> {
        let (hand, agent) = (self.queue.hand(), self.queue.agent());
        let policy = direct.policy;
        let sight = match self.rest(&hand, &direct.prompt, policy, REST).await {
            Ok(sight) => sight,
            Err(refusal) => {
                let tracked = self.tracked(&hand).await;
                self.queue.note_refused(direct.policy, &refusal, Some(&tracked)).await;
                return Err(refusal);
            }
        };
        let tracked = self.tracked_at(Some(&sight), true);
        let payload = json!({ "prompt": direct.prompt.text(), "admission_policy": direct.policy,
            "chat_session": direct.new_chat.then(|| json!({ "mode": "new" })) });
        let registered =
            self.queue.register(RequestKind::SubmitPrompt, Route::ControlPrompt, &payload, direct.key.as_ref());
        let id = registered.await?;
        let answer = self.type_directly(&hand, &agent, &id, direct, sight.look).await;
        match &answer {
            Ok(_) => {
                let mut data = json!({ "admission_policy": direct.policy, "request": id.as_str(),
                    "submitted_at_utc": clock::now().iso_seconds() });
                add(&mut data, &tracked);
                self.queue.record("control_prompt_submitted", data).await;
            }
            Err(refusal) => self.queue.note_refused(direct.policy, refusal, Some(&tracked)).await,
        }
        self.queue.keep_answer(&id, &answer).await;
        answer
    }

    async fn tracked(&self, hand: &Hand) -> Value {
        match hand.look().await {
            Ok(look) => self.tracked_at(Some(&Sight::survey(look, &self.queue.inner.place.view())), false),
            Err(_) => self.tracked_at(None, false),
        }
    }

    fn tracked_at(&self, sight: Option<&Sight>, stable: bool) -> Value {
        let place = &self.queue.inner.place;
        match place.view().profile() {
            Some(_) => admission::tracked(&place.tracker.now_state()),
            None => tracked_as(sight.map(|sight| &sight.reading), stable),
        }
    }

    async fn type_directly(
        &mut self,
        hand: &Hand,
        agent: &AgentNow,
        id: &RequestId,
        direct: &DirectPrompt,
        mut look: Look,
    ) -> Result<ControlPromptSent, Refusal> {
        if direct.new_chat {
            look = self.new_chat(hand, id, agent, look, &direct.prompt).await?;
        }
        let (kind, pid, prompt) = (RequestKind::SubmitPrompt, pid_of(agent), direct.prompt.clone());
        let text = Text { id: id.clone(), kind, prompt, pid, stashed: self.stashed() };
        let (code, detail) = match self.queue.deliver(hand, &text, Stage::Fresh(Box::new(look)), at_once()).await {
            Ok(Done::Submitted(turn)) => {
                self.follow_next(turn, &direct.prompt).await;
                return Ok(ControlPromptSent::new(direct.policy, format!("the prompt was submitted as request {id}")));
            }
            Ok(Done::Waits(reason, detail) | Done::PutBack(reason, detail)) => {
                self.queue.refuse(id, reason, &detail).await?;
                return Err(not_now(direct.policy, reason, detail));
            }
            Ok(Done::Withdrawn) => ("withdrawn", "the request was taken back".to_owned()),
            Ok(Done::Unproven(detail)) => ("unconfirmed", format!("request {id}: {detail}")),
            Err(closed) => return Err(closed.into()),
        };
        Err(Refusal::new(422, "dispatch_failed", format!("{code}: {detail}")))
    }

    /// Looks until the text may be typed, or until something speaks against it that does not pass by itself.
    async fn rest(
        &mut self,
        hand: &Hand,
        prompt: &Prompt,
        policy: AdmissionPolicy,
        limit: Duration,
    ) -> Result<Sight, Refusal> {
        let begun = Instant::now();
        loop {
            let look = hand.look().await.map_err(|error| failed(&error))?;
            let quiet = self.quiet.observe(&look, self.age());
            let (view, tracker) = (&self.queue.inner.place.view(), &self.queue.inner.place.tracker);
            let state = tracker.now_state();
            let sight = Sight::survey(look, view);
            if view.profile().is_some()
                && let Some(refusal) = admission::speaks_against(policy, &state)
            {
                // It is ready, and only was not for long: a refusal would be true for a moment.
                if admission::is_settling(&state) && sight.reading.is_ready() && begun.elapsed() < limit.max(STABLE) {
                    sleep(Duration::from_millis(20)).await;
                    continue;
                }
                return Err(refusal);
            }
            let sight = if policy == AdmissionPolicy::ReadyOnly {
                sight.weighed(view, &state)
            } else {
                sight.blocked_by(view, &state)
            };
            let now = clock::now().epoch_millis() / 1000;
            match decide(prompt, view, &sight, policy, quiet, now) {
                Decision::Go => return Ok(sight),
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
        let view = &self.queue.inner.place.view();
        let of_old = if view.tool().starts_with("codex") { "/new" } else { "/clear" };
        let command = view.profile().map_or(of_old, |profile| profile.delivery.new_chat.as_str());
        let unready = |detail: String| Refusal::new(422, "dispatch_failed", format!("new conversation: {detail}"));
        let prompt = Prompt::clean(command).map_err(|error| unready(error.to_string()))?;
        let payload = json!({ "prompt": command, "for": id.as_str() });
        let reset = self.queue.register(RequestKind::SubmitPrompt, Route::ControlPrompt, &payload, None).await?;
        let text =
            Text { id: reset, kind: RequestKind::SubmitPrompt, prompt, pid: pid_of(agent), stashed: self.stashed() };
        let refused = match self.queue.deliver(hand, &text, Stage::Fresh(Box::new(look)), at_once()).await {
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
            match self.rest(hand, next, AdmissionPolicy::ReadyOnly, REST).await {
                Ok(sight) => return Ok(sight.look),
                Err(refusal) if begun.elapsed() >= NEW_CHAT => {
                    self.queue.refuse(id, "new_chat", &refusal.detail).await?;
                    return Err(unready(refusal.detail));
                }
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// Somebody waits for the answer.
fn at_once() -> Timings {
    Timings { held: Some(HELD), ..Timings::default() }
}

pub(super) fn pid_of(agent: &AgentNow) -> u32 {
    agent.process.as_ref().map_or(0, |process| process.process.pid)
}

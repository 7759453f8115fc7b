//! The one slot: takes what waits in order, types it when the agent is ready, follows the turn to its end.
//!
//! Nothing is looked at while nothing waits and no turn is open. While something does, looks come often after a
//! change and ever less often without one.

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    AgentNow, Queue,
    coalesce::{Action, Waiting, coalesce, run_around},
    direct::Job,
    drafts::Drafts,
    receipts::Awaited,
    recover::After,
    run::{Done, Text},
};
use crate::{
    agents::Sign,
    api::AdmissionPolicy,
    delivery::{Decision, Form, JournalClosed, Prompt, Sight, Stage, Step, Timings, Turn, decide},
    model::{Note, Outcome, Receipt, RequestId, RequestKind, Source},
    os::clock,
    store::{CoalescePlan, QueuedRow, Superseded},
    tmux::input::{Hand, HandError},
    tracker::{Observation, Pending, Phase, Quiet, Reading, Seen},
};

/// Rows that are looked at together: control intents meet their neighbours among them.
pub(super) const AT_ONCE: usize = 64;

/// The shortest and the longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(500));

/// How long a store that took nothing is left alone: a full disk is somebody's to empty.
pub(super) const STORE_PAUSE: Duration = Duration::from_secs(1);

/// The pause between two looks at a program that works and paints.
const WORKING: Duration = Duration::from_millis(60);

/// Between two questions after a tool that works, should nobody tell.
const AT_WORK: Duration = Duration::from_secs(2);

/// How long a delivery may go on after the gateway was asked to stop.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The task that types.
#[derive(Debug)]
pub struct Worker {
    pub(super) queue: Queue,
    pub(super) jobs: mpsc::Receiver<Job>,
    began: Instant,
    pub(super) quiet: Quiet,
    pub(super) turn: Option<Turn>,
    /// What each waiting request was last told it waits for.
    pub(super) told: HashMap<RequestId, &'static str>,
    pause: Duration,
    /// The last text that a tool took from here.
    pub(super) submitted: Option<(RequestId, String)>,
    /// Requests may be on their way although nobody types.
    pub(super) unsettled: Option<After>,
    pub(super) drafts: Drafts,
}

/// When to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// At once.
    Again,
    /// After a pause, or when something happens.
    Later(Duration),
    /// After a pause: the first row cannot go on yet, and what arrives behind it changes nothing.
    Blocked(Duration),
    /// When something happens.
    Idle,
}

impl Worker {
    pub(super) fn new(queue: Queue, jobs: mpsc::Receiver<Job>) -> Self {
        let (quiet, began, told) = (Quiet::default(), Instant::now(), HashMap::new());
        Self {
            queue,
            jobs,
            began,
            quiet,
            turn: None,
            told,
            pause: PAUSES.0,
            submitted: None,
            unsettled: Some(After::Start),
            drafts: Drafts::default(),
        }
    }

    /// Works until it is asked to stop; what is on its way then may go on for a second.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut agent = self.queue.inner.agent.clone();
        let mut state = self.queue.inner.place.tracker.state();
        loop {
            state.mark_unchanged();
            let next = {
                let round = self.settled_round();
                let mut round = std::pin::pin!(round);
                let next = tokio::select! {
                    next = &mut round => Some(next),
                    () = asked(&mut stop) => None,
                };
                let Some(next) = next else {
                    // Dropped on the way, it is taken up by the next gateway from what is on record.
                    drop(timeout(LAST_WORDS, round).await);
                    return;
                };
                next
            };
            let queue = self.queue.clone();
            let takes_arrivals = !matches!(next, Next::Blocked(_));
            let heeds_state = self.queue.inner.place.view().profile().is_some() && next != Next::Idle;
            let pause = async {
                match next {
                    Next::Again => {}
                    Next::Later(pause) | Next::Blocked(pause) => sleep(pause).await,
                    Next::Idle => std::future::pending().await,
                }
            };
            tokio::select! {
                () = pause => {}
                () = queue.inner.work.notified() => self.pause = PAUSES.0,
                () = queue.inner.arrivals.notified(), if takes_arrivals => self.pause = PAUSES.0,
                _ = agent.changed() => self.pause = PAUSES.0,
                Ok(()) = state.changed(), if heeds_state => self.pause = PAUSES.0,
                Some(job) = self.jobs.recv() => self.direct(job).await,
                () = asked(&mut stop) => return,
            }
        }
    }

    /// One look at everything, after what an earlier failure or an earlier gateway left behind.
    async fn settled_round(&mut self) -> Next {
        let settled = match self.unsettled {
            Some(after) => self.recover(after).await,
            None => Ok(()),
        };
        let next = match settled {
            Ok(()) => {
                self.unsettled = None;
                self.round().await
            }
            Err(closed) => Err(closed),
        };
        next.unwrap_or_else(|JournalClosed| {
            self.unsettled.get_or_insert(After::Failure);
            Next::Later(STORE_PAUSE)
        })
    }

    /// One look at everything.
    async fn round(&mut self) -> Result<Next, JournalClosed> {
        let rows = match self.queue.inner.store.waiting(AT_ONCE).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "the queue could not be read");
                return Ok(Next::Later(PAUSES.1));
            }
        };
        if self.expired(&rows).await || self.coalesced(&rows).await {
            return Ok(Next::Again);
        }
        self.told.retain(|id, _| rows.iter().any(|row| row.id == *id));
        let aside = self.drafts.kept.is_some();
        if rows.is_empty() && self.turn.is_none() && !aside {
            return Ok(Next::Idle);
        }
        let agent = self.queue.agent();
        let until_expiry = self.until_expiry(&rows).await;
        let Some(process) = &agent.process else {
            self.abandoned(&rows).await;
            return Ok(until_expiry);
        };
        let head = rows.first().filter(|row| row.epoch == agent.epoch);
        if head.is_none() {
            self.undecided(&rows, agent.epoch).await;
        }
        if head.is_none() && self.turn.is_none() && !aside {
            return Ok(until_expiry);
        }
        if let Some(head) = head
            && !aside
            && let Some(next) = self.at_work(head).await
        {
            return Ok(next);
        }
        let hand = self.queue.hand();
        let look = match hand.look().await {
            Ok(look) => look,
            Err(error) => return Ok(self.unreachable(head, &error).await),
        };
        if look.now.pid != process.process.pid {
            // The watch of the session has not seen it yet; it will tell.
            return Ok(Next::Later(PAUSES.1));
        }
        let quiet = self.quiet.observe(&look, self.age());
        let place = &self.queue.inner.place;
        let view = place.view();
        let sight = Sight::glance(look, &view).weighed(&view, &place.tracker.now_state());
        if quiet.is_zero() {
            // A prompt that came back is taken at once; a spinner is not followed step by step.
            self.pause = if sight.reading.is_ready() { PAUSES.0 } else { self.pause.min(WORKING) };
        }
        self.follow(&hand, &sight, quiet).await;
        self.look_after_draft(&hand, &agent, &sight, &rows).await?;
        match head {
            Some(head) if head.kind == RequestKind::Interrupt => {
                self.queue.inner.urgent.notify_one();
                Ok(self.blocked())
            }
            Some(head) => self.take_up(head, &agent, &hand, sight, quiet).await,
            None if self.turn.is_none() && self.drafts.kept.is_none() => Ok(until_expiry),
            None => Ok(self.later()),
        }
    }

    /// A tool that works or asks is not looked at: whoever knows of it tells when that changes.
    async fn at_work(&mut self, head: &QueuedRow) -> Option<Next> {
        let place = &self.queue.inner.place;
        let (state, is_urgent) = (place.tracker.now_state(), head.kind == RequestKind::Interrupt);
        let view = place.view();
        if view.profile().is_none() || is_urgent || !matches!(state.phase, Phase::Active | Phase::Blocked) {
            return None;
        }
        let nothing = Reading { against: None, pending: Pending::Unknown, screen: None };
        let why = view.weigh(nothing, &state).against?;
        self.quiet.reset();
        self.defer(&head.id, why.reason, why.detail).await;
        Some(Next::Blocked(AT_WORK))
    }

    async fn take_up(
        &mut self,
        head: &QueuedRow,
        agent: &AgentNow,
        hand: &Hand,
        sight: Sight,
        quiet: Duration,
    ) -> Result<Next, JournalClosed> {
        let prompt = match prompt_of(head) {
            Ok(prompt) => prompt,
            Err((reason, detail)) => {
                self.queue.refuse(&head.id, reason, &detail).await?;
                return Ok(Next::Again);
            }
        };
        let now = clock::now().epoch_millis() / 1000;
        match decide(&prompt, &self.queue.inner.place.view(), &sight, AdmissionPolicy::ReadyOnly, quiet, now) {
            Decision::Refuse(reason, detail) => {
                self.queue.refuse(&head.id, reason, &detail).await?;
                Ok(Next::Again)
            }
            Decision::Wait("draft", detail) if self.is_given_back(&sight) => {
                if !self.clear(hand, &sight).await {
                    self.defer(&head.id, "draft", detail).await;
                }
                Ok(self.later())
            }
            Decision::Wait("draft", detail) => self.meet_draft(head, &prompt, hand, (&sight, quiet), detail).await,
            Decision::Wait(reason, detail) => {
                self.defer(&head.id, reason, detail).await;
                Ok(self.blocked())
            }
            Decision::Go => {
                let pid = agent.process.as_ref().map_or(0, |process| process.process.pid);
                let text = Text { id: head.id.clone(), kind: head.kind, prompt, pid, stashed: self.stashed() };
                self.deliver(hand, &text, Stage::Fresh(Box::new(sight.look))).await
            }
        }
    }

    /// Types, and follows what was typed.
    pub(super) async fn deliver(&mut self, hand: &Hand, text: &Text, stage: Stage) -> Result<Next, JournalClosed> {
        match self.queue.deliver(hand, text, stage, Timings::default()).await? {
            Done::Submitted(turn) => {
                self.follow_next(turn, &text.prompt).await;
                Ok(Next::Again)
            }
            Done::Waits(reason, detail) => {
                self.defer(&text.id, reason, detail).await;
                Ok(self.blocked())
            }
            Done::PutBack(reason, _) => {
                self.told.insert(text.id.clone(), reason);
                Ok(self.later())
            }
            Done::Withdrawn | Done::Unproven(_) => Ok(Next::Again),
        }
    }

    /// The turn to follow from now on. One that is still open ends here: its end cannot be told from the new one's.
    pub(super) async fn follow_next(&mut self, turn: Turn, prompt: &Prompt) {
        let view = &self.queue.inner.place.view();
        if view.profile().is_some() {
            let form = Form::of(prompt, view.rules()).ok();
            let command = form.and_then(|form| form.command().map(str::to_owned));
            let text = prompt.text().to_owned();
            self.submitted = Some((turn.id.clone(), text.clone()));
            let started = turn.start.is_none().then_some(turn.started);
            // Nobody follows any more when the gateway stops; the next one will.
            drop(self.queue.inner.awaited.send(Awaited { id: turn.id, text, command, started }));
            self.quiet.reset();
            self.pause = PAUSES.0;
            return;
        }
        if let Some(open) = self.turn.take() {
            self.queue.remember(&open.id, vec![open.superseded(&turn)]).await;
        }
        self.turn = Some(turn);
        self.quiet.reset();
        self.pause = PAUSES.0;
    }

    /// How long this worker has been there: the clock of [`Quiet`].
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Takes in what a look says about the open turn.
    pub(super) async fn follow(&mut self, hand: &Hand, sight: &Sight, quiet: Duration) {
        let Some(turn) = &mut self.turn else { return };
        match turn.step(&sight.look, &sight.reading, quiet) {
            Step::Same => {}
            Step::Started(note) => {
                turn.started = true;
                let id = turn.id.clone();
                self.queue.remember(&id, vec![note]).await;
            }
            Step::Ended => {
                let (id, notes) = (turn.id.clone(), turn.end(hand, &sight.look).await);
                self.turn = None;
                self.tell_end(&notes);
                self.queue.remember(&id, notes).await;
            }
            Step::Lost(note) => {
                let id = turn.id.clone();
                self.turn = None;
                self.queue.remember(&id, vec![note]).await;
            }
        }
    }

    /// A line reader keeps no records of its own: what was seen of its turn is all there is.
    fn tell_end(&self, notes: &[Note]) {
        let seen = notes.last().and_then(|note| note.evidence.as_ref());
        let reply = seen.and_then(|seen| seen["reply"].as_str()).map(str::to_owned);
        let ended = Sign::TurnEnded { turn: None, outcome: Outcome::Success, reply, exact: false, error: None };
        self.queue.inner.place.tracker.observe(&Observation { source: Source::Screen, seen: Seen::Sign(ended) });
    }

    /// The agent is away: its turn is over, and what waits has to know why.
    pub(super) async fn abandoned(&mut self, rows: &[QueuedRow]) {
        if let Some(turn) = self.turn.take() {
            self.queue.remember(&turn.id, vec![Turn::lost()]).await;
        }
        if let Some(first) = rows.first() {
            let detail = "the agent is not there: its pane or program has ended";
            self.defer(&first.id, "agent_not_running", detail.to_owned()).await;
        }
    }

    /// What was accepted for an earlier process of the agent waits for somebody to decide.
    pub(super) async fn undecided(&mut self, rows: &[QueuedRow], epoch: u64) {
        for row in rows.iter().filter(|row| row.epoch < epoch) {
            let detail = "the agent was replaced since it was accepted; `agents gateway reconcile` decides about it";
            self.defer(&row.id, "reconciliation", detail.to_owned()).await;
        }
    }

    async fn unreachable(&mut self, head: Option<&QueuedRow>, error: &HandError) -> Next {
        self.quiet.reset();
        let Some(head) = head else { return self.later() };
        self.defer(&head.id, "tmux_unreachable", error.to_string()).await;
        self.blocked()
    }

    /// Tells a request what it waits for, once for each reason.
    pub(super) async fn defer(&mut self, id: &RequestId, reason: &'static str, detail: String) {
        // It passes by itself in a moment, and nobody could do anything about it.
        if reason == "settling" || self.told.insert(id.clone(), reason) == Some(reason) {
            return;
        }
        let note = Note::new(Receipt::Deferred).because(reason, detail);
        if let Err(error) = self.queue.inner.store.defer(id, note, clock::now()).await {
            tracing::warn!(%error, request_id = %id, "what a request waits for could not be recorded");
        }
    }

    pub(super) fn later(&mut self) -> Next {
        Next::Later(self.longer())
    }

    pub(super) fn blocked(&mut self) -> Next {
        Next::Blocked(self.longer())
    }

    /// The next pause, longer than the last one.
    fn longer(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 3 / 2).min(PAUSES.1);
        pause
    }

    /// Nothing to do until something happens, or until the first row is too old, wherever it stands.
    pub(super) async fn until_expiry(&self, rows: &[QueuedRow]) -> Next {
        if rows.is_empty() {
            return Next::Idle;
        }
        match self.queue.inner.store.next_expiry().await {
            Ok(Some(at)) => {
                let left = (at.epoch_millis() - clock::now().epoch_millis()).max(1);
                Next::Later(Duration::from_millis(u64::try_from(left).unwrap_or(1)))
            }
            Ok(None) => Next::Idle,
            Err(_) => Next::Later(PAUSES.1),
        }
    }

    /// Ends what is too old; was there anything?
    pub(super) async fn expired(&self, rows: &[QueuedRow]) -> bool {
        let now = clock::now();
        let first = rows.iter().any(|row| row.expires_at.is_some_and(|at| at <= now));
        if !first && rows.len() < AT_ONCE {
            return false;
        }
        match self.queue.inner.store.expire_due(now).await {
            Ok(expired) => {
                for id in &expired {
                    tracing::warn!(request_id = %id, "a request waited longer than its sender wanted; it is not typed");
                }
                !expired.is_empty()
            }
            Err(error) => {
                tracing::warn!(%error, "requests that are too old could not be ended");
                false
            }
        }
    }

    /// Drops control intents that later ones made superfluous; was there anything?
    pub(super) async fn coalesced(&self, rows: &[QueuedRow]) -> bool {
        let waiting: Vec<Waiting> = rows.iter().map(waiting).collect();
        let left = coalesce(run_around(&waiting, 0));
        if left.superseded.is_empty() {
            return false;
        }
        self.queue.coalesce(left).await
    }
}

impl Queue {
    /// Puts the end of superseded intents on record; `false` if that failed.
    pub(super) async fn coalesce(&self, left: super::coalesce::Coalesced) -> bool {
        let superseded = left.superseded.into_iter();
        let plan = CoalescePlan {
            effective: left.effective.iter().map(|(id, _)| id.clone()).collect(),
            effective_actions: left.effective.iter().map(|(_, action)| action.name().to_owned()).collect(),
            superseded: superseded
                .map(|(id, action, into)| Superseded { id, action: action.name().to_owned(), into })
                .collect(),
        };
        let done = self.inner.store.coalesce(plan, clock::now()).await;
        done.inspect_err(|error| tracing::warn!(%error, "control intents could not be coalesced")).is_ok()
    }
}

/// Waits until the gateway is asked to stop.
pub(super) async fn asked(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// A row as coalescing sees it.
pub(super) fn waiting(row: &QueuedRow) -> Waiting {
    let prompt = serde_json::from_str::<serde_json::Value>(&row.payload_json).ok();
    let prompt = prompt.as_ref().and_then(|payload| payload["prompt"].as_str());
    Waiting { id: row.id.clone(), epoch: row.epoch, action: Action::of(row.kind, prompt) }
}

/// The text of a row, or why it is never typed.
fn prompt_of(row: &QueuedRow) -> Result<Prompt, (&'static str, String)> {
    let payload: serde_json::Value = serde_json::from_str(&row.payload_json).unwrap_or_default();
    if !payload["chat_session"].is_null() {
        let detail = "a queued prompt cannot choose the conversation of an agent in a terminal";
        return Err(("chat_session", detail.to_owned()));
    }
    let text = payload["prompt"].as_str().unwrap_or_default();
    Prompt::clean(text).map_err(|error| ("bad_prompt", error.to_string()))
}

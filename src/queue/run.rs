//! One request through one delivery, with every step on record.

use serde_json::{Value, json};

use super::Queue;
use crate::{
    delivery::{Delivery, Form, Journal, JournalClosed, Outcome, Prompt, Stage, Start, Timings, Turn, deliver},
    model::{Note, Receipt, RequestId, RequestKind, RequestState},
    os::{clock, lock::Lock},
    store::StoreError,
    tmux::input::Hand,
};

/// What a request asks to have typed.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub(super) id: RequestId,
    pub(super) kind: RequestKind,
    pub(super) prompt: Prompt,
    /// The process that the pane was started with.
    pub(super) pid: u32,
    /// A draft that the tool keeps aside meanwhile.
    pub(super) stashed: Option<String>,
}

/// What became of it, once that is on record.
#[derive(Debug)]
pub(super) enum Done {
    /// Submitted; its answer can be followed.
    Submitted(Turn),
    /// Nothing was begun: a stable word and a sentence. It waits on, and was not told yet.
    Waits(&'static str, String),
    /// Nothing stands in the composer, and it waits again: a stable word and a sentence. It was told.
    PutBack(&'static str, String),
    /// It was taken back while it was on its way.
    Withdrawn,
    /// Typed, and not proven.
    Unproven(String),
}

/// The journal of one request.
struct Record<'a> {
    queue: &'a Queue,
    id: &'a RequestId,
}

impl Journal for Record<'_> {
    async fn begin(&self, note: Note) -> Result<bool, JournalClosed> {
        let begun = self.queue.inner.store.begin(self.id, clock::now(), vec![note]).await;
        begun.map_err(|error| closed(&error))
    }

    async fn note(&self, note: Note) -> Result<(), JournalClosed> {
        let noted = self.queue.inner.store.note(self.id, vec![note], clock::now()).await;
        noted.map_err(|error| closed(&error))
    }
}

/// Nothing more is typed for a request until its steps can be recorded again.
pub(super) fn closed(error: &StoreError) -> JournalClosed {
    tracing::error!(%error, "a step of a request could not be recorded");
    JournalClosed
}

/// What the contract keeps of a finished row (section 5).
fn result(kind: RequestKind) -> Value {
    json!({ "completed_at_utc": clock::now().iso_seconds(), "request_kind": kind })
}

impl Queue {
    /// Delivers a text in the one slot of this session. The caller has decided that it may be typed now.
    ///
    /// # Errors
    /// [`JournalClosed`] when the store takes nothing more.
    pub(super) async fn deliver(
        &self,
        hand: &Hand,
        text: &Text,
        stage: Stage,
        timings: Timings,
    ) -> Result<Done, JournalClosed> {
        match self.slot() {
            Ok(slot) => self.deliver_in(&slot, hand, text, stage, timings).await,
            Err((reason, detail)) => Ok(Done::Waits(reason, detail)),
        }
    }

    /// The right to type: whoever types here without a gateway holds the same lock.
    pub(super) fn slot(&self) -> Result<Lock, (&'static str, String)> {
        match Lock::try_take(&self.inner.place.lock) {
            Ok(Some(lock)) => Ok(lock),
            Ok(None) => Err(("other_hand", "`agents prompt` or `agents interrupt` types into the pane".to_owned())),
            Err(error) => Err(("lock_failed", error.to_string())),
        }
    }

    /// Delivers a text in the slot that the caller holds.
    pub(super) async fn deliver_in(
        &self,
        _slot: &Lock,
        hand: &Hand,
        text: &Text,
        stage: Stage,
        timings: Timings,
    ) -> Result<Done, JournalClosed> {
        if let Err(error) = hand.take().await {
            return Ok(Done::Waits("tmux_unreachable", error.to_string()));
        }
        let (view, tracker) = (&self.inner.place.view(), &self.inner.place.tracker);
        let form = match Form::of(&text.prompt, view.rules()) {
            Ok(form) => form,
            Err((reason, detail)) => return Ok(Done::Waits(reason, detail)),
        };
        self.tell(|activity| activity.running = Some(text.id.clone()));
        let delivery = Delivery {
            id: text.id.as_str(),
            prompt: &text.prompt,
            form: &form,
            pid: text.pid,
            stage,
            view,
            tracker: Some(tracker),
            request: Some(&text.id),
            stashed: text.stashed.as_deref(),
        };
        let record = Record { queue: self, id: &text.id };
        let outcome = deliver(hand, &self.inner.keys, &delivery, &record, timings).await;
        let done = match outcome {
            Ok(outcome) => self.settle(text, outcome).await,
            Err(closed) => Err(closed),
        };
        self.tell(|activity| activity.running = None);
        done
    }

    /// Puts an outcome on record.
    async fn settle(&self, text: &Text, outcome: Outcome) -> Result<Done, JournalClosed> {
        let (store, now, id) = (&self.inner.store, clock::now(), &text.id);
        let (recorded, done) = match outcome {
            Outcome::Submitted(before, mut seen) => {
                seen["request_kind"] = json!(text.kind);
                let note = Note::new(Receipt::Submitted).seen(seen);
                let recorded =
                    store.finish(id, RequestState::Completed, None, Some(result(text.kind)), vec![note], now).await;
                let turn =
                    Turn { id: id.clone(), start: before.as_deref().map(Start::at), pid: text.pid, started: false };
                (recorded, Done::Submitted(turn))
            }
            Outcome::Held(reason, detail) => {
                let note = Note::new(Receipt::Deferred).because(reason, detail.clone());
                let put = store.put_back(id, note, now).await;
                // What was never begun has not been told either.
                let done =
                    if matches!(put, Ok(false)) { Done::Waits(reason, detail) } else { Done::PutBack(reason, detail) };
                (put, done)
            }
            Outcome::Withdrawn => (Ok(true), Done::Withdrawn),
            Outcome::Unproven(reason, detail, seen) => {
                tracing::warn!(request_id = %id, reason, detail, "what became of a prompt cannot be proven");
                let note = Note::new(Receipt::Indeterminate).because(reason, detail.clone()).seen(seen);
                let error = format!("indeterminate ({reason}): {detail}");
                let recorded = store.finish(id, RequestState::Failed, Some(error), None, vec![note], now).await;
                (recorded, Done::Unproven(detail))
            }
        };
        recorded.map_err(|error| closed(&error))?;
        Ok(done)
    }

    /// Ends a request that is never typed.
    ///
    /// # Errors
    /// [`JournalClosed`] when the store takes nothing more: it stays as it is.
    pub(super) async fn refuse(&self, id: &RequestId, reason: &str, detail: &str) -> Result<(), JournalClosed> {
        let note = Note::new(Receipt::Refused).because(reason, detail);
        let error = format!("refused ({reason}): {detail}");
        let recorded =
            self.inner.store.finish(id, RequestState::Failed, Some(error), None, vec![note], clock::now()).await;
        recorded.map(drop).map_err(|error| closed(&error))
    }

    /// Puts receipts on record that change no state.
    pub(super) async fn remember(&self, id: &RequestId, notes: Vec<Note>) {
        if let Err(error) = self.inner.store.note(id, notes, clock::now()).await {
            closed(&error);
        }
    }
}

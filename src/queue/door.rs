//! Taking work in and telling of it. Everything here is answered from the disk.

use serde_json::json;
use tokio::sync::watch;

use super::{Key, LONGEST_QUEUE, NewWork, Queue, Refusal, views};
use crate::{
    api::{
        EventView, ReconcileAction, Reconciled, RequestAccepted, RequestDetail, RequestFilter, RequestList, RequestView,
    },
    model::{RequestId, RequestKind, RequestState, Route},
    os::{clock, random},
    store::{Admitted, Answer, CancelOutcome, ListFilter, NewRow, Reconcile, StoredAnswer},
};

impl Queue {
    /// Could work be accepted right now?
    ///
    /// # Errors
    /// 503 for a store that takes nothing, then 409 `blocked_reconciliation`, then 503 `unavailable`.
    pub fn check_open(&self) -> Result<(), Refusal> {
        let activity = self.inner.activity.borrow();
        if let Some(why) = &activity.sick {
            return Err(Refusal::new(503, "store_failed", why.clone()).again_in(5));
        }
        if let Some(name) = &activity.set_aside {
            let detail = format!(
                "a damaged queue was set aside as `{name}`; `agents doctor` says what it may hold, \
                 `agents gateway reconcile --drop` goes on without it"
            );
            return Err(Refusal::new(409, "blocked_reconciliation", detail));
        }
        let earlier = self.depth().of_earlier_epochs;
        if earlier > 0 {
            let detail = format!(
                "{earlier} requests wait that were accepted for an earlier process of the agent; \
                 `agents gateway reconcile --keep` or `--drop` decides about them"
            );
            return Err(Refusal::new(409, "blocked_reconciliation", detail));
        }
        if self.inner.agent.borrow().process.is_none() {
            return Err(Refusal::new(503, "unavailable", "the agent is not there: its pane or program has ended"));
        }
        Ok(())
    }

    /// Puts work on disk.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was accepted. A key that was answered before is answered the same way first.
    pub async fn accept(&self, work: NewWork) -> Result<RequestAccepted, Refusal> {
        if let Err(closed) = self.check_open() {
            return match self.answered(work.key.as_ref()).await? {
                Some(answer) => accepted_again(&answer).ok_or(closed),
                None => Err(closed),
            };
        }
        let (now, epoch) = (clock::now(), self.inner.agent.borrow().epoch);
        let row = NewRow {
            id: RequestId::new(now, random::serial()),
            kind: work.kind,
            payload_json: work.payload.to_string(),
            epoch,
            route: Route::Queue,
            accepted_at: now,
            expires_at: work.expires_in.map(|span| now.after(span)),
            on_draft: work.on_draft,
            key: work.key.map(|key| (key.text, key.digest)),
        };
        let (id, kind) = (row.id.clone(), row.kind);
        match self.inner.store.accept(row, LONGEST_QUEUE).await? {
            Admitted::New { waiting, .. } => {
                let whose = if kind == RequestKind::Interrupt { &self.inner.urgent } else { &self.inner.arrivals };
                whose.notify_one();
                Ok(RequestAccepted {
                    request_id: id.to_string(),
                    request_kind: kind,
                    state: RequestState::Accepted,
                    accepted_at_utc: now.iso_seconds(),
                    queue_depth: waiting,
                    managed_agent_instance_epoch: epoch,
                })
            }
            Admitted::Replay(answer) => accepted_again(&answer).ok_or_else(key_reused),
            Admitted::KeyReused => Err(key_reused()),
            Admitted::Full { waiting } => Err(Refusal::new(
                429,
                "queue_full",
                format!("{waiting} requests wait already; at most {LONGEST_QUEUE} may"),
            )
            .again_in(5)),
        }
    }

    /// The piece of work that has this key, whatever became of it.
    ///
    /// # Errors
    /// [`Refusal`] when the store does not answer.
    pub async fn named(&self, key: &str) -> Result<Option<RequestId>, Refusal> {
        Ok(self.inner.store.answer_of_key(key).await?.map(|answer| answer.request_id))
    }

    /// What was answered to this key before.
    pub(super) async fn answered(&self, key: Option<&Key>) -> Result<Option<StoredAnswer>, Refusal> {
        let Some(key) = key else { return Ok(None) };
        match self.inner.store.answer_of_key(&key.text).await? {
            Some(answer) if answer.digest != key.digest => Err(key_reused()),
            other => Ok(other),
        }
    }

    /// Requests, newest first.
    ///
    /// # Errors
    /// [`Refusal`] when the store does not answer.
    pub async fn list(&self, filter: RequestFilter) -> Result<RequestList, Refusal> {
        let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        // One more than was asked for tells whether there is another page.
        let wanted = ListFilter { state: filter.state, before: filter.before, limit: limit.saturating_add(1) };
        let mut rows = self.inner.store.list(wanted).await?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_before = rows.last().filter(|_| more).map(|row| row.sequence);
        Ok(RequestList { requests: rows.into_iter().map(views::request).collect(), next_before })
    }

    /// One request with its receipts; `None` when there is none with this id.
    ///
    /// # Errors
    /// [`Refusal`] when the store does not answer.
    pub async fn show(&self, id: &RequestId) -> Result<Option<RequestDetail>, Refusal> {
        Ok(self.inner.store.show(id).await?.map(|(row, journal)| views::detail(row, &journal)))
    }

    /// Takes back what is still waiting; `None` when there is no request with this id.
    ///
    /// # Errors
    /// 409 when it is not waiting any more.
    pub async fn cancel(&self, id: &RequestId) -> Result<Option<RequestView>, Refusal> {
        match self.inner.store.cancel(id, clock::now()).await? {
            CancelOutcome::Unknown => return Ok(None),
            CancelOutcome::NotAccepted { state } => {
                let detail =
                    format!("request {id} is {state}; only a request that is still accepted can be taken back");
                return Err(Refusal::new(409, "not_waiting", detail));
            }
            CancelOutcome::Cancelled => {}
        }
        Ok(self.show(id).await?.map(|detail| detail.request))
    }

    /// Decides about rows of an earlier process of the agent, and about a queue that was set aside.
    ///
    /// # Errors
    /// 409 when there is nothing to decide.
    pub async fn reconcile(&self, action: ReconcileAction) -> Result<Reconciled, Refusal> {
        let (set_aside, earlier) = (self.inner.activity.borrow().set_aside.clone(), self.depth().of_earlier_epochs);
        if set_aside.is_none() && earlier == 0 {
            return Err(Refusal::new(409, "nothing_to_reconcile", "no request waits for a decision"));
        }
        let epoch = self.inner.agent.borrow().epoch;
        let what = match action {
            ReconcileAction::Keep => Reconcile::Keep,
            ReconcileAction::Drop => Reconcile::Drop,
        };
        let done = self.inner.store.reconcile(what, epoch, clock::now()).await?;
        if let Some(name) = set_aside {
            self.inner.store.clear_set_aside().await?;
            tracing::info!(file = name, "the operator decided to go on without the queue that was set aside");
            self.tell(|activity| activity.set_aside = None);
        }
        let data = json!({ "action": action, "kept": done.kept, "dropped": done.dropped, "epoch": epoch });
        self.inner.store.record(None, "reconciled", data, clock::now()).await?;
        tracing::info!(kept = done.kept, dropped = done.dropped, epoch, "waiting requests were reconciled");
        self.inner.work.notify_one();
        self.inner.urgent.notify_one();
        Ok(Reconciled { action, kept: done.kept, dropped: done.dropped, epoch })
    }

    /// Journal entries newer than `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`Refusal`] when the store does not answer.
    pub async fn events(
        &self,
        after: u64,
        request: Option<&RequestId>,
        limit: usize,
    ) -> Result<Vec<EventView>, Refusal> {
        let rows = self.inner.store.journal_after(after, request, limit).await?;
        Ok(rows.into_iter().map(views::event).collect())
    }

    /// The oldest id that is kept or 0, and the newest or 0.
    ///
    /// # Errors
    /// [`Refusal`] when the store does not answer.
    pub async fn event_range(&self) -> Result<(u64, u64), Refusal> {
        Ok(self.inner.store.journal_range().await?)
    }

    /// Changes whenever newer entries are there; holds the newest id, and never one that [`Queue::events`] does not
    /// return yet.
    pub fn newest_event(&self) -> watch::Receiver<u64> {
        self.inner.store.newest()
    }
}

pub(super) fn key_reused() -> Refusal {
    Refusal::new(409, "key_reused", "this Idempotency-Key came with another request before; use a new one")
}

fn accepted_again(stored: &StoredAnswer) -> Option<RequestAccepted> {
    let Answer::Queued { waiting, epoch } = stored.answer else { return None };
    Some(RequestAccepted {
        request_id: stored.request_id.to_string(),
        request_kind: stored.kind,
        state: RequestState::Accepted,
        accepted_at_utc: stored.accepted_at_utc.clone(),
        queue_depth: waiting,
        managed_agent_instance_epoch: epoch,
    })
}

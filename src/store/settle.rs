//! Rows that end without being typed: cancelled, too old, superfluous, dropped. And rows that are kept.

use rusqlite::{Row, params};
use serde_json::json;

use super::{
    error::StoreError,
    requests::{Standing, Step},
    rows::{self, CancelOutcome, CoalescePlan, Reconcile, Reconciled},
    thread::{Change, Store},
};
use crate::model::{Moment, Note, Receipt, RequestId, RequestState, Route};

/// Most rows of one transaction: other callers wait behind it.
const PORTION: u64 = 256;

/// A row of a portion.
struct Waiting {
    id: RequestId,
    standing: Standing,
}

fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    let standing = Standing { route: Route::Queue, state: RequestState::Accepted, epoch: row.get(1)? };
    Ok(Waiting { id: rows::id(row, 0)?, standing })
}

impl Change<'_> {
    /// Fails a row that was not typed, with the receipt that says why.
    fn refuse(
        &mut self,
        id: &RequestId,
        from: Standing,
        reason: &str,
        detail: &str,
        at: Moment,
    ) -> rusqlite::Result<()> {
        self.step(id, from, Step::End { state: RequestState::Failed, detail: Some(detail), result: None }, at)?;
        self.append_notes(id, &[Note::new(Receipt::Refused).because(reason, detail)], at)
    }

    fn expire(&mut self, now: Moment) -> rusqlite::Result<Vec<RequestId>> {
        let due: Vec<Waiting> = self
            .sql
            .prepare_cached(
                "SELECT request_id, epoch FROM agents_requests WHERE state = 'accepted' AND expires_at_utc IS NOT NULL \
                 AND expires_at_utc <= ?1 AND route = 'queue' ORDER BY expires_at_utc LIMIT ?2",
            )?
            .query_map(params![now.iso_millis(), PORTION], waiting)?
            .collect::<rusqlite::Result<_>>()?;
        for row in &due {
            self.refuse(&row.id, row.standing, "expired", "it was too old before it could be typed", now)?;
        }
        Ok(due.into_iter().map(|row| row.id).collect())
    }

    /// Settles one portion of the rows of earlier epochs, from behind a sequence. Returns where it ended, if there may
    /// be more, and how many it were.
    fn reconcile(
        &mut self,
        action: Reconcile,
        epoch: u64,
        after: u64,
        at: Moment,
    ) -> rusqlite::Result<(Option<u64>, u64)> {
        let rows: Vec<(u64, Waiting)> = self
            .sql
            .prepare_cached(
                "SELECT request_id, epoch, sequence FROM agents_requests WHERE state = 'accepted' AND epoch < ?1 \
                 AND route = 'queue' AND sequence > ?3 ORDER BY sequence LIMIT ?2",
            )?
            .query_map(params![epoch, PORTION, after], |row| Ok((row.get(2)?, waiting(row)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (_, Waiting { id, standing }) in &rows {
            match action {
                Reconcile::Drop => self.refuse(id, *standing, "dropped", "dropped by the operator", at)?,
                Reconcile::Keep => {
                    let ours = "UPDATE agents_requests SET epoch = ?2 WHERE request_id = ?1";
                    let theirs = "UPDATE gateway_requests SET managed_agent_instance_epoch = ?2 WHERE request_id = ?1";
                    for statement in [ours, theirs] {
                        self.sql.prepare_cached(statement)?.execute(params![id.as_str(), epoch])?;
                    }
                    self.tally.remove_waiting(standing.epoch);
                    self.tally.add_waiting(epoch);
                }
            }
        }
        let count = rows.len() as u64;
        Ok((rows.last().map(|(sequence, _)| *sequence).filter(|_| count == PORTION), count))
    }

    fn coalesce(&mut self, plan: &CoalescePlan, at: Moment) -> rusqlite::Result<bool> {
        let mut standings = Vec::with_capacity(plan.superseded.len());
        for row in &plan.superseded {
            standings.push(self.standing(&row.id)?);
        }
        let waits = |standing: &Option<Standing>| standing.is_some_and(|known| known.state == RequestState::Accepted);
        let mut holds = standings.iter().all(waits);
        for id in &plan.effective {
            holds = holds && self.standing(id)?.is_some_and(|known| !known.state.is_final());
        }
        if !holds {
            return Ok(false);
        }
        let stamp = at.iso_seconds();
        for (row, standing) in plan.superseded.iter().zip(standings) {
            let Some(standing) = standing else { continue };
            let result = json!({
                "coalesced_at_utc": stamp,
                "coalesced_into_request_id": row.into.as_str(),
                "coalesced_reason": "superseded_control_intent",
                "effective_actions": plan.effective_actions,
                "original_action": row.action,
            })
            .to_string();
            let end = Step::End { state: RequestState::Coalesced, detail: None, result: Some(&result) };
            self.step(&row.id, standing, end, at)?;
            let why = format!("{} makes it superfluous", row.into);
            self.append_notes(&row.id, &[Note::new(Receipt::Refused).because("superseded", why)], at)?;
        }
        let event = json!({
            "coalesced_at_utc": stamp,
            "coalesced_request_ids": plan.superseded.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(),
            "effective_request_ids": plan.effective.iter().map(RequestId::as_str).collect::<Vec<_>>(),
            "effective_actions": plan.effective_actions,
            "next_request_id": plan.effective.first().map(RequestId::as_str),
        });
        self.append(None, "coalesced", &event.to_string(), &at.iso_millis())?;
        Ok(true)
    }
}

impl Store {
    /// Fails a row that still waits, because its sender wants so.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn cancel(&self, id: &RequestId, at: Moment) -> Result<CancelOutcome, StoreError> {
        let id = id.clone();
        self.write(move |change| match change.standing(&id)? {
            None => Ok(CancelOutcome::Unknown),
            Some(standing) if standing.state == RequestState::Accepted => {
                change.refuse(&id, standing, "cancelled", "cancelled before it was typed", at)?;
                Ok(CancelOutcome::Cancelled)
            }
            Some(standing) => Ok(CancelOutcome::NotAccepted { state: standing.state }),
        })
        .await
    }

    /// Ends control intents that later ones made superfluous. False, and nothing is changed, if one of the plan's rows
    /// has gone on since the plan was made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn coalesce(&self, plan: CoalescePlan, at: Moment) -> Result<bool, StoreError> {
        self.write(move |change| change.coalesce(&plan, at)).await
    }

    /// Fails the waiting rows whose time is over, and returns their ids.
    ///
    /// # Errors
    /// [`StoreError`]; portions before the failing one are kept.
    pub async fn expire_due(&self, now: Moment) -> Result<Vec<RequestId>, StoreError> {
        let mut expired = Vec::new();
        loop {
            let portion = self.write(move |change| change.expire(now)).await?;
            let last = (portion.len() as u64) < PORTION;
            expired.extend(portion);
            if last {
                return Ok(expired);
            }
        }
    }

    /// When the next waiting row will be too old.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_expiry(&self) -> Result<Option<Moment>, StoreError> {
        self.read(|view| {
            let text: Option<String> = view
                .sql
                .prepare_cached(
                    "SELECT min(expires_at_utc) FROM agents_requests \
                     WHERE state = 'accepted' AND expires_at_utc IS NOT NULL",
                )?
                .query_row([], |row| row.get(0))?;
            Ok(text.and_then(|text| Moment::parse(&text)))
        })
        .await
    }

    /// Settles what waits for earlier agent processes than that of `epoch`.
    ///
    /// # Errors
    /// [`StoreError`]; portions before the failing one are kept, and the rest is settled by asking again.
    pub async fn reconcile(&self, action: Reconcile, epoch: u64, at: Moment) -> Result<Reconciled, StoreError> {
        let (mut count, mut next) = (0, Some(0));
        while let Some(after) = next {
            let (end, portion) = self.write(move |change| change.reconcile(action, epoch, after, at)).await?;
            count += portion;
            next = end;
        }
        Ok(match action {
            Reconcile::Keep => Reconciled { kept: count, dropped: 0 },
            Reconcile::Drop => Reconciled { kept: 0, dropped: count },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        NewRow, Superseded,
        scratch::{Scratch, id, later, now, row},
    };

    #[tokio::test]
    async fn only_what_waits_can_be_cancelled() {
        let scratch = Scratch::new();
        scratch.fill(0..2).await;
        assert_eq!(scratch.store.cancel(&id(0), now()).await.unwrap(), CancelOutcome::Cancelled);
        assert_eq!(scratch.receipts(0).await, ["queued", "refused cancelled"]);
        let failed = CancelOutcome::NotAccepted { state: RequestState::Failed };
        assert_eq!(scratch.store.cancel(&id(0), now()).await.unwrap(), failed);
        scratch.store.begin(&id(1), now(), Vec::new()).await.unwrap();
        let running = CancelOutcome::NotAccepted { state: RequestState::Running };
        assert_eq!(scratch.store.cancel(&id(1), now()).await.unwrap(), running);
        assert_eq!(scratch.store.cancel(&id(9), now()).await.unwrap(), CancelOutcome::Unknown);
        assert_eq!(scratch.store.depth(1).await.unwrap().waiting, 1);
    }

    #[tokio::test]
    async fn what_is_too_old_fails_to_the_millisecond_and_in_portions() {
        let scratch = Scratch::new();
        let dated = |n, milliseconds| NewRow { expires_at: Some(later(milliseconds)), ..row(n) };
        scratch.fill(0..1).await;
        let many = 2 + u32::try_from(PORTION).unwrap();
        scratch.accept_together((1..many).map(|n| dated(n, 50)).collect()).await;
        scratch.accept(dated(many, 1000)).await.unwrap();
        scratch.accept(dated(many + 1, 10)).await.unwrap();
        scratch.store.begin(&id(many + 1), now(), Vec::new()).await.unwrap();
        assert_eq!(scratch.store.next_expiry().await.unwrap(), Some(later(50)), "what runs is not too old");
        assert_eq!(scratch.store.expire_due(later(49)).await.unwrap(), []);
        let expired = scratch.store.expire_due(later(50)).await.unwrap();
        assert_eq!(expired, (1..many).map(id).collect::<Vec<_>>());
        assert_eq!(scratch.receipts(1).await, ["queued", "refused expired"]);
        let (failed, _) = scratch.store.show(&id(1)).await.unwrap().unwrap();
        assert!(failed.error_detail.unwrap().contains("too old"));
        assert_eq!(scratch.store.next_expiry().await.unwrap(), Some(later(1000)));
        assert_eq!(scratch.store.expire_due(later(2000)).await.unwrap(), [id(many)]);
        assert_eq!(scratch.store.next_expiry().await.unwrap(), None);
        assert_eq!(scratch.store.depth(1).await.unwrap().waiting, 2);
    }

    /// Rows 0 to `many` of epoch 1, one of them running, and one of epoch 2.
    async fn two_agents(many: u32) -> Scratch {
        let scratch = Scratch::new();
        scratch.accept_together((0..many).map(row).collect()).await;
        scratch.accept(NewRow { epoch: 2, ..row(many) }).await.unwrap();
        scratch.store.begin(&id(0), now(), Vec::new()).await.unwrap();
        scratch
    }

    #[tokio::test]
    async fn rows_of_an_earlier_agent_are_kept() {
        let many = 2 * u32::try_from(PORTION).unwrap() + 5;
        let scratch = two_agents(many).await;
        assert_eq!(scratch.store.depth(2).await.unwrap().of_earlier_epochs, u64::from(many));
        let kept = scratch.store.reconcile(Reconcile::Keep, 2, now()).await.unwrap();
        assert_eq!(kept, Reconciled { kept: u64::from(many) - 1, dropped: 0 });
        assert_eq!(scratch.store.depth(2).await.unwrap().of_earlier_epochs, 1, "what runs is not the operator's");
        assert!(scratch.store.waiting(9999).await.unwrap().iter().all(|row| row.epoch == 2));
        let scratch = scratch.again();
        let depth = scratch.store.depth(2).await.unwrap();
        assert_eq!((depth.waiting, depth.of_earlier_epochs), (u64::from(many) + 1, 1));
        let theirs: u32 = scratch
            .outsider()
            .query_row("SELECT count(*) FROM gateway_requests WHERE managed_agent_instance_epoch = 2", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(theirs, many);
    }

    #[tokio::test]
    async fn rows_of_an_earlier_agent_are_dropped() {
        let scratch = two_agents(3).await;
        let dropped = scratch.store.reconcile(Reconcile::Drop, 2, now()).await.unwrap();
        assert_eq!(dropped, Reconciled { kept: 0, dropped: 2 });
        assert_eq!(scratch.receipts(1).await, ["queued", "refused dropped"]);
        let (row, _) = scratch.store.show(&id(1)).await.unwrap().unwrap();
        assert_eq!((row.state, row.error_detail.as_deref()), (RequestState::Failed, Some("dropped by the operator")));
        assert_eq!(scratch.store.waiting(9).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn superfluous_intents_are_coalesced_as_the_contract_says() {
        let scratch = Scratch::new();
        scratch.fill(0..4).await;
        let superseded = |n, action: &str| Superseded { id: id(n), action: action.to_owned(), into: id(2) };
        let plan = CoalescePlan {
            effective: vec![id(2), id(3)],
            effective_actions: vec!["interrupt".to_owned(), "/new".to_owned()],
            superseded: vec![superseded(0, "/clear"), superseded(1, "interrupt")],
        };
        let at = later(1000);
        assert!(scratch.store.coalesce(plan.clone(), at).await.unwrap());
        let (row, _) = scratch.store.show(&id(0)).await.unwrap().unwrap();
        assert_eq!((row.state, row.receipt), (RequestState::Coalesced, Receipt::Refused));
        let stamp = "2026-11-21T10:00:01+00:00";
        let result = json!({
            "coalesced_at_utc": stamp, "coalesced_into_request_id": id(2).as_str(),
            "coalesced_reason": "superseded_control_intent", "effective_actions": ["interrupt", "/new"],
            "original_action": "/clear",
        });
        assert_eq!((row.result, row.finished_at_utc.as_deref()), (Some(result), Some(stamp)));
        let journal = scratch.store.journal_after(4, None, 99).await.unwrap();
        let kinds: Vec<_> = journal.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!(kinds, ["receipt", "receipt", "coalesced"]);
        assert_eq!(
            journal[2].data,
            json!({
                "coalesced_at_utc": stamp, "coalesced_request_ids": [id(0).as_str(), id(1).as_str()],
                "effective_request_ids": [id(2).as_str(), id(3).as_str()],
                "effective_actions": ["interrupt", "/new"], "next_request_id": id(2).as_str(),
            })
        );
        assert!(!scratch.store.coalesce(plan, at).await.unwrap(), "the plan does not hold any more");
        assert_eq!(scratch.store.depth(1).await.unwrap().waiting, 2);
        let gone = CoalescePlan {
            effective: vec![id(9)],
            effective_actions: Vec::new(),
            superseded: vec![superseded(3, "/new")],
        };
        assert!(!scratch.store.coalesce(gone, at).await.unwrap());
        assert_eq!(scratch.state(3).await, RequestState::Accepted);
    }
}

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

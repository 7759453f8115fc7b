//! The list of reminders as callers change it. What they hear is on disk.

use std::sync::PoisonError;

use serde_json::json;
use tokio::sync::{MappedMutexGuard, MutexGuard};

use super::{
    Reminders,
    plan::{self, Found, Now},
    views,
};
use crate::{
    api::{
        MOST_REMINDERS, ReminderDefinition, ReminderDeleted, ReminderDelivery, ReminderList, ReminderStart,
        ReminderView,
    },
    os::{clock, random},
    queue::Refusal,
    store::{ReminderEvent, ReminderRow},
};

/// All of them, in their order, and nobody else's to change.
pub(super) type Rows<'r> = MappedMutexGuard<'r, Vec<ReminderRow>>;

impl Reminders {
    /// Keeps all of these, or none.
    ///
    /// # Errors
    /// 422 for keys where there is no terminal, 409 for more than can be kept, or the store's reason.
    pub async fn create(
        &self,
        new: Vec<(ReminderDefinition, ReminderStart)>,
        full: bool,
    ) -> Result<ReminderList, Refusal> {
        for (definition, _) in &new {
            self.check_delivery(&definition.delivery)?;
        }
        let mut rows = self.rows().await?;
        if rows.len() + new.len() > MOST_REMINDERS {
            let detail = format!("there are {} reminders; at most {MOST_REMINDERS} are kept", rows.len());
            return Err(Refusal::new(409, "too_many_reminders", detail));
        }
        let now = self.now();
        let mut made = Vec::with_capacity(new.len());
        for (place, (definition, begin)) in (0_i64..).zip(new) {
            // They are as old as their place in the body.
            let created_us = now.wall.saturating_add(place);
            made.push(fresh(format!("greminder-{}", random::short_id()), definition, begin, created_us, &now));
        }
        let events = made.iter().map(|row| views::registered("reminder_registered", row)).collect();
        self.inner.store.change_reminders(made.clone(), Vec::new(), events, clock::now()).await?;
        rows.extend(made.iter().cloned());
        plan::sort(&mut rows);
        self.inner.changed.notify_one();
        Ok(self.listed(&made, &rows, &now, full))
    }

    /// All of them, in the order of ranking.
    ///
    /// # Errors
    /// The store's reason.
    pub async fn list(&self, full: bool) -> Result<ReminderList, Refusal> {
        let rows = self.rows().await?;
        Ok(self.listed(&rows, &rows, &self.now(), full))
    }

    /// One of them.
    ///
    /// # Errors
    /// 404, or the store's reason.
    pub async fn show(&self, id: &str, full: bool) -> Result<ReminderView, Refusal> {
        let rows = self.rows().await?;
        let row = rows.iter().find(|row| row.id == id).ok_or_else(|| unknown(id))?;
        Ok(self.view(row, &rows, &self.now(), full))
    }

    /// Another definition for one of them: it begins anew and keeps its id and its age.
    ///
    /// # Errors
    /// 404, 409 while it is being said, 422 as [`Reminders::create`], or the store's reason.
    pub async fn update(
        &self,
        id: &str,
        definition: ReminderDefinition,
        begin: ReminderStart,
        full: bool,
    ) -> Result<ReminderView, Refusal> {
        let mut rows = self.rows().await?;
        let at = rows.iter().position(|row| row.id == id).ok_or_else(|| unknown(id))?;
        self.check_delivery(&definition.delivery)?;
        if rows[at].executing {
            let detail = format!("reminder `{id}` is being said now; it can be changed once that is done");
            return Err(Refusal::new(409, "reminder_executing", detail));
        }
        let now = self.now();
        let old = &rows[at];
        let row = ReminderRow {
            occurrence: old.occurrence,
            started_us: old.started_us,
            request_id: old.request_id.clone(),
            ..fresh(old.id.clone(), definition, begin, old.created_us, &now)
        };
        let events = vec![views::registered("reminder_updated", &row)];
        self.inner.store.change_reminders(vec![row.clone()], Vec::new(), events, clock::now()).await?;
        rows[at] = row;
        plan::sort(&mut rows);
        self.forget(id);
        self.inner.changed.notify_one();
        let row = rows.iter().find(|row| row.id == id).ok_or_else(|| unknown(id))?;
        Ok(self.view(row, &rows, &now, full))
    }

    /// Removes one. What is being said goes on.
    ///
    /// # Errors
    /// 404, or the store's reason.
    pub async fn delete(&self, id: &str) -> Result<ReminderDeleted, Refusal> {
        let mut rows = self.rows().await?;
        let at = rows.iter().position(|row| row.id == id).ok_or_else(|| unknown(id))?;
        let executing = rows[at].executing;
        let detail = match (&rows[at].request_id, executing) {
            (Some(request), true) => format!("removed; request {request}, which it had begun, goes on"),
            (None, true) => "removed; its keys are being typed".to_owned(),
            (_, false) => "removed".to_owned(),
        };
        let more = json!({ "executing": executing, "delete_requested": true, "detail": detail });
        let events = vec![views::event("reminder_deleted", &rows[at], more)];
        self.inner.store.change_reminders(Vec::new(), vec![id.to_owned()], events, clock::now()).await?;
        rows.remove(at);
        self.forget(id);
        self.inner.changed.notify_one();
        Ok(ReminderDeleted {
            schema_version: 1,
            status: "ok".to_owned(),
            action: "delete_reminder".to_owned(),
            reminder_id: id.to_owned(),
            deleted: true,
            detail,
        })
    }

    fn check_delivery(&self, delivery: &ReminderDelivery) -> Result<(), Refusal> {
        match delivery {
            ReminderDelivery::SendKeys(_) if !self.inner.queue.has_terminal() => {
                let detail = "this agent has no terminal that keys could be typed into; use `prompt`";
                Err(Refusal::new(422, "unsupported_target", detail))
            }
            _ => Ok(()),
        }
    }

    fn listed(&self, these: &[ReminderRow], all: &[ReminderRow], now: &Now, full: bool) -> ReminderList {
        ReminderList {
            schema_version: 1,
            effective_reminder_id: all.first().map(|row| row.id.clone()),
            reminders: these.iter().map(|row| self.view(row, all, now, full)).collect(),
        }
    }

    fn view(&self, row: &ReminderRow, rows: &[ReminderRow], now: &Now, full: bool) -> ReminderView {
        let waits = self.inner.waits.lock().unwrap_or_else(PoisonError::into_inner);
        views::view(row, rows, now, full, waits.get(&row.id))
    }

    /// What it waited for does not count any more.
    pub(super) fn forget(&self, id: &str) {
        self.inner.waits.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// All of them; read from the disk by whoever asks first.
    pub(super) async fn rows(&self) -> Result<Rows<'_>, Refusal> {
        let mut rows = self.inner.rows.lock().await;
        if rows.is_none() {
            *rows = Some(self.take_over().await?);
        }
        Ok(MutexGuard::map(rows, |rows| rows.get_or_insert_default()))
    }

    /// Reads what an earlier gateway kept, and does what each says about the time without one.
    async fn take_over(&self) -> Result<Vec<ReminderRow>, Refusal> {
        let (mut rows, now) = (self.inner.store.reminders().await?, self.now());
        let (mut kept, mut gone, mut events): (Vec<ReminderRow>, Vec<String>, Vec<ReminderEvent>) = Default::default();
        let mut left = Vec::with_capacity(rows.len());
        for mut row in rows.drain(..) {
            let before = row.clone();
            self.was_said(&mut row).await?;
            let found = plan::resume(&mut row, &now);
            let due = views::micros(before.due_wall_us);
            match found {
                Found::Same | Found::Moved => {}
                Found::Missed { slots, fires } => {
                    let skipped = slots - i64::from(fires);
                    let more = json!({ "missed": slots, "fires": fires, "skipped": skipped, "due_at_utc": due,
                        "when_missed": row.definition.when_missed });
                    events.push(views::event("reminder_missed", &row, more));
                }
                Found::Skipped { slots } => {
                    let more = json!({ "skipped": slots, "due_at_utc": due, "when_missed": "skip" });
                    events.push(views::event("reminder_skipped", &row, more));
                    if !plan::advance(&mut row, &now) {
                        tracing::info!(reminder = row.id, due, "a reminder fell due without a gateway, and is skipped");
                        gone.push(row.id);
                        continue;
                    }
                }
            }
            if row != before {
                kept.push(row.clone());
            }
            left.push(row);
        }
        if !(kept.is_empty() && gone.is_empty()) {
            self.inner.store.change_reminders(kept, gone, events, clock::now()).await?;
        }
        plan::sort(&mut left);
        Ok(left)
    }

    /// A gateway may have died between saying it and writing that down, or the other way round. The name of each time
    /// tells.
    pub(super) async fn was_said(&self, row: &mut ReminderRow) -> Result<(), Refusal> {
        let time = if row.executing { row.occurrence } else { row.occurrence + 1 };
        match self.inner.queue.named(&name(row, time)).await? {
            Some(request) => {
                (row.executing, row.occurrence, row.request_id) = (true, time, Some(request.to_string()));
            }
            None if row.executing && row.request_id.is_none() => {
                (row.executing, row.occurrence, row.seen_due) = (false, time.saturating_sub(1), true);
            }
            None => {}
        }
        Ok(())
    }
}

/// The name of one time, which never happens twice. No caller can send a key with a space in it.
pub(super) fn name(row: &ReminderRow, time: u64) -> String {
    format!("reminder {} {time}", row.id)
}

fn fresh(id: String, definition: ReminderDefinition, begin: ReminderStart, created_us: i64, now: &Now) -> ReminderRow {
    let (clock, due_us, due_wall_us) = plan::start(begin, now);
    ReminderRow {
        id,
        definition,
        created_us,
        clock,
        due_us,
        due_wall_us,
        seen_due: false,
        owed: 1,
        occurrence: 0,
        started_us: None,
        executing: false,
        request_id: None,
    }
}

fn unknown(id: &str) -> Refusal {
    let shown: String = id.chars().take(64).collect();
    Refusal::new(404, "unknown_reminder", format!("no reminder has the id `{shown}`"))
}

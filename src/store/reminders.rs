//! Reminders on disk: each change with its journal entries, in one transaction.

use rusqlite::{Row, params};
use serde_json::Value;

use super::{
    error::StoreError,
    thread::{Change, Store},
};
use crate::{api::ReminderDefinition, model::Moment};

/// By which clock a reminder is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DueClock {
    /// The wall clock: it follows whoever sets that.
    Wall,
    /// The clock that counts since this boot.
    Boot {
        /// Which boot.
        id: String,
    },
}

/// One reminder as it is kept. Every moment is in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReminderRow {
    /// `greminder-<12 hex>`.
    pub id: String,
    /// What was asked for.
    pub definition: ReminderDefinition,
    /// Since 1970.
    pub created_us: i64,
    /// By which clock it is due.
    pub clock: DueClock,
    /// The slot that is next, by that clock.
    pub due_us: i64,
    /// The same slot since 1970, as it was expected when it was planned.
    pub due_wall_us: i64,
    /// A gateway was there when it fell due.
    pub seen_due: bool,
    /// How often it is to be said until it is up to date; 1 but after slots were missed.
    pub owed: u32,
    /// How often it was said, this time included while it is executing. Names this time: it never happens twice.
    pub occurrence: u64,
    /// When it was said last, since 1970.
    pub started_us: Option<i64>,
    /// It is being said.
    pub executing: bool,
    /// The request that says it, or said it last.
    pub request_id: Option<String>,
}

/// A journal entry of a change.
#[derive(Debug, Clone, PartialEq)]
pub struct ReminderEvent {
    /// `reminder_started`…
    pub kind: &'static str,
    /// The request that says it.
    pub request: Option<String>,
    /// An object.
    pub data: Value,
}

impl Change<'_> {
    fn put(&mut self, row: &ReminderRow) -> rusqlite::Result<()> {
        let (clock, boot) = match &row.clock {
            DueClock::Wall => ("wall", None),
            DueClock::Boot { id } => ("boot", Some(id.as_str())),
        };
        self.sql
            .prepare_cached(
                "INSERT OR REPLACE INTO agents_reminders (reminder_id, definition_json, created_at_us, clock, boot_id, \
                 due_us, due_wall_us, seen_due, owed, occurrence, started_at_us, executing, request_id) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                row.id,
                serde_json::to_string(&row.definition).unwrap_or_default(),
                row.created_us,
                clock,
                boot,
                row.due_us,
                row.due_wall_us,
                row.seen_due,
                row.owed,
                row.occurrence,
                row.started_us,
                row.executing,
                row.request_id,
            ])
            .map(drop)
    }

    fn tell(&mut self, events: &[ReminderEvent], at: Moment) -> rusqlite::Result<()> {
        let at = at.iso_millis();
        events
            .iter()
            .try_for_each(|event| self.append(event.request.as_deref(), event.kind, &event.data.to_string(), &at))
    }
}

impl Store {
    /// All of them, in no order.
    ///
    /// # Errors
    /// [`StoreError`]; also for a row that nobody can read: it is not passed over.
    pub async fn reminders(&self) -> Result<Vec<ReminderRow>, StoreError> {
        self.read(|view| {
            view.sql
                .prepare_cached(
                    "SELECT reminder_id, definition_json, created_at_us, clock, boot_id, due_us, due_wall_us, seen_due, \
                     owed, occurrence, started_at_us, executing, request_id FROM agents_reminders",
                )?
                .query_map([], reminder)?
                .collect()
        })
        .await
    }

    /// Keeps these, new or changed, and removes those, all at once.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was then changed.
    pub async fn change_reminders(
        &self,
        keep: Vec<ReminderRow>,
        remove: Vec<String>,
        events: Vec<ReminderEvent>,
        at: Moment,
    ) -> Result<(), StoreError> {
        self.write(move |change| {
            keep.iter().try_for_each(|row| change.put(row))?;
            for id in &remove {
                change.sql.prepare_cached("DELETE FROM agents_reminders WHERE reminder_id = ?1")?.execute([id])?;
            }
            change.tell(&events, at)
        })
        .await
    }
}

fn reminder(row: &Row<'_>) -> rusqlite::Result<ReminderRow> {
    let text: String = row.get(1)?;
    let definition = serde_json::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error)))?;
    let clock: String = row.get(3)?;
    let boot: Option<String> = row.get(4)?;
    Ok(ReminderRow {
        id: row.get(0)?,
        definition,
        created_us: row.get(2)?,
        clock: if clock == "boot" { DueClock::Boot { id: boot.unwrap_or_default() } } else { DueClock::Wall },
        due_us: row.get(5)?,
        due_wall_us: row.get(6)?,
        seen_due: row.get(7)?,
        owed: row.get(8)?,
        occurrence: row.get(9)?,
        started_us: row.get(10)?,
        executing: row.get(11)?,
        request_id: row.get(12)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::{ReminderDelivery, ReminderKeys, ReminderMode, WhenMissed},
        store::scratch::{Scratch, now},
    };

    #[tokio::test]
    async fn a_reminder_comes_back_as_it_was_and_goes_with_its_event() {
        let scratch = Scratch::new();
        let keys = ReminderKeys { sequence: "x<[Enter]>".to_owned(), ensure_enter: false };
        let row = ReminderRow {
            id: "greminder-0123456789ab".to_owned(),
            definition: ReminderDefinition {
                mode: ReminderMode::Repeat,
                title: "é".to_owned(),
                delivery: ReminderDelivery::SendKeys(keys),
                ranking: -7,
                paused: true,
                interval_us: Some(1_500_000),
                when_missed: WhenMissed::FireAll,
            },
            created_us: 5,
            clock: DueClock::Boot { id: "boot".to_owned() },
            due_us: -3,
            due_wall_us: 9,
            seen_due: true,
            owed: 4,
            occurrence: 2,
            started_us: Some(8),
            executing: true,
            request_id: Some("gwreq-1".to_owned()),
        };
        let other =
            ReminderRow { id: "greminder-2".to_owned(), clock: DueClock::Wall, request_id: None, ..row.clone() };
        let event = |kind| ReminderEvent { kind, request: None, data: json!({}) };
        let events = vec![event("reminder_registered")];
        scratch.store.change_reminders(vec![row.clone(), other.clone()], Vec::new(), events, now()).await.unwrap();
        let scratch = scratch.again();
        assert_eq!(scratch.store.reminders().await.unwrap(), [row.clone(), other.clone()]);
        let events = vec![event("reminder_deleted")];
        scratch.store.change_reminders(Vec::new(), vec![row.id], events, now()).await.unwrap();
        assert_eq!(scratch.store.reminders().await.unwrap(), [other]);
        let told = scratch.store.journal_after(0, None, 9).await.unwrap();
        let kinds: Vec<&str> = told.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!(kinds, ["reminder_registered", "reminder_deleted"]);
    }
}

//! The journal: every receipt and event, numbered, in the transaction of the change that it tells of.

use rusqlite::params;
use serde_json::Value;

use super::{
    error::StoreError,
    rows::{JournalRow, RECEIPT, journal},
    thread::{Change, Store},
};
use crate::model::{Moment, Note, RequestId, RequestState};

impl Change<'_> {
    /// Appends one entry. `at` is in milliseconds.
    pub(super) fn append(&mut self, id: Option<&str>, kind: &str, data: &str, at: &str) -> rusqlite::Result<()> {
        self.sql
            .prepare_cached("INSERT INTO agents_journal (request_id, kind, data_json, at_utc) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![id, kind, data, at])?;
        self.tally.newest = u64::try_from(self.sql.last_insert_rowid()).unwrap_or_default();
        Ok(())
    }

    /// Appends receipts, and puts the last one into the row.
    pub(super) fn append_notes(&mut self, id: &RequestId, notes: &[Note], at: Moment) -> rusqlite::Result<()> {
        let Some(last) = notes.last() else { return Ok(()) };
        let at = at.iso_millis();
        for note in notes {
            let data = serde_json::to_string(note).unwrap_or_default();
            self.append(Some(id.as_str()), RECEIPT, &data, &at)?;
        }
        self.sql
            .prepare_cached("UPDATE agents_requests SET receipt = ?2 WHERE request_id = ?1")?
            .execute([id.as_str(), last.receipt.name()])
            .map(drop)
    }
}

/// Key in `agents_meta`: the newest entry that stands in `events.jsonl`.
const EXPORTED: &str = "events_exported";

impl Store {
    /// Up to which entry the journal was written elsewhere; `None` if it never was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn exported(&self) -> Result<Option<u64>, StoreError> {
        let text = self.read(|view| view.meta(EXPORTED)).await?;
        Ok(text.and_then(|text| text.parse().ok()))
    }

    /// Remembers up to which entry the journal was written elsewhere.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remember_exported(&self, id: u64) -> Result<(), StoreError> {
        self.write(move |change| {
            change
                .sql
                .prepare_cached("INSERT OR REPLACE INTO agents_meta (key, value) VALUES (?1, ?2)")?
                .execute([EXPORTED, &id.to_string()])
                .map(drop)
        })
        .await
    }

    /// Records receipts of a request, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note(&self, id: &RequestId, notes: Vec<Note>, at: Moment) -> Result<(), StoreError> {
        let id = id.clone();
        self.write(move |change| change.append_notes(&id, &notes, at)).await
    }

    /// Tells a waiting request what it waits for. False, and nothing is recorded, if it does not wait any more: nothing
    /// may follow the receipt that ended it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn defer(&self, id: &RequestId, note: Note, at: Moment) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |change| match change.standing(&id)? {
            Some(standing) if standing.state == RequestState::Accepted => {
                change.append_notes(&id, std::slice::from_ref(&note), at)?;
                Ok(true)
            }
            _ => Ok(false),
        })
        .await
    }

    /// Records an event that is no receipt: `admission`, `control_prompt_refused`… `data` is an object.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record(
        &self,
        request: Option<&RequestId>,
        kind: &'static str,
        data: Value,
        at: Moment,
    ) -> Result<(), StoreError> {
        let id = request.cloned();
        self.write(move |change| {
            change.append(id.as_ref().map(RequestId::as_str), kind, &data.to_string(), &at.iso_millis())
        })
        .await
    }

    /// Entries with a higher id than `after`, oldest first; of one request, if it is given.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn journal_after(
        &self,
        after: u64,
        request: Option<&RequestId>,
        limit: usize,
    ) -> Result<Vec<JournalRow>, StoreError> {
        let id = request.cloned();
        self.read(move |view| match &id {
            None => view
                .sql
                .prepare_cached(
                    "SELECT id, request_id, kind, data_json, at_utc FROM agents_journal \
                         WHERE id > ?1 ORDER BY id LIMIT ?2",
                )?
                .query_map(params![after, limit], journal)?
                .collect(),
            Some(id) => view
                .sql
                .prepare_cached(
                    "SELECT id, request_id, kind, data_json, at_utc FROM agents_journal \
                         WHERE request_id = ?3 AND id > ?1 ORDER BY id LIMIT ?2",
                )?
                .query_map(params![after, limit, id.as_str()], journal)?
                .collect(),
        })
        .await
    }

    /// The oldest id from which on every entry is there, and the newest; both 0 while there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn journal_range(&self) -> Result<(u64, u64), StoreError> {
        self.read(|view| {
            let (floor, newest) = (view.tally.floor, view.tally.newest);
            Ok(if newest > floor { (floor + 1, newest) } else { (0, newest) })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        model::Receipt,
        store::scratch::{Scratch, id, later, now},
    };

    #[tokio::test]
    async fn entries_are_numbered_read_from_anywhere_and_filtered() {
        let scratch = Scratch::new();
        assert_eq!(scratch.store.journal_range().await.unwrap(), (0, 0));
        let mut newest = scratch.store.newest();
        scratch.fill(0..2).await;
        let note =
            Note::new(Receipt::Deferred).because("draft", "there is text in the composer").seen(json!({"row": 4}));
        scratch.store.note(&id(0), vec![note.clone()], later(5)).await.unwrap();
        scratch.store.record(Some(&id(1)), "admission", json!({"policy": "always"}), later(6)).await.unwrap();
        scratch.store.record(None, "control_prompt_refused", json!({"error_code": "not_ready"}), now()).await.unwrap();
        assert_eq!(*newest.borrow_and_update(), 5);
        assert_eq!(scratch.store.journal_range().await.unwrap(), (1, 5));
        let all = scratch.store.journal_after(0, None, 99).await.unwrap();
        assert_eq!(all.iter().map(|entry| entry.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!((all[2].note(), all[2].at_utc.as_str()), (Some(note), "2026-11-21T10:00:00.125Z"));
        assert_eq!((all[3].note(), all[3].kind.as_str()), (None, "admission"));
        assert_eq!((all[4].request_id.clone(), all[4].data["error_code"].as_str()), (None, Some("not_ready")));
        let some = scratch.store.journal_after(1, None, 2).await.unwrap();
        assert_eq!(some, all[1..3]);
        let of_one = scratch.store.journal_after(1, Some(&id(0)), 99).await.unwrap();
        assert_eq!(of_one, all[2..3]);
        let (row, _) = scratch.store.show(&id(0)).await.unwrap().unwrap();
        assert_eq!(row.receipt, Receipt::Deferred);
        assert!(!newest.has_changed().unwrap(), "reading changes nothing");
        let scratch = scratch.again();
        assert_eq!(*scratch.store.newest().borrow(), 5);
    }
}

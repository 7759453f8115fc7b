//! Turns: what the tracker told of each, and the journal entry of every edge in the same transaction.

use rusqlite::{OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::{
    error::StoreError,
    thread::{Change, Store},
};
use crate::model::{Moment, Outcome, RequestId, Source, Spoken, TurnRecord};

/// Turns that are kept.
const KEPT: u64 = 2_000;

/// Kinds of the journal's entries about turns.
const STARTED: &str = "turn_started";
const ENDED: &str = "turn_ended";
const AMENDED: &str = "turn_amended";

/// A turn as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnRow {
    /// Its place among all turns, 1 or higher.
    pub sequence: u64,
    /// The turn.
    pub turn: TurnRecord,
}

impl Change<'_> {
    fn keep(&mut self, turn: &TurnRecord, kind: &str, at: &str) -> rusqlite::Result<()> {
        let record = serde_json::to_string(turn).unwrap_or_default();
        let request = turn.request_id.as_ref().map(RequestId::as_str);
        let outcome = turn.outcome.map(Outcome::name);
        // The name of a turn whose files were removed is free again; who takes it is another turn, at a place of its own.
        self.sql
            .prepare_cached(
                "DELETE FROM agents_turns WHERE turn_id = ?1 AND ended_at_utc <= ?2 AND started_at_utc < ?2",
            )?
            .execute([&turn.id, &turn.started_at_utc])?;
        // Not by `ON CONFLICT`: that would use up a number for every edge.
        let known = self
            .sql
            .prepare_cached(
                "UPDATE agents_turns SET request_id = ?2, ended_at_utc = ?3, outcome = ?4, record_json = ?5 \
                 WHERE turn_id = ?1",
            )?
            .execute(params![turn.id, request, turn.ended_at_utc, outcome, record])?;
        if known == 0 {
            self.sql
                .prepare_cached(
                    "INSERT INTO agents_turns (turn_id, request_id, started_at_utc, ended_at_utc, outcome, record_json) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![turn.id, request, turn.started_at_utc, turn.ended_at_utc, outcome, record])?;
        }
        self.sql
            .prepare_cached("DELETE FROM agents_turns WHERE sequence <= (SELECT max(sequence) FROM agents_turns) - ?1")?
            .execute([KEPT])?;
        self.append(request, kind, &told(turn).to_string(), at)
    }
}

/// What the journal tells of a turn; the texts stay with the turn.
fn told(turn: &TurnRecord) -> Value {
    json!({
        "turn_id": turn.id,
        "tool_turn_id": turn.tool_turn_id,
        "started_at_utc": turn.started_at_utc,
        "ended_at_utc": turn.ended_at_utc,
        "outcome": turn.outcome,
        "has_reply": turn.reply.is_some(),
        "reply_exact": turn.reply.as_ref().map(|reply| reply.exact),
        "error": turn.error,
    })
}

impl Store {
    /// Keeps a turn that began.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn turn_started(&self, turn: TurnRecord, at: Moment) -> Result<(), StoreError> {
        self.write(move |change| change.keep(&turn, STARTED, &at.iso_millis())).await
    }

    /// Keeps a turn that ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn turn_ended(&self, turn: TurnRecord, at: Moment) -> Result<(), StoreError> {
        self.write(move |change| change.keep(&turn, ENDED, &at.iso_millis())).await
    }

    /// Keeps what became known of a turn after its end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn turn_amended(&self, turn: TurnRecord, at: Moment) -> Result<(), StoreError> {
        self.write(move |change| change.keep(&turn, AMENDED, &at.iso_millis())).await
    }

    /// Ends the turns that an earlier gateway saw begin and not end: nobody knows how they did. Returns them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close_open_turns(&self, now: Moment) -> Result<Vec<TurnRecord>, StoreError> {
        self.write(move |change| {
            let open: Vec<TurnRow> = change
                .sql
                .prepare_cached(
                    "SELECT sequence, record_json FROM agents_turns WHERE ended_at_utc IS NULL ORDER BY sequence",
                )?
                .query_map([], turn)?
                .collect::<rusqlite::Result<_>>()?;
            let mut closed = Vec::with_capacity(open.len());
            for TurnRow { mut turn, .. } in open {
                turn.ended_at_utc = Some(now.iso_millis());
                turn.outcome = Some(Outcome::Unknown);
                turn.ended_by.push(Spoken {
                    source: Source::Process,
                    what: "the gateway that saw it begin has ended; nobody saw its end".to_owned(),
                    at_utc: now.iso_millis(),
                });
                change.keep(&turn, ENDED, &now.iso_millis())?;
                closed.push(turn);
            }
            Ok(closed)
        })
        .await
    }

    /// Turns, newest first; only older ones than `before`, if it is given.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn turns(&self, limit: u32, before: Option<u64>) -> Result<Vec<TurnRow>, StoreError> {
        let before = before.unwrap_or(i64::MAX.unsigned_abs()).min(i64::MAX.unsigned_abs());
        self.read(move |view| {
            view.sql
                .prepare_cached(
                    "SELECT sequence, record_json FROM agents_turns WHERE sequence < ?1 ORDER BY sequence DESC LIMIT ?2",
                )?
                .query_map(params![before, limit], turn)?
                .collect()
        })
        .await
    }

    /// One turn.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn turn(&self, id: &str) -> Result<Option<TurnRow>, StoreError> {
        let id = id.to_owned();
        self.read(move |view| {
            view.sql
                .prepare_cached("SELECT sequence, record_json FROM agents_turns WHERE turn_id = ?1")?
                .query_row([&id], turn)
                .optional()
        })
        .await
    }
}

fn turn(row: &Row<'_>) -> rusqlite::Result<TurnRow> {
    let text: String = row.get(1)?;
    let turn = serde_json::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(TurnRow { sequence: row.get(0)?, turn })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::scratch::{Scratch, now};

    fn begun(id: &str, request: Option<&str>) -> TurnRecord {
        TurnRecord {
            id: id.to_owned(),
            request_id: request.map(|id| id.parse().unwrap()),
            tool_turn_id: None,
            prompt: Some("hi".to_owned()),
            started_at_utc: now().iso_millis(),
            ended_at_utc: None,
            outcome: None,
            reply: None,
            error: None,
            started_by: vec![],
            ended_by: vec![],
        }
    }

    fn ended(turn: &TurnRecord) -> TurnRecord {
        TurnRecord { ended_at_utc: Some(now().iso_millis()), outcome: Some(Outcome::Success), ..turn.clone() }
    }

    #[tokio::test]
    async fn every_edge_is_kept_with_its_entry_in_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _thread) = Store::open(&folder.path().join("queue.sqlite"), now()).unwrap();
        let (one, two) = (begun("turn-1", Some("gwreq-1")), begun("turn-2", None));
        store.turn_started(one.clone(), now()).await.unwrap();
        store.turn_ended(ended(&one), now()).await.unwrap();
        store.turn_started(two.clone(), now()).await.unwrap();
        store.turn_amended(ended(&one), now()).await.unwrap();
        let all = store.turns(10, None).await.unwrap();
        assert_eq!(
            all.iter().map(|row| (row.sequence, row.turn.id.as_str())).collect::<Vec<_>>(),
            [(2, "turn-2"), (1, "turn-1")]
        );
        assert_eq!(store.turns(10, Some(2)).await.unwrap()[0].turn, ended(&one));
        assert_eq!(store.turn("turn-2").await.unwrap().unwrap().turn, two);
        assert_eq!(store.turn("turn-3").await.unwrap(), None);
        let journal = store.journal_after(0, None, 10).await.unwrap();
        let kinds: Vec<&str> = journal.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!(kinds, [STARTED, ENDED, STARTED, AMENDED]);
        assert_eq!(journal[1].data["outcome"], "success");
        assert!(journal[1].note().is_none(), "it is no receipt");
    }

    #[tokio::test]
    async fn a_name_that_is_used_again_is_another_turn_at_its_own_place() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _thread) = Store::open(&folder.path().join("queue.sqlite"), now()).unwrap();
        let first = begun("mine", Some("gwreq-1"));
        store.turn_ended(ended(&first), now()).await.unwrap();
        store.turn_ended(ended(&begun("other", None)), now()).await.unwrap();
        let later = now().after(std::time::Duration::from_secs(90)).iso_millis();
        let again = TurnRecord { started_at_utc: later, ..begun("mine", Some("gwreq-2")) };
        store.turn_started(again.clone(), now()).await.unwrap();
        let all = store.turns(10, None).await.unwrap();
        assert_eq!(
            all.iter().map(|row| (row.sequence, &row.turn.request_id)).collect::<Vec<_>>(),
            [(3, &again.request_id), (2, &None)]
        );
    }

    #[tokio::test]
    async fn a_turn_that_a_restart_cut_off_ends_as_unknown_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        let (store, thread) = Store::open(&path, now()).unwrap();
        store.turn_started(begun("turn-1", None), now()).await.unwrap();
        drop(store);
        thread.join().unwrap();
        let (store, _thread) = Store::open(&path, now()).unwrap();
        assert_eq!(store.close_open_turns(now()).await.unwrap().len(), 1);
        assert_eq!(store.close_open_turns(now()).await.unwrap(), []);
        let turn = store.turn("turn-1").await.unwrap().unwrap().turn;
        assert_eq!(turn.outcome, Some(Outcome::Unknown));
        assert!(turn.ended_by[0].what.contains("gateway"));
    }

    #[tokio::test]
    async fn only_the_newest_turns_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        let (store, _thread) = Store::open(&path, now()).unwrap();
        Scratch::open_raw(&path)
            .execute_batch(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
                 INSERT INTO agents_turns (turn_id, started_at_utc, record_json) SELECT 'old-' || i, '', '{}' FROM n",
            )
            .unwrap();
        store.turn_started(begun("turn-1", None), now()).await.unwrap();
        let count: u64 =
            Scratch::open_raw(&path).query_row("SELECT count(*) FROM agents_turns", [], |row| row.get(0)).unwrap();
        assert_eq!(count, KEPT);
        assert!(store.turn("turn-1").await.unwrap().is_some());
    }
}

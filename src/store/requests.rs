//! One piece of work: taken in once, taken up, brought to its end.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::{
    error::StoreError,
    rows::{self, Admitted, Answer, NewRow, RECEIPT, StoredAnswer, word},
    thread::{Change, Store},
};
use crate::{
    api::OnDraft,
    model::{Moment, Note, RequestId, RequestKind, RequestState, Route},
};

/// Where a row stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) route: Route,
    pub(super) state: RequestState,
    pub(super) epoch: u64,
}

/// How a row goes on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'a> {
    Begin,
    Back,
    End { state: RequestState, detail: Option<&'a str>, result: Option<&'a str> },
}

/// The same statement for the table that holds a row's times: the contract's for the queue, ours for the rest.
macro_rules! for_both {
    ($route:expr, $what:literal) => {
        if $route == Route::Queue {
            concat!("UPDATE gateway_requests SET ", $what, " WHERE request_id = ?1")
        } else {
            concat!("UPDATE agents_requests SET ", $what, " WHERE request_id = ?1")
        }
    };
}

impl Change<'_> {
    pub(super) fn standing(&self, id: &RequestId) -> rusqlite::Result<Option<Standing>> {
        self.sql
            .prepare_cached("SELECT route, state, epoch FROM agents_requests WHERE request_id = ?1")?
            .query_row([id.as_str()], |row| {
                Ok(Standing {
                    route: word(row, 0, Route::from_name)?,
                    state: word(row, 1, RequestState::from_name)?,
                    epoch: row.get(2)?,
                })
            })
            .optional()
    }

    /// Moves a row on, in both tables and in the counts.
    pub(super) fn step(&mut self, id: &RequestId, from: Standing, step: Step<'_>, at: Moment) -> rusqlite::Result<()> {
        let (id, at) = (id.as_str(), at.iso_seconds());
        let (sql, route) = (self.sql, from.route);
        let state = match step {
            Step::Begin => {
                sql.prepare_cached(for_both!(route, "state = 'running', started_at_utc = ?2"))?.execute([id, &at])?;
                RequestState::Running
            }
            Step::Back => {
                sql.prepare_cached(for_both!(route, "state = 'accepted', started_at_utc = NULL"))?.execute([id])?;
                RequestState::Accepted
            }
            Step::End { state, detail, result } => {
                sql.prepare_cached(for_both!(
                    route,
                    "state = ?2, finished_at_utc = ?3, error_detail = ?4, result_json = ?5"
                ))?
                .execute(params![id, state.name(), at, detail, result])?;
                self.tally.finished += 1;
                if route == Route::Queue {
                    self.tally.remove_waiting(from.epoch);
                }
                state
            }
        };
        if route == Route::Queue {
            self.sql
                .prepare_cached("UPDATE agents_requests SET state = ?2 WHERE request_id = ?1")?
                .execute([id, state.name()])?;
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, row: &NewRow, waiting: u64) -> rusqlite::Result<u64> {
        let (id, kind, payload) = (row.id.as_str(), row.kind.name(), row.payload_json.as_str());
        let millis = row.accepted_at.iso_millis();
        let queue = row.route == Route::Queue;
        if queue {
            self.sql
                .prepare_cached(
                    "INSERT INTO gateway_requests \
                     (request_id, request_kind, payload_json, state, accepted_at_utc, managed_agent_instance_epoch) \
                     VALUES (?1, ?2, ?3, 'accepted', ?4, ?5)",
                )?
                .execute(params![id, kind, payload, row.accepted_at.iso_seconds(), row.epoch])?;
        }
        let (key, digest) = row.key.as_ref().map(|(key, digest)| (key.as_str(), digest.as_slice())).unzip();
        // A control route answers when it is done; the queue answers now.
        let answer = (queue && key.is_some()).then(|| json!({"waiting": waiting, "epoch": row.epoch}).to_string());
        self.sql
            .prepare_cached(
                "INSERT INTO agents_requests (request_id, route, request_kind, state, epoch, receipt, accepted_at_utc, \
                 expires_at_utc, idempotency_key, body_digest, answer_body, payload_json) \
                 VALUES (?1, ?2, ?3, 'accepted', ?4, 'queued', ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                id,
                row.route.name(),
                kind,
                row.epoch,
                millis,
                row.expires_at.map(Moment::iso_millis),
                key,
                digest,
                answer,
                (!queue).then_some(payload),
            ])?;
        let sequence = u64::try_from(self.sql.last_insert_rowid()).unwrap_or_default();
        if row.on_draft != OnDraft::Wait {
            self.sql
                .prepare_cached("INSERT INTO agents_on_draft (request_id, policy) VALUES (?1, ?2)")?
                .execute([id, row.on_draft.name()])?;
        }
        let queued = format!(r#"{{"receipt":"queued","request_kind":"{}"}}"#, row.kind);
        self.append(Some(id), RECEIPT, &queued, &millis)?;
        if queue {
            self.tally.add_waiting(row.epoch);
        }
        Ok(sequence)
    }
}

fn answer_of(sql: &Connection, key: &str) -> rusqlite::Result<Option<StoredAnswer>> {
    sql.prepare_cached(
        "SELECT a.request_id, a.request_kind, a.route, \
         coalesce(g.accepted_at_utc, substr(a.accepted_at_utc, 1, 19) || '+00:00'), \
         a.body_digest, a.answer_status, a.answer_body \
         FROM agents_requests a LEFT JOIN gateway_requests g ON g.request_id = a.request_id \
         WHERE a.idempotency_key = ?1",
    )?
    .query_row([key], |row| {
        Ok(StoredAnswer {
            request_id: rows::id(row, 0)?,
            kind: word(row, 1, RequestKind::from_name)?,
            route: word(row, 2, Route::from_name)?,
            accepted_at_utc: row.get(3)?,
            digest: row.get(4)?,
            answer: answer(row)?,
        })
    })
    .optional()
}

fn answer(row: &Row<'_>) -> rusqlite::Result<Answer> {
    let (status, body): (Option<u16>, Option<String>) = (row.get(5)?, row.get(6)?);
    Ok(match (status, body) {
        (_, None) => Answer::Pending,
        (Some(status), Some(body)) => Answer::Given { status, body },
        (None, Some(body)) => {
            let body: Value = serde_json::from_str(&body).unwrap_or_default();
            let number = |name: &str| body[name].as_u64().unwrap_or_default();
            Answer::Queued { waiting: number("waiting"), epoch: number("epoch") }
        }
    })
}

impl Store {
    /// Takes work in, once: a key that was seen before gives the first answer again, also when the queue is full.
    /// The queue takes no more than `cap` rows; other routes are not counted.
    ///
    /// # Errors
    /// [`StoreError`]; the work is then not kept.
    pub async fn accept(&self, row: NewRow, cap: u64) -> Result<Admitted, StoreError> {
        self.write(move |change| {
            if let Some((key, digest)) = &row.key
                && let Some(first) = answer_of(change.sql, key)?
            {
                return Ok(if first.digest == *digest { Admitted::Replay(first) } else { Admitted::KeyReused });
            }
            let waiting = change.tally.depth(0).waiting;
            if row.route != Route::Queue {
                return Ok(Admitted::New { sequence: change.insert(&row, waiting)?, waiting });
            }
            if waiting >= cap {
                return Ok(Admitted::Full { waiting });
            }
            Ok(Admitted::New { sequence: change.insert(&row, waiting + 1)?, waiting: waiting + 1 })
        })
        .await
    }

    /// Keeps the response to a direct piece of work, for whoever sends it again with its key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn settle_answer(&self, id: &RequestId, status: u16, body: String) -> Result<(), StoreError> {
        let id = id.clone();
        self.write(move |change| {
            change
                .sql
                .prepare_cached(
                    "UPDATE agents_requests SET answer_status = ?2, answer_body = ?3 WHERE request_id = ?1",
                )?
                .execute(params![id.as_str(), status, body])
                .map(drop)
        })
        .await
    }

    /// What was answered to the first request with this key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn answer_of_key(&self, key: &str) -> Result<Option<StoredAnswer>, StoreError> {
        let key = key.to_owned();
        self.read(move |view| answer_of(view.sql, &key)).await
    }

    /// Takes a row up: `accepted` becomes `running`. False, and nothing is changed, if it does not wait any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin(&self, id: &RequestId, at: Moment, notes: Vec<Note>) -> Result<bool, StoreError> {
        self.go_on(id, RequestState::Accepted, at, notes, Step::Begin).await
    }

    /// Puts a row back: `running` becomes `accepted`, in its old place. False if it was not running.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_back(&self, id: &RequestId, note: Note, at: Moment) -> Result<bool, StoreError> {
        self.go_on(id, RequestState::Running, at, vec![note], Step::Back).await
    }

    async fn go_on(
        &self,
        id: &RequestId,
        from: RequestState,
        at: Moment,
        notes: Vec<Note>,
        step: Step<'static>,
    ) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |change| match change.standing(&id)? {
            Some(standing) if standing.state == from => {
                change.step(&id, standing, step, at)?;
                change.append_notes(&id, &notes, at)?;
                Ok(true)
            }
            _ => Ok(false),
        })
        .await
    }

    /// Brings a row to its end: `state` is `completed` or `failed`. False if it has come to one before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn finish(
        &self,
        id: &RequestId,
        state: RequestState,
        error_detail: Option<String>,
        result: Option<Value>,
        notes: Vec<Note>,
        at: Moment,
    ) -> Result<bool, StoreError> {
        let (id, result) = (id.clone(), result.map(|result| result.to_string()));
        self.write(move |change| match change.standing(&id)? {
            Some(standing) if !standing.state.is_final() => {
                let end = Step::End { state, detail: error_detail.as_deref(), result: result.as_deref() };
                change.step(&id, standing, end, at)?;
                change.append_notes(&id, &notes, at)?;
                Ok(true)
            }
            _ => Ok(false),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Receipt,
        store::scratch::{Scratch, id, later, now, row},
    };

    fn keyed(n: u32, key: &str, digest: u8) -> NewRow {
        NewRow { key: Some((key.to_owned(), [digest; 16])), ..row(n) }
    }

    fn direct(n: u32) -> NewRow {
        NewRow { route: Route::ControlPrompt, ..row(n) }
    }

    #[tokio::test]
    async fn accepted_work_stands_in_the_contracts_table_and_in_ours() {
        let scratch = Scratch::new();
        let row = NewRow { expires_at: Some(later(1500)), on_draft: OnDraft::Refuse, ..row(7) };
        assert_eq!(scratch.accept(row).await.unwrap(), Admitted::New { sequence: 1, waiting: 1 });
        let theirs: (String, String, String, String, u64) = scratch
            .outsider()
            .query_row(
                "SELECT request_kind, payload_json, state, accepted_at_utc, managed_agent_instance_epoch \
                 FROM gateway_requests",
                [],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
            )
            .unwrap();
        let payload = r#"{"prompt":"number 7"}"#;
        assert_eq!(
            theirs,
            ("submit_prompt".into(), payload.into(), "accepted".into(), "2026-11-21T10:00:00+00:00".into(), 1)
        );
        let (ours, journal) = scratch.store.show(&id(7)).await.unwrap().unwrap();
        assert_eq!(ours.prompt.as_deref(), Some("number 7"));
        assert_eq!(ours.payload_json, payload);
        assert_eq!(ours.expires_at_utc.as_deref(), Some("2026-11-21T10:00:01.620Z"));
        assert_eq!(ours.accepted_at_utc, "2026-11-21T10:00:00+00:00");
        assert_eq!((ours.started_at_utc, ours.finished_at_utc, ours.result), (None, None, None));
        assert_eq!(journal.len(), 1);
        assert_eq!(journal[0].at_utc, "2026-11-21T10:00:00.120Z");
        assert_eq!(journal[0].note().unwrap(), Note::new(Receipt::Queued));
        let waiting = scratch.store.waiting(5).await.unwrap();
        assert_eq!(waiting[0].on_draft, OnDraft::Refuse);
        assert_eq!((waiting[0].expires_at, waiting[0].epoch, waiting[0].sequence), (Some(later(1500)), 1, 1));
    }

    #[tokio::test]
    async fn a_key_gives_the_first_answer_again_also_when_the_queue_is_full_and_after_a_restart() {
        let scratch = Scratch::new();
        scratch.fill(0..2).await;
        let first = scratch.accept(keyed(2, "k", 1)).await.unwrap();
        assert_eq!(first, Admitted::New { sequence: 3, waiting: 3 });
        scratch.complete(0).await;
        scratch.store.reconcile(crate::store::Reconcile::Keep, 5, now()).await.unwrap();
        let scratch = scratch.again();
        let expected = StoredAnswer {
            request_id: id(2),
            kind: RequestKind::SubmitPrompt,
            route: Route::Queue,
            accepted_at_utc: "2026-11-21T10:00:00+00:00".to_owned(),
            digest: [1; 16],
            answer: Answer::Queued { waiting: 3, epoch: 1 },
        };
        let again = scratch.store.accept(keyed(9, "k", 1), 0).await.unwrap();
        assert_eq!(again, Admitted::Replay(expected.clone()));
        assert_eq!(scratch.store.answer_of_key("k").await.unwrap(), Some(expected));
        assert_eq!(scratch.store.answer_of_key("other").await.unwrap(), None);
        assert_eq!(scratch.accept(keyed(9, "k", 2)).await.unwrap(), Admitted::KeyReused);
        assert!(scratch.store.show(&id(9)).await.unwrap().is_none());
        assert_eq!(scratch.store.depth(5).await.unwrap().waiting, 2);
    }

    #[tokio::test]
    async fn the_same_key_twice_in_one_batch_makes_one_row() {
        let scratch = Scratch::new();
        let answers = scratch.accept_together(vec![keyed(1, "k", 1), keyed(2, "k", 1), keyed(3, "k", 2)]).await;
        assert!(matches!(&answers[0], Ok(Admitted::New { .. })));
        assert!(matches!(&answers[1], Ok(Admitted::Replay(answer)) if answer.request_id == id(1)));
        assert!(matches!(&answers[2], Ok(Admitted::KeyReused)));
        assert_eq!(scratch.store.depth(1).await.unwrap().waiting, 1);
    }

    #[tokio::test]
    async fn the_queue_takes_no_more_than_its_cap_and_direct_work_does_not_count() {
        let scratch = Scratch::new();
        scratch.accept(direct(0)).await.unwrap();
        for n in 1..3 {
            assert!(matches!(scratch.store.accept(row(n), 2).await.unwrap(), Admitted::New { .. }));
        }
        assert_eq!(scratch.store.accept(row(3), 2).await.unwrap(), Admitted::Full { waiting: 2 });
        assert_eq!(scratch.store.accept(direct(4), 2).await.unwrap(), Admitted::New { sequence: 4, waiting: 2 });
        scratch.complete(1).await;
        assert_eq!(scratch.store.accept(row(3), 2).await.unwrap(), Admitted::New { sequence: 5, waiting: 2 });
    }

    #[tokio::test]
    async fn direct_work_has_no_row_of_the_contract_and_its_response_is_kept() {
        let scratch = Scratch::new();
        let work = NewRow { key: Some(("k".to_owned(), [1; 16])), ..direct(1) };
        scratch.accept(work.clone()).await.unwrap();
        assert_eq!(scratch.store.depth(1).await.unwrap().waiting, 0);
        assert_eq!(scratch.store.waiting_direct().await.unwrap().len(), 1);
        assert_eq!(scratch.store.waiting(9).await.unwrap(), []);
        assert_eq!(scratch.store.answer_of_key("k").await.unwrap().unwrap().answer, Answer::Pending);
        assert!(scratch.store.begin(&id(1), later(1000), vec![Note::new(Receipt::Typing)]).await.unwrap());
        assert_eq!(scratch.store.running().await.unwrap()[0].route, Route::ControlPrompt);
        let notes = vec![Note::new(Receipt::Typed), Note::new(Receipt::Submitted)];
        let result = Some(json!({"sent": true}));
        assert!(scratch.store.finish(&id(1), RequestState::Completed, None, result, notes, later(2000)).await.unwrap());
        scratch.store.settle_answer(&id(1), 200, "{}".to_owned()).await.unwrap();
        let Admitted::Replay(answer) = scratch.accept(work).await.unwrap() else { panic!() };
        assert_eq!(answer.answer, Answer::Given { status: 200, body: "{}".to_owned() });
        let (row, _) = scratch.store.show(&id(1)).await.unwrap().unwrap();
        assert_eq!(row.accepted_at_utc, "2026-11-21T10:00:00+00:00");
        assert_eq!(row.started_at_utc.as_deref(), Some("2026-11-21T10:00:01+00:00"));
        assert_eq!(row.finished_at_utc.as_deref(), Some("2026-11-21T10:00:02+00:00"));
        assert_eq!((row.prompt.as_deref(), row.result), (Some("number 1"), Some(json!({"sent": true}))));
        assert_eq!(scratch.receipts(1).await, ["queued", "typing", "typed", "submitted"]);
        assert_eq!(scratch.store.waiting_direct().await.unwrap(), []);
        let rows: u32 =
            scratch.outsider().query_row("SELECT count(*) FROM gateway_requests", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0);
    }

    #[tokio::test]
    async fn a_row_is_taken_up_put_back_and_finished_once() {
        let scratch = Scratch::new();
        scratch.fill(0..2).await;
        let typing = || vec![Note::new(Receipt::Typing).seen(json!({"token": "t"}))];
        assert!(!scratch.store.put_back(&id(0), Note::new(Receipt::Deferred), now()).await.unwrap(), "not running");
        assert!(scratch.store.begin(&id(0), later(1000), typing()).await.unwrap());
        assert!(!scratch.store.begin(&id(0), later(1000), typing()).await.unwrap());
        assert!(!scratch.store.begin(&id(77), later(1000), typing()).await.unwrap());
        assert_eq!(scratch.store.running().await.unwrap()[0].receipt, Receipt::Typing);
        assert_eq!(scratch.store.depth(1).await.unwrap().waiting, 2, "running counts");
        let busy = Note::new(Receipt::Deferred).because("busy", "the agent works");
        assert!(scratch.store.put_back(&id(0), busy, later(1100)).await.unwrap());
        let (row, _) = scratch.store.show(&id(0)).await.unwrap().unwrap();
        assert_eq!((row.state, row.receipt, row.started_at_utc), (RequestState::Accepted, Receipt::Deferred, None));
        assert_eq!(scratch.store.waiting(1).await.unwrap()[0].id, id(0), "in its old place");
        assert!(scratch.store.begin(&id(0), later(2000), typing()).await.unwrap());
        let lost = vec![Note::new(Receipt::Indeterminate).because("server_lost", "tmux is gone")];
        let detail = Some("nobody can tell".to_owned());
        assert!(scratch.store.finish(&id(0), RequestState::Failed, detail, None, lost, later(3000)).await.unwrap());
        assert!(!scratch.complete(0).await, "a final row stays");
        let (row, _) = scratch.store.show(&id(0)).await.unwrap().unwrap();
        assert_eq!((row.state, row.error_detail.as_deref()), (RequestState::Failed, Some("nobody can tell")));
        let words = ["queued", "typing", "deferred busy", "typing", "indeterminate server_lost"];
        assert_eq!(scratch.receipts(0).await, words);
        let theirs: (String, String, String) = scratch
            .outsider()
            .query_row(
                "SELECT state, started_at_utc, finished_at_utc FROM gateway_requests WHERE request_id = ?1",
                [id(0).as_str()],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        let times = ("failed".into(), "2026-11-21T10:00:02+00:00".into(), "2026-11-21T10:00:03+00:00".into());
        assert_eq!(theirs, times);
        assert_eq!(scratch.store.depth(1).await.unwrap().waiting, 1);
    }
}

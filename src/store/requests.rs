//! One piece of work: taken in once, taken up, brought to its end.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use super::{
    error::StoreError,
    rows::{self, Admitted, Answer, NewRow, RECEIPT, StoredAnswer, word},
    thread::{Change, Store},
};
use crate::model::{Moment, Note, RequestId, RequestKind, RequestState, Route};

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

    fn insert(&mut self, row: &NewRow, waiting: u64) -> rusqlite::Result<u64> {
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
        self.append(Some(id), RECEIPT, r#"{"receipt":"queued"}"#, &millis)?;
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

//! What goes into the store and what comes out.

use rusqlite::{Row, types::FromSqlError};
use serde_json::Value;

use crate::{
    api::OnDraft,
    model::{Moment, Note, Receipt, RequestId, RequestKind, RequestState, Route},
};

/// Work that is to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRow {
    /// Its id; one that exists already is refused by SQLite.
    pub id: RequestId,
    /// What is asked for.
    pub kind: RequestKind,
    /// The payload as the contract stores it.
    pub payload_json: String,
    /// The agent process that it is meant for.
    pub epoch: u64,
    /// How it came in. Only [`Route::Queue`] gets a row of the contract's table and counts as waiting.
    pub route: Route,
    /// When.
    pub accepted_at: Moment,
    /// When it is too old to be typed.
    pub expires_at: Option<Moment>,
    /// What to do with a draft in the composer.
    pub on_draft: OnDraft,
    /// The sender's `Idempotency-Key`, and the digest of what was sent with it.
    pub key: Option<(String, [u8; 16])>,
}

/// What became of a [`NewRow`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It is on disk.
    New {
        /// Its place in the order of all work.
        sequence: u64,
        /// Rows of the queue in `accepted` and `running`, this one included.
        waiting: u64,
    },
    /// The same key came with the same body before. Nothing was added.
    Replay(StoredAnswer),
    /// The same key came with another body before. Nothing was added.
    KeyReused,
    /// The queue has as many rows as it may have. Nothing was added.
    Full {
        /// How many.
        waiting: u64,
    },
}

/// What was answered to the first request with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The work that it made.
    pub request_id: RequestId,
    /// What was asked for.
    pub kind: RequestKind,
    /// How it came in.
    pub route: Route,
    /// When; whole seconds.
    pub accepted_at_utc: String,
    /// Digest of what was sent.
    pub digest: [u8; 16],
    /// The answer.
    pub answer: Answer,
}

/// The part of an answer that is not in the row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It went into the queue.
    Queued {
        /// `queue_depth` of that moment.
        waiting: u64,
        /// The epoch of that moment.
        epoch: u64,
    },
    /// It was done at once, and this was the response.
    Given {
        /// HTTP status.
        status: u16,
        /// Body.
        body: String,
    },
    /// It is still being done, or the gateway died over it.
    Pending,
}

/// A row that can be taken up, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRow {
    /// Place in the order of all work.
    pub sequence: u64,
    /// Its id.
    pub id: RequestId,
    /// What is asked for.
    pub kind: RequestKind,
    /// How it came in.
    pub route: Route,
    /// The payload as the contract stores it.
    pub payload_json: String,
    /// The agent process that it is meant for.
    pub epoch: u64,
    /// When it is too old to be typed.
    pub expires_at: Option<Moment>,
    /// The latest receipt.
    pub receipt: Receipt,
    /// What to do with a draft in the composer.
    pub on_draft: OnDraft,
}

/// All that is known of one piece of work.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestRow {
    /// Place in the order of all work.
    pub sequence: u64,
    /// Its id.
    pub id: RequestId,
    /// What is asked for.
    pub kind: RequestKind,
    /// How it came in.
    pub route: Route,
    /// The state on the wire.
    pub state: RequestState,
    /// The latest receipt.
    pub receipt: Receipt,
    /// The agent process that it is meant for.
    pub epoch: u64,
    /// When it was accepted; whole seconds, as the next two.
    pub accepted_at_utc: String,
    /// When it was taken up.
    pub started_at_utc: Option<String>,
    /// When it was done with.
    pub finished_at_utc: Option<String>,
    /// When it is too old; milliseconds.
    pub expires_at_utc: Option<String>,
    /// The payload as the contract stores it.
    pub payload_json: String,
    /// The text to type; none for an interrupt.
    pub prompt: Option<String>,
    /// Why it failed.
    pub error_detail: Option<String>,
    /// What the contract's `result_json` holds.
    pub result: Option<Value>,
}

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalRow {
    /// Counts up; never used twice.
    pub id: u64,
    /// Whose it is.
    pub request_id: Option<RequestId>,
    /// `receipt`, or another event's name.
    pub kind: String,
    /// What happened, as an object.
    pub data: Value,
    /// When; milliseconds.
    pub at_utc: String,
}

impl JournalRow {
    /// The receipt, if it is one.
    pub fn note(&self) -> Option<Note> {
        (self.kind == RECEIPT).then(|| serde_json::from_value(self.data.clone()).ok()).flatten()
    }
}

/// The `kind` of receipts in the journal.
pub(super) const RECEIPT: &str = "receipt";

/// Which rows to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListFilter {
    /// Only in this state.
    pub state: Option<RequestState>,
    /// Only with a smaller sequence than this.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// What [`super::Store::cancel`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It waited and is failed now.
    Cancelled,
    /// It is past waiting; nothing was changed.
    NotAccepted {
        /// Where it is.
        state: RequestState,
    },
    /// There is no such row.
    Unknown,
}

/// What to do with the rows of earlier agent processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconcile {
    /// They are meant for the present agent as well.
    Keep,
    /// They are not to be typed.
    Drop,
}

/// Rows that [`super::Store::reconcile`] changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// Now of the present epoch.
    pub kept: u64,
    /// Now failed.
    pub dropped: u64,
}

/// Control intents that later ones made superfluous (contract section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoalescePlan {
    /// Rows that stay, in the order in which they will run.
    pub effective: Vec<RequestId>,
    /// What those do: `interrupt`, `/clear`…
    pub effective_actions: Vec<String>,
    /// Rows that go.
    pub superseded: Vec<Superseded>,
}

/// One row that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// Its id.
    pub id: RequestId,
    /// What it would have done.
    pub action: String,
    /// The row that makes it superfluous.
    pub into: RequestId,
}

/// Reads a column that holds one word of a fixed set.
pub(super) fn word<T>(row: &Row<'_>, at: usize, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text = row.get_ref(at)?.as_str().map_err(|error| unreadable(at, error))?;
    parse(text).ok_or_else(|| unreadable(at, FromSqlError::Other(format!("`{text}` is not known").into())))
}

fn unreadable(at: usize, error: FromSqlError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error))
}

pub(super) fn id(row: &Row<'_>, at: usize) -> rusqlite::Result<RequestId> {
    word(row, at, |text| text.parse().ok())
}

/// Columns for [`queued`], of `agents_requests a`, `gateway_requests g` and `agents_on_draft d`.
macro_rules! queued_columns {
    () => {
        "a.sequence, a.request_id, a.request_kind, a.route, coalesce(g.payload_json, a.payload_json, '{}'), a.epoch, \
         a.expires_at_utc, a.receipt, d.policy"
    };
}
pub(super) use queued_columns;

pub(super) fn queued(row: &Row<'_>) -> rusqlite::Result<QueuedRow> {
    let (expires_at, on_draft): (Option<String>, Option<String>) = (row.get(6)?, row.get(8)?);
    Ok(QueuedRow {
        sequence: row.get(0)?,
        id: id(row, 1)?,
        kind: word(row, 2, RequestKind::from_name)?,
        route: word(row, 3, Route::from_name)?,
        payload_json: row.get(4)?,
        epoch: row.get(5)?,
        expires_at: expires_at.and_then(|text| Moment::parse(&text)),
        receipt: word(row, 7, Receipt::from_name)?,
        on_draft: on_draft.and_then(|word| OnDraft::from_name(&word)).unwrap_or_default(),
    })
}

/// Columns for [`request`], of the same two tables.
///
/// Times of a direct piece of work are cut to seconds, so that all in one object can be compared.
macro_rules! request_columns {
    () => {
        "a.sequence, a.request_id, a.request_kind, a.route, a.state, a.receipt, a.epoch, \
         coalesce(g.accepted_at_utc, substr(a.accepted_at_utc, 1, 19) || '+00:00'), \
         coalesce(g.started_at_utc, a.started_at_utc), coalesce(g.finished_at_utc, a.finished_at_utc), \
         a.expires_at_utc, coalesce(g.payload_json, a.payload_json, '{}'), \
         coalesce(g.error_detail, a.error_detail), coalesce(g.result_json, a.result_json)"
    };
}
pub(super) use request_columns;

pub(super) fn request(row: &Row<'_>) -> rusqlite::Result<RequestRow> {
    let payload_json: String = row.get(11)?;
    let payload: Value = serde_json::from_str(&payload_json).unwrap_or_default();
    let result: Option<String> = row.get(13)?;
    Ok(RequestRow {
        sequence: row.get(0)?,
        id: id(row, 1)?,
        kind: word(row, 2, RequestKind::from_name)?,
        route: word(row, 3, Route::from_name)?,
        state: word(row, 4, RequestState::from_name)?,
        receipt: word(row, 5, Receipt::from_name)?,
        epoch: row.get(6)?,
        accepted_at_utc: row.get(7)?,
        started_at_utc: row.get(8)?,
        finished_at_utc: row.get(9)?,
        expires_at_utc: row.get(10)?,
        prompt: payload.get("prompt").and_then(Value::as_str).map(str::to_owned),
        payload_json,
        error_detail: row.get(12)?,
        result: result.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))),
    })
}

pub(super) fn journal(row: &Row<'_>) -> rusqlite::Result<JournalRow> {
    let data: String = row.get(3)?;
    let request_id: Option<String> = row.get(1)?;
    Ok(JournalRow {
        id: row.get(0)?,
        request_id: request_id.and_then(|text| text.parse().ok()),
        kind: row.get(2)?,
        data: serde_json::from_str(&data).unwrap_or_default(),
        at_utc: row.get(4)?,
    })
}

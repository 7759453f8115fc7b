//! Rows for the worker, for recovery and for whoever asks.

use rusqlite::{OptionalExtension, params};

use super::{
    error::StoreError,
    rows::{self, JournalRow, ListFilter, QueuedRow, RequestRow, queued_columns, request_columns},
    thread::Store,
};
use crate::model::RequestId;

/// More rows than there can be.
const ALL: u64 = i64::MAX.unsigned_abs();

macro_rules! queued_where {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            queued_columns!(),
            " FROM agents_requests a LEFT JOIN gateway_requests g ON g.request_id = a.request_id WHERE ",
            $condition,
            " ORDER BY a.sequence LIMIT ?1"
        )
    };
}

macro_rules! requests_where {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            request_columns!(),
            " FROM agents_requests a LEFT JOIN gateway_requests g ON g.request_id = a.request_id WHERE ",
            $rest
        )
    };
}

impl Store {
    /// Rows of the queue that wait, in the order in which they came.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn waiting(&self, limit: usize) -> Result<Vec<QueuedRow>, StoreError> {
        self.queued(queued_where!("a.state = 'accepted' AND a.route = 'queue'"), limit as u64).await
    }

    /// Rows of every route that were taken up and are not done.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn running(&self) -> Result<Vec<QueuedRow>, StoreError> {
        self.queued(queued_where!("a.state = 'running'"), ALL).await
    }

    /// Direct work that was not taken up: after a start, what a dead gateway left.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn waiting_direct(&self) -> Result<Vec<QueuedRow>, StoreError> {
        self.queued(queued_where!("a.state = 'accepted' AND a.route <> 'queue'"), ALL).await
    }

    async fn queued(&self, statement: &'static str, limit: u64) -> Result<Vec<QueuedRow>, StoreError> {
        self.read(move |view| view.sql.prepare_cached(statement)?.query_map([limit], rows::queued)?.collect()).await
    }

    /// Requests, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, filter: ListFilter) -> Result<Vec<RequestRow>, StoreError> {
        self.read(move |view| {
            let (before, limit) = (filter.before.unwrap_or(ALL).min(ALL), filter.limit);
            match filter.state {
                None => view
                    .sql
                    .prepare_cached(requests_where!("a.sequence < ?1 ORDER BY a.sequence DESC LIMIT ?2"))?
                    .query_map(params![before, limit], rows::request)?
                    .collect(),
                Some(state) => view
                    .sql
                    .prepare_cached(requests_where!(
                        "a.state = ?3 AND a.sequence < ?1 ORDER BY a.sequence DESC LIMIT ?2"
                    ))?
                    .query_map(params![before, limit, state.name()], rows::request)?
                    .collect(),
            }
        })
        .await
    }

    /// One request with its journal, oldest entry first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn show(&self, id: &RequestId) -> Result<Option<(RequestRow, Vec<JournalRow>)>, StoreError> {
        let id = id.clone();
        self.read(move |view| {
            let found = view
                .sql
                .prepare_cached(requests_where!("a.request_id = ?1"))?
                .query_row([id.as_str()], rows::request)
                .optional()?;
            let Some(row) = found else { return Ok(None) };
            let entries = view
                .sql
                .prepare_cached(
                    "SELECT id, request_id, kind, data_json, at_utc FROM agents_journal \
                     WHERE request_id = ?1 ORDER BY id",
                )?
                .query_map([id.as_str()], rows::journal)?
                .collect::<rusqlite::Result<_>>()?;
            Ok(Some((row, entries)))
        })
        .await
    }
}

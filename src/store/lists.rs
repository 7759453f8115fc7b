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
            " FROM agents_requests a LEFT JOIN gateway_requests g ON g.request_id = a.request_id \
             LEFT JOIN agents_on_draft d ON d.request_id = a.request_id WHERE ",
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

/// What waits. A payload behind the first one is left out unless it is as short as a control intent: many large prompts
/// may wait, and whoever looks for what to do next reads only the first.
const WAITING: &str = "SELECT a.sequence, a.request_id, a.request_kind, a.route, \
     CASE WHEN octet_length(g.payload_json) <= 256 OR a.sequence = (SELECT sequence FROM agents_requests \
     WHERE state = 'accepted' AND route = 'queue' ORDER BY sequence LIMIT 1) THEN coalesce(g.payload_json, '{}') ELSE '{}' END, \
     a.epoch, a.expires_at_utc, a.receipt, d.policy \
     FROM agents_requests a LEFT JOIN gateway_requests g ON g.request_id = a.request_id \
     LEFT JOIN agents_on_draft d ON d.request_id = a.request_id \
     WHERE a.state = 'accepted' AND a.route = 'queue' ORDER BY a.sequence LIMIT ?1";

impl Store {
    /// Rows of the queue that wait, in the order in which they came. The first one is whole; of the others, payloads
    /// that are longer than those of control intents are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn waiting(&self, limit: usize) -> Result<Vec<QueuedRow>, StoreError> {
        self.queued(WAITING, limit as u64).await
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

    /// The prompt that came last of those that were submitted and whose turn has no end on record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_turn(&self) -> Result<Option<RequestRow>, StoreError> {
        self.read(|view| {
            view.sql
                .prepare_cached(requests_where!(
                    "a.state = 'completed' AND a.receipt IN ('submitted', 'turn_started') \
                     AND a.request_kind NOT IN ('interrupt', 'send_keys') ORDER BY a.sequence DESC LIMIT 1"
                ))?
                .query_row([], rows::request)
                .optional()
        })
        .await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::RequestState,
        store::{
            Depth,
            scratch::{Scratch, id, now},
        },
    };

    #[tokio::test]
    async fn requests_are_listed_newest_first_by_state_and_in_pages() {
        let scratch = Scratch::new();
        scratch.fill(0..6).await;
        scratch.complete(1).await;
        scratch.complete(4).await;
        let list = async |state, before, limit| {
            let rows = scratch.store.list(ListFilter { state, before, limit }).await.unwrap();
            rows.into_iter().map(|row| row.sequence).collect::<Vec<_>>()
        };
        assert_eq!(list(None, None, 9).await, [6, 5, 4, 3, 2, 1]);
        assert_eq!(list(None, Some(4), 2).await, [3, 2]);
        assert_eq!(list(Some(RequestState::Completed), None, 9).await, [5, 2]);
        assert_eq!(list(Some(RequestState::Accepted), Some(5), 2).await, [4, 3]);
        assert_eq!(list(Some(RequestState::Failed), None, 9).await, [0; 0]);
        assert_eq!(list(None, Some(u64::MAX), 1).await, [6]);
        assert_eq!(scratch.store.show(&id(9)).await.unwrap(), None);
    }

    /// Questions that a worker asks again and again walk an index in order: nothing is sorted or searched.
    #[tokio::test]
    async fn frequent_questions_need_no_sorting_and_no_search() {
        let scratch = Scratch::new();
        let questions = [
            WAITING,
            queued_where!("a.state = 'running'"),
            requests_where!("a.state = ?3 AND a.sequence < ?1 ORDER BY a.sequence DESC LIMIT ?2"),
            requests_where!("a.request_id = ?1"),
        ];
        for question in questions {
            let plan: Vec<String> = scratch
                .store
                .read(move |view| {
                    let mut plan = view.sql.prepare(&format!("EXPLAIN QUERY PLAN {question}"))?;
                    let parameters = vec![1; plan.parameter_count()];
                    plan.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))?.collect()
                })
                .await
                .unwrap();
            let is_direct = |step: &String| step.starts_with("SEARCH") || step.starts_with("SCALAR SUBQUERY");
            assert!(plan.iter().all(is_direct), "{question}: {plan:?}");
        }
    }

    #[tokio::test]
    async fn only_the_first_of_many_large_prompts_is_read() {
        let scratch = Scratch::new();
        let (large, small) = (format!("{{\"prompt\":\"{}\"}}", "x".repeat(10_000)), "{\"prompt\":\"/clear\"}");
        for (number, payload) in [(1, large.as_str()), (2, &large), (3, small)] {
            let row = crate::store::NewRow { payload_json: payload.to_owned(), ..crate::store::scratch::row(number) };
            scratch.accept(row).await.unwrap();
        }
        let rows = scratch.store.waiting(9).await.unwrap();
        let payloads: Vec<String> = rows.into_iter().map(|row| row.payload_json).collect();
        assert_eq!(payloads, [large.as_str(), "{}", small]);
    }

    #[tokio::test]
    async fn a_hundred_thousand_rows_are_taken_over_counted_and_taken_up_in_order() {
        let (path, folder) = Scratch::new().end();
        let outsider = Scratch::open_raw(&path);
        outsider
            .execute_batch(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) \
                 INSERT INTO gateway_requests (request_id, request_kind, payload_json, state, accepted_at_utc, \
                 managed_agent_instance_epoch) SELECT 'theirs-' || (100000 - i), 'submit_prompt', '{}', 'accepted', \
                 '2026-11-21T09:00:00+00:00', 1 + i / 90000 FROM n",
            )
            .unwrap();
        drop(outsider);
        let scratch = Scratch::in_folder(path, folder);
        let depth = scratch.store.depth(2).await.unwrap();
        assert_eq!(depth, Depth { waiting: 100_000, of_earlier_epochs: 89_999 });
        let first = scratch.store.waiting(2).await.unwrap();
        assert_eq!((first[0].id.as_str(), first[1].id.as_str()), ("theirs-99999", "theirs-99998"));
        let full = scratch.store.accept(crate::store::scratch::row(1), 100_000).await.unwrap();
        assert_eq!(full, crate::store::Admitted::Full { waiting: 100_000 });
        assert!(scratch.store.begin(&first[0].id, now(), Vec::new()).await.unwrap());
        assert_eq!(scratch.store.waiting(1).await.unwrap()[0].id, first[1].id);
        let (_, journal) = scratch.store.show(&first[1].id).await.unwrap().unwrap();
        assert_eq!(journal.len(), 1, "entries of unfinished work stay, however many");
    }
}

//! The mail notifier: its settings, what it told the agent of, and a row for every poll.
//!
//! A wake-up and the memory of what it was about are one transaction: whoever dies in between has told nothing, or
//! remembers it.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Row, params};

use super::{
    error::StoreError,
    rows::{NewRow, id as id_of},
    thread::{Change, Store},
};
use crate::{
    api::{
        BlockAuthMode, BlockEntry, BlockRender, BlockVerifier, ContextAction, ContextErrorPolicy, MessageSummary,
        NotifierMode, NotifierSettings, SharedTokens,
    },
    model::{Moment, RequestId, RequestKind},
};

/// Polls that are kept.
const KEPT: u64 = 2_000;

/// Polls that go at once: twice as many as come.
const PORTION: u64 = 2;

/// Key in `agents_meta`: the request of the last wake-up.
const LAST_REQUEST: &str = "notifier_request";

/// The contract's row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notifier {
    /// What can be set.
    pub settings: NotifierSettings,
    /// Whole seconds, as the next one.
    pub last_poll_at_utc: Option<String>,
    /// When the agent was told last.
    pub last_notification_at_utc: Option<String>,
    /// What did not work at the last poll.
    pub last_error: Option<String>,
    /// Messages that the conversation was compacted for.
    pub compacted: Vec<String>,
}

/// What the agent was told of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notified {
    /// References of the messages of the last wake-up.
    pub refs: HashSet<String>,
    /// Its request.
    pub request: Option<RequestId>,
}

/// What came of a poll, in the contract's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "contract section 1.7")]
pub enum PollOutcome {
    Empty,
    DedupSkip,
    BusySkip,
    Enqueued,
    PreNotificationContextError,
    PollError,
}

impl PollOutcome {
    /// The word in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::DedupSkip => "dedup_skip",
            Self::BusySkip => "busy_skip",
            Self::Enqueued => "enqueued",
            Self::PreNotificationContextError => "pre_notification_context_error",
            Self::PollError => "poll_error",
        }
    }
}

/// One poll (contract section 1.7).
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "contract section 1.7")]
pub struct Poll {
    pub at: Moment,
    pub outcome: PollOutcome,
    pub unread_count: Option<usize>,
    pub unread_digest: Option<String>,
    pub summary: Vec<MessageSummary>,
    pub request_admission: &'static str,
    pub active_execution: &'static str,
    pub queue_depth: u64,
    pub detail: Option<String>,
    pub context_error_policy: ContextErrorPolicy,
    pub pre_notification_context_action: ContextAction,
    pub context_action_outcome: Option<&'static str>,
    pub blocks: Vec<BlockEntry>,
}

/// What became of a wake-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announced {
    /// It waits in the queue.
    New {
        /// Rows of the queue that wait, this one included.
        waiting: u64,
    },
    /// Nothing was added: the notifier was switched off meanwhile.
    Off,
    /// Nothing was added: another one waits or is typed.
    Another,
    /// Nothing was added: the queue is full.
    Full {
        /// How many wait.
        waiting: u64,
    },
}

const COLUMNS: &str = "SELECT enabled, interval_seconds, mode, appendix_text, context_error_policy, \
     pre_notification_context_action, last_poll_at_utc, last_notification_at_utc, last_error, \
     compacted_eligible_message_refs_json, notify_block_render, notify_block_auth_mode, notify_block_auth_verifier, \
     notify_block_shared_tokens_json, notify_block_per_message_chars, notify_block_total_chars \
     FROM gateway_mail_notifier WHERE singleton = 1";

/// Another program may have written what this one does not know: then the careful word is meant.
fn notifier(row: &Row<'_>) -> rusqlite::Result<Notifier> {
    let text = |column: usize| row.get::<_, String>(column);
    let list = |column: usize| -> rusqlite::Result<Vec<String>> {
        Ok(serde_json::from_str(&text(column)?).unwrap_or_default())
    };
    let count = |column: usize| -> rusqlite::Result<usize> {
        Ok(usize::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
    };
    let interval: Option<i64> = row.get(1)?;
    let verifier = text(12)?;
    Ok(Notifier {
        settings: NotifierSettings {
            enabled: row.get(0)?,
            interval_seconds: interval.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0),
            mode: NotifierMode::from_name(&text(2)?).unwrap_or_default(),
            appendix_text: text(3)?,
            context_error_policy: ContextErrorPolicy::from_name(&text(4)?).unwrap_or_default(),
            pre_notification_context_action: ContextAction::from_name(&text(5)?).unwrap_or_default(),
            notify_block_render: BlockRender::from_name(&text(10)?).unwrap_or(BlockRender::Disabled),
            notify_block_auth_mode: BlockAuthMode::from_name(&text(11)?).unwrap_or(BlockAuthMode::Required),
            notify_block_auth_verifier: BlockVerifier::from_name(&verifier).unwrap_or_default(),
            notify_block_shared_tokens: SharedTokens::new(list(13)?),
            notify_block_per_message_chars: count(14)?,
            notify_block_total_chars: count(15)?,
        },
        last_poll_at_utc: row.get(6)?,
        last_notification_at_utc: row.get(7)?,
        last_error: row.get(8)?,
        compacted: list(9)?,
    })
}

fn as_json(value: &impl serde::Serialize) -> String {
    // Plain texts and numbers: there is nothing in it that could fail.
    serde_json::to_string(value).unwrap_or_default()
}

impl Change<'_> {
    /// Notes a poll, and lets old ones go.
    fn polled(&mut self, poll: &Poll, request: Option<&RequestId>, error: Option<&str>) -> rusqlite::Result<()> {
        let at = poll.at.iso_seconds();
        self.sql
            .prepare_cached(
                "INSERT INTO gateway_notifier_audit (poll_time_utc, unread_count, unread_digest, unread_summary_json, \
                 request_admission, active_execution, queue_depth, outcome, enqueued_request_id, detail, \
                 context_error_policy, pre_notification_context_action, context_action_outcome, \
                 rendered_block_entries_json) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                at,
                poll.unread_count.map(|count| u64::try_from(count).unwrap_or(u64::MAX)),
                poll.unread_digest,
                as_json(&poll.summary),
                poll.request_admission,
                poll.active_execution,
                poll.queue_depth,
                poll.outcome.name(),
                request.map(RequestId::as_str),
                poll.detail,
                poll.context_error_policy.name(),
                poll.pre_notification_context_action.name(),
                poll.context_action_outcome,
                as_json(&poll.blocks),
            ])?;
        self.sql
            .prepare_cached(
                "DELETE FROM gateway_notifier_audit WHERE audit_id IN (SELECT audit_id FROM gateway_notifier_audit \
                 WHERE audit_id <= (SELECT max(audit_id) FROM gateway_notifier_audit) - ?1 ORDER BY audit_id LIMIT ?2)",
            )?
            .execute([KEPT, PORTION])?;
        self.sql
            .prepare_cached(
                "UPDATE gateway_mail_notifier SET last_poll_at_utc = ?1, last_error = ?2 WHERE singleton = 1",
            )?
            .execute(params![at, error])
            .map(drop)
    }

    fn enabled(&self) -> rusqlite::Result<bool> {
        let found = self
            .sql
            .prepare_cached("SELECT enabled FROM gateway_mail_notifier WHERE singleton = 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok(found.unwrap_or(false))
    }

    fn wake_up_waits(&self) -> rusqlite::Result<bool> {
        self.sql
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM agents_requests WHERE state IN ('accepted', 'running') \
                 AND request_kind = ?1)",
            )?
            .query_row([RequestKind::MailNotifierPrompt.name()], |row| row.get(0))
    }

    /// Remembers what the agent is told of, and by which request.
    fn told(&mut self, request: &RequestId, refs: &[String], digest: &str, at: Moment) -> rusqlite::Result<()> {
        self.sql.prepare_cached("DELETE FROM agents_notifier_told")?.execute([])?;
        let mut insert = self.sql.prepare_cached("INSERT OR IGNORE INTO agents_notifier_told VALUES (?1)")?;
        for one in refs {
            insert.execute([one])?;
        }
        self.sql
            .prepare_cached("INSERT OR REPLACE INTO agents_meta (key, value) VALUES (?1, ?2)")?
            .execute([LAST_REQUEST, request.as_str()])?;
        self.sql
            .prepare_cached(
                "UPDATE gateway_mail_notifier SET last_notification_at_utc = ?1, last_notified_digest = ?2 \
                 WHERE singleton = 1",
            )?
            .execute([&at.iso_seconds(), digest])
            .map(drop)
    }
}

impl Store {
    /// Settings, and how the last polls went.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn notifier(&self) -> Result<Notifier, StoreError> {
        self.read(|view| {
            let found = view.sql.prepare_cached(COLUMNS)?.query_row([], notifier).optional()?;
            Ok(found.unwrap_or_default())
        })
        .await
    }

    /// Keeps these settings.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_notifier(&self, settings: NotifierSettings, at: Moment) -> Result<(), StoreError> {
        self.write(move |change| {
            let NotifierSettings { notify_block_shared_tokens: tokens, .. } = &settings;
            change
                .sql
                .prepare_cached(
                    "INSERT INTO gateway_mail_notifier (singleton, enabled, interval_seconds, mode, appendix_text, \
                     context_error_policy, pre_notification_context_action, notify_block_render, \
                     notify_block_auth_mode, notify_block_auth_verifier, notify_block_shared_tokens_json, \
                     notify_block_per_message_chars, notify_block_total_chars, updated_at_utc) \
                     VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
                     ON CONFLICT (singleton) DO UPDATE SET enabled = ?1, interval_seconds = ?2, mode = ?3, \
                     appendix_text = ?4, context_error_policy = ?5, pre_notification_context_action = ?6, \
                     notify_block_render = ?7, notify_block_auth_mode = ?8, notify_block_auth_verifier = ?9, \
                     notify_block_shared_tokens_json = ?10, notify_block_per_message_chars = ?11, \
                     notify_block_total_chars = ?12, updated_at_utc = ?13, last_error = NULL",
                )?
                .execute(params![
                    settings.enabled,
                    settings.interval_seconds,
                    settings.mode.name(),
                    settings.appendix_text,
                    settings.context_error_policy.name(),
                    settings.pre_notification_context_action.name(),
                    settings.notify_block_render.name(),
                    settings.notify_block_auth_mode.name(),
                    settings.notify_block_auth_verifier.name(),
                    as_json(&tokens.reveal()),
                    as_i64(settings.notify_block_per_message_chars),
                    as_i64(settings.notify_block_total_chars),
                    at.iso_seconds(),
                ])
                .map(drop)
        })
        .await
    }

    /// Switches it off; everything else stays for the next time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn disable_notifier(&self, at: Moment) -> Result<(), StoreError> {
        self.write(move |change| change.switch_off(at)).await
    }

    /// Notes a poll. `error` is what did not work; `off` switches the notifier off in the same step.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn polled(&self, poll: Poll, error: Option<String>, off: bool) -> Result<(), StoreError> {
        self.write(move |change| {
            change.polled(&poll, None, error.as_deref())?;
            if off { change.switch_off(poll.at) } else { Ok(()) }
        })
        .await
    }

    /// What the agent was told of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn notified(&self) -> Result<Notified, StoreError> {
        self.read(|view| {
            let refs = view
                .sql
                .prepare_cached("SELECT message_ref FROM agents_notifier_told")?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let request = view.meta(LAST_REQUEST)?.and_then(|text| text.parse().ok());
            Ok(Notified { refs, request })
        })
        .await
    }

    /// Takes in a wake-up, with the poll that led to it and the memory of what it tells of, or nothing of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn announce(
        &self,
        row: NewRow,
        poll: Poll,
        refs: Vec<String>,
        cap: u64,
    ) -> Result<Announced, StoreError> {
        self.write(move |change| {
            if !change.enabled()? {
                return Ok(Announced::Off);
            }
            if change.wake_up_waits()? {
                return Ok(Announced::Another);
            }
            let waiting = change.tally.depth(0).waiting;
            if waiting >= cap {
                return Ok(Announced::Full { waiting });
            }
            change.insert(&row, waiting + 1)?;
            change.polled(&poll, Some(&row.id), None)?;
            change.told(&row.id, &refs, poll.unread_digest.as_deref().unwrap_or_default(), poll.at)?;
            Ok(Announced::New { waiting: waiting + 1 })
        })
        .await
    }

    /// Takes in the command that makes room before a wake-up for these messages, once for each of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn make_room(&self, row: NewRow, refs: Vec<String>, cap: u64) -> Result<Announced, StoreError> {
        self.write(move |change| {
            if !change.enabled()? {
                return Ok(Announced::Off);
            }
            let waiting = change.tally.depth(0).waiting;
            if waiting >= cap {
                return Ok(Announced::Full { waiting });
            }
            change.insert(&row, waiting + 1)?;
            change
                .sql
                .prepare_cached(
                    "UPDATE gateway_mail_notifier SET compacted_eligible_message_refs_json = ?1 WHERE singleton = 1",
                )?
                .execute([as_json(&refs)])?;
            Ok(Announced::New { waiting: waiting + 1 })
        })
        .await
    }

    /// Wake-ups that wait in the queue.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn waiting_wake_ups(&self) -> Result<Vec<RequestId>, StoreError> {
        self.read(|view| {
            view.sql
                .prepare_cached(
                    "SELECT request_id FROM agents_requests WHERE state = 'accepted' AND request_kind = ?1",
                )?
                .query_map([RequestKind::MailNotifierPrompt.name()], |row| id_of(row, 0))?
                .collect()
        })
        .await
    }
}

impl Change<'_> {
    fn switch_off(&mut self, at: Moment) -> rusqlite::Result<()> {
        self.sql
            .prepare_cached("UPDATE gateway_mail_notifier SET enabled = 0, updated_at_utc = ?1 WHERE singleton = 1")?
            .execute([at.iso_seconds()])
            .map(drop)
    }
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

//! The session's SQLite file: `gateway/queue.sqlite`.
//!
//! Owns opening it (pragmas), its schema (the contract's tables, and ours beside them), the one thread that talks to
//! it, and all SQL: requests, their journal, turns, the mail notifier, runs and epochs. Promises: what a call reports as done is on disk (`WAL`,
//! `synchronous=FULL`), whoever else shares its transaction; a row and the journal entries of its change are on disk
//! together or not at all; after a sync that failed nothing is reported as done. A file that a newer program wrote is
//! refused and left as it is; a damaged one is set aside whole. Callers: `lifecycle` (creating), `gateway` and the
//! domain rooms (everything else).

mod aside;
mod drafts;
mod epochs;
mod error;
mod journal;
mod lists;
pub mod mail;
mod migrate;
mod notifier;
mod open;
mod reminders;
mod requests;
mod retention;
mod rows;
mod schema;
#[cfg(test)]
mod scratch;
mod settle;
mod tally;
mod thread;
mod turns;
mod writer;

pub use aside::{Opened, open_or_set_aside};
pub use epochs::{AgentProcess, Depth};
pub use error::StoreError;
pub use notifier::{Announced, Notified, Notifier, Poll, PollOutcome};
pub use open::create;
pub use reminders::{DueClock, ReminderEvent, ReminderRow};
pub use rows::{
    Admitted, Answer, CancelOutcome, CoalescePlan, JournalRow, ListFilter, NewRow, QueuedRow, Reconcile, Reconciled,
    RequestRow, StoredAnswer, Superseded,
};
pub use tally::Waiting;
pub use thread::Store;
pub use turns::TurnRow;

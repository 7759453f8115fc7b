//! The SQLite files of a mailbox root: the shared `index.sqlite`, and each address's `mailbox.sqlite` (contract section
//! 7.3). Owns their schema and all their SQL. Callers: `mail`.
//!
//! A message is delivered when its row is in the index. Read state and folder belong to `mailbox.sqlite`; the index
//! mirrors them for lists, together with the [`Version`] that it mirrored. Two files cannot commit as one, so whoever
//! finds another version than the mirrored one mirrors again. Our tables begin with `agents_`; triggers of ours count
//! the changes that other programs make, too.

mod error;
mod index;
mod listing;
mod local;
mod messages;
mod open;
mod registrations;
mod schema;

pub use error::MailStoreError;
pub use index::Index;
pub use local::{Arrival, Local};
pub use messages::{Delivery, End, FileRow, NewMessage, Place, RecipientKind, Seed, SentKey};
pub use registrations::{RegistrationRow, Status};

/// How often a `mailbox.sqlite` was changed, and which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Random; another one after the file was made anew.
    pub epoch: String,
    /// Changed rows since then.
    pub count: u64,
}

/// What one mailbox knows about one message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "contract section 7.3")]
pub struct StateRow {
    pub message_id: String,
    pub is_read: bool,
    pub is_answered: bool,
    pub is_starred: bool,
    pub is_archived: bool,
    pub is_deleted: bool,
    pub box_name: String,
}

/// What to change of a state; `None` leaves it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "contract section 7.3")]
pub struct Change {
    pub is_read: Option<bool>,
    pub is_answered: Option<bool>,
    pub is_archived: Option<bool>,
    pub box_name: Option<String>,
}

/// Changes a file as a program does that knows nothing of ours.
///
/// # Panics
/// When the change fails.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "plays another program")]
pub fn play_another_program(path: &std::path::Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

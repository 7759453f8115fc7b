//! `index.sqlite`: the handle, and what does not belong to one table.

use std::path::Path;

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{
    Arrival, MailStoreError, StateRow, Version,
    open::{Database, IfMissing},
    schema,
};

/// The shared index, open.
#[derive(Debug)]
pub struct Index {
    pub(super) file: Database,
}

impl Index {
    /// Opens the index of a root. `path` must lead there without a link.
    ///
    /// # Errors
    /// [`MailStoreError::Missing`] where it is not there, and others.
    pub fn open(path: &Path) -> Result<Self, MailStoreError> {
        Self::with(path, IfMissing::Refuse)
    }

    /// Opens it, and makes it if it is not there.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn create(path: &Path) -> Result<Self, MailStoreError> {
        Self::with(path, IfMissing::Make)
    }

    fn with(path: &Path, missing: IfMissing) -> Result<Self, MailStoreError> {
        Ok(Self { file: Database::open(path, missing, schema::INDEX, schema::INDEX_OURS)? })
    }

    /// Is the open file still the one at its path?
    pub fn is_current(&self) -> bool {
        self.file.is_current()
    }

    /// Looks at every page of it.
    ///
    /// # Errors
    /// [`MailStoreError::Damaged`].
    pub fn check_pages(&self) -> Result<(), MailStoreError> {
        self.file.check_pages()
    }

    /// The version of a `mailbox.sqlite` that is mirrored here; `None` if none is.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn mirrored(&self, registration: &str) -> Result<Option<Version>, MailStoreError> {
        self.file.read(|connection| {
            connection
                .prepare_cached("SELECT epoch, count FROM agents_mirrors WHERE registration_id = ?1")?
                .query_row([registration], |row| Ok(Version { epoch: row.get(0)?, count: row.get(1)? }))
                .optional()
        })
    }

    /// All states that the index has of a mailbox, as arrivals in its own file.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn arrivals(&self, registration: &str) -> Result<Vec<Arrival>, MailStoreError> {
        self.file.read(|connection| {
            let mut statement = connection.prepare_cached(&format!("{ARRIVAL} ORDER BY s.message_id"))?;
            statement.query_map([registration], arrival_of)?.collect()
        })
    }

    /// One of them.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn arrival(&self, registration: &str, id: &str) -> Result<Option<Arrival>, MailStoreError> {
        self.file.read(|connection| {
            let text = format!("{ARRIVAL} AND s.message_id = ?2");
            connection.prepare_cached(&text)?.query_row([registration, id], arrival_of).optional()
        })
    }

    /// The sender's registration of an answer, and the message that it answers.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn answered_by(&self, id: &str) -> Result<Option<(String, String)>, MailStoreError> {
        self.file.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT sender_registration_id, in_reply_to FROM messages WHERE message_id = ?1 \
                     AND sender_registration_id IS NOT NULL AND in_reply_to IS NOT NULL",
                )?
                .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
    }

    /// Takes over states that are on disk in a mailbox's own file already, with its version.
    ///
    /// `folder` gives the path of a message's link in a folder.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn mirror(
        &mut self,
        registration: &str,
        rows: &[StateRow],
        version: &Version,
        link: impl Fn(&str, &str) -> String,
    ) -> Result<(), MailStoreError> {
        self.file.change(|change| {
            for row in rows {
                let old: Option<(bool, String)> = change
                    .prepare_cached(
                        "SELECT is_read, box_name FROM mailbox_state WHERE registration_id = ?1 AND message_id = ?2",
                    )?
                    .query_row(params![registration, row.message_id], |found| Ok((found.get(0)?, found.get(1)?)))
                    .optional()?;
                // A state without a delivery is another program's business.
                let Some((was_read, old_box)) = old else { continue };
                change
                    .prepare_cached(
                        "UPDATE mailbox_state SET is_read = ?3, is_answered = ?4, is_starred = ?5, is_archived = ?6, \
                         is_deleted = ?7, box_name = ?8 WHERE registration_id = ?1 AND message_id = ?2",
                    )?
                    .execute(params![
                        registration,
                        row.message_id,
                        row.is_read,
                        row.is_answered,
                        row.is_starred,
                        row.is_archived,
                        row.is_deleted,
                        row.box_name,
                    ])?;
                if old_box != row.box_name {
                    change.execute(
                        "DELETE FROM mailbox_projections \
                         WHERE registration_id = ?1 AND message_id = ?2 AND folder_name = ?3",
                        params![registration, row.message_id, old_box],
                    )?;
                    change.execute(
                        "INSERT OR REPLACE INTO mailbox_projections VALUES (?1, ?2, ?3, ?4)",
                        params![registration, row.message_id, row.box_name, link(&row.message_id, &row.box_name)],
                    )?;
                }
                if was_read != row.is_read {
                    change.execute(
                        "UPDATE thread_summaries SET unread_count = max(0, unread_count + ?2) \
                         WHERE thread_id = (SELECT thread_id FROM messages WHERE message_id = ?1)",
                        params![row.message_id, if row.is_read { -1 } else { 1 }],
                    )?;
                }
            }
            set_mirror(change, registration, version)
        })
    }
}

const ARRIVAL: &str = "SELECT s.message_id, s.is_read, s.is_answered, s.is_starred, s.is_archived, s.is_deleted, \
     s.box_name, m.thread_id, m.created_at_utc, m.subject \
     FROM mailbox_state s JOIN messages m ON m.message_id = s.message_id WHERE s.registration_id = ?1";

fn arrival_of(row: &Row<'_>) -> rusqlite::Result<Arrival> {
    Ok(Arrival {
        state: StateRow {
            message_id: row.get(0)?,
            is_read: row.get(1)?,
            is_answered: row.get(2)?,
            is_starred: row.get(3)?,
            is_archived: row.get(4)?,
            is_deleted: row.get(5)?,
            box_name: row.get(6)?,
        },
        thread_id: row.get(7)?,
        created_at_utc: row.get(8)?,
        subject: row.get(9)?,
    })
}

pub(super) fn set_mirror(change: &Transaction<'_>, registration: &str, version: &Version) -> rusqlite::Result<()> {
    change
        .prepare_cached("INSERT OR REPLACE INTO agents_mirrors (registration_id, epoch, count) VALUES (?1, ?2, ?3)")?
        .execute(params![registration, version.epoch, version.count])
        .map(drop)
}

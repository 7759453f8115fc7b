//! `mailbox.sqlite`: what one mailbox knows about its messages. The authority for read state and folders.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{
    Change, MailStoreError, StateRow, Version,
    open::{self, Database, IfMissing, Latest},
    schema,
};

/// One mailbox's own file, open.
#[derive(Debug)]
pub struct Local {
    file: Database,
}

/// A message that a mailbox gets, with the state it begins in.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "contract section 7.3")]
pub struct Arrival {
    pub state: StateRow,
    pub thread_id: String,
    pub created_at_utc: String,
    pub subject: String,
}

const STATE: &str = "message_id, is_read, is_answered, is_starred, is_archived, is_deleted, box_name";

fn state_of(row: &Row<'_>) -> rusqlite::Result<StateRow> {
    Ok(StateRow {
        message_id: row.get(0)?,
        is_read: row.get(1)?,
        is_answered: row.get(2)?,
        is_starred: row.get(3)?,
        is_archived: row.get(4)?,
        is_deleted: row.get(5)?,
        box_name: row.get(6)?,
    })
}

impl Local {
    /// Opens the file and makes it if it is not there. `path` must lead there without a link.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn open(path: &Path) -> Result<Self, MailStoreError> {
        Ok(Self { file: Database::open(path, IfMissing::Make, schema::LOCAL, schema::LOCAL_OURS)? })
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

    /// Which state of the file this is.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn version(&self) -> Result<Version, MailStoreError> {
        self.file.read(version)
    }

    /// A note of ours about the mailbox, as JSON: whose it is.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn note(&self) -> Result<Option<String>, MailStoreError> {
        self.file.read(|connection| {
            connection
                .query_row("SELECT value FROM agents_meta WHERE key = 'registration'", [], |row| row.get(0))
                .optional()
        })
    }

    /// Replaces that note.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn set_note(&mut self, note: &str) -> Result<(), MailStoreError> {
        self.file.change(|change| {
            change
                .execute(
                    "INSERT INTO agents_meta (key, value) VALUES ('registration', ?1) \
                     ON CONFLICT (key) DO UPDATE SET value = ?1",
                    [note],
                )
                .map(drop)
        })
    }

    /// All states.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn states(&self) -> Result<Vec<StateRow>, MailStoreError> {
        self.file.read(|connection| {
            let mut statement =
                connection.prepare_cached(&format!("SELECT {STATE} FROM message_state ORDER BY message_id"))?;
            statement.query_map([], state_of)?.collect()
        })
    }

    /// Adds messages that are not there yet, and marks one answered. Returns the version behind it.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn add(&mut self, arrivals: &[Arrival], answered: Option<&str>) -> Result<Version, MailStoreError> {
        // The index has these rows on disk already: a power cut that takes them is seen by the version, and they are added
        // again. An answered message stands here alone.
        let sync = if answered.is_some() { "FULL" } else { "NORMAL" };
        self.file.read(|connection| connection.pragma_update(None, "synchronous", sync))?;
        let added = self.file.change(|change| {
            for arrival in arrivals {
                add(change, arrival)?;
            }
            if let Some(id) = answered {
                change.execute(
                    "UPDATE message_state SET is_answered = 1 WHERE message_id = ?1 AND is_answered = 0",
                    [id],
                )?;
            }
            version(change)
        });
        self.file.read(|connection| connection.pragma_update(None, "synchronous", "FULL"))?;
        added
    }

    /// Changes all these messages, or none. Returns the states as they are now, and the version behind it. `None` if
    /// one of the messages is not there.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn apply(&mut self, ids: &[String], wish: &Change) -> Result<Option<(Vec<StateRow>, Version)>, MailStoreError> {
        self.file.change(|change| {
            let mut rows = Vec::new();
            for id in ids {
                let before: Option<(bool, String)> = change
                    .prepare_cached("SELECT is_read, thread_id FROM message_state WHERE message_id = ?1")?
                    .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?;
                let Some((was_read, thread)) = before else { return Ok(None) };
                change
                    .prepare_cached(
                        "UPDATE message_state SET is_read = coalesce(?2, is_read), \
                         is_answered = coalesce(?3, is_answered), is_archived = coalesce(?4, is_archived), \
                         box_name = coalesce(?5, box_name) WHERE message_id = ?1",
                    )?
                    .execute(params![id, wish.is_read, wish.is_answered, wish.is_archived, wish.box_name])?;
                let after = change
                    .prepare_cached(&format!("SELECT {STATE} FROM message_state WHERE message_id = ?1"))?
                    .query_row([id], state_of)?;
                if was_read != after.is_read {
                    change.execute(
                        "UPDATE thread_summaries SET unread_count = max(0, unread_count + ?2) WHERE thread_id = ?1",
                        params![thread, if after.is_read { -1 } else { 1 }],
                    )?;
                }
                rows.push(after);
            }
            Ok(Some((rows, version(change)?)))
        })
    }
}

fn version(connection: &Connection) -> rusqlite::Result<Version> {
    connection
        .prepare_cached("SELECT epoch, count FROM agents_version WHERE one = 1")?
        .query_row([], |row| Ok(Version { epoch: row.get(0)?, count: row.get(1)? }))
}

fn add(change: &Transaction<'_>, arrival: &Arrival) -> rusqlite::Result<()> {
    let state = &arrival.state;
    let added = change
        .prepare_cached("INSERT OR IGNORE INTO message_state VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
        .execute(params![
            state.message_id,
            arrival.thread_id,
            arrival.created_at_utc,
            arrival.subject,
            state.is_read,
            state.is_answered,
            state.is_starred,
            state.is_archived,
            state.is_deleted,
            state.box_name,
        ])?;
    if added == 0 {
        return Ok(());
    }
    open::summarize(
        change,
        &Latest {
            thread_id: &arrival.thread_id,
            subject: &arrival.subject,
            message_id: &state.message_id,
            created_at_utc: &arrival.created_at_utc,
            unread: usize::from(!state.is_read),
        },
    )
}

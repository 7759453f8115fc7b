//! Messages in the index: delivering one, and finding what was delivered.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{
    Index, MailStoreError, Version,
    index::set_mirror,
    open::{self, Latest},
};
use crate::api::MessageView;

/// One end of a message, in the contract's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "contract section 7.3")]
pub struct End {
    pub principal_id: String,
    pub address: String,
    pub display_name: Option<String>,
    pub manifest_path_hint: Option<String>,
    pub role: Option<String>,
    /// Of the mailbox that it had when the message was delivered.
    pub registration_id: Option<String>,
}

/// Why somebody stands in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "contract section 7.2")]
pub enum RecipientKind {
    To,
    Cc,
    ReplyTo,
}

impl RecipientKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::To => "to",
            Self::Cc => "cc",
            Self::ReplyTo => "reply_to",
        }
    }
}

/// An attachment, in the contract's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "contract section 7.3")]
pub struct FileRow {
    pub attachment_id: String,
    pub kind: &'static str,
    pub locator: String,
    pub media_type: String,
    pub sha256: Option<String>,
    pub size_bytes: Option<u64>,
    pub label: Option<String>,
}

/// A message, in the contract's columns.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "contract section 7.3")]
pub struct NewMessage {
    pub message_id: String,
    pub thread_id: String,
    pub in_reply_to: Option<String>,
    pub created_at_utc: String,
    pub canonical_path: String,
    pub subject: String,
    pub body: String,
    pub headers_json: String,
    pub sender: End,
    pub recipients: Vec<(RecipientKind, End)>,
    pub files: Vec<FileRow>,
    /// What lists show of it.
    pub view: MessageView,
}

/// A link to a message in a folder of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "contract section 7.3")]
pub struct Place {
    pub registration_id: String,
    pub folder: String,
    pub path: String,
}

/// The state in which a mailbox gets a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "contract section 7.3")]
pub struct Seed {
    pub registration_id: String,
    pub folder: String,
    pub is_read: bool,
    pub is_answered: bool,
    pub is_archived: bool,
}

/// The caller's own name for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentKey {
    /// Whose name it is.
    pub address: String,
    /// The name.
    pub key: String,
    /// Of everything that was to be sent.
    pub digest: String,
}

/// A message with everything that makes it delivered.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message.
    pub message: NewMessage,
    /// Its links.
    pub places: Vec<Place>,
    /// Its state, in each mailbox once.
    pub seeds: Vec<Seed>,
    /// Under which it must not be delivered again.
    pub key: Option<SentKey>,
    /// What the mailboxes' own files will be at once.
    pub mirrors: Vec<(String, Version)>,
    /// The sender's registration and the message that this one answers.
    pub answered: Option<(String, String)>,
}

impl Index {
    /// Delivers a message: from here on everybody it is for has it.
    ///
    /// # Errors
    /// [`MailStoreError`]: nobody has it.
    pub fn deliver(&mut self, delivery: &Delivery) -> Result<(), MailStoreError> {
        self.file.change(|change| deliver(change, delivery))
    }

    /// Delivers all of these, or none.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn deliver_all(&mut self, deliveries: &[Delivery]) -> Result<(), MailStoreError> {
        if deliveries.is_empty() {
            return Ok(());
        }
        self.file.change(|change| deliveries.iter().try_for_each(|delivery| deliver(change, delivery)))
    }

    /// Takes over subject, body and headers of a message that is there.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn replace_content(&mut self, message: &NewMessage) -> Result<(), MailStoreError> {
        self.file.change(|change| {
            change.execute(
                "UPDATE messages SET subject = ?2, body_markdown = ?3, headers_json = ?4 WHERE message_id = ?1",
                params![message.message_id, message.subject, message.body, message.headers_json],
            )?;
            insert_view(change, message)
        })
    }

    /// Counts the unread messages of every thread again.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn recount(&mut self) -> Result<(), MailStoreError> {
        self.file.change(|change| {
            change
                .execute(
                    "UPDATE thread_summaries SET unread_count = coalesce((SELECT c.unread FROM \
                     (SELECT m.thread_id AS thread, count(*) AS unread FROM mailbox_state s \
                     JOIN messages m ON m.message_id = s.message_id WHERE s.is_read = 0 GROUP BY m.thread_id) c \
                     WHERE c.thread = thread_summaries.thread_id), 0)",
                    [],
                )
                .map(drop)
        })
    }

    /// The ids of all messages, in their order.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn ids(&self) -> Result<Vec<String>, MailStoreError> {
        self.file.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT message_id FROM messages ORDER BY message_id")?;
            statement.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// Every message of a mailbox with its folder.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn all_places(&self, registration: &str) -> Result<Vec<(String, String)>, MailStoreError> {
        self.file.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT message_id, folder_name FROM mailbox_projections WHERE registration_id = ?1")?;
            statement.query_map([registration], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
    }

    /// The subject as it was delivered.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn subject(&self, id: &str) -> Result<Option<String>, MailStoreError> {
        self.file.read(|connection| {
            connection
                .prepare_cached("SELECT subject FROM messages WHERE message_id = ?1")?
                .query_row([id], |row| row.get(0))
                .optional()
        })
    }

    /// What was sent under this name: its digest and the message's id.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn sent(&self, address: &str, key: &str) -> Result<Option<(String, String)>, MailStoreError> {
        self.file.read(|connection| {
            connection
                .prepare_cached("SELECT digest, message_id FROM agents_sent_keys WHERE address = ?1 AND key = ?2")?
                .query_row([address, key], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })
    }

    /// Is there a message of this id?
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn has_message(&self, id: &str) -> Result<bool, MailStoreError> {
        self.file
            .read(|connection| {
                connection
                    .prepare_cached("SELECT 1 FROM messages WHERE message_id = ?1")?
                    .query_row([id], |_| Ok(()))
                    .optional()
            })
            .map(|found| found.is_some())
    }

    /// Everywhere a message has a link.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn places(&self, id: &str) -> Result<Vec<Place>, MailStoreError> {
        self.file.read(|connection| {
            // By registration, as the key begins: without that, every row of every mailbox would be looked at.
            let mut statement = connection.prepare_cached(
                "SELECT registration_id, folder_name, projection_path FROM mailbox_projections WHERE registration_id IN \
                 (SELECT registration_id FROM mailbox_registrations) AND message_id = ?1",
            )?;
            statement
                .query_map([id], |row| {
                    Ok(Place { registration_id: row.get(0)?, folder: row.get(1)?, path: row.get(2)? })
                })?
                .collect()
        })
    }

    /// How many messages of a thread are not older than `since`, counted from the last one of this sender.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn thread_since(&self, thread: &str, since: &str, reset_by: &str) -> Result<usize, MailStoreError> {
        self.file.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT count(*) FROM messages WHERE thread_id = ?1 AND created_at_utc >= ?2 AND message_id > \
                     coalesce((SELECT max(message_id) FROM messages WHERE thread_id = ?1 AND sender_address = ?3), '')",
                )?
                .query_row([thread, since, reset_by], |row| row.get(0))
        })
    }

    /// How many messages there are.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn count(&self) -> Result<u64, MailStoreError> {
        self.file.read(|connection| connection.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)))
    }
}

fn deliver(change: &Transaction<'_>, delivery: &Delivery) -> rusqlite::Result<()> {
    insert_message(change, &delivery.message)?;
    for place in &delivery.places {
        insert_place(change, &delivery.message.message_id, place)?;
    }
    for seed in &delivery.seeds {
        insert_seed(change, &delivery.message.message_id, seed)?;
    }
    let unread = delivery.seeds.iter().filter(|seed| !seed.is_read).count();
    let message = &delivery.message;
    let latest = Latest {
        thread_id: &message.thread_id,
        subject: &message.subject,
        message_id: &message.message_id,
        created_at_utc: &message.created_at_utc,
        unread,
    };
    open::summarize(change, &latest)?;
    if let Some((registration, parent)) = &delivery.answered {
        change.execute(
            "UPDATE mailbox_state SET is_answered = 1 WHERE registration_id = ?1 AND message_id = ?2",
            params![registration, parent],
        )?;
    }
    if let Some(key) = &delivery.key {
        change.execute(
            "INSERT INTO agents_sent_keys (address, key, digest, message_id) VALUES (?1, ?2, ?3, ?4)",
            params![key.address, key.key, key.digest, delivery.message.message_id],
        )?;
    }
    delivery.mirrors.iter().try_for_each(|(registration, version)| set_mirror(change, registration, version))
}

fn insert_message(change: &Transaction<'_>, message: &NewMessage) -> rusqlite::Result<()> {
    change
        .prepare_cached(
            "INSERT INTO messages (message_id, thread_id, in_reply_to, created_at_utc, canonical_path, subject, \
             body_markdown, headers_json, sender_principal_id, sender_address, sender_display_name, \
             sender_manifest_path_hint, sender_role, sender_registration_id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            message.message_id,
            message.thread_id,
            message.in_reply_to,
            message.created_at_utc,
            message.canonical_path,
            message.subject,
            message.body,
            message.headers_json,
            message.sender.principal_id,
            message.sender.address,
            message.sender.display_name,
            message.sender.manifest_path_hint,
            message.sender.role,
            message.sender.registration_id,
        ])?;
    let mut ordinals = [0_u32; 3];
    for (kind, end) in &message.recipients {
        let ordinal = &mut ordinals[*kind as usize];
        change.prepare_cached("INSERT INTO message_recipients VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?.execute(
            params![
                message.message_id,
                kind.as_str(),
                *ordinal,
                end.address,
                end.principal_id,
                end.display_name,
                end.manifest_path_hint,
                end.role,
                end.registration_id,
            ],
        )?;
        *ordinal += 1;
    }
    for (ordinal, file) in message.files.iter().enumerate() {
        change.execute(
            "INSERT OR REPLACE INTO attachments VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                file.attachment_id,
                file.kind,
                file.locator,
                file.media_type,
                file.sha256,
                file.size_bytes,
                file.label
            ],
        )?;
        change.execute(
            "INSERT OR REPLACE INTO message_attachments VALUES (?1, ?2, ?3)",
            params![message.message_id, file.attachment_id, ordinal],
        )?;
    }
    insert_view(change, message)
}

/// What lists show of a message.
fn insert_view(change: &Transaction<'_>, message: &NewMessage) -> rusqlite::Result<()> {
    let view = &message.view;
    let ends = super::listing::pack(view)?;
    change
        .prepare_cached("INSERT OR REPLACE INTO agents_messages VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            message.message_id,
            message.thread_id,
            message.created_at_utc,
            message.subject,
            view.body_preview,
            ends,
        ])
        .map(drop)
}

fn insert_place(change: &Transaction<'_>, id: &str, place: &Place) -> rusqlite::Result<()> {
    change
        .prepare_cached("INSERT OR REPLACE INTO mailbox_projections VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![place.registration_id, id, place.folder, place.path])
        .map(drop)
}

fn insert_seed(change: &Transaction<'_>, id: &str, seed: &Seed) -> rusqlite::Result<()> {
    change
        .prepare_cached(
            "INSERT OR REPLACE INTO mailbox_state (registration_id, message_id, is_read, is_answered, is_archived, \
             box_name) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![seed.registration_id, id, seed.is_read, seed.is_answered, seed.is_archived, seed.folder])
        .map(drop)
}

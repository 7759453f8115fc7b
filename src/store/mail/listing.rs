//! Reading messages of one mailbox out of the index.

use rusqlite::{OptionalExtension, Row, params_from_iter, types::Value};

use super::{Index, MailStoreError};
use crate::api::{AttachmentView, MailQuery, MessageView, NotifyAuth, NotifyBlock, Participant};

/// What a list shows beside the columns: sender, `to`, `cc`, `reply_to`, attachments, notify block and its word.
type Ends = (
    Participant,
    Vec<Participant>,
    Vec<Participant>,
    Vec<Participant>,
    Vec<AttachmentView>,
    Option<NotifyBlock>,
    Option<NotifyAuth>,
);

/// Everything of a view that has no column of its own.
pub(super) fn pack(view: &MessageView) -> rusqlite::Result<String> {
    serde_json::to_string(&(
        &view.sender,
        &view.to,
        &view.cc,
        &view.reply_to,
        &view.attachments,
        &view.notify_block,
        &view.notify_auth,
    ))
    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

const ROWS: &str = "SELECT p.message_id, a.thread_id, a.created_at_utc, a.subject, a.preview, a.ends_json, s.is_read, \
     s.is_answered, s.is_archived, p.folder_name, s.box_name";

const TABLES: &str = "FROM mailbox_projections p \
     CROSS JOIN mailbox_state s ON s.registration_id = p.registration_id AND s.message_id = p.message_id \
     LEFT JOIN agents_messages a ON a.message_id = p.message_id";

impl Index {
    /// Messages of a folder, newest first. `since` of the query has the form of `created_at_utc`.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn list(&self, registration: &str, query: &MailQuery) -> Result<Vec<MessageView>, MailStoreError> {
        let mut text = ROWS.to_owned();
        if query.include_body {
            text.push_str(", (SELECT m.body_markdown FROM messages m WHERE m.message_id = p.message_id)");
        }
        text.push(' ');
        text.push_str(TABLES);
        text.push_str(" WHERE p.registration_id = ? AND p.folder_name = ? AND s.is_deleted = 0");
        let mut values: Vec<Value> = vec![registration.to_owned().into(), query.folder.as_str().to_owned().into()];
        for (column, wanted) in [
            (" AND s.is_read = ?", query.read),
            (" AND s.is_answered = ?", query.answered),
            (" AND s.is_archived = ?", query.archived),
        ] {
            if let Some(wanted) = wanted {
                text.push_str(column);
                values.push(i64::from(wanted).into());
            }
        }
        if let Some(since) = &query.since {
            text.push_str(" AND (SELECT m.created_at_utc FROM messages m WHERE m.message_id = p.message_id) >= ?");
            values.push(since.clone().into());
        }
        text.push_str(" ORDER BY p.message_id DESC");
        if let Some(limit) = query.limit {
            text.push_str(" LIMIT ?");
            values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        }
        let read = || {
            let mut statement = self.connection.prepare_cached(&text)?;
            let mut rows = statement.query(params_from_iter(values))?;
            let mut views = Vec::new();
            while let Some(row) = rows.next()? {
                views.push(self.view(row, query.include_body)?);
            }
            Ok(views)
        };
        read().map_err(|error| self.failed(error))
    }

    /// One message of a mailbox, without its body: where the mailbox has it, or in this folder.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn entry(
        &self,
        registration: &str,
        id: &str,
        folder: Option<&str>,
    ) -> Result<Option<MessageView>, MailStoreError> {
        let text = format!(
            "{ROWS} {TABLES} WHERE p.registration_id = ?1 AND p.message_id = ?2 AND s.is_deleted = 0 \
             AND p.folder_name = coalesce(?3, p.folder_name) ORDER BY p.folder_name <> s.box_name LIMIT 1"
        );
        let read = || {
            let mut statement = self.connection.prepare_cached(&text)?;
            let mut rows = statement.query(rusqlite::params![registration, id, folder])?;
            rows.next()?.map(|row| self.view(row, false)).transpose()
        };
        read().map_err(|error| self.failed(error))
    }

    /// How many messages of a folder are unread.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn unread(&self, registration: &str, folder: &str) -> Result<usize, MailStoreError> {
        let read = || {
            self.connection
                .prepare_cached(
                    "SELECT count(*) FROM mailbox_state \
                     WHERE registration_id = ?1 AND box_name = ?2 AND is_read = 0 AND is_deleted = 0",
                )?
                .query_row([registration, folder], |row| row.get(0))
        };
        read().map_err(|error| self.failed(error))
    }

    /// How many messages a mailbox has.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn total(&self, registration: &str) -> Result<usize, MailStoreError> {
        let read = || {
            self.connection
                .prepare_cached("SELECT count(*) FROM mailbox_state WHERE registration_id = ?1 AND is_deleted = 0")?
                .query_row([registration], |row| row.get(0))
        };
        read().map_err(|error| self.failed(error))
    }

    /// The body as it was delivered.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn body(&self, id: &str) -> Result<Option<String>, MailStoreError> {
        let read = || {
            self.connection
                .prepare_cached("SELECT body_markdown FROM messages WHERE message_id = ?1")?
                .query_row([id], |row| row.get(0))
                .optional()
        };
        read().map_err(|error| self.failed(error))
    }

    fn view(&self, row: &Row<'_>, include_body: bool) -> rusqlite::Result<MessageView> {
        let id: String = row.get(0)?;
        let is_read: bool = row.get(6)?;
        let packed: Option<String> = row.get(5)?;
        let mut view = match packed {
            Some(packed) => {
                let ends: Ends = serde_json::from_str(&packed).map_err(|error| {
                    rusqlite::Error::FromSqlConversionFailure(5, rusqlite::types::Type::Text, Box::new(error))
                })?;
                let thread: String = row.get(1)?;
                assemble(&id, &thread, row.get(2)?, row.get(3)?, row.get(4)?, ends)
            }
            None => self.foreign(&id)?,
        };
        view.read = Some(is_read);
        view.unread = Some(!is_read);
        view.answered = Some(row.get(7)?);
        view.archived = Some(row.get(8)?);
        view.folder = Some(row.get(9)?);
        if include_body {
            view.body_text = row.get(11)?;
        }
        Ok(view)
    }

    /// A message that another program wrote into the index: from the contract's tables alone.
    fn foreign(&self, id: &str) -> rusqlite::Result<MessageView> {
        let ends = |kind: &str| -> rusqlite::Result<Vec<Participant>> {
            self.connection
                .prepare_cached(
                    "SELECT address, display_name, owner_principal_id FROM message_recipients \
                     WHERE message_id = ?1 AND recipient_kind = ?2 ORDER BY ordinal",
                )?
                .query_map([id, kind], |row| {
                    Ok(Participant { address: row.get(0)?, display_name: row.get(1)?, principal_id: row.get(2)? })
                })?
                .collect()
        };
        let files: Vec<AttachmentView> = self
            .connection
            .prepare_cached(
                "SELECT a.attachment_id, a.kind, a.media_type, a.locator, a.size_bytes, a.sha256, a.label \
                 FROM message_attachments m JOIN attachments a ON a.attachment_id = m.attachment_id \
                 WHERE m.message_id = ?1 ORDER BY m.ordinal",
            )?
            .query_map([id], |row| {
                Ok(AttachmentView {
                    attachment_id: row.get(0)?,
                    kind: row.get(1)?,
                    media_type: row.get(2)?,
                    locator: row.get(3)?,
                    size_bytes: row.get(4)?,
                    sha256: row.get(5)?,
                    label: row.get(6)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        let (to, cc, reply_to) = (ends("to")?, ends("cc")?, ends("reply_to")?);
        self.connection
            .prepare_cached(
                "SELECT thread_id, created_at_utc, subject, substr(body_markdown, 1, 2000), sender_address, \
                 sender_display_name, sender_principal_id FROM messages WHERE message_id = ?1",
            )?
            .query_row([id], |row| {
                let (thread, body): (String, String) = (row.get(0)?, row.get(3)?);
                let sender = Participant { address: row.get(4)?, display_name: row.get(5)?, principal_id: row.get(6)? };
                let words: String = body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(240).collect();
                let ends = (sender, to, cc, reply_to, files, None, None);
                Ok(assemble(id, &thread, row.get(1)?, row.get(2)?, Some(words), ends))
            })
    }
}

fn assemble(
    id: &str,
    thread: &str,
    created_at_utc: String,
    subject: String,
    body_preview: Option<String>,
    ends: Ends,
) -> MessageView {
    let (sender, to, cc, reply_to, attachments, notify_block, notify_auth) = ends;
    MessageView {
        message_ref: format!("filesystem:{id}"),
        thread_ref: Some(format!("filesystem:{thread}")),
        created_at_utc,
        subject,
        read: None,
        answered: None,
        archived: None,
        folder: None,
        unread: None,
        body_preview,
        body_text: None,
        sender,
        to,
        cc,
        reply_to,
        attachments,
        notify_block,
        notify_auth,
    }
}

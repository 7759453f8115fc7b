//! Reading messages of one mailbox out of the index.

use rusqlite::{Connection, OptionalExtension, Row, params};

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

/// What lists show of a message, without what only its mailbox knows. Messages of other programs have no such row.
const SHOWN: &str = "p.message_id, a.thread_id, a.created_at_utc, a.subject, a.preview, a.ends_json";

/// So many states of messages in other folders are passed over before the next one is looked up.
const NEAR: usize = 4;

/// So many different [`Ends`] of one list are kept. An agent has few correspondents.
const MOST_ENDS: usize = 16;

impl Index {
    /// Messages of a folder, newest first. `since` of the query has the form of `created_at_utc`.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn list(&self, registration: &str, query: &MailQuery) -> Result<Vec<MessageView>, MailStoreError> {
        let listed = format!(
            "SELECT {SHOWN} FROM mailbox_projections p LEFT JOIN agents_messages a ON a.message_id = p.message_id \
             WHERE p.registration_id = ?1 AND p.folder_name = ?2 ORDER BY p.message_id DESC"
        );
        let states = "SELECT message_id, is_read, is_answered, is_archived, is_deleted FROM mailbox_state \
             WHERE registration_id = ?1 AND message_id <= ?2 ORDER BY message_id DESC";
        let limit = query.limit.unwrap_or(usize::MAX);
        self.file.read(|connection| {
            let mut reader = Reader { connection, known: Vec::new() };
            let mut views = Vec::new();
            let (mut listed, mut states) = (connection.prepare_cached(&listed)?, connection.prepare_cached(states)?);
            let mut rows = listed.query([registration, query.folder.as_str()])?;
            let mut row = rows.next()?;
            // Both go down in the order of ids, so that one follows the other: a join looks every state up by its key, and
            // that is most of its cost. The open list keeps both to one moment of the file.
            'look_up: while let Some(next) = row {
                let mut states = states.query([registration, next.get_ref(0)?.as_str()?])?;
                let mut state = states.next()?;
                while let Some(found) = row {
                    if views.len() >= limit {
                        return Ok(views);
                    }
                    let id = found.get_ref(0)?.as_bytes()?;
                    let mut passed = 0;
                    while let Some(other) = state
                        && other.get_ref(0)?.as_bytes()? > id
                    {
                        if passed == NEAR {
                            continue 'look_up;
                        }
                        passed += 1;
                        state = states.next()?;
                    }
                    if let Some(state) = state
                        && state.get_ref(0)?.as_bytes()? == id
                    {
                        let is_deleted: bool = state.get(4)?;
                        let flags = Flags::of(state, 1)?;
                        if !is_deleted && flags.are_wanted(query) {
                            views.extend(reader.wanted(found, &flags, query)?);
                        }
                    }
                    row = rows.next()?;
                }
            }
            Ok(views)
        })
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
            "SELECT {SHOWN}, s.is_read, s.is_answered, s.is_archived, p.folder_name FROM mailbox_projections p \
             CROSS JOIN mailbox_state s ON s.registration_id = p.registration_id AND s.message_id = p.message_id \
             LEFT JOIN agents_messages a ON a.message_id = p.message_id \
             WHERE p.registration_id = ?1 AND p.message_id = ?2 AND s.is_deleted = 0 \
             AND p.folder_name = coalesce(?3, p.folder_name) ORDER BY p.folder_name <> s.box_name LIMIT 1"
        );
        self.file.read(|connection| {
            let mut statement = connection.prepare_cached(&text)?;
            let mut rows = statement.query(params![registration, id, folder])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let folder: String = row.get(9)?;
            Reader { connection, known: Vec::new() }.view(row, &Flags::of(row, 6)?, &folder).map(Some)
        })
    }

    /// How many messages of a folder are unread.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn unread(&self, registration: &str, folder: &str) -> Result<usize, MailStoreError> {
        self.file.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT count(*) FROM mailbox_state \
                     WHERE registration_id = ?1 AND box_name = ?2 AND is_read = 0 AND is_deleted = 0",
                )?
                .query_row([registration, folder], |row| row.get(0))
        })
    }

    /// How many messages a mailbox has.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn total(&self, registration: &str) -> Result<usize, MailStoreError> {
        self.file.read(|connection| {
            connection
                .prepare_cached("SELECT count(*) FROM mailbox_state WHERE registration_id = ?1 AND is_deleted = 0")?
                .query_row([registration], |row| row.get(0))
        })
    }

    /// The body as it was delivered.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn body(&self, id: &str) -> Result<Option<String>, MailStoreError> {
        self.file.read(|connection| body(connection, id))
    }
}

/// What a mailbox knows about a message.
struct Flags {
    is_read: bool,
    is_answered: bool,
    is_archived: bool,
}

impl Flags {
    /// Of a row that has them from this column on.
    fn of(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self { is_read: row.get(first)?, is_answered: row.get(first + 1)?, is_archived: row.get(first + 2)? })
    }

    fn are_wanted(&self, query: &MailQuery) -> bool {
        [(query.read, self.is_read), (query.answered, self.is_answered), (query.archived, self.is_archived)]
            .into_iter()
            .all(|(wanted, is)| wanted.is_none_or(|wanted| wanted == is))
    }
}

/// Makes rows that begin with [`SHOWN`] into messages.
struct Reader<'a> {
    connection: &'a Connection,
    /// What was unpacked: parsing is most of a row's cost, and many rows have the same.
    known: Vec<(String, Ends)>,
}

impl Reader<'_> {
    /// A message of a list, if it is as new as the query wants, with its body if the query wants it.
    fn wanted(&mut self, row: &Row<'_>, flags: &Flags, query: &MailQuery) -> rusqlite::Result<Option<MessageView>> {
        let mut view = self.view(row, flags, query.folder.as_str())?;
        if query.since.as_ref().is_some_and(|since| view.created_at_utc < *since) {
            return Ok(None);
        }
        if query.include_body {
            view.body_text = body(self.connection, row.get_ref(0)?.as_str()?)?;
        }
        Ok(Some(view))
    }

    fn view(&mut self, row: &Row<'_>, flags: &Flags, folder: &str) -> rusqlite::Result<MessageView> {
        let id = row.get_ref(0)?.as_str()?;
        let mut view = match row.get_ref(5)?.as_str_or_null()? {
            Some(packed) => {
                let ends = self.ends(packed)?;
                assemble(id, row.get_ref(1)?.as_str()?, row.get(2)?, row.get(3)?, row.get(4)?, ends)
            }
            None => foreign(self.connection, id)?,
        };
        view.read = Some(flags.is_read);
        view.unread = Some(!flags.is_read);
        view.answered = Some(flags.is_answered);
        view.archived = Some(flags.is_archived);
        view.folder = Some(folder.to_owned());
        Ok(view)
    }

    fn ends(&mut self, packed: &str) -> rusqlite::Result<Ends> {
        if let Some((_, ends)) = self.known.iter().find(|(text, _)| text == packed) {
            return Ok(ends.clone());
        }
        let ends: Ends = serde_json::from_str(packed).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(5, rusqlite::types::Type::Text, Box::new(error))
        })?;
        if self.known.len() == MOST_ENDS {
            self.known.remove(0);
        }
        self.known.push((packed.to_owned(), ends.clone()));
        Ok(ends)
    }
}

fn body(connection: &Connection, id: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT body_markdown FROM messages WHERE message_id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()
}

/// A message that another program wrote into the index: from the contract's tables alone.
fn foreign(connection: &Connection, id: &str) -> rusqlite::Result<MessageView> {
    let ends = |kind: &str| -> rusqlite::Result<Vec<Participant>> {
        connection
            .prepare_cached(
                "SELECT address, display_name, owner_principal_id FROM message_recipients \
                     WHERE message_id = ?1 AND recipient_kind = ?2 ORDER BY ordinal",
            )?
            .query_map([id, kind], |row| {
                Ok(Participant { address: row.get(0)?, display_name: row.get(1)?, principal_id: row.get(2)? })
            })?
            .collect()
    };
    let files: Vec<AttachmentView> = connection
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
    connection
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
        message_ref: ["filesystem:", id].concat(),
        thread_ref: Some(["filesystem:", thread].concat()),
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

//! The agent's mail.
//!
//! Owns: reading and writing mail over either transport (`filesystem`, `jmap`), and the form of a message (`message`,
//! pure). Promises: a message is wholly delivered or not visible; whoever dies half-way leaves nothing that the next
//! one does not finish or take back; what is answered is on disk; nothing outside the mailbox is read or written on the
//! word of a file in it. Every call may block (files, locks, a server): the gateway makes them beside its own thread.
//! Callers: `lifecycle` and `cli` (registering, and mail without a gateway), `gateway`, `notifier` and `http`.

mod desk;
mod error;
mod fence;
pub mod filesystem;
pub mod jmap;
pub mod message;

use std::path::PathBuf;

pub use desk::{Desk, Session};
pub use error::MailError;
use filesystem::Progress;

use crate::{
    api::{
        AttachmentView, MailBinding, MailDraft, MailFlags, MailIdentity, MailPost, MailQuery, MailReply, MessageView,
    },
    model::BoxName,
};

/// Most bytes of an attachment that is sent to a server, or fetched from a mailbox.
pub const LARGEST_ATTACHMENT: u64 = 25 * 1024 * 1024;

/// The attachment with this id, of those of a message.
fn attachment_of(all: Vec<AttachmentView>, message: &str, wanted: &str) -> Result<AttachmentView, MailError> {
    let found = all.into_iter().find(|file| file.attachment_id == wanted).ok_or_else(|| {
        let (message, wanted) = (message.escape_debug(), wanted.escape_debug());
        MailError::NoAttachment(format!("the message `{message}` has no attachment `{wanted}`"))
    })?;
    match found.size_bytes {
        Some(bytes) if bytes > LARGEST_ATTACHMENT => Err(too_large(bytes)),
        _ => Ok(found),
    }
}

fn too_large(bytes: u64) -> MailError {
    MailError::Invalid(format!("the attachment has {bytes} bytes; at most {LARGEST_ATTACHMENT} are fetched"))
}

/// The mailbox of one agent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mailbox {
    binding: MailBinding,
    transport: Transport,
}

/// A call that was checked and begun, and may have to wait for somebody else.
type Step<T> = Result<Progress<T>, MailError>;

#[derive(Debug, Clone)]
enum Transport {
    Filesystem(filesystem::Account),
    Jmap(jmap::Account),
}

impl Mailbox {
    /// The mailbox that a session is bound to. `secrets` is the session's folder of credentials. Nothing is opened or
    /// connected yet.
    ///
    /// # Errors
    /// [`MailError`] for a binding that cannot be meant.
    pub fn of(binding: &MailBinding, secrets: PathBuf) -> Result<Self, MailError> {
        let transport = match binding {
            MailBinding::Filesystem(bound) => Transport::Filesystem(filesystem::Account::of(bound)?),
            MailBinding::Stalwart(bound) => Transport::Jmap(jmap::Account::of(bound, secrets)?),
        };
        Ok(Self { binding: binding.clone(), transport })
    }

    /// What the session is bound to.
    pub fn binding(&self) -> &MailBinding {
        &self.binding
    }

    /// Whose mailbox it is, as every answer says.
    pub fn identity(&self) -> MailIdentity {
        MailIdentity {
            schema_version: 1,
            transport: self.binding.transport().to_owned(),
            principal_id: self.binding.principal_id().to_owned(),
            address: self.binding.address().to_string(),
        }
    }

    /// Proves that the mailbox can be used: the registration is active, the server knows us.
    ///
    /// # Errors
    /// [`MailError`].
    pub fn check(&self) -> Result<(), MailError> {
        match &self.transport {
            Transport::Filesystem(account) => account.check(),
            Transport::Jmap(account) => account.check(),
        }
    }

    /// Messages of a folder, newest first. An unknown folder is an empty one.
    ///
    /// # Errors
    /// [`MailError`].
    pub fn list(&self, query: &MailQuery) -> Result<Vec<MessageView>, MailError> {
        match &self.transport {
            Transport::Filesystem(account) => account.list(query),
            Transport::Jmap(account) => account.list(query),
        }
    }

    /// One message with its body. `mark_read` marks it.
    ///
    /// # Errors
    /// [`MailError::UnknownMessage`] for a reference that names none (in that folder, if one is given).
    pub fn show(&self, message: &str, folder: Option<&BoxName>, mark_read: bool) -> Result<MessageView, MailError> {
        self.showing(message, folder, mark_read)?.now()
    }

    /// Sends. What is returned is delivered to everybody it is for.
    ///
    /// # Errors
    /// [`MailError`]: nobody got it.
    pub fn send(&self, draft: &MailDraft) -> Result<MessageView, MailError> {
        self.sending(draft)?.now()
    }

    /// Leaves a note of the operator in this mailbox.
    ///
    /// # Errors
    /// [`MailError::Unsupported`] over JMAP.
    pub fn post(&self, post: &MailPost) -> Result<MessageView, MailError> {
        self.posting(post)?.now()
    }

    /// Answers a message, and marks it answered.
    ///
    /// # Errors
    /// [`MailError`]; refused where the message wants no answer, or where two programs answer each other without end.
    pub fn reply(&self, reply: &MailReply) -> Result<MessageView, MailError> {
        self.replying(reply)?.now()
    }

    /// Sets and clears flags of all these messages, or of none.
    ///
    /// # Errors
    /// [`MailError`].
    pub fn mark(&self, messages: &[String], flags: MailFlags) -> Result<Vec<MessageView>, MailError> {
        self.marking(messages, flags)?.now()
    }

    /// Moves all these messages to a folder, which is made if it is not there, or none.
    ///
    /// # Errors
    /// [`MailError`].
    pub fn relocate(&self, messages: &[String], folder: &BoxName) -> Result<Vec<MessageView>, MailError> {
        self.moving(messages, folder)?.now()
    }

    fn showing(&self, message: &str, folder: Option<&BoxName>, mark_read: bool) -> Step<MessageView> {
        match &self.transport {
            Transport::Filesystem(account) => account.show(message, folder, mark_read),
            Transport::Jmap(account) => account.show(message, folder, mark_read).map(Progress::Done),
        }
    }

    fn sending(&self, draft: &MailDraft) -> Step<MessageView> {
        match &self.transport {
            Transport::Filesystem(account) => account.send(draft).map(Progress::Waits),
            Transport::Jmap(account) => account.send(draft).map(Progress::Done),
        }
    }

    fn posting(&self, post: &MailPost) -> Step<MessageView> {
        match &self.transport {
            Transport::Filesystem(account) => account.post(post).map(Progress::Waits),
            Transport::Jmap(_) => {
                Err(MailError::Unsupported("a JMAP mailbox takes no notes of the operator".to_owned()))
            }
        }
    }

    fn replying(&self, reply: &MailReply) -> Step<MessageView> {
        match &self.transport {
            Transport::Filesystem(account) => account.reply(reply).map(Progress::Waits),
            Transport::Jmap(account) => account.reply(reply).map(Progress::Done),
        }
    }

    fn marking(&self, messages: &[String], flags: MailFlags) -> Step<Vec<MessageView>> {
        match &self.transport {
            Transport::Filesystem(account) => account.mark(messages, flags).map(Progress::Waits),
            Transport::Jmap(account) => account.mark(messages, flags).map(Progress::Done),
        }
    }

    fn moving(&self, messages: &[String], folder: &BoxName) -> Step<Vec<MessageView>> {
        match &self.transport {
            Transport::Filesystem(account) => account.relocate(messages, folder).map(Progress::Waits),
            Transport::Jmap(account) => account.relocate(messages, folder).map(Progress::Done),
        }
    }

    /// An attachment of a message, with what is in it: what was sent, or nothing.
    ///
    /// # Errors
    /// [`MailError::NoAttachment`] where the message has none of that id, or where it is gone or another one now;
    /// [`MailError::Invalid`] for more than [`LARGEST_ATTACHMENT`] bytes.
    pub fn attachment(&self, message: &str, attachment: &str) -> Result<(AttachmentView, Vec<u8>), MailError> {
        match &self.transport {
            Transport::Filesystem(account) => account.attachment(message, attachment),
            Transport::Jmap(account) => account.attachment(message, attachment),
        }
    }

    /// How many unread messages the inbox has.
    ///
    /// # Errors
    /// [`MailError`].
    pub fn unread(&self) -> Result<usize, MailError> {
        match &self.transport {
            Transport::Filesystem(account) => account.unread(),
            Transport::Jmap(account) => account.unread(),
        }
    }

    /// The folder in which a file appears whenever mail arrives, for somebody who watches it; `None` for a server.
    pub fn arrivals(&self) -> Option<PathBuf> {
        match &self.transport {
            Transport::Filesystem(account) => Some(account.inbox()),
            Transport::Jmap(_) => None,
        }
    }
}

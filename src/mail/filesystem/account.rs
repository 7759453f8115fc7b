//! The mailbox of one address: what an agent does with its mail.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    attached,
    change::change,
    compose::{self, Letter},
    deliver::Outgoing,
    pending::{Pending, Progress},
    root::{Root, Waiting},
    spool::Spool,
};
use crate::{
    api::{
        AttachmentView, FilesystemBinding, MailDraft, MailFlags, MailPost, MailQuery, MailReply, MailboxKind,
        MessageView,
    },
    mail::{
        MailError, attachment_of,
        message::{Message, Principal},
    },
    model::{Address, BoxName, MessageId, Moment},
    os::clock,
    store::mail::{Change, RegistrationRow, SentKey},
};

/// So many messages of one thread in a minute, without a word of the operator, are two programs that answer each other:
/// agents need seconds for a thought, and a person reads none of thirty.
pub const LOOP_PER_MINUTE: usize = 30;

/// The same over a day, for pairs that answer slowly: a conversation of two hundred needs somebody who looks at it.
pub const LOOP_PER_DAY: usize = 200;

/// One agent's mailbox. Clones share their open files.
#[derive(Debug, Clone)]
pub struct Account {
    binding: FilesystemBinding,
    spool: Arc<Mutex<Option<Spool>>>,
}

impl Account {
    pub(in crate::mail) fn of(binding: &FilesystemBinding) -> Result<Self, MailError> {
        if !Path::new(&binding.filesystem_root).is_absolute() {
            return Err(MailError::Invalid(format!(
                "the mailbox root `{}` is no absolute path",
                binding.filesystem_root.escape_debug()
            )));
        }
        Ok(Self { binding: binding.clone(), spool: Arc::default() })
    }

    /// Does something with the open root and our registration in it. Nobody waits in it for a lock: whoever needs locks
    /// has them by then.
    fn with<T>(&self, work: impl FnOnce(&mut Spool, &RegistrationRow) -> Result<T, MailError>) -> Result<T, MailError> {
        let mut slot = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_none_or(|spool| !spool.is_current()) {
            *slot = None;
            *slot = Some(Spool::open(Path::new(&self.binding.filesystem_root))?);
        }
        let Some(spool) = slot.as_mut() else { return Err(MailError::Unavailable("the root is closed".to_owned())) };
        let row = self.registration(spool)?;
        let done = work(spool, &row);
        if matches!(done, Err(MailError::Damaged(_) | MailError::Unavailable(_))) {
            // Whatever is wrong, the next call sees the files as they are then.
            *slot = None;
        }
        done
    }

    /// The locks of these addresses and of our own.
    fn locks(&self, addresses: &[&str]) -> Result<Waiting, MailError> {
        let root = Root::open(Path::new(&self.binding.filesystem_root))?;
        root.waiting(&[addresses, &[self.binding.address.as_str()]].concat())
    }

    /// As [`Account::with`], for a change: once these locks are held.
    fn pending<T: 'static>(
        &self,
        locks: Waiting,
        work: impl FnOnce(&mut Spool, &RegistrationRow) -> Result<T, MailError> + Send + 'static,
    ) -> Pending<T> {
        let account = self.clone();
        Pending::new(locks, move || account.with(work))
    }

    fn registration(&self, spool: &Spool) -> Result<RegistrationRow, MailError> {
        let address = &self.binding.address;
        let Some(row) = spool.active(address.as_str())? else {
            return Err(MailError::NotRegistered(format!(
                "{address} has no mailbox in `{}`",
                self.binding.filesystem_root
            )));
        };
        if row.owner_principal_id != self.binding.principal_id {
            return Err(MailError::NotRegistered(format!("{address} belongs to {} now", row.owner_principal_id)));
        }
        Ok(row)
    }

    /// As [`Account::with`], for reading: after what dead ones left was finished, and with fresh states.
    fn reading<T>(
        &self,
        work: impl FnOnce(&mut Spool, &RegistrationRow) -> Result<T, MailError>,
    ) -> Result<T, MailError> {
        self.with(|spool, me| {
            spool.recover(false)?;
            spool.agree(me, false)?;
            work(spool, me)
        })
    }

    pub(in crate::mail) fn check(&self) -> Result<(), MailError> {
        self.reading(|spool, me| spool.root.check_folders(me))
    }

    pub(in crate::mail) fn list(&self, query: &MailQuery) -> Result<Vec<MessageView>, MailError> {
        let mut query = query.clone();
        if let Some(since) = &query.since {
            let moment = Moment::parse(since).ok_or_else(|| {
                MailError::Invalid(format!("`{}` is not a time with its offset", since.escape_debug()))
            })?;
            query.since = Some(moment.iso_seconds_z());
        }
        self.reading(|spool, me| Ok(spool.index.list(&me.registration_id, &query)?))
    }

    pub(in crate::mail) fn show(
        &self,
        message: &str,
        folder: Option<&BoxName>,
        read: bool,
    ) -> Result<Progress<MessageView>, MailError> {
        let id = id_of(message)?;
        let mut view = self.reading(|spool, me| {
            let folder = folder.map(BoxName::as_str);
            let unknown = || MailError::UnknownMessage(message.to_owned());
            let known = spool.index.entry(&me.registration_id, id.as_str(), folder)?.ok_or_else(unknown)?;
            Ok(with_state(spool.root.message(&id)?.view(true), &known))
        })?;
        if !read || view.read == Some(true) {
            return Ok(Progress::Done(view));
        }
        let wish = Change { is_read: Some(true), ..Change::default() };
        let marked = self.pending(self.locks(&[])?, move |spool, me| change(spool, me, &[id], &wish));
        Ok(Progress::Waits(marked.map(move |()| {
            (view.read, view.unread) = (Some(true), Some(false));
            view
        })))
    }

    pub(in crate::mail) fn attachment(
        &self,
        message: &str,
        attachment: &str,
    ) -> Result<(AttachmentView, Vec<u8>), MailError> {
        let id = id_of(message)?;
        let found = self.reading(|spool, me| {
            let unknown = || MailError::UnknownMessage(message.to_owned());
            spool.index.entry(&me.registration_id, id.as_str(), None)?.ok_or_else(unknown)?;
            spool.root.message(&id)
        })?;
        // It may be large: nobody waits for it.
        let file = attachment_of(found.view(false).attachments, message, attachment)?;
        let content = attached::content(&file)?;
        Ok((file, content))
    }

    pub(in crate::mail) fn send(&self, draft: &MailDraft) -> Result<Pending<MessageView>, MailError> {
        if draft.to.is_empty() {
            return Err(MailError::Invalid("a message needs somebody it is for".to_owned()));
        }
        let subject = plain_subject(&draft.subject)?.to_owned();
        let attachments = compose::attachments(&draft.content);
        let wanted: Vec<Address> = draft.to.iter().chain(&draft.cc).cloned().collect();
        let draft = draft.clone();
        let locks = self.locks(&texts(&wanted))?;
        Ok(self.pending(locks, move |spool, me| {
            spool.recover(true)?;
            let key = sent_key(me, draft.content.key.as_deref(), || {
                let ends = [texts(&draft.to), vec!["cc"], texts(&draft.cc)].concat();
                compose::digest("send", &ends, &subject, &draft.content)
            });
            if let Some(done) = sent_before(spool, me, key.as_ref(), "sent")? {
                return Ok(done);
            }
            let recipients = resolve(spool, &texts(&wanted))?;
            let ends = |addresses: &[Address]| principals(&recipients, addresses);
            let letter = Letter {
                from: compose::principal(me)?,
                to: ends(&draft.to)?,
                cc: ends(&draft.cc)?,
                reply_to: Vec::new(),
                subject: &subject,
                content: &draft.content,
                attachments: attachments?,
                parent: None,
            };
            let message = letter.write()?;
            let id = message.head.message_id.clone();
            spool.deliver(&Outgoing { message, sender: me.clone(), recipients, key })?;
            entry(spool, me, &id, "sent")
        }))
    }

    pub(in crate::mail) fn post(&self, post: &MailPost) -> Result<Pending<MessageView>, MailError> {
        let subject = plain_subject(&post.subject)?.to_owned();
        let attachments = compose::attachments(&post.content);
        let post = post.clone();
        let locks = self.locks(&[Address::OPERATOR])?;
        Ok(self.pending(locks, move |spool, me| {
            spool.recover(true)?;
            let key = sent_key(me, post.content.key.as_deref(), || {
                let policy = format!("{:?}", post.reply_policy);
                compose::digest("post", &[&policy], &subject, &post.content)
            });
            if let Some(done) = sent_before(spool, me, key.as_ref(), "inbox")? {
                return Ok(done);
            }
            let operator = resolve(spool, &[Address::OPERATOR])?.remove(0);
            let from = compose::principal(&operator)?;
            let letter = Letter {
                from: from.clone(),
                to: vec![compose::principal(me)?],
                cc: Vec::new(),
                reply_to: vec![from],
                subject: &subject,
                content: &post.content,
                attachments: attachments?,
                parent: None,
            };
            let mut message = letter.write()?;
            message.mark_as_post(post.reply_policy);
            let id = message.head.message_id.clone();
            spool.deliver(&Outgoing { message, sender: operator, recipients: vec![me.clone()], key })?;
            entry(spool, me, &id, "inbox")
        }))
    }

    pub(in crate::mail) fn reply(&self, reply: &MailReply) -> Result<Pending<MessageView>, MailError> {
        let id = id_of(&reply.message_ref)?;
        let attachments = compose::attachments(&reply.content);
        let parent = self.with(|spool, me| {
            let unknown = || MailError::UnknownMessage(reply.message_ref.clone());
            spool.index.entry(&me.registration_id, id.as_str(), None)?.ok_or_else(unknown)?;
            spool.root.message(&id)
        })?;
        if !parent.takes_replies() {
            return Err(MailError::NoReply);
        }
        let to = answer_to(&parent, self.binding.address.as_str());
        let content = reply.content.clone();
        let locks = self.locks(&texts(&to))?;
        Ok(self.pending(locks, move |spool, me| {
            spool.recover(true)?;
            spool.agree(me, true)?;
            let key = sent_key(me, content.key.as_deref(), || compose::digest("reply", &[id.as_str()], "", &content));
            if let Some(done) = sent_before(spool, me, key.as_ref(), "sent")? {
                return Ok(done);
            }
            // The operator's word is what ends a loop.
            if me.address != Address::OPERATOR {
                refuse_loop(spool, &parent)?;
            }
            let recipients = resolve(spool, &texts(&to))?;
            let letter = Letter {
                from: compose::principal(me)?,
                to: principals(&recipients, &to)?,
                cc: Vec::new(),
                reply_to: Vec::new(),
                subject: &compose::answer_subject(&parent.head.subject),
                content: &content,
                attachments: attachments?,
                parent: Some(&parent),
            };
            let message = letter.write()?;
            let id = message.head.message_id.clone();
            spool.deliver(&Outgoing { message, sender: me.clone(), recipients, key })?;
            entry(spool, me, &id, "sent")
        }))
    }

    pub(in crate::mail) fn mark(
        &self,
        messages: &[String],
        flags: MailFlags,
    ) -> Result<Pending<Vec<MessageView>>, MailError> {
        if flags == MailFlags::default() {
            return Err(MailError::Invalid("no flag is named that is to be set or cleared".to_owned()));
        }
        let wish =
            Change { is_read: flags.read, is_answered: flags.answered, is_archived: flags.archived, box_name: None };
        self.change(messages, wish)
    }

    pub(in crate::mail) fn relocate(
        &self,
        messages: &[String],
        folder: &BoxName,
    ) -> Result<Pending<Vec<MessageView>>, MailError> {
        let wish = Change {
            is_archived: Some(folder.as_str() == BoxName::ARCHIVE),
            box_name: Some(folder.to_string()),
            ..Change::default()
        };
        self.change(messages, wish)
    }

    fn change(&self, messages: &[String], wish: Change) -> Result<Pending<Vec<MessageView>>, MailError> {
        if messages.is_empty() {
            return Err(MailError::Invalid("no message is named".to_owned()));
        }
        let ids = messages.iter().map(|message| id_of(message)).collect::<Result<Vec<_>, _>>()?;
        self.with(|spool, me| entries(spool, me, &ids).map(drop))?;
        Ok(self.pending(self.locks(&[])?, move |spool, me| {
            change(spool, me, &ids, &wish)?;
            entries(spool, me, &ids)
        }))
    }

    pub(in crate::mail) fn unread(&self) -> Result<usize, MailError> {
        self.reading(|spool, me| Ok(spool.index.unread(&me.registration_id, BoxName::INBOX)?))
    }

    pub(in crate::mail) fn inbox(&self) -> PathBuf {
        let in_root = || Path::new(&self.binding.filesystem_root).join("mailboxes").join(self.binding.address.as_str());
        let mailbox = match (self.binding.mailbox_kind, &self.binding.mailbox_path) {
            (MailboxKind::Symlink, Some(path)) => PathBuf::from(path),
            _ => in_root(),
        };
        mailbox.join(BoxName::INBOX)
    }
}

/// The caller's name for a message that it sends, if it gave one.
fn sent_key(me: &RegistrationRow, key: Option<&str>, digest: impl FnOnce() -> String) -> Option<SentKey> {
    key.map(|key| SentKey { address: me.address.clone(), key: key.to_owned(), digest: digest() })
}

fn texts(addresses: &[Address]) -> Vec<&str> {
    addresses.iter().map(Address::as_str).collect()
}

/// The id of a reference: with or without `filesystem:` in front.
fn id_of(reference: &str) -> Result<MessageId, MailError> {
    let id = reference.strip_prefix("filesystem:").unwrap_or(reference);
    id.parse().map_err(|_wrong| MailError::UnknownMessage(reference.chars().take(120).collect()))
}

fn plain_subject(subject: &str) -> Result<&str, MailError> {
    let subject = subject.trim();
    if subject.is_empty() || subject.chars().any(|c| c == '\n' || c == '\r' || c == '\0') {
        return Err(MailError::Invalid("the subject has to be one line that is not blank".to_owned()));
    }
    Ok(subject)
}

/// The registrations of these addresses, each once.
fn resolve(spool: &Spool, addresses: &[&str]) -> Result<Vec<RegistrationRow>, MailError> {
    let (mut rows, mut unknown) = (Vec::<RegistrationRow>::new(), Vec::new());
    for address in addresses {
        if rows.iter().any(|row| row.address == *address) {
            continue;
        }
        match spool.active(address)? {
            Some(row) => rows.push(row),
            None => unknown.push((*address).to_owned()),
        }
    }
    unknown.dedup();
    if unknown.is_empty() { Ok(rows) } else { Err(MailError::UnknownRecipients(unknown)) }
}

fn principals(rows: &[RegistrationRow], addresses: &[Address]) -> Result<Vec<Principal>, MailError> {
    let found = addresses.iter().filter_map(|address| rows.iter().find(|row| row.address == address.as_str()));
    found.map(compose::principal).collect()
}

/// Whom an answer goes to: those whom the message names for it, else its sender; for one's own, its recipients.
fn answer_to(parent: &Message, me: &str) -> Vec<Address> {
    let head = &parent.head;
    let ends = match () {
        () if head.from.address.as_str() == me => head.to.as_slice(),
        () if !head.reply_to.is_empty() => head.reply_to.as_slice(),
        () => std::slice::from_ref(&head.from),
    };
    ends.iter().map(|end| end.address.clone()).collect()
}

/// Refuses an answer in a thread in which two programs answer each other without end.
fn refuse_loop(spool: &Spool, parent: &Message) -> Result<(), MailError> {
    let now = clock::now();
    let limits = [(60, LOOP_PER_MINUTE, "60 seconds"), (24 * 60 * 60, LOOP_PER_DAY, "24 hours")];
    for (seconds, most, span) in limits {
        let since = now.before(Duration::from_secs(seconds)).iso_seconds_z();
        let count = spool.index.thread_since(parent.head.thread_id.as_str(), &since, Address::OPERATOR)?;
        if count >= most {
            return Err(MailError::Loop(format!(
                "this thread got {count} messages in {span} without a word of the operator: two programs seem to answer \
                 each other"
            )));
        }
    }
    Ok(())
}

/// What the same key sent already.
fn sent_before(
    spool: &Spool,
    me: &RegistrationRow,
    key: Option<&SentKey>,
    folder: &str,
) -> Result<Option<MessageView>, MailError> {
    let Some(key) = key else { return Ok(None) };
    let Some((digest, id)) = spool.index.sent(&key.address, &key.key)? else { return Ok(None) };
    if digest != key.digest {
        return Err(MailError::KeyReused("this idempotency key was used for another message".to_owned()));
    }
    let found = spool.index.entry(&me.registration_id, &id, Some(folder))?;
    match found {
        Some(view) => Ok(Some(view)),
        // It was moved since.
        None => Ok(spool.index.entry(&me.registration_id, &id, None)?),
    }
}

fn entry(spool: &Spool, me: &RegistrationRow, id: &MessageId, folder: &str) -> Result<MessageView, MailError> {
    let found = spool.index.entry(&me.registration_id, id.as_str(), Some(folder))?;
    found.ok_or_else(|| MailError::UnknownMessage(id.to_string()))
}

/// The same for several, in whatever folder each is.
fn entries(spool: &Spool, me: &RegistrationRow, ids: &[MessageId]) -> Result<Vec<MessageView>, MailError> {
    let found = ids.iter().map(|id| {
        let found = spool.index.entry(&me.registration_id, id.as_str(), None)?;
        found.ok_or_else(|| MailError::UnknownMessage(id.to_string()))
    });
    found.collect()
}

/// A message as its file has it, with what the mailbox knows about it.
fn with_state(mut view: MessageView, known: &MessageView) -> MessageView {
    view.read = known.read;
    view.unread = known.unread;
    view.answered = known.answered;
    view.archived = known.archived;
    view.folder.clone_from(&known.folder);
    view
}

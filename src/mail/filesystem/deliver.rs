//! One message on its way: staged, filed, linked out of sight, and then delivered by one transaction of the index.
//!
//! A death before the transaction leaves a message that nobody has seen and that the next one takes back; a death behind
//! it leaves links and states that the next one adds. The staged file is the intent: it is there until all is done, and
//! it is a second name of the message's file, so that nothing is written twice.

use super::{
    root::{Root, day_of, file_name, hidden_name},
    spool::{Spool, link_path, staged_name},
};
use crate::{
    mail::{
        MailError,
        message::{LARGEST, Message, Principal},
    },
    model::MessageId,
    store::mail::{Delivery, End, FileRow, NewMessage, Place, RecipientKind, RegistrationRow, Seed, SentKey, Version},
};

/// A message and the mailboxes it goes to.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) message: Message,
    pub(super) sender: RegistrationRow,
    /// Each once.
    pub(super) recipients: Vec<RegistrationRow>,
    pub(super) key: Option<SentKey>,
}

impl Spool {
    /// Delivers to everybody or to nobody. The locks of all are held.
    pub(super) fn deliver(&mut self, outgoing: &Outgoing) -> Result<(), MailError> {
        let id = outgoing.message.head.message_id.clone();
        match self.prepare(outgoing) {
            Ok(delivery) => {
                if let Err(error) = self.index.deliver(&delivery) {
                    // A failed commit may have left the disk either way. What cannot be asked now waits for the next one.
                    if !self.index.has_message(id.as_str())? {
                        self.give_up(&id);
                        return Err(error.into());
                    }
                }
            }
            Err(error) => {
                self.give_up(&id);
                return Err(error);
            }
        }
        // It is delivered, whatever follows.
        if let Err(error) = self.finish(&id) {
            tracing::warn!(message = id.as_str(), error = %error, "a message is delivered; its links will follow");
        }
        Ok(())
    }

    fn give_up(&mut self, id: &MessageId) {
        if let Err(error) = self.take_back(id) {
            tracing::warn!(message = id.as_str(), error = %error, "what is left of a message that was not sent stays");
        }
    }

    /// Everything but the transaction.
    fn prepare(&mut self, outgoing: &Outgoing) -> Result<Delivery, MailError> {
        let message = &outgoing.message;
        let id = &message.head.message_id;
        let text = message.render().map_err(|error| MailError::Invalid(format!("it cannot be sent: {error}")))?;
        if text.len() as u64 > LARGEST {
            return Err(MailError::Invalid(format!("it has {} bytes; a message has at most {LARGEST}", text.len())));
        }
        let (places, seeds) = placed(&self.root, outgoing)?;
        let staging = self.root.staging()?;
        let staged = staged_name(id);
        staging.write_new(&staged, text.as_bytes())?;
        staging.sync()?;
        let day = self.root.make_day(id)?;
        staging.link(&staged, &day, &file_name(id.as_str()))?;
        day.sync()?;
        let canonical = self.root.canonical(id);
        let everybody = || outgoing.recipients.iter().chain([&outgoing.sender]);
        for place in &places {
            let Some(row) = everybody().find(|row| row.registration_id == place.registration_id) else { continue };
            let folder = self.root.mailbox(row)?.make(&place.folder)?;
            folder.link_to(&hidden_name(id.as_str()), &canonical)?;
        }
        let answered = message
            .head
            .in_reply_to
            .as_ref()
            .map(|parent| (outgoing.sender.registration_id.clone(), parent.to_string()));
        let mirrors = self.mirrors(outgoing, &seeds, answered.as_ref())?;
        let new = new_message(message, &self.root, outgoing);
        Ok(Delivery { message: new, places, seeds, key: outgoing.key.clone(), mirrors, answered })
    }

    /// What the mailboxes' own files will be when their rows are added. One that is not mirrored now stays so, and is
    /// mirrored by its next reader.
    fn mirrors(
        &mut self,
        outgoing: &Outgoing,
        seeds: &[Seed],
        answered: Option<&(String, String)>,
    ) -> Result<Vec<(String, Version)>, MailError> {
        let mut mirrors = Vec::new();
        for seed in seeds {
            let everybody = outgoing.recipients.iter().chain([&outgoing.sender]);
            let Some(row) = everybody.into_iter().find(|row| row.registration_id == seed.registration_id) else {
                continue;
            };
            let now = self.local(row)?.version()?;
            let mirrored = self.index.mirrored(&row.registration_id)?;
            let is_first = mirrored.is_none() && self.index.total(&row.registration_id)? == 0;
            if !is_first && mirrored.as_ref() != Some(&now) {
                continue;
            }
            let mut count = now.count + 1;
            if let Some((_, parent)) = answered.filter(|(sender, _)| *sender == row.registration_id)
                && self.index.arrival(&row.registration_id, parent)?.is_some_and(|known| !known.state.is_answered)
            {
                count += 1;
            }
            mirrors.push((row.registration_id.clone(), Version { epoch: now.epoch, count }));
        }
        Ok(mirrors)
    }
}

/// Links and states of a message: `inbox` of each recipient, `sent` of the sender.
fn placed(root: &Root, outgoing: &Outgoing) -> Result<(Vec<Place>, Vec<Seed>), MailError> {
    let id = outgoing.message.head.message_id.as_str();
    let (mut places, mut seeds) = (Vec::new(), Vec::<Seed>::new());
    let ends = outgoing.recipients.iter().map(|row| (row, "inbox")).chain([(&outgoing.sender, "sent")]);
    for (row, folder) in ends {
        let mailbox = root.mailbox(row)?;
        let registration_id = row.registration_id.clone();
        let path = link_path(mailbox.path(), folder, id);
        places.push(Place { registration_id: registration_id.clone(), folder: folder.to_owned(), path });
        // Who writes to themselves has it in both folders, and unread in the inbox.
        if !seeds.iter().any(|seed| seed.registration_id == registration_id) {
            seeds.push(Seed {
                registration_id,
                folder: folder.to_owned(),
                is_read: folder == "sent",
                is_answered: false,
                is_archived: false,
            });
        }
    }
    Ok((places, seeds))
}

/// The message in the contract's columns.
fn new_message(message: &Message, root: &Root, outgoing: &Outgoing) -> NewMessage {
    let rows: Vec<&RegistrationRow> = outgoing.recipients.iter().chain([&outgoing.sender]).collect();
    columns(message, root, &|address| {
        rows.iter().find(|row| row.address == address).map(|row| row.registration_id.clone())
    })
}

/// A message in the contract's columns; `registration` gives that of an address.
pub(super) fn columns(message: &Message, root: &Root, registration: &dyn Fn(&str) -> Option<String>) -> NewMessage {
    let head = &message.head;
    let end = |principal: &Principal, delivered: bool| End {
        principal_id: principal.principal_id.clone(),
        address: principal.address.to_string(),
        display_name: principal.display_name.clone(),
        manifest_path_hint: principal.manifest_path_hint.clone(),
        role: principal.role.clone(),
        registration_id: delivered.then(|| registration(principal.address.as_str())).flatten(),
    };
    let of_kind = |kind: RecipientKind, ends: &[Principal]| {
        ends.iter().map(|one| (kind, end(one, kind != RecipientKind::ReplyTo))).collect::<Vec<_>>()
    };
    let recipients = [
        of_kind(RecipientKind::To, &head.to),
        of_kind(RecipientKind::Cc, &head.cc),
        of_kind(RecipientKind::ReplyTo, &head.reply_to),
    ];
    let files = head.attachments.iter().map(|file| FileRow {
        attachment_id: file.attachment_id.clone(),
        kind: file.kind.as_str(),
        locator: file.path.clone(),
        media_type: file.media_type.clone(),
        sha256: file.sha256.clone(),
        size_bytes: file.size_bytes,
        label: file.label.clone(),
    });
    let canonical =
        root.path().join("messages").join(day_of(&head.message_id)).join(file_name(head.message_id.as_str()));
    NewMessage {
        message_id: head.message_id.to_string(),
        thread_id: head.thread_id.to_string(),
        in_reply_to: head.in_reply_to.as_ref().map(ToString::to_string),
        created_at_utc: head.created_at_utc.clone(),
        canonical_path: canonical.to_string_lossy().into_owned(),
        subject: head.subject.clone(),
        body: message.body.clone(),
        headers_json: serde_json::to_string(&head.headers).unwrap_or_else(|_| "{}".to_owned()),
        sender: end(&head.from, true),
        recipients: recipients.concat(),
        files: files.collect(),
        view: message.view(false),
    }
}

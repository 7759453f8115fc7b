//! Mending a mailbox root: the index again from the files, links again from the index, and what dead programs left.
//!
//! A message counts as delivered when the index has it, a mailbox knows about it, or a link to it is visible. All three
//! come behind the one transaction that delivers, so a message without any of them was seen by nobody and stays so.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::{Deserialize, Serialize};

use super::{
    deliver::columns,
    found::{Found, look_at_mailboxes, read_messages},
    root::{FOLDERS, Root, day_of, file_name},
    spool::{Spool, link_path, show},
};
use crate::{
    api::MailboxKind,
    mail::{MailError, message::Message},
    model::{Address, BoxName, MessageId},
    os::{
        clock, files,
        folder::{Folder, Kind},
    },
    store::mail::{Delivery, Index, MailStoreError, Place, RegistrationRow, Seed, Status},
};

/// What becomes of unfinished files of other programs in `staging/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Staging {
    /// They stay.
    Keep,
    /// They are put into a folder of their own.
    #[default]
    Quarantine,
    /// They are removed.
    Remove,
}

/// What was found and done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// Messages in the index now.
    pub messages: u64,
    /// Messages that were added to it from their files.
    pub indexed: usize,
    /// Messages whose file says something else than the index did.
    pub updated: usize,
    /// Mailboxes that were registered again from their files.
    pub registered: usize,
    /// Links that were made or removed.
    pub links: usize,
    /// Messages that nobody has: their senders died, and were told nothing.
    pub undelivered: Vec<String>,
    /// Name of the damaged index, which was put aside.
    pub set_aside: Option<String>,
    /// Names in `staging/` that were put away.
    pub staging: Vec<String>,
    /// What was left as it is, and why.
    pub problems: Vec<String>,
}

/// A left-over of another program must be so old: a younger one may be its work of this moment.
const LEFT_OVER_SECONDS: u64 = 60;

/// Name of an index that is being made again.
const NEW_INDEX: &str = "index.sqlite.rebuilding";

/// The files of a database, itself last.
pub(super) const SIDE_FILES: [&str; 3] = ["-wal", "-shm", ""];

/// How many messages one transaction takes.
const BATCH: usize = 500;

/// The note that a mailbox's own file has about its registration.
#[derive(Debug, Deserialize)]
struct Note {
    registration_id: String,
    address: String,
    owner_principal_id: String,
    display_name: Option<String>,
    manifest_path_hint: Option<String>,
    role: Option<String>,
    created_at_utc: String,
    #[serde(default)]
    inactive: bool,
}

/// Mends a root. Nobody else reads or writes mail meanwhile.
///
/// # Errors
/// [`MailError`] where nothing could be mended. What could not be mended alone is in [`Repair::problems`].
pub fn repair(path: &Path, staging: Staging) -> Result<Repair, MailError> {
    let mut report = Repair::default();
    let root = open_root(path, &mut report)?;
    let names = root.mailboxes()?.names()?;
    let addresses: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| name.parse::<Address>().is_ok()).collect();
    let _locks = root.lock(&addresses)?;
    let (index, is_new) = open_index(&root, &mut report)?;
    let messages = read_messages(&root, &mut report)?;
    let mut spool = Spool::of(root, index);
    if is_new {
        register_again(&mut spool, &messages, &mut report)?;
    }
    let found = look_at_mailboxes(&mut spool, &mut report)?;
    index_messages(&mut spool, &messages, &found, &mut report)?;
    for mailbox in &found {
        spool.mirror(&mailbox.row)?;
    }
    spool.recover(true)?;
    mend_links(&spool, &found, &mut report)?;
    clear_staging(&spool.root, staging, &mut report)?;
    spool.index.recount()?;
    report.messages = spool.index.count()?;
    if is_new {
        put_in_place(spool)?;
    }
    Ok(report)
}

/// A new index gets its name when it is whole: half of one would look like lost mail.
fn put_in_place(spool: Spool) -> Result<(), MailError> {
    // Closing it moves its log into it.
    let Spool { root, index, .. } = spool;
    drop(index);
    if root.folder().kind(&format!("{NEW_INDEX}-wal"))? != Kind::Missing {
        return Err(MailError::Unavailable("somebody reads the new index already".to_owned()));
    }
    root.folder().rename(NEW_INDEX, root.folder(), "index.sqlite")?;
    Ok(root.folder().sync()?)
}

/// Opens the root; one that lost its protocol file and is a mailbox root by everything else gets it again.
fn open_root(path: &Path, report: &mut Repair) -> Result<Root, MailError> {
    // What else is wrong with the folder is said by opening it.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if let Ok(folder) = Folder::open(&real) {
        let is_root = ["messages", "mailboxes"].iter().all(|name| matches!(folder.kind(name), Ok(Kind::Folder)));
        if is_root && folder.kind("protocol-version.txt")? == Kind::Missing {
            folder.write_new("protocol-version.txt", b"3\n")?;
            report.problems.push("`protocol-version.txt` was missing and was written again".to_owned());
        }
    }
    let root = Root::open(path)?;
    root.make_folders()?;
    Ok(root)
}

/// The index, or a new one in the place of one that is missing or damaged.
fn open_index(root: &Root, report: &mut Repair) -> Result<(Index, bool), MailError> {
    let path = root.index_path();
    let opened = Index::open(&path).and_then(|index| index.check_pages().map(|()| index));
    match opened {
        Ok(index) => return Ok((index, false)),
        Err(MailStoreError::Missing { .. }) => {}
        Err(error @ MailStoreError::Damaged { .. }) if root.folder().kind("index.sqlite")? == Kind::Plain => {
            let name = format!("index.sqlite.damaged-{}", clock::now().compact());
            // The log first: left beside a fresh file it would be taken for that one's.
            for ending in SIDE_FILES {
                let from = format!("index.sqlite{ending}");
                if root.folder().kind(&from)? != Kind::Missing {
                    root.folder().rename(&from, root.folder(), &format!("{name}{ending}"))?;
                }
            }
            report.problems.push(error.to_string());
            report.set_aside = Some(name);
        }
        Err(error) => return Err(error.into()),
    }
    for ending in SIDE_FILES {
        // Of somebody who died at this.
        root.folder().remove(&format!("{NEW_INDEX}{ending}"))?;
    }
    Ok((Index::create(&root.path().join(NEW_INDEX))?, true))
}

/// Registrations again from the mailboxes that are there: their own notes, or who the messages say.
fn register_again(
    spool: &mut Spool,
    messages: &BTreeMap<MessageId, Message>,
    report: &mut Repair,
) -> Result<(), MailError> {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for message in messages.values() {
        for end in message.recipients().into_iter().chain([&message.head.from]) {
            owners.insert(end.address.as_str(), &end.principal_id);
        }
    }
    let mailboxes = spool.root.mailboxes()?;
    for name in mailboxes.names()? {
        let (address, stashed) = match name.split_once("--reg-") {
            Some((address, _)) => (address, true),
            None => (name.as_str(), false),
        };
        let kind = mailboxes.kind(&name)?;
        if address.parse::<Address>().is_err() || kind != Kind::Folder {
            let what = if kind == Kind::Link {
                "is a link; register it again with `--mailbox-folder`"
            } else {
                "is no mailbox"
            };
            report.problems.push(format!("`mailboxes/{}` {what}", name.escape_debug()));
            continue;
        }
        let entry = mailboxes.path().join(&name).to_string_lossy().into_owned();
        let mut row = RegistrationRow {
            registration_id: match name.split_once("--") {
                Some((_, id)) => id.to_owned(),
                None => format!("reg-{}", uuid::Uuid::new_v4().simple()),
            },
            address: address.to_owned(),
            owner_principal_id: owners.get(address).map_or_else(|| address.to_owned(), |owner| (*owner).to_owned()),
            status: if stashed { Status::Stashed } else { Status::Active },
            kind: MailboxKind::InRoot,
            mailbox_path: entry.clone(),
            mailbox_entry_path: entry,
            display_name: None,
            manifest_path_hint: None,
            role: None,
            created_at_utc: "1970-01-01T00:00:00Z".to_owned(),
            deactivated_at_utc: None,
            replaced_by_registration_id: None,
        };
        let note = spool.local(&row).and_then(|local| Ok(local.note()?));
        spool.forget(&row.registration_id);
        match note {
            Ok(Some(text)) => match serde_json::from_str::<Note>(&text) {
                Ok(note) if note.address == address => {
                    row.registration_id = note.registration_id;
                    row.owner_principal_id = note.owner_principal_id;
                    (row.display_name, row.manifest_path_hint) = (note.display_name, note.manifest_path_hint);
                    (row.role, row.created_at_utc) = (note.role, note.created_at_utc);
                    if note.inactive && !stashed {
                        row.status = Status::Inactive;
                    }
                }
                _ => report.problems.push(format!("what `mailboxes/{name}` says about its owner cannot be read")),
            },
            Ok(None) => {}
            Err(error) => {
                report.problems.push(error.to_string());
                continue;
            }
        }
        spool.index.put_registrations(&[row], None)?;
        report.registered += 1;
    }
    super::register::ensure_operator(spool)
}

/// Adds what the index lacks, and takes over what was edited.
fn index_messages(
    spool: &mut Spool,
    messages: &BTreeMap<MessageId, Message>,
    found: &[Found],
    report: &mut Repair,
) -> Result<(), MailError> {
    let mut batch = Vec::new();
    for (id, message) in messages {
        if let Some(body) = spool.index.body(id.as_str())? {
            let entry = columns(message, &spool.root, &|_| None);
            if body != message.body || spool.index.subject(id.as_str())?.as_deref() != Some(&message.head.subject) {
                spool.index.replace_content(&entry)?;
                report.updated += 1;
            }
            continue;
        }
        match delivery_of(spool, message, found) {
            Some(delivery) => batch.push(delivery),
            None => report.undelivered.push(id.to_string()),
        }
        if batch.len() >= BATCH {
            report.indexed += batch.len();
            spool.index.deliver_all(&std::mem::take(&mut batch))?;
        }
    }
    report.indexed += batch.len();
    Ok(spool.index.deliver_all(&batch)?)
}

/// Who has a message, if anybody has it.
fn delivery_of(spool: &Spool, message: &Message, found: &[Found]) -> Option<Delivery> {
    let id = message.head.message_id.as_str();
    let has = |mailbox: &Found| mailbox.states.contains_key(id) || mailbox.links.contains_key(id);
    if !found.iter().any(has) {
        return None;
    }
    let sender = message.head.from.address.as_str();
    let recipients = message.recipients();
    let is_for = |row: &RegistrationRow| recipients.iter().any(|end| end.address.as_str() == row.address);
    let (mut places, mut seeds, mut owners) = (Vec::new(), Vec::new(), BTreeMap::new());
    for mailbox in found {
        let row = &mailbox.row;
        // Who came later does not get what was sent to somebody before.
        let gets = row.status == Status::Active && row.created_at_utc <= message.head.created_at_utc;
        let (is_sender, is_recipient) = (row.address == sender, is_for(row));
        if !(has(mailbox) || gets && (is_sender || is_recipient)) {
            continue;
        }
        let state = mailbox.states.get(id);
        let default = if is_sender && !is_recipient { BoxName::SENT } else { BoxName::INBOX };
        let linked = mailbox.links.get(id);
        let folder = match (state, linked) {
            (Some(state), _) => state.box_name.clone(),
            (None, Some(folders)) if !folders.contains(default) => folders.first().cloned().unwrap_or_default(),
            _ => default.to_owned(),
        };
        let mut folders = BTreeSet::from([folder.clone()]);
        if is_sender && is_recipient {
            folders.insert(BoxName::SENT.to_owned());
        }
        places.extend(folders.into_iter().map(|folder| Place {
            registration_id: row.registration_id.clone(),
            path: link_path(&mailbox.path, &folder, id),
            folder,
        }));
        seeds.push(Seed {
            registration_id: row.registration_id.clone(),
            is_read: state.map_or(default == BoxName::SENT, |state| state.is_read),
            is_answered: state.is_some_and(|state| state.is_answered),
            is_archived: state.map_or(folder == BoxName::ARCHIVE, |state| state.is_archived),
            folder,
        });
        owners.insert(row.address.clone(), row.registration_id.clone());
    }
    let message = columns(message, &spool.root, &|address| owners.get(address).cloned());
    Some(Delivery { message, places, seeds, key: None, mirrors: Vec::new(), answered: None })
}

/// Links as the index says: missing ones are made, those in wrong folders go.
fn mend_links(spool: &Spool, found: &[Found], report: &mut Repair) -> Result<(), MailError> {
    for mailbox in found {
        mend_links_of(spool, mailbox, report)?;
    }
    // The ids of a day come one after the other.
    let mut open: Option<(String, Option<Folder>)> = None;
    for id in spool.index.ids()? {
        let Ok(message) = id.parse::<MessageId>() else { continue };
        let day = day_of(&message);
        if open.as_ref().is_none_or(|(name, _)| *name != day) {
            open = Some((day, spool.root.day(&message).ok()));
        }
        let folder = open.as_ref().and_then(|(_, folder)| folder.as_ref());
        let is_there = folder.is_some_and(|day| matches!(day.kind(&file_name(&id)), Ok(Kind::Plain)));
        if !is_there {
            report.problems.push(format!("the file of message {id} is gone, and repair cannot write it again: `agents mail read` fails; its text is \
                 still in `index.sqlite`, in `body_markdown` of the table `messages`"));
        }
    }
    Ok(())
}

fn mend_links_of(spool: &Spool, mailbox: &Found, report: &mut Repair) -> Result<(), MailError> {
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (message, folder) in spool.index.all_places(&mailbox.row.registration_id)? {
        wanted.entry(message).or_default().insert(folder);
    }
    let folder = spool.root.mailbox(&mailbox.row)?;
    let mut open: BTreeMap<String, Folder> = BTreeMap::new();
    for name in wanted.values().flatten().chain(mailbox.links.values().flatten()) {
        if !open.contains_key(name) {
            open.insert(name.clone(), folder.make(name)?);
        }
    }
    let none = BTreeSet::new();
    for (message, folders) in &wanted {
        let there = mailbox.links.get(message).unwrap_or(&none);
        let Ok(id) = message.parse::<MessageId>() else { continue };
        // A new one first: at no moment has a message no link.
        for name in folders.difference(there) {
            show(&open[name], message, &spool.root.canonical(&id))?;
            report.links += 1;
        }
        for name in there.difference(folders) {
            open[name].remove(&file_name(message))?;
            report.links += 1;
        }
    }
    for (message, folders) in mailbox.links.iter().filter(|(message, _)| !wanted.contains_key(*message)) {
        let file = message.parse::<MessageId>().map(|id| spool.root.canonical(&id));
        if file.is_ok_and(|file| files::inode(&file).is_none()) {
            // Neither the index nor a file has it: the link leads to nothing for ever.
            for name in folders {
                open[name].remove(&file_name(message))?;
                report.links += 1;
            }
            continue;
        }
        report.problems.push(format!("{} has a link to message {message}, which cannot be used", mailbox.row.address));
    }
    // Whose sender died: what belonged to an intent is finished or gone by now.
    for name in FOLDERS {
        let Ok(open) = folder.child(name) else { continue };
        for hidden in open.names()?.iter().filter(|name| name.starts_with(".msg-") && name.ends_with(".md.part")) {
            open.remove(hidden)?;
            report.links += 1;
        }
    }
    Ok(())
}

fn clear_staging(root: &Root, wish: Staging, report: &mut Repair) -> Result<(), MailError> {
    if wish == Staging::Keep {
        return Ok(());
    }
    let staging = root.staging()?;
    let quarantine = format!("quarantine-{}", clock::now().compact());
    for name in staging.names()? {
        let is_old = files::age(&staging.path().join(&name)).is_some_and(|age| age.as_secs() >= LEFT_OVER_SECONDS);
        // What was ours is finished by now, so one that still has our name is not.
        if name.starts_with("quarantine-") || !is_old {
            continue;
        }
        match wish {
            Staging::Remove => staging.remove_all(&name)?,
            _ => staging.rename(&name, &staging.make(&quarantine)?, &name)?,
        }
        report.staging.push(name);
    }
    Ok(())
}

//! What the files of a mailbox root say, for mending it: messages, and what each mailbox knows and shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use super::{
    register::{ensure_operator, make_mailbox},
    repair::{Repair, SIDE_FILES},
    root::{FOLDERS, Root, in_words, stash_name},
    spool::Spool,
};
use crate::{
    mail::{MailError, message::Message},
    model::MessageId,
    os::{
        clock,
        folder::{Folder, Kind},
    },
    store::mail::{RegistrationRow, StateRow, Status},
};

/// One mailbox, as its files have it.
pub(super) struct Found {
    pub(super) row: RegistrationRow,
    /// Its folder, without links.
    pub(super) path: PathBuf,
    pub(super) states: BTreeMap<String, StateRow>,
    /// Visible links: message to folders.
    pub(super) links: BTreeMap<String, BTreeSet<String>>,
}

/// Every message file that can be read.
pub(super) fn read_messages(root: &Root, report: &mut Repair) -> Result<BTreeMap<MessageId, Message>, MailError> {
    let mut messages = BTreeMap::new();
    let days = root.folder().child("messages")?;
    for day in days.names()? {
        let Ok(folder) = days.child(&day) else {
            report.problems.push(format!("`messages/{}` is no folder", day.escape_debug()));
            continue;
        };
        for name in folder.names()? {
            let Some(id) = name.strip_suffix(".md").and_then(|id| id.parse::<MessageId>().ok()) else {
                report.problems.push(format!("`messages/{day}/{}` is no message", name.escape_debug()));
                continue;
            };
            match root.message(&id) {
                Ok(message) => drop(messages.insert(id, message)),
                Err(error) => report.problems.push(error.to_string()),
            }
        }
    }
    Ok(messages)
}

/// What the mailboxes know and show. One that cannot be used is a problem of its own.
pub(super) fn look_at_mailboxes(spool: &mut Spool, report: &mut Repair) -> Result<Vec<Found>, MailError> {
    ensure_operator(spool)?;
    let rows = spool.index.registrations()?;
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for row in rows {
        let name = Root::entry_name(&row);
        // Replaced or purged: its folder is another one's now, or gone.
        let is_in_place = row.status != Status::Inactive || !known.contains(&name);
        if !is_in_place || (row.status == Status::Inactive && spool.root.mailboxes()?.kind(&name)? == Kind::Missing) {
            continue;
        }
        known.insert(name.clone());
        match look_at(spool, &row, report) {
            Ok(mailbox) => found.push(mailbox),
            Err(error) => report.problems.push(error.to_string()),
        }
    }
    for name in spool.root.mailboxes()?.names()? {
        if !known.contains(&name) {
            report.problems.push(format!("`mailboxes/{}` belongs to no registration", name.escape_debug()));
        }
    }
    Ok(found)
}

fn look_at(spool: &mut Spool, row: &RegistrationRow, report: &mut Repair) -> Result<Found, MailError> {
    let mailboxes = spool.root.mailboxes()?;
    let name = Root::entry_name(row);
    if mailboxes.kind(&name)? == Kind::Missing
        && row.status == Status::Stashed
        && mailboxes.kind(&row.address)? != Kind::Missing
    {
        report.problems.push(format!("the parked mailbox of {} is not where it was put", row.address));
    }
    if mailboxes.kind(&name)? == Kind::Missing && row.status == Status::Active {
        let parked = stash_name(&row.address, &row.registration_id);
        if mailboxes.kind(&parked)? == Kind::Missing {
            make_mailbox(spool, row)?;
            report.problems.push(format!("the mailbox of {} was missing and was made again", row.address));
        } else {
            // Somebody died while parking it.
            mailboxes.rename(&parked, &mailboxes, &row.address)?;
        }
    }
    let folder = spool.root.mailbox(row)?;
    mend_folders(spool, row, &folder, report)?;
    let checked = spool.local(row).and_then(|local| Ok(local.check_pages()?));
    if let Err(MailError::Damaged(why)) = &checked {
        set_local_aside(spool, row, &folder)?;
        report.problems.push(format!("{why}; it was put aside, and a new one has what the index knew"));
    } else {
        checked?;
    }
    let states = spool.local(row)?.states()?.into_iter().map(|state| (state.message_id.clone(), state)).collect();
    let mut links: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sub in folder.names()? {
        if folder.kind(&sub)? != Kind::Folder {
            continue;
        }
        let open = folder.child(&sub)?;
        for name in open.names()? {
            if let Some(id) = name.strip_suffix(".md")
                && id.parse::<MessageId>().is_ok()
                && open.kind(&name)? == Kind::Link
            {
                links.entry(id.to_owned()).or_default().insert(sub.clone());
            }
        }
    }
    Ok(Found { row: row.clone(), path: folder.path().to_owned(), states, links })
}

/// Puts aside, unopened, what stands where a folder has to be, and makes the folder.
fn mend_folders(spool: &Spool, row: &RegistrationRow, folder: &Folder, report: &mut Repair) -> Result<(), MailError> {
    let used = spool.index.all_places(&row.registration_id)?.into_iter().map(|(_, name)| name);
    let names: BTreeSet<String> = FOLDERS.iter().map(|name| (*name).to_owned()).chain(used).collect();
    for name in names {
        let kind = folder.kind(&name)?;
        if kind == Kind::Folder {
            continue;
        }
        if kind != Kind::Missing {
            let aside = format!("{name}.wrong-{}", clock::now().compact());
            folder.rename(&name, folder, &aside)?;
            report.problems.push(format!(
                "`{}` was {}, not a folder; it was put aside as `{}`, and the folder was made again",
                folder.path().join(&name).display(),
                in_words(kind),
                aside.escape_debug()
            ));
        }
        folder.make(&name)?;
    }
    Ok(())
}

fn set_local_aside(spool: &mut Spool, row: &RegistrationRow, folder: &Folder) -> Result<(), MailError> {
    spool.forget(&row.registration_id);
    let name = format!("mailbox.sqlite.damaged-{}", clock::now().compact());
    for ending in SIDE_FILES {
        let from = format!("mailbox.sqlite{ending}");
        if folder.kind(&from)? != Kind::Missing {
            folder.rename(&from, folder, &format!("{name}{ending}"))?;
        }
    }
    make_mailbox(spool, row)
}

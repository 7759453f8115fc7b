//! An open mailbox root: its index, the files of the mailboxes that were needed, and the ways to make them agree.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::root::{FOLDERS, Locks, Root, file_name, hidden_name};
use crate::{
    mail::MailError,
    model::MessageId,
    os::folder::{Folder, Kind},
    store::mail::{Index, Local, MailStoreError, RegistrationRow, Status},
};

/// How many mailboxes' own files stay open.
const OPEN_FILES: usize = 32;

/// Begins the names of our own files in `staging/`. What other programs leave there is theirs.
pub(super) const OURS: &str = "agents-";

/// An open root.
#[derive(Debug)]
pub(super) struct Spool {
    pub(super) root: Root,
    pub(super) index: Index,
    locals: BTreeMap<String, Local>,
}

/// Which messages of which mailbox are being moved, for whoever finds that the mover died.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MoveIntent {
    pub(super) registration_id: String,
    pub(super) message_ids: Vec<String>,
}

impl Spool {
    /// Opens a root that is there.
    pub(super) fn open(path: &Path) -> Result<Self, MailError> {
        let root = Root::open(path)?;
        let index = match Index::open(&root.index_path()) {
            Err(MailStoreError::Missing { path }) => {
                return Err(MailError::Damaged(format!("the index `{}` is missing", path.display())));
            }
            opened => opened?,
        };
        Ok(Self::of(root, index))
    }

    pub(super) fn of(root: Root, index: Index) -> Self {
        Self { root, index, locals: BTreeMap::new() }
    }

    /// Are the files that are open still those of the root?
    pub(super) fn is_current(&self) -> bool {
        self.index.is_current()
    }

    /// Takes the locks of these addresses and of the index.
    pub(super) fn lock(&self, addresses: &[&str]) -> Result<Locks, MailError> {
        let locks = self.root.lock(addresses)?;
        if self.index.is_current() {
            return Ok(locks);
        }
        Err(MailError::Unavailable("the index was replaced just now".to_owned()))
    }

    /// The registration that gets an address's mail.
    pub(super) fn active(&self, address: &str) -> Result<Option<RegistrationRow>, MailError> {
        Ok(self.index.active(address)?)
    }

    /// A mailbox's own file.
    pub(super) fn local(&mut self, row: &RegistrationRow) -> Result<&mut Local, MailError> {
        let id = &row.registration_id;
        // The folder is looked at each time: it may have been replaced.
        let folder = self.root.mailbox(row)?;
        if self.locals.get(id).is_none_or(|local| !local.is_current()) {
            if self.locals.len() >= OPEN_FILES {
                self.locals.pop_first();
            }
            self.locals.insert(id.clone(), Local::open(&folder.path().join("mailbox.sqlite"))?);
        }
        self.locals.get_mut(id).ok_or_else(|| MailError::Unavailable("a mailbox could not be opened".to_owned()))
    }

    /// Closes a mailbox's own file.
    pub(super) fn forget(&mut self, registration: &str) {
        self.locals.remove(registration);
    }

    /// Makes the index say what a mailbox's own file says, if it does not. `locked` says that the caller has the locks.
    pub(super) fn agree(&mut self, row: &RegistrationRow, locked: bool) -> Result<(), MailError> {
        if self.agrees(row)? {
            return Ok(());
        }
        if locked {
            return self.mirror(row);
        }
        // Somebody alive is between the two files, and has not been answered yet: what the index says is as true as what
        // it says in a moment. A reader does not wait for that.
        let Some(locks) = self.root.try_lock()? else { return Ok(()) };
        if !self.agrees(row)? {
            self.mirror(row)?;
        }
        drop(locks);
        Ok(())
    }

    fn agrees(&mut self, row: &RegistrationRow) -> Result<bool, MailError> {
        let version = self.local(row)?.version()?;
        Ok(self.index.mirrored(&row.registration_id)?.is_some_and(|mirrored| mirrored == version))
    }

    /// Mirrors a mailbox's own file in the index, after what the index alone has was added to it.
    pub(super) fn mirror(&mut self, row: &RegistrationRow) -> Result<(), MailError> {
        let id = row.registration_id.clone();
        let known = self.index.arrivals(&id)?;
        let local = self.local(row)?;
        local.add(&known, None)?;
        // Nobody of ours changes it meanwhile: the locks are held. Another program's change is a newer version.
        let version = local.version()?;
        let states = local.states()?;
        let base = self.root.mailbox(row)?.path().to_owned();
        self.index.mirror(&id, &states, &version, |message, folder| link_path(&base, folder, message))?;
        let boxes: BTreeMap<&str, &str> =
            known.iter().map(|one| (one.state.message_id.as_str(), one.state.box_name.as_str())).collect();
        for state in &states {
            if boxes.get(state.message_id.as_str()).is_some_and(|old| *old != state.box_name) {
                self.tidy(row, &state.message_id)?;
            }
        }
        tracing::info!(address = row.address, "took over what a mailbox knows about its messages");
        Ok(())
    }

    /// Finishes or takes back what dead ones of ours left, if there is any. The caller may or may not have the locks.
    pub(super) fn recover(&mut self, locked: bool) -> Result<(), MailError> {
        if self.left_over()?.is_empty() {
            return Ok(());
        }
        let locks = if locked { None } else { self.root.try_lock()? };
        if !locked && locks.is_none() {
            // Held: somebody alive works, and what lies there is theirs.
            return Ok(());
        }
        for name in self.left_over()? {
            self.recover_one(&name)?;
        }
        drop(locks);
        Ok(())
    }

    fn left_over(&self) -> Result<Vec<String>, MailError> {
        Ok(self.root.staging()?.names()?.into_iter().filter(|name| name.starts_with(OURS)).collect())
    }

    fn recover_one(&mut self, name: &str) -> Result<(), MailError> {
        let rest = &name[OURS.len()..];
        if let Some(id) = rest.strip_suffix(".md").and_then(|id| id.parse::<MessageId>().ok()) {
            let delivered = self.index.has_message(id.as_str())?;
            tracing::warn!(message = id.as_str(), delivered, "a sender died; its message is finished or taken back");
            return if delivered { self.finish(&id) } else { self.take_back(&id) };
        }
        if rest.strip_suffix(".move").is_some() {
            let staging = self.root.staging()?;
            let intent = staging.read(name, 1024 * 1024 * 16)?;
            if let Ok(intent) = serde_json::from_slice::<MoveIntent>(&intent)
                && let Some(row) = self.registration(&intent.registration_id)?
            {
                self.agree(&row, true)?;
                for id in &intent.message_ids {
                    self.tidy(&row, id)?;
                }
            }
            staging.remove(name)?;
            return Ok(());
        }
        if let Some(registration) = rest.strip_prefix("purged-") {
            return self.recover_purge(name, registration);
        }
        Ok(())
    }

    pub(super) fn registration(&self, id: &str) -> Result<Option<RegistrationRow>, MailError> {
        Ok(self.index.registration(id)?)
    }

    /// A mailbox was on its way out: back in its place if it is still registered, gone if not.
    fn recover_purge(&mut self, name: &str, registration: &str) -> Result<(), MailError> {
        let staging = self.root.staging()?;
        let row = self.registration(registration)?;
        if let Some(row) = row.filter(|row| row.status == Status::Active) {
            let mailboxes = self.root.mailboxes()?;
            if mailboxes.kind(&row.address)? == Kind::Missing {
                return Ok(staging.rename(name, &mailboxes, &row.address)?);
            }
        }
        Ok(staging.remove_all(name)?)
    }

    /// What follows once a message is in the index: its links, the mailboxes' own files, and the end of its intent.
    pub(super) fn finish(&mut self, id: &MessageId) -> Result<(), MailError> {
        let canonical = self.root.canonical(id);
        let mut registrations: Vec<String> = Vec::new();
        for place in self.index.places(id.as_str())? {
            let Some(row) = self.registration(&place.registration_id)? else { continue };
            let folder = self.root.mailbox(&row)?.make(&place.folder)?;
            show(&folder, id.as_str(), &canonical)?;
            if !registrations.contains(&place.registration_id) {
                registrations.push(place.registration_id);
            }
        }
        let answered = self.index.answered_by(id.as_str())?;
        for registration in registrations {
            let Some(row) = self.registration(&registration)? else { continue };
            let Some(arrival) = self.index.arrival(&registration, id.as_str())? else { continue };
            let parent = answered.as_ref().filter(|(sender, _)| *sender == registration).map(|(_, parent)| parent);
            self.local(&row)?.add(&[arrival], parent.map(String::as_str))?;
        }
        Ok(self.root.staging()?.remove(&staged_name(id))?)
    }

    /// Takes back a message that never got into the index: nobody has seen it.
    pub(super) fn take_back(&mut self, id: &MessageId) -> Result<(), MailError> {
        for row in self.index.registrations()? {
            if row.status != Status::Active {
                continue;
            }
            // A mailbox that cannot be reached got no link.
            let Ok(mailbox) = self.root.mailbox(&row) else { continue };
            for folder in FOLDERS {
                if let Ok(folder) = mailbox.child(folder) {
                    folder.remove(&hidden_name(id.as_str()))?;
                }
            }
        }
        let staging = self.root.staging()?;
        let (staged, name) = (staged_name(id), file_name(id.as_str()));
        if let Ok(day) = self.root.day(id)
            && day.is_same(&name, &staging, &staged)
        {
            day.remove(&name)?;
        }
        Ok(staging.remove(&staged)?)
    }

    /// Makes the links of a message in a mailbox those that the index says.
    pub(super) fn tidy(&self, row: &RegistrationRow, id: &str) -> Result<(), MailError> {
        let Ok(message) = id.parse::<MessageId>() else { return Ok(()) };
        let places = self.index.places(id)?;
        let is_wanted = |folder: &str| {
            places.iter().any(|place| place.registration_id == row.registration_id && place.folder == folder)
        };
        let mailbox = self.root.mailbox(row)?;
        let (canonical, name) = (self.root.canonical(&message), file_name(id));
        for place in places.iter().filter(|place| place.registration_id == row.registration_id) {
            show(&mailbox.make(&place.folder)?, id, &canonical)?;
        }
        for folder in mailbox.names()? {
            if is_wanted(&folder) || mailbox.kind(&folder)? != Kind::Folder {
                continue;
            }
            let folder = mailbox.child(&folder)?;
            for name in [&name, &hidden_name(id)] {
                if folder.kind(name)? == Kind::Link {
                    folder.remove(name)?;
                }
            }
        }
        Ok(())
    }
}

/// Makes a message's link visible in a folder.
pub(super) fn show(folder: &Folder, id: &str, canonical: &Path) -> Result<(), MailError> {
    let (hidden, name) = (hidden_name(id), file_name(id));
    match folder.kind(&hidden)? {
        // A watcher hears of it now, when the index has it.
        Kind::Link => Ok(folder.rename(&hidden, folder, &name)?),
        _ => Ok(folder.link_to(&name, canonical)?),
    }
}

/// Name of a message in `staging/`, until it is wholly delivered.
pub(super) fn staged_name(id: &MessageId) -> String {
    format!("{OURS}{id}.md")
}

/// Path of a message's link.
pub(super) fn link_path(mailbox: &Path, folder: &str, id: &str) -> String {
    mailbox.join(folder).join(file_name(id)).to_string_lossy().into_owned()
}

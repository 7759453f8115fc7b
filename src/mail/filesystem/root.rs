//! A mailbox root: where everything is, and the proof that it is one.

use std::path::{Path, PathBuf};

use crate::{
    api::MailboxKind,
    mail::{MailError, message},
    model::{Address, MessageId},
    os::{
        files::FileError,
        folder::{Folder, Kind},
        lock::{NamedLock, NamedLocks},
    },
    store::mail::{RegistrationRow, Status},
};

use std::time::Duration;

/// Content of `protocol-version.txt`.
const PROTOCOL: &str = "3\n";

/// How long a lock is waited for: longer than [`FOREIGN`], so that a lock file that a dead program left delays one
/// command and does not fail it.
const PATIENCE: Duration = Duration::from_secs(10);

/// After so long a lock file of another program counts as left by a dead one. The contract's own programs wait five
/// seconds for each other, and their work takes milliseconds.
const FOREIGN: Duration = Duration::from_secs(5);

/// Folders that every mailbox has.
pub(super) const FOLDERS: [&str; 4] = ["inbox", "sent", "archive", "drafts"];

/// A mailbox root, held by its descriptor.
#[derive(Debug)]
pub(super) struct Root {
    folder: Folder,
}

/// Locks of some addresses and of the index, held until dropped.
#[derive(Debug)]
pub(super) struct Locks {
    _held: Vec<NamedLock>,
}

/// Locks that are wanted; none of them is held.
#[derive(Debug)]
pub(super) struct Waiting {
    locks: NamedLocks,
}

impl Waiting {
    /// Takes all of them if they are free right now.
    pub(super) fn try_take(&mut self) -> Result<Option<Locks>, MailError> {
        match self.locks.try_take()? {
            Some(held) => Ok(Some(Locks { _held: held })),
            None if self.locks.waited() < PATIENCE => Ok(None),
            None => Err(self.late()),
        }
    }

    /// Takes all of them, waiting on this thread.
    pub(super) fn take(&mut self) -> Result<Locks, MailError> {
        let held = self.locks.take_within(PATIENCE)?;
        held.map(|held| Locks { _held: held }).ok_or_else(|| self.late())
    }

    /// When to try again.
    pub(super) fn pause(&self) -> Duration {
        self.locks.pause()
    }

    fn late(&self) -> MailError {
        let (path, seconds) = (self.locks.held().display(), PATIENCE.as_secs());
        MailError::Unavailable(format!("another program has kept `{path}` for {seconds} seconds"))
    }
}

impl Root {
    /// Opens a root that is there.
    pub(super) fn open(path: &Path) -> Result<Self, MailError> {
        // Its parents may be links, as a home often is. SQLite refuses links anywhere in a path.
        let real = path.canonicalize().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                MailError::NotRegistered(format!("there is no mailbox root at `{}`", path.display()))
            }
            _ => {
                let why = format!("the mailbox root `{}` cannot be reached: {error}", path.display());
                if super::passes(&error) { MailError::Unavailable(why) } else { MailError::Invalid(why) }
            }
        })?;
        let folder = Folder::open(&real)?;
        match folder.read("protocol-version.txt", 64) {
            Ok(found) if found.trim_ascii() == PROTOCOL.trim().as_bytes() => Ok(Self { folder }),
            Ok(found) => Err(MailError::Damaged(format!(
                "`{}` has mail protocol `{}`; this program reads and writes 3",
                real.display(),
                String::from_utf8_lossy(&found).trim().escape_debug()
            ))),
            Err(FileError::Missing { .. }) => {
                Err(MailError::NotRegistered(format!("`{}` is not a mailbox root", real.display())))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes what is missing of a root. An existing folder with other things in it is refused.
    pub(super) fn create(path: &Path) -> Result<Self, MailError> {
        crate::os::files::create_private_dir(path)?;
        let folder = Folder::open(&path.canonicalize().unwrap_or_else(|_| path.to_owned()))?;
        if folder.kind("protocol-version.txt")? == Kind::Missing {
            if let Some(other) = folder.names()?.first() {
                return Err(MailError::Invalid(format!(
                    "`{}` is not a mailbox root and not empty (it has `{}`)",
                    path.display(),
                    other.escape_debug()
                )));
            }
            // The first of all, so that a root which was begun is known as one.
            folder.write_new("protocol-version.txt", PROTOCOL.as_bytes())?;
        }
        let root = Self::open(path)?;
        root.make_folders()?;
        Ok(root)
    }

    /// The folders of a root.
    pub(super) fn make_folders(&self) -> Result<(), MailError> {
        for name in ["messages", "mailboxes", "staging"] {
            self.folder.make(name)?;
        }
        self.folder.make("locks")?.make("addresses")?;
        self.folder.make("attachments")?.make("managed")?;
        let rules = self.folder.make("rules")?;
        for name in ["protocols", "scripts", "skills"] {
            rules.make(name)?;
        }
        if rules.kind("README.md")? == Kind::Missing {
            rules.write_new("README.md", README.as_bytes())?;
        }
        Ok(self.folder.sync()?)
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.path().join("index.sqlite")
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(super) fn staging(&self) -> Result<Folder, MailError> {
        Ok(self.folder.child("staging")?)
    }

    pub(super) fn mailboxes(&self) -> Result<Folder, MailError> {
        Ok(self.folder.child("mailboxes")?)
    }

    /// Takes the locks of these addresses and that of the index, waiting for them.
    pub(super) fn lock(&self, addresses: &[&str]) -> Result<Locks, MailError> {
        self.waiting(addresses)?.take()
    }

    /// The same, without taking anything yet.
    pub(super) fn waiting(&self, addresses: &[&str]) -> Result<Waiting, MailError> {
        let locks = self.folder.child("locks")?;
        let of_addresses = locks.child("addresses")?;
        let mut sorted = addresses.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let paths = sorted.iter().map(|address| of_addresses.path().join(format!("{address}.lock")));
        let paths = paths.chain([locks.path().join("index.lock")]).collect();
        Ok(Waiting { locks: NamedLocks::new(paths, FOREIGN) })
    }

    /// Takes the index's lock if nobody has it now.
    pub(super) fn try_lock(&self) -> Result<Option<Locks>, MailError> {
        let locks = self.folder.child("locks")?;
        let held = NamedLock::take_within(&locks.path().join("index.lock"), Duration::ZERO, FOREIGN)?;
        Ok(held.map(|lock| Locks { _held: vec![lock] }))
    }

    /// Name of a mailbox's entry in `mailboxes/`.
    pub(super) fn entry_name(row: &RegistrationRow) -> String {
        match row.status {
            Status::Stashed => stash_name(&row.address, &row.registration_id),
            _ => row.address.clone(),
        }
    }

    /// Opens the folder of a mailbox. A link in its place is followed only if it was registered as one, to where it was
    /// registered.
    pub(super) fn mailbox(&self, row: &RegistrationRow) -> Result<Folder, MailError> {
        if row.address.parse::<Address>().is_err() {
            return Err(MailError::Damaged(format!("`{}` in the index is no address", row.address.escape_debug())));
        }
        let (mailboxes, name) = (self.mailboxes()?, Self::entry_name(row));
        let wrong = |why: String| {
            MailError::Damaged(format!(
                "the mailbox of {} is not what was registered: {why}; nothing was read or written there",
                row.address
            ))
        };
        match row.kind {
            MailboxKind::InRoot => mailboxes.child(&name).map_err(|error| wrong(error.to_string())),
            MailboxKind::Symlink => {
                let registered = Path::new(&row.mailbox_path);
                match mailboxes.target(&name) {
                    Some(target) if target == registered => {}
                    Some(target) => return Err(wrong(format!("its link leads to `{}`", target.display()))),
                    None => return Err(wrong("its link is not there".to_owned())),
                }
                let real = registered.canonicalize().map_err(|error| wrong(error.to_string()))?;
                Folder::open(&real).map_err(|error| wrong(error.to_string()))
            }
        }
    }

    /// Are the folders that every mailbox has folders? One that is missing is made when it is needed.
    pub(super) fn check_folders(&self, row: &RegistrationRow) -> Result<(), MailError> {
        let mailbox = self.mailbox(row)?;
        for name in FOLDERS {
            let kind = mailbox.kind(name)?;
            if kind != Kind::Folder && kind != Kind::Missing {
                return Err(MailError::Damaged(format!(
                    "`{}` is {}, not a folder: mail of {} that belongs there is refused",
                    mailbox.path().join(name).display(),
                    in_words(kind),
                    row.address
                )));
            }
        }
        Ok(())
    }

    /// The folder of a message's file, and the file's name.
    pub(super) fn day(&self, id: &MessageId) -> Result<Folder, MailError> {
        Ok(self.folder.child("messages")?.child(&day_of(id))?)
    }

    /// The same, made if it is not there.
    pub(super) fn make_day(&self, id: &MessageId) -> Result<Folder, MailError> {
        Ok(self.folder.child("messages")?.make(&day_of(id))?)
    }

    /// Where a message's file is.
    pub(super) fn canonical(&self, id: &MessageId) -> PathBuf {
        self.path().join("messages").join(day_of(id)).join(file_name(id.as_str()))
    }

    /// Reads and checks a message's file.
    pub(super) fn message(&self, id: &MessageId) -> Result<message::Message, MailError> {
        let unusable = |why: String| {
            MailError::Damaged(format!("the message file `{}` cannot be used: {why}", self.canonical(id).display()))
        };
        let folder = self.day(id).map_err(|error| unusable(error.to_string()))?;
        let bytes =
            folder.read(&file_name(id.as_str()), message::LARGEST).map_err(|error| unusable(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|error| unusable(format!("it is no UTF-8 ({error})")))?;
        let message = message::Message::parse(&text).map_err(|error| unusable(error.to_string()))?;
        if message.head.message_id != *id {
            return Err(unusable(format!("it says that it is message `{}`", message.head.message_id)));
        }
        Ok(message)
    }
}

/// `2026-11-21` of an id.
pub(super) fn day_of(id: &MessageId) -> String {
    let at = &id.as_str()["msg-".len()..];
    format!("{}-{}-{}", &at[..4], &at[4..6], &at[6..8])
}

/// Name of a message's file and of every link to it.
pub(super) fn file_name(id: &str) -> String {
    format!("{id}.md")
}

/// Name of a link that is not visible yet.
pub(super) fn hidden_name(id: &str) -> String {
    format!(".{id}.md.part")
}

/// What is there, in words.
pub(super) fn in_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Missing => "missing",
        Kind::Plain => "a file",
        Kind::Folder => "a folder",
        Kind::Link => "a symbolic link",
        Kind::Other => "a device, pipe or socket",
    }
}

/// Where a parked mailbox is.
pub(super) fn stash_name(address: &str, registration: &str) -> String {
    format!("{address}--{registration}")
}

const README: &str = "# A shared mailbox, protocol 3\n\n\
    Written and read by `agents`. Send, read and move mail with `agents mail`; the files here are its memory.\n\n\
    - `messages/` has each message once. `mailboxes/ADDRESS/FOLDER/` has links to them.\n\
    - `index.sqlite` says what is delivered, `mailboxes/ADDRESS/mailbox.sqlite` what is read.\n\
    - `agents mailbox repair` rebuilds the index from the files.\n";

//! Why a mailbox file cannot do what it was asked.

use std::path::{Path, PathBuf};

use crate::{os::files::FileError, store::error::Fault};

/// Nothing of the call was kept.
#[derive(Debug, thiserror::Error)]
pub enum MailStoreError {
    /// There is no such file.
    #[error("`{}` is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// No space.
    #[error("no space left for `{}`", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another program keeps it locked.
    #[error("`{}` is locked by another program", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// It is no database, has other tables, is reached through a link, or a page of it cannot be right.
    #[error("`{}` is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// A newer version of this program made it.
    #[error("`{}` has version {found} of our tables; this program reads {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// Reading or writing failed.
    #[error("`{}` could not be used: {why}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// The file could not be made.
    #[error(transparent)]
    File(#[from] FileError),
}

impl MailStoreError {
    /// What SQLite said about this file.
    pub(super) fn of(path: &Path, error: rusqlite::Error) -> Self {
        let is_link =
            error.sqlite_error().is_some_and(|code| code.extended_code == rusqlite::ffi::SQLITE_CANTOPEN_SYMLINK);
        let path = path.to_owned();
        if is_link {
            return Self::Damaged { path, why: "a symbolic link stands in its place or above it".to_owned() };
        }
        match Fault::of(error) {
            Fault::Full => Self::Full { path },
            Fault::Busy => Self::Busy { path },
            Fault::Corrupt(why) => Self::Damaged { path, why },
            Fault::Replaced => Self::Damaged { path, why: "it was removed or replaced while it was in use".to_owned() },
            Fault::Sql(error) if error.to_string().contains("no such column") => {
                Self::Damaged { path, why: format!("it is not the file of a mailbox: {error}") }
            }
            Fault::Sick(error) | Fault::Sql(error) => Self::Io { path, why: error.to_string() },
        }
    }
}

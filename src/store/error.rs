//! Why the store cannot do what it was asked.

use std::path::{Path, PathBuf};

use rusqlite::ffi;

use super::schema;
use crate::{
    model::{ErrorCode, Failure, shell_quote},
    os::files,
};

/// Why the store cannot be used.
///
/// After [`Self::Sick`], [`Self::Replaced`] and [`Self::Corrupt`] from a running store every later call fails in the
/// same way: only a new start can help. All others concern this one call.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite said no.
    #[error("the queue `{}` could not be used: {source}", path.display())]
    Sql {
        /// The file.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// It is a database, but not this one.
    #[error("`{}` is not a gateway queue: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// Our tables in it are newer than this program.
    #[error("the queue `{}` has version {found}; this program reads {}", path.display(), schema::OUR_VERSION)]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u32,
    },
    /// It is no database, or a page of it cannot be right.
    #[error("the queue `{}` is damaged: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        why: String,
    },
    /// The path leads to another file than the one that is open: what was written would be in nobody's sight.
    #[error("the queue `{}` was removed or replaced while it was in use", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// Reading, writing or syncing failed. Whether the last changes are on disk cannot be known, and asking the
    /// system again would only make it forget the failure.
    #[error("the queue cannot be trusted any more: {why}")]
    Sick {
        /// What failed first.
        why: String,
    },
    /// No space. Nothing of this call was kept; the store goes on.
    #[error("no space left for the queue `{}`", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another program holds the file's lock. Nothing of this call was kept; the store goes on.
    #[error("the queue `{}` is locked by another program", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be made.
    #[error(transparent)]
    File(#[from] files::FileError),
    /// Another gateway of this session still runs.
    #[error("gateway process {pid} still uses this session's queue, although its lock file was replaced")]
    Owned {
        /// The other gateway.
        pid: u32,
    },
    /// The store's thread has ended.
    #[error("the queue is closed")]
    Closed,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Newer { .. } => {
                Self::new(ErrorCode::Incompatible, message, "use the newer version of this program that wrote it")
            }
            StoreError::File(inner) => inner.into(),
            StoreError::Owned { pid } => Self::new(
                ErrorCode::AlreadyAttached,
                message,
                format!("`agents gateway attach --restart` replaces it; or look at it with `ps -p {pid}`"),
            ),
            StoreError::Foreign { path, .. } | StoreError::Corrupt { path, .. } | StoreError::Sql { path, .. } => {
                Self::new(
                    ErrorCode::Internal,
                    message,
                    format!(
                        "nothing was changed; set it aside with `mv {} {}`, then attach again",
                        shell_quote(&path.to_string_lossy()),
                        shell_quote(&format!("{}.aside", path.display()))
                    ),
                )
            }
            StoreError::Full { path } => Self::new(
                ErrorCode::Internal,
                message,
                format!("free some space on the disk that holds `{}`", path.display()),
            ),
            StoreError::Busy { path } => Self::new(
                ErrorCode::Internal,
                message,
                format!("`fuser -v {}` shows who uses it", shell_quote(&path.to_string_lossy())),
            ),
            StoreError::Replaced { .. } | StoreError::Sick { .. } => {
                Self::new(ErrorCode::Internal, message, "`agents gateway attach --restart` starts afresh from the file")
            }
            StoreError::Closed => Self::internal(message),
        }
    }
}

/// One failure of SQLite, sorted by what it means for the store.
///
/// One failure can concern many callers at once, so it can be told again; a `rusqlite::Error` cannot.
#[derive(Debug)]
pub(super) enum Fault {
    Sick(rusqlite::Error),
    Corrupt(String),
    Replaced,
    Full,
    Busy,
    Sql(rusqlite::Error),
}

impl Fault {
    pub(super) fn of(error: rusqlite::Error) -> Self {
        let Some(code) = error.sqlite_error().copied() else { return Self::Sql(error) };
        match (code.code, code.extended_code) {
            // A full disk shows in another way where the shared memory had to grow; no page was touched then.
            (ffi::ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => Self::Full,
            (ffi::ErrorCode::SystemIoFailure, _) => Self::Sick(error),
            (ffi::ErrorCode::DatabaseBusy, _) => Self::Busy,
            (ffi::ErrorCode::DatabaseCorrupt | ffi::ErrorCode::NotADatabase, _) => Self::Corrupt(error.to_string()),
            (_, ffi::SQLITE_READONLY_DBMOVED) => Self::Replaced,
            _ => Self::Sql(error),
        }
    }

    /// Does it end the store's use?
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Sick(_) | Self::Corrupt(_) | Self::Replaced)
    }

    /// The same failure for one more caller.
    pub(super) fn told(&self, path: &Path) -> StoreError {
        let path = path.to_owned();
        match self {
            Self::Sick(error) => {
                // The extended code says which step it was: reading, writing, syncing the file or its folder.
                let code = error.sqlite_error().map_or(0, |code| code.extended_code);
                StoreError::Sick { why: format!("{error} (SQLite code {code}) at `{}`", path.display()) }
            }
            Self::Corrupt(why) => StoreError::Corrupt { path, why: why.clone() },
            Self::Replaced => StoreError::Replaced { path },
            Self::Full => StoreError::Full { path },
            Self::Busy => StoreError::Busy { path },
            Self::Sql(error) => {
                let code = error.sqlite_error().copied().unwrap_or(ffi::Error::new(ffi::SQLITE_ERROR));
                StoreError::Sql { path, source: rusqlite::Error::SqliteFailure(code, Some(error.to_string())) }
            }
        }
    }
}

/// What SQLite said while the file was opened: nobody was told anything yet, so only the reason counts.
pub(super) fn opening(path: &Path, source: rusqlite::Error) -> StoreError {
    match Fault::of(source) {
        Fault::Sql(source) | Fault::Sick(source) => StoreError::Sql { path: path.to_owned(), source },
        other => other.told(path),
    }
}

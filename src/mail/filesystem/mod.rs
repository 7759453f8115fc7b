//! Mail in a folder that several agents share (contract sections 7.1 to 7.3).
//!
//! Owns: the layout of a mailbox root (`root`), delivery in one step (`deliver`), what follows a death (`spool`), the
//! registrations (`register`) and mending (`repair`, `found`). Promises: a message is delivered when its row is in the index, and
//! then to everybody; nothing leads out of the root but a mailbox that was registered as a link, to where it was
//! registered. Whoever writes holds the locks; readers hold none, and neither does who waits for one (`pending`).

mod account;
mod attached;
mod change;
mod compose;
mod deliver;
mod found;
mod overview;
mod pending;
mod register;
mod repair;
mod root;
mod spool;

pub use account::{Account, LOOP_PER_DAY, LOOP_PER_MINUTE};
pub use overview::{AccountEntry, Overview, accounts, overview};
pub use pending::{Pending, Progress};
pub use register::{RegisterMode, Registering, Registration, UnregisterMode, init, register, unregister};
pub use repair::{Repair, Staging, repair};

use super::MailError;
use crate::{os::files::FileError, store::mail::MailStoreError};

impl From<FileError> for MailError {
    fn from(error: FileError) -> Self {
        use std::io::ErrorKind;
        match &error {
            FileError::Io { source, .. }
                if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                Self::Full(error.to_string())
            }
            FileError::Io { source, .. } if passes(source) => Self::Unavailable(error.to_string()),
            _ => Self::Damaged(error.to_string()),
        }
    }
}

/// Does it pass by itself? What has the wrong kind, owner or mode stays so until somebody changes it.
fn passes(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    const TRANSIENT: [Errno; 9] = [
        Errno::AGAIN,
        Errno::INTR,
        Errno::MFILE,
        Errno::NFILE,
        Errno::TIMEDOUT,
        Errno::BUSY,
        Errno::NOMEM,
        Errno::NOLCK,
        Errno::STALE,
    ];
    Errno::from_io_error(error).is_some_and(|errno| TRANSIENT.contains(&errno))
}

impl From<MailStoreError> for MailError {
    fn from(error: MailStoreError) -> Self {
        match error {
            MailStoreError::Full { .. } => Self::Full(error.to_string()),
            MailStoreError::Busy { .. } | MailStoreError::Io { .. } => Self::Unavailable(error.to_string()),
            MailStoreError::Missing { .. } | MailStoreError::Damaged { .. } | MailStoreError::Newer { .. } => {
                Self::Damaged(error.to_string())
            }
            MailStoreError::File(inner) => inner.into(),
        }
    }
}

#[cfg(test)]
mod tests;

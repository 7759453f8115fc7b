//! Opening either file (pragmas, schema, versions), and what is done with both alike. Only files that are reached without
//! a link.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use super::{error::MailStoreError, schema};
use crate::{
    os::files::{self, Glance},
    store::migrate,
};

/// How long another program's transaction is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// May a file that is not there be made?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfMissing {
    Make,
    Refuse,
}

/// Opens a file with the contract's tables and ours, given as SQL.
#[expect(clippy::disallowed_methods, reason = "this is where the pragmas are set")]
fn open(path: &Path, missing: IfMissing, contract: &str, ours: &str) -> Result<Connection, MailStoreError> {
    let sql = |error| MailStoreError::of(path, error);
    if missing == IfMissing::Make {
        // Made here, so that its mode is 0600 from the start; SQLite gives its side files the same mode.
        files::create_if_missing(path)?;
    } else if files::inode(path).is_none() {
        return Err(MailStoreError::Missing { path: path.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(BUSY).map_err(sql)?;
    connection
        .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-4096;")
        .map_err(sql)?;
    match migrate::our_version(&connection).map_err(sql)? {
        Some(schema::OUR_VERSION) => {}
        Some(found) if found > schema::OUR_VERSION => {
            return Err(MailStoreError::Newer { path: path.to_owned(), found, known: schema::OUR_VERSION });
        }
        _ => {
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
            change.execute_batch(contract).map_err(sql)?;
            change.execute_batch(ours).map_err(sql)?;
            change.execute(schema::SET_VERSION, [schema::OUR_VERSION.to_string()]).map_err(sql)?;
            change.commit().map_err(sql)?;
        }
    }
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// An open file: of the index, or of one mailbox.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    path: PathBuf,
    file: Option<Glance>,
}

impl Database {
    /// Opens it, with the contract's tables and ours, given as SQL.
    pub(super) fn open(path: &Path, missing: IfMissing, contract: &str, ours: &str) -> Result<Self, MailStoreError> {
        let connection = open(path, missing, contract, ours)?;
        Ok(Self { connection, path: path.to_owned(), file: files::glance(path) })
    }

    /// Is the open file still the one at its path?
    pub(super) fn is_current(&self) -> bool {
        match (self.file, files::glance(&self.path)) {
            (Some(opened), Some(found)) => opened.is_same_file(&found),
            _ => false,
        }
    }

    /// Looks at every page of it.
    pub(super) fn check_pages(&self) -> Result<(), MailStoreError> {
        let found: String =
            self.read(|connection| connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)))?;
        if found == "ok" { Ok(()) } else { Err(MailStoreError::Damaged { path: self.path.clone(), why: found }) }
    }

    /// Reads from it.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, MailStoreError> {
        work(&self.connection).map_err(|error| MailStoreError::of(&self.path, error))
    }

    /// Runs one transaction: all of it is on disk when this returns, or nothing.
    pub(super) fn change<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, MailStoreError> {
        let Self { connection, path, .. } = self;
        let done = connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|change| {
            let value = work(&change)?;
            change.commit()?;
            Ok(value)
        });
        done.map_err(|error| MailStoreError::of(path, error))
    }
}

/// A message, as the summary of its thread needs it.
#[derive(Debug)]
pub(super) struct Latest<'a> {
    pub(super) thread_id: &'a str,
    pub(super) subject: &'a str,
    pub(super) message_id: &'a str,
    pub(super) created_at_utc: &'a str,
    /// For how many it is unread, of those whom this file is about.
    pub(super) unread: usize,
}

/// Notes a message in its thread, as the latest one if it is. Both files have this table.
pub(super) fn summarize(change: &Transaction<'_>, message: &Latest<'_>) -> rusqlite::Result<()> {
    change
        .prepare_cached(
            "INSERT INTO thread_summaries VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (thread_id) DO UPDATE SET \
             latest_message_id = CASE WHEN coalesce(latest_message_id, '') < ?3 THEN ?3 ELSE latest_message_id END, \
             latest_message_created_at_utc = CASE WHEN coalesce(latest_message_id, '') < ?3 THEN ?4 \
             ELSE latest_message_created_at_utc END, unread_count = unread_count + ?5",
        )?
        .execute(params![
            message.thread_id,
            normalized(message.subject),
            message.message_id,
            message.created_at_utc,
            message.unread,
        ])
        .map(drop)
}

/// A subject without what answers put in front of it.
fn normalized(subject: &str) -> String {
    let mut rest = subject.trim();
    while let Some(tail) = rest.get(..3).filter(|start| start.eq_ignore_ascii_case("re:")).map(|_| &rest[3..]) {
        rest = tail.trim_start();
    }
    rest.to_lowercase()
}

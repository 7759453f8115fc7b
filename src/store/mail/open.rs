//! Opening either file: pragmas, schema, versions. Only files that are reached without a link.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{error::MailStoreError, schema};
use crate::{os::files, store::migrate};

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
pub(super) fn open(path: &Path, missing: IfMissing, contract: &str, ours: &str) -> Result<Connection, MailStoreError> {
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

/// Looks at every page.
pub(super) fn check_pages(connection: &Connection, path: &Path) -> Result<(), MailStoreError> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| MailStoreError::of(path, error))?;
    if found == "ok" { Ok(()) } else { Err(MailStoreError::Damaged { path: path.to_owned(), why: found }) }
}

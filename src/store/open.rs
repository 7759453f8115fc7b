//! Opening the file: pragmas, schema, and the checks before anything is written.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, OptionalExtension, config::DbConfig};

use super::{
    error::{StoreError, opening},
    migrate::{self, our_version, table_exists},
    schema,
};
use crate::{model::Moment, os::files};

/// How long another program's lock is waited for.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// How closely to look at a file before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// Its tables and versions.
    Shape,
    /// And, if the last gateway did not end orderly, every page.
    Pages,
}

/// Creates the file with the contract's tables if it is not there, and closes it again.
///
/// # Errors
/// [`StoreError`].
pub fn create(path: &Path, now: Moment) -> Result<(), StoreError> {
    open(path, now, Care::Shape, BUSY).map(drop)
}

/// Opens the file for reading and writing, creating what is missing.
///
/// A file that is refused is left as it is, with its write-ahead log.
#[expect(clippy::disallowed_methods, reason = "this is where the pragmas are set")]
pub(super) fn open(path: &Path, now: Moment, care: Care, busy: Duration) -> Result<Connection, StoreError> {
    let sql = |source| opening(path, source);
    // Made here, so that its mode is 0600 from the start; SQLite gives its side files the same mode.
    files::create_if_missing(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(busy).map_err(sql)?;
    leave_as_it_is(&connection, true).map_err(sql)?;
    check_contract(&connection, path)?;
    check_version(&connection, path)?;
    if care == Care::Pages && ended_in_disorder(&connection).map_err(sql)? {
        check_pages(&connection, path)?;
    }
    // A small cache: the file holds one session's queue, and the sidecar's memory is budgeted. The log keeps its size: to
    // sync what was written over takes less than to sync what was added.
    // Checkpoints are the writer's: SQLite's own would hide that one failed.
    connection
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-512; \
             PRAGMA journal_size_limit=8388608; PRAGMA wal_autocheckpoint=0;",
        )
        .map_err(sql)?;
    migrate::bring_up_to_date(&mut connection, path, now)?;
    leave_as_it_is(&connection, false).map_err(sql)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// How many prepared statements are kept: all of this room's, so that none is compiled twice.
const STATEMENTS: usize = 96;

/// While set, closing does not move the write-ahead log into the file: what is wrong stays as it was found.
pub(super) fn leave_as_it_is(connection: &Connection, leave: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, leave).map(drop)
}

/// A `gateway_requests` that lacks a column is fatal, as the contract says: guessing would lose rows.
fn check_contract(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let sql = |source| opening(path, source);
    if !table_exists(connection, "gateway_requests").map_err(sql)? {
        return Ok(());
    }
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info('gateway_requests')").map_err(sql)?;
    let columns: Vec<String> = statement.query_map([], |row| row.get(0)).and_then(Iterator::collect).map_err(sql)?;
    let missing = schema::REQUEST_COLUMNS.iter().find(|wanted| !columns.iter().any(|column| column == *wanted));
    match missing {
        Some(column) => Err(StoreError::Foreign {
            path: path.to_owned(),
            why: format!("its table `gateway_requests` has no column `{column}`"),
        }),
        None => Ok(()),
    }
}

fn check_version(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    match our_version(connection).map_err(|source| opening(path, source))? {
        Some(found) if found > schema::OUR_VERSION => Err(StoreError::Newer { path: path.to_owned(), found }),
        _ => Ok(()),
    }
}

/// Is the last run on record without an end?
fn ended_in_disorder(connection: &Connection) -> rusqlite::Result<bool> {
    if !table_exists(connection, "agents_gateway_runs")? {
        return Ok(false);
    }
    let last = "SELECT ended_at_utc IS NULL FROM agents_gateway_runs ORDER BY generation DESC LIMIT 1";
    connection.query_row(last, [], |row| row.get(0)).optional().map(|found| found.unwrap_or(false))
}

fn check_pages(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let found: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|source| opening(path, source))?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Corrupt { path: path.to_owned(), why: found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Moment {
        Moment::parse("2026-11-21T10:00:00+00:00").unwrap()
    }

    #[test]
    fn a_new_file_has_the_contracts_tables_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        create(&path, now()).unwrap();
        let connection = open(&path, now(), Care::Shape, BUSY).unwrap();
        for table in ["gateway_requests", "gateway_mail_notifier", "gateway_notifier_audit"] {
            assert!(table_exists(&connection, table).unwrap(), "{table}");
        }
        let rows: u32 =
            connection.query_row("SELECT count(*) FROM gateway_mail_notifier", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1);
        let audit: String = connection
            .query_row("SELECT sql FROM sqlite_schema WHERE name = 'gateway_notifier_audit'", [], |row| row.get(0))
            .unwrap();
        assert!(audit.contains("pre_notification_context_error"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_newer_or_foreign_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        create(&path, now()).unwrap();
        open(&path, now(), Care::Shape, BUSY).unwrap().execute("UPDATE agents_meta SET value = '9'", []).unwrap();
        assert!(matches!(create(&path, now()), Err(StoreError::Newer { found: 9, .. })));

        let foreign = folder.path().join("foreign.sqlite");
        create(&foreign, now()).unwrap();
        open(&foreign, now(), Care::Shape, BUSY)
            .unwrap()
            .execute_batch("DROP TABLE gateway_requests; DROP TABLE agents_meta; CREATE TABLE gateway_requests (x)")
            .unwrap();
        assert!(matches!(create(&foreign, now()), Err(StoreError::Foreign { .. })));

        let garbage = folder.path().join("garbage.sqlite");
        files::replace(&garbage, &[7; 4096], files::Durability::Process).unwrap();
        assert!(matches!(create(&garbage, now()), Err(StoreError::Corrupt { .. })));
        assert_eq!(files::read(&garbage).unwrap(), vec![7; 4096]);
    }
}

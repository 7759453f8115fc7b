//! Opening the file: pragmas, schema, and the checks before anything is written.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::schema;
use crate::{
    model::{ErrorCode, Failure, Moment, shell_quote},
    os::files,
};

/// Why the store cannot be used.
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
            StoreError::Foreign { path, .. } | StoreError::Sql { path, .. } => Self::new(
                ErrorCode::Internal,
                message,
                format!(
                    "nothing was changed; set it aside with `mv {} {}`, then attach again",
                    shell_quote(&path.to_string_lossy()),
                    shell_quote(&format!("{}.aside", path.display()))
                ),
            ),
            StoreError::Closed => Self::internal(message),
        }
    }
}

/// Creates the file with the contract's tables if it is not there, and closes it again.
///
/// # Errors
/// [`StoreError`].
pub fn create(path: &Path, now: Moment) -> Result<(), StoreError> {
    open(path, now).map(drop)
}

/// Opens the file for reading and writing, creating what is missing.
#[expect(clippy::disallowed_methods, reason = "this is where the pragmas are set")]
pub(super) fn open(path: &Path, now: Moment) -> Result<Connection, StoreError> {
    let sql = |source| StoreError::Sql { path: path.to_owned(), source };
    // Made here, so that its mode is 0600 from the start; SQLite gives its side files the same mode.
    files::create_if_missing(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    let prepared = prepare(&mut connection, path, now);
    prepared.map(|()| connection)
}

fn prepare(connection: &mut Connection, path: &Path, now: Moment) -> Result<(), StoreError> {
    let sql = |source| StoreError::Sql { path: path.to_owned(), source };
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(sql)?;
    // Looked at before anything is written: a file that is refused stays as it is.
    check_contract(connection, path)?;
    check_version(connection, path)?;
    // A small cache and few kept pages: the file holds one session's queue, and the sidecar's memory is budgeted.
    connection
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-256; PRAGMA journal_size_limit=1048576;",
        )
        .map_err(sql)?;
    if is_current(connection).map_err(sql)? {
        return Ok(());
    }
    let change = connection.transaction().map_err(sql)?;
    change.execute_batch(schema::CONTRACT).map_err(sql)?;
    change.execute(schema::NOTIFIER_ROW, [now.iso_seconds()]).map_err(sql)?;
    change.execute_batch(schema::OURS).map_err(sql)?;
    change.commit().map_err(sql)
}

fn table_exists(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1", [table], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
}

/// Our tables are there in our version: nothing to write, which spares a sync at every start.
fn is_current(connection: &Connection) -> rusqlite::Result<bool> {
    if !table_exists(connection, "agents_meta")? || !table_exists(connection, "gateway_requests")? {
        return Ok(false);
    }
    Ok(our_version(connection)? == Some(schema::OUR_VERSION))
}

fn our_version(connection: &Connection) -> rusqlite::Result<Option<u32>> {
    let text: Option<String> = connection
        .query_row("SELECT value FROM agents_meta WHERE key = 'schema_version'", [], |row| row.get(0))
        .optional()?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// A `gateway_requests` that lacks a column is fatal, as the contract says: guessing would lose rows.
fn check_contract(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let sql = |source| StoreError::Sql { path: path.to_owned(), source };
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
    let sql = |source| StoreError::Sql { path: path.to_owned(), source };
    if !table_exists(connection, "agents_meta").map_err(sql)? {
        return Ok(());
    }
    match our_version(connection).map_err(sql)? {
        Some(found) if found > schema::OUR_VERSION => Err(StoreError::Newer { path: path.to_owned(), found }),
        _ => Ok(()),
    }
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
        let connection = open(&path, now()).unwrap();
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
        open(&path, now()).unwrap().execute("UPDATE agents_meta SET value = '9'", []).unwrap();
        assert!(matches!(create(&path, now()), Err(StoreError::Newer { found: 9, .. })));

        let foreign = folder.path().join("foreign.sqlite");
        create(&foreign, now()).unwrap();
        open(&foreign, now())
            .unwrap()
            .execute_batch("DROP TABLE gateway_requests; DROP TABLE agents_meta; CREATE TABLE gateway_requests (x)")
            .unwrap();
        assert!(matches!(create(&foreign, now()), Err(StoreError::Foreign { .. })));

        let garbage = folder.path().join("garbage.sqlite");
        files::replace(&garbage, &[7; 4096], files::Durability::Process).unwrap();
        assert!(matches!(create(&garbage, now()), Err(StoreError::Sql { .. })));
        assert_eq!(files::read(&garbage).unwrap(), vec![7; 4096]);
    }
}

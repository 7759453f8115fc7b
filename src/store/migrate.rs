//! Bringing a file up to date: missing tables, older versions, rows that another program changed.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::{
    error::{StoreError, opening},
    schema,
};
use crate::{model::Moment, os::files};

pub(super) fn table_exists(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1", [table], |_| Ok(()))
        .optional()
        .map(|found| found.is_some())
}

/// Version of our tables; `None` if they are not there.
pub(super) fn our_version(connection: &Connection) -> rusqlite::Result<Option<u32>> {
    if !table_exists(connection, "agents_meta")? {
        return Ok(None);
    }
    let text: Option<String> = connection
        .query_row("SELECT value FROM agents_meta WHERE key = 'schema_version'", [], |row| row.get(0))
        .optional()?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// Creates what is missing and takes in what other programs wrote, in one transaction.
///
/// A file that is up to date is not written to, which spares a sync at every start.
pub(super) fn bring_up_to_date(connection: &mut Connection, path: &Path, now: Moment) -> Result<(), StoreError> {
    let sql = |source| opening(path, source);
    let version = our_version(connection).map_err(sql)?;
    let current = version == Some(schema::OUR_VERSION) && table_exists(connection, "gateway_requests").map_err(sql)?;
    if let Some(older) = version.filter(|version| *version < schema::OUR_VERSION) {
        back_up(connection, path, older)?;
    }
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    if !current {
        change.execute_batch(schema::CONTRACT).map_err(sql)?;
        change.execute(schema::NOTIFIER_ROW, [now.iso_seconds()]).map_err(sql)?;
        change.execute_batch(schema::OURS).map_err(sql)?;
        change.execute(schema::SET_VERSION, [schema::OUR_VERSION.to_string()]).map_err(sql)?;
    }
    follow_others(&change, now).map_err(sql)?;
    change.commit().map_err(sql)
}

/// Copies the file as it was, for a return to the program that wrote it. A copy that is there already stays.
fn back_up(connection: &Connection, path: &Path, version: u32) -> Result<(), StoreError> {
    let beside = |ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    let (backup, unfinished) = (beside(&format!(".v{version}-backup")), beside(&format!(".v{version}-backup.part")));
    if files::inode(&backup).is_some() {
        return Ok(());
    }
    // Made empty first: SQLite fills an empty file, and this one is private from the start.
    files::remove(&unfinished)?;
    files::create_if_missing(&unfinished)?;
    connection.execute("VACUUM INTO ?1", [unfinished.to_string_lossy()]).map_err(|source| opening(path, source))?;
    files::sync(&unfinished)?;
    files::rename(&unfinished, &backup)?;
    tracing::info!(backup = %backup.display(), "kept a copy of the queue of an earlier version");
    Ok(())
}

/// Words and ids that we know. A row with others belongs to a program with other rules and is left alone.
const KNOWN: &str = "g.state IN ('accepted', 'running', 'completed', 'failed', 'coalesced') \
     AND g.request_kind IN ('submit_prompt', 'interrupt', 'mail_notifier_prompt') \
     AND length(g.request_id) BETWEEN 1 AND 64 AND g.request_id NOT GLOB '*[^-0-9A-Za-z]*'";

/// Makes our rows say what the contract's say, where another program wrote those.
///
/// New rows are numbered in the contract's order. What was running in a program that is gone is indeterminate.
pub(super) fn follow_others(change: &Connection, now: Moment) -> rusqlite::Result<()> {
    change.execute(
        "DELETE FROM agents_requests WHERE route = 'queue' AND NOT EXISTS \
         (SELECT 1 FROM gateway_requests g WHERE g.request_id = agents_requests.request_id)",
        [],
    )?;
    change.execute(
        &format!(
            "UPDATE agents_requests SET state = g.state, epoch = g.managed_agent_instance_epoch \
             FROM gateway_requests g WHERE g.request_id = agents_requests.request_id AND route = 'queue' \
             AND (g.state <> agents_requests.state OR g.managed_agent_instance_epoch <> agents_requests.epoch) AND {KNOWN}"
        ),
        [],
    )?;
    let last: u64 = change.query_row("SELECT coalesce(max(sequence), 0) FROM agents_requests", [], |row| row.get(0))?;
    let adopted = change.execute(
        &format!(
            "INSERT INTO agents_requests (request_id, route, request_kind, state, epoch, accepted_at_utc, receipt) \
             SELECT g.request_id, 'queue', g.request_kind, g.state, g.managed_agent_instance_epoch, g.accepted_at_utc, \
             CASE g.state WHEN 'accepted' THEN 'queued' WHEN 'completed' THEN 'submitted' \
             WHEN 'coalesced' THEN 'refused' ELSE 'indeterminate' END \
             FROM gateway_requests g WHERE {KNOWN} AND NOT EXISTS \
             (SELECT 1 FROM agents_requests a WHERE a.request_id = g.request_id) ORDER BY g.accepted_at_utc, g.rowid"
        ),
        [],
    )?;
    if adopted > 0 {
        change.execute(
            "INSERT INTO agents_journal (request_id, kind, data_json, at_utc) \
             SELECT request_id, 'receipt', json_object('receipt', receipt, 'detail', 'taken over from another program'), \
             ?2 FROM agents_requests WHERE sequence > ?1 AND state IN ('accepted', 'running') ORDER BY sequence",
            rusqlite::params![last, now.iso_millis()],
        )?;
        tracing::info!(rows = adopted, "took over requests that another program wrote into the queue");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{
        model::{Receipt, RequestState},
        store::{
            Store,
            open::{BUSY, Care, open},
            scratch::{Scratch, now},
        },
    };

    /// A file as the first version of our tables left it, with rows that wait.
    fn version_1(path: &Path) {
        files::create_if_missing(path).unwrap();
        let file = Scratch::open_raw(path);
        file.execute_batch("PRAGMA journal_mode=WAL").unwrap();
        file.execute_batch(schema::CONTRACT).unwrap();
        file.execute_batch(
            "CREATE TABLE agents_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
             CREATE TABLE agents_epochs (epoch INTEGER PRIMARY KEY AUTOINCREMENT, pane_id TEXT NOT NULL,
                 pane_pid INTEGER NOT NULL, start_ticks INTEGER NOT NULL, boot_id TEXT NOT NULL,
                 first_seen_at_utc TEXT NOT NULL);
             INSERT INTO agents_meta VALUES ('schema_version', '1');
             INSERT INTO agents_epochs VALUES (4, '%0', 10, 7, 'b', '2026-11-20T10:00:00+00:00');",
        )
        .unwrap();
    }

    fn add(file: &Connection, id: &str, kind: &str, state: &str, second: u32) {
        let text = format!(
            "INSERT INTO gateway_requests VALUES ('{id}', '{kind}', '{{\"prompt\":\"of {id}\"}}', '{state}', \
             '2026-11-20T10:00:{second:02}+00:00', NULL, NULL, 3, NULL, NULL)"
        );
        file.execute(&text, []).unwrap();
    }

    #[tokio::test]
    async fn a_file_of_version_1_is_copied_and_brought_up_to_date_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        version_1(&path);
        let file = Scratch::open_raw(&path);
        add(&file, "late", "submit_prompt", "accepted", 30);
        add(&file, "early", "interrupt", "accepted", 10);
        add(&file, "same-second", "submit_prompt", "running", 10);
        add(&file, "done", "submit_prompt", "completed", 5);
        add(&file, "strange", "dance", "accepted", 1);
        add(&file, "not/an/id", "submit_prompt", "accepted", 1);
        drop(file);

        let (store, thread) = Store::open(&path, now()).unwrap();
        assert_eq!(store.last_epoch().await.unwrap(), 4);
        assert_eq!(store.depth(4).await.unwrap().of_earlier_epochs, 3);
        let waiting: Vec<_> =
            store.waiting(9).await.unwrap().into_iter().map(|row| (row.sequence, row.id.to_string())).collect();
        assert_eq!(waiting, [(2, "early".to_owned()), (4, "late".to_owned())]);
        let running = store.running().await.unwrap();
        assert_eq!((running[0].sequence, running[0].id.as_str()), (3, "same-second"));
        assert_eq!(running[0].receipt, Receipt::Indeterminate, "its program is gone");
        let (done, journal) = store.show(&"done".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!((done.state, done.prompt.as_deref()), (RequestState::Completed, Some("of done")));
        assert_eq!(journal, []);
        let (_, journal) = store.show(&"late".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(journal[0].note().unwrap().receipt, Receipt::Queued);
        drop(store);
        thread.join().unwrap();

        let backup = folder.path().join("queue.sqlite.v1-backup");
        assert_eq!(std::fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
        let copy = Scratch::open_raw(&backup);
        assert_eq!(our_version(&copy).unwrap(), Some(1));
        let rows: u32 = copy.query_row("SELECT count(*) FROM gateway_requests", [], |row| row.get(0)).unwrap();
        assert_eq!((rows, table_exists(&copy, "agents_requests").unwrap()), (6, false));
        assert!(!folder.path().join("queue.sqlite.v1-backup.part").exists());

        let opened = open(&path, now(), Care::Shape, BUSY).unwrap();
        assert_eq!(our_version(&opened).unwrap(), Some(schema::OUR_VERSION));
        let entries: u32 = opened.query_row("SELECT count(*) FROM agents_journal", [], |row| row.get(0)).unwrap();
        assert_eq!(entries, 3, "nothing is taken over twice");
    }

    #[tokio::test]
    async fn a_file_of_version_2_gets_its_table_of_turns_and_keeps_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        drop(open(&path, now(), Care::Shape, BUSY).unwrap());
        let file = Scratch::open_raw(&path);
        file.execute_batch("DROP TABLE agents_turns; UPDATE agents_meta SET value = '2' WHERE key = 'schema_version'")
            .unwrap();
        add(&file, "one", "submit_prompt", "accepted", 10);
        drop(file);
        let (store, thread) = Store::open(&path, now()).unwrap();
        assert_eq!(store.turns(5, None).await.unwrap(), []);
        assert_eq!(store.waiting(9).await.unwrap().len(), 1);
        drop(store);
        thread.join().unwrap();
        let copy = Scratch::open_raw(&folder.path().join("queue.sqlite.v2-backup"));
        assert_eq!((our_version(&copy).unwrap(), table_exists(&copy, "agents_turns").unwrap()), (Some(2), false));
        assert_eq!(our_version(&Scratch::open_raw(&path)).unwrap(), Some(schema::OUR_VERSION));
    }

    #[test]
    fn a_copy_that_is_there_stays_and_one_that_a_crash_left_half_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        version_1(&path);
        let backup = folder.path().join("queue.sqlite.v1-backup");
        files::replace(&backup, b"mine", files::Durability::Process).unwrap();
        drop(open(&path, now(), Care::Shape, BUSY).unwrap());
        assert_eq!(files::read(&backup).unwrap(), b"mine");

        files::remove(&backup).unwrap();
        let part = folder.path().join("queue.sqlite.v1-backup.part");
        files::replace(&part, b"half", files::Durability::Process).unwrap();
        Scratch::open_raw(&path).execute("UPDATE agents_meta SET value = '1'", []).unwrap();
        drop(open(&path, now(), Care::Shape, BUSY).unwrap());
        assert_eq!(our_version(&Scratch::open_raw(&backup)).unwrap(), Some(1));
        assert!(!part.exists());
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        version_1(&path);
        // A table of our new name in another shape stands in the way.
        Scratch::open_raw(&path).execute_batch("CREATE TABLE agents_requests (x)").unwrap();
        assert!(open(&path, now(), Care::Shape, BUSY).is_err());
        let file = Scratch::open_raw(&path);
        assert_eq!(our_version(&file).unwrap(), Some(1));
        assert!(!table_exists(&file, "agents_journal").unwrap());
    }
}

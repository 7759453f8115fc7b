//! A damaged file is moved out of the way, whole, and a fresh one takes its place and remembers its name.

use std::{
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use super::{
    error::{StoreError, opening},
    open::{self, BUSY, Care},
    thread::Store,
};
use crate::{model::Moment, os::files};

/// A store that can be used.
#[derive(Debug)]
pub struct Opened {
    /// The handle.
    pub store: Store,
    /// Its thread; joining it after the last handle is dropped waits for the connection to close.
    pub thread: JoinHandle<()>,
    /// Why the file that was found was set aside just now.
    pub damage: Option<String>,
}

/// Key in `agents_meta` that holds the name of the file that was set aside.
const SET_ASIDE: &str = "set_aside";

/// Opens the file. One that is damaged, or no queue at all, is renamed to `<name>.damaged-<date>-<time>Z` together with
/// its write-ahead log, and a fresh one is opened that tells of it ([`Store::set_aside`]).
///
/// # Errors
/// [`StoreError`]. A file of a newer program is refused and not moved.
pub fn open_or_set_aside(path: &Path, now: Moment) -> Result<Opened, StoreError> {
    finish_earlier(path, now)?;
    let error = match Store::open_with(path, now, Care::Pages, BUSY) {
        Ok((store, thread)) => return Ok(Opened { store, thread, damage: None }),
        Err(error) => error,
    };
    if !matches!(error, StoreError::Corrupt { .. } | StoreError::Foreign { .. }) {
        return Err(error);
    }
    set_aside(path, now)?;
    let (store, thread) = Store::open(path, now)?;
    Ok(Opened { store, thread, damage: Some(error.to_string()) })
}

/// The file, and what SQLite keeps beside it.
const SIDE_FILES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Ending of the fresh file, as long as it waits for its place.
const FRESH: &str = ".fresh";

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// A name that no file has: two may be set aside within one second.
fn free_name(path: &Path, ending: &str) -> PathBuf {
    let mut name = beside(path, ending);
    let mut next = 2;
    while files::inode(&name).is_some() {
        name = beside(path, &format!("{ending}-{next}"));
        next += 1;
    }
    name
}

/// The fresh file is complete, and knows the old one's new name, before the old one moves: a crash between any two
/// steps loses neither the damaged file nor the word of it.
fn set_aside(path: &Path, now: Moment) -> Result<(), StoreError> {
    let damaged = free_name(path, &format!(".damaged-{}", now.compact()));
    let name = damaged.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let fresh = make_fresh(path, &name, now)?;
    move_aside(path, &damaged)?;
    take_place(&fresh, path)
}

/// An empty queue in one file, which tells of the other.
fn make_fresh(path: &Path, damaged: &str, now: Moment) -> Result<PathBuf, StoreError> {
    let fresh = beside(path, FRESH);
    for ending in SIDE_FILES {
        files::remove(&beside(&fresh, ending))?;
    }
    let connection = open::open(&fresh, now, Care::Shape, BUSY)?;
    connection
        .execute("INSERT OR REPLACE INTO agents_meta (key, value) VALUES (?1, ?2)", [SET_ASIDE, damaged])
        .map_err(|source| opening(&fresh, source))?;
    // Closing moves the write-ahead log into the file, so that one rename carries all of it.
    connection.close().map_err(|(_, source)| opening(&fresh, source))?;
    Ok(fresh)
}

/// The file first: were its log to go first, a crash in between would leave an older file that looks whole.
fn move_aside(path: &Path, damaged: &Path) -> Result<(), StoreError> {
    for ending in SIDE_FILES {
        let (from, to) = (beside(path, ending), beside(damaged, ending));
        if files::inode(&from).is_some() && files::inode(&to).is_none() {
            files::rename(&from, &to)?;
        }
    }
    Ok(())
}

fn take_place(fresh: &Path, path: &Path) -> Result<(), StoreError> {
    files::rename(fresh, path)?;
    Ok(files::sync_folder_of(path)?)
}

/// Ends what a crash in the middle of [`set_aside`] left: the old file gone, the new one not yet in its place.
fn finish_earlier(path: &Path, now: Moment) -> Result<(), StoreError> {
    let fresh = beside(path, FRESH);
    if files::inode(path).is_some() || files::inode(&fresh).is_none() {
        return Ok(());
    }
    let connection = open::open(&fresh, now, Care::Shape, BUSY)?;
    let name: String = connection
        .query_row("SELECT value FROM agents_meta WHERE key = ?1", [SET_ASIDE], |row| row.get(0))
        .map_err(|source| opening(&fresh, source))?;
    connection.close().map_err(|(_, source)| opening(&fresh, source))?;
    let damaged = path.with_file_name(name);
    if files::inode(&damaged).is_none() {
        // Nothing was moved: whoever removed the file since wants an empty one.
        return Ok(files::remove(&fresh)?);
    }
    move_aside(path, &damaged)?;
    take_place(&fresh, path)
}

impl Store {
    /// Name of the file that was set aside, in the same folder, until [`Self::clear_set_aside`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_aside(&self) -> Result<Option<String>, StoreError> {
        self.read(|view| view.meta(SET_ASIDE)).await
    }

    /// Forgets that a file was set aside; the file itself stays.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn clear_set_aside(&self) -> Result<(), StoreError> {
        self.write(|change| change.sql.execute("DELETE FROM agents_meta WHERE key = ?1", [SET_ASIDE]).map(drop)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        AgentProcess,
        scratch::{Scratch, id, now, row},
    };

    const NAME: &str = "queue.sqlite.damaged-20261121-100000Z";

    async fn used(run: bool) -> (PathBuf, tempfile::TempDir) {
        let scratch = Scratch::new();
        let me = crate::model::ProcessIdentity { pid: 1, start_ticks: 1, boot_id: "b".to_owned() };
        if run {
            scratch.store.claim_run("a", &me, now(), |_| false).await.unwrap();
        }
        scratch.store.epoch_of(AgentProcess { pane_id: "%0".to_owned(), process: me }, now()).await.unwrap();
        for n in 0..20 {
            scratch.accept_together((n * 100..(n + 1) * 100).map(row).collect()).await;
        }
        scratch.end()
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        let entries = std::fs::read_dir(folder.path()).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Overwrites the oldest page of the journal, which opening the file does not read.
    fn damage(path: &Path) {
        let page: u64 = Scratch::open_raw(path)
            .query_row(
                "SELECT pageno FROM dbstat WHERE name = 'agents_journal' AND pagetype = 'leaf' ORDER BY path LIMIT 1",
                [],
                |row| row.get(0),
            )
            .unwrap();
        let mut bytes = std::fs::read(path).unwrap();
        let at = usize::try_from((page - 1) * 4096).unwrap();
        bytes[at..at + 4096].fill(0xff);
        files::replace(path, &bytes, files::Durability::Process).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_queue_is_set_aside_and_the_fresh_one_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        let garbage = vec![7; 4096];
        files::replace(&path, &garbage, files::Durability::Process).unwrap();
        files::replace(&folder.path().join("queue.sqlite-wal"), b"its log", files::Durability::Process).unwrap();
        let Opened { store, thread, damage } = open_or_set_aside(&path, now()).unwrap();
        assert!(damage.unwrap().contains("not a database"));
        assert_eq!(store.set_aside().await.unwrap().as_deref(), Some(NAME));
        assert_eq!(files::read(&folder.path().join(NAME)).unwrap(), garbage);
        assert_eq!(files::read(&folder.path().join(format!("{NAME}-wal"))).unwrap(), b"its log");
        store.accept(row(1), 9).await.unwrap();
        drop(store);
        thread.join().unwrap();

        let Opened { store, damage, .. } = open_or_set_aside(&path, now()).unwrap();
        assert_eq!(damage, None);
        assert_eq!(store.set_aside().await.unwrap().as_deref(), Some(NAME), "until somebody says otherwise");
        assert!(store.show(&id(1)).await.unwrap().is_some());
        store.clear_set_aside().await.unwrap();
        assert_eq!(store.set_aside().await.unwrap(), None);
        assert!(folder.path().join(NAME).exists());
    }

    #[tokio::test]
    async fn a_foreign_database_is_set_aside_and_two_in_one_second_have_two_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        for name in [NAME.to_owned(), format!("{NAME}-2")] {
            files::remove(&path).unwrap();
            Scratch::open_raw(&path).execute_batch("CREATE TABLE gateway_requests (x)").unwrap();
            let Opened { store, thread, damage } = open_or_set_aside(&path, now()).unwrap();
            assert!(damage.unwrap().contains("no column"));
            assert_eq!(store.set_aside().await.unwrap(), Some(name));
            drop(store);
            thread.join().unwrap();
        }
    }

    #[tokio::test]
    async fn a_newer_file_is_refused_and_not_moved() {
        let (path, folder) = used(false).await;
        Scratch::open_raw(&path).execute("UPDATE agents_meta SET value = '9'", []).unwrap();
        assert!(matches!(open_or_set_aside(&path, now()), Err(StoreError::Newer { found: 9, .. })));
        assert!(names(&folder).iter().all(|name| !name.contains("damaged") && !name.contains("fresh")));
    }

    #[tokio::test]
    async fn every_page_is_looked_at_after_a_disorderly_end() {
        let (path, _folder) = used(true).await;
        damage(&path);
        let Opened { store, damage, .. } = open_or_set_aside(&path, now()).unwrap();
        assert!(damage.is_some());
        assert_eq!(store.set_aside().await.unwrap().as_deref(), Some(NAME));
        assert_eq!(store.last_epoch().await.unwrap(), 0, "it is a fresh one");
    }

    #[tokio::test]
    async fn damage_that_is_met_later_ends_the_stores_use() {
        let (path, _folder) = used(false).await;
        damage(&path);
        let Opened { store, damage, .. } = open_or_set_aside(&path, now()).unwrap();
        assert_eq!(damage, None, "the last run ended orderly; nobody looked");
        let met = store.journal_after(0, None, 10).await;
        assert!(matches!(met, Err(StoreError::Corrupt { .. })), "{met:?}");
        assert!(store.health().borrow().as_deref().unwrap().contains("damaged"));
        let refused = store.accept(row(9999), 1).await;
        assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn a_crash_between_any_two_steps_of_setting_aside_loses_nothing() {
        // All that a crash can leave, told by what lies in the folder.
        for moved in 0..3 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("queue.sqlite");
            files::replace(&path, &[7; 4096], files::Durability::Process).unwrap();
            files::replace(&beside(&path, "-wal"), b"its log", files::Durability::Process).unwrap();
            let fresh = make_fresh(&path, NAME, now()).unwrap();
            for ending in &SIDE_FILES[..moved] {
                files::rename(&beside(&path, ending), &folder.path().join(format!("{NAME}{ending}"))).unwrap();
            }
            let Opened { store, .. } = open_or_set_aside(&path, now()).unwrap();
            assert_eq!(store.set_aside().await.unwrap().as_deref(), Some(NAME));
            assert_eq!(files::read(&folder.path().join(NAME)).unwrap(), [7; 4096]);
            assert_eq!(files::read(&folder.path().join(format!("{NAME}-wal"))).unwrap(), b"its log");
            assert!(!fresh.exists());
        }
    }

    #[tokio::test]
    async fn a_fresh_file_that_nothing_was_moved_for_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        make_fresh(&path, NAME, now()).unwrap();
        let Opened { store, .. } = open_or_set_aside(&path, now()).unwrap();
        assert_eq!(store.set_aside().await.unwrap(), None);
    }

    /// What a power cut can leave of the log is a prefix of it, of any length.
    #[tokio::test]
    async fn a_log_that_ends_anywhere_opens_to_whole_changes() {
        let scratch = Scratch::new();
        for n in 0..4 {
            scratch.accept_together((n * 10..n * 10 + 5).map(row).collect()).await;
            scratch.store.begin(&id(n * 10), now(), Vec::new()).await.unwrap();
        }
        let (whole, log) = (files::read(&scratch.path).unwrap(), files::read(&beside(&scratch.path, "-wal")).unwrap());
        let mut seen = Vec::new();
        for cut in (0..log.len()).step_by(1013).chain([log.len()]) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("queue.sqlite");
            files::replace(&path, &whole, files::Durability::Process).unwrap();
            files::replace(&beside(&path, "-wal"), &log[..cut], files::Durability::Process).unwrap();
            let Opened { store, damage, .. } = open_or_set_aside(&path, now()).unwrap();
            assert_eq!(damage, None, "at {cut}");
            let rows = store.list(crate::store::ListFilter { state: None, before: None, limit: 99 }).await.unwrap();
            let entries = store.journal_after(0, None, 999).await.unwrap();
            assert_eq!((rows.len(), entries.len()), (rows.len() / 5 * 5, rows.len()), "whole batches at {cut}");
            assert_eq!(store.depth(1).await.unwrap().waiting, rows.len() as u64);
            seen.push(rows.len());
        }
        assert!(seen.is_sorted(), "{seen:?}");
        assert_eq!((seen.first(), seen.last()), (Some(&0), Some(&20)));
    }
}

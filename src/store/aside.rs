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

/// The fresh file, as long as it waits for its place.
fn fresh_of(path: &Path) -> PathBuf {
    beside(path, ".fresh")
}

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
    let fresh = fresh_of(path);
    for ending in SIDE_FILES {
        files::remove(&beside(&fresh, ending))?;
    }
    let connection = open::open(&fresh, now, Care::Shape, BUSY)?;
    let name = damaged.file_name().unwrap_or_default().to_string_lossy().into_owned();
    connection
        .execute("INSERT OR REPLACE INTO agents_meta (key, value) VALUES (?1, ?2)", [SET_ASIDE, &name])
        .map_err(|source| opening(&fresh, source))?;
    // Closing moves the write-ahead log into the file, so that one rename carries all of it.
    connection.close().map_err(|(_, source)| opening(&fresh, source))?;
    move_aside(path, &damaged)?;
    take_place(&fresh, path)
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
    let fresh = fresh_of(path);
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

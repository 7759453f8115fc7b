//! Kernel locks on files that are never rewritten or removed. A free lock always beats a record.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fs2::FileExt;
use rustix::fs::OFlags;

use super::files::{self, FileError};

/// An exclusive lock, held until the value is dropped or the process dies.
#[derive(Debug)]
pub struct Lock {
    // Held for its descriptor; the kernel frees the lock when it closes. Close-on-exec, so no child inherits it.
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock if it is free right now.
    ///
    /// # Errors
    /// [`FileError`] if the lock file cannot be opened; `Ok(None)` if somebody holds it.
    pub fn try_take(path: &Path) -> Result<Option<Self>, FileError> {
        // The path may be replaced between opening and locking: then the lock guards nothing, so try the new file.
        for _ in 0..8 {
            let file = open(path)?;
            match file.try_lock_exclusive() {
                Ok(()) => {}
                Err(error) if error.kind() == fs2::lock_contended_error().kind() => return Ok(None),
                Err(source) => return Err(FileError::Io { doing: "lock", path: path.to_owned(), source }),
            }
            let lock = Self { file, path: path.to_owned() };
            if lock.is_still_the_path() {
                return Ok(Some(lock));
            }
        }
        Err(FileError::Io {
            doing: "lock",
            path: path.to_owned(),
            source: io::Error::other("the file keeps being replaced"),
        })
    }

    /// Takes the lock, waiting for its holder up to the limit.
    ///
    /// # Errors
    /// As [`Lock::try_take`]; `Ok(None)` when the limit passed.
    pub fn take_within(path: &Path, limit: Duration) -> Result<Option<Self>, FileError> {
        let deadline = now() + limit;
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(Some(lock));
            }
            if now() >= deadline {
                return Ok(None);
            }
            // flock has no timed wait; contention here means another attach, which takes tens of milliseconds.
            pause(Duration::from_millis(3));
        }
    }

    /// Is the locked file still the one at its path? If not, somebody removed or replaced it.
    pub fn is_still_the_path(&self) -> bool {
        let held = self.file.metadata().map(|meta| meta.ino()).ok();
        held.is_some() && held == files::inode(&self.path)
    }
}

/// Does somebody hold the lock? A missing file is a free lock; nothing is created.
///
/// # Errors
/// [`FileError`] if the file exists and cannot be opened.
pub fn is_held(path: &Path) -> Result<bool, FileError> {
    if files::inode(path).is_none() {
        return Ok(false);
    }
    // Shared, so that two who ask at once do not take each other for the holder.
    match FileExt::try_lock_shared(&open(path)?) {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == fs2::lock_contended_error().kind() => Ok(true),
        Err(source) => Err(FileError::Io { doing: "ask for the lock", path: path.to_owned(), source }),
    }
}

/// Waits until nobody holds the lock. `true` if it is free.
///
/// A killed process counts as ended before the last of its threads has closed its files.
///
/// # Errors
/// As [`is_held`].
pub fn wait_free(path: &Path, limit: Duration) -> Result<bool, FileError> {
    let deadline = now() + limit;
    while is_held(path)? {
        if now() >= deadline {
            return Ok(false);
        }
        pause(Duration::from_millis(3));
    }
    Ok(true)
}

#[expect(clippy::disallowed_methods, reason = "measures how long it has waited, nothing else")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the command line waits for a lock; no runtime runs on this thread")]
fn pause(span: Duration) {
    std::thread::sleep(span);
}

fn open(path: &Path) -> Result<File, FileError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(|source| FileError::Io { doing: "open the lock", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_exclusive_and_free_again_after_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!is_held(&path).unwrap());
        let held = Lock::try_take(&path).unwrap();
        assert!(held.is_some());
        assert!(Lock::try_take(&path).unwrap().is_none());
        assert!(is_held(&path).unwrap());
        drop(held);
        assert!(!is_held(&path).unwrap());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "plays the person who removes the lock file")]
    fn a_removed_lock_file_is_noticed_by_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = Lock::try_take(&path).unwrap().unwrap();
        assert!(held.is_still_the_path());
        std::fs::remove_file(&path).unwrap();
        assert!(!held.is_still_the_path());
        assert!(Lock::try_take(&path).unwrap().is_some(), "the new file is another lock");
    }
}

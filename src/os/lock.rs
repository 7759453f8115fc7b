//! Kernel locks on files that are never rewritten or removed. A free lock always beats a record.

use std::{
    fs::{File, OpenOptions, Permissions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
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

/// What came of one attempt to take a lock.
enum Attempt {
    Taken(Lock),
    Held,
    /// The file was removed or replaced meanwhile; what was locked guards nothing.
    Replaced,
}

impl Lock {
    /// Takes the lock if it is free right now.
    ///
    /// # Errors
    /// [`FileError`] if the lock file cannot be opened; `Ok(None)` if somebody holds it.
    pub fn try_take(path: &Path) -> Result<Option<Self>, FileError> {
        Self::try_take_as(path, 0o600)
    }

    fn try_take_as(path: &Path, mode: u32) -> Result<Option<Self>, FileError> {
        // The path may be replaced between opening and locking: then the lock guards nothing, so try the new file.
        for _ in 0..8 {
            match Self::attempt(path, mode)? {
                Attempt::Taken(lock) => return Ok(Some(lock)),
                Attempt::Held => return Ok(None),
                Attempt::Replaced => {}
            }
        }
        Err(FileError::Io {
            doing: "lock",
            path: path.to_owned(),
            source: io::Error::other("the file keeps being replaced"),
        })
    }

    fn attempt(path: &Path, mode: u32) -> Result<Attempt, FileError> {
        let file = open(path, mode)?;
        match file.try_lock_exclusive() {
            Ok(()) => {}
            Err(error) if error.kind() == fs2::lock_contended_error().kind() => return Ok(Attempt::Held),
            Err(source) => return Err(FileError::Io { doing: "lock", path: path.to_owned(), source }),
        }
        let lock = Self { file, path: path.to_owned() };
        Ok(if lock.is_still_the_path() { Attempt::Taken(lock) } else { Attempt::Replaced })
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
    match FileExt::try_lock_shared(&open(path, 0o600)?) {
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

/// A lock that others know as a file that exists while somebody works (`O_EXCL`), and that we hold in the kernel too.
///
/// Programs that only look whether the file is there wait for us, because ours is there while we work and gone
/// afterwards. We wait for theirs as long as it can be the work of somebody alive; then it counts as left by a dead one.
/// Among ourselves the kernel's lock alone decides, so that our own dead never make anybody wait.
#[derive(Debug)]
pub struct NamedLock {
    // Held for its descriptor.
    lock: Lock,
}

/// Mode bit of a lock file of ours, set by the call that makes it: tells it from one of another program.
const OUR_MARK: u32 = 0o1000;

impl NamedLock {
    /// Takes the lock, waiting for its holder up to the limit. A file that somebody else made and that stays for
    /// `foreign` is taken over.
    ///
    /// # Errors
    /// [`FileError`] if the lock file cannot be made or opened; `Ok(None)` when the limit passed.
    pub fn take_within(path: &Path, limit: Duration, foreign: Duration) -> Result<Option<Self>, FileError> {
        let start = now();
        // Since when a file of another program stands there, and which one.
        let mut stranger: Option<(u64, Instant)> = None;
        loop {
            match Lock::attempt(path, 0o600 | OUR_MARK)? {
                Attempt::Taken(lock) if lock.is_marked() => return Ok(Some(Self { lock })),
                Attempt::Taken(lock) => {
                    let inode = files::inode(path).unwrap_or_default();
                    let since = match stranger {
                        Some((seen, since)) if seen == inode => since,
                        _ => now(),
                    };
                    if now().duration_since(since) >= foreign {
                        lock.mark()?;
                        return Ok(Some(Self { lock }));
                    }
                    stranger = Some((inode, since));
                }
                // Its holder gave it back just now.
                Attempt::Replaced if limit > Duration::ZERO => continue,
                Attempt::Held | Attempt::Replaced => {}
            }
            if now().duration_since(start) >= limit {
                return Ok(None);
            }
            pause(Duration::from_millis(1));
        }
    }
}

impl Drop for NamedLock {
    fn drop(&mut self) {
        // While it is still locked: whoever waits for it finds that the name is another file's, and tries again.
        if self.lock.is_still_the_path() {
            drop(files::remove(&self.lock.path));
        }
    }
}

impl Lock {
    fn is_marked(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.mode() & OUR_MARK != 0)
    }

    fn mark(&self) -> Result<(), FileError> {
        self.file.set_permissions(Permissions::from_mode(0o600 | OUR_MARK)).map_err(|source| FileError::Io {
            doing: "lock",
            path: self.path.clone(),
            source,
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "measures how long it has waited, nothing else")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the command line waits for a lock; no runtime runs on this thread")]
fn pause(span: Duration) {
    std::thread::sleep(span);
}

fn open(path: &Path, mode: u32) -> Result<File, FileError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(mode)
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
    fn a_named_lock_is_there_while_it_is_held_and_gone_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let take =
            |limit| NamedLock::take_within(&path, Duration::from_millis(limit), Duration::from_millis(40)).unwrap();
        let held = take(0);
        assert!(held.is_some() && path.exists() && take(5).is_none());
        drop(held);
        assert!(!path.exists());
        // Left by one of ours that died: free at once.
        std::mem::forget(Lock::try_take_as(&path, 0o600 | OUR_MARK).unwrap().map(|lock| lock.file.unlock()));
        assert!(path.exists() && take(0).is_some());
        // Made by a program that only makes and removes files: waited for, and taken over when nobody can live any more.
        files::create_if_missing(&path).unwrap();
        assert!(take(10).is_none() && path.exists());
        assert!(take(10_000).is_some());
        assert!(!path.exists());
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

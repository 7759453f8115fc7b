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
        let mut wanted = NamedLocks::new(vec![path.to_owned()], foreign);
        Ok(wanted.take_within(limit)?.and_then(|mut locks| locks.pop()))
    }
}

/// Several named locks that are taken together: whoever waits for one of them holds none, so that nobody waits behind
/// somebody who waits.
#[derive(Debug)]
pub struct NamedLocks {
    paths: Vec<PathBuf>,
    /// A file of another program that stands there: which one, and since when.
    strangers: Vec<Option<(u64, Instant)>>,
    foreign: Duration,
    since: Instant,
    /// Place of the one that was held the last time. It is asked for first: while it is held the others are left alone.
    held: usize,
}

/// What came of one attempt to take one of them.
enum Named {
    Taken(NamedLock),
    Held,
    /// It is another program's, which may be dead.
    Strange,
}

impl NamedLocks {
    /// The locks at these paths. Nothing is taken yet; the time of waiting begins.
    pub fn new(paths: Vec<PathBuf>, foreign: Duration) -> Self {
        Self { strangers: vec![None; paths.len()], paths, foreign, since: now(), held: 0 }
    }

    /// Takes all of them if they are free right now, or none.
    ///
    /// # Errors
    /// [`FileError`] if a lock file cannot be made or opened; `Ok(None)` if somebody holds one.
    pub fn try_take(&mut self) -> Result<Option<Vec<NamedLock>>, FileError> {
        let (first, mut taken, mut is_free) = (self.held, Vec::new(), true);
        let others = (0..self.paths.len()).filter(|place| *place != first);
        for place in std::iter::once(first).chain(others) {
            match self.attempt(place)? {
                Named::Taken(lock) => taken.push(lock),
                Named::Held => {
                    self.held = place;
                    return Ok(None);
                }
                // A dead program may have left several, which are waited for at the same time.
                Named::Strange => {
                    self.held = place;
                    is_free = false;
                }
            }
        }
        Ok(is_free.then_some(taken))
    }

    /// Takes all of them, waiting up to the limit from when they were first wanted.
    ///
    /// # Errors
    /// As [`NamedLocks::try_take`]; `Ok(None)` when the limit passed.
    pub fn take_within(&mut self, limit: Duration) -> Result<Option<Vec<NamedLock>>, FileError> {
        loop {
            if let Some(locks) = self.try_take()? {
                return Ok(Some(locks));
            }
            if self.waited() >= limit {
                return Ok(None);
            }
            pause(self.pause());
        }
    }

    /// For how long they have been wanted.
    pub fn waited(&self) -> Duration {
        now().duration_since(self.since)
    }

    /// When to try again: soon at first, for most work takes milliseconds, then more rarely.
    pub fn pause(&self) -> Duration {
        (self.waited() / 50).clamp(Duration::from_millis(1), Duration::from_millis(20))
    }

    /// The one that was held at the last attempt.
    pub fn held(&self) -> &Path {
        self.paths.get(self.held).map_or_else(|| Path::new(""), PathBuf::as_path)
    }

    fn attempt(&mut self, place: usize) -> Result<Named, FileError> {
        let Some(path) = self.paths.get(place) else { return Ok(Named::Held) };
        // Whoever gives a lock back removes its file: then the new one is asked for.
        for _ in 0..8 {
            let lock = match Lock::attempt(path, 0o600 | OUR_MARK)? {
                Attempt::Taken(lock) => lock,
                Attempt::Held => return Ok(Named::Held),
                Attempt::Replaced => continue,
            };
            if lock.is_marked() {
                return Ok(Named::Taken(NamedLock { lock }));
            }
            let inode = files::inode(path).unwrap_or_default();
            let since = match self.strangers[place] {
                Some((seen, since)) if seen == inode => since,
                _ => now(),
            };
            self.strangers[place] = Some((inode, since));
            if now().duration_since(since) < self.foreign {
                return Ok(Named::Strange);
            }
            lock.mark()?;
            return Ok(Named::Taken(NamedLock { lock }));
        }
        Ok(Named::Held)
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
    fn whoever_waits_for_one_of_several_locks_holds_none() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
        let foreign = Duration::from_millis(40);
        let want = |paths: &[&PathBuf]| NamedLocks::new(paths.iter().map(|path| (*path).clone()).collect(), foreign);
        let one = want(&[&b]).try_take().unwrap().unwrap();
        let mut all = want(&[&a, &b, &c]);
        assert!(all.try_take().unwrap().is_none());
        assert_eq!(all.held(), b);
        assert!(all.take_within(Duration::from_millis(5)).unwrap().is_none());
        assert!(!a.exists() && !c.exists(), "the others were left alone");
        let others = want(&[&c, &a]).try_take().unwrap().unwrap();
        drop(one);
        assert!(all.try_take().unwrap().is_none() && !b.exists());
        drop(others);
        assert_eq!(all.try_take().unwrap().unwrap().len(), 3);
        // What a dead program left behind is waited for at once, not one after the other.
        for path in [&a, &b, &c] {
            files::create_if_missing(path).unwrap();
        }
        let mut all = NamedLocks::new(vec![a, b, c], Duration::from_secs(1));
        assert!(all.try_take().unwrap().is_none());
        assert!(all.strangers.iter().all(Option::is_some), "{all:?}");
        all.foreign = Duration::ZERO;
        assert!(all.try_take().unwrap().is_some());
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

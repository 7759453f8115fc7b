//! Files below one folder, on the word of an outsider: no path leads out of it, whatever is a link now or a moment later.
//!
//! The kernel keeps the promise (`openat2` with `RESOLVE_BENEATH`); every later step starts from the folder that it opened.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};
use uuid::Uuid;

/// Most entries of one listing, and the deepest folder that is gone into.
const MOST_ENTRIES: usize = 20_000;
const DEEPEST: usize = 64;
/// How often the kernel may ask for another try because something was renamed meanwhile.
const TRIES: usize = 256;
/// Temporary files of a writer; what a dead one left is not listed.
const TEMPORARY: (&str, &str) = (".agents-", ".tmp");

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum BeneathError {
    /// The path leads out of the folder.
    #[error("it leads out of the folder through a link")]
    Escapes,
    /// There is nothing of this name.
    #[error("there is nothing of this name")]
    Missing,
    /// It is another kind of thing than was asked for.
    #[error("it is {0}")]
    Kind(&'static str),
    /// More than this program takes.
    #[error("{0}")]
    TooMuch(String),
    /// The system said no.
    #[error("could not {doing} it: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// What stands somewhere. A link is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A plain file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A pipe, a socket, a device.
    Other,
}

impl Kind {
    fn of(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            _ => Self::Other,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Directory => "a folder",
            Self::Symlink => "a symbolic link",
            Self::Other => "a device, pipe or socket",
        }
    }
}

/// One thing in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Below the folder, without a leading `/`.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes of a plain file.
    pub size: Option<u64>,
}

fn failed(doing: &'static str) -> impl Fn(Errno) -> BeneathError {
    move |error| match error {
        Errno::XDEV => BeneathError::Escapes,
        Errno::NOENT | Errno::NOTDIR => BeneathError::Missing,
        other => BeneathError::Io { doing, source: other.into() },
    }
}

fn broke(doing: &'static str) -> impl Fn(std::io::Error) -> BeneathError {
    move |source| BeneathError::Io { doing, source }
}

/// A folder that no path leads out of. Paths are relative, without `..`; the empty one is the folder itself.
#[derive(Debug)]
pub struct Beneath(OwnedFd);

impl Beneath {
    /// Opens the folder, which is no link itself.
    ///
    /// # Errors
    /// [`BeneathError`].
    pub fn open(folder: &Path) -> Result<Self, BeneathError> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, folder, flags, Mode::empty()).map(Self).map_err(|error| match error {
            Errno::LOOP | Errno::NOTDIR => BeneathError::Kind("not a folder of its own, but a link or a file"),
            other => failed("open")(other),
        })
    }

    /// A folder below this one, as a world of its own.
    ///
    /// # Errors
    /// [`BeneathError`].
    pub fn below(&self, path: &str) -> Result<Self, BeneathError> {
        self.at(path, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).map(Self).map_err(failed("open"))
    }

    /// Makes a folder and those above it.
    ///
    /// # Errors
    /// [`BeneathError`].
    pub fn make_folders(&self, path: &str) -> Result<(), BeneathError> {
        let mut made = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let parent = self.at(&made, OFlags::DIRECTORY | OFlags::PATH, Mode::empty()).map_err(failed("open"))?;
            if !made.is_empty() {
                made.push('/');
            }
            made.push_str(name);
            match self.at(&made, OFlags::DIRECTORY | OFlags::PATH, Mode::empty()) {
                Ok(_) => {}
                Err(Errno::NOENT) => match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(failed("make")(error)),
                },
                Err(Errno::NOTDIR) => return Err(BeneathError::Kind("below a file")),
                Err(error) => return Err(failed("open")(error)),
            }
        }
        Ok(())
    }

    /// What stands there, its size, and whether a link stays inside. `None` if there is nothing.
    ///
    /// # Errors
    /// [`BeneathError::Escapes`] also for a link that leads out.
    pub fn look(&self, path: &str) -> Result<Option<(Kind, Option<u64>)>, BeneathError> {
        let found = match self.at(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(failed("look at")(error)),
        };
        let stat = rustix::fs::fstat(&found).map_err(failed("look at"))?;
        let kind = Kind::of(&stat);
        if kind == Kind::Symlink
            && let Err(Errno::XDEV) = self.at(path, OFlags::PATH, Mode::empty())
        {
            return Err(BeneathError::Escapes);
        }
        Ok(Some((kind, size(&stat, kind))))
    }

    /// A whole plain file of at most `largest` bytes.
    ///
    /// # Errors
    /// [`BeneathError`].
    pub fn read(&self, path: &str, largest: u64) -> Result<Vec<u8>, BeneathError> {
        // NONBLOCK: a pipe that somebody planted must not wait for a writer.
        let file = self.at(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).map_err(failed("open"))?;
        let stat = rustix::fs::fstat(&file).map_err(failed("look at"))?;
        let kind = Kind::of(&stat);
        if kind != Kind::File {
            return Err(BeneathError::Kind(kind.word()));
        }
        let length = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        if length > largest {
            return Err(BeneathError::TooMuch(format!("it has {length} bytes; at most {largest} are read")));
        }
        let mut bytes = Vec::new();
        File::from(file).take(largest).read_to_end(&mut bytes).map_err(broke("read"))?;
        Ok(bytes)
    }

    /// Replaces a file in one step, or makes it and the folders above it. A link that stays inside is written through.
    ///
    /// # Errors
    /// [`BeneathError`]; the old file is then untouched.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<(), BeneathError> {
        let place = self.place_of(path)?;
        let (folder, name) = self.folder_of(&place)?;
        let temporary = format!("{}{}{}", TEMPORARY.0, Uuid::new_v4().simple(), TEMPORARY.1);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, &temporary, flags, Mode::RUSR | Mode::WUSR).map_err(failed("write"))?;
        let mut file = File::from(file);
        let written = file.write_all(bytes).and_then(|()| file.sync_all()).map_err(broke("write")).and_then(|()| {
            rustix::fs::renameat(&folder, &temporary, &folder, name).map_err(|error| match error {
                Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST => BeneathError::Kind(Kind::Directory.word()),
                other => failed("replace")(other),
            })
        });
        if written.is_err() {
            // The cause is what the caller must hear; nobody lists the rest.
            rustix::fs::unlinkat(&folder, &temporary, AtFlags::empty()).unwrap_or_default();
            return written;
        }
        rustix::fs::fsync(&folder).map_err(failed("sync"))
    }

    /// Adds to the end of a file, or makes it and the folders above it.
    ///
    /// # Errors
    /// [`BeneathError`].
    pub fn append(&self, path: &str, bytes: &[u8]) -> Result<(), BeneathError> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.make_folders(parent)?;
        }
        let flags = OFlags::CREATE | OFlags::APPEND | OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.at(path, flags, Mode::RUSR | Mode::WUSR).map_err(|error| match error {
            Errno::ISDIR => BeneathError::Kind(Kind::Directory.word()),
            Errno::NOTDIR => BeneathError::Kind("below a file"),
            other => failed("open")(other),
        })?;
        let kind = Kind::of(&rustix::fs::fstat(&file).map_err(failed("look at"))?);
        if kind != Kind::File {
            return Err(BeneathError::Kind(kind.word()));
        }
        let mut file = File::from(file);
        file.write_all(bytes).and_then(|()| file.sync_data()).map_err(broke("write"))
    }

    /// Removes a file, a link (and not what it leads to), or a folder with everything in it.
    ///
    /// # Errors
    /// [`BeneathError`]; of a folder, a part may be gone then.
    pub fn remove(&self, path: &str) -> Result<(), BeneathError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = self.at(parent, OFlags::DIRECTORY | OFlags::PATH, Mode::empty()).map_err(failed("open"))?;
        remove_at(folder.as_fd(), OsStr::new(name), 0)?;
        Ok(())
    }

    /// Everything below a folder, in the order of its paths; links are listed and not followed.
    ///
    /// # Errors
    /// [`BeneathError`].
    pub fn tree(&self, path: &str) -> Result<Vec<Entry>, BeneathError> {
        let folder = self.at(path, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).map_err(failed("list"))?;
        let mut found = Vec::new();
        list(folder, path, 0, &mut found)?;
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    fn at(&self, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { "." } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut last = Errno::AGAIN;
        for _ in 0..TRIES {
            match rustix::fs::openat2(&self.0, path, flags | OFlags::CLOEXEC, mode, resolve) {
                Err(error @ (Errno::AGAIN | Errno::INTR)) => last = error,
                done => return done,
            }
        }
        Err(last)
    }

    /// Where a file really is to be written: a link that stays inside leads to another place.
    fn place_of(&self, path: &str) -> Result<String, BeneathError> {
        let found = match self.at(path, OFlags::PATH, Mode::empty()) {
            Ok(found) => found,
            Err(Errno::NOENT) => {
                // Nothing, or a link to nothing, whose end nobody can name safely.
                return match self.look(path)? {
                    Some(_) => Err(BeneathError::Kind("a link to nothing")),
                    None => Ok(path.to_owned()),
                };
            }
            Err(Errno::NOTDIR) => return Err(BeneathError::Kind("below a file")),
            Err(error) => return Err(failed("open")(error)),
        };
        let kind = Kind::of(&rustix::fs::fstat(&found).map_err(failed("look at"))?);
        if kind != Kind::File {
            return Err(BeneathError::Kind(kind.word()));
        }
        let (root, real) = (name_of(&self.0)?, name_of(&found)?);
        // Moved away meanwhile: the path is taken as it was given, and resolved again.
        let inside = real.strip_prefix(&root).ok().and_then(Path::to_str);
        Ok(inside.filter(|inside| !inside.is_empty()).unwrap_or(path).to_owned())
    }

    /// The folder of a file, made if it is missing, and the file's name in it.
    fn folder_of<'p>(&self, path: &'p str) -> Result<(OwnedFd, &'p str), BeneathError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.make_folders(parent)?;
        let folder = self.at(parent, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).map_err(failed("open"))?;
        Ok((folder, name))
    }
}

/// The path of something open, as the kernel knows it now.
fn name_of(open: &OwnedFd) -> Result<PathBuf, BeneathError> {
    std::fs::read_link(format!("/proc/self/fd/{}", open.as_raw_fd())).map_err(broke("find"))
}

fn size(stat: &Stat, kind: Kind) -> Option<u64> {
    (kind == Kind::File).then(|| u64::try_from(stat.st_size).unwrap_or_default())
}

fn too_deep() -> BeneathError {
    BeneathError::TooMuch(format!("folders lie more than {DEEPEST} deep"))
}

/// Removes one name of an open folder. What is behind a link stays.
fn remove_at(folder: std::os::fd::BorrowedFd<'_>, name: &OsStr, depth: usize) -> Result<(), BeneathError> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => return Ok(()),
        // The kernel's word for a folder.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(failed("remove")(error)),
    }
    if depth >= DEEPEST {
        return Err(too_deep());
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let inner = rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(|error| match error {
        // It was no folder after all, or is none any more.
        Errno::NOTDIR | Errno::LOOP => BeneathError::Io { doing: "remove", source: Errno::BUSY.into() },
        other => failed("remove")(other),
    })?;
    for entry in Dir::read_from(&inner).map_err(failed("list"))? {
        let entry = entry.map_err(failed("list"))?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            match remove_at(inner.as_fd(), OsStr::from_bytes(name), depth + 1) {
                Ok(()) | Err(BeneathError::Missing) => {}
                Err(error) => return Err(error),
            }
        }
    }
    rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR).map_err(failed("remove"))
}

fn list(folder: OwnedFd, path: &str, depth: usize, found: &mut Vec<Entry>) -> Result<(), BeneathError> {
    if depth > DEEPEST {
        return Err(too_deep());
    }
    for entry in Dir::read_from(&folder).map_err(failed("list"))? {
        let entry = entry.map_err(failed("list"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_temporary = name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1);
        if name == "." || name == ".." || is_temporary {
            continue;
        }
        // Gone since it was listed.
        let Ok(stat) = rustix::fs::statat(&folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
        if found.len() >= MOST_ENTRIES {
            return Err(BeneathError::TooMuch(format!("there are more than {MOST_ENTRIES} entries")));
        }
        let kind = Kind::of(&stat);
        let below = if path.is_empty() { name } else { format!("{path}/{name}") };
        found.push(Entry { path: below.clone(), kind, size: size(&stat, kind) });
        if kind == Kind::Directory {
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
            if let Ok(inner) = rustix::fs::openat(&folder, entry.file_name(), flags, Mode::empty()) {
                list(inner, &below, depth + 1, found)?;
            }
        }
    }
    drop(folder);
    Ok(())
}

#[cfg(test)]
#[path = "beneath/tests.rs"]
mod tests;

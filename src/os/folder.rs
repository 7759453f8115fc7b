//! A folder held by its descriptor: what is done in it happens there, whatever its path leads to by then, and no link is
//! ever followed.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, CWD, FileType, Mode, OFlags},
    io::Errno,
};

use super::files::{self, FileError};

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

/// What a name in a folder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Missing,
    /// A plain file.
    Plain,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

const AS_FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens a folder that is itself no link.
    ///
    /// # Errors
    /// [`FileError::NotFolder`] for a link or a file, [`FileError::Missing`], [`FileError::Io`].
    pub fn open(path: &Path) -> Result<Self, FileError> {
        Self::at(CWD, path, path.to_owned())
    }

    /// Opens a folder in this one.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn child(&self, name: &str) -> Result<Self, FileError> {
        Self::at(&self.handle, Path::new(name), self.path.join(name))
    }

    /// Opens a folder in this one, and makes it with mode 0700 if there is nothing of that name.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn make(&self, name: &str) -> Result<Self, FileError> {
        match fs::mkdirat(&self.handle, name, Mode::RWXU) {
            Ok(()) => self.sync()?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("create", &self.path.join(name), error)),
        }
        self.child(name)
    }

    fn at(handle: impl std::os::fd::AsFd, name: &Path, path: PathBuf) -> Result<Self, FileError> {
        match fs::openat(handle, name, AS_FOLDER, Mode::empty()) {
            Ok(handle) => Ok(Self { handle, path }),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                let is_link = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_symlink());
                let what = if is_link { "a symbolic link" } else { "a file" };
                Err(FileError::NotFolder { path, what })
            }
            Err(error) => Err(failed("open", &path, error)),
        }
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stands under this name.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn kind(&self, name: &str) -> Result<Kind, FileError> {
        match fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Kind::Plain,
                FileType::Directory => Kind::Folder,
                FileType::Symlink => Kind::Link,
                _ => Kind::Other,
            }),
            Err(Errno::NOENT) => Ok(Kind::Missing),
            Err(error) => Err(failed("look at", &self.path.join(name), error)),
        }
    }

    /// Names of all that is in it, sorted.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn names(&self) -> Result<Vec<String>, FileError> {
        let read = |error| failed("read", &self.path, error);
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&self.handle).map_err(read)? {
            let name = entry.map_err(read)?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads a whole plain file of at most so many bytes.
    ///
    /// # Errors
    /// [`FileError`] for anything else.
    pub fn read(&self, name: &str, largest: u64) -> Result<Vec<u8>, FileError> {
        let path = self.path.join(name);
        // NONBLOCK: opening a pipe that somebody planted must not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => File::from(handle),
            Err(Errno::LOOP) => return Err(FileError::NotPlain { path, what: "a symbolic link" }),
            Err(error) => return Err(failed("open", &path, error)),
        };
        let io = |doing| {
            let path = path.clone();
            move |source| FileError::Io { doing, path, source }
        };
        let meta = file.metadata().map_err(io("look at"))?;
        if !meta.is_file() {
            let what = if meta.is_dir() { "a folder" } else { "a device, pipe or socket" };
            return Err(FileError::NotPlain { path, what });
        }
        if meta.len() > largest {
            return Err(FileError::TooLarge { path, bytes: meta.len() });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
        file.take(largest).read_to_end(&mut bytes).map_err(io("read"))?;
        Ok(bytes)
    }

    /// Writes a new private file and waits until its bytes are on disk. Nothing is left of one that failed.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.path.join(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| failed("write", &path, error))?;
        let mut file = File::from(handle);
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|source| {
            drop(self.remove(name));
            FileError::Io { doing: "write", path, source }
        })
    }

    /// Gives a file a second name in another folder. A name that is already this file's is fine.
    ///
    /// # Errors
    /// [`FileError::Io`], also when another file has the name.
    pub fn link(&self, name: &str, other: &Self, other_name: &str) -> Result<(), FileError> {
        match fs::linkat(&self.handle, name, &other.handle, other_name, AtFlags::empty()) {
            Err(Errno::EXIST) if other.is_same(other_name, self, name) => Ok(()),
            linked => linked.map_err(|error| failed("create", &other.path.join(other_name), error)),
        }
    }

    /// Is it one file under two names?
    pub fn is_same(&self, name: &str, other: &Self, other_name: &str) -> bool {
        let stat = |folder: &Self, name: &str| fs::statat(&folder.handle, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        match (stat(self, name), stat(other, other_name)) {
            (Some(one), Some(two)) => (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino),
            _ => false,
        }
    }

    /// Makes a link that leads to `target`. A name that exists is fine if it leads there already.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn link_to(&self, name: &str, target: &Path) -> Result<(), FileError> {
        match fs::symlinkat(target, &self.handle, name) {
            Err(Errno::EXIST) if self.target(name).as_deref() == Some(target) => Ok(()),
            made => made.map_err(|error| failed("create", &self.path.join(name), error)),
        }
    }

    /// Where a link leads; `None` for anything but a link.
    pub fn target(&self, name: &str) -> Option<PathBuf> {
        let target = fs::readlinkat(&self.handle, name, Vec::new()).ok()?;
        Some(PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes())))
    }

    /// Renames within this folder or into another one; what had the name there is replaced.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn rename(&self, name: &str, other: &Self, other_name: &str) -> Result<(), FileError> {
        fs::renameat(&self.handle, name, &other.handle, other_name)
            .map_err(|error| failed("rename", &self.path.join(name), error))
    }

    /// Removes a file or a link, never what it leads to; one that is already gone is fine.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn remove(&self, name: &str) -> Result<(), FileError> {
        match fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed("remove", &self.path.join(name), error)),
        }
    }

    /// Removes what has this name, with all that is in it; links are removed and not followed.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn remove_all(&self, name: &str) -> Result<(), FileError> {
        match self.kind(name)? {
            Kind::Folder => files::remove_tree(&self.path.join(name)),
            _ => self.remove(name),
        }
    }

    /// Waits until the names in it are on disk.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn sync(&self) -> Result<(), FileError> {
        fs::fsync(&self.handle).map_err(|error| failed("sync", &self.path, error))
    }
}

fn failed(doing: &'static str, path: &Path, error: Errno) -> FileError {
    if error == Errno::NOENT {
        return FileError::Missing { path: path.to_owned() };
    }
    FileError::Io { doing, path: path.to_owned(), source: io::Error::from(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_followed_out_of_a_folder() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Folder::open(outside.path()).unwrap().write_new("secret", b"x").unwrap();
        let folder = Folder::open(inside.path()).unwrap();
        folder.link_to("away", outside.path()).unwrap();
        folder.link_to("file", &outside.path().join("secret")).unwrap();
        assert!(matches!(folder.child("away"), Err(FileError::NotFolder { what: "a symbolic link", .. })));
        assert!(matches!(folder.make("away"), Err(FileError::NotFolder { .. })));
        assert!(matches!(folder.read("file", 9), Err(FileError::NotPlain { .. })));
        assert!(folder.write_new("file", b"y").is_err());
        assert_eq!((folder.kind("away").unwrap(), folder.kind("none").unwrap()), (Kind::Link, Kind::Missing));
        folder.remove_all("away").unwrap();
        assert!(outside.path().join("secret").exists());
    }

    #[test]
    fn a_file_gets_a_second_name_and_a_link_once() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let other = folder.make("other").unwrap();
        folder.write_new("a", b"1").unwrap();
        folder.write_new("b", b"2").unwrap();
        folder.link("a", &other, "x").unwrap();
        folder.link("a", &other, "x").unwrap();
        assert!(folder.link("b", &other, "x").is_err());
        folder.link_to("l", Path::new("/a")).unwrap();
        folder.link_to("l", Path::new("/a")).unwrap();
        assert!(folder.link_to("l", Path::new("/b")).is_err());
        folder.rename("l", &other, "l").unwrap();
        assert_eq!(other.names().unwrap(), ["l", "x"]);
        assert_eq!(other.read("x", 9).unwrap(), b"1");
    }
}

//! Private files: read without following links out, replaced wholly or not at all.

#![expect(clippy::disallowed_methods, reason = "this module is the only one that writes and renames files")]

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::process;
use crate::model::{ProcessIdentity, shell_quote};

/// Largest file that is read into memory; a session's documents have a few kilobytes.
pub const LARGEST: u64 = 1024 * 1024;

/// Why a file could not be used. The path is always named.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("`{}` does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is a link, a folder, a pipe: anything but a plain file.
    #[error("`{}` is {what}, not a plain file", path.display())]
    NotPlain {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// It is a link or a file where a folder must be.
    #[error("`{}` is {what}, not a folder", path.display())]
    NotFolder {
        /// The component that is wrong.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// It is larger than [`LARGEST`].
    #[error("`{}` has {bytes} bytes, more than a session document can have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A folder that others could change.
    #[error("`{}` {why}", path.display())]
    Unsafe {
        /// The component that is wrong.
        path: PathBuf,
        /// Owner or mode, in words.
        why: String,
    },
    /// The system said no.
    #[error("could not {doing} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl FileError {
    /// What a person can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing { .. } => "check the path, or launch or join the session again".to_owned(),
            Self::NotPlain { path, .. } | Self::NotFolder { path, .. } => {
                format!("look at it with `ls -ld {}`; nothing was followed or changed", quoted(path))
            }
            Self::TooLarge { path, .. } => format!("look at it with `ls -l {}`", quoted(path)),
            Self::Unsafe { path, .. } => {
                format!("make it yours alone: `chmod 700 {0}` and `chown $(id -u) {0}`", quoted(path))
            }
            Self::Io { source, path, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    format!("free some space on the disk that holds `{}`", path.display())
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    "the file system is read-only; choose another place with `--home`".to_owned()
                }
                io::ErrorKind::PermissionDenied => format!("check owner and mode with `ls -ld {}`", quoted(path)),
                _ => "run `agents doctor`".to_owned(),
            },
        }
    }
}

/// The path as one word of a command.
fn quoted(path: &Path) -> String {
    shell_quote(&path.to_string_lossy())
}

impl From<FileError> for crate::model::Failure {
    fn from(error: FileError) -> Self {
        use crate::model::ErrorCode;
        let code = match &error {
            FileError::Missing { .. } => ErrorCode::TargetNotFound,
            FileError::Io { .. } => ErrorCode::Internal,
            _ => ErrorCode::Refused,
        };
        Self::new(code, error.to_string(), error.hint())
    }
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> FileError {
    if source.kind() == io::ErrorKind::NotFound {
        return FileError::Missing { path: path.to_owned() };
    }
    FileError::Io { doing, path: path.to_owned(), source }
}

/// Reads a whole plain file. The last component is never followed if it is a link.
///
/// # Errors
/// [`FileError`] for anything but a plain file of at most [`LARGEST`] bytes.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    read_checked(path, LARGEST, |_| Ok(()))
}

/// Reads a file that holds a secret: nobody but this user may read or change it.
///
/// # Errors
/// As [`read`], and [`FileError::Unsafe`] with owner or mode.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, FileError> {
    read_checked(path, LARGEST, |meta| {
        let me = rustix::process::geteuid().as_raw();
        let mode = meta.permissions().mode() & 0o7777;
        if meta.uid() != me {
            return Err(format!("belongs to user {}, not to user {me}", meta.uid()));
        }
        if mode & 0o077 != 0 {
            return Err(format!("can be read by others (mode {mode:04o})"));
        }
        Ok(())
    })
}

/// Reads a whole plain file of at most `largest` bytes, as something to send away.
///
/// # Errors
/// As [`read`].
pub fn read_within(path: &Path, largest: u64) -> Result<Vec<u8>, FileError> {
    read_checked(path, largest, |_| Ok(()))
}

/// Reads a file of the system's, which may be a link: nothing that a session or an outsider named.
///
/// # Errors
/// As [`read`].
pub fn read_linked(path: &Path) -> Result<Vec<u8>, FileError> {
    let real = fs::canonicalize(path).map_err(|source| io_error("find", path, source))?;
    read_checked(&real, 16 * LARGEST, |_| Ok(()))
}

fn read_checked(
    path: &Path,
    largest: u64,
    check: impl Fn(&fs::Metadata) -> Result<(), String>,
) -> Result<Vec<u8>, FileError> {
    // NONBLOCK: opening a pipe that somebody planted must not wait for a writer.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let opened = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path);
    let file = opened.map_err(|source| {
        if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            return FileError::NotPlain { path: path.to_owned(), what: "a symbolic link" };
        }
        io_error("open", path, source)
    })?;
    let meta = file.metadata().map_err(|source| io_error("look at", path, source))?;
    if !meta.is_file() {
        let what = if meta.is_dir() { "a folder" } else { "a device, pipe or socket" };
        return Err(FileError::NotPlain { path: path.to_owned(), what });
    }
    check(&meta).map_err(|why| FileError::Unsafe { path: path.to_owned(), why })?;
    if meta.len() > largest {
        return Err(FileError::TooLarge { path: path.to_owned(), bytes: meta.len() });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    file.take(largest).read_to_end(&mut bytes).map_err(|source| io_error("read", path, source))?;
    Ok(bytes)
}

/// How much a replaced file must survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A dead process. The page cache holds the bytes.
    Process,
    /// A power cut: file and folder are synced.
    Disk,
}

/// Replaces a file in one step: a reader sees the old bytes or the new ones. Mode 0600 from the start.
///
/// # Errors
/// [`FileError::Io`]; the old file is then untouched and no temporary file stays.
pub fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), FileError> {
    replace_with(path, durability, |file| file.write_all(bytes))
}

/// As [`replace`], for bytes that are made while they are written.
///
/// # Errors
/// As [`replace`].
pub fn replace_with(
    path: &Path,
    durability: Durability,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), FileError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", writer_mark(&process::myself())));
    let written = write_new(&temporary, durability, write)
        .and_then(|()| fs::rename(&temporary, path).map_err(|source| io_error("replace", path, source)));
    if let Err(error) = written {
        // The cause is what the caller must hear; a temporary that cannot go is swept at a later start.
        drop(fs::remove_file(&temporary));
        return Err(rename_path(error, path));
    }
    if durability == Durability::Disk {
        sync_folder_of(path)?;
    }
    Ok(())
}

/// The last part of a temporary's name: who writes it, so that a sweep knows a dead writer's file at once.
fn writer_mark(writer: &ProcessIdentity) -> String {
    let unique = Uuid::new_v4().simple().to_string();
    format!("{}-{}-{}", writer.pid, writer.start_ticks, &unique[..8])
}

/// Does a temporary's mark name a writer that is gone? `None` for a name of another shape.
fn is_of_the_dead(mark: &str) -> Option<bool> {
    let (pid, rest) = mark.split_once('-')?;
    let (start_ticks, unique) = rest.split_once('-')?;
    let (pid, start_ticks): (u32, u64) = (pid.parse().ok()?, start_ticks.parse().ok()?);
    let is_unique = unique.len() == 8 && unique.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_unique.then(|| process::identify(pid).is_none_or(|found| found.start_ticks != start_ticks))
}

/// Errors speak of the file that was meant, not of its temporary name.
fn rename_path(error: FileError, meant: &Path) -> FileError {
    match error {
        FileError::Io { doing, source, .. } => FileError::Io { doing, path: meant.to_owned(), source },
        FileError::Missing { .. } => {
            FileError::Io { doing: "write", path: meant.to_owned(), source: io::Error::from(io::ErrorKind::NotFound) }
        }
        other => other,
    }
}

fn write_new(
    path: &Path,
    durability: Durability,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), FileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| io_error("write", path, source))?;
    write(&mut file).map_err(|source| io_error("write", path, source))?;
    if durability == Durability::Disk {
        file.sync_all().map_err(|source| io_error("sync", path, source))?;
    }
    Ok(())
}

/// Waits until the names in a file's folder are on disk, as after a rename.
///
/// # Errors
/// [`FileError::Io`].
pub fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|opened| opened.sync_all()).map_err(|source| io_error("sync", folder, source))
}

/// Waits until a file's bytes are on disk.
///
/// # Errors
/// [`FileError::Io`].
pub fn sync(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|opened| opened.sync_all()).map_err(|source| io_error("sync", path, source))
}

/// Creates an empty private file if there is none.
///
/// # Errors
/// [`FileError::Io`].
pub fn create_if_missing(path: &Path) -> Result<(), FileError> {
    appending(path).map(drop).map_err(|source| io_error("create", path, source))
}

/// Opens a private file for appending, creating it.
///
/// # Errors
/// [`FileError::Io`].
pub fn open_append(path: &Path) -> Result<File, FileError> {
    appending(path).map_err(|source| io_error("open", path, source))
}

fn appending(path: &Path) -> io::Result<File> {
    let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(nofollow).open(path)
}

/// Renames a file. For logs and databases; documents go through [`replace`].
///
/// # Errors
/// [`FileError`].
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(|source| io_error("rename", from, source))
}

/// Removes a file; one that is already gone is fine.
///
/// # Errors
/// [`FileError::Io`].
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| io_error("remove", path, source)),
    }
}

/// Removes a folder and all in it without following links; one that is already gone is fine.
///
/// # Errors
/// [`FileError::Io`].
pub fn remove_tree(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| io_error("remove", path, source)),
    }
}

/// Creates a folder and those above it, each 0700.
///
/// # Errors
/// [`FileError::Io`].
pub fn create_private_dir(path: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| rename_path(io_error("create", path, source), path))
}

/// Proves that a folder is ours: a real folder, owned by this user, writable by nobody else.
///
/// # Errors
/// [`FileError::NotFolder`], or [`FileError::Unsafe`] naming what is wrong, with the mode.
pub fn check_private_dir(path: &Path) -> Result<(), FileError> {
    let meta = fs::symlink_metadata(path).map_err(|source| io_error("look at", path, source))?;
    let refuse = |why: String| Err(FileError::Unsafe { path: path.to_owned(), why });
    if !meta.is_dir() {
        let what = if meta.is_symlink() { "a symbolic link" } else { "a file" };
        return Err(FileError::NotFolder { path: path.to_owned(), what });
    }
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me {
        return refuse(format!("belongs to user {}, not to user {me}", meta.uid()));
    }
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 {
        return refuse(format!("can be changed by others (mode {mode:04o})"));
    }
    Ok(())
}

/// SHA-256 in hexadecimal digits and size of a plain file, whatever its size. A link is followed: it is the caller's word.
///
/// # Errors
/// [`FileError`].
pub fn digest(path: &Path) -> Result<(String, u64), FileError> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let mut file = opened.map_err(|source| io_error("open", path, source))?;
    let meta = file.metadata().map_err(|source| io_error("look at", path, source))?;
    if !meta.is_file() {
        let what = if meta.is_dir() { "a folder" } else { "a device, pipe or socket" };
        return Err(FileError::NotPlain { path: path.to_owned(), what });
    }
    let mut hash = Sha256::new();
    let bytes = io::copy(&mut file, &mut hash).map_err(|source| io_error("read", path, source))?;
    Ok((format!("{:x}", hash.finalize()), bytes))
}

/// Inode of the path itself, `None` if there is nothing. Tells whether a file was replaced.
pub fn inode(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().map(|meta| meta.ino())
}

/// What one look at a path tells without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// The device that holds it.
    pub device: u64,
    /// Its inode there. Both together are one file, whatever its name.
    pub inode: u64,
    /// Its size.
    pub bytes: u64,
}

impl Glance {
    /// Is it one file, seen twice?
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Looks at the path itself; `None` if there is nothing.
pub fn glance(path: &Path) -> Option<Glance> {
    let meta = fs::symlink_metadata(path).ok()?;
    Some(Glance { device: meta.dev(), inode: meta.ino(), bytes: meta.len() })
}

/// How long ago a file was written; `None` if it is missing, or the clock stepped back since.
pub fn age(path: &Path) -> Option<std::time::Duration> {
    fs::symlink_metadata(path).ok()?.modified().ok()?.elapsed().ok()
}

/// Removes temporary files that a crash left in a folder: only names of [`replace`]'s own shape, and only those whose
/// writer is dead. A name that tells no writer counts as left over after a minute.
pub fn sweep_temporaries(folder: &Path) -> usize {
    sweep(folder, |name, is_old| {
        let Some(stem) = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(".tmp")) else { return false };
        let Some((document, mark)) = stem.rsplit_once('.') else { return false };
        let is_anonymous = mark.len() == 32 && mark.bytes().all(|byte| byte.is_ascii_hexdigit());
        !document.is_empty() && is_of_the_dead(mark).unwrap_or(is_anonymous && is_old)
    })
}

/// How old a left-over must be before it counts as one: a younger one may be another program's work of this moment.
const LEFT_OVER_AFTER: std::time::Duration = std::time::Duration::from_secs(60);

/// Removes the plain files and sockets of a folder whose names match and that are a minute old; returns how many.
pub fn sweep_matching(folder: &Path, matches: impl Fn(&str) -> bool) -> usize {
    sweep(folder, |name, is_old| is_old && matches(name))
}

fn sweep(folder: &Path, is_left_over: impl Fn(&str, bool) -> bool) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let is_old = |entry: &fs::DirEntry| {
        let changed = entry.metadata().and_then(|meta| meta.modified()).ok();
        changed.and_then(|time| time.elapsed().ok()).is_some_and(|age| age >= LEFT_OVER_AFTER)
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()))
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| is_left_over(name, is_old(entry))))
        .filter(|entry| fs::remove_file(entry.path()).is_ok())
        .count()
}

#[cfg(test)]
mod tests;

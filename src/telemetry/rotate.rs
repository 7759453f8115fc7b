//! A log file that is rotated by size and never stops its writer.

use std::{
    fs::{File, Metadata},
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::os::files::{self, FileError};

/// How much disk a log may use: `max_bytes` for each of `backups + 1` files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one file. Only a single line that is longer than this makes a file larger.
    pub max_bytes: u64,
    /// Rotated files kept, as `.1` (the newest) to `.N`.
    pub backups: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 5 * 1024 * 1024, backups: 3 }
    }
}

/// An append-only log of whole lines, rotated by rename so that `tail -F` keeps following.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    limits: Limits,
    file: Option<File>,
    /// The last write broke off inside a line.
    torn: bool,
    dropped: u64,
    unreported: u64,
}

impl RotatingFile {
    /// Names the log; it is opened by the first line.
    pub fn new(path: &Path, limits: Limits) -> Self {
        Self { path: path.to_owned(), limits, file: None, torn: false, dropped: 0, unreported: 0 }
    }

    /// Lines dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Changes the limits; they hold from the next line on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Appends one line, given without its newline; if that fails the line is dropped and counted.
    ///
    /// `notice` words the line that tells how many were dropped; it is written before the first line that works again.
    pub fn append(&mut self, line: &str, notice: impl FnOnce(u64) -> String) {
        let mut text = String::with_capacity(line.len() + 1);
        if self.unreported > 0 {
            text.push_str(&notice(self.unreported));
            text.push('\n');
        }
        text.push_str(line);
        text.push('\n');
        if self.write(text).is_ok() {
            self.unreported = 0;
        } else {
            self.dropped = self.dropped.saturating_add(1);
            self.unreported = self.unreported.saturating_add(1);
        }
    }

    fn write(&mut self, mut text: String) -> Result<(), FileError> {
        let (mut file, meta) = self.current()?;
        let mut before = meta.len();
        let needed = u64::try_from(text.len()).unwrap_or(u64::MAX);
        // Only a plain file is renamed: a device that somebody chose as the log stays where it is.
        if meta.is_file() && before > 0 && before.saturating_add(needed) > self.limits.max_bytes {
            drop(file);
            self.rotate()?;
            (file, before) = self.current().map(|(file, meta)| (file, meta.len()))?;
        }
        if self.torn {
            text.insert(0, '\n');
        }
        let written = file.write_all(text.as_bytes());
        // A full disk takes the beginning of a line; the next line must not be glued to it.
        self.torn = match &written {
            Ok(()) => false,
            Err(_) => self.torn || file.metadata().is_ok_and(|meta| meta.len() > before),
        };
        self.file = Some(file);
        written.map_err(|source| FileError::Io { doing: "write", path: self.path.clone(), source })
    }

    /// The open file, opened anew if the path no longer leads to it.
    ///
    /// An inode cannot be used again while its file is open, so comparing the numbers is enough.
    fn current(&mut self) -> Result<(File, Metadata), FileError> {
        let io_error = |source| FileError::Io { doing: "look at", path: self.path.clone(), source };
        if let Some(file) = self.file.take() {
            let meta = file.metadata().map_err(io_error)?;
            if files::inode(&self.path) == Some(meta.ino()) {
                return Ok((file, meta));
            }
        }
        let file = files::open_append(&self.path)?;
        let meta = file.metadata().map_err(io_error)?;
        self.torn = false;
        Ok((file, meta))
    }

    /// Moves every file one number up. If that fails the line is dropped: the bound on the disk is a promise.
    fn rotate(&self) -> Result<(), FileError> {
        // Also those above, which a larger number of backups left behind.
        let mut last = self.limits.backups.max(1);
        while files::inode(&self.backup(last)).is_some() {
            files::remove(&self.backup(last))?;
            last += 1;
        }
        if self.limits.backups == 0 {
            return files::remove(&self.path);
        }
        for number in (1..self.limits.backups).rev() {
            match files::rename(&self.backup(number), &self.backup(number + 1)) {
                Ok(()) | Err(FileError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        files::rename(&self.path, &self.backup(1))
    }

    fn backup(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn notice(count: u64) -> String {
        format!("lost {count}")
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn rotation_keeps_the_total_bounded_and_every_file_private() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { max_bytes: 200, backups: 3 };
        let mut log = RotatingFile::new(&folder.path().join("gateway.log"), limits);
        for number in 0..500 {
            log.append(&format!("line {number:04}"), notice);
        }
        assert_eq!(names(folder.path()), ["gateway.log", "gateway.log.1", "gateway.log.2", "gateway.log.3"]);
        let mut newest_first = String::new();
        for name in names(folder.path()) {
            let path = folder.path().join(name);
            let meta = path.metadata().unwrap();
            assert!(meta.len() <= 200, "{} has {} bytes", path.display(), meta.len());
            assert_eq!(meta.permissions().mode() & 0o777, 0o600);
            newest_first.insert_str(0, &std::fs::read_to_string(path).unwrap());
        }
        let kept: Vec<_> = newest_first.lines().collect();
        let expected: Vec<_> = (500 - kept.len()..500).map(|number| format!("line {number:04}")).collect();
        assert_eq!(kept, expected, "the newest lines are kept, in order and without a gap");
        assert_eq!(log.dropped(), 0);
    }

    #[test]
    fn fewer_backups_remove_those_that_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = RotatingFile::new(&folder.path().join("l"), Limits { max_bytes: 1, backups: 4 });
        (0..9).for_each(|_| log.append("line", notice));
        assert_eq!(names(folder.path()), ["l", "l.1", "l.2", "l.3", "l.4"]);
        log.set_limits(Limits { max_bytes: 1, backups: 1 });
        log.append("line", notice);
        assert_eq!(names(folder.path()), ["l", "l.1"]);
        log.set_limits(Limits { max_bytes: 1, backups: 0 });
        log.append("last", notice);
        assert_eq!(names(folder.path()), ["l"]);
        assert_eq!(std::fs::read_to_string(folder.path().join("l")).unwrap(), "last\n");
    }

    #[test]
    fn a_removed_or_replaced_file_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.log");
        let mut log = RotatingFile::new(&path, Limits::default());
        log.append("one", notice);
        files::remove(&path).unwrap();
        log.append("two", notice);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
        files::replace(&path, b"theirs\n", files::Durability::Process).unwrap();
        log.append("three", notice);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs\nthree\n");
    }

    #[test]
    fn a_full_disk_drops_and_counts() {
        let mut log = RotatingFile::new(Path::new("/dev/full"), Limits { max_bytes: 1, backups: 1 });
        log.append("one", notice);
        log.append("two", notice);
        assert_eq!(log.dropped(), 2);
    }

    #[test]
    fn the_first_line_that_works_again_is_preceded_by_the_count() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs");
        let path = logs.join("gateway.log");
        let mut log = RotatingFile::new(&path, Limits::default());
        log.append("one", notice);
        log.append("two", notice);
        files::create_private_dir(&logs).unwrap();
        log.append("three", notice);
        log.append("four", notice);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "lost 2\nthree\nfour\n");
    }

    #[test]
    fn a_torn_line_is_closed_before_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.log");
        let mut log = RotatingFile::new(&path, Limits::default());
        log.append("one", notice);
        log.torn = true;
        log.append("two", notice);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n\ntwo\n");
    }
}

//! `events.jsonl`: what happened in a session, one JSON object per line, only ever appended.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::fs::OFlags;
use serde_json::Value;

use crate::os::files::{self, FileError};

/// The session's events.
///
/// The file is opened for each event: events are rare, and one that was removed or replaced is no special case.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    // Between looking at the last byte and writing, no other thread may append.
    appending: Mutex<()>,
}

impl EventLog {
    /// Names the file; the first event creates it.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), appending: Mutex::new(()) }
    }

    /// Appends one event as one line with sorted keys, in a single write.
    ///
    /// # Errors
    /// [`FileError`]. What a failed write left of the line is closed by the next one.
    pub fn append(&self, value: &Value) -> Result<(), FileError> {
        self.append_all(std::slice::from_ref(value))
    }

    /// Appends events, one line each with sorted keys, in a single write.
    ///
    /// # Errors
    /// As [`EventLog::append`].
    pub fn append_all(&self, values: &[Value]) -> Result<(), FileError> {
        let mut text: String = values.iter().flat_map(|value| [value.to_string(), "\n".to_owned()]).collect();
        let _appending = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = files::open_append(&self.path)?;
        let meta = file.metadata().map_err(|source| self.error("look at", source))?;
        if !meta.is_file() {
            return Err(FileError::NotPlain { path: self.path.clone(), what: "a device, pipe or socket" });
        }
        if meta.len() > 0 && self.byte_at(meta.len() - 1)? != b'\n' {
            text.insert(0, '\n');
        }
        file.write_all(text.as_bytes()).map_err(|source| self.error("write", source))
    }

    fn byte_at(&self, offset: u64) -> Result<u8, FileError> {
        let mut byte = [0];
        self.open_to_read()
            .and_then(|file| file.read_exact_at(&mut byte, offset))
            .map_err(|source| self.error("read", source))?;
        Ok(byte[0])
    }

    fn open_to_read(&self) -> io::Result<File> {
        // NONBLOCK: a pipe that somebody put there in between must not wait for a writer.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(&self.path)
    }

    fn error(&self, doing: &'static str, source: io::Error) -> FileError {
        FileError::Io { doing, path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, thread};

    use serde_json::json;

    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_line_has_sorted_keys_and_the_file_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let log = EventLog::new(&path);
        log.append(&json!({"type": "launched", "at": "x", "data": {"z": 1, "a": "two\nlines"}})).unwrap();
        log.append(&json!({})).unwrap();
        assert_eq!(read(&path), "{\"at\":\"x\",\"data\":{\"a\":\"two\\nlines\",\"z\":1},\"type\":\"launched\"}\n{}\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_line_that_a_crash_cut_off_is_closed_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        files::open_append(&path).unwrap().write_all(b"{\"a\":1}\n{\"b\":").unwrap();
        let log = EventLog::new(&path);
        log.append(&json!({"c": 3})).unwrap();
        log.append(&json!({"d": 4})).unwrap();
        assert_eq!(read(&path), "{\"a\":1}\n{\"b\":\n{\"c\":3}\n{\"d\":4}\n");
    }

    #[test]
    fn appends_from_many_threads_and_logs_do_not_interleave() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        thread::scope(|scope| {
            // Four values of the same log stand for four processes: they share nothing but the file.
            for writer in 0..4 {
                let log = EventLog::new(&path);
                scope.spawn(move || {
                    for number in 0..200 {
                        log.append(&json!({"writer": writer, "number": number, "fill": "x".repeat(500)})).unwrap();
                    }
                });
            }
        });
        let text = read(&path);
        let mut next = [0; 4];
        for line in text.lines().filter(|line| !line.is_empty()) {
            let event: Value = serde_json::from_str(line).unwrap();
            let writer = usize::try_from(event["writer"].as_u64().unwrap()).unwrap();
            assert_eq!(event["number"], next[writer], "every writer's events keep their order");
            next[writer] += 1;
        }
        assert_eq!(next, [200; 4]);
    }

    #[test]
    fn a_device_is_refused() {
        let refused = EventLog::new(Path::new("/dev/full")).append(&json!({}));
        assert!(matches!(refused, Err(FileError::NotPlain { .. })));
    }
}

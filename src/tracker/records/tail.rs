//! The end of a file that grows: whole lines, each once, in bounded pieces.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Read at once.
const PIECE: u64 = 256 * 1024;

/// Of what was there before, no more than this is read.
const HISTORY: u64 = 4 * 1024 * 1024;

/// A longer line is passed over: no prompt and no answer is that long.
const LONGEST_LINE: usize = 8 * 1024 * 1024;

/// One file.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    /// Device and inode: another file of the same name begins anew.
    file: Option<(u64, u64)>,
    offset: u64,
    /// A line without its end.
    half: Vec<u8>,
    /// The rest of this line is passed over.
    skipping: bool,
}

impl Tail {
    /// Nothing is read yet. Of a long file only the end is read.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None, offset: 0, half: Vec::new(), skipping: false }
    }

    /// Which file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Nothing was ever there to read.
    pub(super) fn is_empty(&self) -> bool {
        self.file.is_none()
    }

    /// The whole lines that were added, a piece of them; empty when there is nothing more for now, or no file.
    pub(super) fn read(&mut self) -> Vec<String> {
        loop {
            let Some(piece) = self.piece() else { return Vec::new() };
            let lines = self.lines(&piece);
            if !lines.is_empty() {
                return lines;
            }
        }
    }

    fn piece(&mut self) -> Option<Vec<u8>> {
        let mut file = File::open(&self.path).ok()?;
        let facts = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let id = (facts.dev(), facts.ino());
        if self.file != Some(id) || facts.len() < self.offset {
            *self = Self::new(&self.path);
            self.file = Some(id);
            self.offset = facts.len().saturating_sub(HISTORY);
            // It begins inside a line.
            self.skipping = self.offset > 0;
        }
        if facts.len() == self.offset {
            return None;
        }
        file.seek(SeekFrom::Start(self.offset)).ok()?;
        let mut piece = Vec::new();
        file.take(PIECE).read_to_end(&mut piece).ok()?;
        self.offset += piece.len() as u64;
        (!piece.is_empty()).then_some(piece)
    }

    fn lines(&mut self, piece: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            if !self.skipping {
                self.half.extend_from_slice(text);
                self.skipping = self.half.len() > LONGEST_LINE;
            }
            if ends {
                let line = std::mem::take(&mut self.half);
                if !std::mem::take(&mut self.skipping)
                    && let Ok(line) = String::from_utf8(line)
                {
                    lines.push(line);
                }
            } else if self.skipping {
                self.half = Vec::new();
            }
        }
        lines
    }
}

/// The first line of a file, once it is whole.
pub(super) fn first_line(path: &Path) -> Option<String> {
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|facts| facts.is_file()))?;
    let mut piece = Vec::new();
    file.take(PIECE).read_to_end(&mut piece).ok()?;
    let end = piece.iter().position(|byte| *byte == b'\n')?;
    piece.truncate(end);
    String::from_utf8(piece).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::os::files;

    #[test]
    fn lines_come_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rollout.jsonl");
        let mut tail = Tail::new(&path);
        assert!(tail.read().is_empty(), "there is no file yet");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(tail.read(), ["one"]);
        assert!(tail.read().is_empty());
        file.write_all("o €\nthree\n".as_bytes()).unwrap();
        assert_eq!(tail.read(), ["two €", "three"]);
    }

    #[test]
    fn a_file_that_was_shortened_or_replaced_is_read_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.jsonl");
        let put = |text: &str| files::replace(&path, text.as_bytes(), files::Durability::Process).unwrap();
        put("a\nb\n");
        let mut tail = Tail::new(&path);
        assert_eq!(tail.read(), ["a", "b"]);
        put("c\nd\n");
        assert_eq!(tail.read(), ["c", "d"]);
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert!(tail.read().is_empty());
        File::options().append(true).open(&path).unwrap().write_all(b"e\n").unwrap();
        assert_eq!(tail.read(), ["e"]);
    }

    #[test]
    fn of_a_long_file_the_end_is_read_and_a_line_without_end_takes_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.jsonl");
        let line = "x".repeat(99_999) + "\n";
        let mut file = File::create(&path).unwrap();
        for _ in 0..60 {
            file.write_all(line.as_bytes()).unwrap();
        }
        let mut tail = Tail::new(&path);
        let mut count = 0;
        loop {
            match tail.read().len() {
                0 => break,
                more => count += more,
            }
        }
        assert_eq!(count, 41);
        for _ in 0..100 {
            file.write_all(&vec![b'y'; 100_000]).unwrap();
        }
        assert!(tail.read().is_empty());
        assert!(tail.half.capacity() < 2 * LONGEST_LINE, "{}", tail.half.capacity());
        file.write_all(b"\nlast\n").unwrap();
        assert_eq!(tail.read(), ["last"]);
    }
}

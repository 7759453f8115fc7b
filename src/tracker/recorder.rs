//! Records what the pane prints into files, on a thread of its own, and never waits for it.
//!
//! A file is asciicast v2, begins with a drawing of the screen, and at any moment every line but the last is whole: what a
//! crash leaves can be played. Where bytes are missing a marker says so, and the screen is drawn anew.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use tokio::time::Instant;

use super::recording::{Decoder, drawn, event, header};
use crate::{
    api::{Recording, Recordings},
    model::Screen,
    os::{
        clock,
        files::{self, FileError},
    },
};

/// How much disk recordings may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one file; then the next one begins.
    pub file: u64,
    /// Bytes in all files of a session; then the oldest go.
    pub all: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file: 16 * 1024 * 1024, all: 256 * 1024 * 1024 }
    }
}

/// Pieces that may wait for the disk; more are dropped, and that is marked.
const WAITING: usize = 32;

/// The thread only writes; the default stack would be two megabytes of address space for nothing.
const STACK: usize = 128 * 1024;

/// End of every file's name.
const ENDING: &str = ".cast";

/// The recordings of one session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    limits: Limits,
    active: Mutex<Option<Active>>,
}

#[derive(Debug)]
struct Active {
    pieces: SyncSender<(Instant, Piece)>,
    thread: JoinHandle<()>,
    progress: Arc<Progress>,
    /// Something was dropped since the last piece that was taken.
    lost: bool,
    /// The screen has to be drawn before anything else makes sense.
    wants_seed: bool,
}

/// What the thread says.
#[derive(Debug, Default)]
struct Progress {
    /// The present file is full: the next drawing begins another.
    full: AtomicBool,
    /// Nothing more is written: the disk refused.
    broken: AtomicBool,
    events: AtomicU64,
    name: Mutex<String>,
}

#[derive(Debug)]
enum Piece {
    Seed(Box<Screen>),
    Bytes(Vec<u8>),
    Resized(usize, usize),
    Lost,
}

impl Recorder {
    /// Recordings in this folder, which need not exist yet.
    pub fn new(folder: PathBuf, limits: Limits) -> Self {
        Self { shared: Arc::new(Shared { folder, limits, active: Mutex::new(None) }) }
    }

    /// Begins to record; `false` if that goes on already. The next look draws the first screen.
    ///
    /// # Errors
    /// The folder could not be made, or the system gives no thread.
    pub fn start(&self) -> Result<bool, FileError> {
        let mut active = self.active();
        if active.as_ref().is_some_and(|active| !active.progress.broken.load(Ordering::Relaxed)) {
            return Ok(false);
        }
        files::create_private_dir(&self.shared.folder)?;
        let (pieces, waiting) = sync_channel(WAITING);
        let progress = Arc::new(Progress::default());
        let mut writer = Writer::new(self.shared.folder.clone(), self.shared.limits, Arc::clone(&progress));
        let thread = thread::Builder::new().name("recorder".to_owned()).stack_size(STACK);
        let thread = thread.spawn(move || writer.run(&waiting)).map_err(|source| FileError::Io {
            doing: "start a thread for",
            path: self.shared.folder.clone(),
            source,
        })?;
        *active = Some(Active { pieces, thread, progress, lost: false, wants_seed: true });
        Ok(true)
    }

    /// Ends the recording and waits until it is on its way to the disk; `false` if there is none. Blocks for as long
    /// as the disk does.
    pub fn stop(&self) -> bool {
        let Some(Active { pieces, thread, .. }) = self.active().take() else { return false };
        drop(pieces);
        if thread.join().is_err() {
            tracing::error!("the recorder's thread had failed");
        }
        true
    }

    /// Is something recorded?
    pub fn is_active(&self) -> bool {
        self.active().is_some()
    }

    /// Is a drawing of the screen needed now?
    pub(super) fn wants_seed(&self) -> bool {
        self.active().as_ref().is_some_and(|active| {
            let progress = &active.progress;
            let wants = active.wants_seed || progress.full.load(Ordering::Relaxed);
            wants && !progress.broken.load(Ordering::Relaxed)
        })
    }

    /// The screen now.
    pub(super) fn seed(&self, screen: Screen) {
        self.send(Piece::Seed(Box::new(screen)));
    }

    /// The pane printed this.
    pub(super) fn print(&self, bytes: &[u8]) {
        if !bytes.is_empty() && self.is_active() {
            self.send(Piece::Bytes(bytes.to_vec()));
        }
    }

    /// The pane has another size, in columns and rows.
    pub(super) fn resized(&self, width: usize, height: usize) {
        self.send(Piece::Resized(width, height));
    }

    /// Something was printed that is not known here.
    pub(super) fn lost(&self) {
        if let Some(active) = self.active().as_mut() {
            (active.lost, active.wants_seed) = (true, true);
        }
    }

    /// Never waits.
    fn send(&self, piece: Piece) {
        let mut guard = self.active();
        let Some(active) = guard.as_mut() else { return };
        let is_seed = matches!(piece, Piece::Seed(_));
        if active.wants_seed && !is_seed {
            // It would be drawn on a screen that is not there.
            return;
        }
        let now = Instant::now();
        let marked = !active.lost || active.pieces.try_send((now, Piece::Lost)).is_ok();
        let sent = marked && active.pieces.try_send((now, piece)).is_ok();
        active.lost = if sent { false } else { active.lost || !marked || !is_seed };
        active.wants_seed = !sent;
    }

    /// All recordings, oldest first.
    ///
    /// # Errors
    /// The folder could not be read.
    pub fn list(&self) -> Result<Recordings, FileError> {
        let active = self.active().as_ref().map(|active| {
            let name = active.progress.name.lock().unwrap_or_else(PoisonError::into_inner).clone();
            (name, active.progress.events.load(Ordering::Relaxed))
        });
        let recordings = sizes(&self.shared.folder)?.into_iter().map(|(name, bytes)| Recording {
            active: active.as_ref().is_some_and(|(active, _)| *active == name),
            name,
            bytes,
        });
        Ok(Recordings {
            schema_version: 1,
            recording: active.is_some(),
            folder: self.shared.folder.to_string_lossy().into_owned(),
            recordings: recordings.collect(),
        })
    }

    fn active(&self) -> MutexGuard<'_, Option<Active>> {
        self.shared.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names and sizes of the recordings in a folder, oldest first: their names begin with the time.
fn sizes(folder: &Path) -> Result<Vec<(String, u64)>, FileError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(FileError::Io { doing: "list", path: folder.to_owned(), source }),
    };
    let mut found: Vec<(String, u64)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok().filter(|name| name.ends_with(ENDING))?;
            Some((name, entry.metadata().ok().filter(std::fs::Metadata::is_file)?.len()))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// The thread's side.
struct Writer {
    folder: PathBuf,
    limits: Limits,
    progress: Arc<Progress>,
    file: Option<Open>,
    /// Files begun so far.
    number: u32,
    decoder: Decoder,
}

struct Open {
    file: File,
    path: PathBuf,
    began: Instant,
    written: u64,
}

impl Writer {
    fn new(folder: PathBuf, limits: Limits, progress: Arc<Progress>) -> Self {
        Self { folder, limits, progress, file: None, number: 0, decoder: Decoder::default() }
    }

    fn run(&mut self, pieces: &Receiver<(Instant, Piece)>) {
        while let Ok((at, piece)) = pieces.recv() {
            if let Err(error) = self.take(at, piece) {
                tracing::warn!(%error, "the recording ends here: it could not be written");
                self.progress.broken.store(true, Ordering::Relaxed);
                return;
            }
        }
        let rest = self.decoder.finish();
        if !rest.is_empty() {
            drop(self.write(Instant::now(), "o", rest));
        }
    }

    fn take(&mut self, at: Instant, piece: Piece) -> Result<(), FileError> {
        match piece {
            Piece::Seed(screen) => {
                self.decoder = Decoder::default();
                if self.file.is_none() || self.progress.full.load(Ordering::Relaxed) {
                    self.begin(&screen, at)?;
                }
                self.write(at, "r", &format!("{}x{}", screen.width, screen.height))?;
                self.write(at, "o", &drawn(&screen))
            }
            Piece::Bytes(bytes) => {
                let text = self.decoder.take(&bytes);
                if text.is_empty() { Ok(()) } else { self.write(at, "o", &text) }
            }
            Piece::Resized(width, height) => self.write(at, "r", &format!("{width}x{height}")),
            Piece::Lost => self.write(at, "m", "output is missing here"),
        }
    }

    fn begin(&mut self, screen: &Screen, at: Instant) -> Result<(), FileError> {
        self.make_room()?;
        let now = clock::now();
        let (name, path) = loop {
            // Counts on through a run, so that names stand in the order of time even within a second.
            self.number += 1;
            let name = format!("{}-{:03}{ENDING}", now.compact(), self.number);
            let path = self.folder.join(&name);
            if !path.exists() {
                break (name, path);
            }
        };
        let file = files::open_append(&path)?;
        self.file = Some(Open { file, path, began: at, written: 0 });
        *self.progress.name.lock().unwrap_or_else(PoisonError::into_inner) = name;
        self.progress.full.store(false, Ordering::Relaxed);
        self.append(&header(screen, now))
    }

    /// Removes the oldest, so that a whole new file fits.
    fn make_room(&self) -> Result<(), FileError> {
        let found = sizes(&self.folder)?;
        let mut all: u64 = found.iter().map(|(_, bytes)| bytes).sum();
        for (name, bytes) in found {
            if all + self.limits.file <= self.limits.all {
                break;
            }
            files::remove(&self.folder.join(name))?;
            all -= bytes;
        }
        Ok(())
    }

    fn write(&mut self, at: Instant, kind: &str, data: &str) -> Result<(), FileError> {
        let Some(open) = &self.file else { return Ok(()) };
        let seconds = at.saturating_duration_since(open.began).as_secs_f64();
        self.append(&event(seconds, kind, data))?;
        self.progress.events.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn append(&mut self, line: &str) -> Result<(), FileError> {
        let Some(open) = &mut self.file else { return Ok(()) };
        open.file.write_all(line.as_bytes()).map_err(|source| FileError::Io {
            doing: "write",
            path: open.path.clone(),
            source,
        })?;
        open.written += line.len() as u64;
        if open.written >= self.limits.file {
            self.progress.full.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn lines(folder: &Path, name: &str) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn screen(text: &str) -> Screen {
        Screen { rows: Screen::styled_rows([text]), width: 20, height: 1, ..Screen::default() }
    }

    #[tokio::test]
    async fn a_recording_begins_with_the_screen_and_marks_what_is_missing() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("recordings");
        let recorder = Recorder::new(folder.clone(), Limits::default());
        assert_eq!(recorder.list().unwrap().recordings, []);
        assert!(recorder.start().unwrap() && !recorder.start().unwrap());
        recorder.print(b"before the first screen");
        assert!(recorder.wants_seed());
        recorder.seed(screen("first"));
        recorder.print(b"\x1b[1m\xe4\xb8");
        recorder.print(b"\x96");
        recorder.resized(30, 2);
        recorder.lost();
        recorder.print(b"nobody knows where this stands");
        assert!(recorder.wants_seed());
        recorder.seed(screen("again"));
        recorder.print(b"end\xc3");
        assert!(recorder.stop() && !recorder.stop());
        let list = recorder.list().unwrap();
        let [recording] = &list.recordings[..] else { panic!("{list:?}") };
        assert!(!list.recording && !recording.active && recording.bytes > 0);
        assert_eq!(std::fs::metadata(folder.join(&recording.name)).unwrap().permissions().mode() & 0o777, 0o600);
        let lines = lines(&folder, &recording.name);
        assert_eq!((&lines[0]["version"], &lines[0]["width"]), (&2.into(), &20.into()));
        let events: Vec<(&str, &str)> =
            lines[1..].iter().map(|line| (line[1].as_str().unwrap(), line[2].as_str().unwrap())).collect();
        assert_eq!(events[0], ("r", "20x1"));
        assert!(events[1].1.contains("first"));
        assert_eq!(events[2..5], [("o", "\x1b[1m"), ("o", "世"), ("r", "30x2")]);
        assert_eq!(events[5], ("m", "output is missing here"));
        assert!(events[7].1.contains("again"));
        assert_eq!(events[8..], [("o", "end"), ("o", "\u{fffd}")]);
        assert!(lines[1..].iter().all(|line| line[0].as_f64().unwrap() < 60.0));
    }

    #[test]
    fn a_full_file_is_followed_by_another_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let progress = Arc::new(Progress::default());
        let limits = Limits { file: 2_000, all: 6_000 };
        let mut writer = Writer::new(folder.path().to_owned(), limits, Arc::clone(&progress));
        let at = Instant::now();
        let mut names = Vec::new();
        for _ in 0..6 {
            writer.take(at, Piece::Seed(Box::new(screen("x")))).unwrap();
            names.push(progress.name.lock().unwrap().clone());
            while !progress.full.load(Ordering::Relaxed) {
                writer.take(at, Piece::Bytes(vec![b'y'; 500])).unwrap();
            }
        }
        let left: Vec<String> = sizes(folder.path()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, names[names.len() - left.len()..], "the newest stay");
        assert!(left.len() == 2, "{left:?}: two and a bit fit, and the last is a whole one");
        for name in &left {
            let lines = lines(folder.path(), name);
            assert_eq!((&lines[0]["version"], &lines[1][1]), (&2.into(), &"r".into()));
        }
    }
}

//! Codex's files: the rollouts that its process holds open.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{file::File, program::Program};
use crate::{
    agents::{Sign, signs::Rollout},
    model::Moment,
    os::family,
};

/// Most conversations of one process that are followed.
const MOST: usize = 16;

/// The files of one Codex.
#[derive(Debug)]
pub(super) struct Records {
    sessions: PathBuf,
    home: PathBuf,
    pids: Vec<u32>,
    folder: Option<String>,
    since: Moment,
    process_began: Moment,
    rollouts: Vec<File<Rollout>>,
    /// The process holds its rollouts open: nobody else's can be taken for one of them.
    holds: bool,
    /// Rollouts of somebody else.
    others: Vec<PathBuf>,
}

impl Records {
    pub(super) fn new(program: &Program, since: Moment) -> Option<Self> {
        let home = program.folder("CODEX_HOME", ".codex")?;
        Some(Self {
            sessions: home.join("sessions"),
            home,
            pids: program.pids(),
            folder: program.working_directory(),
            since,
            process_began: program.started()?,
            rollouts: Vec::new(),
            holds: false,
            others: Vec::new(),
        })
    }

    pub(super) fn version(&self) -> Option<String> {
        self.rollouts.iter().rev().find_map(|rollout| rollout.reader.version.clone())
    }

    /// Folders in which something may change now.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> =
            self.rollouts.iter().filter_map(|rollout| rollout.path().parent().map(Path::to_owned)).collect();
        if !self.sessions.is_dir() {
            folders.push(self.home.clone());
        }
        // Year, month and day.
        let mut folder = Some(self.sessions.clone());
        while let Some(now) = folder {
            folder = newest(&now);
            folders.push(now);
        }
        folders
    }

    /// By its files a turn runs.
    pub(super) fn runs(&self) -> bool {
        self.rollouts.iter().any(|rollout| rollout.runs)
    }

    /// What is new.
    pub(super) fn look(&mut self) -> Vec<Sign> {
        for path in self.found() {
            if self.rollouts.len() < MOST && !self.rollouts.iter().any(|known| known.path() == path) {
                self.rollouts.push(File::new(&path, self.since, self.process_began));
            }
        }
        self.rollouts.iter_mut().flat_map(File::read).collect()
    }

    fn found(&mut self) -> Vec<PathBuf> {
        let open = self.pids.iter().flat_map(|pid| family::open_files(*pid));
        let held: Vec<PathBuf> = open.filter(|path| path.starts_with(&self.sessions) && is_rollout(path)).collect();
        self.holds |= !held.is_empty();
        if self.holds || !self.rollouts.is_empty() { held } else { self.likely().into_iter().collect() }
    }

    /// A rollout that a process in the background writes for this one: of the same folder, and begun after it.
    fn likely(&mut self) -> Option<PathBuf> {
        let mut day = self.sessions.clone();
        while let Some(next) = newest(&day) {
            day = next;
        }
        let files = fs::read_dir(day).ok()?.flatten().map(|entry| entry.path());
        let mut fresh: Vec<PathBuf> = files.filter(|path| is_rollout(path) && !self.others.contains(path)).collect();
        fresh.sort();
        while let Some(path) = fresh.pop() {
            match self.is_ours(&path) {
                Some(true) => return Some(path),
                Some(false) => self.others.push(path),
                // Its first line is not there yet.
                None => {}
            }
        }
        None
    }

    fn is_ours(&self, path: &Path) -> Option<bool> {
        let mut reader = Rollout::default();
        let line = super::tail::first_line(path)?;
        reader.read(&line);
        let began = super::file::stamp(&line)?;
        Some(!reader.hidden && reader.folder.is_some() && reader.folder == self.folder && began >= self.process_began)
    }
}

fn is_rollout(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("rollout-") && path.extension().is_some_and(|end| end == "jsonl")
}

/// The last folder of numbers in a folder.
fn newest(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let number = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
    };
    entries.filter(|path| number(path) && path.is_dir()).max()
}

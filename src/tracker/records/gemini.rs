//! Gemini CLI's files: the chats of the project that it works in.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::{file::File, program::Program, tail};
use crate::{
    agents::{Sign, signs::Chat},
    model::Moment,
};

/// Most conversations of one process that are followed.
const MOST: usize = 16;

/// The files of one Gemini.
#[derive(Debug)]
pub(super) struct Records {
    home: PathBuf,
    folder: Option<String>,
    since: Moment,
    process_began: Moment,
    chats: Vec<File<Chat>>,
    /// Chats of somebody else.
    others: Vec<PathBuf>,
}

impl Records {
    pub(super) fn new(program: &Program, since: Moment) -> Option<Self> {
        Some(Self {
            home: program.folder("GEMINI_CLI_HOME", ".gemini").map(|home| below(&home))?,
            folder: program.working_directory(),
            since,
            // Its start is told in milliseconds, the kernel's in hundredths of a second.
            process_began: program.started()?.before(Duration::from_millis(20)),
            chats: Vec::new(),
            others: Vec::new(),
        })
    }

    /// Folders in which something may change now.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let tmp = self.home.join("tmp");
        match self.project() {
            Some(project) => vec![project.join("chats"), project],
            None if tmp.is_dir() => vec![tmp],
            None => vec![self.home.clone()],
        }
    }

    /// By its files a turn runs.
    pub(super) fn runs(&self) -> bool {
        self.chats.last().is_some_and(|chat| chat.runs)
    }

    /// What is new.
    pub(super) fn look(&mut self) -> Vec<Sign> {
        self.find();
        // A conversation that was left is never written to again.
        self.chats.iter_mut().flat_map(File::read).collect()
    }

    fn find(&mut self) {
        let Some(entries) = self.project().and_then(|project| fs::read_dir(project.join("chats")).ok()) else { return };
        let mut new: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
            .filter(|path| !self.others.contains(path) && !self.chats.iter().any(|known| known.path() == *path))
            .collect();
        new.sort();
        for path in new {
            match self.is_ours(&path) {
                Some(true) if self.chats.len() < MOST => {
                    self.chats.push(File::new(&path, self.since, self.process_began));
                }
                // Its first line is not there yet.
                None => {}
                Some(_) => self.others.push(path),
            }
        }
    }

    /// A chat of a person that began after this process.
    fn is_ours(&self, path: &Path) -> Option<bool> {
        let head: Value = serde_json::from_str(&tail::first_line(path)?).ok()?;
        let began = head["startTime"].as_str().and_then(Moment::parse)?;
        let main = head["kind"].as_str().is_none_or(|kind| kind == "main");
        Some(main && began >= self.process_began)
    }

    /// The folder of the project that is worked on.
    fn project(&self) -> Option<PathBuf> {
        let folder = self.folder.as_deref()?;
        let entries = fs::read_dir(self.home.join("tmp")).ok()?.flatten().map(|entry| entry.path());
        let is_it = |project: &PathBuf| {
            fs::read_to_string(project.join(".project_root")).is_ok_and(|root| root.trim_end() == folder)
        };
        entries.filter(|path| path.is_dir()).find(is_it)
    }
}

/// The variable names the folder that holds `.gemini`.
fn below(folder: &Path) -> PathBuf {
    if folder.ends_with(".gemini") { folder.to_owned() } else { folder.join(".gemini") }
}

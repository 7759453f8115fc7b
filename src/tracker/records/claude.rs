//! Claude Code's files: the status file of its process, and the transcript of the conversation that it names.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{file::File, program::Program};
use crate::{
    agents::{
        Sign,
        signs::{ClaudeStatus, Transcript},
    },
    model::{Moment, ProcessIdentity},
};

/// A status file is a few hundred bytes.
const LARGEST_STATUS: u64 = 64 * 1024;

/// The files of one Claude.
#[derive(Debug)]
pub(super) struct Records {
    home: PathBuf,
    /// Claude itself: its status file has its pid, and when it was started.
    process: ProcessIdentity,
    since: Moment,
    process_began: Moment,
    session: Option<String>,
    folder: Option<String>,
    version: Option<String>,
    transcript: Option<File<Transcript>>,
    /// Conversations that were left: whoever comes back to one does not hear it all again.
    left: Vec<File<Transcript>>,
    /// The last status that was told.
    told: Option<Sign>,
}

impl Records {
    pub(super) fn new(program: &Program, since: Moment) -> Option<Self> {
        Some(Self {
            home: program.folder("CLAUDE_CONFIG_DIR", ".claude")?,
            process: program.main()?.identity.clone(),
            since,
            process_began: program.started()?,
            session: None,
            folder: None,
            version: None,
            transcript: None,
            left: Vec::new(),
            told: None,
        })
    }

    pub(super) fn version(&self) -> Option<String> {
        self.version.clone()
    }

    /// Folders in which something may change now.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let sessions = self.home.join("sessions");
        let projects = self.home.join("projects");
        let mut folders = vec![sessions.clone()];
        // Only until it is there: the home has files that change at every key.
        if !sessions.is_dir() || !projects.is_dir() {
            folders.push(self.home.clone());
        }
        match &self.transcript {
            Some(transcript) => folders.extend(transcript.path().parent().map(Path::to_owned)),
            None => {
                folders.extend(self.project());
                folders.push(projects);
            }
        }
        folders
    }

    /// By its files a turn runs.
    pub(super) fn runs(&self) -> bool {
        matches!(self.told, Some(Sign::Working | Sign::Waiting { .. }))
    }

    /// What is new.
    pub(super) fn look(&mut self) -> Vec<Sign> {
        let mut signs = Vec::new();
        let status = self.status();
        if let Some(status) = &status
            && self.session.as_ref() != Some(&status.session)
        {
            self.turn_to(status, &mut signs);
        }
        if self.transcript.is_none() {
            self.transcript = self.find().map(|path| self.open(&path));
        }
        let mut told = self.transcript.as_mut().map(File::read).unwrap_or_default();
        let status = status.and_then(|status| status.sign);
        if self.told.is_none() && status == Some(Sign::Idle) {
            // A turn that ended without a word: interrupted before the first token.
            told.clear();
        }
        let level = status.filter(|status| self.told.as_ref() != Some(status));
        if level.is_some() {
            self.told.clone_from(&level);
        }
        // Work comes before the words that it begins with, and its end after them.
        let (before, after) = match level {
            Some(Sign::Idle) | None => (None, level),
            level => (level, None),
        };
        signs.extend(before.into_iter().chain(told).chain(after));
        signs
    }

    fn status(&self) -> Option<ClaudeStatus> {
        let path = self.home.join("sessions").join(format!("{}.json", self.process.pid));
        let small = fs::metadata(&path).is_ok_and(|facts| facts.is_file() && facts.len() <= LARGEST_STATUS);
        let text = small.then(|| fs::read_to_string(&path).ok()).flatten()?;
        // It stays behind when Claude is killed, and pids come again.
        ClaudeStatus::read(&text)
            .filter(|status| status.pid == self.process.pid)
            .filter(|status| status.start_ticks.is_none_or(|ticks| ticks == self.process.start_ticks))
    }

    fn turn_to(&mut self, status: &ClaudeStatus, signs: &mut Vec<Sign>) {
        let first = self.session.replace(status.session.clone()).is_none();
        self.folder.clone_from(&status.folder);
        self.version = status.version.clone().or_else(|| self.version.take());
        self.left.extend(self.transcript.take());
        // The oldest of many are forgotten.
        let many = self.left.len().saturating_sub(8);
        self.left.drain(..many);
        let why = if first { "startup" } else { "changed" }.to_owned();
        signs.push(Sign::SessionBegan { session: self.session.clone(), why });
    }

    fn open(&mut self, path: &Path) -> File<Transcript> {
        let known = self.left.iter().position(|left| left.path() == path);
        known.map_or_else(|| File::new(path, self.since, self.process_began), |known| self.left.remove(known))
    }

    /// The folder of the project: the path of the folder that it works in, with `-` for every other sign.
    fn project(&self) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        let name: String = folder.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        Some(self.home.join("projects").join(name))
    }

    /// The transcript, once it is there: it comes with the first prompt.
    fn find(&self) -> Option<PathBuf> {
        let name = format!("{}.jsonl", self.session.as_ref()?);
        let expected = self.project().map(|project| project.join(&name)).filter(|path| path.is_file());
        expected.or_else(|| {
            let projects = fs::read_dir(self.home.join("projects")).ok()?;
            projects.flatten().map(|project| project.path().join(&name)).find(|path| path.is_file())
        })
    }
}

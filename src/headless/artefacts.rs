//! The files of a turn, and where they say that it stands.

use std::{collections::HashSet, path::PathBuf, time::Duration};

use crate::{
    api::{LastStarted, TurnEnd, TurnPlan, TurnProcesses},
    model::ProcessIdentity,
    os::{
        child,
        files::{self, FileError},
        lock, process,
    },
    session::{SessionRoot, documents},
};

use super::start::TURN_VARIABLE;

/// Between two looks at a runner that has not said its first word.
const FIRST_WORD: Duration = Duration::from_millis(10);

/// The folder of one turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    id: String,
    folder: PathBuf,
}

/// Where a turn stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// There is no such turn.
    Missing,
    /// It is written down, and nobody has taken it up.
    Planned,
    /// A runner holds it, and has not said who it is.
    Starting,
    /// Its runner is there.
    Running(TurnProcesses),
    /// Its runner was killed, and the program goes on.
    Orphaned(ProcessIdentity),
    /// Its runner was killed when it was about to start the program: whether it did, nobody knows.
    Lost,
    /// Runner and program are gone, and nobody has settled it.
    Over(TurnProcesses),
    /// It is settled.
    Ended(Box<TurnEnd>),
}

impl Turn {
    /// The turn with this name; `None` for what can be no folder of a turn.
    pub fn of(root: &SessionRoot, id: &str) -> Option<Self> {
        let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        let fits = (1..=64).contains(&id.len()) && plain && !id.starts_with('.');
        fits.then(|| Self { id: id.to_owned(), folder: root.turn_artifacts().join(id) })
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its folder.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// What it is to do.
    pub fn plan_file(&self) -> PathBuf {
        self.folder.join("turn.json")
    }

    /// The prompt.
    pub fn prompt_file(&self) -> PathBuf {
        self.folder.join("prompt.txt")
    }

    /// What the program writes.
    pub fn stdout(&self) -> PathBuf {
        self.folder.join("stdout.jsonl")
    }

    /// What it complains.
    pub fn stderr(&self) -> PathBuf {
        self.folder.join("stderr.log")
    }

    /// What it all means.
    pub fn events(&self) -> PathBuf {
        self.folder.join("canonical-events.jsonl")
    }

    /// The program's exit status.
    pub fn exit_code(&self) -> PathBuf {
        self.folder.join("exitcode")
    }

    /// The contract's record of the processes.
    pub fn process_file(&self) -> PathBuf {
        self.folder.join("process.json")
    }

    pub(super) fn processes_file(&self) -> PathBuf {
        self.folder.join("runner.json")
    }

    pub(super) fn end_file(&self) -> PathBuf {
        self.folder.join("end.json")
    }

    pub(super) fn reply_file(&self) -> PathBuf {
        self.folder.join("reply.txt")
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.folder.join("turn.lock")
    }

    pub(super) fn interrupt_file(&self) -> PathBuf {
        self.folder.join("interrupted")
    }

    fn recorded_file(&self) -> PathBuf {
        self.folder.join("recorded")
    }

    /// The history of the session has it, and no request waits for it.
    pub fn is_recorded(&self) -> bool {
        self.recorded_file().exists()
    }

    /// From now on that is so.
    ///
    /// # Errors
    /// When the mark cannot be written.
    pub fn mark_recorded(&self) -> Result<(), FileError> {
        files::create_if_missing(&self.recorded_file())
    }

    /// What it is to do, as it was written down.
    pub fn plan(&self) -> Option<TurnPlan> {
        documents::load(&self.plan_file()).ok()
    }

    /// How it ended.
    pub fn end(&self) -> Option<TurnEnd> {
        let mut end: TurnEnd = documents::load(&self.end_file()).ok()?;
        let reply = end.has_reply.then(|| files::read(&self.reply_file()).ok()).flatten();
        end.reply = reply.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Some(end)
    }

    /// Its processes, as they were written down.
    pub fn processes(&self) -> Option<TurnProcesses> {
        documents::load(&self.processes_file()).ok()
    }

    /// Somebody asked for its end.
    pub fn is_interrupted(&self) -> bool {
        self.interrupt_file().exists()
    }

    /// Where it stands now.
    pub fn standing(&self) -> Standing {
        if let Some(end) = self.end() {
            return Standing::Ended(Box::new(end));
        }
        if !self.folder.is_dir() {
            return Standing::Missing;
        }
        let Some(processes) = self.processes() else {
            return match lock::is_held(&self.lock_file()) {
                Ok(true) => Standing::Starting,
                // Read again: the runner may have come and gone between the two looks.
                _ if self.processes_file().exists() => self.with(self.processes()),
                _ => Standing::Planned,
            };
        };
        self.with(Some(processes))
    }

    fn with(&self, processes: Option<TurnProcesses>) -> Standing {
        let Some(processes) = processes else { return Standing::Lost };
        if process::is_alive(&processes.runner) {
            return Standing::Running(processes);
        }
        // What it wrote last counts, and it writes no more.
        let Some(processes) = self.processes() else { return Standing::Lost };
        if let Some(end) = self.end() {
            return Standing::Ended(Box::new(end));
        }
        match &processes.child {
            Some(child) if process::is_alive(child) => Standing::Orphaned(child.clone()),
            Some(_) => Standing::Over(processes),
            None => match child::with_variable(TURN_VARIABLE, &self.folder.to_string_lossy()) {
                Some(child) => Standing::Orphaned(child),
                None => Standing::Lost,
            },
        }
    }

    /// Waits until nothing of it runs. What is not started yet is not waited for.
    pub async fn over(&self) {
        loop {
            match self.standing() {
                Standing::Running(processes) => process::ended(&processes.runner).await,
                Standing::Orphaned(child) => process::ended(&child).await,
                // It says its first word within milliseconds, or dies.
                Standing::Starting => tokio::time::sleep(FIRST_WORD).await,
                _ => return,
            }
        }
    }

    /// Waits until its program was started, or will never be: `true` in the first case.
    pub async fn taken_up(&self, runner: &ProcessIdentity) -> bool {
        loop {
            match self.processes().map(|processes| processes.child.is_some()) {
                Some(true) => return true,
                _ if self.end().is_some() => return self.process_file().exists(),
                _ if !process::is_alive(runner) => return self.process_file().exists(),
                // It takes milliseconds: a watch would cost more than these looks.
                _ => tokio::time::sleep(FIRST_WORD).await,
            }
        }
    }
}

/// The turn that was started last.
pub fn last(root: &SessionRoot) -> Option<(Turn, u64)> {
    let last: LastStarted = documents::load(&root.headless_turn()).ok()?;
    Some((Turn::of(root, &last.turn_id)?, last.turn_index))
}

/// Every turn that is written down, the newest first.
pub fn turns(root: &SessionRoot) -> Vec<(Turn, TurnPlan)> {
    let entries = std::fs::read_dir(root.turn_artifacts()).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| Turn::of(root, entry.file_name().to_str()?));
    let mut all: Vec<_> = named.filter_map(|turn| turn.plan().map(|plan| (turn, plan))).collect();
    all.sort_by_key(|(_, plan)| std::cmp::Reverse(plan.turn_index));
    all
}

/// Turns that the history may not have, the oldest first. `known` are left out; those that are marked join them, and
/// those that are gone leave them.
pub fn unrecorded(root: &SessionRoot, known: &mut HashSet<String>) -> Vec<(Turn, TurnPlan)> {
    let entries = std::fs::read_dir(root.turn_artifacts()).into_iter().flatten().flatten();
    let all = entries.filter_map(|entry| Turn::of(root, entry.file_name().to_str()?));
    let before = std::mem::take(known);
    let mut found = Vec::new();
    for turn in all {
        if before.contains(&turn.id) || turn.is_recorded() {
            known.insert(turn.id);
        } else if let Some(plan) = turn.plan() {
            found.push((turn, plan));
        }
    }
    found.sort_by_key(|(_, plan)| plan.turn_index);
    found
}

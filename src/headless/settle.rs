//! How a turn ended, from what it left: by its runner, or by whoever finds it without one.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use super::{
    artefacts::{Standing, Turn},
    conversation,
    events::Events,
};
use crate::{
    agents::headless::{Dialect, LONGEST_LINE, Reader},
    api::{TurnEnd, TurnPlan},
    model::{Moment, Outcome},
    os::{
        child::Exit,
        files::{self, Durability, FileError},
        lock::Lock,
    },
    session::{SessionRoot, documents},
};

/// How much of what a program complained is looked at for its last words, in bytes.
const LAST_WORDS: u64 = 64 * 1024;

/// Cuts output into lines, and keeps what is no whole line yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
    /// The rest of an endless line is thrown away.
    skipping: bool,
}

impl Lines {
    /// Takes in more; calls back for each line that became whole.
    pub(super) fn take(&mut self, mut bytes: &[u8], mut whole: impl FnMut(&[u8])) {
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, after) = bytes.split_at(at);
            if !std::mem::take(&mut self.skipping) {
                self.rest.extend_from_slice(line);
                whole(&self.rest);
            }
            self.rest.clear();
            bytes = &after[1..];
        }
        if self.skipping {
            return;
        }
        self.rest.extend_from_slice(bytes);
        if self.rest.len() > LONGEST_LINE {
            whole(&self.rest[..LONGEST_LINE]);
            self.rest.clear();
            self.skipping = true;
        }
    }

    /// What follows begins in the middle of a line, which is thrown away.
    pub(super) fn leap(&mut self) {
        self.rest.clear();
        self.skipping = true;
    }

    /// What stands behind the last line's end.
    pub(super) fn end(&mut self, mut whole: impl FnMut(&[u8])) {
        if !self.rest.is_empty() {
            whole(&self.rest);
            self.rest.clear();
        }
    }
}

/// Settles a turn of which nothing runs any more and that has no runner to do it; returns how it ended. One that is
/// settled already stays as it is.
///
/// # Errors
/// When its files cannot be written.
pub fn settle(root: &SessionRoot, turn: &Turn, now: Moment) -> Result<TurnEnd, FileError> {
    if let Some(end) = turn.end() {
        return Ok(end);
    }
    let Some(plan) = turn.plan() else {
        return Err(FileError::Missing { path: turn.plan_file() });
    };
    let mut reader = Reader::new(Dialect::of(&plan.dialect));
    files::replace_with(&turn.events(), Durability::Process, |to| {
        let Ok(mut output) = File::open(turn.stdout()) else { return Ok(()) };
        Events::default().rest(&mut output, &mut reader, &plan, turn.is_interrupted(), |bytes| to.write_all(bytes))
    })?;
    let exit_code =
        files::read(&turn.exit_code()).ok().and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok());
    let exit = exit_code.map(|code| Exit { code, signal: None });
    write_end(root, turn, &plan, &reader, exit, None, now)
}

/// Writes down how a turn ended: the conversation into the manifest, then `exitcode`, then `end.json`.
pub(super) fn write_end(
    root: &SessionRoot,
    turn: &Turn,
    plan: &TurnPlan,
    reader: &Reader,
    exit: Option<Exit>,
    failed: Option<String>,
    now: Moment,
) -> Result<TurnEnd, FileError> {
    let told = reader.told();
    let judged = failed.map_or_else(|| reader.judge(exit.map(|exit| exit.code)), Err);
    let (outcome, error) = match judged {
        Ok(()) => (Outcome::Success, None),
        Err(_) if turn.is_interrupted() => (Outcome::Interrupted, None),
        Err(why) => (Outcome::Failed, Some(with_last_words(why, turn))),
    };
    let launched = turn.process_file().exists();
    let session_id = plan.session_id.clone().filter(|_| launched).or_else(|| told.session_id.clone());
    let end = TurnEnd {
        schema_version: 1,
        outcome,
        exit_code: exit.map(|exit| exit.code),
        session_id,
        reply: told.reply.clone(),
        has_reply: told.reply.is_some(),
        reply_truncated: told.truncated,
        exact: told.reply.is_some() && outcome == Outcome::Success,
        error,
        usage: told.usage.clone(),
        started_at_utc: turn.processes().filter(|_| launched).map(|processes| processes.at_utc),
        ended_at_utc: now.iso_millis(),
    };
    conversation::remember(root, end.session_id.as_deref())?;
    write_exit(turn, exit)?;
    if let Some(reply) = &end.reply {
        files::replace(&turn.reply_file(), reply.as_bytes(), Durability::Process)?;
    }
    files::replace(&turn.end_file(), &documents::render(&end), Durability::Disk)?;
    Ok(end)
}

/// Writes down how the program ended, where that is known.
pub(super) fn write_exit(turn: &Turn, exit: Option<Exit>) -> Result<(), FileError> {
    let Some(exit) = exit else { return Ok(()) };
    files::replace(&turn.exit_code(), format!("{}\n", exit.code).as_bytes(), Durability::Process)
}

/// The last line that the program complained with, where it said nothing better.
fn with_last_words(why: String, turn: &Turn) -> String {
    let mut last = String::new();
    let mut lines = Lines::default();
    let mut keep = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        if !line.trim().is_empty() {
            last = line.trim().chars().take(300).collect();
        }
    };
    // The last line stands at the end: somebody may have complained for gigabytes.
    lines.take(&tail(&turn.stderr(), LAST_WORDS), &mut keep);
    lines.end(&mut keep);
    if last.is_empty() || why.contains(&last) { why } else { format!("{why}; its last words: {last}") }
}

/// The end of a file; one that is not there has nothing in it.
fn tail(path: &Path, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        file.take(most).read_to_end(&mut bytes)
    });
    if let Err(error) = read {
        tracing::debug!(%error, file = %path.display(), "what a turn complained could not be read");
    }
    bytes
}

/// Takes a turn back that is planned and that nobody has taken up. `false`: somebody has.
///
/// # Errors
/// When its files cannot be removed.
pub fn withdraw(turn: &Turn) -> Result<bool, FileError> {
    if turn.standing() != Standing::Planned {
        return Ok(false);
    }
    let Some(lock) = Lock::try_take(&turn.lock_file())? else { return Ok(false) };
    // Under the lock no runner can begin; one that began before has left its name.
    if turn.processes().is_some() {
        return Ok(false);
    }
    files::remove_tree(turn.folder())?;
    drop(lock);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_wherever_the_pieces_end() {
        let text = "one\n\ntwo\nthree";
        for size in 1..text.len() {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                lines.take(piece, |line| seen.push(String::from_utf8_lossy(line).into_owned()));
            }
            lines.end(|line| seen.push(String::from_utf8_lossy(line).into_owned()));
            assert_eq!(seen, ["one", "", "two", "three"], "{size}");
        }
    }

    #[test]
    fn an_endless_line_is_told_once_and_ends_at_its_end() {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        let piece = vec![b'x'; LONGEST_LINE / 2 + 1];
        for _ in 0..4 {
            lines.take(&piece, |line| seen.push(line.len()));
        }
        lines.take(b"x\nshort\n", |line| seen.push(line.len()));
        assert_eq!(seen, [LONGEST_LINE, 5]);
    }
}

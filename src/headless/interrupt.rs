//! Ending a turn before its time: at once, and by identity.

use std::{io, time::Duration};

use super::{
    artefacts::{Standing, Turn, last},
    settle::settle,
};
use crate::{
    model::{Moment, ProcessIdentity},
    os::{
        child::{self, GroupSignal},
        clock,
        files::{self, Durability, FileError},
        process::{self, Ended},
    },
    session::SessionRoot,
};

/// After a SIGINT.
pub(super) const UNTIL_TERM: Duration = Duration::from_secs(3);

/// After the SIGTERM that follows it.
pub(super) const UNTIL_KILL: Duration = Duration::from_secs(5);

/// What an interrupt met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pressed {
    /// No turn runs.
    Nothing,
    /// Its runner was told, and sees to the rest.
    Told,
    /// It has no runner any more: the program was told, and [`escalate`] sees to the rest.
    Orphan(ProcessIdentity),
}

/// Asks the running turn to end: SIGINT to its whole process group, SIGTERM three seconds later, SIGKILL five after that.
///
/// # Errors
/// When the wish cannot be written down; then nothing was sent.
pub fn interrupt(turn: &Turn, now: Moment) -> Result<Pressed, FileError> {
    let standing = turn.standing();
    if !matches!(standing, Standing::Starting | Standing::Running(_) | Standing::Orphaned(_)) {
        return Ok(Pressed::Nothing);
    }
    files::replace(&turn.interrupt_file(), format!("{}\n", now.iso_millis()).as_bytes(), Durability::Process)?;
    // Looked at again: a runner that says its first word now has seen the wish, or is known.
    Ok(match turn.standing() {
        Standing::Running(processes) if child::interrupt(&processes.runner) => Pressed::Told,
        Standing::Starting => Pressed::Told,
        Standing::Orphaned(program) if child::signal_group(&program, GroupSignal::Interrupt) => {
            Pressed::Orphan(program)
        }
        _ => Pressed::Nothing,
    })
}

/// Ends a program that has no runner any more, and does not heed the SIGINT that it got.
pub async fn escalate(program: &ProcessIdentity) {
    for (patience, signal) in [(UNTIL_TERM, GroupSignal::Terminate), (UNTIL_KILL, GroupSignal::Kill)] {
        if tokio::time::timeout(patience, process::ended(program)).await.is_ok() {
            return;
        }
        child::signal_group(program, signal);
    }
}

/// Ends the running turn of a session that is to end, and waits for it. `false`: there was none.
///
/// # Errors
/// When the wish cannot be written down, or a process of the turn outlives SIGKILL.
pub fn end_now(root: &SessionRoot, grace: Duration) -> Result<bool, FileError> {
    let Some((turn, _)) = last(root) else { return Ok(false) };
    let pressed = interrupt(&turn, clock::now())?;
    let processes = turn.processes();
    let program = processes.as_ref().and_then(|processes| processes.child.clone());
    if pressed == Pressed::Nothing {
        return Ok(false);
    }
    let waited_for = match (&pressed, &processes) {
        (Pressed::Told, Some(processes)) => Some(processes.runner.clone()),
        _ => program.clone(),
    };
    if let Some(one) = waited_for
        && !process::wait_gone(&one, grace)
    {
        if let Some(program) = &program {
            child::signal_group(program, GroupSignal::Kill);
        }
        // A runner that was stopped, or hangs, must not go on in a session that is over.
        if !process::wait_gone(&one, grace) && process::end(&one, Duration::ZERO) == Ended::NotAtAll {
            let source = io::Error::other(format!("process {} outlived SIGKILL", one.pid));
            return Err(FileError::Io { doing: "end the turn of", path: turn.folder().to_owned(), source });
        }
    }
    if matches!(turn.standing(), Standing::Over(_) | Standing::Lost) {
        settle(root, &turn, clock::now())?;
    }
    Ok(true)
}

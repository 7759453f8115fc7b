//! Programs that are started beside a terminal: the turns of headless agents, whoever looks after them, and gateways
//! in the background.
//!
//! Words go to the kernel one by one; no shell reads them.

#![expect(
    clippy::disallowed_types,
    reason = "headless turns and detached gateways are processes that no terminal starts"
)]

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{family, process};
use crate::model::ProcessIdentity;

/// What to start.
#[derive(Debug)]
pub struct Start<'a> {
    /// Program and arguments.
    pub words: &'a [String],
    /// Where it works.
    pub directory: &'a Path,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What it reads; nothing if `None`.
    pub input: Option<File>,
    /// Where it writes.
    pub output: File,
    /// Where it complains.
    pub errors: File,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit status; for one that a signal ended 128 and the signal's number, as shells say it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// A process that this one started. Dropping it ends nothing.
#[derive(Debug)]
pub struct Running {
    /// Which one.
    pub identity: ProcessIdentity,
    child: Child,
}

impl Running {
    /// Sends a signal to its whole group, also when it has ended itself: until it is reaped, nobody else has its pid.
    pub fn signal_group(&self, signal: GroupSignal) {
        if let Some(pid) = i32::try_from(self.identity.pid).ok().and_then(Pid::from_raw) {
            // Nobody left in the group is as good.
            kill_process_group(pid, signal.number()).unwrap_or_default();
            // A stopped program would never hear it.
            kill_process_group(pid, Signal::CONT).unwrap_or_default();
        }
    }

    #[expect(clippy::must_use_candidate, reason = "reaping is enough")]
    /// How it ended, once it has: asked after its end it waits for nothing, and frees its place in the process table.
    pub fn reap(mut self) -> Option<Exit> {
        let status = self.child.wait().ok()?;
        let signal = status.signal();
        Some(Exit { code: status.code().unwrap_or_else(|| 128 + signal.unwrap_or_default()), signal })
    }
}

/// Starts a program in a process group of its own.
///
/// # Errors
/// When it cannot be started.
pub fn start(what: Start<'_>) -> io::Result<Running> {
    let (program, arguments) = what.words.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let child = Command::new(program)
        .args(arguments)
        .current_dir(what.directory)
        .env_clear()
        .envs(what.environment)
        .stdin(what.input.map_or_else(Stdio::null, Stdio::from))
        .stdout(what.output)
        .stderr(what.errors)
        .process_group(0)
        .spawn()?;
    known(child)
}

/// Starts another copy of this program that outlives us: no terminal, no inherited output.
///
/// It makes itself the leader of its own session with [`become_session_leader`](super::program::become_session_leader).
///
/// # Errors
/// When it cannot be started.
pub fn start_detached(words: &[String], directory: &Path) -> io::Result<Running> {
    let (program, arguments) = words.split_first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let child = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    known(child)
}

fn known(mut child: Child) -> io::Result<Running> {
    let pid = child.id();
    // A program may end before anybody looks: its place in the table is ours until it is reaped.
    match process::identify_or_zombie(pid) {
        Some(identity) => Ok(Running { identity, child }),
        None => {
            drop(child.wait());
            Err(io::Error::other("it could not be identified"))
        }
    }
}

/// Sends a signal to everything in the group that this process leads. `false`: it is gone.
pub fn signal_group(leader: &ProcessIdentity, signal: GroupSignal) -> bool {
    let Some(pid) = i32::try_from(leader.pid).ok().and_then(Pid::from_raw) else { return false };
    if !process::is_alive(leader) {
        return false;
    }
    let sent = kill_process_group(pid, signal.number()).is_ok();
    // A stopped program would never hear it.
    kill_process_group(pid, Signal::CONT).unwrap_or_default();
    sent
}

/// Asks one process to interrupt what it does. `false`: it is gone.
pub fn interrupt(identity: &ProcessIdentity) -> bool {
    let Some(handle) = process::handle(identity) else { return false };
    rustix::process::pidfd_send_signal(&handle, Signal::INT).is_ok()
}

/// How hard a group is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupSignal {
    /// As Ctrl-C does.
    Interrupt,
    /// Asks to end.
    Terminate,
    /// Ends.
    Kill,
}

impl GroupSignal {
    fn number(self) -> Signal {
        match self {
            Self::Interrupt => Signal::INT,
            Self::Terminate => Signal::TERM,
            Self::Kill => Signal::KILL,
        }
    }
}

/// The environment that a process was started with; `None` if it is gone or somebody else's.
pub fn environment_of(identity: &ProcessIdentity) -> Option<Vec<(OsString, OsString)>> {
    let found = family::environment(identity.pid)?;
    process::is_alive(identity).then_some(found)
}

/// A living process of this user that was started with this variable; the oldest, if there are several.
pub fn with_variable(name: &str, value: &str) -> Option<ProcessIdentity> {
    let pids = procfs::process::all_processes().ok()?.flatten().filter_map(|one| u32::try_from(one.pid).ok());
    let carries = |pid: &u32| family::variable(*pid, name).is_some_and(|found| found == value);
    pids.filter(carries).filter_map(process::identify).min_by_key(|found| found.start_ticks)
}

/// Our own environment, as it was when we were started.
pub fn environment() -> Vec<(OsString, OsString)> {
    family::environment(std::process::id()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::files;

    #[test]
    fn a_program_reads_a_file_and_its_end_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        files::replace(&file("in"), b"two words; $HOME", files::Durability::Process).unwrap();
        let words = ["/bin/sh", "-c", "cat; printf ' %s' \"$1\" \"$GIVEN\"; exit 7", "sh", "`x`"].map(str::to_owned);
        let running = start(Start {
            words: &words,
            directory: folder.path(),
            environment: vec![("GIVEN".into(), "yes".into())],
            input: Some(File::open(file("in")).unwrap()),
            output: File::create(file("out")).unwrap(),
            errors: File::create(file("err")).unwrap(),
        })
        .unwrap();
        assert_eq!(running.reap(), Some(Exit { code: 7, signal: None }));
        assert_eq!(std::fs::read_to_string(file("out")).unwrap(), "two words; $HOME `x` yes");
    }

    #[test]
    fn a_group_is_ended_with_its_leader() {
        let folder = tempfile::tempdir().unwrap();
        let words = ["/bin/sh", "-c", "sleep 60 & wait"].map(str::to_owned);
        let running = start(Start {
            words: &words,
            directory: folder.path(),
            environment: environment(),
            input: None,
            output: File::create(folder.path().join("out")).unwrap(),
            errors: File::create(folder.path().join("err")).unwrap(),
        })
        .unwrap();
        let identity = running.identity.clone();
        assert!(signal_group(&identity, GroupSignal::Terminate));
        assert_eq!(running.reap(), Some(Exit { code: 143, signal: Some(15) }));
        assert!(!signal_group(&identity, GroupSignal::Kill));
    }
}

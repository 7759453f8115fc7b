//! A process and what it started: which of them is the one that is meant, and what it was started with. Read-only.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use procfs::{
    Current,
    process::{FDTarget, Process, Stat},
};

use super::process;
use crate::model::{Moment, ProcessIdentity};

/// Most processes that are looked at: a pane with more of them is a build, and what is sought stands near its top.
const MOST: usize = 256;

/// One process of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which one.
    pub identity: ProcessIdentity,
    /// Its program's name, as the kernel has it (at most 15 bytes).
    pub name: String,
    /// The words that it was started with.
    pub arguments: Vec<String>,
    /// It has the same terminal as the first of the family.
    pub same_terminal: bool,
    /// It reads from that terminal.
    pub foreground: bool,
}

/// A process and all that it started, itself first and parents before their children.
pub fn family(pid: u32) -> Vec<Member> {
    let Some(first) = look(pid) else { return Vec::new() };
    let terminal = first.1.tty_nr;
    let (mut found, mut waiting) = (Vec::new(), std::collections::VecDeque::from([first]));
    while let Some((process, stat)) = waiting.pop_front() {
        if found.len() >= MOST {
            break;
        }
        let threads = process.tasks().into_iter().flatten().flatten();
        let children = threads.flat_map(|thread| thread.children().unwrap_or_default());
        waiting.extend(children.filter_map(look));
        let Some(identity) = process::identify(u32::try_from(stat.pid).unwrap_or_default()) else { continue };
        found.push(Member {
            identity,
            arguments: process.cmdline().unwrap_or_default(),
            same_terminal: stat.tty_nr == terminal,
            foreground: stat.tty_nr == terminal && stat.tpgid > 0 && stat.pgrp == stat.tpgid,
            name: stat.comm,
        });
    }
    found
}

fn look(pid: u32) -> Option<(Process, Stat)> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    let stat = process.stat().ok().filter(|stat| stat.state != 'Z' && stat.state != 'X')?;
    Some((process, stat))
}

/// Does it read from its terminal? `None` if it is gone.
pub fn in_foreground(pid: u32) -> Option<bool> {
    let (_, stat) = look(pid)?;
    Some(stat.tpgid > 0 && stat.pgrp == stat.tpgid)
}

/// A variable of the environment that a process was started with.
pub fn variable(pid: u32, name: &str) -> Option<OsString> {
    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    process.environ().ok()?.remove(&OsString::from(name)).filter(|value| !value.is_empty())
}

/// The whole environment that a process was started with.
pub fn environment(pid: u32) -> Option<Vec<(OsString, OsString)>> {
    Some(Process::new(i32::try_from(pid).ok()?).ok()?.environ().ok()?.into_iter().collect())
}

/// When a process was started, to a hundredth of a second and as the wall clock goes now.
pub fn started(identity: &ProcessIdentity, now: Moment) -> Option<Moment> {
    let up = procfs::Uptime::current().ok()?;
    let ticks = Duration::from_secs_f64(up.uptime).as_millis();
    let per_second = u128::from(procfs::ticks_per_second());
    let since_boot = u128::from(identity.start_ticks) * 1_000 / per_second.max(1);
    let age = Duration::from_millis(u64::try_from(ticks.saturating_sub(since_boot)).ok()?);
    Some(now.before(age))
}

/// The files that a process has open.
pub fn open_files(pid: u32) -> Vec<PathBuf> {
    let Some((process, _)) = look(pid) else { return Vec::new() };
    let open = process.fd().into_iter().flatten().flatten();
    open.filter_map(|one| match one.target {
        FDTarget::Path(path) => Some(path),
        _ => None,
    })
    .collect()
}

/// The file of a process's program.
pub fn executable(pid: u32) -> Option<PathBuf> {
    Process::new(i32::try_from(pid).ok()?).ok()?.exe().ok()
}

/// CPU time that a process has used so far.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let (_, stat) = look(pid)?;
    let ticks = stat.utime.saturating_add(stat.stime);
    Some(Duration::from_millis(ticks.saturating_mul(1_000) / procfs::ticks_per_second().max(1)))
}

/// Bytes that a process has read and written so far, files, pipes and sockets together.
pub fn traffic(pid: u32) -> Option<(u64, u64)> {
    let (process, _) = look(pid)?;
    let io = process.io().ok()?;
    Some((io.rchar, io.wchar))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::clock;

    #[test]
    fn this_process_is_the_first_of_its_family() {
        let me = process::myself();
        let family = family(me.pid);
        assert_eq!(family[0].identity, me);
        assert!(!family[0].arguments.is_empty());
        let started = started(&me, clock::now()).unwrap();
        assert!(clock::now().seconds_since(started) < 3_600);
        assert!(variable(me.pid, "PATH").is_some());
        assert_eq!(variable(me.pid, "NO_SUCH_VARIABLE"), None);
        assert!(super::family(u32::MAX).is_empty());
        assert!(traffic(me.pid).is_some_and(|(read, _)| read > 0));
        assert!(cpu_time(me.pid).is_some() && cpu_time(u32::MAX).is_none());
    }
}

//! What a terminal is set to, and who reads from it.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path};

use procfs::process::Process;
use rustix::{fs::OFlags, termios::LocalModes};

/// Most processes that are looked at: a program with more children is not the one that reads prompts.
const MOST_PROCESSES: usize = 256;

/// How the kernel treats what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modes {
    /// It gathers a line before the program sees it, 4,095 bytes at most.
    pub canonical: bool,
    /// Ctrl-C becomes a signal.
    pub signals: bool,
}

/// The longest line, in bytes without its end, that a terminal in canonical mode hands on whole.
pub const LONGEST_CANONICAL_LINE: usize = 4_094;

/// The processes that read from the terminal now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreground {
    /// The pane's own process is among them; otherwise a program that it started is.
    pub is_own: bool,
    /// Their names, as the kernel has them (at most 15 bytes each).
    pub programs: Vec<String>,
}

/// The modes of a terminal; `None` if it cannot be opened.
pub fn modes(tty: &Path) -> Option<Modes> {
    // NOCTTY: looking at a terminal must not make it ours.
    let flags = (OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
    let terminal = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(tty).ok()?;
    let modes = rustix::termios::tcgetattr(&terminal).ok()?.local_modes;
    Some(Modes { canonical: modes.contains(LocalModes::ICANON), signals: modes.contains(LocalModes::ISIG) })
}

/// Who reads from the terminal of this process; `None` if it is gone or has none.
pub fn foreground(pid: u32) -> Option<Foreground> {
    let own = Process::new(i32::try_from(pid).ok()?).ok()?;
    let stat = own.stat().ok()?;
    let group = stat.tpgid;
    if group <= 0 {
        return None;
    }
    let (mut found, mut waiting, mut seen) = (Vec::new(), vec![own], 0);
    while let Some(process) = waiting.pop() {
        seen += 1;
        if seen > MOST_PROCESSES {
            break;
        }
        let Ok(stat) = process.stat() else { continue };
        if stat.pgrp == group && stat.state != 'Z' {
            found.push(stat.comm);
        }
        let children = process.task_main_thread().and_then(|thread| thread.children()).unwrap_or_default();
        waiting.extend(children.into_iter().filter_map(|child| Process::new(i32::try_from(child).ok()?).ok()));
    }
    Some(Foreground { is_own: stat.pgrp == group, programs: found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_terminal_and_a_process_without_one_has_no_foreground() {
        assert_eq!(modes(Path::new("/dev/null")), None);
        assert_eq!(modes(Path::new("/nowhere")), None);
        assert_eq!(foreground(u32::MAX), None);
    }
}

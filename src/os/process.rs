//! Which process is it, does it live, and ending exactly that one.

use std::time::Duration;

use procfs::process::Process;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use tokio::io::{Interest, unix::AsyncFd};

use crate::model::ProcessIdentity;

/// The identity of a process that runs now; `None` if none has this pid (or it is a zombie).
///
/// A killed process whose first thread is gone while others still end is no zombie yet: it holds its files, and
/// with them its locks and its port.
pub fn identify(pid: u32) -> Option<ProcessIdentity> {
    let stat = Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    if stat.state == 'X' || (stat.state == 'Z' && stat.num_threads <= 1) {
        return None;
    }
    Some(ProcessIdentity { pid, start_ticks: stat.starttime, boot_id: boot_id() })
}

/// The identity of a child of this process, also of one that has ended and was not reaped yet.
pub(super) fn identify_or_zombie(pid: u32) -> Option<ProcessIdentity> {
    let stat = Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    Some(ProcessIdentity { pid, start_ticks: stat.starttime, boot_id: boot_id() })
}

/// This process.
pub fn myself() -> ProcessIdentity {
    identify(std::process::id()).unwrap_or(ProcessIdentity {
        pid: std::process::id(),
        start_ticks: 0,
        boot_id: boot_id(),
    })
}

/// Does exactly this process still run? A reused pid or another boot is a clear no. Where the kernel's files cannot be
/// read, as for a gateway that has run out of descriptors, a pid that is taken counts as this process: "gone" would be
/// acted on.
pub fn is_alive(identity: &ProcessIdentity) -> bool {
    match identify(identity.pid) {
        Some(found) => found == *identity,
        None => !is_readable() && is_taken(identity.pid),
    }
}

/// Can facts about processes be read now?
fn is_readable() -> bool {
    Process::myself().and_then(|own| own.stat()).is_ok()
}

/// Has any process this pid? Needs no descriptor.
fn is_taken(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH)))
}

/// Is the process stopped (SIGSTOP, Ctrl-Z)? Explains why it does not answer.
pub fn is_stopped(identity: &ProcessIdentity) -> bool {
    let stat = i32::try_from(identity.pid).ok().and_then(|pid| Process::new(pid).ok()).and_then(|one| one.stat().ok());
    stat.is_some_and(|stat| stat.starttime == identity.start_ticks && stat.state == 'T')
}

/// Does a process with this pid run a program whose name begins so? For records that hold no more than a pid.
pub fn is_named(pid: u32, beginning: &str) -> bool {
    let stat = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok()).and_then(|one| one.stat().ok());
    stat.is_some_and(|stat| stat.state != 'Z' && stat.comm.starts_with(beginning))
}

/// The name of a process's program, as the kernel has it (at most 15 bytes).
pub fn name(pid: u32) -> Option<String> {
    Some(Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?.comm)
}

/// The folder that a process works in, if it is UTF-8.
pub fn working_directory(pid: u32) -> Option<String> {
    let path = Process::new(i32::try_from(pid).ok()?).ok()?.cwd().ok()?;
    path.to_str().map(str::to_owned)
}

/// The kernel's id of this boot; empty where it tells none.
pub fn boot_id() -> String {
    procfs::sys::kernel::random::boot_id().unwrap_or_default().trim().to_owned()
}

/// A handle that keeps meaning the same process even after its pid was given away. `None` if it has ended.
pub fn handle(identity: &ProcessIdentity) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(identity.pid).ok()?)?;
    let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // Checked after opening: from here on the handle cannot come to mean a stranger.
    is_alive(identity).then_some(handle)
}

/// Waits for a process to end. `true` if it is gone.
pub fn wait_gone(identity: &ProcessIdentity, limit: Duration) -> bool {
    match handle(identity) {
        Some(process) => wait_handle(&process, limit),
        // Gone, or (out of descriptors) not to be watched: only the first is an end.
        None => !is_alive(identity),
    }
}

/// Waits for a process to end, inside a runtime and without a thread. Returns at once if it is gone.
#[expect(deprecated, reason = "its successor is `unsafe`; an `OwnedFd` keeps the promise that it asks for")]
pub async fn ended(identity: &ProcessIdentity) {
    let Some(handle) = handle(identity) else {
        if is_alive(identity) {
            std::future::pending::<()>().await;
        }
        return;
    };
    match AsyncFd::with_interest(handle, Interest::READABLE) {
        Ok(process) if process.readable().await.is_ok() => {}
        // It cannot be watched; then nobody is told.
        _ => std::future::pending().await,
    }
}

fn wait_handle(handle: &OwnedFd, limit: Duration) -> bool {
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(limit.subsec_nanos()),
    };
    let mut watched = [PollFd::new(handle, PollFlags::IN)];
    loop {
        match poll(&mut watched, Some(&limit)) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// From here on a closing terminal does not end this process: what it began, it finishes.
pub fn outlive_terminal() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let kind = tokio::signal::unix::SignalKind::hangup();
    // A registered handler takes the default effect away for good, also after the runtime is gone.
    if let Err(error) = runtime.block_on(async { tokio::signal::unix::signal(kind) }) {
        tracing::debug!(%error, "hang-ups keep their effect");
    }
}

/// How a process ended that was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// On its own, or it was gone already.
    Orderly,
    /// It had to be killed.
    Killed,
    /// It outlived SIGKILL (it hangs in the kernel).
    NotAtAll,
}

/// Asks a process to end, waits, and kills it if it must. A process that is already gone is fine.
///
/// SIGCONT goes with the request, or a stopped process would never hear it.
pub fn end(identity: &ProcessIdentity, grace: Duration) -> Ended {
    let Some(process) = handle(identity) else {
        return if is_alive(identity) { Ended::NotAtAll } else { Ended::Orderly };
    };
    let steps = [(Signal::TERM, grace, Ended::Orderly), (Signal::KILL, Duration::from_secs(2), Ended::Killed)];
    for (signal, limit, ended) in steps {
        if pidfd_send_signal(&process, signal).is_err() || pidfd_send_signal(&process, Signal::CONT).is_err() {
            break;
        }
        if wait_handle(&process, limit) {
            return ended;
        }
    }
    if is_alive(identity) { Ended::NotAtAll } else { Ended::Orderly }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycled_pid_is_another_process() {
        let me = myself();
        assert!(is_alive(&me));
        let stranger = ProcessIdentity { start_ticks: me.start_ticks + 1, ..me.clone() };
        assert!(!is_alive(&stranger));
        assert_eq!(end(&stranger, Duration::ZERO), Ended::Orderly, "ending what is gone succeeds and signals nobody");
        let other_boot = ProcessIdentity { boot_id: "another".to_owned(), ..me };
        assert!(!is_alive(&other_boot));
    }
}

//! A tracer that makes a process's system calls fail, or lets one of them be its last.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{World, eventually, signal};

/// `strace` on a process of the test's own making, while this lives.
#[derive(Debug)]
pub struct Tracer(Child);

impl World {
    /// May `strace` be used here? A test that needs it says so on stderr and ends.
    pub fn strace_available() -> bool {
        let run = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    }
}

impl Tracer {
    /// Attaches to every thread of a process, and writes these calls into a file, in their order.
    #[track_caller]
    pub fn writing(pid: u32, calls: &str, file: &Path) -> Self {
        Self::start(pid, &["-s", "64", "-o", &file.display().to_string(), "-e", &format!("trace={calls}")])
    }

    /// Attaches to every thread of a process. `fault` is what happens to these calls: `signal=KILL:when=2`,
    /// `error=EIO`.
    #[track_caller]
    pub fn new(pid: u32, calls: &str, fault: &str) -> Self {
        Self::start(
            pid,
            &["-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{fault}")],
        )
    }

    #[track_caller]
    fn start(pid: u32, words: &[&str]) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-q", "-p", &pid.to_string()]).args(words).stdin(Stdio::null());
        let tracer = Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        eventually("the tracer to hold every thread", || {
            let threads: Vec<_> = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().collect();
            let is_held = |thread: &fs::DirEntry| {
                let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
                status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
            };
            if threads.iter().all(is_held) { Ok(()) } else { Err(format!("{threads:?}")) }
        });
        tracer
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // The kernel lets go of the process then. Asked to end, `strace` would wait for threads that are dead already.
        signal(self.0.id(), rustix::process::Signal::KILL);
        self.0.wait().ok();
    }
}

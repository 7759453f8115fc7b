//! One program from its start to its end: fed, read, and killed when its time is over.

#![expect(clippy::disallowed_types, reason = "this is the door through which tmux is started")]

use std::{
    io::{self, Read, Write},
    os::fd::AsFd,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::server::TmuxError;

/// What a program left.
pub(super) struct Done {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// Runs a program to its end and gathers what it wrote; `None` if the limit passed and it was killed.
#[expect(clippy::disallowed_methods, reason = "measures the time limit")]
pub(super) fn finish(mut command: Command, input: &[u8], limit: Duration) -> Result<Option<Done>, TmuxError> {
    let deadline = Instant::now() + limit;
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => TmuxError::NotInstalled,
        _ => TmuxError::Start(error),
    })?;
    let gathered = gather(&mut child, input, deadline).map_err(TmuxError::Start)?;
    let Some((stdout, stderr)) = gathered else {
        // The process is ours and unreaped, so the pid cannot be a stranger's.
        child.kill().map_err(TmuxError::Start)?;
        child.wait().map_err(TmuxError::Start)?;
        return Ok(None);
    };
    let status = child.wait().map_err(TmuxError::Start)?;
    Ok(Some(Done { status, stdout, stderr }))
}

/// Feeds the input and reads both outputs to their ends; `None` at the deadline.
#[expect(clippy::disallowed_methods, reason = "measures the time limit")]
fn gather(child: &mut Child, mut input: &[u8], deadline: Instant) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let (mut stdin, mut out, mut err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    if let Some(stdin) = &stdin {
        // A program that does not read must not make us wait beyond the deadline.
        rustix::io::ioctl_fionbio(stdin, true)?;
    }
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while out.is_some() || err.is_some() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let (in_ready, out_ready, err_ready) = wait(stdin.as_ref(), out.as_ref(), err.as_ref(), left)?;
        if in_ready {
            input = feed(stdin.as_mut(), input)?;
            if input.is_empty() {
                stdin = None;
            }
        }
        if out_ready && read_some(out.as_mut(), &mut stdout)? {
            out = None;
        }
        if err_ready && read_some(err.as_mut(), &mut stderr)? {
            err = None;
        }
    }
    Ok(Some((stdout, stderr)))
}

/// Waits until something can be fed or read, and says what.
fn wait(
    stdin: Option<&ChildStdin>,
    out: Option<&ChildStdout>,
    err: Option<&ChildStderr>,
    left: Duration,
) -> io::Result<(bool, bool, bool)> {
    let left =
        Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(left.subsec_nanos()) };
    let sources = [
        stdin.map(|fd| (fd.as_fd(), PollFlags::OUT)),
        out.map(|fd| (fd.as_fd(), PollFlags::IN)),
        err.map(|fd| (fd.as_fd(), PollFlags::IN)),
    ];
    let mut watched: Vec<PollFd<'_>> =
        sources.iter().flatten().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    match poll(&mut watched, Some(&left)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut answers = watched.iter().map(|fd| !fd.revents().is_empty());
    let mut ready = sources.iter().map(|source| source.is_some() && answers.next().unwrap_or_default());
    Ok((ready.next().unwrap_or_default(), ready.next().unwrap_or_default(), ready.next().unwrap_or_default()))
}

/// Writes once; what is left. A reader that went away wants nothing more; why, its own words will say.
fn feed<'a>(sink: Option<&mut ChildStdin>, input: &'a [u8]) -> io::Result<&'a [u8]> {
    let Some(sink) = sink else { return Ok(&[]) };
    match sink.write(input) {
        Ok(count) => Ok(&input[count..]),
        Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => Ok(input),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(&[]),
        Err(error) => Err(error),
    }
}

/// Reads once; `true` at the end of the stream.
fn read_some(source: Option<&mut impl Read>, into: &mut Vec<u8>) -> io::Result<bool> {
    let Some(source) = source else { return Ok(true) };
    let mut buffer = [0; 8192];
    let count = match source.read(&mut buffer) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
        other => other?,
    };
    into.extend_from_slice(&buffer[..count]);
    Ok(count == 0)
}

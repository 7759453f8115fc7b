//! A one-shot meeting of a parent and the gateway it starts: readiness is told, never guessed by polling.
//!
//! The socket lives in the session's own `run/` folder. Unix socket paths hold 107 bytes and session roots
//! are longer, so both sides reach it through the folder's descriptor.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    os::{
        fd::{AsFd, AsRawFd},
        unix::{
            fs::OpenOptionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
};
use uuid::Uuid;

use super::{files, process};
use crate::model::ProcessIdentity;

/// A path that reaches `folder/name` in few bytes while `folder` stays open.
pub fn short_path(folder: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

/// Opens a folder so that [`short_path`] can name what is in it.
///
/// # Errors
/// When the folder cannot be opened.
pub fn open_folder(folder: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    std::fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(folder)
}

/// How the parent's wait ended without a meeting.
#[derive(Debug, thiserror::Error)]
pub enum Missed {
    /// The child ended first.
    #[error("it ended before it was ready")]
    Died,
    /// The deadline passed.
    #[error("it was not ready in time")]
    Late,
    /// The system said no.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The parent's side: a listening socket that is removed when dropped.
#[derive(Debug)]
pub struct Rendezvous {
    listener: UnixListener,
    path: PathBuf,
    name: String,
}

impl Rendezvous {
    /// Opens a socket with an unguessable name in this private folder.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let name = format!("ready-{}.sock", Uuid::new_v4().simple());
        let handle = open_folder(folder)?;
        let listener = UnixListener::bind(short_path(&handle, &name))?;
        Ok(Self { listener, path: folder.join(&name), name })
    }

    /// The socket's name within the folder, for the child.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for the child to connect. Its death ends the wait at once.
    ///
    /// # Errors
    /// [`Missed`].
    pub fn meet(&self, child: &ProcessIdentity, deadline: Instant) -> Result<Meeting, Missed> {
        let handle = process::handle(child).ok_or(Missed::Died)?;
        loop {
            let left = left_until(deadline)?;
            let mut watched = [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(&handle, PollFlags::IN)];
            match poll(&mut watched, Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Missed::Io(error.into())),
            }
            // A child that connected and died left its last words in the socket: read them first.
            if !watched[0].revents().is_empty() {
                let (stream, _) = self.listener.accept()?;
                return Ok(Meeting { stream });
            }
            if !watched[1].revents().is_empty() {
                return Err(Missed::Died);
            }
        }
    }
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        // Nothing depends on its removal: names are never used twice, and the next start sweeps the folder.
        drop(files::remove(&self.path));
    }
}

#[expect(clippy::disallowed_methods, reason = "turns a deadline into a time limit")]
fn left_until(deadline: Instant) -> Result<Timespec, Missed> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Missed::Late);
    }
    Ok(Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(left.subsec_nanos()) })
}

/// Both ends of a meeting: one line each way.
#[derive(Debug)]
pub struct Meeting {
    stream: UnixStream,
}

impl Meeting {
    /// The child's side: connects to the parent that started it.
    ///
    /// # Errors
    /// When the parent is gone.
    pub fn join(folder: &Path, name: &str) -> io::Result<Self> {
        let handle = open_folder(folder)?;
        Ok(Self { stream: UnixStream::connect(short_path(&handle, name))? })
    }

    /// Says one line.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\n").as_bytes())
    }

    /// Hears one line.
    ///
    /// # Errors
    /// When the other side is gone or silent for too long.
    pub fn hear(&mut self, limit: Duration) -> io::Result<String> {
        self.stream.set_read_timeout(Some(limit))?;
        let mut line = String::new();
        let count = BufReader::new(&self.stream).read_line(&mut line)?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        Ok(line.trim_end().to_owned())
    }

    /// Hears one line from the child, or notices its death.
    ///
    /// # Errors
    /// [`Missed`].
    pub fn hear_from(&mut self, child: &ProcessIdentity, deadline: Instant) -> Result<String, Missed> {
        let handle = process::handle(child);
        loop {
            let left = left_until(deadline)?;
            let socket = self.stream.as_fd();
            let mut watched = vec![PollFd::from_borrowed_fd(socket, PollFlags::IN)];
            if let Some(handle) = &handle {
                watched.push(PollFd::new(handle, PollFlags::IN));
            }
            match poll(&mut watched, Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Missed::Io(error.into())),
            }
            let spoke = !watched[0].revents().is_empty();
            let died = handle.is_none() || watched.get(1).is_some_and(|fd| !fd.revents().is_empty());
            if spoke {
                return self.hear(Duration::from_secs(1)).map_err(|_silent| Missed::Died);
            }
            if died {
                return Err(Missed::Died);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a deadline for the test")]
    fn a_long_folder_is_no_obstacle_and_the_socket_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("x".repeat(100)).join("y".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let rendezvous = Rendezvous::open(&deep).unwrap();
        let name = rendezvous.name().to_owned();
        let place = deep.clone();
        let child = std::thread::spawn(move || {
            let mut meeting = Meeting::join(&place, &name).unwrap();
            let heard = meeting.hear(Duration::from_secs(5)).unwrap();
            meeting.say(&format!("ready {heard}")).unwrap();
        });
        let deadline = Instant::now() + Duration::from_secs(5);
        let me = process::myself();
        let mut meeting = rendezvous.meet(&me, deadline).unwrap();
        meeting.say("window").unwrap();
        assert_eq!(meeting.hear_from(&me, deadline).unwrap(), "ready window");
        child.join().unwrap();
        drop(rendezvous);
        assert_eq!(std::fs::read_dir(&deep).unwrap().count(), 0);
    }
}

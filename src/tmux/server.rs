//! One tmux server, and running command lists on it with a time limit.

#![expect(clippy::disallowed_types, reason = "this is the door through which tmux is started")]

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use super::{commands::Commands, run::finish, version::Version};
use crate::{
    model::{ErrorCode, Failure},
    os::{files, lock::Lock, program},
};

/// How long one tmux process may take. tmux answers in two milliseconds; a stopped server never answers.
pub const LIMIT: Duration = Duration::from_secs(2);

/// A tmux server, named by the full path of its socket.
///
/// Never by `-L` or `TMUX_TMPDIR`: tmux falls back to the default socket without a word when that folder is missing.
#[derive(Debug, Clone)]
pub struct Server {
    socket: PathBuf,
    gate: Option<PathBuf>,
}

impl PartialEq for Server {
    /// Two values mean one server when they name one socket.
    fn eq(&self, other: &Self) -> bool {
        self.socket == other.socket
    }
}

impl Eq for Server {}

/// Why tmux did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum TmuxError {
    /// No `tmux` on the PATH.
    #[error("tmux is not installed, or not on the PATH")]
    NotInstalled,
    /// It could not be started for another reason.
    #[error("could not start tmux: {0}")]
    Start(io::Error),
    /// It did not end within [`LIMIT`] and was killed.
    #[error("tmux did not answer within {} s on socket `{}`", LIMIT.as_secs(), socket.display())]
    Hung {
        /// The server's socket.
        socket: PathBuf,
    },
    /// Nobody listens on the socket.
    #[error("no tmux server answers on socket `{}`", socket.display())]
    NoServer {
        /// The server's socket.
        socket: PathBuf,
    },
    /// The server lives; the session, window or pane does not.
    #[error("tmux says: {said}")]
    NoTarget {
        /// tmux's own words.
        said: String,
    },
    /// It answered with an error.
    #[error("tmux {command} failed: {said}")]
    Failed {
        /// The first command of the list.
        command: String,
        /// tmux's own words.
        said: String,
    },
    /// The server is older than [`Version::OLDEST`].
    #[error("tmux {found} is too old; {} or newer is needed", Version::OLDEST)]
    TooOld {
        /// What runs here.
        found: String,
    },
    /// The answer was not in the expected form.
    #[error("tmux gave an answer that could not be read: {0}")]
    Unreadable(String),
}

impl From<TmuxError> for Failure {
    fn from(error: TmuxError) -> Self {
        let hint = match &error {
            TmuxError::NotInstalled => "install tmux 3.2 or newer with your package manager".to_owned(),
            TmuxError::Hung { .. } => {
                "its server may be stopped or overloaded: look for it with `pgrep -a tmux`; `kill -CONT PID` wakes a stopped one".to_owned()
            }
            TmuxError::NoServer { .. } => {
                "start a session with `tmux` or `agents launch`, or name another server with `--tmux-socket`".to_owned()
            }
            TmuxError::NoTarget { .. } => "`tmux ls` shows the sessions of this server".to_owned(),
            TmuxError::Start(_) | TmuxError::Failed { .. } | TmuxError::Unreadable(_) => "run `agents doctor`".to_owned(),
            TmuxError::TooOld { .. } => {
                "upgrade tmux; a server that still runs the old one must be restarted as well".to_owned()
            }
        };
        let code = match &error {
            TmuxError::NoTarget { .. } => ErrorCode::TargetNotFound,
            _ => ErrorCode::TmuxUnavailable,
        };
        Self::new(code, error.to_string(), hint)
    }
}

impl Server {
    /// The server behind this socket.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), gate: None }
    }

    /// The same server, with a lock below this folder that keeps our own doings out of each other's way.
    ///
    /// tmux 3.3a ends with a segmentation fault when it tells its control clients of a created, closed or renamed
    /// session, or of a client that left, while another one is half-way through introducing itself: that one has no
    /// buffer yet. It takes a fraction of a millisecond; opening gateways and sessions by the dozen hits it. So
    /// whoever of us opens or closes a control client, or makes or ends a session, does it alone.
    #[must_use]
    pub fn gated(mut self, folder: &Path) -> Self {
        let name = self.socket.to_string_lossy().replace('/', "%");
        self.gate = Some(folder.join("tmux").join(format!("{name}.lock")));
        self
    }

    /// Waits for its turn, a second at most: a held gate must not keep anybody from working.
    pub fn alone(&self) -> Option<Lock> {
        let gate = self.gate.as_ref()?;
        files::create_private_dir(gate.parent()?).ok()?;
        Lock::take_within(gate, Duration::from_secs(1)).ok().flatten()
    }

    /// Full path of the socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Does the socket's file exist? A server that lost it lives on, out of reach.
    pub fn has_socket_file(&self) -> bool {
        self.socket.exists()
    }

    /// The beginning of every tmux command line for this server.
    ///
    /// `-u` because tmux would otherwise replace characters outside ASCII under a C locale.
    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(&self.socket);
        // A server started by us must not believe that it runs inside another one.
        command.env_remove("TMUX").env_remove("TMUX_PANE");
        command
    }

    /// Command line of a control client that takes no output until it asks for it, lags a second at most, and never
    /// changes a window's size.
    pub fn control_command(&self, session: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::from(self.command());
        // A client introduces itself with its whole environment, a message each. It needs none of it.
        command.env_clear().envs(program::small_environment());
        // -E: without it, attaching would write this process's own environment over the session's
        // (`update-environment`), and take away what the user's last real client brought.
        command.args(["-C", "attach-session", "-E", "-f", "no-output,ignore-size,pause-after=1", "-t", session]);
        command
    }

    /// Runs a command list; returns what it printed.
    ///
    /// # Errors
    /// [`TmuxError`]; the list may have been done up to the command that failed.
    pub fn run(&self, commands: &Commands) -> Result<Vec<u8>, TmuxError> {
        self.run_within(commands, &[], LIMIT)
    }

    /// As [`Server::run`], with bytes for a command that reads them (`load-buffer -`).
    ///
    /// # Errors
    /// As [`Server::run`].
    pub fn run_with_input(&self, commands: &Commands, input: &[u8]) -> Result<Vec<u8>, TmuxError> {
        self.run_within(commands, input, LIMIT)
    }

    /// As [`Server::run`], for a list that makes or ends sessions, windows or panes.
    ///
    /// # Errors
    /// As [`Server::run`].
    pub fn run_alone(&self, commands: &Commands) -> Result<Vec<u8>, TmuxError> {
        let _turn = self.alone();
        self.run(commands)
    }

    /// Has the tmux client in which the caller runs show this session. The caller is a process of one of its panes.
    ///
    /// # Errors
    /// As [`Server::run`].
    pub fn switch_client(&self, session: &str) -> Result<(), TmuxError> {
        // Unlike every other command this one keeps `TMUX_PANE`: tmux finds the caller's own client by it.
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(&self.socket).args(["switch-client", "-t", session]);
        let done = finish(command, &[], LIMIT)?.ok_or_else(|| TmuxError::Hung { socket: self.socket.clone() })?;
        if done.status.success() {
            return Ok(());
        }
        Err(self.explain("switch-client", &String::from_utf8_lossy(&done.stderr)))
    }

    /// Becomes a tmux client that shows this session. Returns only if that failed.
    pub fn become_client(&self, session: &str) -> TmuxError {
        let error = self.command().args(["attach-session", "-t", session]).exec();
        if error.kind() == io::ErrorKind::NotFound { TmuxError::NotInstalled } else { TmuxError::Start(error) }
    }

    fn run_within(&self, commands: &Commands, input: &[u8], limit: Duration) -> Result<Vec<u8>, TmuxError> {
        let mut command = self.command();
        command.args(commands.argv().map(OsString::from));
        let done = finish(command, input, limit)?.ok_or_else(|| TmuxError::Hung { socket: self.socket.clone() })?;
        if done.status.success() {
            return Ok(done.stdout);
        }
        Err(self.explain(&commands.first(), &String::from_utf8_lossy(&done.stderr)))
    }

    /// Turns tmux's words into a reason.
    fn explain(&self, command: &str, stderr: &str) -> TmuxError {
        let said = stderr.trim().to_owned();
        let has = |text: &str| said.contains(text);
        if has("no server running") || has("error connecting") || has("lost server") || has("server exited") {
            return TmuxError::NoServer { socket: self.socket.clone() };
        }
        if has("can't find") || has("no current target") || has("no such session") {
            return TmuxError::NoTarget { said };
        }
        match installed_version() {
            Ok(Some(version)) if !version.is_supported() => TmuxError::TooOld { found: version.to_string() },
            _ => TmuxError::Failed { command: command.to_owned(), said },
        }
    }

    /// Runs a command list that may start the server, again while an old server is still dying.
    ///
    /// # Errors
    /// As [`Server::run`], after two seconds of tries.
    #[expect(clippy::disallowed_methods, reason = "waits for a dying server to be gone; nothing tells us when")]
    pub fn run_starting(&self, commands: &Commands) -> Result<Vec<u8>, TmuxError> {
        // tmux makes this folder for its own socket names only; after a reboot it is gone.
        if let Some(folder) = self.socket.parent() {
            files::create_private_dir(folder).map_err(|error| TmuxError::Start(io::Error::other(error)))?;
        }
        let _turn = self.alone();
        let deadline = Instant::now() + LIMIT;
        let mut pause = Duration::from_millis(10);
        loop {
            // A first start loads the user's configuration, which may run programs.
            match self.run_within(commands, &[], Duration::from_secs(10)) {
                Err(TmuxError::NoServer { .. }) if Instant::now() < deadline => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(200));
                }
                other => return other,
            }
        }
    }
}

/// The version of the tmux program on the PATH; `None` if it does not say one.
///
/// # Errors
/// [`TmuxError::NotInstalled`] and the like.
pub fn installed_version() -> Result<Option<Version>, TmuxError> {
    let mut command = Command::new("tmux");
    command.arg("-V");
    let done = finish(command, &[], LIMIT)?.ok_or_else(|| TmuxError::Hung { socket: PathBuf::new() })?;
    Ok(Version::parse(&String::from_utf8_lossy(&done.stdout)))
}

//! Runs the control client: every caller gets the answer to its own command, and tmux never waits for us.
#![expect(clippy::disallowed_types, reason = "tmux is the room that starts tmux")]

use std::{
    io,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{Notify, mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};

use super::{
    command::{one_block, one_line},
    notices::{Notices, queue},
    output::{Output, tap},
    parser::Parser,
    router::{Router, Waiting},
};
use crate::{model::PaneId, tmux::Commands};

/// How long a caller waits for an answer, unless it says otherwise.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// How long the client may take to end after its input was closed.
const CLOSING_LIMIT: Duration = Duration::from_secs(1);

/// Commands that may be without an answer before callers wait for their turn. A server that was stopped
/// answers nothing, and its callers keep coming.
const MOST_UNANSWERED: usize = 1_024;

/// Bytes of commands that may be unwritten before callers wait for their turn.
const MOST_UNWRITTEN: usize = 64 * 1024;

/// Batches of commands that may wait between the callers and the driver.
const MOST_WAITING: usize = 64;

/// What one read can take: more than nearly every answer, and kept for as long as the client lives.
const READ_SIZE: usize = 16 * 1024;

/// What a command printed, line by line, without line breaks.
pub type Answer = Result<Vec<Vec<u8>>, ControlError>;

/// Why there is no client, or no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The program could not be started.
    #[error("cannot start the tmux control client: {0}")]
    Start(#[source] io::Error),
    /// The command was not sent: it would break the conversation. The text says what is wrong with it.
    #[error("cannot be sent to tmux: {0}")]
    Unsendable(&'static str),
    /// tmux answered with an error, in its own words.
    #[error("tmux refused: {0}")]
    Refused(String),
    /// No answer came in time. If the command had been written already, tmux may still carry it out.
    #[error("tmux did not answer in time")]
    TimedOut,
    /// tmux carried the command out and its answer is too large to be kept.
    #[error("tmux answered more than can be kept")]
    TooLarge,
    /// The client has ended. If the command had been written already, tmux may have carried it out.
    #[error("the tmux control client is gone")]
    Gone,
}

/// Why the client ended.
#[derive(Debug)]
pub enum Closed {
    /// tmux refused to attach, in its own words; mostly because the session is gone.
    NotAttached {
        /// What tmux said.
        reason: String,
    },
    /// tmux said goodbye: after an orderly close, or because the session or the server ended.
    Exit {
        /// Why, in tmux's words; empty after an orderly close.
        reason: String,
    },
    /// The output ended without a goodbye.
    EndOfFile,
    /// The client did not end by itself and was killed.
    Killed,
    /// Its output could not be read.
    Io(io::Error),
}

/// Asks tmux. Cheap to clone; when the last clone is dropped, the client is closed.
#[derive(Debug, Clone)]
pub struct Control {
    line: Arc<Line>,
    time_limit: Duration,
    pid: u32,
}

/// What all clones share.
#[derive(Debug)]
struct Line {
    requests: mpsc::Sender<Vec<Request>>,
    closing: Arc<Notify>,
}

impl Drop for Line {
    fn drop(&mut self) {
        // The driver does not look at the requests while it can take none.
        self.closing.notify_one();
    }
}

/// Keeps the conversation going. Nothing happens unless [`Driver::run`] is polled.
///
/// Dropping it closes the client's input, which ends the client, and answers everybody with [`ControlError::Gone`].
#[derive(Debug)]
pub struct Driver {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    requests: mpsc::Receiver<Vec<Request>>,
    closing: Arc<Notify>,
    /// Commands that are accepted and not yet written.
    unwritten: Vec<u8>,
    parser: Parser,
    router: Router,
}

/// One command, or one list with its fence, on its way; with line breaks.
#[derive(Debug)]
struct Request {
    lines: Vec<u8>,
    waiting: Waiting,
}

/// Starts a control client.
///
/// `command` is the whole `tmux -S … -C attach-session -t $ID -f no-output,ignore-size`. Its input and output
/// are set here; its errors are thrown away, because what matters of them comes in the conversation, too.
/// Must be called inside a tokio runtime, and [`Driver::run`] must be polled from then on.
///
/// # Errors
/// [`ControlError::Start`] when the program cannot be started. That the server or the session is missing
/// is not known yet: [`Closed`] says so.
pub fn open(mut command: Command) -> Result<(Control, Notices, Driver), ControlError> {
    // tmux 3.3a ends with a segmentation fault when a control client dies half-way through introducing itself, so it
    // is never killed before it is attached. It stays in our process group: the hang-up of our terminal is what
    // ends it when we are killed, since without a reader it does not end by itself.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(ControlError::Start)?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(ControlError::Start(io::Error::other("its pipes are missing")));
    };
    let (sender, requests) = mpsc::channel(MOST_WAITING);
    let (publisher, notices) = queue();
    let closing = Arc::new(Notify::new());
    let line = Line { requests: sender, closing: Arc::clone(&closing) };
    let control = Control { line: Arc::new(line), time_limit: TIME_LIMIT, pid: child.id().unwrap_or_default() };
    let router = Router::new(publisher);
    let (unwritten, parser) = (Vec::new(), Parser::new());
    Ok((control, notices, Driver { child, stdin, stdout, requests, closing, unwritten, parser, router }))
}

impl Control {
    /// The same client, asked with another time limit. The usual one is 2 seconds.
    #[must_use]
    pub fn with_time_limit(&self, time_limit: Duration) -> Self {
        Self { time_limit, ..self.clone() }
    }

    /// The client's process; 0 if it ended before it was asked for.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends one command and waits for what it prints.
    ///
    /// The command must be one that tmux answers with exactly one block, or every later caller would get the
    /// answer of somebody else. So these are refused: an empty command (it would detach the client), line
    /// breaks and NUL, lists (`a ; b`, whether or not the `;` stands in braces), anything that does not begin
    /// with the name of a command (tmux answers comments and assignments with nothing), `if-shell`,
    /// `run-shell` and `source-file` (they answer with a block for each command they run). What cannot be
    /// seen from here is a `command-alias` that stands for several commands: use the commands' full names.
    ///
    /// # Errors
    /// [`ControlError::Unsendable`] before anything was sent; [`ControlError::Refused`] when tmux answers
    /// with an error; [`ControlError::TimedOut`], [`ControlError::Gone`] and [`ControlError::TooLarge`], after
    /// which the command may have been carried out or not.
    pub async fn ask(&self, command: &str) -> Answer {
        let deadline = Instant::now() + self.time_limit;
        let (request, reply) = Request::new(command)?;
        self.send(vec![request], deadline).await?;
        receive(reply, deadline).await
    }

    /// Sends several commands at once, with nobody else's between them, and gathers what each prints.
    ///
    /// There is one result for each command, in order. Each stands for itself: one that cannot be sent or that
    /// tmux refuses stops none of the others. The time limit is for all of them together. The rules for each
    /// command, and its errors, are those of [`Control::ask`].
    pub async fn ask_all(&self, commands: &[String]) -> Vec<Answer> {
        let deadline = Instant::now() + self.time_limit;
        let mut requests = Vec::with_capacity(commands.len());
        let mut replies = Vec::with_capacity(commands.len());
        for command in commands {
            replies.push(Request::new(command).map(|(request, reply)| {
                requests.push(request);
                reply
            }));
        }
        // When this fails the requests are dropped, and every reply says so by itself.
        let sent = self.send(requests, deadline).await;
        let mut answers = Vec::with_capacity(replies.len());
        for reply in replies {
            answers.push(match (reply, &sent) {
                (Err(unsendable), _) => Err(unsendable),
                (Ok(_), Err(ControlError::TimedOut)) => Err(ControlError::TimedOut),
                (Ok(reply), _) => receive(reply, deadline).await,
            });
        }
        answers
    }

    /// Sends a list of commands that tmux carries out without returning to its event loop, whatever number of
    /// blocks it answers with: `if-shell -F` with what it runs. Gathers what all of them print, in order.
    ///
    /// # Errors
    /// As [`Control::ask`]. [`ControlError::Refused`] means that one of the commands failed: those before it in its
    /// list were carried out, those after it were not.
    pub async fn ask_list(&self, commands: &Commands) -> Answer {
        let deadline = Instant::now() + self.time_limit;
        let (request, reply) = Request::fenced(&commands.line())?;
        self.send(vec![request], deadline).await?;
        receive(reply, deadline).await
    }

    /// Has tmux send what the panes of the session print, but for `silent` ones. Until then a client that was opened
    /// with `no-output` hears nothing.
    ///
    /// Silent panes are *paused*, and not switched off: tmux 3.3a ends with a fatal error when a pane is switched off
    /// whose output is on its way, and with all clients off it would stop reading from the program.
    ///
    /// # Errors
    /// As [`Control::ask`].
    pub async fn take_output(&self, silent: &[PaneId]) -> Result<(), ControlError> {
        let silent: Vec<String> = silent.iter().map(|pane| format!(" -A '{pane}:pause'")).collect();
        self.ask(&format!("refresh-client -f '!no-output'{}", silent.concat())).await.map(drop)
    }

    /// Has tmux drop what this pane prints from now on.
    ///
    /// # Errors
    /// As [`Control::ask`]. That the pane is gone is none.
    pub async fn pause(&self, pane: PaneId) -> Result<(), ControlError> {
        self.ask(&format!("refresh-client -A '{pane}:pause'")).await.map(drop)
    }

    /// Has tmux send what this pane prints again. What was printed meanwhile is lost.
    ///
    /// # Errors
    /// As [`Control::pause`].
    pub async fn resume(&self, pane: PaneId) -> Result<(), ControlError> {
        self.ask(&format!("refresh-client -A '{pane}:continue'")).await.map(drop)
    }

    /// Ends the client in an orderly way: no more commands are taken, those that wait for an answer get it if
    /// it comes at once, and [`Driver::run`] returns after at most about a second. May be called repeatedly.
    pub fn close(&self) {
        self.line.closing.notify_one();
    }

    async fn send(&self, requests: Vec<Request>, deadline: Instant) -> Result<(), ControlError> {
        match timeout_at(deadline, self.line.requests.send(requests)).await {
            Ok(sent) => sent.ok().ok_or(ControlError::Gone),
            Err(_elapsed) => Err(ControlError::TimedOut),
        }
    }
}

/// An answer that is there already is taken even after the deadline.
async fn receive(reply: oneshot::Receiver<Answer>, deadline: Instant) -> Answer {
    match timeout_at(deadline, reply).await {
        Ok(answer) => answer.unwrap_or(Err(ControlError::Gone)),
        Err(_elapsed) => Err(ControlError::TimedOut),
    }
}

impl Request {
    fn new(command: &str) -> Result<(Self, oneshot::Receiver<Answer>), ControlError> {
        one_block(command).map_err(ControlError::Unsendable)?;
        Ok(Self::with(format!("{command}\n"), None))
    }

    /// A list, and behind it a command of our own whose answer shows that the list is done.
    fn fenced(list: &str) -> Result<(Self, oneshot::Receiver<Answer>), ControlError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        one_line(list).map_err(ControlError::Unsendable)?;
        let fence = format!("agents-fence-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Ok(Self::with(format!("{list}\ndisplay-message -p {fence}\n"), Some(fence.into_bytes())))
    }

    fn with(lines: String, fence: Option<Vec<u8>>) -> (Self, oneshot::Receiver<Answer>) {
        let (answer, reply) = oneshot::channel();
        let waiting = Waiting::new(answer, fence);
        (Self { lines: lines.into_bytes(), waiting }, reply)
    }
}

impl Driver {
    /// What this pane prints from now on, once the client takes output ([`Control::take_output`]). That of every other
    /// pane is thrown away.
    pub fn listen(&mut self, pane: PaneId) -> Output {
        let (tap, output) = tap(pane);
        self.router.tap = Some(tap);
        output
    }

    /// Drives the client to its end and says why it ended. The process is reaped before this returns, unless its
    /// server hangs and never attached it.
    ///
    /// Must be polled as a task of its own. It never waits for a caller or for the reader of [`Notices`].
    pub async fn run(mut self) -> Closed {
        let mut failed = self.converse().await.err();
        let Self { mut child, stdin, mut stdout, requests, unwritten: _, mut parser, mut router, closing: _ } = self;
        // From here on every new caller is told that the client is gone. A command that is half written is
        // never carried out: tmux only runs whole lines.
        drop(requests);
        drop(stdin);
        let deadline = Instant::now() + CLOSING_LIMIT;
        if failed.is_none() {
            // The output may stay open longer than the process: a stopped server holds it, too.
            let rest = timeout_at(deadline, drain(&mut stdout, &mut parser, &mut router)).await;
            failed = rest.ok().and_then(Result::err);
        }
        let killed = match timeout_at(deadline, child.wait()).await {
            Ok(_) => false,
            // Not attached, it must not be killed; its input is closed, so it ends when its server lets it.
            Err(_elapsed) if !router.attached => false,
            // What outlives this, too, is reaped by the runtime when it ends.
            Err(_elapsed) => timeout(CLOSING_LIMIT, child.kill()).await.is_ok(),
        };
        match (router.not_attached, router.exit, failed) {
            (Some(reason), _, _) => Closed::NotAttached { reason },
            (None, Some(reason), _) => Closed::Exit { reason },
            (None, None, Some(error)) => Closed::Io(error),
            (None, None, None) if killed => Closed::Killed,
            (None, None, None) => Closed::EndOfFile,
        }
    }

    /// Reads and writes until there is a reason to stop. Fails only when the output cannot be read.
    async fn converse(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ_SIZE];
        while self.router.exit.is_none() && self.router.not_attached.is_none() {
            // tmux carries out what it reads before and even instead of attaching, and then on whichever session
            // it likes best. So nothing is written before it says that it has attached.
            let has_room = self.router.attached
                && self.unwritten.len() < MOST_UNWRITTEN
                && self.router.unanswered.len() < MOST_UNANSWERED;
            tokio::select! {
                read = self.stdout.read(&mut buffer) => match read? {
                    0 => break,
                    size => self.router.route(&mut self.parser, &buffer[..size]),
                },
                wrote = self.stdin.write(&self.unwritten), if !self.unwritten.is_empty() => match wrote {
                    Ok(size) => drop(self.unwritten.drain(..size)),
                    // Nobody listens any more. Why, the output will say.
                    Err(_) => break,
                },
                batch = self.requests.recv(), if has_room => match batch {
                    Some(batch) => self.accept(batch),
                    // Nobody is left who could ask.
                    None => break,
                },
                () = self.closing.notified() => break,
                _ = self.child.wait() => break,
            }
        }
        Ok(())
    }

    /// Puts commands in line, except those whose callers have given up already.
    fn accept(&mut self, batch: Vec<Request>) {
        for Request { lines, waiting } in batch.into_iter().filter(|request| !request.waiting.has_given_up()) {
            self.unwritten.extend_from_slice(&lines);
            self.router.unanswered.push_back(waiting);
        }
    }
}

/// Reads to the end of the output.
async fn drain(stdout: &mut ChildStdout, parser: &mut Parser, router: &mut Router) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    loop {
        match stdout.read(&mut buffer).await? {
            0 => return Ok(()),
            size => router.route(parser, &buffer[..size]),
        }
    }
}

#[cfg(test)]
mod tests;

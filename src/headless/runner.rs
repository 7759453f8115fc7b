//! The runner: `agents headless-turn`, one process for each turn. It outlives whoever started it.

use std::{
    fs::File,
    io::{Read, Write},
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep_until},
};

use super::{
    artefacts::Turn,
    events::{Events, PIECE},
    interrupt::{UNTIL_KILL, UNTIL_TERM},
    retention,
    settle::{write_end, write_exit},
};
use crate::{
    agents::headless::{Dialect, Reader},
    api::{ProcessFile, TurnPlan, TurnProcesses},
    model::Failure,
    os::{
        child::{self, Exit, GroupSignal, Running, Start},
        clock,
        files::{self, Durability, FileError},
        lock::Lock,
        notify::Changes,
        process, program,
    },
    session::{SessionRoot, documents},
};

/// How often a busy program's output is read at most.
const PACE: Duration = Duration::from_millis(30);

/// Where inotify cannot be had, its output is looked at as often as this.
const UNWATCHED: Duration = Duration::from_millis(500);

/// The exit status of a program that cannot be started, as shells say it.
const NOT_STARTED: i32 = 127;

/// Runs one turn, once: a turn that anybody has taken up before is left alone.
///
/// # Errors
/// When the turn's files cannot be read or written.
pub fn run(root: &SessionRoot, id: &str) -> Result<(), Failure> {
    program::become_session_leader();
    let turn = Turn::of(root, id)
        .ok_or_else(|| Failure::usage("this is no name of a turn", "name one of `agents turn list`"))?;
    if !turn.lock_file().exists() {
        return Err(taken_back(&turn));
    }
    let lock = Lock::try_take(&turn.lock_file())?.filter(Lock::is_still_the_path).ok_or_else(|| taken_back(&turn))?;
    if turn.processes().is_some() || turn.end().is_some() {
        return Err(Failure::refused(format!("turn `{id}` was taken up before"), "a turn is never run twice"));
    }
    let plan: TurnPlan = documents::load(&turn.plan_file())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("no runtime: {error}")))?;
    let done = runtime.block_on(take_up(root, &turn, &plan));
    drop(lock);
    retention::sweep(root, clock::now());
    Ok(done?)
}

fn taken_back(turn: &Turn) -> Failure {
    Failure::refused(format!("turn `{}` was taken back, or has a runner", turn.id()), "a turn is never run twice")
}

async fn take_up(root: &SessionRoot, turn: &Turn, plan: &TurnPlan) -> Result<(), FileError> {
    // Before anybody knows whom to tell: from then on a wish is heard.
    let mut signals = Signals::listen();
    let mut processes =
        TurnProcesses { schema_version: 1, runner: process::myself(), child: None, at_utc: clock::now().iso_millis() };
    files::replace(&turn.processes_file(), &documents::render(&processes), Durability::Disk)?;
    let mut reader = Reader::new(Dialect::of(&plan.dialect));
    let running = match begin(turn, plan) {
        Ok(running) => running,
        Err(why) => {
            let exit = Exit { code: NOT_STARTED, signal: None };
            return write_end(root, turn, plan, &reader, Some(exit), Some(why), clock::now()).map(drop);
        }
    };
    let now = clock::now();
    processes.child = Some(running.identity.clone());
    processes.at_utc = now.iso_millis();
    let process = ProcessFile {
        runner_pid: processes.runner.pid,
        child_pid: running.identity.pid,
        launched_at_utc: now.iso_seconds(),
    };
    let mut bytes = serde_json::to_vec_pretty(&process).unwrap_or_default();
    bytes.push(b'\n');
    let written = documents::store(&turn.processes_file(), &processes)
        .and_then(|_| documents::store_bytes(&turn.process_file(), &bytes));
    if let Err(error) = written {
        // The program runs: it is followed all the same, and found by its environment if this process dies too.
        tracing::warn!(%error, "who runs the turn could not be written down");
    }
    let exit = attend(turn, plan, running, &mut reader, &mut signals).await?;
    write_end(root, turn, plan, &reader, exit, None, clock::now()).map(drop)
}

/// Starts the program.
fn begin(turn: &Turn, plan: &TurnPlan) -> Result<Running, String> {
    let open = |what: &str, file: Result<File, FileError>| file.map_err(|error| format!("{what}: {error}"));
    let input =
        plan.reads_prompt.then(|| File::open(turn.prompt_file())).transpose().map_err(|error| error.to_string())?;
    let mut environment =
        plan.environment_of.as_ref().and_then(child::environment_of).unwrap_or_else(child::environment);
    environment.retain(|(name, _)| plan.environment.iter().all(|(other, _)| name != other.as_str()));
    environment.extend(plan.environment.iter().map(|(name, value)| (name.into(), value.into())));
    let directory = std::path::Path::new(&plan.working_directory);
    if !directory.is_dir() {
        return Err(format!("the working directory `{}` does not exist any more", plan.working_directory));
    }
    child::start(Start {
        words: &plan.words,
        directory,
        environment,
        input,
        output: open("its output", files::open_append(&turn.stdout()))?,
        errors: open("its errors", files::open_append(&turn.stderr()))?,
    })
    .map_err(|error| {
        let program = plan.words.first().map(String::as_str).unwrap_or_default();
        format!("`{program}` could not be started: {error}")
    })
}

/// Reads what the program writes until it has ended, and ends it when somebody wishes so.
async fn attend(
    turn: &Turn,
    plan: &TurnPlan,
    running: Running,
    reader: &mut Reader,
    signals: &mut Signals,
) -> Result<Option<Exit>, FileError> {
    let mut output = Output::open(turn)?;
    let mut changes = Changes::new().ok().filter(|_| true);
    let watched = changes.as_mut().is_some_and(|changes| changes.add(turn.folder()));
    let identity = running.identity.clone();
    let ended = process::ended(&identity);
    let mut ended = std::pin::pin!(ended);
    // The wish may have come before the signals were listened to.
    let mut wished = turn.is_interrupted();
    let mut ending = Ending::default();
    loop {
        if std::mem::take(&mut wished) {
            ending.begin(&running);
        }
        let more = output.read(reader, plan);
        let next = Instant::now() + if watched { PACE } else { UNWATCHED };
        let news = async {
            match more {
                // Everything else is looked at between two pieces.
                More::AtOnce => tokio::task::yield_now().await,
                More::Later => news(changes.as_mut().filter(|_| watched), next).await,
                More::Never => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = &mut ended => break,
            () = signals.wish() => wished = true,
            () = ending.due() => ending.go_on(&running),
            () = news => {}
        }
    }
    if ending.begun {
        // Whom it started must not go on without it.
        running.signal_group(GroupSignal::Kill);
    }
    let exit = running.reap();
    // Before what is still unread: that may be much.
    if let Err(error) = write_exit(turn, exit) {
        tracing::warn!(%error, "the exit status of the turn could not be written yet");
    }
    output.rest(reader, plan, turn.is_interrupted());
    Ok(exit)
}

/// Waits for something new, and then for a moment: a busy program's output is read in pieces.
async fn news(changes: Option<&mut Changes>, next: Instant) {
    if let Some(changes) = changes
        && changes.any().await.is_err()
    {
        tracing::debug!("the output of the turn is not watched any more");
    }
    sleep_until(next).await;
}

/// Asking ever harder.
#[derive(Debug, Default)]
struct Ending {
    begun: bool,
    next: Option<(Instant, GroupSignal)>,
}

impl Ending {
    fn begin(&mut self, running: &Running) {
        if self.begun {
            return;
        }
        self.begun = true;
        running.signal_group(GroupSignal::Interrupt);
        self.next = Some((Instant::now() + UNTIL_TERM, GroupSignal::Terminate));
    }

    fn go_on(&mut self, running: &Running) {
        let Some((_, signal)) = self.next.take() else { return };
        running.signal_group(signal);
        if signal == GroupSignal::Terminate {
            self.next = Some((Instant::now() + UNTIL_KILL, GroupSignal::Kill));
        }
    }

    async fn due(&self) {
        match self.next {
            Some((at, _)) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

/// What tells the runner that somebody wishes the turn's end.
struct Signals(Vec<Signal>);

impl Signals {
    fn listen() -> Self {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Self(kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect())
    }

    /// A hang-up is heard and changes nothing.
    async fn wish(&mut self) {
        let [interrupt, terminate, ..] = self.0.as_mut_slice() else { return std::future::pending().await };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// What is to be expected of the output.
enum More {
    AtOnce,
    Later,
    Never,
}

/// The program's output, and the events that are made of it.
struct Output {
    from: File,
    to: File,
    events: Events,
    piece: Vec<u8>,
}

impl Output {
    fn open(turn: &Turn) -> Result<Self, FileError> {
        let io = |source| FileError::Io { doing: "open", path: turn.stdout(), source };
        let from = File::open(turn.stdout()).map_err(io)?;
        Ok(Self { from, to: files::open_append(&turn.events())?, events: Events::default(), piece: vec![0; PIECE] })
    }

    /// Reads one piece.
    fn read(&mut self, reader: &mut Reader, plan: &TurnPlan) -> More {
        if self.events.has_enough(reader) {
            return More::Never;
        }
        let count = self.from.read(&mut self.piece).unwrap_or_default();
        if count == 0 {
            return More::Later;
        }
        let bytes = self.events.take(reader, plan, &self.piece[..count]);
        write(&mut self.to, &bytes);
        if count == self.piece.len() { More::AtOnce } else { More::Later }
    }

    /// Reads what the program left.
    fn rest(&mut self, reader: &mut Reader, plan: &TurnPlan, interrupted: bool) {
        let Self { from, to, events, .. } = self;
        let read = events.rest(from, reader, plan, interrupted, |bytes| {
            write(to, bytes);
            Ok(())
        });
        if let Err(error) = read {
            tracing::warn!(%error, "the output of the turn could not be read to its end");
        }
    }
}

fn write(to: &mut File, bytes: &[u8]) {
    // What the program wrote is in its own file; a full disk costs the view of it, and not the turn.
    if let Err(error) = to.write_all(bytes) {
        tracing::warn!(%error, "events of the turn could not be written");
    }
}

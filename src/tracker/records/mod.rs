//! What the tool's own process and files say.
//!
//! Owns finding the tool's process in its pane (`program`), its files (`claude`, `codex`, `gemini`: those of this very
//! process, proven by its pid, its open files, its start and its folder), and reading what is added to them (`file`,
//! `tail`). Promises: read-only; woken by the kernel, and by a timer only where that cannot be; bounded reads; what was
//! there before is history, but for the turn that runs. The end of the process is told at once, whatever its files say.

mod claude;
mod codex;
mod file;
mod gemini;
mod program;
mod tail;

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use self::program::{Found, Program};
use super::{Observation, ProcessSeen, Seen, Tracker};
use crate::{
    agents::{Profile, Sign, signs::Tool},
    model::Source,
    os::{clock, notify::Changes},
};

/// Looks for a tool that is not there yet: the first soon, and each a while after the last.
const SOON: Duration = Duration::from_millis(100);

/// So many looks for a tool, when nothing else tells that something changed.
const LOOKS: u32 = 8;

/// How long after a change of the pane the next look at its processes may be.
const SETTLING: Duration = Duration::from_millis(200);

/// Where the kernel does not tell of files: how often to look while a turn runs, and while none does.
const POLLS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// Follows the tool in a pane until told to stop: `pid` says which process the pane was started with, `None` while there
/// is none.
pub async fn follow<T>(
    tracker: Tracker,
    tool: String,
    mut subject: watch::Receiver<T>,
    pid: impl Fn(&T) -> Option<u32>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let pane = pid(&subject.borrow_and_update());
        let changed = async {
            while subject.changed().await.is_ok() {
                if pid(&subject.borrow_and_update()) != pane {
                    return;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = lives(&tracker, &tool, pane) => {}
            () = changed => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// The version of the tool below the process that its pane was started with, where its own files tell it.
pub fn version(tool: &str, profile: Option<&Profile>, pane: u32) -> Option<String> {
    match program::find(tool, profile, Some(pane)) {
        Found::Tool(program) => program.version(),
        Found::Gone | Found::Unclear => None,
    }
}

/// The lives of the tool in one pane: it may end and be started again.
async fn lives(tracker: &Tracker, tool: &str, pane: Option<u32>) {
    let mut looks = 0;
    let kernel = Kernel { tracker, last: Mutex::new(None) };
    loop {
        let found = program::find(tool, tracker.profile().as_ref(), pane);
        kernel.says(|_| seen(&found));
        let Found::Tool(program) = found else {
            appears(tracker, looks).await;
            looks += 1;
            continue;
        };
        looks = 0;
        tokio::select! {
            () = program.ended() => {}
            () = listens(tracker, tool, &program, &kernel) => {}
            () = stands(tracker, &program, &kernel) => {}
        }
    }
}

/// What the kernel says of the tool, told when it changes.
#[derive(Debug)]
struct Kernel<'a> {
    tracker: &'a Tracker,
    last: Mutex<Option<ProcessSeen>>,
}

impl Kernel<'_> {
    fn says(&self, change: impl FnOnce(ProcessSeen) -> ProcessSeen) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = change(last.clone().unwrap_or_default());
        if last.as_ref() != Some(&seen) {
            tell(self.tracker, Source::Process, Seen::Process(seen.clone()));
            *last = Some(seen);
        }
    }
}

fn seen(found: &Found) -> ProcessSeen {
    match found {
        Found::Tool(program) => ProcessSeen {
            alive: Some(true),
            foreground: program.in_foreground(),
            pid: program.main().map(|member| member.identity.pid),
            names: program.names(),
            version: program.version(),
            ..ProcessSeen::default()
        },
        Found::Gone => ProcessSeen { alive: Some(false), foreground: Some(false), ..ProcessSeen::default() },
        Found::Unclear => ProcessSeen::default(),
    }
}

fn tell(tracker: &Tracker, source: Source, seen: Seen) {
    tracker.observe(&Observation { source, seen });
}

/// Waits until it is worth looking again for a tool that is not there: whatever starts draws something.
async fn appears(tracker: &Tracker, looks: u32) {
    let mut state = tracker.state();
    state.mark_unchanged();
    let later = async {
        if looks < LOOKS {
            tokio::time::sleep(SOON * 2_u32.pow(looks)).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        changed = state.changed() => if changed.is_ok() {
            tokio::time::sleep(SETTLING).await;
        } else {
            std::future::pending::<()>().await;
        },
        () = later => {}
    }
}

/// Tells when the tool no longer reads from its terminal, and when it does again.
async fn stands(tracker: &Tracker, program: &Program, kernel: &Kernel<'_>) {
    let mut state = tracker.state();
    while state.changed().await.is_ok() {
        tokio::time::sleep(SETTLING).await;
        state.mark_unchanged();
        kernel.says(|seen| ProcessSeen { foreground: program.in_foreground(), ..seen });
    }
    std::future::pending::<()>().await;
}

/// The files of one process of a tool.
#[derive(Debug)]
enum Records {
    Claude(Box<claude::Records>),
    Codex(codex::Records),
    Gemini(gemini::Records),
}

impl Records {
    fn new(tool: Tool, program: &Program) -> Option<Self> {
        let since = clock::now();
        match tool {
            Tool::Claude => claude::Records::new(program, since).map(|records| Self::Claude(Box::new(records))),
            Tool::Codex => codex::Records::new(program, since).map(Self::Codex),
            Tool::Gemini => gemini::Records::new(program, since).map(Self::Gemini),
        }
    }

    fn folders(&self) -> Vec<PathBuf> {
        match self {
            Self::Claude(records) => records.folders(),
            Self::Codex(records) => records.folders(),
            Self::Gemini(records) => records.folders(),
        }
    }

    fn look(&mut self) -> Vec<Sign> {
        match self {
            Self::Claude(records) => records.look(),
            Self::Codex(records) => records.look(),
            Self::Gemini(records) => records.look(),
        }
    }

    fn version(&self) -> Option<String> {
        match self {
            Self::Claude(records) => records.version(),
            Self::Codex(records) => records.version(),
            Self::Gemini(_) => None,
        }
    }

    fn runs(&self) -> bool {
        match self {
            Self::Claude(records) => records.runs(),
            Self::Codex(records) => records.runs(),
            Self::Gemini(records) => records.runs(),
        }
    }
}

/// Tells what the files of a process say, for as long as it lives.
async fn listens(tracker: &Tracker, tool: &str, program: &Program, kernel: &Kernel<'_>) {
    let records = Tool::named(tool).and_then(|tool| Records::new(tool, program));
    let Some(mut records) = records else { return std::future::pending().await };
    let mut changes = Changes::new().inspect_err(|error| {
        let why = format!("no file of {tool} can be watched ({error}); they are looked at now and then");
        tell(tracker, Source::Record, Seen::Channel { up: true, why });
    });
    let (mut watched, mut version) = (Vec::new(), None);
    loop {
        let mut folders = records.folders();
        if let Ok(changes) = &mut changes {
            folders.retain(|folder| changes.add(folder));
        }
        for sign in records.look() {
            tell(tracker, Source::Record, Seen::Sign(sign));
        }
        if records.version() != version {
            version = records.version();
            kernel.says(|seen| ProcessSeen { version: version.clone().or(seen.version), ..seen });
        }
        if folders != watched {
            // A folder that came between is looked into before anything is waited for.
            watched = folders;
            continue;
        }
        changed(&mut changes, &records).await;
    }
}

/// Waits for a change, or for the next look without one.
async fn changed(changes: &mut std::io::Result<Changes>, records: &Records) {
    let poll = if records.runs() { POLLS.0 } else { POLLS.1 };
    match changes {
        Ok(changes) => {
            if changes.any().await.is_err() {
                tokio::time::sleep(poll).await;
            }
        }
        Err(_) => tokio::time::sleep(poll).await,
    }
}

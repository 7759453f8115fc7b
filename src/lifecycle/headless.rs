//! Headless agents: what a launch has to know, and turns without a gateway, by the same runner under the same lock.

use std::{ffi::OsString, path::Path, time::Duration};

use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    agents::headless::Dialect,
    api::{ChatSession, ExecutionOverride, HeadlessFile, KeepTurns, Manifest, StartupChat, TurnEnd},
    headless::{self, Asked, Conversation, Pressed, Standing, Started, Template, Turn, choose},
    model::{ErrorCode, Failure, Note, Outcome, Receipt, ToolName},
    os::{clock, files, lock::Lock, program},
    session::{SessionRoot, documents, manifest::LaunchVariable},
    target::Target,
};

/// Between two tries for the lock: whoever holds it starts a turn, which takes milliseconds.
const LOOK: Duration = Duration::from_millis(20);

/// What a launch says about turns.
#[derive(Debug, Clone)]
pub struct HeadlessOptions {
    /// Which conversation the first turn takes up.
    pub startup: StartupChat,
    /// The model of every turn that names no other.
    pub model: Option<String>,
    /// How hard it thinks.
    pub reasoning_level: Option<u64>,
    /// How long the files of its turns stay.
    pub keep: KeepTurns,
}

/// How a new session's turns are started.
#[derive(Debug, Clone)]
pub(super) struct Turns {
    pub(super) dialect: Dialect,
    pub(super) file: HeadlessFile,
    /// Program and arguments of every turn.
    pub(super) base: Vec<String>,
    /// The arguments and variables that were given for an adopted session.
    pub(super) given: Option<(Vec<String>, Vec<LaunchVariable>)>,
}

/// What a join says about turns.
#[derive(Debug, Clone)]
pub struct JoinHeadless {
    /// As for a launch.
    pub options: HeadlessOptions,
    /// Arguments of the tool in every turn.
    pub launch_args: Vec<String>,
    /// Variables of every turn; without a value the session's own.
    pub launch_env: Vec<LaunchVariable>,
    /// Where programs are looked for.
    pub path: Option<OsString>,
}

impl Turns {
    pub(super) fn new(dialect: Dialect, options: &HeadlessOptions, base: Vec<String>) -> Self {
        let file = HeadlessFile {
            schema_version: 1,
            dialect: dialect.name().to_owned(),
            startup: options.startup.clone(),
            model: options.model.clone(),
            reasoning_level: options.reasoning_level,
            keep: options.keep,
        };
        Self { dialect, file, base, given: None }
    }

    /// Those of an adopted session.
    pub(super) fn joined(tool: &ToolName, join: &JoinHeadless, directory: &str) -> Result<Self, Failure> {
        let dialect = Dialect::of(tool.as_str());
        let found = program::find(tool.as_str(), join.path.as_deref(), Path::new(directory)).ok_or_else(|| {
            Failure::usage(format!("the program `{tool}` was not found, or cannot be run"), "install it first")
        })?;
        let mut base = vec![found.to_string_lossy().into_owned()];
        base.extend(join.launch_args.iter().cloned());
        let turns = Self::new(dialect, &join.options, base);
        Ok(Self { given: Some((join.launch_args.clone(), join.launch_env.clone())), ..turns })
    }

    /// The program of window 0: it shows the turns.
    pub(super) fn viewer(root: &SessionRoot) -> Result<Vec<String>, Failure> {
        let ourselves = program::myself().map_err(|error| Failure::internal(format!("no program of ours: {error}")))?;
        let path = |path: &Path| path.to_string_lossy().into_owned();
        Ok(vec![path(&ourselves), "headless-view".to_owned(), "--session-root".to_owned(), path(root.path())])
    }

    /// What has to be there before the viewer starts.
    pub(super) fn write(&self, root: &SessionRoot) -> Result<(), Failure> {
        files::create_private_dir(&root.turn_artifacts())?;
        documents::store(&root.headless(), &self.file)?;
        Ok(())
    }
}

/// The words of every turn: the tool's program with the operator's arguments, or a program of the operator's own.
pub(super) fn base_words(dialect: Dialect, tool: Option<&str>, words: &[String]) -> Option<Vec<String>> {
    let arguments_only = words.first().is_none_or(|first| first.starts_with('-'));
    if !arguments_only {
        return Some(words.to_vec());
    }
    let mut base = vec![tool?.to_owned()];
    if dialect == Dialect::Codex {
        // Its options for turns are only taken behind the word.
        base.extend(["exec".to_owned(), "--json".to_owned()]);
    }
    base.extend(words.iter().cloned());
    Some(base)
}

/// How a turn is given.
#[derive(Debug, Clone)]
pub struct TurnOptions {
    /// Another conversation.
    pub chat: Option<ChatSession>,
    /// Another model.
    pub execution: Option<ExecutionOverride>,
    /// Refuse at once while another turn runs, instead of waiting for its end.
    pub at_once: bool,
    /// Come back when the program runs, and do not wait for its end.
    pub only_start: bool,
    /// How long to wait.
    pub timeout: Duration,
}

/// A turn that was given.
#[derive(Debug, Clone)]
pub struct TurnGiven {
    /// Its name.
    pub turn_id: String,
    /// The steps.
    pub receipts: Vec<Note>,
    /// How it ended, if that was waited for.
    pub end: Option<TurnEnd>,
}

/// Is its agent one whose turns are processes?
pub fn is_headless(target: &Target) -> bool {
    headless::is_headless(&target.root, &target.manifest)
}

/// Runs one turn without a gateway.
///
/// # Errors
/// Refused, timeout, or it could not be started. A turn that fails is no error here: its end says so.
pub fn turn(
    target: &Target,
    prompt: &str,
    options: &TurnOptions,
    progress: &mut dyn FnMut(&Note),
) -> Result<TurnGiven, Failure> {
    target.live_agent()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let deadline = Instant::now() + options.timeout;
        let mut receipts = Vec::new();
        let mut tell = |note: Note| {
            progress(&note);
            receipts.push(note);
        };
        let lock = slot(target, options, deadline, &mut tell).await?;
        let Started { turn, runner } = begin(target, prompt, options)?;
        if turn.taken_up(&runner.identity).await {
            let seen = json!({ "proof": "process_started", "turn_id": turn.id() });
            tell(Note::new(Receipt::Submitted).seen(seen));
            tell(Note::new(Receipt::TurnStarted).seen(json!({ "proof": "process", "turn_id": turn.id() })));
        }
        drop(lock);
        let turn_id = turn.id().to_owned();
        if options.only_start {
            return Ok(TurnGiven { turn_id, receipts, end: None });
        }
        if timeout(deadline.saturating_duration_since(Instant::now()), turn.over()).await.is_err() {
            let message = format!("turn `{turn_id}` did not end within {} s", options.timeout.as_secs_f32());
            let hint = format!("it goes on: `agents turn status {turn_id}` shows it, `agents interrupt` ends it");
            return Err(Failure::new(ErrorCode::Timeout, message, hint));
        }
        runner.reap();
        let end = headless::settle(&target.root, &turn, clock::now())?;
        tell(Note::new(Receipt::TurnEnded).seen(json!({ "proof": "process", "turn_id": turn_id,
            "outcome": end.outcome, "exit_code": end.exit_code, "error": end.error, "reply": end.reply })));
        Ok(TurnGiven { turn_id, receipts, end: Some(end) })
    })
}

/// The right to start a turn, once no other one runs.
async fn slot(
    target: &Target,
    options: &TurnOptions,
    deadline: Instant,
    tell: &mut dyn FnMut(Note),
) -> Result<Lock, Failure> {
    let mut told = false;
    loop {
        if let Some(lock) = Lock::try_take(&target.root.delivery_lock())? {
            let Some(other) = running(&target.root)? else { return Ok(lock) };
            drop(lock);
            let detail = format!("turn `{}` runs", other.id());
            if options.at_once {
                return Err(Failure::refused(
                    format!("not_ready: {detail}"),
                    "leave out --admission-policy to wait for its end, or end it with `agents interrupt`",
                ));
            }
            if !std::mem::replace(&mut told, true) {
                tell(Note::new(Receipt::Deferred).because("busy", detail));
            }
            drop(timeout(deadline.saturating_duration_since(Instant::now()), other.over()).await);
        }
        if Instant::now() >= deadline {
            return Err(Failure::new(
                ErrorCode::Timeout,
                "nothing was started: another turn runs, or another command starts one",
                "wait longer with --timeout, or look with `agents state`",
            ));
        }
        sleep(LOOK).await;
    }
}

/// The turn that runs; one that was left behind is brought to its end.
fn running(root: &SessionRoot) -> Result<Option<Turn>, Failure> {
    let Some((turn, _)) = headless::last(root) else { return Ok(None) };
    Ok(match turn.standing() {
        Standing::Starting | Standing::Running(_) | Standing::Orphaned(_) => Some(turn),
        Standing::Planned => {
            headless::withdraw(&turn)?;
            None
        }
        Standing::Over(_) | Standing::Lost => {
            headless::settle(root, &turn, clock::now())?;
            None
        }
        Standing::Missing | Standing::Ended(_) => None,
    })
}

fn begin(target: &Target, prompt: &str, options: &TurnOptions) -> Result<Started, Failure> {
    let root = &target.root;
    // Read again: the last turn may have changed it since the target was found.
    let manifest: Manifest = documents::load(&root.manifest())?;
    let template = Template::of(root, &manifest)?.ok_or_else(|| not_headless(target))?;
    let (now, lost) = Conversation::found(root, &manifest);
    let mut chosen = choose(&template, options.chat.as_ref(), false, &now).map_err(|_no_chat| {
        Failure::refused("there is no current conversation yet", "the first turn begins one: leave the mode out")
    })?;
    chosen.note = chosen.note.or(lost);
    let wished = format!("turn-{:04}", headless::last(root).map_or(0, |(_, index)| index) + 1);
    let turn_id = headless::free_id(root, Some(&wished)).or_else(|_taken| headless::free_id(root, None));
    let turn_id = turn_id.map_err(Failure::internal)?;
    let plan = headless::plan(
        root,
        &template,
        &Asked {
            prompt,
            turn_id: &turn_id,
            request_id: None,
            chosen: &chosen,
            execution: options.execution.as_ref(),
            now: clock::now(),
        },
    );
    headless::start(root, &plan, prompt)
}

/// An agent in a terminal has no turns of its own to start.
pub fn not_headless(target: &Target) -> Failure {
    Failure::refused(
        format!("agent `{}` works in a terminal: its turns are no processes", target.label()),
        "`agents prompt` types into its terminal; `agents launch NAME --headless …` makes a headless agent",
    )
}

/// Interrupts the turn that runs, whoever started it.
///
/// # Errors
/// When the wish cannot be written down.
pub fn interrupt_turn(target: &Target) -> Result<Vec<Note>, Failure> {
    let Some((turn, _)) = headless::last(&target.root) else { return Ok(vec![nothing_runs()]) };
    let pressed = headless::interrupt(&turn, clock::now())?;
    if let Pressed::Orphan(program) = &pressed {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::internal(format!("no runtime: {error}")))?;
        runtime.block_on(headless::escalate(program));
    }
    let seen = json!({ "proof": "turn_signalled", "turn_id": turn.id() });
    Ok(vec![if pressed == Pressed::Nothing { nothing_runs() } else { Note::new(Receipt::Submitted).seen(seen) }])
}

fn nothing_runs() -> Note {
    let seen = json!({ "proof": "no_turn_runs" });
    Note::new(Receipt::Submitted).because("no_turn_runs", "no turn runs").seen(seen)
}

/// A turn that did not come to a good end.
pub fn turn_failure(turn_id: &str, end: &TurnEnd) -> Option<Failure> {
    let message = match (end.outcome, &end.error) {
        (Outcome::Success, _) => return None,
        (Outcome::Interrupted, _) => format!("turn `{turn_id}` was interrupted"),
        (_, Some(error)) => format!("turn `{turn_id}` failed: {error}"),
        (_, None) => format!("turn `{turn_id}` failed"),
    };
    let hint =
        format!("`agents turn stderr {turn_id}` shows what its program complained; the prompt is not sent again");
    Some(Failure::new(ErrorCode::TurnFailed, message, hint))
}

//! Relaunch: start a launched agent's program again, in its own pane, a new window 0, or a new session.

use std::time::Duration;

use super::{
    begin, hooks,
    launch::{self, Created},
    live::{self, Live},
    mailbox, publish, withdraw,
};
use crate::{
    agents::{CannotResume, headless::Chat, resumed},
    api::{ChatMode, MemoryPaths, Origin, StartupChat, Surface},
    headless::{self, Standing},
    model::{AgentId, Failure, SessionName},
    os::{
        clock,
        lock::{self, Lock},
        process,
    },
    session::{SessionEnvironment, SessionRoot, Variable, documents, environment, gateway_files, manifest, registry},
    target::{AgentPane, Target},
    tmux::{PaneFacts, SessionTarget, TmuxError, change, inspect},
};

/// How long a turn may take to start.
const TURN_STARTS: Duration = Duration::from_secs(1);

/// Starts the agent's program again, in the conversation that is asked for.
///
/// # Errors
/// Refused for a joined session: nobody told us how its program is started. Refused where the conversation cannot be
/// chosen; nothing was stopped then.
pub fn relaunch(target: &Target, chat: Option<&StartupChat>) -> Result<Created, Failure> {
    let surface = target.surface.as_ref().filter(|surface| surface.origin == Origin::Launched).ok_or_else(|| {
        Failure::refused(
            format!("agent `{}` was not launched here, so how to start it is not known", target.label()),
            "start its program in window 0 yourself; the gateway notices",
        )
    })?;
    let directory = &target.manifest.working_directory;
    if !std::path::Path::new(directory).is_dir() {
        return Err(Failure::refused(
            format!("the working directory `{directory}` does not exist any more"),
            "create it again; tmux would silently use the home folder",
        ));
    }
    // It may be typed in the very pane that is about to be started anew.
    process::outlive_terminal();
    let _transition = begin(&target.root)?;
    let chosen = chat.map(|chat| Chosen::of(target, surface, chat)).transpose()?;
    let program = match &chosen {
        Some(Chosen::Words(program)) => program.clone(),
        Some(Chosen::NextTurn(_)) | None => surface.program.clone(),
    };
    let pane = start_program(target, &Surface { program, ..surface.clone() }, directory)?;
    let settled = launch::settle(&target.server, &pane);
    // In the agent's own pane the dead program stays to be seen; a pane that this attempt made goes again.
    let (session, pane) = settled.inspect_err(|_| {
        if target.live_session().is_err() || matches!(target.agent, AgentPane::Missing(_)) {
            launch::end_pane(&target.server, &pane);
        }
    })?;
    let now = clock::now();
    let fresh = publish::surface(Origin::Launched, &target.server, &session, &pane, &surface.program, now)?;
    // Read again: turns and we ourselves may have changed it since the target was found.
    let manifest = manifest::rebind(
        documents::load(&target.root.manifest())?,
        &session.session_name,
        &pane.window_id.to_string(),
        &pane.pane_id.to_string(),
    );
    documents::store(&target.root.manifest(), &manifest)?;
    documents::store(&target.root.surface(), &fresh)?;
    gateway_files::publish_capability(&target.root, &manifest)?;
    publish::publish_variables(&target.server, &session, &target.root, &manifest)?;
    if let (Some(registry), Some(id), Some(generation)) =
        (withdraw::registry_of(target), &manifest.agent_id, &manifest.registry_generation_id)
    {
        registry.update(&AgentId::parse(id)?, generation, |record| {
            registry::mark_active(record, &session.session_name, now);
        })?;
    }
    Ok(Created {
        manifest,
        root: target.root.clone(),
        server: target.server.clone(),
        pane_id: pane.pane_id.to_string(),
        hooks: hooks::installed(&target.root, &surface.program),
        notes: Vec::new(),
    })
}

/// Where the conversation is chosen.
enum Chosen {
    /// Among the words of the program in the terminal, this time.
    Words(Vec<String>),
    /// By the next turn, which does not begin meanwhile.
    NextTurn(#[expect(dead_code, reason = "held, not read")] Lock),
}

impl Chosen {
    fn of(target: &Target, surface: &Surface, chat: &StartupChat) -> Result<Self, Failure> {
        if headless::is_headless(&target.root, &target.manifest) {
            let alone = no_turn_runs(&target.root)?;
            headless::begin_with(&target.root, chat)?;
            return Ok(Self::NextTurn(alone));
        }
        let asked = match (chat.mode, &chat.id) {
            (ChatMode::Exact, Some(id)) => Chat::Exact(id.clone()),
            (ChatMode::ToolLastOrNew, _) => Chat::Last,
            _ => Chat::New,
        };
        let tool = &target.manifest.tool;
        let words = resumed(tool, &surface.program, &asked);
        words.map(Self::Words).map_err(|cannot| {
            let why = match cannot {
                CannotResume::Tool => format!("how `{tool}` is told which conversation to take up is not known"),
                CannotResume::Program(why) => why,
            };
            Failure::refused(
                format!("the conversation of agent `{}` cannot be chosen: {why}", target.label()),
                "leave out --chat-session-mode: then its program is started as it was launched",
            )
        })
    }
}

/// The right to start turns, while none runs: its end would bring its own conversation back.
fn no_turn_runs(root: &SessionRoot) -> Result<Lock, Failure> {
    lock::wait_free(&root.delivery_lock(), TURN_STARTS)?;
    let busy = |what: String| {
        Failure::refused(
            format!("{what}, and its end would bring back its conversation"),
            "wait for it, or end it with `agents interrupt`; then relaunch",
        )
    };
    let lock = Lock::try_take(&root.delivery_lock())?.ok_or_else(|| busy("a turn is being started".to_owned()))?;
    match headless::last(root).map(|(turn, _)| (turn.standing(), turn)) {
        Some((Standing::Starting | Standing::Running(_) | Standing::Orphaned(_), turn)) => {
            Err(busy(format!("turn `{}` runs", turn.id())))
        }
        _ => Ok(lock),
    }
}

fn start_program(target: &Target, surface: &Surface, directory: &str) -> Result<PaneFacts, Failure> {
    let Ok(session) = &target.session else {
        return start_session(target, surface, directory);
    };
    match &target.agent {
        AgentPane::Alive(pane) | AgentPane::Replaced(pane) | AgentPane::Dead(pane) => {
            Ok(change::respawn(&target.server, pane.pane_id, directory, &surface.program)?)
        }
        AgentPane::Missing(_) if session.window_zero().next().is_some() => Err(Failure::refused(
            "the agent's pane is gone and another window stands at index 0",
            format!(
                "move that window away: `tmux move-window -s '{}:0' -t '{}:'`",
                session.session_id, session.session_id
            ),
        )),
        AgentPane::Missing(_) => {
            // When the agent's window closed, its viewers fell to the gateway's; a key typed there is not for it.
            let only_ours = session.panes.iter().all(|pane| pane.gateway_mark == target.root.name());
            Ok(change::new_agent_window(&target.server, session.session_id, directory, &surface.program, only_ours)?)
        }
    }
}

fn start_session(target: &Target, surface: &Surface, directory: &str) -> Result<PaneFacts, Failure> {
    let identity = target.manifest.attach_identity(&target.root.name());
    let left = live::observe(&target.root, &identity)?;
    if matches!(left, Live::Dead { .. }) {
        withdraw::withdraw(target, &left)?;
    }
    let name = SessionName::parse(target.manifest.tmux_session_name.as_deref().unwrap_or_default())?;
    let id = target.manifest.agent_id.as_deref().unwrap_or_default();
    let definition = target.manifest.runtime.agent_def_dir.as_deref().unwrap_or_default();
    let mut variables = environment::capability(&target.root, id, definition);
    variables.extend(MemoryPaths::of(&target.manifest).iter().flat_map(environment::memory));
    variables.extend(mailbox::variables(&target.manifest));
    match change::new_session(&target.server, &name, directory, &variables, &surface.program) {
        Err(TmuxError::Failed { said, .. }) if said.contains("duplicate session") => {
            half_made(target, &name, directory, surface)
        }
        other => Ok(other?),
    }
}

/// A relaunch that was killed half-way left a session that points to our root: it is ours to finish.
fn half_made(target: &Target, name: &SessionName, directory: &str, surface: &Surface) -> Result<PaneFacts, Failure> {
    let found = inspect::session(&target.server, &SessionTarget::Named(name.to_string()))?;
    let environment = SessionEnvironment::new(found.environment.clone());
    let ours = environment.get(Variable::ManifestPath) == target.root.manifest().to_str();
    match found.panes.iter().min_by_key(|pane| pane.window_index).filter(|_| ours) {
        Some(pane) => Ok(change::respawn(&target.server, pane.pane_id, directory, &surface.program)?),
        None => Err(Failure::refused(
            format!("another tmux session is called `{name}` now"),
            "rename it with `tmux rename-session`, then relaunch again",
        )),
    }
}

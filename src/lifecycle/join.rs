//! Join: adopt a session that somebody else started. Its window 0 is not changed.

use std::time::Duration;

use uuid::Uuid;

use super::{
    headless::{JoinHeadless, Turns},
    launch::{Created, tool_from_program},
    publish::{self, Publication},
};
use crate::{
    api::Origin,
    model::{AgentId, AgentName, ErrorCode, Failure, SessionName, SessionRootId, ToolName, shell_quote},
    os::{clock, files, lock::Lock, process},
    session::{SessionEnvironment, SessionRoot, Variable, manifest},
    target::{self, Context, Selector},
    tmux::{Commands, PaneFacts, Server, SessionFacts, SessionTarget, TmuxError, change, inspect},
};

/// How long a join waits for another one; one takes milliseconds.
const JOIN_LIMIT: Duration = Duration::from_secs(5);

/// What the operator asked for.
#[derive(Debug, Clone, Default)]
pub struct JoinOptions {
    /// What to call the agent; by default the session's name.
    pub name: Option<AgentName>,
    /// The registry's key; by default the MD5 of the name.
    pub id: Option<AgentId>,
    /// Which program it is; by default what runs in the foreground.
    pub tool: Option<ToolName>,
    /// Which session; by default the current one.
    pub session: Option<SessionName>,
    /// Move the agent's window to index 0 if it stands elsewhere.
    pub renumber: bool,
    /// Its turns are processes, started beside what runs in the session; `None` for a program in its terminal.
    pub headless: Option<JoinHeadless>,
}

/// Adopts a session.
///
/// # Errors
/// Everything that was created is removed first; the session is as it was.
pub fn join(context: &Context, options: &JoinOptions) -> Result<Created, Failure> {
    // Two joins of one session would both find it free, and the loser's undoing would take the winner's variables.
    publish::expect_private_home(context)?;
    let _joining = Lock::take_within(&context.home.join_lock(), JOIN_LIMIT)?.ok_or_else(|| {
        let holder = format!("`fuser {}` names it", shell_quote(&context.home.join_lock().to_string_lossy()));
        Failure::new(ErrorCode::Timeout, "another join has been running for too long", holder)
    })?;
    let (server, session) = find(context, options)?;
    SessionName::parse(&session.session_name).map_err(|bad| {
        let new = format!("`tmux rename-session -t '{}' NEW` gives it another name", session.session_id);
        Failure::refused(bad.message, new)
    })?;
    refuse_if_ours(context, &server, &session)?;
    let pane = agent_pane(&server, &session, options.renumber)?;
    let name = agent_name(options, &session)?;
    let id = options.id.clone().map_or_else(|| publish::default_id(&name), Ok)?;
    publish::expect_free_id(context, &context.registry(), &id)?;
    let program = foreground_program(&pane);
    let tool = match (&options.tool, &options.headless) {
        (Some(tool), _) => tool.clone(),
        (None, None) => tool_from_program(&program)?,
        (None, Some(_)) => return Err(unnamed()),
    };
    let directory = process::working_directory(pane.pid)
        .ok_or_else(|| Failure::internal(format!("the working directory of process {} could not be read", pane.pid)))?;
    let turns = options.headless.as_ref().map(|turns| Turns::joined(&tool, turns, &directory)).transpose()?;
    let now = clock::now();
    let generation = Uuid::new_v4();
    let backend = turns.as_ref().map_or(manifest::BACKEND, |turns| turns.dialect.backend());
    let prefix = format!("joined-{backend}");
    let root_id = SessionRootId::new(&prefix, &now.compact(), generation.as_fields().0);
    let root = context.home.session_root(backend, &root_id);
    let window_name = inspect::window_name(&server, pane.window_id)?;
    // Everything that can be refused was: now the window may be moved.
    let (session, pane, moved) = bring_to_zero(&server, session, pane)?;
    if let Some(turns) = &turns {
        turns.write(&root).inspect_err(|_| undo(&server, &session, &pane, moved, &root))?;
    }
    let published = publish::publish(&Publication {
        context,
        root: &root,
        origin: Origin::Joined,
        name: &name,
        id: &id,
        tool: &tool,
        program: &[program],
        working_directory: &directory,
        generation: &generation.to_string(),
        server: &server,
        session: &session,
        pane: &pane,
        window_name: &window_name,
        mailbox: None,
        turns: turns.as_ref(),
        now,
    });
    match published {
        Ok(manifest) => {
            let notes = moved.map(|index| format!("moved the agent's window from index {index} to 0"));
            let notes = notes.into_iter().collect();
            Ok(Created { manifest, root, server, pane_id: pane.pane_id.to_string(), hooks: Vec::new(), notes })
        }
        Err(failure) => {
            undo(&server, &session, &pane, moved, &root);
            Err(failure)
        }
    }
}

fn unnamed() -> Failure {
    Failure::usage("a headless agent's tool was not named", "name it: `agents join --headless --tool claude`")
}

fn find(context: &Context, options: &JoinOptions) -> Result<(Server, SessionFacts), Failure> {
    let (server, wanted) = match (&options.session, &context.inside) {
        (Some(name), _) => (context.server.clone(), SessionTarget::Named(name.to_string())),
        (None, Some(inside)) => (inside.server.clone(), SessionTarget::OfPane(inside.pane)),
        (None, None) => {
            return Err(Failure::usage(
                "no session was named",
                "run `agents join` inside the session, or name it with --target-tmux-session",
            ));
        }
    };
    match (inspect::session(&server, &wanted), &options.session) {
        (Ok(facts), _) => Ok((server, facts)),
        // The resolver explains a missing session best: near names and all.
        (Err(TmuxError::NoTarget { .. }), Some(name)) => target::resolve(context, &Selector::TmuxSession(name.clone()))
            .and_then(|found| {
                let facts = found.live_session()?.clone();
                Ok((found.server, facts))
            }),
        (Err(error), _) => Err(error.into()),
    }
}

/// A session that is already capable is not made so twice; a stale pointer is no obstacle.
fn refuse_if_ours(context: &Context, server: &Server, session: &SessionFacts) -> Result<(), Failure> {
    let environment = SessionEnvironment::new(session.environment.clone());
    if environment.get(Variable::ManifestPath).is_none() {
        return Ok(());
    }
    let here = Context { server: server.clone(), inside: None, ..context.clone() };
    let name = SessionName::parse(&session.session_name)?;
    match target::resolve(&here, &Selector::TmuxSession(name)) {
        Ok(found) => Err(Failure::refused(
            format!("session `{}` is already gateway-capable as agent `{}`", session.session_name, found.label()),
            "`agents gateway attach` starts its gateway",
        )),
        Err(failure) if failure.code == ErrorCode::TargetNotFound => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// The agent's pane: the first of window 0. An agent elsewhere is taken only when it may be moved there.
fn agent_pane(server: &Server, session: &SessionFacts, renumber: bool) -> Result<PaneFacts, Failure> {
    if let Some(pane) = session.window_zero().next() {
        if pane.dead {
            return Err(Failure::refused("the program in window 0 has ended", "start the agent there first"));
        }
        return Ok(pane.clone());
    }
    let lowest = session.panes.iter().min_by_key(|pane| pane.window_index);
    let pane = lowest.ok_or_else(|| Failure::internal("the session has no panes"))?;
    if renumber {
        return Ok(pane.clone());
    }
    let command = format!(
        "tmux -S {} move-window -d -s '{}' -t '{}:0'",
        shell_quote(&server.socket().to_string_lossy()),
        pane.window_id,
        session.session_id
    );
    Err(Failure::refused(
        format!(
            "window 0 does not exist: the agent stands in window {} of session `{}`",
            pane.window_index, session.session_name
        ),
        format!("`{command}` moves it, or join with --renumber"),
    ))
}

/// Where the agent's window stood, if it was moved.
type Moved = Option<u32>;

fn bring_to_zero(
    server: &Server,
    session: SessionFacts,
    pane: PaneFacts,
) -> Result<(SessionFacts, PaneFacts, Moved), Failure> {
    if pane.window_index == 0 {
        return Ok((session, pane, None));
    }
    let moved = Some(pane.window_index);
    server.run(&change::move_window(Commands::new(), pane.window_id, session.session_id, 0))?;
    let session = inspect::session(server, &SessionTarget::Id(session.session_id))?;
    let pane = session.pane(pane.pane_id).cloned().ok_or_else(|| Failure::internal("the moved pane is gone"))?;
    Ok((session, pane, moved))
}

/// Takes back what a failed join did to the session and the disk.
fn undo(server: &Server, session: &SessionFacts, pane: &PaneFacts, moved: Moved, root: &SessionRoot) {
    if let Err(error) = publish::withdraw_variables(server, session) {
        tracing::warn!(%error, "the variables of a failed join could not be removed");
    }
    if let Some(index) = moved
        && let Err(error) = server.run(&change::move_window(Commands::new(), pane.window_id, session.session_id, index))
    {
        tracing::warn!(%error, "the agent's window could not be moved back");
    }
    if let Err(error) = files::remove_tree(root.path()) {
        tracing::warn!(%error, "the files of a failed join could not be removed");
    }
}

fn agent_name(options: &JoinOptions, session: &SessionFacts) -> Result<AgentName, Failure> {
    match &options.name {
        Some(name) => Ok(name.clone()),
        None => AgentName::parse(&session.session_name).map_err(|_bad| {
            Failure::usage(
                format!("the session's name `{}` cannot be an agent's name", session.session_name),
                "give one with --agent-name",
            )
        }),
    }
}

/// What runs in the foreground; when that is this very command, the pane's own program.
fn foreground_program(pane: &PaneFacts) -> String {
    let own = process::name(std::process::id()).unwrap_or_default();
    if pane.command.is_empty() || pane.command == own {
        return process::name(pane.pid).unwrap_or_else(|| pane.command.clone());
    }
    pane.command.clone()
}

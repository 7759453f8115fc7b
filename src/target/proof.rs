//! The proofs: does this manifest belong to this session, and is this pane still the agent's?

use crate::{
    api::{Manifest, Origin, Surface},
    model::{Failure, PaneId, shell_quote},
    os::process,
    session::SessionRoot,
    tmux::{PaneFacts, Server, SessionFacts},
};

/// How a target was found; `status` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy {
    /// The manifest pointer in the tmux session's environment.
    ManifestPointer,
    /// A registry record.
    Registry,
    /// The session root itself was named.
    SessionRoot,
}

/// What is known about the agent's pane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentPane {
    /// The recorded pane runs the recorded process (or no process was ever recorded).
    Alive(PaneFacts),
    /// The recorded pane runs another process: it was started again.
    Replaced(PaneFacts),
    /// The pane is there, its process has ended.
    Dead(PaneFacts),
    /// The pane is not in the session; the words say what is.
    Missing(String),
}

/// One proven session.
#[derive(Debug, Clone)]
pub struct Target {
    /// The tmux server.
    pub server: Server,
    /// The session root.
    pub root: SessionRoot,
    /// The durable authority.
    pub manifest: Manifest,
    /// Our facts; absent for a session that another program made.
    pub surface: Option<Surface>,
    /// The live session, or why there is none.
    pub session: Result<SessionFacts, String>,
    /// The agent's pane.
    pub agent: AgentPane,
    /// How it was found.
    pub found_by: FoundBy,
}

impl Target {
    /// What a person calls it.
    pub fn label(&self) -> String {
        self.manifest.agent_name.clone().unwrap_or_else(|| self.root.name())
    }

    /// How an agent whose program is gone comes back.
    pub fn revival(&self) -> &'static str {
        if self.surface.as_ref().is_some_and(|surface| surface.origin == Origin::Launched) {
            "`agents relaunch` starts the program again in window 0"
        } else {
            "start its program again in the same pane; if the pane is gone, `agents stop` and then `agents join` adopts another"
        }
    }

    /// The live session.
    ///
    /// # Errors
    /// Not found, with the reason and the way out.
    pub fn live_session(&self) -> Result<&SessionFacts, Failure> {
        self.session.as_ref().map_err(|why| {
            Failure::not_found(
                format!("agent `{}` has no tmux session: {why}", self.label()),
                format!(
                    "`agents relaunch --agent-id {0}` starts it again; `agents cleanup --agent-id {0}` removes what is left",
                    shell_quote(self.manifest.agent_id.as_deref().unwrap_or("ID"))
                ),
            )
        })
    }

    /// The agent's living pane.
    ///
    /// # Errors
    /// Not found, saying what happened to it.
    pub fn live_agent(&self) -> Result<&PaneFacts, Failure> {
        let session = self.live_session()?;
        let why = match &self.agent {
            AgentPane::Alive(pane) | AgentPane::Replaced(pane) => return Ok(pane),
            AgentPane::Dead(_) => "its program has ended".to_owned(),
            AgentPane::Missing(why) => why.clone(),
        };
        Err(Failure::not_found(
            format!("session `{}` holds no living agent: {why}", session.session_name),
            self.revival(),
        ))
    }
}

/// Does the server that the surface was recorded on still run, reachable or not?
pub(super) fn server_lives(surface: &Surface) -> bool {
    let pid = surface.tmux_server_pid;
    // The server started the agent's process, so it is older; a stranger that got its pid later is younger.
    process::is_named(pid, "tmux")
        && process::identify(pid).is_some_and(|found| {
            found.boot_id == surface.process.boot_id && found.start_ticks <= surface.process.start_ticks
        })
}

/// Is this the tmux server that the surface was recorded on?
pub fn same_server(surface: &Surface, pid: u32, started: i64) -> bool {
    surface.tmux_server_pid == pid && surface.tmux_server_started == started
}

/// Does a manifest belong to the addressed session? The sentence says which proof failed.
///
/// With a surface the ids decide, so a renamed session stays itself; without one the name does.
pub(super) fn belongs(manifest: &Manifest, surface: Option<&Surface>, facts: &SessionFacts) -> Result<(), String> {
    if !manifest.is_tmux_backed() {
        return Err(format!("its backend `{}` has no tmux session", manifest.backend));
    }
    match surface {
        Some(surface) if !same_server(surface, facts.server_pid, facts.server_started) => {
            Err("it was recorded on another tmux server, which has ended since".to_owned())
        }
        Some(surface) if surface.tmux_session_id != facts.session_id.to_string() => Err(format!(
            "it belongs to the session with id {}, this one has {}",
            surface.tmux_session_id, facts.session_id
        )),
        Some(_) => Ok(()),
        None if manifest.tmux_session_name.as_deref() == Some(facts.session_name.as_str()) => Ok(()),
        None => Err(format!("it belongs to session `{}`", manifest.tmux_session_name.as_deref().unwrap_or("(none)"))),
    }
}

/// Finds the agent's pane in its session. The anchor is the pane id, never a name or an index.
pub(super) fn agent_pane(manifest: &Manifest, surface: Option<&Surface>, facts: &SessionFacts) -> AgentPane {
    let recorded = surface.map(|surface| surface.pane_id.as_str()).or_else(|| manifest.primary_pane());
    let id: Option<PaneId> = recorded.and_then(|text| text.parse().ok());
    let found = id.and_then(|id| facts.pane(id));
    let Some(pane) = found.cloned() else {
        let window_zero = if facts.window_zero().next().is_some() {
            "window 0 holds another pane"
        } else {
            "window 0 does not exist"
        };
        return AgentPane::Missing(format!("pane {} is gone and {window_zero}", recorded.unwrap_or("(unrecorded)")));
    };
    if pane.dead {
        return AgentPane::Dead(pane);
    }
    match surface {
        Some(surface) if process::identify(pane.pid).as_ref() != Some(&surface.process) => AgentPane::Replaced(pane),
        // Without a recorded process the pane must stand where the contract says that the agent stands.
        None if pane.window_index != 0 => {
            AgentPane::Missing(format!("pane {} stands in window {}, not in window 0", pane.pane_id, pane.window_index))
        }
        _ => AgentPane::Alive(pane),
    }
}

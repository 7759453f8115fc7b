//! Where does this gateway run: in an auxiliary window of the agent's session, or in none?

use crate::{
    api::{ExecutionMode, Place, Placement},
    model::Failure,
    target::{AgentPane, Inside, Target},
};

/// The place of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) window: Option<Placement>,
    /// The window's tmux ids as text, so that it can be found again when its index changes.
    pub(super) mode: ExecutionMode,
}

impl Seat {
    fn detached() -> Self {
        Self { window: None, mode: ExecutionMode::DetachedProcess }
    }

    fn window(placement: Placement) -> Result<Self, Failure> {
        if placement.window_index == "0" {
            return Err(in_window_zero());
        }
        Ok(Self { window: Some(placement), mode: ExecutionMode::TmuxAuxiliaryWindow })
    }

    /// The place that the starting `attach` told.
    pub(super) fn told(place: Place) -> Result<Self, Failure> {
        match place {
            Place::Detached => Ok(Self::detached()),
            Place::Window { window_id, window_index, pane_id } => {
                Self::window(Placement { window_id, window_index, pane_id })
            }
        }
    }

    /// The place of a gateway that a person started by hand: its terminal may be a pane of the session.
    pub(super) fn found(target: &Target, inside: Option<&Inside>) -> Result<Self, Failure> {
        let Some(inside) = inside.filter(|inside| inside.server == target.server) else { return Ok(Self::detached()) };
        let Ok(session) = &target.session else { return Ok(Self::detached()) };
        let Some(pane) = session.pane(inside.pane) else { return Ok(Self::detached()) };
        let is_agents = match &target.agent {
            AgentPane::Alive(agent) | AgentPane::Replaced(agent) | AgentPane::Dead(agent) => {
                agent.window_id == pane.window_id
            }
            AgentPane::Missing(_) => false,
        };
        if is_agents {
            return Err(in_window_zero());
        }
        Self::window(Placement {
            window_id: pane.window_id.to_string(),
            window_index: pane.window_index.to_string(),
            pane_id: pane.pane_id.to_string(),
        })
    }
}

fn in_window_zero() -> Failure {
    Failure::refused(
        "window 0 belongs to the agent; a gateway cannot run there",
        "`agents gateway attach` opens a window of its own, or run it in another window of the session",
    )
}

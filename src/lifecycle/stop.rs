//! Stop: end the gateway and, if we launched it, the agent. A joined session lives on.

use std::time::Duration;

use super::{begin, detach::detach_locked, publish, withdraw};
use crate::{
    api::Origin,
    headless,
    model::{AgentId, Failure},
    os::{clock, process},
    session::registry,
    target::{AgentPane, Target},
    tmux::{Commands, SessionTarget, TmuxError, change, inspect},
};

/// How long the agent gets to end after its pane was closed.
const GRACE: Duration = Duration::from_secs(3);

/// What stop did.
#[derive(Debug, Clone)]
pub struct Stopped {
    /// The agent's program was ended.
    pub agent_ended: bool,
    /// Nothing was left to stop.
    pub already: bool,
    /// The tmux session lives on, and why.
    pub session_kept: Option<String>,
    /// What was cleaned, in words.
    pub notes: Vec<String>,
}

/// Stops.
///
/// # Errors
/// When the gateway or the agent could not be ended.
pub fn stop(target: &Target) -> Result<Stopped, Failure> {
    // It may be typed in the very pane that is about to be closed.
    process::outlive_terminal();
    let _transition = begin(&target.root)?;
    let mut notes = detach_locked(target)?.notes;
    notes.retain(|note| !note.starts_with("no gateway"));
    // A turn has no terminal whose end it would hear.
    if headless::end_now(&target.root, GRACE)? {
        notes.push("the turn that ran was ended".to_owned());
    }
    let launched = target.surface.as_ref().is_some_and(|surface| surface.origin == Origin::Launched);
    let agent_ended = launched && end_agent(target)?;
    let session_kept = kept_session(target, launched)?;
    mark_stopped(target)?;
    let already = !agent_ended && target.session.is_err() && notes.is_empty();
    Ok(Stopped { agent_ended, already, session_kept, notes })
}

/// Closes the agent's pane, by id, and waits until its process is gone.
fn end_agent(target: &Target) -> Result<bool, Failure> {
    let pane = match &target.agent {
        AgentPane::Alive(pane) | AgentPane::Replaced(pane) | AgentPane::Dead(pane) => pane,
        AgentPane::Missing(_) => return Ok(false),
    };
    let identity = process::identify(pane.pid).filter(|_| !pane.dead);
    match target.server.run_alone(&change::kill_pane(Commands::new(), pane.pane_id)) {
        Ok(_) | Err(TmuxError::NoTarget { .. } | TmuxError::NoServer { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let Some(identity) = identity else { return Ok(true) };
    // tmux sent a hang-up; a program that ignores it would live on without a terminal.
    if process::wait_gone(&identity, GRACE) || process::end(&identity, GRACE) != process::Ended::NotAtAll {
        return Ok(true);
    }
    Err(Failure::internal(format!("the agent's process {} could not be ended", identity.pid)))
}

/// Why the session still exists; its variables are taken back then.
fn kept_session(target: &Target, launched: bool) -> Result<Option<String>, Failure> {
    let Ok(before) = &target.session else { return Ok(None) };
    let after = match inspect::session(&target.server, &SessionTarget::Id(before.session_id)) {
        Ok(facts) => facts,
        Err(TmuxError::NoTarget { .. } | TmuxError::NoServer { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    publish::withdraw_variables(&target.server, &after)?;
    if launched {
        return Ok(Some(format!("it has {} other pane(s), which were not opened by us", after.panes.len())));
    }
    Ok(Some("it was joined, not launched".to_owned()))
}

fn mark_stopped(target: &Target) -> Result<(), Failure> {
    let Some(registry) = withdraw::registry_of(target) else { return Ok(()) };
    if let (Some(id), Some(generation)) = (&target.manifest.agent_id, &target.manifest.registry_generation_id) {
        let now = clock::now();
        registry
            .update(&AgentId::parse(id)?, generation, |record| registry::mark_stopped(record, "operator_stop", now))?;
    }
    Ok(())
}

//! Is a gateway running? Lock first, record second, HTTP third; and cleaning up after one that is not.

use std::time::Duration;

use crate::{
    api::{CurrentInstance, Owner, StatusDocument},
    client::{self, NoAnswer},
    model::{AgentId, Failure, WindowId},
    os::{
        lock::{self, Lock},
        process,
    },
    session::{SessionEnvironment, SessionRoot, documents, gateway_files},
    target::Target,
    tmux::{Commands, TmuxError, change},
};

/// How long a live gateway may take to answer a status question.
const ANSWER_LIMIT: Duration = Duration::from_millis(400);

/// How long a lock may be held by nobody in particular.
const SETTLING_LIMIT: Duration = Duration::from_millis(400);

/// How often a transition waits for that.
const SETTLING_TRIES: usize = 8;

/// How long cleaning up waits for others who look at the lock.
const CLEANING_LIMIT: Duration = Duration::from_millis(200);

/// What stands behind a session's live records.
#[derive(Debug, Clone, PartialEq)]
pub enum Live {
    /// No gateway, no records.
    Offline,
    /// The gateway answers and is the recorded one.
    Answering {
        /// Its records.
        instance: CurrentInstance,
        /// Ours only; `None` for a gateway of another program.
        owner: Option<Owner>,
        /// Its answer.
        status: Box<StatusDocument>,
    },
    /// The lock is free, so it is dead; records were left.
    Dead {
        /// Its pid, if the record can be read.
        pid: Option<u32>,
        /// Its last window, if one is recorded.
        window: Option<String>,
    },
    /// The lock is held, and no answer came.
    Unresponsive {
        /// Who holds the lock, where it is recorded.
        owner: Option<Owner>,
        /// Why, in words.
        why: String,
    },
}

/// Finds out. Reads files, tries a lock, asks over HTTP; changes nothing.
///
/// # Errors
/// Refused when a record claims window 0, or is damaged while the lock is held.
pub fn observe(root: &SessionRoot, attach_identity: &str) -> Result<Live, Failure> {
    let seen = look(root, attach_identity)?;
    if !is_nobodys(&seen) {
        return Ok(seen);
    }
    // Nobody who lives is known to hold the lock: a killed gateway closes its last files, somebody cleans up after
    // one, or one starts. All of that is over in a moment.
    lock::becomes_free(&root.gateway_lock(), SETTLING_LIMIT)?;
    look(root, attach_identity)
}

/// The same for a transition, which outwaits readers that clean up one after another.
pub(super) fn observe_settled(root: &SessionRoot, attach_identity: &str) -> Result<Live, Failure> {
    for _ in 1..SETTLING_TRIES {
        let seen = observe(root, attach_identity)?;
        if !is_nobodys(&seen) {
            return Ok(seen);
        }
    }
    observe(root, attach_identity)
}

/// The lock is held, and nobody who lives is known to hold it.
fn is_nobodys(live: &Live) -> bool {
    let Live::Unresponsive { owner, .. } = live else { return false };
    !owner.as_ref().is_some_and(|owner| process::is_alive(&owner.process))
}

fn look(root: &SessionRoot, attach_identity: &str) -> Result<Live, Failure> {
    let held = lock::is_held(&root.gateway_lock())?;
    let instance = documents::load_if_present::<CurrentInstance>(&root.current_instance());
    let owner = documents::load::<Owner>(&root.owner()).ok();
    let instance = match instance {
        Ok(instance) => instance,
        // A damaged record proves nothing; the lock does. Window 0 in a record is refused in every case.
        Err(error) if error.to_string().contains("window 0") => {
            return Err(Failure::from(error).context("live record refused"));
        }
        Err(error) if held => {
            return Ok(Live::Unresponsive { owner, why: format!("its record cannot be used: {error}") });
        }
        Err(_) => return Ok(Live::Dead { pid: None, window: None }),
    };
    let Some(instance) = instance else {
        return Ok(match (held, owner) {
            (true, owner) => {
                Live::Unresponsive { owner, why: "it is starting, stopping, or lost its record".to_owned() }
            }
            (false, Some(owner)) => Live::Dead { pid: Some(owner.process.pid), window: None },
            (false, None) => Live::Offline,
        });
    };
    let dead = Live::Dead { pid: Some(instance.pid), window: instance.tmux_window_id.clone() };
    // A free lock beats our own record. A record without an owner is another program's, which takes no lock.
    if !held && owner.is_some() {
        return Ok(dead);
    }
    match client::probe(root, &instance, owner.as_ref(), attach_identity, ANSWER_LIMIT) {
        Ok(status) => Ok(Live::Answering { instance, owner, status: Box::new(status) }),
        Err(_) if !held => Ok(dead),
        Err(no_answer) => Ok(Live::Unresponsive { why: explain(&no_answer, owner.as_ref()), owner }),
    }
}

fn explain(no_answer: &NoAnswer, owner: Option<&Owner>) -> String {
    match owner {
        Some(owner) if process::is_stopped(&owner.process) => {
            format!("its process {0} is stopped; `kill -CONT {0}` wakes it", owner.process.pid)
        }
        _ => no_answer.to_string(),
    }
}

/// Clears the live binding of a gateway that does not answer, and puts the offline snapshot in place.
///
/// One tmux process at most: variables and, if it is dead and its window is still marked as ours, the window.
/// Returns the snapshot and what was done, in words.
///
/// # Errors
/// When files cannot be written. tmux being away is no error: what it held is gone with it.
pub(super) fn withdraw(target: &Target, live: &Live) -> Result<(StatusDocument, Vec<String>), Failure> {
    let seems_ended = !matches!(live, Live::Unresponsive { .. } | Live::Answering { .. });
    // A reader holds no transition lock: a gateway that started since then keeps its records, and one that starts
    // now waits until we are done.
    let alone = if seems_ended { Lock::take_within(&target.root.gateway_lock(), CLEANING_LIMIT)? } else { None };
    let ended = alone.is_some();
    let mut done = Vec::new();
    if let Ok(session) = &target.session {
        let names = SessionEnvironment::new(session.environment.clone()).live_names();
        let mut commands = change::unset_environment(Commands::new(), session.session_id, &names);
        if !names.is_empty() {
            done.push(format!("removed {} live variables from the tmux session", names.len()));
        }
        for window in leftover_windows(target, live, ended) {
            commands = change::kill_window(commands, window);
            done.push(format!("closed the left-over gateway window {window}"));
        }
        run_if_any(target, &commands)?;
    }
    let snapshot = gateway_files::restore_offline(&target.root, ended)?;
    forget_in_registry(target)?;
    Ok((snapshot, done))
}

fn run_if_any(target: &Target, commands: &Commands) -> Result<(), Failure> {
    if commands.is_empty() {
        return Ok(());
    }
    match target.server.run(commands) {
        Ok(_) | Err(TmuxError::NoServer { .. } | TmuxError::NoTarget { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Windows of dead gateways: marked as ours and holding no living process, never the agent's, never window 0.
fn leftover_windows(target: &Target, live: &Live, ended: bool) -> Vec<WindowId> {
    let Ok(session) = &target.session else { return Vec::new() };
    if !ended {
        return Vec::new();
    }
    let recorded = match live {
        Live::Dead { window: Some(window), .. } => window.parse::<WindowId>().ok(),
        _ => None,
    };
    let agent = target.surface.as_ref().and_then(|surface| surface.window_id.parse::<WindowId>().ok());
    session
        .panes
        .iter()
        .filter(|pane| pane.window_index != 0 && Some(pane.window_id) != agent)
        .filter(|pane| pane.gateway_mark == target.root.name() || (Some(pane.window_id) == recorded && pane.dead))
        .filter(|pane| pane.dead || process::identify(pane.pid).is_none())
        .map(|pane| pane.window_id)
        .collect()
}

/// Takes the gateway pointer out of the registry record, where there is one.
fn forget_in_registry(target: &Target) -> Result<(), Failure> {
    let Some(registry) = registry_of(target) else { return Ok(()) };
    let (Some(id), Some(generation)) = (&target.manifest.agent_id, &target.manifest.registry_generation_id) else {
        return Ok(());
    };
    let id = AgentId::parse(id)?;
    if registry.read(&id).ok().flatten().is_some_and(|record| record.gateway.is_some()) {
        registry.update(&id, generation, |record| record.gateway = None)?;
    }
    Ok(())
}

/// The registry of the home that holds this session root; none for a root that lies elsewhere.
pub(super) fn registry_of(target: &Target) -> Option<crate::session::Registry> {
    target.root.home().map(|home| crate::session::Registry::at(home.registry()))
}

//! Withdrawing: clearing what a gateway that does not answer left in tmux, on disk and in the registry.

use std::time::Duration;

use super::live::Live;
use crate::{
    api::{ControlClient, StatusDocument},
    model::{AgentId, ErrorCode, Failure, WindowId},
    os::{
        clock,
        lock::Lock,
        process::{self, Ended},
    },
    session::{Registry, SessionEnvironment, SessionRoot, documents, environment, gateway_files, registry},
    target::Target,
    tmux::{Commands, TmuxError, change},
};

/// How long a reader that cleans up waits for the gateway's lock.
const READER_LIMIT: Duration = Duration::from_millis(200);

/// How long a transition waits for it: readers may be cleaning up one after another.
const TRANSITION_LIMIT: Duration = Duration::from_secs(3);

/// How long a tmux client may take to end before it is killed.
const CLIENT_GRACE: Duration = Duration::from_millis(200);

/// How long the registry may keep us waiting while we hold a gateway's lock.
const REGISTRY_LIMIT: Duration = Duration::from_millis(200);

/// The offline snapshot, and what was done in words.
pub(super) type Withdrawn = (StatusDocument, Vec<String>);

/// Withdraws for a reader, who holds no transition lock. `None`: a gateway started meanwhile; nothing was touched.
///
/// # Errors
/// When files cannot be written. tmux being away is no error: what it held is gone with it.
pub(super) fn withdraw_as_reader(target: &Target, live: &Live) -> Result<Option<Withdrawn>, Failure> {
    withdraw_within(target, live, READER_LIMIT)
}

/// Withdraws for a transition.
///
/// # Errors
/// As [`withdraw_as_reader`]; already attached when a gateway that was started by hand came in between.
pub(super) fn withdraw(target: &Target, live: &Live) -> Result<Withdrawn, Failure> {
    withdraw_within(target, live, TRANSITION_LIMIT)?.ok_or_else(|| {
        Failure::new(
            ErrorCode::AlreadyAttached,
            "another gateway of this session was started meanwhile",
            "`agents gateway status` shows it",
        )
    })
}

/// One tmux process at most: variables and, if the gateway is dead and its window still marked as ours, the window.
fn withdraw_within(target: &Target, live: &Live, limit: Duration) -> Result<Option<Withdrawn>, Failure> {
    let ended = matches!(live, Live::Offline | Live::Dead { .. });
    // Whoever starts now waits until we are done; whoever started before keeps what is its own.
    let alone = if ended { Lock::take_within(&target.root.gateway_lock(), limit)? } else { None };
    if ended && alone.is_none() {
        return Ok(None);
    }
    let mut done = clear_tmux(target, live, ended)?;
    if matches!(live, Live::Dead { .. }) {
        done.extend(end_control_client(target));
    }
    forget_in_registry(target);
    // The snapshot comes last: a gateway that only was unresponsive takes it for the sign to publish itself again,
    // and what it publishes must not be taken back by our next step.
    let snapshot = gateway_files::restore_offline(&target.root, ended)?;
    Ok(Some((snapshot, done)))
}

fn clear_tmux(target: &Target, live: &Live, ended: bool) -> Result<Vec<String>, Failure> {
    let mut done = Vec::new();
    let Ok(session) = &target.session else { return Ok(done) };
    let mut names = SessionEnvironment::new(session.environment.clone()).live_names();
    if !names.is_empty() {
        done.push(format!("removed {} live variables from the tmux session", names.len()));
    }
    // What we know of the session is from before the gateway died: it may have set its variables since.
    if matches!(live, Live::Dead { .. }) {
        names = environment::live_names();
        names.extend(environment::leftover_names());
    }
    let mut commands = change::unset_environment(Commands::new(), session.session_id, &names);
    for window in leftover_windows(target, live, ended) {
        commands = change::kill_window(commands, window);
        done.push(format!("closed the left-over gateway window {window}"));
    }
    run_if_any(target, &commands)?;
    Ok(done)
}

/// Ends the tmux client of a dead gateway. Where a window closed, the hang-up has ended it already; a detached
/// gateway has none, and tmux's client does not end without somebody who reads from it.
fn end_control_client(target: &Target) -> Option<String> {
    let record: ControlClient = documents::load(&target.root.control_client()).ok()?;
    if !process::is_alive(&record.process) {
        return None;
    }
    // tmux 3.3a does not survive a client's end while another one introduces itself.
    let _turn = target.server.alone();
    match process::end(&record.process, CLIENT_GRACE) {
        Ended::Orderly | Ended::Killed => Some(format!("ended its left-over tmux client (pid {})", record.process.pid)),
        Ended::NotAtAll => Some(format!("its tmux client (pid {}) does not end", record.process.pid)),
    }
}

/// Did the gateway take its own binding back? An orderly end leaves the offline snapshot and no record.
pub(super) fn is_withdrawn(root: &SessionRoot) -> bool {
    let state = documents::load::<StatusDocument>(&root.state());
    state.is_ok_and(|state| state.gateway_host.is_none()) && !root.current_instance().exists() && !root.owner().exists()
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

/// Takes the gateway pointer out of the registry record, where there is one. A busy registry is not waited for:
/// its pointer is a convenience, and the next gateway writes it anew.
fn forget_in_registry(target: &Target) {
    let Some(registry) = registry_of(target) else { return };
    let ids = (&target.manifest.agent_id, &target.manifest.registry_generation_id);
    let (Some(id), Some(generation)) = ids else { return };
    let Ok(id) = AgentId::parse(id) else { return };
    if registry.read(&id).ok().flatten().is_some_and(|record| record.gateway.is_some())
        && let Err(failure) = registry.update_within(&id, generation, REGISTRY_LIMIT, |record| record.gateway = None)
    {
        tracing::debug!(%failure, "the registry still points to the gateway");
    }
}

/// A session that was just proven to live is no stale one, however long nobody asked: its lease starts anew.
pub(super) fn renew_lapsed_lease(target: &Target) {
    let (Some(registry), Ok(session)) = (registry_of(target), &target.session) else { return };
    let ids = (&target.manifest.agent_id, &target.manifest.registry_generation_id);
    let (Some(id), Some(generation)) = ids else { return };
    let (Ok(id), now) = (AgentId::parse(id), clock::now()) else { return };
    let record = registry.read(&id).ok().flatten();
    if record.is_some_and(|record| record.lifecycle.state.is_live() && !record.is_fresh(now)) {
        let renewed = registry.update_within(&id, generation, REGISTRY_LIMIT, |record| {
            registry::mark_active(record, &session.session_name, now);
        });
        if let Err(failure) = renewed {
            tracing::debug!(%failure, "the lapsed lease was not renewed");
        }
    }
}

/// The registry of the home that holds this session root; none for a root that lies elsewhere.
pub(super) fn registry_of(target: &Target) -> Option<Registry> {
    target.root.home().map(|home| Registry::at(home.registry()))
}

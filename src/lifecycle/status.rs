//! Reading a session's status. Never starts anything, never touches `manifest.json`, copies no environment.

use super::{
    live::{self, Live},
    withdraw,
};
use crate::{
    api::{Document, StatusDocument},
    model::Failure,
    os::files,
    session::{SessionEnvironment, documents, gateway_files},
    target::Target,
};

/// The status, and what there is to say beside it.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The document of the contract.
    pub status: StatusDocument,
    /// Did a live gateway give it?
    pub live: Live,
    /// What was found and cleaned, in words.
    pub notes: Vec<String>,
}

/// Reads the status: live, or the offline snapshot after clearing what a dead gateway left.
///
/// # Errors
/// When the session's files cannot be read or written, or a live record claims window 0.
pub fn status(target: &Target) -> Result<Reading, Failure> {
    let identity = target.manifest.attach_identity(&target.root.name());
    let live = live::observe(&target.root, &identity)?;
    let mut notes = Vec::new();
    let status = match &live {
        Live::Answering { status, .. } => status.as_ref().clone(),
        Live::Offline if is_tidy(target) => documents::load(&target.root.state())?,
        // Its files are in motion: say what is true now, and touch nothing.
        Live::Passing { .. } => {
            notes.push("a gateway is starting or stopping".to_owned());
            gateway_files::read_offline(&target.root)?
        }
        other => {
            notes.extend(describe(other));
            notes.extend(last_word(target, other));
            if let Err(error) = documents::load_if_present::<StatusDocument>(&target.root.state()) {
                notes.push(format!("the snapshot could not be used and was written anew: {error}"));
            }
            match withdraw::withdraw_as_reader(target, other)? {
                Some((snapshot, done)) => {
                    notes.extend(done);
                    snapshot
                }
                None => {
                    notes.push("a gateway was started meanwhile".to_owned());
                    gateway_files::read_offline(&target.root)?
                }
            }
        }
    };
    status.check().map_err(|why| Failure::internal(why.to_string()))?;
    withdraw::renew_lapsed_lease(target);
    if let Err(why) = &target.session {
        notes.push(format!("the agent's session is gone: {why}"));
    }
    Ok(Reading { status, live, notes })
}

/// Nothing is left to clean: no live variables in tmux, and a readable offline snapshot.
fn is_tidy(target: &Target) -> bool {
    let variables = target
        .session
        .as_ref()
        .is_ok_and(|session| !SessionEnvironment::new(session.environment.clone()).live_names().is_empty());
    let snapshot = documents::load::<StatusDocument>(&target.root.state());
    !variables && snapshot.is_ok_and(|state| state.gateway_host.is_none())
}

/// How old the last thing is that a dead gateway wrote: what it said may be long past.
fn last_word(target: &Target, live: &Live) -> Option<String> {
    let age = files::age(&target.root.state()).filter(|_| matches!(live, Live::Dead { .. }))?;
    Some(format!("its last status was written {} s ago", age.as_secs()))
}

fn describe(live: &Live) -> Option<String> {
    match live {
        Live::Dead { pid: Some(pid), .. } => {
            Some(format!("the gateway (pid {pid}) has ended without a goodbye: its lock is free"))
        }
        Live::Dead { pid: None, .. } => {
            Some("the gateway has ended and left an unreadable record: its lock is free".to_owned())
        }
        Live::Unresponsive { owner: Some(owner), why } => Some(format!(
            "the gateway (pid {}) holds the session and does not answer: {why}; `agents gateway attach --restart` replaces it",
            owner.process.pid
        )),
        Live::Unresponsive { owner: None, why } => Some(format!(
            "a gateway holds the session and does not answer: {why}; `agents gateway attach --restart` replaces it"
        )),
        Live::Offline | Live::Passing { .. } | Live::Answering { .. } => None,
    }
}

//! Detach: end the session's gateway. The session stays gateway-capable.

use super::{
    attach::{STOP_GRACE, end_gateway},
    begin,
    live::{self, Live},
    withdraw,
};
use crate::{api::StatusDocument, model::Failure, target::Target};

/// The session without its gateway.
#[derive(Debug, Clone)]
pub struct Detached {
    /// The offline snapshot.
    pub status: StatusDocument,
    /// A gateway ran and was ended.
    pub ended: bool,
    /// What was cleaned, in words.
    pub notes: Vec<String>,
}

/// Detaches. Detaching when nothing runs succeeds, and clears what a dead gateway left.
///
/// # Errors
/// When a record claims window 0, or the gateway cannot be ended; nothing is killed then.
pub fn detach(target: &Target) -> Result<Detached, Failure> {
    let _transition = begin(&target.root)?;
    detach_locked(target)
}

/// The same for a caller that holds the transition lock.
pub(super) fn detach_locked(target: &Target) -> Result<Detached, Failure> {
    let identity = target.manifest.attach_identity(&target.root.name());
    let running = live::observe_settled(&target.root, &identity, STOP_GRACE)?;
    let ended = !matches!(running, Live::Offline | Live::Dead { .. });
    let (status, mut notes) =
        if ended { end_gateway(target, &running)? } else { withdraw::withdraw(target, &running)? };
    if !ended && notes.is_empty() {
        notes.push("no gateway was attached".to_owned());
    }
    if ended && holds_only_gateways(target) {
        notes.push("the gateway's window was the session's last one, so the tmux session has ended".to_owned());
    }
    Ok(Detached { status, ended, notes })
}

/// Without the agent's window, the session lives only as long as the gateway's.
fn holds_only_gateways(target: &Target) -> bool {
    let panes = target.session.as_ref().map(|session| session.panes.as_slice()).unwrap_or_default();
    !panes.is_empty() && panes.iter().all(|pane| pane.gateway_mark == target.root.name())
}

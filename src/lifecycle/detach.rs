//! Detach: end the session's gateway. The session stays gateway-capable.

use super::{
    attach::end_gateway,
    begin,
    live::{self, Live},
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
    let running = live::observe_settled(&target.root, &identity)?;
    let ended = matches!(running, Live::Answering { .. } | Live::Unresponsive { .. });
    let (status, mut notes) = if ended { end_gateway(target, &running)? } else { live::withdraw(target, &running)? };
    if !ended && notes.is_empty() {
        notes.push("no gateway was attached".to_owned());
    }
    Ok(Detached { status, ended, notes })
}

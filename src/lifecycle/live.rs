//! Is a gateway running? Lock first, record second, HTTP third. Changes nothing.

use std::time::Duration;

use crate::{
    api::{CurrentInstance, Owner, StatusDocument},
    client::{self, Gateway, NoAnswer},
    model::{ErrorCode, Failure},
    os::{lock, process},
    session::{SessionRoot, documents},
    target::Target,
};

/// How long a live gateway may take to answer a status question.
const ANSWER_LIMIT: Duration = Duration::from_millis(400);

/// How long a process that no longer listens may take to be gone altogether.
const ENDING: Duration = Duration::from_millis(100);

/// How long a lock may be held by nobody in particular.
const SETTLING: Duration = Duration::from_millis(400);

/// How long a transition waits for an answer of a gateway that runs: on a busy machine it may only be slow.
const PATIENT: Duration = Duration::from_secs(3);

/// How often a passing gateway is looked at.
const PASSING: Duration = Duration::from_millis(20);

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
    /// The lock is held and nobody listens: it is starting or stopping, and will not be for long.
    Passing {
        /// Who holds the lock, where it is recorded.
        owner: Option<Owner>,
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
/// Refused when a record claims window 0.
pub fn observe(root: &SessionRoot, attach_identity: &str) -> Result<Live, Failure> {
    observe_within(root, attach_identity, ANSWER_LIMIT)
}

/// As [`observe`], for a caller that can wait longer for an answer.
///
/// # Errors
/// As [`observe`].
pub(super) fn observe_within(root: &SessionRoot, attach_identity: &str, limit: Duration) -> Result<Live, Failure> {
    let seen = look(root, attach_identity, limit)?;
    let (Live::Unresponsive { owner, .. } | Live::Passing { owner }) = &seen else { return Ok(seen) };
    if owner.as_ref().is_some_and(|owner| process::is_alive(&owner.process)) {
        return Ok(seen);
    }
    // Nobody who lives is known to hold the lock: a killed gateway closes its last files, somebody cleans up after
    // one, or one starts. All of that is over in a moment.
    lock::wait_free(&root.gateway_lock(), SETTLING)?;
    look(root, attach_identity, limit)
}

/// As [`observe`], giving a gateway that starts or stops, and readers that clean up, their time.
///
/// # Errors
/// As [`observe`].
pub(super) fn observe_settled(root: &SessionRoot, attach_identity: &str, limit: Duration) -> Result<Live, Failure> {
    let mut left = limit;
    loop {
        let mut live = observe(root, attach_identity)?;
        if let Live::Unresponsive { owner: Some(owner), .. } = &live
            && process::is_alive(&owner.process)
            && !process::is_stopped(&owner.process)
        {
            live = observe_within(root, attach_identity, PATIENT)?;
        }
        let settled = match &live {
            Live::Passing { .. } => false,
            Live::Unresponsive { owner, .. } => owner.as_ref().is_some_and(|owner| process::is_alive(&owner.process)),
            _ => true,
        };
        if settled || left.is_zero() {
            return Ok(live);
        }
        // Ends at once when a stopping gateway lets go; a starting one is looked at again.
        lock::wait_free(&root.gateway_lock(), PASSING)?;
        left = left.saturating_sub(PASSING);
    }
}

/// The session's live gateway, for calls. One that is just starting is waited for, so long at most.
///
/// # Errors
/// Not attached, saying what stands there instead; or as [`observe`].
pub fn reach(target: &Target, starting: Duration) -> Result<Gateway, Failure> {
    let identity = target.manifest.attach_identity(&target.root.name());
    let start = "`agents gateway attach` starts one";
    let replace = "`agents gateway attach --restart` replaces it";
    let (why, hint) = match observe_settled(&target.root, &identity, starting)? {
        Live::Answering { instance, owner, .. } => return Ok(Gateway::new(&target.root, &instance, owner.as_ref())),
        Live::Offline => ("none is attached".to_owned(), start),
        Live::Dead { .. } => ("it has ended without a goodbye".to_owned(), start),
        Live::Passing { .. } => ("one is starting or stopping".to_owned(), replace),
        Live::Unresponsive { why, .. } => (why, replace),
    };
    let message = format!("no live gateway answers for agent `{}`: {why}", target.label());
    Err(Failure::new(ErrorCode::NotAttached, message, hint))
}

fn look(root: &SessionRoot, attach_identity: &str, limit: Duration) -> Result<Live, Failure> {
    let held = lock::is_held(&root.gateway_lock())?;
    let instance = documents::load_if_present::<CurrentInstance>(&root.current_instance());
    let owner = documents::load::<Owner>(&root.owner()).ok();
    let instance = match instance {
        Ok(instance) => instance,
        // A damaged record proves nothing; the lock does. Window 0 in a record is refused in every case.
        Err(error) if error.claims_window_zero() => {
            return Err(Failure::from(error).context("live record refused"));
        }
        Err(error) if held => {
            return Ok(Live::Unresponsive { owner, why: format!("its record cannot be used: {error}") });
        }
        Err(_) => return Ok(Live::Dead { pid: None, window: None }),
    };
    let Some(instance) = instance else {
        return Ok(match (held, owner) {
            (true, owner) => Live::Passing { owner },
            (false, Some(owner)) => Live::Dead { pid: Some(owner.process.pid), window: None },
            (false, None) => Live::Offline,
        });
    };
    let dead = Live::Dead { pid: Some(instance.pid), window: instance.tmux_window_id.clone() };
    // A free lock beats our own record. A record without an owner is another program's, which takes no lock.
    if !held && owner.is_some() {
        return Ok(dead);
    }
    match client::probe(root, &instance, owner.as_ref(), attach_identity, limit) {
        Ok(status) => Ok(Live::Answering { instance, owner, status: Box::new(status) }),
        Err(_) if !held => Ok(dead),
        // Refused, or cut off: it is probably ending, and the kernel frees its lock a moment after its sockets.
        Err(NoAnswer::Refused(_) | NoAnswer::Stranger { .. }) if lock::wait_free(&root.gateway_lock(), ENDING)? => {
            Ok(dead)
        }
        Err(NoAnswer::Refused(_)) => Ok(Live::Passing { owner }),
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

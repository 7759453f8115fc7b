//! The status document: put together from what is known, written and sent only when it changed.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::{place::Seat, watch::View};
use crate::{
    api::{
        Admission, AttachContract, Connectivity, Eligibility, Execution, GatewayHealth, Host, PROTOCOL_VERSION,
        Recovery, StatusDocument,
    },
    queue::Activity,
    session::{SessionRoot, documents},
    store::Depth,
};

/// What the document is made from.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) attach: AttachContract,
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) seat: Seat,
    pub(super) view: View,
    pub(super) epoch: u64,
    pub(super) depth: Depth,
    /// A text is being typed.
    pub(super) running: bool,
    /// A damaged queue was set aside, and nobody decided yet.
    pub(super) set_aside: bool,
    /// The store takes nothing more.
    pub(super) sick: bool,
}

impl Facts {
    /// What the queue says.
    pub(super) fn take_in(&mut self, activity: &Activity, depth: Depth) {
        self.depth = depth;
        self.running = activity.running.is_some();
        self.set_aside = activity.set_aside.is_some();
        self.sick = activity.sick.is_some();
    }
}

/// The board that everybody reads the status from.
#[derive(Debug)]
pub(super) struct Board {
    root: SessionRoot,
    // Held for a comparison and a small write; never across an await.
    facts: Mutex<Facts>,
    sender: watch::Sender<Arc<StatusDocument>>,
}

impl Board {
    /// Puts up the first document. It is written when the gateway goes public.
    pub(super) fn new(root: SessionRoot, facts: Facts) -> Self {
        let first = Arc::new(compose(&facts));
        Self { root, facts: Mutex::new(facts), sender: watch::Sender::new(first) }
    }

    /// A reader's end.
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<StatusDocument>> {
        self.sender.subscribe()
    }

    /// Changes the facts; writes and sends the document if it is another one now.
    pub(super) fn update(&self, change: impl FnOnce(&mut Facts)) {
        let next = {
            let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut facts);
            compose(&facts)
        };
        let changed = self.sender.send_if_modified(|current| {
            let changed = **current != next;
            if changed {
                *current = Arc::new(next);
            }
            changed
        });
        if changed {
            self.write();
        }
    }

    /// A copy of the facts.
    pub(super) fn facts(&self) -> Facts {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does `state.json` hold what this board says? If not, somebody else wrote it.
    pub(super) fn is_on_disk(&self) -> bool {
        let current = self.sender.borrow().clone();
        crate::os::files::read(&self.root.state()).is_ok_and(|bytes| bytes == documents::render(current.as_ref()))
    }

    /// Writes `state.json` if its content differs. A full disk leaves the old snapshot and a warning.
    pub(super) fn write(&self) {
        let current = self.sender.borrow().clone();
        if let Err(error) = documents::store(&self.root.state(), current.as_ref()) {
            tracing::warn!(%error, "state.json could not be written; the old snapshot stays");
        }
    }
}

/// Contract section 1.5, "Derivation when running", with the block only where rows of an earlier agent wait.
fn compose(facts: &Facts) -> StatusDocument {
    let connected = facts.view.agent.is_some();
    let undecided = facts.set_aside || facts.depth.of_earlier_epochs > 0;
    let (recovery, admission) = match (connected, undecided) {
        (false, _) => (Recovery::AwaitingRebind, Admission::BlockedUnavailable),
        (true, true) => (Recovery::ReconciliationRequired, Admission::BlockedReconciliation),
        (true, false) if facts.sick => (Recovery::Idle, Admission::BlockedUnavailable),
        (true, false) => (Recovery::Idle, Admission::Open),
    };
    let window = facts.seat.window.as_ref();
    StatusDocument {
        schema_version: 1,
        protocol_version: PROTOCOL_VERSION.to_owned(),
        attach_identity: facts.attach.attach_identity.clone(),
        backend: facts.attach.backend.clone(),
        tmux_session_name: facts.attach.tmux_session_name.clone(),
        gateway_health: GatewayHealth::Healthy,
        managed_agent_connectivity: if connected { Connectivity::Connected } else { Connectivity::Unavailable },
        managed_agent_recovery: recovery,
        request_admission: admission,
        terminal_surface_eligibility: match (connected, facts.view.takes_input) {
            (true, true) => Eligibility::Ready,
            _ => Eligibility::NotReady,
        },
        active_execution: if facts.running { Execution::Running } else { Execution::Idle },
        execution_mode: facts.seat.mode,
        queue_depth: facts.depth.waiting,
        gateway_host: Some(facts.host),
        gateway_port: Some(facts.port),
        gateway_tmux_window_id: window.map(|window| window.window_id.clone()),
        gateway_tmux_window_index: window.map(|window| window.window_index.clone()),
        gateway_tmux_pane_id: window.map(|window| window.pane_id.clone()),
        managed_agent_instance_epoch: facts.epoch,
        managed_agent_instance_id: facts.attach.runtime_session_id.clone(),
        observation_channels: None,
    }
}

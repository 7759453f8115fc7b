//! What a request can reach: handles, and no behaviour.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    ag_ui::AgUi,
    api::{StatusDocument, TrackedSession},
    mail::Desk,
    memory,
    notifier::Notifier,
    queue::Queue,
    reminders::Reminders,
    telemetry::DiagnosticLog,
    tracker::{Eyes, Tracker},
};

/// The handles of one gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// The status document, always current: the gateway sends a new one whenever something changed.
    pub status: watch::Receiver<Arc<StatusDocument>>,
    /// The random id of this run, sent with every answer.
    pub instance_id: Arc<str>,
    /// The opt-in log of requests.
    pub diagnostics: Arc<DiagnosticLog>,
    /// Everything that is to be typed, and what became of it.
    pub queue: Queue,
    /// Who tells the agent of its mail.
    pub notifier: Notifier,
    /// What is to be said later.
    pub reminders: Reminders,
    /// What the agent does.
    pub tracker: Tracker,
    /// The agent's mail.
    pub mail: Desk,
    /// The agent's memory.
    pub memory: memory::Desk,
    /// The agent on the AG-UI protocol.
    pub ag_ui: AgUi,
    /// Who is tracked.
    pub session: Arc<TrackedSession>,
    /// What its pane shows.
    pub eyes: Eyes,
    /// Turns true, or loses its sender, when the gateway stops: answers that would last for ever end then.
    pub stopping: watch::Receiver<bool>,
}

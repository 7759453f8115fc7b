//! The door to the work of one session: accepted, listed, cancelled, followed.
//!
//! Promises to `http`: what was accepted stays accepted when the caller leaves. [`Queue::control_prompt`] and
//! [`Queue::send_keys`] type on a task of the queue's own; dropping the future that waits for them stops the waiting
//! and not the typing.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::sync::watch;

use crate::{
    api::{
        AdmissionPolicy, ControlInputSent, ControlPromptSent, EventView, KeyPress, ReconcileAction, Reconciled,
        RequestAccepted, RequestDetail, RequestFilter, RequestList, RequestView,
    },
    model::{RequestId, RequestKind},
};

/// Work from outside, already checked for shape.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWork {
    /// What is asked for.
    pub kind: RequestKind,
    /// As the contract stores it.
    pub payload: Value,
    /// Makes a repetition harmless.
    pub key: Option<Key>,
    /// How long it may wait.
    pub expires_in: Option<Duration>,
}

/// The caller's name for one piece of work, with what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// 1 to 128 visible ASCII characters.
    pub text: String,
    /// MD5 over method, path and body: the same key with another digest is refused.
    pub digest: [u8; 16],
}

/// A refusal on its way to HTTP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// A stable word.
    pub code: &'static str,
    /// One sentence for a person.
    pub detail: String,
    /// In how many seconds another try makes sense.
    pub retry_after: Option<u64>,
}

/// The queue of one session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    newest: Arc<watch::Sender<u64>>,
}

impl Default for Queue {
    fn default() -> Self {
        Self { newest: Arc::new(watch::Sender::new(0)) }
    }
}

/// The facade. Nothing is behind it yet: everything that brings work is refused.
#[expect(clippy::unused_async, reason = "the queue is not there yet")]
impl Queue {
    /// Could work be accepted right now?
    ///
    /// # Errors
    /// 409 `blocked_reconciliation` before 503 `unavailable`.
    pub fn check_open(&self) -> Result<(), Refusal> {
        Err(closed())
    }

    /// Puts work on disk.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was accepted. A key that was answered before is answered the same way first.
    pub async fn accept(&self, _work: NewWork) -> Result<RequestAccepted, Refusal> {
        Err(closed())
    }

    /// Types a prompt at once or not at all. `new_chat`: into a new conversation.
    ///
    /// # Errors
    /// [`Refusal`] with an `error_code` of the contract; the queue has noted it.
    pub async fn control_prompt(
        &self,
        _prompt: String,
        _policy: AdmissionPolicy,
        _new_chat: bool,
        _key: Option<Key>,
    ) -> Result<ControlPromptSent, Refusal> {
        Err(closed())
    }

    /// Notes a direct prompt that was refused before it came to the queue.
    pub async fn note_refused_prompt(&self, _policy: AdmissionPolicy, _refusal: &Refusal) {}

    /// Presses keys, in the order of all that is typed.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn send_keys(
        &self,
        _keys: Vec<KeyPress>,
        _sequence: String,
        _escaped: bool,
        _key: Option<Key>,
    ) -> Result<ControlInputSent, Refusal> {
        Err(closed())
    }

    /// Requests, newest first.
    ///
    /// # Errors
    /// [`Refusal`] when the store does not answer.
    pub async fn list(&self, _filter: RequestFilter) -> Result<RequestList, Refusal> {
        Err(closed())
    }

    /// One request with its receipts; `None` when there is none with this id.
    ///
    /// # Errors
    /// [`Refusal`] when the store does not answer.
    pub async fn show(&self, _id: &RequestId) -> Result<Option<RequestDetail>, Refusal> {
        Err(closed())
    }

    /// Takes back what is still waiting; `None` when there is no request with this id.
    ///
    /// # Errors
    /// 409 when it is not waiting any more.
    pub async fn cancel(&self, _id: &RequestId) -> Result<Option<RequestView>, Refusal> {
        Err(closed())
    }

    /// Decides about rows of an earlier process of the agent.
    ///
    /// # Errors
    /// 409 when there are none.
    pub async fn reconcile(&self, _action: ReconcileAction) -> Result<Reconciled, Refusal> {
        Err(closed())
    }

    /// Journal entries newer than `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`Refusal`] when the store does not answer.
    pub async fn events(
        &self,
        _after: u64,
        _request: Option<&RequestId>,
        _limit: usize,
    ) -> Result<Vec<EventView>, Refusal> {
        Err(closed())
    }

    /// The oldest id that is kept or 0, and the newest or 0.
    ///
    /// # Errors
    /// [`Refusal`] when the store does not answer.
    pub async fn event_range(&self) -> Result<(u64, u64), Refusal> {
        Err(closed())
    }

    /// Changes whenever newer entries are there; holds the newest id, and never one that [`Queue::events`] does not
    /// return yet.
    pub fn newest_event(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

fn closed() -> Refusal {
    Refusal {
        status: 503,
        code: "unavailable",
        detail: "this gateway has no prompt queue yet".to_owned(),
        retry_after: None,
    }
}

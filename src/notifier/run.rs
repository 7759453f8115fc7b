//! The notifier's task: waits for a reason to look, and looks.
//!
//! While it is off there is no timer. While it is on it looks at least once in an interval, whatever the kernel tells: a
//! folder may be replaced, or be on another machine.

use std::time::Duration;

use tokio::{sync::watch, time::sleep};

use super::{Notifier, ears::Ears, look::Mind};
use crate::model::RequestId;

/// How long a store that did not answer is left alone.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// What to wait for before the next look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// For nothing.
    Again,
    /// For other settings.
    Off,
    /// For mail, or until so much time has passed.
    Mail(Duration),
    /// Until the agent may be told, or until so much time has passed.
    Gate(Duration),
    /// Until the queue is done with this wake-up.
    Request(RequestId),
    /// Until the store answers again.
    Store,
}

/// Why a look is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The notifier or its gateway begins.
    Begin,
    /// Files of the mailbox changed.
    Mail,
    /// The time has come.
    Due,
    /// The agent could not be told for a whole interval.
    Late,
    /// The queue is done with a wake-up.
    Done,
    /// The agent or the queue changed.
    Gate,
}

impl Notifier {
    /// Works until it is asked to stop.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let (mut ears, mut mind) = (Ears::default(), Mind::default());
        let mut changed = self.inner.changed.subscribe();
        let mut cause = Cause::Begin;
        loop {
            changed.mark_unchanged();
            let next = tokio::select! {
                next = self.look(&mut mind, &mut ears, cause) => next,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            tracing::debug!(?cause, ?next, "looked for mail");
            let found = mind.found.take();
            self.inner.standing.send_modify(|now| *now = now.after(&next, found, mind.in_terminal));
            let woken = tokio::select! {
                cause = self.until(&next, &mind, &mut ears) => Some(cause),
                _ = changed.changed() => None,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            cause = woken.unwrap_or_else(|| {
                mind.begin();
                Cause::Begin
            });
        }
    }

    /// Waits for what comes next.
    async fn until(&self, next: &Next, mind: &Mind, ears: &mut Ears) -> Cause {
        match next {
            Next::Again => Cause::Gate,
            Next::Off => {
                ears.rest();
                std::future::pending().await
            }
            Next::Mail(pause) => tokio::select! {
                () = ears.hear() => Cause::Mail,
                () = sleep(*pause) => Cause::Due,
            },
            Next::Gate(pause) => tokio::select! {
                () = self.gate_moves(mind) => Cause::Gate,
                () = sleep(*pause) => Cause::Late,
            },
            Next::Request(id) => {
                self.done_with(id).await;
                Cause::Done
            }
            Next::Store => {
                sleep(STORE_PAUSE).await;
                Cause::Begin
            }
        }
    }

    /// Waits until the agent may be told, or may not for a reason that was not told yet.
    async fn gate_moves(&self, mind: &Mind) {
        let (queue, tracker) = (&self.inner.queue, &self.inner.tracker);
        let (mut activity, mut waiting, mut agent) = (queue.activity(), queue.waiting(), queue.agent_now());
        let mut state = tracker.state();
        loop {
            activity.mark_unchanged();
            waiting.mark_unchanged();
            agent.mark_unchanged();
            state.mark_unchanged();
            match self.against(mind.in_terminal) {
                Some(busy) if busy.is_passing() || mind.was_told(&busy) => {}
                _ => return,
            }
            let changed = tokio::select! {
                changed = activity.changed() => changed,
                changed = waiting.changed() => changed,
                changed = agent.changed() => changed,
                changed = state.changed() => changed,
            };
            if changed.is_err() {
                // The gateway ends.
                return std::future::pending().await;
            }
        }
    }

    /// Waits until a request has come to its end.
    async fn done_with(&self, id: &RequestId) {
        let mut waiting = self.inner.queue.waiting();
        loop {
            waiting.mark_unchanged();
            match self.inner.queue.show(id).await {
                Ok(Some(shown)) if !shown.request.state.is_final() => {}
                Ok(_) => return,
                Err(refusal) => {
                    tracing::debug!(%refusal, "the store does not answer");
                    sleep(STORE_PAUSE).await;
                    continue;
                }
            }
            if waiting.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

//! Interrupts: out of band. They wait for no running request and for no turn.

use std::time::Duration;

use serde_json::json;
use tokio::{sync::watch, time::sleep};

use super::{
    Queue,
    coalesce::{Action, coalesce, run_around},
    worker::waiting,
};
use crate::{
    delivery::{JournalClosed, Sight, interrupt},
    model::{Note, Receipt, RequestId, RequestKind, RequestState, Source},
    os::{clock, terminal},
    tmux::input::{Acted, HandError},
    tracker::{Observation, Phase, Seen},
};

/// Rows among which an interrupt is looked for.
const AT_ONCE: usize = 512;

/// Before another try, when the store took nothing.
const AGAIN: Duration = Duration::from_millis(500);

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// There may be another one.
    Again,
    /// After a pause.
    Later,
    /// Nothing.
    Done,
}

/// The task that interrupts.
#[derive(Debug)]
pub struct Interrupts {
    queue: Queue,
}

impl Interrupts {
    pub(super) fn new(queue: Queue) -> Self {
        Self { queue }
    }

    /// Works until it is asked to stop.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        // One may have waited since before this gateway.
        let mut agent = self.queue.inner.agent.clone();
        loop {
            let again = loop {
                match self.round().await {
                    Round::Again => {}
                    Round::Done => break None,
                    Round::Later => break Some(AGAIN),
                }
            };
            let pause = async {
                match again {
                    Some(pause) => sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = pause => {}
                () = self.queue.inner.urgent.notified() => {}
                _ = agent.changed() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Takes the first interrupt that waits.
    async fn round(&self) -> Round {
        let agent = self.queue.agent();
        let Some(process) = agent.process else { return Round::Done };
        let rows = match self.queue.inner.store.waiting(AT_ONCE).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "the queue could not be read");
                return Round::Later;
            }
        };
        let all: Vec<_> = rows.iter().map(waiting).collect();
        let at = all.iter().position(|row| row.action == Some(Action::Interrupt) && row.epoch == agent.epoch);
        let Some(at) = at else { return Round::Done };
        if rows[at].expires_at.is_some_and(|at| at <= clock::now()) {
            // The worker ends what is too old.
            self.queue.inner.work.notify_one();
            return Round::Later;
        }
        let left = coalesce(run_around(&all, at));
        if !left.superseded.is_empty() && !self.queue.coalesce(left).await {
            return Round::Later;
        }
        self.press(&all[at].id, process.process.pid).await
    }

    /// Presses the key, once, and records what came of it.
    async fn press(&self, id: &RequestId, pid: u32) -> Round {
        if let Some(chats) = self.queue.inner.place.chats.clone() {
            return if self.queue.interrupt_turn(&chats, id).await { Round::Again } else { Round::Later };
        }
        let (store, hand) = (&self.queue.inner.store, self.queue.hand());
        let intent = Note::new(Receipt::Typing).seen(json!({ "pane": hand.pane().to_string(), "pane_pid": pid }));
        match store.begin(id, clock::now(), vec![intent]).await {
            Ok(true) => {}
            // Taken back meanwhile.
            Ok(false) => return Round::Again,
            Err(error) => {
                tracing::error!(%error, "an interrupt could not be recorded, so it was not sent");
                return Round::Later;
            }
        }
        let place = &self.queue.inner.place;
        let sight = hand.look().await.ok().map(|look| Sight::glance(look, &place.view()));
        let modes = sight.as_ref().and_then(|sight| terminal::modes(sight.look.now.tty.as_ref()));
        if sight.is_some_and(|sight| sight.has_idle_draft()) && place.tracker.now_state().phase == Phase::Ready {
            let detail = "nothing runs, and the key would clear the draft in the composer";
            return match self.queue.refuse(id, "draft", detail).await {
                Ok(()) => Round::Again,
                Err(JournalClosed) => Round::Later,
            };
        }
        // A tool has a key of its own for it, whatever the terminal makes of others.
        let modes = modes.filter(|_| place.view().profile().is_none());
        let pressed = interrupt(&hand, &self.queue.inner.keys, pid, modes, id.as_str()).await;
        if matches!(pressed, Ok((_, Acted::Done)) | Err(HandError::NoAnswer(_))) {
            place.tracker.observe(&Observation { source: Source::Input, seen: Seen::InterruptPressed });
        }
        let now = clock::now();
        let result = json!({ "completed_at_utc": now.iso_seconds(), "request_kind": "interrupt" });
        let failed = |receipt, reason: &str, detail: String| {
            let error = format!("{receipt} ({reason}): {detail}");
            (RequestState::Failed, Some(error), None, Note::new(receipt).because(reason, detail))
        };
        let (state, error, result, note) = match pressed {
            Ok((key, Acted::Done)) => {
                let note = Note::new(Receipt::Submitted).seen(json!({ "proof": "key_pressed", "key": key,
                    "request_kind": RequestKind::Interrupt }));
                (RequestState::Completed, None, Some(result), note)
            }
            Ok((_, Acted::Held(now))) => {
                let reason = if now.input_off { "input_off" } else { "agent_ended" };
                failed(Receipt::Refused, reason, "the pane takes no keys, or runs another process".to_owned())
            }
            Err(HandError::NoAnswer(why)) => failed(Receipt::Indeterminate, "unconfirmed", why),
            Err(HandError::Gone(why)) => failed(Receipt::Indeterminate, "server_lost", why),
            Err(HandError::Failed(why)) => failed(Receipt::Refused, "tmux_unreachable", why),
        };
        let recorded = store.finish(id, state, error, result, vec![note], now).await;
        self.queue.inner.work.notify_one();
        match recorded {
            Ok(_known) => Round::Again,
            Err(error) => {
                // It stays on its way until the worker, or the next gateway, asks what became of it.
                tracing::error!(%error, "the end of an interrupt could not be recorded");
                Round::Later
            }
        }
    }
}

//! What a restart finds: requests that were on their way when a gateway ended.
//!
//! The journal says how far a request was meant to go, the pane's marks say how far it went. Nothing is typed again.

use std::time::Duration;

use tokio::time::sleep;

use super::{run::Text, worker::Worker};
use crate::{
    delivery::{Prompt, Stage, Turn},
    model::{Note, Receipt, RequestKind, RequestState, Route},
    os::clock,
    store::QueuedRow,
    tmux::input::{BUFFER_PREFIX, Hand, HandError, PaneNow},
};

impl Worker {
    /// Brings every request that was on its way to an end, or back to where it waits.
    pub(super) async fn recover(&mut self) {
        let rows = match self.queue.inner.store.running().await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, "requests of an earlier run could not be read");
                return;
            }
        };
        for row in rows {
            self.recover_one(&row).await;
        }
        match self.queue.inner.store.unfinished_direct().await {
            // Direct work that was never begun had a caller, who is gone.
            Ok(rows) => {
                for row in rows {
                    self.queue.refuse(&row.id, "gateway_ended", "the gateway ended before it was typed").await;
                }
            }
            Err(error) => tracing::error!(%error, "direct work of an earlier run could not be read"),
        }
        self.queue.recount().await;
    }

    async fn recover_one(&mut self, row: &QueuedRow) {
        let agent = self.queue.agent();
        let process = agent.process.as_ref().filter(|_| row.epoch == agent.epoch);
        let Some(pid) = process.map(|process| process.process.pid) else {
            let detail = "the agent ended while the request was on its way";
            self.uncertain(row, "agent_ended", detail).await;
            return;
        };
        let hand = self.queue.hand();
        let Some(now) = self.marks(&hand).await else {
            self.uncertain(row, "server_lost", "the pane is gone, and with it what it remembered").await;
            return;
        };
        hand.unload(&format!("{BUFFER_PREFIX}{}", row.id)).await;
        let id = row.id.as_str();
        let entered = now.entered == id || now.entered == format!("{id}.2");
        let typed = now.typed == id || now.typed.starts_with(&format!("{id}-"));
        tracing::info!(request_id = id, typed, entered, "a request was on its way when the last gateway ended");
        match (row.kind, typed, entered) {
            (RequestKind::Interrupt | RequestKind::SendKeys, _, _) => {
                let detail = "the gateway ended while the keys were on their way; they are not pressed again";
                self.uncertain(row, "unconfirmed", detail).await;
            }
            (_, false, _) if row.route == Route::Queue => {
                let note =
                    Note::new(Receipt::Queued).because("recovered", "the pane shows that nothing had been typed");
                if let Err(error) = self.queue.inner.store.put_back(&row.id, note, clock::now()).await {
                    tracing::error!(%error, request_id = id, "a request could not be put back");
                }
            }
            (_, false, _) => self.queue.refuse(&row.id, "gateway_ended", "the gateway ended before it was typed").await,
            (_, true, entered) => {
                let stage = if entered { Stage::Entered } else { Stage::Typed };
                self.finish(&hand, row, pid, stage).await;
            }
        }
    }

    /// Takes a delivery up again where the marks say that it was.
    async fn finish(&mut self, hand: &Hand, row: &QueuedRow, pid: u32, stage: Stage) {
        let payload: serde_json::Value = serde_json::from_str(&row.payload_json).unwrap_or_default();
        let Ok(prompt) = Prompt::clean(payload["prompt"].as_str().unwrap_or_default()) else {
            self.uncertain(row, "unconfirmed", "its text cannot be read any more").await;
            return;
        };
        let text = Text { id: row.id.clone(), kind: row.kind, prompt, pid };
        if let Err(closed) = self.deliver(hand, &text, stage).await {
            tracing::error!(%closed, request_id = %row.id, "a request stays as it is until the next start");
        }
        // Where the reply began was known to the last gateway alone.
        if let Some(turn) = &mut self.turn {
            *turn = Turn { start: None, ..turn.clone() };
        }
    }

    /// Becomes the pane's hand and reads what the pane remembers; `None` when the pane is gone.
    async fn marks(&self, hand: &Hand) -> Option<PaneNow> {
        loop {
            // From here on a late message of the last gateway is refused.
            let taken = async {
                hand.take().await?;
                hand.look().await
            };
            match taken.await {
                Ok(look) => return Some(look.now),
                Err(HandError::Gone(_)) => return None,
                Err(error) => {
                    tracing::warn!(%error, "waiting for tmux before anything is decided");
                    sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    async fn uncertain(&self, row: &QueuedRow, reason: &str, detail: &str) {
        let note = Note::new(Receipt::Indeterminate).because(reason, detail);
        let error = format!("indeterminate ({reason}): {detail}");
        let store = &self.queue.inner.store;
        if let Err(error) =
            store.finish(&row.id, RequestState::Failed, Some(error), None, vec![note], clock::now()).await
        {
            tracing::error!(%error, request_id = %row.id, "the end of a request could not be recorded");
        }
    }
}

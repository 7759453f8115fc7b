//! What a restart finds: requests that were on their way when a gateway ended.
//!
//! The journal says how far a request was meant to go, the pane's marks say how far it went. Nothing is typed again.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    run::{Done, Text, closed},
    worker::Worker,
};
use crate::{
    delivery::{Footing, JournalClosed, Prompt, Stage, Timings, Turn, back},
    model::{Note, Receipt, RequestKind, RequestState, Route},
    os::{clock, lock::Lock},
    store::{JournalRow, QueuedRow},
    tmux::input::{BUFFER_PREFIX, Hand, HandError, PaneNow},
};

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(200);

/// Why requests are on their way although nobody types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The last gateway ended.
    Start,
    /// The store failed while this one typed.
    Failure,
}

impl Worker {
    /// Brings every request that was on its way to an end, or back to where it waits.
    ///
    /// # Errors
    /// [`JournalClosed`]: some stay as they are until the store works again.
    pub(super) async fn recover(&mut self, after: After) -> Result<(), JournalClosed> {
        let store = self.queue.inner.store.clone();
        if after == After::Start {
            self.remember_draft().await?;
        }
        let rows = store.running().await.map_err(|error| closed(&error))?;
        // Interrupts of this gateway are on their way beside this task.
        for row in rows.iter().filter(|row| after == After::Start || row.kind != RequestKind::Interrupt) {
            self.recover_one(row).await?;
        }
        // Direct work that was never begun had a caller, who is gone.
        for row in store.waiting_direct().await.map_err(|error| closed(&error))? {
            self.queue.refuse(&row.id, "gateway_ended", "the gateway ended before it was typed").await?;
        }
        if after == After::Start && self.turn.is_none() {
            self.resume().await?;
        }
        Ok(())
    }

    /// Follows the turn that the last gateway did not see the end of, if the pane still is in it.
    async fn resume(&mut self) -> Result<(), JournalClosed> {
        let store = &self.queue.inner.store;
        let Some(row) = store.open_turn().await.map_err(|error| closed(&error))? else { return Ok(()) };
        // It was on its way when the last gateway died, and is followed since then.
        if self.submitted.as_ref().is_some_and(|(id, _)| *id == row.id) {
            return Ok(());
        }
        let shown = store.show(&row.id).await.map_err(|error| closed(&error))?;
        // What another program completed has no journal, and nobody here waits for its end.
        if shown.is_none_or(|(_, journal)| !journal.iter().any(|entry| entry.note().is_some())) {
            return Ok(());
        }
        let agent = self.queue.agent();
        let process = agent.process.as_ref().filter(|_| row.epoch == agent.epoch);
        let hand = self.queue.hand();
        let now = loop {
            match hand.look().await {
                Ok(look) => break Some(look.now),
                Err(HandError::Gone(_)) => break None,
                Err(error) => tracing::warn!(%error, "waiting for tmux before the last turn is followed"),
            }
            sleep(AGAIN).await;
        };
        match (process, now) {
            (Some(process), Some(now)) if now.last_typed(row.id.as_str()) => {
                let (pid, started) = (process.process.pid, row.receipt == Receipt::TurnStarted);
                let payload: serde_json::Value = serde_json::from_str(&row.payload_json).unwrap_or_default();
                if let Ok(prompt) = Prompt::clean(payload["prompt"].as_str().unwrap_or_default()) {
                    self.follow_next(Turn { id: row.id, start: None, pid, started }, &prompt).await;
                }
            }
            (Some(_), Some(_)) => self.queue.remember(&row.id, vec![Turn::overtaken()]).await,
            _ => self.queue.remember(&row.id, vec![Turn::lost()]).await,
        }
        Ok(())
    }

    /// Ends one request, or puts it back, however long its pane cannot be asked.
    async fn recover_one(&mut self, row: &QueuedRow) -> Result<(), JournalClosed> {
        while !self.try_to_recover(row).await? {
            sleep(AGAIN).await;
        }
        Ok(())
    }

    /// `false`: not now; nothing has changed.
    async fn try_to_recover(&mut self, row: &QueuedRow) -> Result<bool, JournalClosed> {
        let agent = self.queue.agent();
        let process = agent.process.as_ref().filter(|_| row.epoch == agent.epoch);
        let Some(pid) = process.map(|process| process.process.pid) else {
            let detail = "the agent ended while the request was on its way";
            return self.uncertain(row, "agent_ended", detail).await;
        };
        let slot = match self.queue.slot() {
            Ok(slot) => slot,
            Err((reason, detail)) => {
                tracing::warn!(reason, detail, request_id = %row.id, "waiting before anything is decided");
                return Ok(false);
            }
        };
        let hand = self.queue.hand();
        let now = match self.marks(&hand).await {
            Ok(now) => now,
            Err(HandError::Gone(_)) => {
                let detail = "the pane is gone, and with it what it remembered";
                return self.uncertain(row, "server_lost", detail).await;
            }
            Err(error) => {
                tracing::warn!(%error, request_id = %row.id, "waiting for tmux before anything is decided");
                return Ok(false);
            }
        };
        hand.unload(&format!("{BUFFER_PREFIX}{}", row.id)).await;
        let id = row.id.as_str();
        let Some(footing) = self.footing(row).await? else {
            let detail = "what the pane looked like before it was typed is not on record";
            return self.uncertain(row, "unconfirmed", detail).await;
        };
        // Since the intent: an earlier text of the same request may have been taken back from before a person's.
        let taken_back = now.last_typed(&back(id));
        let typed = now.was_typed(id) && !footing.is_untouched(&now) && !taken_back;
        let (typed, entered) = (typed, now.was_entered(id) || now.was_entered(&format!("{id}.2")));
        tracing::info!(request_id = id, typed, entered, "nobody types a request that was on its way");
        match (row.kind, typed, entered) {
            (RequestKind::Interrupt | RequestKind::SendKeys, _, _) => {
                let detail = "the gateway ended while the keys were on their way; they are not pressed again";
                self.uncertain(row, "unconfirmed", detail).await
            }
            // Somebody typed since, and the pane remembers only so many: that ours was never typed is not proven.
            (_, false, _) if !footing.is_untouched(&now) && !taken_back => {
                let detail = "other texts were typed since it was taken up, and the pane does not remember this one";
                self.uncertain(row, "unconfirmed", detail).await
            }
            (_, false, _) if row.route == Route::Queue => {
                let note =
                    Note::new(Receipt::Queued).because("recovered", "the pane shows that nothing had been typed");
                let put = self.queue.inner.store.put_back(&row.id, note, clock::now()).await;
                put.map(|_known| true).map_err(|error| closed(&error))
            }
            (_, false, _) => {
                let detail = "the gateway ended before it was typed";
                self.queue.refuse(&row.id, "gateway_ended", detail).await.map(|()| true)
            }
            // Another text followed it, so the composer cannot speak for this one any more.
            (_, true, entered) if !now.last_typed(id) => {
                let detail = if entered {
                    "Enter was pressed behind it, and another text was typed before anybody looked"
                } else {
                    "another text was typed behind it before Enter was pressed"
                };
                self.uncertain(row, "not_ours", detail).await
            }
            (_, true, entered) => {
                let stage = if entered { Stage::Entered(footing) } else { Stage::Typed(footing) };
                self.go_on(&slot, &hand, row, pid, stage).await
            }
        }
    }

    /// What went on record with the intent to type.
    async fn footing(&self, row: &QueuedRow) -> Result<Option<Footing>, JournalClosed> {
        if row.kind == RequestKind::Interrupt || row.kind == RequestKind::SendKeys {
            return Ok(Some(Footing::default()));
        }
        let shown = self.queue.inner.store.show(&row.id).await.map_err(|error| closed(&error))?;
        let notes = shown.iter().flat_map(|(_, journal)| journal.iter().rev().filter_map(JournalRow::note));
        let intent = notes.filter(|note| note.receipt == Receipt::Typing).find_map(|note| note.evidence);
        Ok(intent.and_then(|mut seen| serde_json::from_value(seen["footing"].take()).ok()))
    }

    /// Takes a delivery up again where the marks say that it was.
    async fn go_on(
        &mut self,
        slot: &Lock,
        hand: &Hand,
        row: &QueuedRow,
        pid: u32,
        stage: Stage,
    ) -> Result<bool, JournalClosed> {
        let payload: serde_json::Value = serde_json::from_str(&row.payload_json).unwrap_or_default();
        let Ok(prompt) = Prompt::clean(payload["prompt"].as_str().unwrap_or_default()) else {
            return self.uncertain(row, "unconfirmed", "its text cannot be read any more").await;
        };
        let text = Text { id: row.id.clone(), kind: row.kind, prompt, pid, stashed: self.stashed() };
        match self.queue.deliver_in(slot, hand, &text, stage, Timings::default()).await? {
            // Where the reply began was known to the last gateway alone.
            Done::Submitted(turn) => self.follow_next(Turn { start: None, ..turn }, &text.prompt).await,
            Done::Withdrawn | Done::Unproven(_) | Done::PutBack(..) => {}
            Done::Waits(reason, detail) => {
                tracing::warn!(reason, detail, request_id = %row.id, "waiting before anything is decided");
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Becomes the pane's hand and reads what the pane remembers. From then on a late message of the last gateway is
    /// refused.
    async fn marks(&self, hand: &Hand) -> Result<PaneNow, HandError> {
        hand.take().await?;
        let look = hand.look().await?;
        hand.sweep(clock::now().epoch_millis() / 1000).await;
        Ok(look.now)
    }

    /// Ends a request of which nobody can say what became of it.
    pub(super) async fn uncertain(&self, row: &QueuedRow, reason: &str, detail: &str) -> Result<bool, JournalClosed> {
        let note = Note::new(Receipt::Indeterminate).because(reason, detail);
        let error = format!("indeterminate ({reason}): {detail}");
        let store = &self.queue.inner.store;
        let ended = store.finish(&row.id, RequestState::Failed, Some(error), None, vec![note], clock::now()).await;
        ended.map(|_known| true).map_err(|error| closed(&error))
    }
}

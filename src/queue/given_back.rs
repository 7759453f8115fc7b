//! A prompt that a tool gave back: interrupted before the first word of its answer, some put it into their composer again.
//!
//! Only what provably is our own text is taken out: the composer shows exactly the last prompt that was submitted from
//! here, its turn was interrupted, and no person pressed a key since.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::worker::Worker;
use crate::{
    delivery::{Prompt, Sight, holds_exactly},
    model::Outcome,
    os::clock,
    tmux::input::{Acted, Guard, Hand, Mark, Stroke},
    tracker::Phase,
};

/// How long the composer may take to be empty.
const EMPTIED: Duration = Duration::from_secs(1);

/// Empties the composer of every tool that gives prompts back.
const CLEAR: &str = "C-c";

impl Worker {
    /// Does the composer hold the prompt that was interrupted, and nothing else?
    pub(super) fn is_given_back(&self, sight: &Sight) -> bool {
        let Some((id, text)) = &self.submitted else { return false };
        let state = self.queue.inner.place.tracker.now_state();
        // A turn that is over without a result was interrupted, or was none.
        let was_interrupted = matches!(state.last_turn.outcome, Some(Outcome::Interrupted | Outcome::Unknown));
        let Ok(prompt) = Prompt::clean(text) else { return false };
        let now = &sight.look.now;
        state.turn.is_none()
            && state.phase != Phase::Active
            && was_interrupted
            && now.last_typed(id.as_str())
            && now.was_entered(id.as_str())
            && now.person_activity.is_none_or(|at| clock::now().epoch_millis() / 1000 - at > 30)
            && holds_exactly(&prompt, sight)
    }

    /// Takes it out of the composer; `false`: it is still there.
    pub(super) async fn clear(&mut self, hand: &Hand, sight: &Sight) -> bool {
        let Some((id, _)) = self.submitted.clone() else { return false };
        let Ok(_slot) = self.queue.slot() else { return false };
        if hand.take().await.is_err() {
            return false;
        }
        let now = &sight.look.now;
        let guard = Guard::as_seen(now);
        let mark = Mark::typed(&format!("{id}-given-back"), &now.typed);
        if !matches!(hand.act(&guard, &[Stroke::Key(CLEAR)], &mark).await, Ok(Acted::Done)) {
            return false;
        }
        let begun = Instant::now();
        loop {
            let view = &self.queue.inner.place.view();
            if let Ok(look) = hand.look().await
                && Sight::glance(look, view).is_empty()
            {
                let data = json!({ "request": id.as_str(), "reason": "given_back", "cleared_at_utc": clock::now().iso_seconds() });
                self.queue.record("draft_cleared", data).await;
                tracing::info!(request_id = %id, "the prompt that was interrupted stood in the composer again; it was taken out");
                self.submitted = None;
                return true;
            }
            if begun.elapsed() >= EMPTIED {
                return false;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

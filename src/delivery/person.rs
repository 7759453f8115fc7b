//! A person at the same keyboard: what they type stays theirs, also when it came between our text and its Enter.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{
    act::{Act, Pace},
    against::gone,
    plan::PERSON_PAUSE,
    proof::{behind, excerpt},
    sight::Sight,
    task::{Journal, Outcome},
};
use crate::{
    os::clock,
    tmux::input::{Acted, Guard, HandError, Look, Mark, PaneNow, Stroke},
    tracker::{Composer, composer},
};

/// A program that shows what is typed so soon shows a person's next key before they press another one.
pub(super) const QUICK: Duration = Duration::from_millis(50);

/// Longest text that is taken back, in characters: each is one press of the backspace key.
const LONGEST: usize = 4_000;

/// What stands in the composer when a person pressed a key since our text was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shared {
    /// Our text, sign for sign.
    Ours,
    /// Our text, and this behind it.
    Mixed(String),
    /// Something else.
    Unclear,
}

/// The mark of a text that was taken back.
pub fn back(id: &str) -> String {
    format!("{id}-back")
}

/// Did a person use the keyboard a moment ago?
pub(super) fn is_recent(now: &PaneNow) -> bool {
    now.person_activity.is_some_and(|at| clock::now().epoch_millis() / 1000 - at < PERSON_PAUSE)
}

impl<J: Journal> Act<'_, J> {
    /// Reads a composer that a person may have typed into.
    pub(super) fn shared(&self, sight: &Sight) -> Shared {
        if sight.alone(&self.sought, &self.footing) {
            return Shared::Ours;
        }
        // Which keys take a text back out of a tool's composer is the tool's own affair.
        if sight.reading.screen.is_some() {
            return Shared::Unclear;
        }
        match behind(self.delivery.prompt, &sight.look) {
            Some(extra) if !extra.is_empty() => Shared::Mixed(extra),
            _ => Shared::Unclear,
        }
    }

    /// Takes our text out from before what a person typed behind it, in one message: a key that the pane has not shown
    /// yet is the one thing that this cannot see, so the caller chooses a moment without one. `None`: not now, look
    /// again.
    pub(super) async fn take_back(&self, look: &Look, extra: &str) -> Option<Outcome> {
        let characters = self.delivery.prompt.text().chars().count() + extra.chars().count();
        if characters > LONGEST {
            return Some(mixed(look));
        }
        if !look.now.last_typed(self.delivery.id) {
            return None;
        }
        let name = back(self.delivery.id);
        let buffer = self.hand.load(&name, extra.as_bytes().to_vec()).await.ok()?;
        let guard = Guard { typed: Some(look.now.typed.clone()), ..self.guard(look) };
        let strokes = [
            Stroke::Repeated("BSpace", characters),
            Stroke::Paste { buffer: buffer.clone(), bracketed: false, framed: false },
        ];
        let mark = Mark::typed(&name, &look.now.typed);
        loop {
            match self.hand.act(&guard, &strokes, &mark).await {
                Ok(Acted::Done) => break,
                Ok(Acted::Held(now)) if now.last_typed(&name) => break,
                Ok(Acted::Held(_)) | Err(HandError::Failed(_)) => {
                    self.hand.unload(&buffer).await;
                    return None;
                }
                Err(HandError::NoAnswer(_)) => Pace(50).wait().await,
                Err(HandError::Gone(why)) => return Some(gone(&why)),
            }
        }
        Some(self.is_back(extra).await)
    }

    /// Waits until the composer shows the person's text without ours.
    async fn is_back(&self, extra: &str) -> Outcome {
        let deadline = Instant::now() + self.timings.landing;
        let mut pace = Pace(1);
        loop {
            let look = match self.hand.look().await {
                Ok(look) => Some(look),
                Err(HandError::Gone(why)) => return gone(&why),
                Err(_) => None,
            };
            let rest = look.as_ref().map(|look| composer(look, false));
            // They may have typed on, or submitted it already.
            let is_theirs = match rest {
                Some(Composer::Draft(text)) => text.starts_with(extra.trim_end()),
                Some(Composer::Empty) => true,
                _ => false,
            };
            if is_theirs {
                let detail = "a person began to type in the same moment; the text was taken back from before theirs";
                return Outcome::Held("person_typing", detail.to_owned());
            }
            if Instant::now() >= deadline {
                return look.as_ref().map_or_else(|| gone("it does not answer"), mixed);
            }
            pace.wait().await;
        }
    }
}

fn mixed(look: &Look) -> Outcome {
    let detail = "a person typed behind the text before Enter could be pressed, so it was not pressed";
    Outcome::Unproven("not_ours", detail.to_owned(), json!({ "row": excerpt(look) }))
}

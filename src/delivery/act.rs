//! The steps of one delivery: intent, text, proof, Enter, proof.
//!
//! A delivery may be dropped at any await, or its process killed on any line: what the journal and the pane's marks
//! say is enough to go on from [`Stage`].

use std::{sync::OnceLock, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    against::{changed, gone, misplaced, not_ours, unreachable},
    footing::Footing,
    keys::Keys,
    person::{QUICK, Shared, is_recent},
    proof::{Shown, Sought, excerpt},
    sight::Sight,
    task::{Delivery, Journal, JournalClosed, Outcome, Stage, Timings},
};
use crate::{
    model::{Note, Receipt},
    os::clock,
    tmux::input::{Acted, Guard, Hand, HandError, Look, Mark, PaneNow, Stroke},
    tracker::When,
};

/// Delivers one text.
///
/// # Errors
/// [`JournalClosed`]; the delivery can be taken up again from what is on record.
pub async fn deliver(
    hand: &Hand,
    keys: &Keys,
    delivery: &Delivery<'_>,
    journal: &impl Journal,
    timings: Timings,
) -> Result<Outcome, JournalClosed> {
    let footing = match &delivery.stage {
        Stage::Fresh(look) => Footing::of(look, delivery.view),
        Stage::Typed(footing) | Stage::Entered(footing) => footing.clone(),
    };
    let (sought, announced) = (Sought::of(delivery.prompt), OnceLock::new());
    let act = Act { hand, keys, delivery, journal, timings, sought, footing, announced };
    if let Stage::Fresh(look) = &delivery.stage
        && let Err(outcome) = act.paste(look).await?
    {
        return Ok(outcome);
    }
    if matches!(delivery.stage, Stage::Entered(_)) {
        return act.leave(None, "unknown").await;
    }
    match act.land_and_enter().await? {
        Ok((before, how)) => act.leave(Some(before), how).await,
        Err(outcome) => Ok(outcome),
    }
}

pub(super) struct Act<'a, J> {
    pub(super) hand: &'a Hand,
    keys: &'a Keys,
    pub(super) delivery: &'a Delivery<'a>,
    journal: &'a J,
    pub(super) timings: Timings,
    pub(super) sought: Sought,
    pub(super) footing: Footing,
    /// When the tracker was told.
    announced: OnceLock<When>,
}

/// How long a tool may take for each paste of a text that is given in many.
const PASTE: Duration = Duration::from_millis(30);

/// The moment before Enter, and how the text showed in it.
type Before = (Sight, &'static str);

/// Pauses between looks: short at first, because most panes answer at once.
pub(super) struct Pace(pub(super) u64);

impl Pace {
    pub(super) async fn wait(&mut self) {
        sleep(Duration::from_millis(self.0)).await;
        self.0 = (self.0 * 2).min(16);
    }
}

impl<J: Journal> Act<'_, J> {
    /// What must still be so: the pane and its program as before the paste, the cursor as in this look.
    pub(super) fn guard(&self, look: &Look) -> Guard {
        let command = Some(self.footing.command.clone());
        Guard { pid: self.delivery.pid, command, typed: None, ..Guard::as_seen(&look.now) }
    }

    /// Intent on record, text in a buffer, then the one message that types it.
    async fn paste(&self, look: &Look) -> Result<Result<(), Outcome>, JournalClosed> {
        let id = self.delivery.id;
        let removed = self.delivery.prompt.removed();
        let seen = json!({ "pane": self.hand.pane().to_string(), "pane_pid": self.delivery.pid,
            "row": excerpt(look), "bytes": self.delivery.prompt.text().len(), "control_characters_removed": removed,
            "pastes": self.delivery.form.parts(), "blanks_added": self.delivery.form.blanks(),
            "footing": self.footing });
        let held = |reason, detail: String| Ok(Err(Outcome::Held(reason, detail)));
        // The intent is on record before the message that types is sent; the buffer alone does nothing.
        let text = self.delivery.form.bytes().as_bytes().to_vec();
        let intent = Note::new(Receipt::Typing).seen(seen);
        let (loaded, begun) = tokio::join!(self.hand.load(id, text), self.journal.begin(intent));
        if begun != Ok(true) {
            if let Ok(buffer) = loaded {
                self.hand.unload(&buffer).await;
            }
            return begun.map(|_withdrawn| Err(Outcome::Withdrawn));
        }
        let buffer = match loaded {
            Ok(buffer) => buffer,
            Err(error) => return held("tmux_unreachable", error.to_string()),
        };
        let strokes = [self.delivery.form.stroke(buffer.clone())];
        let (guard, mark) = (self.guard(look), Mark::typed(id, &self.footing.typed));
        let mut pace = Pace(50);
        loop {
            match self.hand.act(&guard, &strokes, &mark).await {
                Ok(Acted::Done) => return Ok(Ok(())),
                // An earlier message of ours whose answer was lost.
                Ok(Acted::Held(now)) if now.typed == mark.after() => return Ok(Ok(())),
                Ok(Acted::Held(now)) => {
                    self.hand.unload(&buffer).await;
                    let (reason, detail) = changed(look, &now, self.hand.owner());
                    return held(reason, detail);
                }
                // The mark keeps a second message from typing again, so it may be sent until somebody answers.
                Err(HandError::NoAnswer(_)) => pace.wait().await,
                Err(HandError::Gone(why)) => return Ok(Err(gone(&why))),
                Err(HandError::Failed(why)) => {
                    self.hand.unload(&buffer).await;
                    return held("tmux_unreachable", why);
                }
            }
        }
    }

    /// One look after the paste, once the pane takes keys. `Err`: the delivery ends here.
    async fn next_look(&self, wait: &mut Wait) -> Result<Result<Sight, Outcome>, JournalClosed> {
        loop {
            let look = match self.hand.look().await {
                Ok(look) => look,
                Err(HandError::Gone(why)) => return Ok(Err(gone(&why))),
                // A server that sleeps proves nothing against us.
                Err(HandError::NoAnswer(_)) => {
                    wait.begin_anew();
                    Pace(100).wait().await;
                    continue;
                }
                Err(HandError::Failed(why)) => {
                    return Ok(Err(Outcome::Unproven("tmux_unreachable", why, Value::Null)));
                }
            };
            if let Some(outcome) = self.lost(&look.now) {
                return Ok(Err(outcome));
            }
            let Some((reason, detail)) = unreachable(&look.now) else {
                return Ok(Ok(Sight::survey(look, self.delivery.view)));
            };
            wait.once(self.journal, reason, detail).await?;
            if self.timings.held.is_some_and(|limit| wait.held_since.elapsed() >= limit) {
                let seen = json!({ "row": excerpt(&look) });
                return Ok(Err(Outcome::Unproven("unconfirmed", detail.to_owned(), seen)));
            }
            wait.since = Instant::now();
            Pace(16).wait().await;
        }
    }

    /// Waits until the composer shows the text, presses Enter behind it, and returns the moment before.
    async fn land_and_enter(&self) -> Result<Result<Before, Outcome>, JournalClosed> {
        let limit = self.landing_limit();
        let (mut wait, mut pace) = (Wait::new(), Pace(1));
        let (mut row, mut landed, mut touched, mut is_quick) = (String::new(), false, false, false);
        let (mut rest, mut menu) = (Rest::default(), false);
        let pasted = Instant::now();
        while wait.since.elapsed() < limit {
            let sight = match self.next_look(&mut wait).await? {
                Ok(sight) => sight,
                Err(outcome) => return Ok(Err(outcome)),
            };
            if let Some(outcome) = misplaced(&sight.reading, false) {
                return Ok(Err(outcome));
            }
            row = excerpt(&sight.look);
            let how = sight.shown(&self.sought, &self.footing);
            let mixed = how.is_none() && matches!(self.shared(&sight), Shared::Mixed(_));
            if how.is_none() && !mixed {
                pace.wait().await;
                continue;
            }
            let is_shown = how.is_some();
            let how = how.map_or("text_and_more", Shown::name);
            if !landed {
                is_quick = pasted.elapsed() < QUICK && matches!(self.delivery.stage, Stage::Fresh(_));
                let seen = json!({ "proof": how, "row": row });
                self.journal.note(Note::new(Receipt::Typed).seen(seen)).await?;
                landed = true;
            }
            // A person pressed a key since the paste: their text stays theirs, and Enter waits for a pause.
            if sight.look.now.session_activity != self.footing.session_activity {
                touched = true;
                match self.shared(&sight) {
                    Shared::Ours if !is_recent(&sight.look.now) => {}
                    Shared::Mixed(extra) if is_quick || !is_recent(&sight.look.now) => {
                        if let Some(outcome) = self.take_back(&sight.look, &extra).await {
                            return Ok(Err(outcome));
                        }
                        Pace(1).wait().await;
                        continue;
                    }
                    Shared::Ours | Shared::Mixed(_) => {
                        wait.once(self.journal, "person_typing", "a person uses the keyboard; Enter waits").await?;
                        wait.since = Instant::now();
                        Pace(4).wait().await;
                        continue;
                    }
                    Shared::Unclear => {
                        pace.wait().await;
                        continue;
                    }
                }
            }
            menu = sight.has_menu() && self.delivery.form.command().is_none();
            let rested = rest.has_lasted(sight.composed(&self.footing)) >= self.rest();
            if !is_shown || menu || !rested {
                pace.wait().await;
                continue;
            }
            match self.enter(&sight.look).await {
                Some(Ok(())) => return Ok(Ok((sight, how))),
                Some(Err(outcome)) => return Ok(Err(outcome)),
                None => Pace(1).wait().await,
            }
        }
        let (reason, detail) = match (landed, touched, menu) {
            (_, _, true) => ("menu", "a menu is open in the composer, and Enter would take its choice"),
            (true, true, _) => ("not_ours", "a person changed the text in the composer, so Enter was not pressed"),
            (true, false, _) => ("unconfirmed", "the composer did not keep the text, so Enter was not pressed"),
            (false, _, _) => ("unconfirmed", "the composer never showed the text, so Enter was not pressed"),
        };
        Ok(Err(Outcome::Unproven(reason, detail.to_owned(), json!({ "row": row }))))
    }

    /// How long the text may take to show: a tool takes in many pastes one by one.
    fn landing_limit(&self) -> Duration {
        let more = u64::try_from(self.delivery.prompt.text().len() / 100_000).unwrap_or_default();
        let pastes = u32::try_from(self.delivery.form.parts()).unwrap_or(u32::MAX);
        // A known tool shows what is typed sooner or later, beside agents that compile.
        let known = self.delivery.view.profile().is_some();
        let landing = if known { self.timings.landing.max(self.timings.taking) } else { self.timings.landing };
        landing + Duration::from_secs(more) + PASTE * pastes.saturating_sub(1)
    }

    /// How long the composer must have shown the text unchanged before Enter.
    fn rest(&self) -> Duration {
        self.delivery.form.before_enter(self.delivery.view.rules())
    }

    /// One Enter, if the pane still looks as it did; `None`: it does not, look again.
    async fn enter(&self, look: &Look) -> Option<Result<(), Outcome>> {
        let still = match self.keys.still().await {
            Ok(still) => still,
            Err(left) => {
                sleep(left).await;
                return None;
            }
        };
        self.announce();
        let entered = self.press_enter(look, self.delivery.id).await;
        drop(still);
        entered
    }

    /// Tells the tracker what is about to be submitted.
    fn announce(&self) {
        if let Some(tracker) = self.delivery.tracker {
            self.announced.get_or_init(|| tracker.note(self.delivery.request.cloned(), self.delivery.prompt.text()));
        }
    }

    async fn press_enter(&self, look: &Look, name: &str) -> Option<Result<(), Outcome>> {
        let id = self.delivery.id;
        if !look.now.last_typed(id) {
            return Some(Err(not_ours(&look.now)));
        }
        let guard = Guard { typed: Some(look.now.typed.clone()), ..self.guard(look) };
        let mark = Mark::entered(name, &look.now.entered);
        let mut pace = Pace(50);
        loop {
            return match self.hand.act(&guard, &[Stroke::Key("Enter")], &mark).await {
                Ok(Acted::Done) => Some(Ok(())),
                Ok(Acted::Held(now)) if now.was_entered(name) => Some(Ok(())),
                Ok(Acted::Held(now)) if !now.last_typed(id) => Some(Err(not_ours(&now))),
                Ok(Acted::Held(_)) => None,
                Err(HandError::NoAnswer(_)) => {
                    pace.wait().await;
                    continue;
                }
                Err(HandError::Gone(why)) => Some(Err(gone(&why))),
                Err(HandError::Failed(why)) => Some(Err(Outcome::Unproven("tmux_unreachable", why, Value::Null))),
            };
        }
    }

    /// Waits for proof that the text was taken. A swallowed Enter is pressed once more. `before` is the moment before
    /// Enter; after a crash nobody knows it.
    async fn leave(&self, before: Option<Sight>, how: &'static str) -> Result<Outcome, JournalClosed> {
        let (mut wait, mut pace, mut enters, mut proven) = (Wait::new(), Pace(1), 1, None);
        let mut entered_at = clock::now().epoch_millis() / 1000;
        loop {
            let sight = match self.next_look(&mut wait).await? {
                Ok(sight) => sight,
                Err(outcome) => return Ok(outcome),
            };
            if let Some(outcome) = misplaced(&sight.reading, true) {
                return Ok(outcome);
            }
            if let Some((proof, certain)) = self.taken(&sight, before.as_ref()) {
                let (_, since) = *proven.get_or_insert_with(|| (proof, Instant::now()));
                if since.elapsed() >= if certain { self.timings.left } else { self.timings.emptied } {
                    let row_before = before.as_ref().map(|sight| excerpt(&sight.look));
                    let seen = json!({ "proof": proof, "landed": how, "enters": enters,
                        "command": self.delivery.form.command(),
                        "row_before": row_before, "row_after": excerpt(&sight.look) });
                    return Ok(Outcome::Submitted(before.map(|sight| Box::new(sight.look)), seen));
                }
                Pace(4).wait().await;
                continue;
            }
            proven = None;
            let (waited, held) = (wait.since.elapsed(), self.is_held(before.as_ref(), &sight));
            // A program that printed since (a line break, say, for which it took the Enter) and left the text where it is
            // has not submitted it. One that is silent may only be slow, and a second Enter would answer whatever it
            // asks next.
            let printed = sight.look.now.window_activity > entered_at;
            let awake = printed || before.as_ref().is_some_and(|before| sight.look.is_repainted(&before.look));
            if held && awake && enters == 1 && !is_recent(&sight.look.now) && waited >= self.timings.swallowed {
                enters += 1;
                if let Some(Err(outcome)) = self.press_enter(&sight.look, &format!("{}.2", self.delivery.id)).await {
                    return Ok(outcome);
                }
                entered_at = clock::now().epoch_millis() / 1000;
                wait = Wait::new();
            } else if waited >= if held && enters > 1 { self.timings.leaving } else { self.timings.taking } {
                let seen = json!({ "row": excerpt(&sight.look), "enters": enters });
                let detail = if held {
                    "Enter was pressed, and the composer still holds the text"
                } else {
                    "Enter was pressed, and nothing shows that the program took the text"
                };
                return Ok(Outcome::Unproven("unconfirmed", detail.to_owned(), seen));
            }
            pace.wait().await;
        }
    }

    /// What proves that the program took the text, and whether that is certain by itself.
    fn taken(&self, sight: &Sight, before: Option<&Sight>) -> Option<(&'static str, bool)> {
        if let (Some(tracker), Some(since)) = (self.delivery.tracker, self.announced.get())
            && tracker.taken(*since, self.delivery.prompt.text()).is_some()
        {
            return Some(("prompt_recorded", true));
        }
        let (proof, certain) = sight.took(&self.sought, before, &self.footing, self.delivery.stashed)?;
        // What a command does is its own business; that it left the composer is all there is to see.
        Some((proof, certain || self.delivery.form.command().is_some()))
    }

    /// Does the composer provably hold our text, as it did before Enter?
    fn is_held(&self, before: Option<&Sight>, now: &Sight) -> bool {
        match before {
            Some(before) => now.holds(before, &self.footing),
            None => now.shown(&self.sought, &self.footing).is_some(),
        }
    }

    /// The pane runs another process, or none.
    fn lost(&self, now: &PaneNow) -> Option<Outcome> {
        let detail = if now.dead {
            "the agent ended after the text was typed".to_owned()
        } else if now.pid != self.delivery.pid {
            format!("another process (pid {}) runs in the pane since the text was typed", now.pid)
        } else {
            return None;
        };
        let entered = now.was_entered(self.delivery.id);
        Some(Outcome::Unproven("agent_ended", detail, json!({ "enter_pressed": entered })))
    }
}

/// How long a composer has held the same text.
#[derive(Default)]
struct Rest {
    last: Option<(String, Instant)>,
}

impl Rest {
    fn has_lasted(&mut self, composed: String) -> Duration {
        match &self.last {
            Some((last, since)) if *last == composed => since.elapsed(),
            _ => {
                self.last = Some((composed, Instant::now()));
                Duration::ZERO
            }
        }
    }
}

/// How long a proof has been waited for, and what kept it.
struct Wait {
    since: Instant,
    held_since: Instant,
    reason: Option<&'static str>,
}

impl Wait {
    fn new() -> Self {
        Self { since: Instant::now(), held_since: Instant::now(), reason: None }
    }

    fn begin_anew(&mut self) {
        (self.since, self.held_since) = (Instant::now(), Instant::now());
    }

    /// Records what the text waits for, once for each reason.
    async fn once(&mut self, journal: &impl Journal, reason: &'static str, detail: &str) -> Result<(), JournalClosed> {
        if self.reason.replace(reason) == Some(reason) {
            return Ok(());
        }
        self.held_since = Instant::now();
        journal.note(Note::new(Receipt::Deferred).because(reason, detail)).await
    }
}

//! The steps of one delivery: intent, text, proof, Enter, proof.
//!
//! A delivery may be dropped at any await, or its process killed on any line: what the journal and the pane's marks
//! say is enough to go on from [`Stage`].

use std::{future::Future, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    keys::Keys,
    person::{QUICK, Seen, is_recent},
    prompt::Prompt,
    proof::{Tail, excerpt, holds, shown, took},
    survey::survey,
};
use crate::{
    model::{Note, Receipt},
    tmux::input::{Acted, Guard, Hand, HandError, Look, Mark, PaneNow, Stroke},
    tracker::Around,
};

/// How long each proof may take.
#[derive(Debug, Clone, Copy)]
pub struct Timings {
    /// From the paste until the pane shows it; a second more for each 100 KB.
    pub landing: Duration,
    /// How long the composer must stay as it is after Enter until Enter counts as swallowed.
    pub swallowed: Duration,
    /// From the last Enter until an unchanged composer counts as not having taken it.
    pub leaving: Duration,
    /// From the last Enter until a changed composer must prove that the text was taken.
    pub taking: Duration,
    /// How long a proof must hold: a repaint may pass through anything.
    pub left: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            landing: Duration::from_secs(3),
            swallowed: Duration::from_secs(1),
            leaving: Duration::from_secs(2),
            taking: Duration::from_secs(10),
            left: Duration::from_millis(15),
        }
    }
}

/// Where a delivery begins.
#[derive(Debug, Clone)]
pub enum Stage {
    /// At the beginning, into the pane as it looked a moment ago.
    Fresh(Box<Look>),
    /// The pane's mark says that the text was typed.
    Typed,
    /// The pane's mark says that Enter was pressed.
    Entered,
}

/// One text on its way.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// The request; letters, digits and `-`.
    pub id: &'a str,
    /// What is typed.
    pub prompt: &'a Prompt,
    /// The process that the pane was started with.
    pub pid: u32,
    /// Where to begin.
    pub stage: Stage,
    /// The agent's program as it was recorded.
    pub tool: &'a str,
}

/// Receipts cannot be put on record any more: nothing more is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal takes nothing more")]
pub struct JournalClosed;

/// Where receipts are put on record, each before the step that follows it.
pub trait Journal: Sync {
    /// Records the intent to type; `false` if the request is not waiting any more.
    fn begin(&self, note: Note) -> impl Future<Output = Result<bool, JournalClosed>> + Send;

    /// Records a receipt.
    fn note(&self, note: Note) -> impl Future<Output = Result<(), JournalClosed>> + Send;
}

/// What became of it.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The text left the composer after Enter. The look is the last one before Enter.
    Submitted(Box<Look>, Value),
    /// Nothing of it stands in the composer, because the pane was not as it had looked, or a person came in between; a
    /// stable word and a sentence.
    Held(&'static str, String),
    /// Nothing was typed: the request was taken back meanwhile.
    Withdrawn,
    /// It was typed, and what became of it cannot be proven: a stable word, a sentence, what was seen.
    Unproven(&'static str, String, Value),
}

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
    let act = Act { hand, keys, delivery, journal, timings, tail: Tail::of(delivery.prompt) };
    let before = match &delivery.stage {
        Stage::Fresh(look) => match act.paste(look).await? {
            Ok(()) => Some(look.as_ref()),
            Err(outcome) => return Ok(outcome),
        },
        Stage::Typed | Stage::Entered => None,
    };
    if matches!(delivery.stage, Stage::Entered) {
        return act.leave(None, "unknown").await;
    }
    match act.land_and_enter(before).await? {
        Ok((look, how)) => act.leave(Some(look), how).await,
        Err(outcome) => Ok(outcome),
    }
}

pub(super) struct Act<'a, J> {
    pub(super) hand: &'a Hand,
    keys: &'a Keys,
    pub(super) delivery: &'a Delivery<'a>,
    journal: &'a J,
    pub(super) timings: Timings,
    pub(super) tail: Tail,
}

/// Pauses between looks: short at first, because most panes answer at once.
pub(super) struct Pace(pub(super) u64);

impl Pace {
    pub(super) async fn wait(&mut self) {
        sleep(Duration::from_millis(self.0)).await;
        self.0 = (self.0 * 2).min(16);
    }
}

impl<J: Journal> Act<'_, J> {
    pub(super) fn guard(&self, look: &Look) -> Guard {
        let now = &look.now;
        Guard {
            pid: self.delivery.pid,
            command: Some(now.command.clone()),
            session_activity: Some(now.session_activity),
            cursor: Some((now.cursor_x, now.cursor_y, now.history)),
            typed: None,
        }
    }

    /// Intent on record, text in a buffer, then the one message that types it.
    async fn paste(&self, look: &Look) -> Result<Result<(), Outcome>, JournalClosed> {
        let id = self.delivery.id;
        let removed = self.delivery.prompt.removed();
        let seen = json!({ "pane": self.hand.pane().to_string(), "pane_pid": self.delivery.pid,
            "row": excerpt(look), "bytes": self.delivery.prompt.text().len(), "control_characters_removed": removed });
        let held = |reason, detail: String| Ok(Err(Outcome::Held(reason, detail)));
        let buffer = match self.hand.load(id, self.delivery.prompt.text().as_bytes().to_vec()).await {
            Ok(buffer) => buffer,
            Err(error) => return held("tmux_unreachable", error.to_string()),
        };
        let begun = self.journal.begin(Note::new(Receipt::Typing).seen(seen)).await;
        if begun != Ok(true) {
            self.hand.unload(&buffer).await;
            return begun.map(|_withdrawn| Err(Outcome::Withdrawn));
        }
        let strokes = [Stroke::Paste { buffer: buffer.clone(), bracketed: true }];
        let (guard, mark) = (self.guard(look), Mark::Typed(id.to_owned()));
        let mut pace = Pace(50);
        loop {
            match self.hand.act(&guard, &strokes, &mark).await {
                Ok(Acted::Done) => return Ok(Ok(())),
                // An earlier message of ours whose answer was lost.
                Ok(Acted::Held(now)) if now.typed == id => return Ok(Ok(())),
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

    /// Waits until the pane shows the text, presses Enter behind it, and returns the last look before Enter.
    async fn land_and_enter(
        &self,
        before: Option<&Look>,
    ) -> Result<Result<((Look, Around), &'static str), Outcome>, JournalClosed> {
        let more = u64::try_from(self.delivery.prompt.text().len() / 100_000).unwrap_or_default();
        let limit = self.timings.landing + Duration::from_secs(more);
        let pasted = Instant::now();
        let (mut deadline, mut pace, mut noted) = (pasted + limit, Pace(1), Noted::default());
        let (mut last, mut echo) = (None, None);
        while Instant::now() < deadline {
            let look = match self.hand.look().await {
                Ok(look) => look,
                Err(HandError::Gone(why)) => return Ok(Err(gone(&why))),
                Err(_) => {
                    // A server that sleeps proves nothing against us.
                    deadline = Instant::now() + limit;
                    Pace(100).wait().await;
                    continue;
                }
            };
            if let Some(outcome) = self.lost(&look.now) {
                return Ok(Err(outcome));
            }
            if let Some((reason, detail)) = unreachable(&look.now) {
                noted.once(self.journal, reason, detail).await?;
                deadline = Instant::now() + limit;
                Pace(16).wait().await;
                continue;
            }
            let seen = self.seen(before, &look);
            if seen != Seen::Nothing {
                echo.get_or_insert_with(|| pasted.elapsed());
            }
            match seen {
                Seen::Nothing => pace.wait().await,
                Seen::Ours(_) if is_recent(&look.now) => {
                    let detail = "the text is typed; Enter waits until the person at the keyboard rests";
                    noted.once(self.journal, "person_typing", detail).await?;
                    deadline = Instant::now() + limit;
                    Pace(16).wait().await;
                }
                Seen::Ours(how) => {
                    let (around, _) = survey(&look, self.delivery.tool);
                    noted.typed(self.journal, &look, how.name()).await?;
                    if let Some(entered) = self.enter(&look).await? {
                        return Ok(entered.map(|()| ((look, around), how.name())));
                    }
                    Pace(1).wait().await;
                }
                Seen::Mixed(extra) => {
                    let is_quick = before.is_some() && echo.is_some_and(|echo| echo < QUICK);
                    if (is_quick || !is_recent(&look.now))
                        && let Some(outcome) = self.take_back(&look, &extra).await
                    {
                        return Ok(Err(outcome));
                    }
                    deadline = Instant::now() + limit;
                    Pace(1).wait().await;
                }
            }
            last = Some(look);
        }
        let row = last.as_ref().map(excerpt).unwrap_or_default();
        let (reason, detail) = if noted.landed {
            ("not_ours", "something else was typed behind the text, so Enter was not pressed")
        } else {
            ("unconfirmed", "the pane never showed the text, so Enter was not pressed")
        };
        Ok(Err(Outcome::Unproven(reason, detail.to_owned(), json!({ "row": row }))))
    }

    /// One Enter, if the pane still looks as it did; `None`: it does not, look again.
    async fn enter(&self, look: &Look) -> Result<Option<Result<(), Outcome>>, JournalClosed> {
        let still = match self.keys.still().await {
            Ok(still) => still,
            Err(left) => {
                sleep(left).await;
                return Ok(None);
            }
        };
        let entered = self.press_enter(look, Mark::Entered(self.delivery.id.to_owned())).await;
        drop(still);
        Ok(entered)
    }

    async fn press_enter(&self, look: &Look, mark: Mark) -> Option<Result<(), Outcome>> {
        let guard = Guard { typed: Some(self.delivery.id.to_owned()), ..self.guard(look) };
        let mut pace = Pace(50);
        loop {
            return match self.hand.act(&guard, &[Stroke::Key("Enter")], &mark).await {
                Ok(Acted::Done) => Some(Ok(())),
                Ok(Acted::Held(now)) if mark == Mark::Entered(now.entered.clone()) => Some(Ok(())),
                Ok(Acted::Held(now)) if now.typed != self.delivery.id => Some(Err(not_ours(&now))),
                Ok(Acted::Held(_)) | Err(HandError::Failed(_)) => None,
                Err(HandError::NoAnswer(_)) => {
                    pace.wait().await;
                    continue;
                }
                Err(HandError::Gone(why)) => Some(Err(gone(&why))),
            };
        }
    }

    /// Waits for proof that the text was taken. A swallowed Enter is pressed once more. `before` is the moment before
    /// Enter; after a crash nobody knows it.
    async fn leave(&self, before: Option<(Look, Around)>, how: &'static str) -> Result<Outcome, JournalClosed> {
        let mut entered_at = Instant::now();
        let (mut pace, mut enters, mut proven, mut noted) = (Pace(1), 1, None, Noted::default());
        loop {
            let look = match self.hand.look().await {
                Ok(look) => look,
                Err(HandError::Gone(why)) => return Ok(gone(&why)),
                Err(_) => {
                    entered_at = Instant::now();
                    Pace(100).wait().await;
                    continue;
                }
            };
            if let Some(outcome) = self.lost(&look.now) {
                return Ok(outcome);
            }
            if let Some((reason, detail)) = unreachable(&look.now) {
                noted.once(self.journal, reason, detail).await?;
                entered_at = Instant::now();
                Pace(16).wait().await;
                continue;
            }
            let (around, _) = survey(&look, self.delivery.tool);
            if let Some(proof) = took(&self.tail, before.as_ref(), &look, &around) {
                let (_, since) = *proven.get_or_insert_with(|| (proof, Instant::now()));
                if since.elapsed() >= self.timings.left {
                    let row_before = before.as_ref().map(|(look, _)| excerpt(look));
                    let seen = json!({ "proof": proof, "landed": how, "enters": enters,
                        "row_before": row_before, "row_after": excerpt(&look) });
                    let look = before.map_or(look, |(before, _)| before);
                    return Ok(Outcome::Submitted(Box::new(look), seen));
                }
                Pace(4).wait().await;
                continue;
            }
            proven = None;
            let (waited, held) = (entered_at.elapsed(), self.is_held(before.as_ref(), &look));
            if held && enters == 1 && waited >= self.timings.swallowed && !is_recent(&look.now) {
                enters += 1;
                let again = Mark::Entered(format!("{}.2", self.delivery.id));
                if let Some(Err(outcome)) = self.press_enter(&look, again).await {
                    return Ok(outcome);
                }
                entered_at = Instant::now();
            } else if waited >= if held { self.timings.leaving } else { self.timings.taking } {
                let seen = json!({ "row": excerpt(&look), "enters": enters });
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

    /// Does the composer provably hold our text, as it did before Enter?
    fn is_held(&self, before: Option<&(Look, Around)>, now: &Look) -> bool {
        match before {
            Some((look, _)) => holds(look, now),
            None => shown(&self.tail, None, now).is_some(),
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
        let entered = now.entered == self.delivery.id;
        Some(Outcome::Unproven("agent_ended", detail, json!({ "enter_pressed": entered })))
    }
}

/// Receipts that are recorded once each.
#[derive(Default)]
struct Noted {
    landed: bool,
    reason: Option<&'static str>,
}

impl Noted {
    async fn once(&mut self, journal: &impl Journal, reason: &'static str, detail: &str) -> Result<(), JournalClosed> {
        if self.reason.replace(reason) == Some(reason) {
            return Ok(());
        }
        journal.note(Note::new(Receipt::Deferred).because(reason, detail)).await
    }

    /// Records that the text landed.
    async fn typed(&mut self, journal: &impl Journal, look: &Look, how: &str) -> Result<(), JournalClosed> {
        if !self.landed {
            journal.note(Note::new(Receipt::Typed).seen(json!({ "proof": how, "row": excerpt(look) }))).await?;
            self.landed = true;
        }
        Ok(())
    }
}

/// Keys would not reach the program now.
fn unreachable(now: &PaneNow) -> Option<(&'static str, &'static str)> {
    if now.in_mode {
        return Some(("copy_mode", "the text is typed; Enter waits until the pane leaves its copy mode"));
    }
    if now.input_off {
        return Some(("input_off", "the text is typed; Enter waits until the pane's input is on"));
    }
    now.synchronized.then_some(("synchronized", "the text is typed; Enter waits until the panes are not synchronized"))
}

/// What the guard saw that the look before had not.
fn changed(look: &Look, now: &PaneNow, owner: &str) -> (&'static str, String) {
    let was = &look.now;
    let (reason, detail) = if now.dead || now.pid != was.pid {
        ("target_changed", "another process runs in the pane, or none")
    } else if let Some((reason, _)) = unreachable(now) {
        (reason, "the pane stopped taking keys in the last moment")
    } else if now.hand != owner {
        ("other_hand", "another program of this kind types into the pane")
    } else if now.session_activity != was.session_activity {
        ("person_typing", "a person pressed a key in the last moment")
    } else if now.command != was.command {
        ("agent_not_running", "another program came to the foreground in the last moment")
    } else {
        ("busy", "the cursor moved in the last moment")
    };
    (reason, detail.to_owned())
}

pub(super) fn gone(why: &str) -> Outcome {
    Outcome::Unproven("server_lost", format!("the pane or its tmux server is gone: {why}"), Value::Null)
}

fn not_ours(now: &PaneNow) -> Outcome {
    let detail = format!("another text (`{}`) was typed behind it", now.typed);
    Outcome::Unproven("not_ours", detail, Value::Null)
}

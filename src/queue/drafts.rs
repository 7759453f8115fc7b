//! Somebody's draft where a prompt is to be typed: waited for, a reason to refuse, or put aside by the tool itself.
//!
//! A draft is put aside only where the profile says how, and the tool's own sign on the screen shows that it did. What is
//! aside is on record from before the key is pressed until it is seen back, so that no death of a gateway loses it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    AgentNow,
    run::closed,
    worker::{Next, Worker},
};
use crate::{
    agents::{ComposerReading, Fit},
    api::OnDraft,
    delivery::{Form, JournalClosed, PERSON_PAUSE, Prompt, Sight, holds_exactly, same_text},
    model::RequestId,
    os::clock,
    store::QueuedRow,
    tmux::input::{Acted, Guard, Hand, HandError, Mark, Stroke},
    tracker::Pending,
};

/// How long the tool may take to show that it put a draft aside, or brought it back.
const SHOWN: Duration = Duration::from_secs(3);

/// How long a draft that is aside without need is looked after.
const LOOKED_AFTER: Duration = Duration::from_secs(30);

/// A draft that a tool keeps, as it is on record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    request: RequestId,
    /// As the composer showed it.
    pub(super) draft: String,
    /// The process that the pane was started with.
    pid: u32,
    /// What the pane remembered of texts before the key.
    before: String,
}

/// What this worker knows of drafts.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    pub(super) kept: Option<Kept>,
    /// The request whose draft did not go aside: it waits.
    given_up: Option<RequestId>,
    /// Since when the draft is aside although its request is over.
    overdue: Option<Instant>,
    /// Since when neither the draft nor the tool's sign of it is on the screen.
    unseen: Option<Instant>,
}

/// Why a draft is not put aside.
enum Not {
    /// It passes: a stable word and a sentence.
    Now(&'static str, &'static str),
    /// It does not.
    Ever(String),
}

impl Worker {
    /// What is to be done for the first row, which a draft keeps from being typed.
    pub(super) async fn meet_draft(
        &mut self,
        head: &QueuedRow,
        prompt: &Prompt,
        hand: &Hand,
        (sight, quiet): (&Sight, Duration),
        detail: String,
    ) -> Result<Next, JournalClosed> {
        // What a tool gives back, or cannot be read yet, is no person's.
        let is_ours = self.submitted.as_ref().and_then(|(_, text)| Prompt::clean(text).ok());
        let is_ours = is_ours.is_some_and(|prompt| holds_exactly(&prompt, sight));
        let is_draft = sight.reading.pending == Pending::Yes && !is_ours;
        match head.on_draft {
            OnDraft::Refuse if is_draft => {
                self.queue.refuse(&head.id, "draft", &detail).await?;
                Ok(Next::Again)
            }
            OnDraft::Stash if is_draft => match self.may_stash(head, prompt, sight, quiet) {
                Ok((key, draft)) => self.stash(head, hand, sight, key, draft).await,
                Err(Not::Now(reason, detail)) => {
                    self.defer(&head.id, reason, detail.to_owned()).await;
                    Ok(self.blocked())
                }
                Err(Not::Ever(why)) => {
                    self.defer(&head.id, "draft", format!("{detail}; it is not put aside: {why}")).await;
                    Ok(self.blocked())
                }
            },
            OnDraft::Wait | OnDraft::Refuse | OnDraft::Stash => {
                self.defer(&head.id, "draft", detail).await;
                Ok(self.blocked())
            }
        }
    }

    /// The key that puts the draft aside, and the draft.
    fn may_stash(
        &self,
        head: &QueuedRow,
        prompt: &Prompt,
        sight: &Sight,
        quiet: Duration,
    ) -> Result<(&'static str, String), Not> {
        let never = |why: &str| Err(Not::Ever(why.to_owned()));
        let view = self.queue.inner.place.view();
        let Some(key) = view.rules().stash else {
            return Err(Not::Ever(format!("no way is proven to bring it back in `{}`", view.tool())));
        };
        if view.profile().is_none_or(|profile| profile.fit != Fit::Exact) {
            return never("the version that runs is not one that this was measured with");
        }
        let Some(ComposerReading::Draft(draft)) = sight.reading.screen.as_ref().map(|screen| &screen.composer) else {
            return never("it cannot be read");
        };
        if self.drafts.kept.is_some() || sight.reading.screen.as_ref().is_some_and(|screen| screen.stashed) {
            return never("the tool keeps a draft already, and has place for one");
        }
        if self.drafts.given_up.as_ref() == Some(&head.id) {
            return never("the tool did not show that it kept it");
        }
        if Form::of(prompt, view.rules()).is_ok_and(|form| form.command().is_some()) {
            return never("the prompt is a command of the tool, which may not bring it back");
        }
        let seconds = clock::now().epoch_millis() / 1000;
        if sight.look.now.person_activity.is_some_and(|at| seconds - at < PERSON_PAUSE) {
            return Err(Not::Now("person_typing", "a person used the keyboard a moment ago"));
        }
        if quiet < Duration::from_millis(40) && seconds - sight.look.now.window_activity < 2 {
            return Err(Not::Now("settling", "the pane changed a moment ago"));
        }
        Ok((key, draft.clone()))
    }

    /// Has the tool put the draft aside; only its own sign on an empty composer proves that.
    async fn stash(
        &mut self,
        head: &QueuedRow,
        hand: &Hand,
        sight: &Sight,
        key: &'static str,
        draft: String,
    ) -> Result<Next, JournalClosed> {
        let _slot = match self.queue.slot() {
            Ok(slot) => slot,
            Err((reason, detail)) => {
                self.defer(&head.id, reason, detail).await;
                return Ok(self.blocked());
            }
        };
        if let Err(error) = hand.take().await {
            self.defer(&head.id, "tmux_unreachable", error.to_string()).await;
            return Ok(self.blocked());
        }
        let now = &sight.look.now;
        let kept = Kept { request: head.id.clone(), draft, pid: now.pid, before: now.typed.clone() };
        let store = self.queue.inner.store.clone();
        store.keep_draft(&head.id, json!(kept), clock::now()).await.map_err(|error| closed(&error))?;
        self.drafts = Drafts { kept: Some(kept), ..Drafts::default() };
        if !press(hand, sight, key, &format!("{}-stash", head.id)).await {
            // The next look says what became of it.
            return Ok(self.later());
        }
        let begun = Instant::now();
        while begun.elapsed() < SHOWN {
            if let Ok(look) = hand.look().await {
                let sight = Sight::glance(look, &self.queue.inner.place.view());
                if sight.is_empty() && is_stashed(&sight) {
                    let data = json!({ "key": key });
                    let recorded = store.record(Some(&head.id), "draft_stashed", data, clock::now()).await;
                    recorded.map_err(|error| closed(&error))?;
                    tracing::info!(request_id = %head.id, "the tool put a draft aside for a prompt");
                    return Ok(Next::Again);
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
        self.drafts.given_up = Some(head.id.clone());
        Ok(self.blocked())
    }

    /// Looks what became of the draft that is aside, and brings it back when its request is over and the tool did not.
    pub(super) async fn look_after_draft(
        &mut self,
        hand: &Hand,
        agent: &AgentNow,
        sight: &Sight,
        rows: &[QueuedRow],
    ) -> Result<(), JournalClosed> {
        let Some(kept) = self.drafts.kept.clone() else { return Ok(()) };
        if agent.process.as_ref().is_none_or(|process| process.process.pid != kept.pid) {
            let why = "the agent's process ended while its tool kept the draft";
            return self.draft_is("draft_lost", json!({ "detail": why })).await.map(drop);
        }
        if sight.look.now.typed == kept.before {
            let why = "the key that puts it aside was never pressed";
            return self.draft_is("draft_kept", json!({ "detail": why })).await.map(drop);
        }
        let waits =
            rows.iter().any(|row| row.id == kept.request) && self.drafts.given_up.as_ref() != Some(&kept.request);
        let composer = sight.reading.screen.as_ref().map(|screen| &screen.composer);
        match (composer, is_stashed(sight)) {
            (Some(ComposerReading::Draft(text)), false) => {
                let same = same_text(text, &kept.draft);
                return self.draft_is("draft_restored", json!({ "same": same })).await.map(drop);
            }
            (Some(ComposerReading::Empty), true) if !waits => self.bring_back(hand, sight, &kept).await,
            (Some(ComposerReading::Empty), false) => {
                if self.drafts.unseen.get_or_insert_with(Instant::now).elapsed() >= SHOWN {
                    let why = "neither the draft nor the tool's sign that it keeps one is on the screen";
                    return self.draft_is("draft_lost", json!({ "detail": why })).await.map(drop);
                }
                return Ok(());
            }
            _ => {}
        }
        self.drafts.unseen = None;
        if waits {
            self.drafts.overdue = None;
        } else if self.drafts.overdue.get_or_insert_with(Instant::now).elapsed() >= LOOKED_AFTER {
            let why = "the tool still keeps it; the key that put it aside brings it back in an empty composer";
            return self.draft_is("draft_left", json!({ "detail": why })).await.map(drop);
        }
        Ok(())
    }

    /// Presses the key that brings the draft back, once, and never beside a person.
    async fn bring_back(&self, hand: &Hand, sight: &Sight, kept: &Kept) {
        let Some(key) = self.queue.inner.place.view().rules().stash else { return };
        let name = format!("{}-unstash", kept.request);
        let seconds = clock::now().epoch_millis() / 1000;
        let person = sight.look.now.person_activity.is_some_and(|at| seconds - at < PERSON_PAUSE);
        if person || sight.look.now.last_typed(&name) || sight.reading.against.as_ref().is_some_and(|why| why.hard) {
            return;
        }
        let Ok(_slot) = self.queue.slot() else { return };
        if hand.take().await.is_ok() {
            press(hand, sight, key, &name).await;
        }
    }

    /// Puts on record what became of the draft. What is not in the composer again is shown with its text.
    async fn draft_is(&mut self, kind: &'static str, mut data: Value) -> Result<Next, JournalClosed> {
        let Some(kept) = self.drafts.kept.clone() else { return Ok(self.later()) };
        if matches!(kind, "draft_lost" | "draft_left") || data["same"] == false {
            tracing::warn!(request_id = %kept.request, draft = kept.draft, detail = %data["detail"], kind,
                "a draft that was put aside for a prompt is not back in the composer");
            data["draft"] = json!(kept.draft);
        }
        let done = self.queue.inner.store.let_draft_go(&kept.request, kind, data, clock::now()).await;
        done.map_err(|error| closed(&error))?;
        let given_up = self.drafts.given_up.take();
        self.drafts = Drafts { given_up, ..Drafts::default() };
        Ok(self.later())
    }

    /// The draft that is aside.
    pub(super) fn stashed(&self) -> Option<String> {
        self.drafts.kept.as_ref().map(|kept| kept.draft.clone())
    }

    /// Takes up what the last gateway knew of a draft.
    pub(super) async fn remember_draft(&mut self) -> Result<(), JournalClosed> {
        let kept = self.queue.inner.store.kept_draft().await.map_err(|error| closed(&error))?;
        self.drafts.kept = kept.and_then(|kept| serde_json::from_value(kept).ok());
        Ok(())
    }
}

fn is_stashed(sight: &Sight) -> bool {
    sight.reading.screen.as_ref().is_some_and(|screen| screen.stashed)
}

/// Presses a key into the pane as it looked, once; `false`: it was not pressed, or nobody can tell.
async fn press(hand: &Hand, sight: &Sight, key: &'static str, name: &str) -> bool {
    let now = &sight.look.now;
    let guard = Guard::as_seen(now);
    let mark = Mark::typed(name, &now.typed);
    loop {
        return match hand.act(&guard, &[Stroke::Key(key)], &mark).await {
            Ok(Acted::Done) => true,
            Ok(Acted::Held(now)) => now.last_typed(name),
            // The mark keeps a second message from pressing again.
            Err(HandError::NoAnswer(_)) => {
                sleep(Duration::from_millis(50)).await;
                continue;
            }
            Err(HandError::Gone(_) | HandError::Failed(_)) => false,
        };
    }
}

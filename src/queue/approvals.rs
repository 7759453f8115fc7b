//! Answers to dialogs of the agent, in the same slot as everything else that is typed.
//!
//! An answer is bound to the dialog that somebody saw: it is looked at again right before a key is pressed, and one that
//! changed is not answered. That it is gone is the proof.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    Key, Queue, Refusal,
    direct::{Job, failed, pid_of},
    worker::Worker,
};
use crate::{
    agents::{Choice, Dialog},
    api::{Approval, ApprovalAnswered, ApprovalChoice, ApprovalOption, Approvals},
    delivery::Sight,
    model::{Note, Receipt, RequestId, RequestKind, RequestState, Route},
    os::clock,
    tmux::input::{Acted, Guard, Hand, HandError, Mark, Stroke},
    tracker::Phase,
};

/// Some tools throw away what is pressed right after a dialog came.
const AFTER_DIALOG: Duration = Duration::from_millis(300);

/// How long a dialog may stay after its answer.
const GONE: Duration = Duration::from_secs(5);

/// A key that only points at the answer has done so by then, and Enter takes it.
const POINTED: Duration = Duration::from_millis(400);

/// An answer on its way to the worker.
#[derive(Debug)]
pub(super) struct DirectAnswer {
    id: String,
    choice: ApprovalChoice,
    key: Option<Key>,
    pub(super) epoch: u64,
}

impl Queue {
    /// The dialogs that are open now.
    ///
    /// # Errors
    /// [`Refusal`] when the pane cannot be looked at.
    pub async fn approvals(&self) -> Result<Approvals, Refusal> {
        let look = self.hand().look().await.map_err(|error| failed(&error))?;
        let sight = Sight::survey(look, &self.inner.place.view());
        let open = sight.dialog().map(|dialog| self.approval(dialog));
        Ok(Approvals { approvals: open.into_iter().collect() })
    }

    fn approval(&self, dialog: &Dialog) -> Approval {
        let (id, state) = (dialog.fingerprint(), self.inner.place.tracker.now_state());
        let known = state.phase == Phase::Blocked && state.dialog.as_ref().is_some_and(|seen| seen.fingerprint() == id);
        let since = if known { state.phase_since.wall } else { clock::now() };
        Approval {
            id,
            kind: dialog.kind.name().to_owned(),
            title: dialog.title.clone(),
            text: dialog.text.clone(),
            options: dialog.choices.iter().map(option).collect(),
            since_utc: since.iso_millis(),
        }
    }

    /// Answers a dialog.
    ///
    /// # Errors
    /// 404 `no_dialog`, 409 `dialog_changed`, 409 `ambiguous_answer`, 422 `unknown_option`, 422 `dispatch_failed`.
    pub async fn answer_approval(
        &self,
        id: String,
        choice: ApprovalChoice,
        key: Option<Key>,
    ) -> Result<ApprovalAnswered, Refusal> {
        self.check_open()?;
        let epoch = self.inner.agent.borrow().epoch;
        self.ask(|answer| Job::Answer(DirectAnswer { id, choice, key, epoch }, answer)).await
    }
}

fn option(choice: &Choice) -> ApprovalOption {
    ApprovalOption { number: choice.number, label: choice.label.clone(), selected: choice.selected }
}

/// The answer that is meant.
fn chosen(dialog: &Dialog, choice: ApprovalChoice) -> Result<&Choice, Refusal> {
    let begins = |one: &Choice, words: &[&str]| {
        let label = one.label.to_lowercase();
        let first = label.split(|c: char| !c.is_alphanumeric()).find(|word| !word.is_empty()).unwrap_or_default();
        words.contains(&first)
    };
    // Yes to this, not to everything that may come.
    let more = |one: &Choice| {
        let label = one.label.to_lowercase();
        ["don't ask", "always", "all ", "session", "every", "auto-accept", "auto mode"]
            .iter()
            .any(|word| label.contains(word))
    };
    let fits = |one: &&Choice| match choice {
        ApprovalChoice::Option(number) => one.number == number,
        ApprovalChoice::Accept => begins(one, &["yes", "allow", "approve", "trust", "accept"]) && !more(one),
        ApprovalChoice::Reject => begins(one, &["no", "deny", "reject", "cancel"]),
    };
    let mut fitting = dialog.choices.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        _ => {
            let numbers: Vec<String> =
                dialog.choices.iter().map(|one| format!("{} ({})", one.number, one.label)).collect();
            let offers = if numbers.is_empty() { "none by number".to_owned() } else { numbers.join(", ") };
            let detail = format!("the dialog offers {offers}");
            Err(match choice {
                ApprovalChoice::Option(number) => {
                    Refusal::new(422, "unknown_option", format!("there is no answer {number}; {detail}"))
                }
                _ => Refusal::new(409, "ambiguous_answer", format!("name the answer by its number; {detail}")),
            })
        }
    }
}

/// Keys that take an answer by themselves, by tmux's names.
const KEYS: [&str; 40] = [
    "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n",
    "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z", "Escape", "Enter", "Tab", "Up", "Down",
];

/// What is pressed for an answer: its own key, or the way to it and Enter.
fn strokes(dialog: &Dialog, choice: &Choice) -> Vec<Stroke> {
    let own = choice.key.as_deref().and_then(|key| KEYS.iter().find(|known| **known == key));
    if let Some(key) = own {
        return vec![Stroke::Key(key)];
    }
    let place = |fits: &dyn Fn(&Choice) -> bool| dialog.choices.iter().position(fits);
    let (from, to) =
        (place(&|one| one.selected).unwrap_or_default(), place(&|one| one.number == choice.number).unwrap_or_default());
    let mut strokes = Vec::new();
    if from != to {
        let key = if to > from { "Down" } else { "Up" };
        strokes.push(Stroke::Repeated(key, to.abs_diff(from)));
    }
    strokes.push(Stroke::Key("Enter"));
    strokes
}

impl Worker {
    pub(super) async fn answer(&mut self, direct: &DirectAnswer) -> Result<ApprovalAnswered, Refusal> {
        let (queue, agent) = (self.queue.clone(), self.queue.agent());
        let hand = queue.hand();
        let (sight, dialog) = queue.still_open(&hand, &direct.id).await?;
        let choice = chosen(&dialog, direct.choice)?.clone();
        if let Some(why) = sight.reading.against.as_ref().filter(|why| why.hard && why.reason != "dialog") {
            return Err(Refusal::new(422, "dispatch_failed", format!("{}: {}", why.reason, why.detail)));
        }
        let slot = queue.slot().map_err(|(_, detail)| Refusal::new(409, "not_ready", detail).again_in(1))?;
        hand.take().await.map_err(|error| failed(&error))?;
        let payload = json!({ "approval": direct.id, "kind": dialog.kind.name(), "title": dialog.title,
            "option": choice.number, "label": choice.label });
        let id = queue.register(RequestKind::SendKeys, Route::SendKeys, &payload, direct.key.as_ref()).await?;
        let store = &queue.inner.store;
        if !store.begin(&id, clock::now(), vec![Note::new(Receipt::Typing).seen(payload)]).await? {
            return Err(Refusal::new(422, "dispatch_failed", "withdrawn: the request was taken back"));
        }
        let done = queue.press_answer(&hand, &id, pid_of(&agent), direct, &choice).await;
        drop(slot);
        let (state, error, note) = match &done {
            Ok(keys) => {
                let seen = json!({ "proof": "dialog_gone", "approval": direct.id, "keys": keys });
                (RequestState::Completed, None, Note::new(Receipt::Submitted).seen(seen))
            }
            Err((receipt, refusal)) => {
                let note = Note::new(*receipt).because(&refusal.code, refusal.detail.clone());
                (RequestState::Failed, Some(format!("{receipt} ({}): {}", refusal.code, refusal.detail)), note)
            }
        };
        store.finish(&id, state, error, None, vec![note], clock::now()).await?;
        done.map_err(|(_, refusal)| refusal)?;
        let data = json!({ "approval": direct.id, "dialog_kind": dialog.kind.name(), "title": dialog.title,
            "option": choice.number, "label": choice.label, "request": id.as_str(),
            "answered_at_utc": clock::now().iso_seconds() });
        queue.record("approval_answered", data).await;
        Ok(ApprovalAnswered::new(&direct.id, option(&choice), id.as_str()))
    }
}

impl Queue {
    /// A look at the dialog with this id, or why it is not there any more.
    async fn still_open(&self, hand: &Hand, id: &str) -> Result<(Sight, Dialog), Refusal> {
        let look = hand.look().await.map_err(|error| failed(&error))?;
        let sight = Sight::survey(look, &self.inner.place.view());
        match sight.dialog().cloned() {
            None => Err(Refusal::new(404, "no_dialog", "no dialog waits for an answer")),
            Some(dialog) if dialog.fingerprint() == id => Ok((sight, dialog)),
            Some(dialog) => {
                let now = dialog.fingerprint();
                let detail = format!("another dialog is open now ({now}: {}); nothing was pressed", dialog.title);
                Err(Refusal::new(409, "dialog_changed", detail))
            }
        }
    }

    /// Presses what takes the answer, and waits until the dialog is gone. Returns the keys.
    async fn press_answer(
        &self,
        hand: &Hand,
        id: &RequestId,
        pid: u32,
        direct: &DirectAnswer,
        choice: &Choice,
    ) -> Result<Vec<String>, (Receipt, Refusal)> {
        let refused = |refusal: Refusal| (Receipt::Refused, refusal);
        let unclear = |code, detail: &str| (Receipt::Indeterminate, Refusal::new(422, code, detail));
        let tracker = &self.inner.place.tracker;
        let shown = tracker.now().since.saturating_sub(tracker.now_state().phase_since.since);
        sleep(AFTER_DIALOG.saturating_sub(shown)).await;
        let begun = Instant::now();
        let (mut keys, mut pressed_at) = (Vec::new(), None::<Instant>);
        loop {
            let (sight, dialog) = match self.still_open(hand, &direct.id).await {
                Ok(open) => open,
                // Gone, or followed by another one at once.
                Err(_) if pressed_at.is_some() => return Ok(keys),
                Err(refusal) => return Err(refused(refusal)),
            };
            let points = dialog.choices.iter().any(|one| one.selected && one.number == choice.number);
            let strokes = match pressed_at {
                None => strokes(&dialog, choice),
                Some(at) if points && keys.len() == 1 && at.elapsed() >= POINTED => vec![Stroke::Key("Enter")],
                Some(_) => Vec::new(),
            };
            if !strokes.is_empty() {
                let now = &sight.look.now;
                let guard = Guard { pid, typed: None, ..Guard::as_seen(now) };
                let mark = Mark::typed(&format!("{id}-{}", keys.len()), &now.typed);
                match hand.act(&guard, &strokes, &mark).await {
                    Ok(Acted::Done) => {
                        keys.push(format!("{strokes:?}"));
                        pressed_at = Some(Instant::now());
                    }
                    Ok(Acted::Held(now)) if now.typed == mark.after() => pressed_at = Some(Instant::now()),
                    Ok(Acted::Held(_)) => {}
                    Err(HandError::Failed(why)) if pressed_at.is_none() => {
                        return Err(refused(Refusal::new(422, "dispatch_failed", why)));
                    }
                    Err(error) => return Err(unclear("unconfirmed", &error.to_string())),
                }
            }
            if begun.elapsed() >= GONE {
                return Err(match pressed_at {
                    Some(_) => unclear("unconfirmed", "the answer was pressed, and the dialog is still open"),
                    None => refused(Refusal::new(409, "not_ready", "the screen did not come to rest").again_in(1)),
                });
            }
            sleep(Duration::from_millis(15)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::DialogKind;

    fn dialog(labels: &[&str]) -> Dialog {
        let choice = |(at, label): (usize, &&str)| Choice {
            number: u32::try_from(at).unwrap() + 1,
            label: (*label).to_owned(),
            selected: at == 1,
            key: None,
        };
        let choices = labels.iter().enumerate().map(choice).collect();
        Dialog { kind: DialogKind::Permission, title: "May it?".into(), text: "May it?".into(), choices }
    }

    #[test]
    fn yes_means_this_and_nothing_more() {
        let labels = ["Yes", "Yes, and don't ask again for mkdir", "No, and tell Claude what to do differently"];
        let open = dialog(&labels);
        let number = |choice| chosen(&open, choice).map(|one| one.number).map_err(|refusal| refusal.code);
        assert_eq!(number(ApprovalChoice::Accept), Ok(1));
        assert_eq!(number(ApprovalChoice::Reject), Ok(3));
        assert_eq!(number(ApprovalChoice::Option(2)), Ok(2));
        assert_eq!(number(ApprovalChoice::Option(4)).unwrap_err(), "unknown_option");
        let two = dialog(&["Yes", "Yes, please", "Maybe"]);
        assert_eq!(chosen(&two, ApprovalChoice::Accept).unwrap_err().code, "ambiguous_answer");
        assert_eq!(chosen(&two, ApprovalChoice::Reject).unwrap_err().code, "ambiguous_answer");
    }

    #[test]
    fn an_answer_without_a_key_is_walked_to() {
        let open = dialog(&["Yes", "Always", "No"]);
        let pressed = |at: usize| strokes(&open, &open.choices[at]);
        assert_eq!(pressed(0), [Stroke::Repeated("Up", 1), Stroke::Key("Enter")]);
        assert_eq!(pressed(1), [Stroke::Key("Enter")]);
        let mut with_key = open.choices[2].clone();
        with_key.key = Some("n".into());
        assert_eq!(strokes(&open, &with_key), [Stroke::Key("n")]);
    }
}

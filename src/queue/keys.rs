//! Raw keys, in the same slot as everything else that is typed.

use serde_json::json;
use tokio::time::sleep;

use super::{
    Refusal,
    direct::{DirectKeys, failed, pid_of},
    worker::Worker,
};
use crate::{
    api::{ControlInputSent, KeyPress, SpecialKey},
    delivery::{AFTER_ESCAPE, Sight},
    model::{Note, Receipt, RequestId, RequestKind, RequestState, Route},
    os::clock,
    tmux::input::{Acted, Guard, Hand, HandError, Mark, Stroke},
};

/// Why keys did not arrive: the receipt, a stable word, a sentence.
type NotTyped = (Receipt, &'static str, String);

impl Worker {
    /// Types a sequence, at once or not at all.
    pub(super) async fn direct_keys(&mut self, direct: &DirectKeys) -> Result<ControlInputSent, Refusal> {
        let (queue, agent) = (self.queue.clone(), self.queue.agent());
        let hand = queue.hand();
        let look = hand.look().await.map_err(|error| failed(&error))?;
        let reading = Sight::survey(look, &queue.inner.place.view()).reading;
        // Keys may answer a dialog or wake a program, so readiness does not count; that they arrive does.
        if let Some(why) =
            reading.against.filter(|why| why.hard && !matches!(why.reason, "dialog" | "menu" | "starting" | "busy"))
        {
            return Err(Refusal::new(422, "dispatch_failed", format!("{}: {}", why.reason, why.detail)));
        }
        let slot = queue.slot().map_err(|(_, detail)| Refusal::new(409, "not_ready", detail).again_in(1))?;
        let payload = json!({ "sequence": direct.sequence, "escape_special_keys": direct.escaped });
        let id = queue.register(RequestKind::SendKeys, Route::SendKeys, &payload, direct.key.as_ref()).await?;
        let store = &queue.inner.store;
        if !store.begin(&id, clock::now(), vec![Note::new(Receipt::Typing)]).await? {
            return Err(Refusal::new(422, "dispatch_failed", "withdrawn: the request was taken back"));
        }
        let typed = type_keys(&hand, &id, pid_of(&agent), &direct.keys).await;
        drop(slot);
        let now = clock::now();
        let (state, error, note) = match &typed {
            Ok(()) => (RequestState::Completed, None, Note::new(Receipt::Submitted)),
            Err((receipt, reason, detail)) => {
                let note = Note::new(*receipt).because(reason, detail.clone());
                (RequestState::Failed, Some(format!("{receipt} ({reason}): {detail}")), note)
            }
        };
        store.finish(&id, state, error, None, vec![note], now).await?;
        let answer = match typed {
            Ok(()) => {
                let preview: String = direct.sequence.chars().take(120).collect();
                let data = json!({ "escape_special_keys": direct.escaped, "sequence_preview": preview,
                    "submitted_at_utc": now.iso_seconds() });
                queue.record("control_input", data).await;
                Ok(ControlInputSent::new(format!("the keys were typed as request {id}")))
            }
            Err((_, reason, detail)) => Err(Refusal::new(422, "dispatch_failed", format!("{reason}: {detail}"))),
        };
        queue.keep_answer(&id, &answer).await;
        answer
    }
}

/// Types a sequence: one message for all of it, cut only behind an Escape.
async fn type_keys(hand: &Hand, id: &RequestId, pid: u32, keys: &[KeyPress]) -> Result<(), NotTyped> {
    hand.take().await.map_err(not_typed)?;
    let mut remembered = hand.look().await.map_err(not_typed)?.now.typed;
    let parts = keys.split_inclusive(|key| *key == KeyPress::Special(SpecialKey::Escape));
    for (number, part) in parts.enumerate() {
        if number > 0 {
            sleep(AFTER_ESCAPE).await;
        }
        let name = format!("{id}-{number}");
        let strokes = strokes(hand, &name, part).await?;
        let mark = Mark::typed(&name, &remembered);
        match hand.act(&Guard { pid, ..Guard::default() }, &strokes, &mark).await.map_err(not_typed)? {
            Acted::Done => remembered = mark.after(),
            Acted::Held(_) => {
                for stroke in &strokes {
                    if let Stroke::Paste { buffer, .. } = stroke {
                        hand.unload(buffer).await;
                    }
                }
                let receipt = if number == 0 { Receipt::Refused } else { Receipt::Indeterminate };
                return Err((receipt, "target_changed", "the pane stopped taking keys in the last moment".to_owned()));
            }
        }
    }
    Ok(())
}

/// Text goes through buffers of its own; only keys have names.
async fn strokes(hand: &Hand, name: &str, part: &[KeyPress]) -> Result<Vec<Stroke>, NotTyped> {
    let mut strokes = Vec::with_capacity(part.len());
    for (place, key) in part.iter().enumerate() {
        strokes.push(match key {
            KeyPress::Special(key) => Stroke::Key(key.name()),
            KeyPress::Literal(text) => {
                let loaded = hand.load(&format!("{name}-{place}"), text.as_bytes().to_vec()).await;
                // Nothing was typed yet, whatever became of the buffer.
                let buffer = loaded.map_err(|error| (Receipt::Refused, "tmux_unreachable", error.to_string()))?;
                Stroke::Paste { buffer, bracketed: false, framed: false }
            }
        });
    }
    Ok(strokes)
}

fn not_typed(error: HandError) -> NotTyped {
    match error {
        HandError::NoAnswer(why) => (Receipt::Indeterminate, "unconfirmed", why),
        HandError::Gone(why) => (Receipt::Indeterminate, "server_lost", why),
        HandError::Failed(why) => (Receipt::Refused, "tmux_unreachable", why),
    }
}

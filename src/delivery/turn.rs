//! Following a turn: from Enter to the moment in which the agent is ready again. Pure but for reading the reply.

use std::time::Duration;

use serde_json::json;

use super::reply::{Reply, Start, cut};
use crate::{
    model::{Note, Receipt, RequestId},
    tmux::input::{Hand, Look},
    tracker::Reading,
};

/// How long a pane must have been quiet at its prompt.
const SETTLED: Duration = Duration::from_millis(40);

/// A person who types the next line ends the turn as well; then it must be quiet for longer.
const SETTLED_DRAFT: Duration = Duration::from_millis(500);

/// Longest reply that is kept, in bytes.
const LONGEST_REPLY: usize = 256 * 1024;

/// A prompt that was submitted and whose answer is awaited.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The request.
    pub id: RequestId,
    /// Where its reply begins; unknown after a restart.
    pub start: Option<Start>,
    /// The process that the pane was started with.
    pub pid: u32,
    /// That the agent works was seen.
    pub started: bool,
}

/// What a look means for the turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing new.
    Same,
    /// The agent works.
    Started(Note),
    /// The turn is over.
    Ended,
    /// The agent is another one, or gone.
    Lost(Note),
}

impl Turn {
    /// The receipt of a turn whose end nobody will see.
    pub fn lost() -> Note {
        Note::new(Receipt::Indeterminate).because("agent_ended", "the agent ended before it was ready again")
    }

    /// The receipt of a turn during which nobody was there, and behind which another text was typed.
    pub fn overtaken() -> Note {
        Note::new(Receipt::TurnEnded)
            .because("superseded", "another text was typed before anybody saw its end")
            .seen(json!({ "proof": "superseded", "reply": null, "reply_missing": "nobody was there to see it" }))
    }

    /// The receipt of a turn that another prompt was typed into.
    pub fn superseded(&self, by: &Self) -> Note {
        let detail = format!("request {} was typed before the agent was ready again", by.id);
        Note::new(Receipt::TurnEnded)
            .because("superseded", detail)
            .seen(json!({ "proof": "superseded", "reply": null, "reply_missing": "another prompt came in between" }))
    }

    /// Takes in a look.
    pub fn step(&self, look: &Look, reading: &Reading, quiet: Duration) -> Step {
        if look.now.dead || look.now.pid != self.pid {
            return Step::Lost(Self::lost());
        }
        match &reading.against {
            None if quiet >= SETTLED => Step::Ended,
            Some(why) if why.reason == "draft" && !reading.wants_rest() && quiet >= SETTLED_DRAFT => Step::Ended,
            Some(why) if !self.started && matches!(why.reason, "busy" | "not_ready" | "dialog") => {
                let seen = json!({ "proof": why.reason, "detail": why.detail });
                Step::Started(Note::new(Receipt::TurnStarted).seen(seen))
            }
            _ => Step::Same,
        }
    }

    /// The receipts of its end, with the reply.
    pub async fn end(&self, hand: &Hand, look: &Look) -> Vec<Note> {
        let mut notes = Vec::new();
        if !self.started {
            let seen = json!({ "proof": "ready_again" });
            notes.push(Note::new(Receipt::TurnStarted).seen(seen));
        }
        let (reply, why) = self.reply(hand, look).await;
        let truncated = reply.as_ref().is_some_and(|reply| reply.len() > LONGEST_REPLY);
        let reply = reply.map(|mut text| {
            let end = (0..=LONGEST_REPLY.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or_default());
            text
        });
        let seen = json!({ "proof": "ready_again", "reply": reply, "reply_source": "screen", "exact": false,
            "reply_truncated": truncated, "reply_missing": why });
        notes.push(Note::new(Receipt::TurnEnded).seen(seen));
        notes
    }

    async fn reply(&self, hand: &Hand, look: &Look) -> (Option<String>, Option<String>) {
        let Some(start) = &self.start else {
            return (None, Some("the gateway was restarted during the turn".to_owned()));
        };
        if let Some((row, expected)) = start.anchor(look)
            && hand.text(row, row).await.map_or(true, |text| text.trim_end() != expected)
        {
            return (None, Some("the pane's history is full, and rows were dropped".to_owned()));
        }
        match cut(start, look) {
            Reply::Nothing => (Some(String::new()), None),
            Reply::Unreadable(why) => (None, Some(why.to_owned())),
            Reply::Rows(first, last) => match hand.text(first, last).await {
                Ok(text) => (Some(text.trim_end().to_owned()), None),
                Err(error) => (None, Some(error.to_string())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        tmux::input::PaneNow,
        tracker::{Pending, Why},
    };

    #[test]
    fn a_turn_ends_when_the_prompt_is_back_and_quiet() {
        let turn = Turn { id: "r-1".parse().unwrap(), start: None, pid: 7, started: false };
        let look = Look { now: PaneNow { pid: 7, ..PaneNow::default() }, rows: vec![], ..Look::default() };
        let reading = |reason: Option<&'static str>| Reading {
            against: reason.map(|reason| Why { reason, detail: String::new(), hard: false }),
            pending: Pending::Unknown,
            screen: None,
        };
        let at = |reason, millis| turn.step(&look, &reading(reason), Duration::from_millis(millis));
        assert!(matches!(at(Some("busy"), 0), Step::Started(_)));
        assert_eq!(at(None, 10), Step::Same);
        assert_eq!(at(None, 40), Step::Ended);
        assert_eq!(at(Some("draft"), 40), Step::Same);
        assert_eq!(at(Some("draft"), 500), Step::Ended);
        assert_eq!(at(Some("copy_mode"), 900), Step::Same);
        let mut other = look.clone();
        other.now.pid = 8;
        assert!(matches!(turn.step(&other, &reading(None), Duration::ZERO), Step::Lost(_)));
    }
}

//! Reminders (contract section 4.7): what is to be said later, and how it stands.
//!
//! The contract's clients read strictly. What is ours (`when_missed`, [`ReminderPlan`]) is taken in a body and told
//! only where `?view=full` asks for it.

use serde::{Deserialize, Serialize};

/// Most reminders of one session.
pub const MOST_REMINDERS: usize = 1_000;

/// The longest delay and the longest interval: a hundred years.
pub const LONGEST_DELAY_SECONDS: f64 = 3_155_760_000.0;

/// Most missed slots of one reminder that are made up for, whatever it asks.
pub const MOST_OWED: u32 = 20;

/// Once, or again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReminderMode {
    /// Gone once it was said.
    OneOff,
    /// Every `interval_seconds`.
    Repeat,
}

impl ReminderMode {
    /// The words of the wire.
    pub const WORDS: [(&'static str, Self); 2] = [("one_off", Self::OneOff), ("repeat", Self::Repeat)];

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneOff => "one_off",
            Self::Repeat => "repeat",
        }
    }
}

/// What becomes of a reminder that fell due while no gateway ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenMissed {
    /// It is said once, as soon as it can be.
    #[default]
    FireOnce,
    /// It is not said: a one-off is gone, a repeat goes on with its next slot.
    Skip,
    /// Every missed slot of a repeat is said, the newest [`MOST_OWED`] at most.
    FireAll,
}

impl WhenMissed {
    /// The words of the wire.
    pub const WORDS: [(&'static str, Self); 3] =
        [("fire_once", Self::FireOnce), ("skip", Self::Skip), ("fire_all", Self::FireAll)];

    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::FireOnce => "fire_once",
            Self::Skip => "skip",
            Self::FireAll => "fire_all",
        }
    }
}

/// Keys to press instead of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReminderKeys {
    /// Text and `<[Key]>` tokens.
    pub sequence: String,
    /// Whatever it ends with, it ends with one Enter.
    pub ensure_enter: bool,
}

impl ReminderKeys {
    /// What is typed.
    pub fn typed(&self) -> String {
        const ENTER: &str = "<[Enter]>";
        if !self.ensure_enter {
            return self.sequence.clone();
        }
        let mut text = self.sequence.as_str();
        while let Some(shorter) = text.strip_suffix(ENTER) {
            text = shorter;
        }
        format!("{text}{ENTER}")
    }
}

/// What a reminder says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReminderDelivery {
    /// A prompt, through the queue.
    Prompt(String),
    /// Keys, as they are.
    SendKeys(ReminderKeys),
}

impl ReminderDelivery {
    /// The contract's word for the kind.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Prompt(_) => "prompt",
            Self::SendKeys(_) => "send_keys",
        }
    }
}

/// When it is due first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReminderStart {
    /// So many microseconds after it was taken in.
    After(i64),
    /// At this moment, in microseconds since 1970.
    At(i64),
}

/// What was asked for, but for the start: that is a part of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReminderDefinition {
    /// Once, or again and again.
    pub mode: ReminderMode,
    /// For people; not blank.
    pub title: String,
    /// What is said.
    pub delivery: ReminderDelivery,
    /// Lower comes first.
    pub ranking: i64,
    /// It is not said, and still keeps others back.
    pub paused: bool,
    /// Between two slots of a repeat, in microseconds.
    pub interval_us: Option<i64>,
    /// What becomes of it without a gateway.
    pub when_missed: WhenMissed,
}

/// One reminder as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReminderView {
    /// Always 1.
    pub schema_version: u32,
    /// `greminder-<12 hex>`.
    pub reminder_id: String,
    /// Once, or again and again.
    pub mode: ReminderMode,
    /// `prompt` or `send_keys`.
    pub delivery_kind: String,
    /// For people.
    pub title: String,
    /// The text; null for keys.
    pub prompt: Option<String>,
    /// The keys; null for a prompt.
    pub send_keys: Option<ReminderKeys>,
    /// Lower comes first.
    pub ranking: i64,
    /// It is not said, and still keeps others back.
    pub paused: bool,
    /// `effective`: it is the first; `blocked`: another one is.
    pub selection_state: String,
    /// `scheduled`, `overdue` or `executing`.
    pub delivery_state: String,
    /// In microseconds.
    pub created_at_utc: String,
    /// The slot that is next, or that it is late for.
    pub next_due_at_utc: String,
    /// Between two slots of a repeat.
    pub interval_seconds: Option<f64>,
    /// When it was said last.
    pub last_started_at_utc: Option<String>,
    /// The effective one, where it is another.
    pub blocked_by_reminder_id: Option<String>,
    /// Ours: only with `?view=full`.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<ReminderPlan>,
}

/// What the contract has no place for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReminderPlan {
    /// What becomes of it without a gateway.
    pub when_missed: WhenMissed,
    /// `wall`: due at a time of day; `boot`: so long after it was made.
    pub clock: String,
    /// How often it was said.
    pub times_fired: u64,
    /// Slots that are to be said for those that were missed, this one included.
    pub owed: u32,
    /// The request that says it now, or said it last.
    pub request_id: Option<String>,
    /// What keeps it back although it is due.
    pub waits_for: Option<String>,
}

/// `GET /v1/reminders`, and the answer to `POST`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReminderList {
    /// Always 1.
    pub schema_version: u32,
    /// The first of all; null when there is none.
    pub effective_reminder_id: Option<String>,
    /// In the order of ranking; after `POST` only the new ones, as they were sent.
    pub reminders: Vec<ReminderView>,
}

/// The answer to `DELETE /v1/reminders/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReminderDeleted {
    /// Always 1.
    pub schema_version: u32,
    /// Always `ok`.
    pub status: String,
    /// Always `delete_reminder`.
    pub action: String,
    /// Which.
    pub reminder_id: String,
    /// Always true.
    pub deleted: bool,
    /// One sentence for a person.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_enter_ends_a_sequence_and_no_more() {
        let typed = |sequence: &str, ensure_enter| ReminderKeys { sequence: sequence.to_owned(), ensure_enter }.typed();
        for text in ["/clear", "/clear<[Enter]>", "/clear<[Enter]><[Enter]>"] {
            assert_eq!(typed(text, true), "/clear<[Enter]>", "{text}");
            assert_eq!(typed(text, false), text);
        }
        assert_eq!(typed("<[Enter]><[Enter]>", true), "<[Enter]>");
        assert_eq!(typed("a<[Enter]>b", true), "a<[Enter]>b<[Enter]>");
        assert_eq!(typed("<[<[Enter]>", true), "<[<[Enter]>");
    }

    #[test]
    fn words_agree_with_the_wire() {
        for (word, mode) in ReminderMode::WORDS {
            assert_eq!((mode.name(), serde_json::to_value(mode).unwrap()), (word, word.into()));
        }
        for (word, policy) in WhenMissed::WORDS {
            assert_eq!((policy.name(), serde_json::to_value(policy).unwrap()), (word, word.into()));
        }
    }
}

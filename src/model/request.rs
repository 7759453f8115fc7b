//! A piece of work for the agent's terminal: its id, its states on the wire, and the receipts that tell more.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Moment;

/// `gwreq-<YYYYMMDD>-<HHMMSS>Z-<8 hex>` (contract section 1.7).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(String);

impl TryFrom<String> for RequestId {
    type Error = BadRequestId;

    fn try_from(text: String) -> Result<Self, BadRequestId> {
        text.parse()
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.0
    }
}

/// A text that is no request id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a request id (`gwreq-`, a date, a time and eight hex digits)")]
pub struct BadRequestId(String);

impl RequestId {
    /// A new id; `entropy` makes it unique within its second.
    ///
    /// Best it counts up from a random start: ids in order keep the store's indexes in order, and the store then takes
    /// in several times as many.
    pub fn new(now: Moment, entropy: u32) -> Self {
        Self(format!("gwreq-{}-{entropy:08x}", now.compact()))
    }

    /// An id of work that never becomes a row of the contract's queue: `gwctl-…`.
    pub fn direct(now: Moment, entropy: u32) -> Self {
        Self(format!("gwctl-{}-{entropy:08x}", now.compact()))
    }

    /// Does it name a row of the contract's queue?
    pub fn is_queued(&self) -> bool {
        !self.0.starts_with("gwctl-")
    }

    /// The id as text: letters, digits and `-` only, at most 64 of them.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = BadRequestId;

    /// Other programs number their rows in their own way, so any short word of letters, digits and `-` passes.
    fn from_str(text: &str) -> Result<Self, BadRequestId> {
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(BadRequestId(text.chars().take(80).collect())) }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$what])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every word, in the order in which they follow each other.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word on the wire and in the store.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// The value with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

words! {
    /// What is asked for (contract section 1.7).
    RequestKind {
        /// Type a prompt and submit it.
        SubmitPrompt = "submit_prompt",
        /// Press the agent's interrupt key.
        Interrupt = "interrupt",
        /// A prompt that the mail notifier wrote.
        MailNotifierPrompt = "mail_notifier_prompt",
        /// Raw keys; never a row of the contract's table.
        SendKeys = "send_keys",
    }
}

words! {
    /// How the work came in, and where its row stands.
    Route {
        /// `POST /v1/requests`: a row of the contract's queue.
        Queue = "queue",
        /// `POST /v1/control/prompt`: at once or not at all.
        ControlPrompt = "control_prompt",
        /// `POST /v1/control/send-keys`.
        SendKeys = "send_keys",
    }
}

words! {
    /// The contract's states of a row. Receipts say more.
    RequestState {
        /// On disk, waiting.
        Accepted = "accepted",
        /// Being typed.
        Running = "running",
        /// A prompt: submitted. Its answer may still be on the way.
        Completed = "completed",
        /// It was not done, or nobody can tell; the error detail says which.
        Failed = "failed",
        /// A later control intent made it superfluous.
        Coalesced = "coalesced",
    }
}

impl RequestState {
    /// Will it never change again?
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Accepted | Self::Running)
    }
}

words! {
    /// What was proven about a request, one step at a time.
    Receipt {
        /// On disk.
        Queued = "queued",
        /// Not now; the reason says what it waits for.
        Deferred = "deferred",
        /// The intent to type is on disk. From here on only the terminal's token says whether it was typed.
        Typing = "typing",
        /// The terminal showed the text.
        Typed = "typed",
        /// Enter was pressed, and the text left the composer.
        Submitted = "submitted",
        /// The agent works on it.
        TurnStarted = "turn_started",
        /// The agent is ready again.
        TurnEnded = "turn_ended",
        /// What became of it cannot be proven. Kept, shown, never typed again.
        Indeterminate = "indeterminate",
        /// It will not be typed; the reason says why.
        Refused = "refused",
    }
}

/// One receipt with what speaks for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// Which step.
    pub receipt: Receipt,
    /// A stable word: `busy`, `draft`, `copy_mode`, `expired`…
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One sentence for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What was seen, as an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Value>,
}

impl Note {
    /// A receipt that needs no words.
    pub fn new(receipt: Receipt) -> Self {
        Self { receipt, reason: None, detail: None, evidence: None }
    }

    /// With its stable reason and a sentence.
    #[must_use]
    pub fn because(mut self, reason: &str, detail: impl Into<String>) -> Self {
        self.reason = Some(reason.to_owned());
        self.detail = Some(detail.into());
        self
    }

    /// With what was seen.
    #[must_use]
    pub fn seen(mut self, evidence: Value) -> Self {
        self.evidence = Some(evidence);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_contracts_form_and_foreign_ones_pass_if_harmless() {
        let now = Moment::parse("2026-11-21T11:58:26+00:00").unwrap();
        assert_eq!(RequestId::new(now, 0x5508_dee7).as_str(), "gwreq-20261121-115826Z-5508dee7");
        assert!("gwreq-20261121-115826Z-5508dee7".parse::<RequestId>().is_ok());
        for wrong in ["", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(wrong.parse::<RequestId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_are_read_back() {
        for receipt in Receipt::ALL {
            assert_eq!(Receipt::from_name(receipt.name()), Some(*receipt));
        }
        assert_eq!(serde_json::to_value(RequestState::Coalesced).unwrap(), "coalesced");
    }
}

//! The words around prompts: their text, how long to wait, and the requests that they become.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum, builder::RangedU64ValueParser};

use super::{Selectors, TurnModel, duration::duration};
use crate::{
    api::{AdmissionPolicy, OnDraft, RequestFilter, parse_expires_in},
    lifecycle::direct::WaitFor,
    model::{RequestId, RequestState},
};

/// How long a prompt is waited for when nobody says it.
const PROMPT_TIMEOUT: &str = "10m";

/// How long an interrupt is waited for when nobody says it.
const INTERRUPT_TIMEOUT: &str = "1m";

/// `agents prompt`.
#[derive(Debug, Args)]
pub(in crate::cli) struct DirectPrompt {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// The text; it may begin with a dash [default: stdin, to its end]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(in crate::cli) prompt: Option<String>,
    /// Type it now or not at all [default: when the agent is ready]
    #[arg(long, value_name = "POLICY")]
    pub(in crate::cli) admission_policy: Option<Policy>,
    /// What to do when somebody's draft stands in the composer
    #[arg(long, value_name = "POLICY", default_value = "wait", conflicts_with = "admission_policy")]
    pub(in crate::cli) on_draft: Draft,
    #[command(flatten)]
    pub(in crate::cli) model: TurnModel,
    /// How far to wait
    #[arg(long, value_name = "RECEIPT", num_args = 0..=1, require_equals = true, default_missing_value = "submitted", default_value = "submitted")]
    pub(in crate::cli) wait: Until,
    /// How long to wait: 30s, 500ms, 5m, 2h
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = PROMPT_TIMEOUT)]
    pub(in crate::cli) timeout: Duration,
}

/// `agents gateway prompt`.
#[derive(Debug, Args)]
pub(in crate::cli) struct GatewayPrompt {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// The text; it may begin with a dash [default: stdin, to its end]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(in crate::cli) prompt: Option<String>,
    /// Type it now or not at all [default: it waits in the queue]
    #[arg(long, value_name = "POLICY", conflicts_with_all = ["wait", "expires_in"])]
    pub(in crate::cli) admission_policy: Option<Policy>,
    /// Wait until then [without a word: submitted]
    #[arg(long, value_name = "RECEIPT", num_args = 0..=1, require_equals = true, default_missing_value = "submitted")]
    pub(in crate::cli) wait: Option<Until>,
    /// How long to wait: 30s, 500ms, 5m, 2h
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "wait", default_value = PROMPT_TIMEOUT)]
    pub(in crate::cli) timeout: Duration,
    /// After this time in the queue it is not typed any more: 30s, 5m, 2h, 1d
    #[arg(long, value_name = "DURATION", value_parser = parse_expires_in)]
    pub(in crate::cli) expires_in: Option<Duration>,
    /// The same key and prompt again are answered as the first time, and not typed twice
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    pub(in crate::cli) idempotency_key: Option<String>,
    /// What to do when somebody's draft stands in the composer
    #[arg(long, value_name = "POLICY", default_value = "wait", conflicts_with = "admission_policy")]
    pub(in crate::cli) on_draft: Draft,
    /// In a new conversation of the agent; only with --admission-policy ready-only
    #[arg(long, requires = "admission_policy")]
    pub(in crate::cli) new_chat: bool,
    #[command(flatten)]
    pub(in crate::cli) model: TurnModel,
}

/// `agents gateway interrupt`.
#[derive(Debug, Args)]
pub(in crate::cli) struct GatewayInterrupt {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// Wait until the key was pressed
    #[arg(long)]
    pub(in crate::cli) wait: bool,
    /// How long to wait: 30s, 500ms, 5m, 2h
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "wait", default_value = INTERRUPT_TIMEOUT)]
    pub(in crate::cli) timeout: Duration,
}

/// `agents gateway send-keys`.
#[derive(Debug, Args)]
pub(in crate::cli) struct SendKeys {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// Text, and keys as <[Enter]>, <[Escape]>, <[C-c]>, <[Up]>…; no Enter is added
    #[arg(long, value_name = "SEQUENCE", allow_hyphen_values = true)]
    pub(in crate::cli) sequence: String,
    /// Type <[Enter]> and the like as text
    #[arg(long)]
    pub(in crate::cli) escape_special_keys: bool,
}

/// `agents gateway requests`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Requests {
    /// List the requests, newest first
    List {
        #[command(flatten)]
        selectors: Selectors,
        /// Only those in this state
        #[arg(long)]
        state: Option<State>,
        /// How many at most
        #[arg(long, value_name = "COUNT", default_value = "50",
            value_parser = RangedU64ValueParser::<u32>::new().range(1..=u64::from(RequestFilter::LARGEST_LIMIT)))]
        limit: u32,
    },
    /// Show one request with its receipts
    Show {
        #[command(flatten)]
        selectors: Selectors,
        /// The request
        id: RequestId,
    },
    /// Take one request back that is not being typed yet
    Cancel {
        #[command(flatten)]
        selectors: Selectors,
        /// The request
        id: RequestId,
    },
    /// Show receipts as they come: of one request until it has ended, else of all until Ctrl-C
    Watch {
        #[command(flatten)]
        selectors: Selectors,
        /// The request
        id: Option<RequestId>,
    },
}

impl Requests {
    pub(super) fn selectors(&self) -> &Selectors {
        match self {
            Self::List { selectors, .. }
            | Self::Show { selectors, .. }
            | Self::Cancel { selectors, .. }
            | Self::Watch { selectors, .. } => selectors,
        }
    }
}

/// `agents gateway reconcile`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("action").required(true))]
pub(in crate::cli) struct Reconcile {
    #[command(flatten)]
    pub(in crate::cli) selectors: Selectors,
    /// Type what waits into the agent that runs now
    #[arg(long, group = "action")]
    pub(in crate::cli) keep: bool,
    /// Give up what waits
    #[arg(long, group = "action")]
    pub(in crate::cli) drop: bool,
}

/// When a prompt may be typed that does not wait in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Policy {
    /// Nothing waits, and the agent is ready and quiet
    ReadyOnly,
    /// Also while it is busy, unless something waits in its composer
    IfNoPending,
    /// Whenever the agent is there
    Always,
}

impl From<Policy> for AdmissionPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::ReadyOnly => Self::ReadyOnly,
            Policy::IfNoPending => Self::IfNoPending,
            Policy::Always => Self::Always,
        }
    }
}

/// What to do with somebody's draft in the composer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Draft {
    /// Until it is submitted or cleared
    Wait,
    /// The prompt fails when its turn comes
    Refuse,
    /// The tool keeps it meanwhile, where it is proven to come back; else as `wait`
    Stash,
}

impl From<Draft> for OnDraft {
    fn from(draft: Draft) -> Self {
        match draft {
            Draft::Wait => Self::Wait,
            Draft::Refuse => Self::Refuse,
            Draft::Stash => Self::Stash,
        }
    }
}

/// How far to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Until {
    /// The text left the composer
    Submitted,
    /// The agent works on it
    Started,
    /// The agent is ready again; its reply is printed
    Ended,
}

impl From<Until> for WaitFor {
    fn from(until: Until) -> Self {
        match until {
            Until::Submitted => Self::Submitted,
            Until::Started => Self::Started,
            Until::Ended => Self::Ended,
        }
    }
}

/// The contract's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum State {
    Accepted,
    Running,
    Completed,
    Failed,
    Coalesced,
}

impl From<State> for RequestState {
    fn from(state: State) -> Self {
        match state {
            State::Accepted => Self::Accepted,
            State::Running => Self::Running,
            State::Completed => Self::Completed,
            State::Failed => Self::Failed,
            State::Coalesced => Self::Coalesced,
        }
    }
}

pub(super) fn idempotency_key(text: &str) -> Result<String, String> {
    if (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("a key is 1 to 128 visible ASCII characters, without spaces".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii() {
        for good in ["k", "job-17/α".trim_end_matches('α'), &"x".repeat(128)] {
            assert!(idempotency_key(good).is_ok(), "{good}");
        }
        for wrong in ["", "a b", "é", "tab\t", &"x".repeat(129)] {
            assert!(idempotency_key(wrong).is_err(), "{wrong}");
        }
    }
}

//! Prompts and interrupts without a gateway: the same delivery under the same lock.

use std::time::Duration;

use crate::{
    api::AdmissionPolicy,
    model::{Failure, Note, Receipt},
    target::Target,
};

/// How far a sender waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitFor {
    /// The text left the composer.
    Submitted,
    /// The agent works on it.
    Started,
    /// The agent is ready again.
    Ended,
}

impl WaitFor {
    /// The receipt that ends the wait.
    pub fn receipt(self) -> Receipt {
        match self {
            Self::Submitted => Receipt::Submitted,
            Self::Started => Receipt::TurnStarted,
            Self::Ended => Receipt::TurnEnded,
        }
    }

    /// Is the wait over with this receipt? A later one counts too.
    pub fn is_over(self, receipt: Receipt) -> bool {
        [Self::Submitted, Self::Started, Self::Ended].iter().any(|step| *step >= self && step.receipt() == receipt)
    }
}

/// How a prompt is given directly.
#[derive(Debug, Clone)]
pub struct DirectOptions {
    /// Refuse at once unless this admits it; without one, wait until the agent is ready.
    pub policy: Option<AdmissionPolicy>,
    /// How far to wait.
    pub wait: WaitFor,
    /// How long to wait.
    pub timeout: Duration,
}

/// What became of a direct prompt.
#[derive(Debug, Clone)]
pub struct DirectOutcome {
    /// The steps, in their order.
    pub receipts: Vec<Note>,
    /// What the agent answered; only when its end was waited for.
    pub reply: Option<String>,
}

/// Gives a prompt to the agent, and says each step as it is proven.
///
/// # Errors
/// Refused, unconfirmed, or the time is over.
pub fn prompt(
    target: &Target,
    _text: &str,
    _options: &DirectOptions,
    _progress: &mut dyn FnMut(&Note),
) -> Result<DirectOutcome, Failure> {
    Err(not_yet(target))
}

/// Presses the agent's interrupt key.
///
/// # Errors
/// Refused, or unconfirmed.
pub fn interrupt(target: &Target) -> Result<Vec<Note>, Failure> {
    Err(not_yet(target))
}

fn not_yet(target: &Target) -> Failure {
    Failure::refused(
        format!("agent `{}` cannot be reached without its gateway yet", target.label()),
        "`agents gateway attach` starts one, and `agents gateway prompt` sends through it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_receipt_ends_an_earlier_wait() {
        assert!(WaitFor::Submitted.is_over(Receipt::TurnEnded) && WaitFor::Started.is_over(Receipt::TurnEnded));
        assert!(!WaitFor::Ended.is_over(Receipt::TurnStarted) && !WaitFor::Started.is_over(Receipt::Submitted));
        for other in [Receipt::Queued, Receipt::Typed, Receipt::Indeterminate, Receipt::Refused] {
            assert!(!WaitFor::Submitted.is_over(other), "{other}");
        }
    }
}

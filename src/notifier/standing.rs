//! What the notifier waits for, for a person who asks why the agent was not told.

use std::time::Duration;

use super::{Notifier, run::Next, when::Busy};
use crate::{
    api::{NotifierWait, WaitsFor},
    model::{Moment, RequestId},
    os::clock,
};

/// What it waits for since its last look.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    /// `None`: it looks for the first time since it began.
    next: Option<Next>,
    /// What the last look found, where it is the mailbox that is waited for.
    found: Option<(&'static str, String)>,
    /// The agent is a program in a terminal.
    in_terminal: bool,
    since: Option<Moment>,
    until: Option<Moment>,
}

impl Standing {
    /// After a look. The time of waiting goes on while it is waited for the same.
    pub(super) fn after(&self, next: &Next, found: Option<(&'static str, String)>, in_terminal: bool) -> Self {
        let now = clock::now();
        let is_same = self.next.as_ref().is_some_and(|last| last.waits_for() == next.waits_for());
        let until = next.pause().map(|pause| now.after(pause));
        let since = if is_same { self.since } else { Some(now) };
        Self { next: Some(next.clone()), found, in_terminal, since, until }
    }
}

impl Next {
    fn waits_for(&self) -> WaitsFor {
        match self {
            Self::Again => WaitsFor::Look,
            Self::Off => WaitsFor::Nothing,
            Self::Mail(_) => WaitsFor::Mail,
            Self::Gate(_) => WaitsFor::Agent,
            Self::Request(_) => WaitsFor::Request,
            Self::Store => WaitsFor::Store,
        }
    }

    fn pause(&self) -> Option<Duration> {
        match self {
            Self::Mail(pause) | Self::Gate(pause) => Some(*pause),
            _ => None,
        }
    }
}

impl Notifier {
    /// What it waits for at this moment: the mailbox, the agent and why, or the queue with a wake-up and why.
    pub async fn waits_for(&self) -> NotifierWait {
        let standing = self.inner.standing.borrow().clone();
        let waits_for = standing.next.as_ref().map_or(WaitsFor::Look, Next::waits_for);
        let mut wait = NotifierWait {
            schema_version: 1,
            waits_for,
            reason: None,
            detail: None,
            request_id: None,
            since_utc: standing.since.map(Moment::iso_seconds),
            looks_again_at_utc: standing.until.map(Moment::iso_seconds),
        };
        let why = match &standing.next {
            Some(Next::Mail(_)) => standing.found,
            Some(Next::Gate(_)) => match self.against(standing.in_terminal) {
                Some(Busy { reason, detail }) => Some((reason, detail)),
                None => Some(("ready", "nothing speaks against it at this moment".to_owned())),
            },
            Some(Next::Request(id)) => {
                (wait.reason, wait.detail) = self.of_request(id).await;
                wait.request_id = Some(id.to_string());
                return wait;
            }
            _ => None,
        };
        (wait.reason, wait.detail) = why.map(|(reason, detail)| (reason.to_owned(), detail)).unzip();
        wait
    }

    /// What the last receipt of a wake-up says: by the reason, where it has one.
    async fn of_request(&self, id: &RequestId) -> (Option<String>, Option<String>) {
        match self.inner.queue.show(id).await {
            Ok(Some(shown)) => match shown.receipts.into_iter().next_back() {
                Some(last) => (last.reason.or_else(|| Some(last.receipt.name().to_owned())), last.detail),
                None => (None, None),
            },
            Ok(None) => (None, None),
            Err(refusal) => (Some(refusal.code.to_string()), Some(refusal.detail)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_waiting_goes_on_while_it_is_waited_for_the_same() {
        let gate = Next::Gate(Duration::from_secs(60));
        let first = Standing::default().after(&gate, None, true);
        let begun = Standing { since: Moment::parse("2026-11-21T10:00:00+00:00"), ..first };
        assert_eq!(begun.after(&gate, None, true).since, begun.since);
        let mail = begun.after(&Next::Mail(Duration::from_secs(5)), Some(("empty", String::new())), true);
        assert!(mail.since > begun.since && mail.until > mail.since);
        assert!(mail.after(&Next::Off, None, true).until.is_none());
    }
}

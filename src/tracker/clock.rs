//! One moment, and when its answers will change. Pure.

use std::time::Duration;

use super::When;

/// Answers whether a moment has passed, and remembers the first one that has not.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) now: When,
    next: Option<Duration>,
}

impl Clock {
    pub(super) fn at(now: When) -> Self {
        Self { now, next: None }
    }

    /// Has this moment passed? If not, the next tick is due then at the latest.
    pub(super) fn passed(&mut self, moment: Duration) -> bool {
        let passed = self.now.since >= moment;
        if !passed {
            self.next = Some(self.next.map_or(moment, |next| next.min(moment)));
        }
        passed
    }

    /// The first moment that an answer waited for.
    pub(super) fn next(&self) -> Option<Duration> {
        self.next
    }
}

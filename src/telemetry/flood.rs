//! Keeps one repeated warning from filling the log.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    time::Duration,
};

use crate::model::Moment;

/// A warning that was written is not written again for this long.
const WINDOW: Duration = Duration::from_secs(30);

/// Warnings remembered at once. One more makes the oldest forgotten, so memory stays small.
const REMEMBERED: usize = 128;

/// What to do with a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Write it, and say how many were left out since it was written last.
    Write {
        /// Left out since then.
        suppressed: u64,
    },
    /// Leave it out.
    Suppress,
}

#[derive(Debug)]
struct Seen {
    // A digest instead of the text: two warnings with one digest are far rarer than a lost line matters.
    digest: u64,
    written: Moment,
    suppressed: u64,
}

/// Remembers which warnings were written lately.
#[derive(Debug, Default)]
pub(super) struct FloodGuard {
    hasher: RandomState,
    // In the order of writing; a scan of this length is cheaper than the write it saves.
    seen: Vec<Seen>,
}

impl FloodGuard {
    /// Judges a warning by its identity: where it comes from and what it says.
    pub(super) fn judge(&mut self, now: Moment, identity: impl Hash) -> Verdict {
        let digest = self.hasher.hash_one(identity);
        let mut suppressed = 0;
        if let Some(at) = self.seen.iter().position(|seen| seen.digest == digest) {
            let seen = &mut self.seen[at];
            // A clock that stepped back must not silence a warning until it has caught up.
            if (seen.written..seen.written.after(WINDOW)).contains(&now) {
                seen.suppressed += 1;
                return Verdict::Suppress;
            }
            suppressed = self.seen.remove(at).suppressed;
        } else if self.seen.len() >= REMEMBERED {
            self.seen.remove(0);
        }
        self.seen.push(Seen { digest, written: now, suppressed: 0 });
        Verdict::Write { suppressed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Verdict = Verdict::Write { suppressed: 0 };

    #[test]
    fn one_line_per_window_and_the_next_one_counts_the_others() {
        let start = Moment::parse("2026-11-21T11:58:26.900+00:00").unwrap();
        let at = |millis| start.after(Duration::from_millis(millis));
        let mut guard = FloodGuard::default();
        assert_eq!(guard.judge(start, "a"), FIRST);
        assert_eq!(guard.judge(at(1), "b"), FIRST, "another warning is not concerned");
        assert_eq!(guard.judge(at(2), "a"), Verdict::Suppress);
        assert_eq!(guard.judge(at(29_999), "a"), Verdict::Suppress, "the window is exact, not in whole seconds");
        assert_eq!(guard.judge(at(30_000), "a"), Verdict::Write { suppressed: 2 });
        assert_eq!(guard.judge(at(60_000), "a"), FIRST);
    }

    #[test]
    fn a_clock_that_stepped_back_silences_nothing() {
        let start = Moment::parse("2026-11-21T11:58:26+00:00").unwrap();
        let mut guard = FloodGuard::default();
        assert_eq!(guard.judge(start.after(Duration::from_secs(3600)), "a"), FIRST);
        assert_eq!(guard.judge(start, "a"), FIRST);
    }

    #[test]
    fn memory_is_bounded() {
        let now = Moment::parse("2026-11-21T11:58:26+00:00").unwrap();
        let mut guard = FloodGuard::default();
        for number in 0..10_000 {
            guard.judge(now, number);
        }
        assert_eq!(guard.seen.len(), REMEMBERED);
        assert_eq!(guard.judge(now, 9_999), Verdict::Suppress);
    }
}

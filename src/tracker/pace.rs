//! When to look at a pane that prints. Pure: moments are durations since any fixed point.

use std::time::Duration;

/// From the first byte to the look: a program draws with several writes.
const SETTLE: Duration = Duration::from_millis(10);
/// The pane has been drawn when nothing was printed for so long.
const QUIET: Duration = Duration::from_millis(30);
/// Between two looks while the pane goes on printing.
const BETWEEN: Duration = Duration::from_millis(75);
/// Between two looks while the output is switched off, because it floods.
const FLOODED: Duration = Duration::from_millis(150);
/// How long it stays switched off before it is tried again.
const OFF: Duration = Duration::from_secs(1);

/// Without output to wake us: after a change, and at most.
const POLL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Does the pane still look as we believe? After the last change, and at most.
const DOUBT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How much a pane may print before that counts as a flood: so many bytes at once, and so many a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) burst: usize,
    pub(super) second: usize,
}

impl Allowance {
    /// Where only the picture matters. A coding agent that draws its whole screen anew stays below it.
    pub(super) const PICTURE: Self = Self { burst: 256 * 1024, second: 192 * 1024 };
    /// Where somebody records every byte.
    pub(super) const RECORD: Self = Self { burst: 16 * 1024 * 1024, second: 4 * 1024 * 1024 };

    /// What is left over when the output is switched on again: enough to see that the flood is over.
    fn trial(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
        let burst = self.burst as f64;
        burst / 8.0
    }
}

/// What wakes us while nothing is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Nothing but output.
    Follow,
    /// The output is off until this moment.
    Flood { until: Duration },
    /// There is no output to follow.
    Poll,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Look.
    Look,
    /// Look, although nothing says that anything changed.
    Check,
    /// Switch the output on again, and look.
    Resume,
}

/// Decides when to look.
#[derive(Debug)]
pub(super) struct Pace {
    mode: Mode,
    /// First and last output since the last look.
    printed: Option<(Duration, Duration)>,
    looked: Duration,
    /// Something goes on that could end without our hearing of it.
    unsettled: bool,
    /// Between this check and the next.
    interval: Duration,
    /// Bytes that may still come before it is a flood, and since when they are counted.
    left: f64,
    counted: Duration,
}

impl Pace {
    /// Nothing to follow yet.
    pub(super) fn new() -> Self {
        Self {
            mode: Mode::Poll,
            printed: None,
            looked: Duration::ZERO,
            unsettled: false,
            // A control client is on its way; until it is late, nobody looks.
            interval: POLL.1,
            left: 0.0,
            counted: Duration::ZERO,
        }
    }

    /// There is output to follow from now on.
    pub(super) fn follow(&mut self, at: Duration, allowance: Allowance) {
        self.mode = Mode::Follow;
        self.left = allowance.trial();
        self.counted = at;
        self.interval = DOUBT.0;
        self.printed = Some((at, at));
    }

    /// There is no output to follow any more.
    pub(super) fn poll(&mut self, at: Duration) {
        self.mode = Mode::Poll;
        self.interval = POLL.0;
        self.printed = Some((at, at));
    }

    /// Something may have changed: look soon.
    pub(super) fn nudge(&mut self, at: Duration) {
        let first = self.printed.map_or(at, |(first, _)| first);
        self.printed = Some((first, at));
        if self.mode == Mode::Follow {
            self.interval = DOUBT.0;
        }
    }

    /// So many bytes were printed. `true`: it is a flood, and the output is to be switched off.
    pub(super) fn printed(&mut self, at: Duration, bytes: usize, allowance: Allowance) -> bool {
        self.nudge(at);
        #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
        let (bytes, second, burst) = (bytes as f64, allowance.second as f64, allowance.burst as f64);
        let since = at.saturating_sub(self.counted).as_secs_f64();
        self.counted = at;
        self.left = (self.left + since * second).min(burst) - bytes;
        self.left < 0.0 && self.mode == Mode::Follow
    }

    /// The output is off.
    pub(super) fn is_off(&mut self, at: Duration) {
        self.mode = Mode::Flood { until: at + OFF };
    }

    /// The pane was looked at. `unsettled`: something goes on there.
    pub(super) fn looked(&mut self, at: Duration, changed: bool, unsettled: bool) {
        let was_told = self.printed.take().is_some();
        self.looked = at;
        self.unsettled = unsettled;
        let (first, most) = if self.mode == Mode::Poll { POLL } else { DOUBT };
        self.interval =
            if changed || (was_told && self.mode != Mode::Poll) { first } else { (self.interval * 2).min(most) };
    }

    /// What is to be done next, and when; `None`: nothing until something happens.
    pub(super) fn due(&self) -> Option<(Duration, Due)> {
        match self.mode {
            Mode::Flood { until } => {
                let look = self.looked + FLOODED;
                Some(if look < until { (look, Due::Look) } else { (until, Due::Resume) })
            }
            Mode::Poll => {
                let next = self.looked + self.interval;
                Some((self.printed.map_or(next, |(first, _)| next.min(first + SETTLE)), Due::Look))
            }
            Mode::Follow => match self.printed {
                Some((first, last)) => {
                    let soon = (first + SETTLE).max(self.looked + BETWEEN);
                    Some((soon.min((last + QUIET).max(first + SETTLE)), Due::Look))
                }
                None if self.unsettled => Some((self.looked + self.interval, Due::Check)),
                None => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Allowance = Allowance { burst: 80_000, second: 10_000 };

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn following() -> Pace {
        let mut pace = Pace::new();
        pace.follow(ms(0), ALLOWED);
        pace.looked(ms(0), true, false);
        pace
    }

    #[test]
    fn a_first_byte_is_looked_at_soon_and_the_last_one_too() {
        let mut pace = following();
        assert_eq!(pace.due(), None, "idle costs nothing");
        assert!(!pace.printed(ms(1000), 10, ALLOWED));
        assert_eq!(pace.due(), Some((ms(1010), Due::Look)));
        pace.looked(ms(1010), true, false);
        pace.printed(ms(1012), 10, ALLOWED);
        assert_eq!(pace.due(), Some((ms(1042), Due::Look)), "it went quiet");
        for at in 1013..1080 {
            pace.printed(ms(at), 1, ALLOWED);
        }
        assert_eq!(pace.due(), Some((ms(1085), Due::Look)), "it goes on");
        pace.looked(ms(1086), true, false);
        assert_eq!(pace.due(), None);
    }

    #[test]
    fn doubt_grows_slower_and_only_while_something_goes_on() {
        let mut pace = following();
        pace.printed(ms(1000), 1, ALLOWED);
        pace.looked(ms(1010), true, true);
        assert_eq!(pace.due(), Some((ms(2010), Due::Check)));
        pace.looked(ms(2010), false, true);
        assert_eq!(pace.due(), Some((ms(4010), Due::Check)));
        for _ in 0..9 {
            pace.looked(ms(5000), false, true);
        }
        assert_eq!(pace.due(), Some((ms(35_000), Due::Check)));
        pace.looked(ms(35_000), true, false);
        assert_eq!(pace.due(), None);
    }

    #[test]
    fn a_flood_is_looked_at_now_and_then_until_it_is_over() {
        let mut pace = following();
        assert!(!pace.printed(ms(0), 9_000, ALLOWED));
        assert!(pace.printed(ms(100), 9_000, ALLOWED), "a trial is small");
        pace.is_off(ms(100));
        pace.looked(ms(110), true, true);
        assert_eq!(pace.due(), Some((ms(260), Due::Look)));
        pace.looked(ms(1000), true, true);
        assert_eq!(pace.due(), Some((ms(1100), Due::Resume)));
        pace.follow(ms(1100), ALLOWED);
        assert_eq!(pace.due(), Some((ms(1110), Due::Look)));
        pace.looked(ms(1110), false, false);
        assert_eq!(pace.due(), None);
        // A burst after a quiet time is none.
        assert!(!pace.printed(ms(9000), 75_000, ALLOWED));
    }

    #[test]
    fn without_output_the_pane_is_asked_less_and_less_often() {
        let mut pace = Pace::new();
        pace.poll(ms(0));
        assert_eq!(pace.due(), Some((ms(10), Due::Look)));
        let mut at = ms(10);
        for expected in [200, 400, 800, 1600, 2000, 2000] {
            pace.looked(at, false, false);
            let (due, what) = pace.due().unwrap();
            assert_eq!((due, what), (at + ms(expected), Due::Look));
            at = due;
        }
        pace.looked(at, true, false);
        assert_eq!(pace.due(), Some((at + ms(100), Due::Look)));
    }
}

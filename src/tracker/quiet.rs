//! How long a pane has not changed. Pure: moments are durations since any fixed point.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use crate::tmux::input::Look;

/// Compares each look with the one before.
#[derive(Debug, Clone, Default)]
pub struct Quiet {
    last: Option<(u64, Duration)>,
}

impl Quiet {
    /// Takes in a look that was made at `at`, and says for how long the pane has looked like this.
    pub fn observe(&mut self, look: &Look, at: Duration) -> Duration {
        let mut hasher = DefaultHasher::new();
        (&look.rows, look.now.cursor_x, look.now.cursor_y, look.now.history, look.now.in_mode, &look.now.command)
            .hash(&mut hasher);
        let sign = hasher.finish();
        let since = self.last.filter(|(last, _)| *last == sign).map_or(at, |(_, since)| since);
        self.last = Some((sign, since));
        at.saturating_sub(since)
    }

    /// Forgets what was seen: the next look begins anew.
    pub fn reset(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::composer::tests::pane;

    #[test]
    fn the_time_counts_from_the_last_change() {
        let mut quiet = Quiet::default();
        let millis = Duration::from_millis;
        assert_eq!(quiet.observe(&pane("$ ", ""), millis(10)), millis(0));
        assert_eq!(quiet.observe(&pane("$ ", ""), millis(50)), millis(40));
        assert_eq!(quiet.observe(&pane("$ l", ""), millis(60)), millis(0));
        assert_eq!(quiet.observe(&pane("$ l", ""), millis(90)), millis(30));
        quiet.reset();
        assert_eq!(quiet.observe(&pane("$ l", ""), millis(95)), millis(0));
    }
}

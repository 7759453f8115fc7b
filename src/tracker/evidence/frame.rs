//! The last capture, and since when it has looked like that.

use crate::{
    agents::ComposerReading,
    tracker::{ScreenSeen, When},
};

/// A capture with its history.
#[derive(Debug, Clone)]
pub(in crate::tracker) struct Frame {
    pub(in crate::tracker) seen: ScreenSeen,
    /// When it was made.
    pub(in crate::tracker) at: When,
    /// Since when not one character has changed.
    pub(in crate::tracker) same_since: When,
    /// Since when what bears structure has not changed.
    pub(in crate::tracker) settled_since: When,
}

impl Frame {
    pub(in crate::tracker) fn after(before: Option<Self>, when: When, seen: &ScreenSeen) -> Self {
        let frame = Self { seen: seen.clone(), at: when, same_since: when, settled_since: when };
        let Some(before) = before else { return frame };
        let same = before.seen.hash == seen.hash && before.seen.reading == seen.reading;
        let settled =
            same || (!seen.reading.signature.is_empty() && Self::structure(&before.seen) == Self::structure(seen));
        Self {
            same_since: if same { before.same_since } else { when },
            settled_since: if settled { before.settled_since } else { when },
            ..frame
        }
    }

    fn structure(seen: &ScreenSeen) -> impl PartialEq + '_ {
        let reading = &seen.reading;
        let marks = (reading.interrupted, reading.finished, reading.starting, reading.menu, reading.gone);
        (&reading.signature, &reading.composer, reading.working.is_empty(), &reading.dialog, &reading.failed, marks)
    }

    /// It looks as an agent looks that waits for a prompt: nothing works, asks, starts or offers choices.
    pub(in crate::tracker) fn poised(&self) -> bool {
        let reading = &self.seen.reading;
        let composer = matches!(reading.composer, ComposerReading::Empty | ComposerReading::Draft(_));
        let quiet = reading.working.is_empty() && reading.dialog.is_none();
        composer && quiet && !reading.starting && !reading.menu && !reading.gone && !self.seen.dead
    }
}

//! Evidence and a clock in, state out. Pure: the same observations at the same moments give the same states and edges.
//!
//! What was seen is kept per source (`evidence`) and per turn (`turns`); rules that begin, end and give up turns are in
//! `rules`; what it all means now is concluded in `conclude`. Whatever depends on time asks the [`Clock`], which notes
//! when the answer will change: that is the moment of the next tick.

use std::time::Duration;

use super::{
    Observation, ScreenSeen, Seen, State, When,
    clock::Clock,
    evidence::{Doing, Evidence},
    state::Timings,
    turns::{End, Marks, Told, Turns, cut},
};
use crate::{
    agents::{Fit, Profile, Sign},
    model::{Outcome, Reply, Source, TurnRecord},
};

/// A conversation that begins within this time of a turn is the turn's own: some tools make one for their first prompt.
const OWN_SESSION: Duration = Duration::from_secs(2);

/// A turn began, changed or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnEdge {
    /// It began.
    Started(TurnRecord),
    /// It is over.
    Ended(TurnRecord),
    /// More became known of a turn that is over: its reply came late.
    Amended(TurnRecord),
}

/// Derives state from evidence, one observation at a time.
#[derive(Debug)]
pub struct Reducer {
    pub(super) profile: Option<Profile>,
    pub(super) timings: Timings,
    pub(super) evidence: Evidence,
    pub(super) turns: Turns,
    /// Since when work is seen that belongs to no turn.
    pub(super) work_since: Option<When>,
    pub(super) state: State,
    last: Duration,
    next: Option<Duration>,
}

impl Reducer {
    /// Knows nothing yet. `None`: the tool is a line reader without a profile.
    pub fn new(profile: Option<Profile>, timings: Timings, when: When) -> Self {
        let mut reducer = Self {
            profile,
            timings,
            evidence: Evidence::default(),
            turns: Turns::default(),
            work_since: None,
            state: State::nothing(when),
            last: when.since,
            next: None,
        };
        drop(reducer.settle(when));
        reducer
    }

    /// Takes in one observation.
    pub fn take(&mut self, when: When, observation: &Observation) -> Vec<TurnEdge> {
        let when = self.onward(when);
        self.absorb(when, observation);
        self.settle(when)
    }

    /// Takes in that time has passed.
    pub fn tick(&mut self, when: When) -> Vec<TurnEdge> {
        let when = self.onward(when);
        self.settle(when)
    }

    /// When `tick` has something to do next, on the clock of [`When::since`]; `None`: not before the next observation.
    pub fn next(&self) -> Option<Duration> {
        self.next
    }

    /// What follows from all of it.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Another profile for the same tool: its rules changed.
    pub fn use_profile(&mut self, profile: Option<Profile>) {
        self.profile = profile;
    }

    /// The clock that never steps, even if a caller's does.
    fn onward(&mut self, when: When) -> When {
        self.last = self.last.max(when.since);
        When { since: self.last, ..when }
    }

    fn settle(&mut self, when: When) -> Vec<TurnEdge> {
        // Each rule that applies may make room for another one; few ever do.
        for _ in 0..8 {
            let mut clock = Clock::at(when);
            let changed = self.apply_rules(&mut clock);
            if !changed {
                self.conclude(&mut clock);
                self.next = clock.next();
                return self.turns.edges();
            }
        }
        let mut clock = Clock::at(when);
        self.conclude(&mut clock);
        self.next = clock.next();
        self.turns.edges()
    }

    fn absorb(&mut self, when: When, observation: &Observation) {
        let source = observation.source;
        match &observation.seen {
            Seen::Screen(seen) => self.screen(when, seen),
            Seen::Sign(sign) => self.sign(when, source, sign),
            Seen::Process(seen) => {
                if self.evidence.process(when, seen) {
                    self.lost(when, Source::Process, "another process of the tool runs");
                }
            }
            Seen::Noted { request, text } => {
                self.evidence.say(when, source, "a prompt is submitted".to_owned());
                let hash = self.evidence.frame.as_ref().map(|frame| frame.seen.hash.clone());
                self.turns.note(when, request.clone(), text, hash);
            }
            Seen::InterruptPressed => {
                self.evidence.say(when, source, "the interrupt key was pressed".to_owned());
                self.evidence.interrupt = Some(when);
            }
            Seen::Channel { up, why } => {
                let word = if *up { "can be heard" } else { "cannot be heard" };
                self.evidence.say(when, source, format!("{word}: {why}"));
                self.evidence.channel(source, *up, why);
            }
        }
    }

    fn screen(&mut self, when: When, seen: &ScreenSeen) {
        if self.evidence.capture(when, seen) {
            self.lost(when, Source::Screen, "another process runs in the pane");
        }
        let marks = marks(seen);
        let works = !seen.reading.working.is_empty();
        if let Some(open) = &mut self.turns.open {
            open.old_marks = Marks {
                interrupted: open.old_marks.interrupted && marks.interrupted,
                failed: open.old_marks.failed && marks.failed,
                finished: open.old_marks.finished && marks.finished,
            };
            if works && !open.worked.contains(&Source::Screen) {
                open.worked.push(Source::Screen);
            }
        }
    }

    fn sign(&mut self, when: When, source: Source, sign: &Sign) {
        if let Some(doing) = Evidence::level_of(sign) {
            self.evidence.say(when, source, doing.words());
            if doing == Doing::Working
                && let Some(open) = &mut self.turns.open
                && !open.worked.contains(&source)
            {
                open.worked.push(source);
            }
            return self.evidence.set_level(when, source, doing);
        }
        self.evidence.edges_told |= matches!(source, Source::Hook | Source::Record);
        match sign {
            Sign::PromptTaken { text, turn, queued } => {
                self.evidence.say(when, source, "took a prompt".to_owned());
                self.evidence.compacting = None;
                if !queued {
                    self.evidence.drop_level(Source::Hook);
                }
                let (text, turn) = (text.as_deref(), turn.as_deref());
                let had = self.turns.open.as_ref().map(|open| open.record.id.clone());
                self.turns.prompt_taken(when, Told { source, text, turn, queued: *queued });
                self.begun(had.as_deref());
            }
            Sign::TurnEnded { turn, outcome, reply, exact, error } => {
                self.evidence.say(when, source, format!("told the end of a turn ({})", outcome.name()));
                self.evidence.compacting = None;
                let reply =
                    reply.as_deref().map(cut).map(|(text, truncated)| Reply { text, source, exact: *exact, truncated });
                let mut end = End { outcome: *outcome, reply, error: error.clone() };
                if source == Source::Screen && self.interrupted_since_start() {
                    // A line reader's prompt is back whatever brought it back.
                    end.outcome = Outcome::Interrupted;
                }
                if end.outcome == Outcome::Unknown && self.turns.open.is_some() {
                    // The tool tells the end and not how: what is seen besides may.
                    (end.outcome, end.error) = self.untold_outcome(false);
                }
                self.turns.turn_ended(when, source, turn.as_deref(), &end);
                self.evidence.drop_level(Source::Hook);
                if source == Source::ProgramStatus {
                    self.evidence.set_level(when, source, Doing::Idle);
                }
            }
            Sign::Replied { turn, text, exact } => {
                self.evidence.say(when, source, "told what was answered".to_owned());
                let (text, truncated) = cut(text);
                let reply = Reply { text, source, exact: *exact, truncated };
                self.turns.replied(when, source, turn.as_deref(), reply);
            }
            Sign::Compacting => {
                self.evidence.say(when, source, "shortens its context".to_owned());
                self.evidence.compacting = Some(when);
                // A command, not a prompt: no turn follows.
                drop(self.turns.armed.take_if(|armed| armed.plain.starts_with('/')));
            }
            Sign::Compacted => {
                self.evidence.say(when, source, "has shortened its context".to_owned());
                self.evidence.compacting = None;
            }
            Sign::SessionBegan { why, .. } => self.session_began(when, source, why),
            Sign::SessionEnded { why } => {
                self.evidence.say(when, source, format!("the conversation ended ({why})"));
                self.evidence.drop_level(Source::Hook);
                self.evidence.compacting = None;
            }
            Sign::Working | Sign::Idle | Sign::Waiting { .. } => {}
        }
    }

    fn session_began(&mut self, when: When, source: Source, why: &str) {
        self.evidence.say(when, source, format!("a conversation began ({why})"));
        if why == "compact" {
            return;
        }
        self.evidence.drop_level(Source::Hook);
        drop(self.turns.armed.take_if(|armed| armed.plain.starts_with('/')));
        let old = |began: When| when.since.saturating_sub(began.since) > OWN_SESSION;
        // Records are found when they are found; a hook tells the moment.
        let tells = source == Source::Hook || why == "clear";
        if tells && self.turns.open.as_ref().is_some_and(|open| old(open.began)) {
            self.turns.waiting.clear();
            self.close(when, source, &[], Outcome::Unknown, None, "another conversation began");
        }
    }

    /// The process that ran the turn is gone.
    fn lost(&mut self, when: When, source: Source, why: &str) {
        self.evidence.say(when, source, why.to_owned());
        self.turns.forget_prompts();
        self.close(when, source, &[], Outcome::Failed, Some(why.to_owned()), why);
        self.work_since = None;
    }

    /// If a turn began just now: what stood on the screen before it is not about it.
    pub(super) fn begun(&mut self, before: Option<&str>) {
        let marks = self.evidence.frame.as_ref().map(|frame| marks(&frame.seen)).unwrap_or_default();
        if let Some(open) = &mut self.turns.open
            && before != Some(open.record.id.as_str())
        {
            open.old_marks = marks;
            // A status may tell the work sooner than a record tells the prompt.
            let works =
                |source: &Source| self.evidence.level(*source).is_some_and(|level| level.doing == Doing::Working);
            let told = [Source::Record, Source::ProgramStatus, Source::Title].into_iter().filter(works);
            open.worked.extend(told);
            self.evidence.interrupt = None;
            self.evidence.dequeued = None;
            self.work_since = None;
        }
    }

    /// Ends the turn that runs.
    pub(super) fn close(
        &mut self,
        when: When,
        source: Source,
        by: &[Source],
        outcome: Outcome,
        error: Option<String>,
        why: &str,
    ) {
        let why = super::evidence::Said::spoken(source, why, when);
        self.turns.end(when, by, End { outcome, reply: None, error }, vec![why]);
        self.evidence.drop_level(Source::Hook);
        self.work_since = None;
    }

    /// The profile is not made for the version that runs; the sentence says so.
    pub(super) fn conservative(&self) -> Option<&str> {
        match &self.profile.as_ref()?.fit {
            Fit::Exact => None,
            Fit::Conservative(why) => Some(why),
        }
    }
}

pub(super) fn marks(seen: &ScreenSeen) -> Marks {
    let reading = &seen.reading;
    Marks { interrupted: reading.interrupted, failed: reading.failed.is_some(), finished: reading.finished }
}

#[cfg(test)]
mod tests;

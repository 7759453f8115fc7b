//! Which turns begin, end and are given up, from what is known now. Pure.

use std::time::Duration;

use super::{
    When,
    clock::Clock,
    evidence::{Doing, Frame, Said},
    reduce::{Reducer, marks},
    turns::{Marks, Open, is_strong},
};
use crate::{
    agents::{ComposerReading, signs},
    model::{Outcome, Source},
};

/// The tool's own word on an end comes at the latest this long after its status says idle.
const EDGE_WAIT: Duration = Duration::from_millis(200);

/// Work that began without a told prompt is a turn after this long, if the tool is known to tell its prompts…
const UNTOLD_WAIT: Duration = Duration::from_secs(2);

/// …or might tell them.
const PERHAPS_TOLD_WAIT: Duration = Duration::from_millis(300);

/// A mark of an end must stand this long.
const MARK_WAIT: Duration = Duration::from_millis(300);

/// Shortening a context takes no longer than this.
const LONGEST_COMPACTION: Duration = Duration::from_secs(600);

/// Something that says that the tool works.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) source: Source,
    pub(super) what: String,
    /// When it was said last.
    pub(super) at: When,
}

impl Reducer {
    /// Applies the first rule that has something to change.
    pub(super) fn apply_rules(&mut self, clock: &mut Clock) -> bool {
        if let Some((source, why)) = self.evidence.gone(self.profile.is_some()) {
            return self.give_up(clock.now, source, &why);
        }
        self.follow_work(clock);
        self.close_by_levels(clock)
            || self.close_by_answer(clock)
            || self.close_by_screen(clock)
            || self.infer_start(clock)
            || self.release_armed(clock)
            || self.release_waiting(clock)
            || self.decide_outcome(clock)
    }

    /// The tool is gone: nothing that it was given comes back.
    fn give_up(&mut self, now: When, source: Source, why: &str) -> bool {
        if self.turns.open.is_none() && self.turns.armed.is_none() && self.turns.waiting.is_empty() {
            return false;
        }
        let outcome = if self.interrupted_since_start() { Outcome::Interrupted } else { Outcome::Failed };
        self.turns.forget_prompts();
        self.close(now, source, &[], outcome, Some(why.to_owned()), why);
        true
    }

    /// Since when there is work without a turn.
    fn follow_work(&mut self, clock: &mut Clock) {
        if let Some(began) = self.evidence.compacting {
            let idle = |source| {
                self.evidence
                    .level(source)
                    .is_some_and(|level| level.doing == Doing::Idle && level.since.since > began.since)
            };
            if clock.passed(began.since + LONGEST_COMPACTION) || idle(Source::Record) || idle(Source::ProgramStatus) {
                self.evidence.compacting = None;
            }
        }
        let turnless = self.turns.open.is_none() && self.evidence.compacting.is_none();
        let works = turnless && (self.strong_work(clock).is_some() || self.weak_work(clock).is_some());
        self.work_since = if works { self.work_since.or(Some(clock.now)) } else { None };
    }

    /// What the tool itself says for work.
    pub(super) fn strong_work(&self, clock: &mut Clock) -> Option<Work> {
        for source in [Source::Record, Source::Hook, Source::ProgramStatus] {
            if let Some(level) = self.evidence.level(source)
                && level.doing == Doing::Working
            {
                return Some(Work { source, what: level.doing.words(), at: level.at });
            }
        }
        let began = self.evidence.compacting?;
        let over = clock.passed(began.since + LONGEST_COMPACTION);
        (!over).then(|| Work { source: Source::Hook, what: "shortens its context".to_owned(), at: began })
    }

    /// The tool took a prompt that it had held back, and nothing tells of its turn yet: a busy machine takes seconds.
    pub(super) fn takes_from_queue(&self, clock: &mut Clock) -> bool {
        let levels = [Source::Record, Source::ProgramStatus];
        if levels.into_iter().any(|source| self.evidence.level(source).is_some()) {
            // They say by themselves whether it works.
            return false;
        }
        let interrupted = |at: &When| self.evidence.interrupt.is_some_and(|pressed| pressed.since >= at.since);
        let taken = self.evidence.dequeued.filter(|at| !interrupted(at));
        taken.is_some_and(|at| !clock.passed(at.since + self.timings.stale_active))
    }

    /// When a strong source last said that nothing is done any more.
    fn strong_idle(&self) -> Option<When> {
        let levels = [Source::Record, Source::ProgramStatus]
            .into_iter()
            .filter_map(|source| self.evidence.level(source).filter(|level| level.doing == Doing::Idle))
            .map(|level| level.since);
        levels.chain(self.turns.strong_end).max_by_key(|when| when.since)
    }

    /// What title and screen say for work.
    pub(super) fn weak_work(&self, clock: &mut Clock) -> Option<Work> {
        let (frame, idle) = (self.evidence.frame.as_ref(), self.strong_idle());
        let composer = matches!(self.evidence.composer(), Some(ComposerReading::Empty | ComposerReading::Draft(_)));
        let held = self.turns.open.as_ref().is_some_and(Open::is_strong);
        let frozen = |clock: &mut Clock, after: Duration| {
            composer && !held && frame.is_some_and(|frame| clock.passed(frame.same_since.since + after))
        };
        // What was drawn before the tool said that it is done may be left over.
        let left_over = |clock: &mut Clock, at: When| {
            idle.is_some_and(|idle| idle.since >= at.since && clock.passed(idle.since + self.timings.completion))
        };
        if let Some(level) = self.evidence.level(Source::Title).filter(|level| level.doing == Doing::Working) {
            let stale = composer
                && frame.is_some_and(Frame::poised)
                && !held
                && clock.passed(level.at.since + self.timings.stale_active)
                && frozen(clock, self.timings.stale_active);
            if !stale && !left_over(clock, level.at) && !frozen(clock, self.timings.final_active) {
                return Some(Work { source: Source::Title, what: level.doing.words(), at: level.at });
            }
        }
        let frame = frame?;
        // A line reader that never showed a prompt is no line reader yet.
        if self.profile.is_none() && !self.evidence.prompted {
            return None;
        }
        let what = format!("the screen shows work ({})", frame.seen.reading.working.first()?);
        let over = left_over(clock, frame.at) || frozen(clock, self.timings.final_active);
        (!over).then_some(Work { source: Source::Screen, what, at: frame.at })
    }

    pub(super) fn interrupted_since_start(&self) -> bool {
        let began = self.turns.open.as_ref().map(|open| open.began.since);
        self.evidence.interrupt.is_some_and(|at| began.is_some_and(|began| at.since >= began))
    }

    /// Marks on the screen that are about the turn that runs.
    fn fresh_marks(&self) -> Marks {
        let (Some(open), Some(frame)) = (&self.turns.open, &self.evidence.frame) else { return Marks::default() };
        let (now, old) = (marks(&frame.seen), open.old_marks);
        if self.evidence.in_mode || frame.at.since < open.began.since {
            return Marks::default();
        }
        Marks {
            interrupted: now.interrupted && !old.interrupted,
            failed: now.failed && !old.failed,
            finished: now.finished && !old.finished,
        }
    }

    /// How a turn ended whose end the tool did not tell. `settled_empty`: an empty composer is proof enough.
    pub(super) fn untold_outcome(&self, settled_empty: bool) -> (Outcome, Option<String>) {
        let marks = self.fresh_marks();
        let composer = self.evidence.composer();
        let given_back = match (composer, &self.turns.open) {
            (Some(ComposerReading::Draft(text)), Some(open)) => open.is_prompt(text),
            _ => false,
        };
        if marks.interrupted || self.interrupted_since_start() || given_back {
            (Outcome::Interrupted, None)
        } else if marks.failed {
            let error = self.evidence.frame.as_ref().and_then(|frame| frame.seen.reading.failed.clone());
            (Outcome::Failed, error)
        } else if marks.finished || (settled_empty && composer == Some(&ComposerReading::Empty)) {
            (Outcome::Success, None)
        } else {
            (Outcome::Unknown, None)
        }
    }

    /// Hooks miss interrupts: what says idle as a level ends a turn that an edge began.
    fn close_by_levels(&mut self, clock: &mut Clock) -> bool {
        let Some(open) = self.turns.open.as_ref().filter(|open| open.is_strong()) else { return false };
        let levels = [Source::Record, Source::ProgramStatus, Source::Hook];
        let says = |source, doing: &Doing| self.evidence.level(source).filter(|level| level.doing == *doing);
        if levels.into_iter().any(|source| says(source, &Doing::Working).is_some()) {
            return false;
        }
        let (composed, marks) = (self.evidence.composed(), self.fresh_marks());
        let hinted = marks.interrupted || self.interrupted_since_start();
        for source in levels {
            let Some(idle) = says(source, &Doing::Idle).filter(|idle| idle.since.since > open.began.since) else {
                continue;
            };
            let wait = match (open.worked.contains(&source), open.told.is_empty() || hinted) {
                (true, true) => Duration::ZERO,
                (true, false) => EDGE_WAIT,
                // It never said that this turn works: its word may be about the time before.
                (false, _) => self.timings.completion,
            };
            if (open.worked.contains(&source) || composed) && clock.passed(idle.since.since + wait) {
                let (outcome, error) = self.untold_outcome(open.told.is_empty());
                self.close(clock.now, source, &[], outcome, error, "says that the tool waits for a prompt");
                return true;
            }
        }
        let Some(frame) = self.evidence.frame.as_ref().filter(|_| composed) else { return false };
        if self.weak_work(clock).is_some() || self.blocked(clock).is_some() {
            return false;
        }
        let title = says(Source::Title, &Doing::Idle);
        let wait = match title {
            _ if hinted => MARK_WAIT,
            Some(_) if open.worked.contains(&Source::Title) => self.timings.completion,
            Some(_) => self.timings.stale_active,
            None => self.timings.final_active,
        };
        let since = title.map_or(Duration::ZERO, |title| title.since.since).max(open.began.since);
        if !clock.passed(frame.settled_since.since.max(since) + wait) {
            return false;
        }
        let (outcome, error) = self.untold_outcome(open.record.reply.is_some());
        let (source, why) = match title {
            Some(_) => (Source::Title, "title and screen have said for a while that the tool waits for a prompt"),
            None => (Source::Screen, "the screen has shown for a while that the tool waits for a prompt"),
        };
        self.close(clock.now, source, &[], outcome, error, why);
        true
    }

    /// A tool that tells prompts and answers but no ends: after an answer its title says that it waits, and goes on saying
    /// so.
    fn close_by_answer(&mut self, clock: &mut Clock) -> bool {
        let Some(open) = self.turns.open.as_ref().filter(|open| open.worked.contains(&Source::Title)) else {
            return false;
        };
        let idle = self.evidence.level(Source::Title).filter(|level| level.doing == Doing::Idle);
        let answered = open.record.reply.is_some();
        let Some(idle) = idle.filter(|idle| answered && idle.since.since > open.began.since) else { return false };
        let since = idle.since.since;
        if self.strong_work(clock).is_some() || self.blocked(clock).is_some() {
            return false;
        }
        if !clock.passed(since + self.timings.completion) {
            return false;
        }
        let outcome = if self.interrupted_since_start() { Outcome::Interrupted } else { Outcome::Success };
        self.close(
            clock.now,
            Source::Title,
            &[],
            outcome,
            None,
            "says after an answer that the tool waits for a prompt",
        );
        true
    }

    /// A turn that only title and screen know of ends when both have settled.
    fn close_by_screen(&mut self, clock: &mut Clock) -> bool {
        let Some(open) = self.turns.open.as_ref().filter(|open| !open.is_strong()) else { return false };
        let works = self.strong_work(clock).is_some() || self.weak_work(clock).is_some();
        if works || self.blocked(clock).is_some() || !self.evidence.composed() {
            return false;
        }
        // It may be older than the turn: only a screen that changed is seen again.
        let Some(frame) = &self.evidence.frame else { return false };
        let marks = self.fresh_marks();
        let wait = if marks.interrupted || marks.failed { MARK_WAIT } else { self.timings.completion };
        let title = self.evidence.level(Source::Title).map_or(Duration::ZERO, |level| level.since.since);
        if !clock.passed(frame.settled_since.since.max(title).max(open.began.since) + wait) {
            return false;
        }
        let (outcome, error) = self.untold_outcome(true);
        self.close(clock.now, Source::Screen, &[], outcome, error, "the screen has settled at an empty composer");
        true
    }

    /// Work that no source began a turn for.
    fn infer_start(&mut self, clock: &mut Clock) -> bool {
        let Some(since) = self.work_since.filter(|_| self.turns.open.is_none()) else { return false };
        let work = if self.evidence.compacting.is_some() {
            None
        } else {
            self.strong_work(clock).or_else(|| self.weak_work(clock))
        };
        let Some(work) = work else { return false };
        // A tool that starts turns its spinner too, and nobody can have asked it anything yet.
        let starts = self.evidence.frame.as_ref().is_none_or(|frame| frame.seen.reading.starting);
        if self.profile.is_some() && self.turns.armed.is_none() && (starts || !self.evidence.prompted) {
            return false;
        }
        let armed = self.turns.armed.as_ref().filter(|armed| work.at.since > armed.at.since).map(|armed| armed.at);
        if armed.is_none() && !self.evidence.been_ready {
            return false;
        }
        let wait = if armed.is_some() {
            Duration::ZERO
        } else if !self.turns.waiting.is_empty() {
            PERHAPS_TOLD_WAIT
        } else if !is_strong(work.source) && self.is_told_better() {
            // Tools show a spinner for other things too: when they start, when they connect.
            return false;
        } else if self.evidence.edges_told || self.tells_turns() {
            UNTOLD_WAIT
        } else if self.edges_expected() {
            PERHAPS_TOLD_WAIT
        } else {
            Duration::ZERO
        };
        if !clock.passed(since.since + wait) {
            return false;
        }
        let why = Said::spoken(work.source, work.what, work.at);
        self.turns.infer(armed.unwrap_or(since), clock.now, why);
        if let Some(open) = &mut self.turns.open {
            open.worked.push(work.source);
        }
        self.begun(None);
        true
    }

    /// The tool's process is there, so its records are, too: they tell its turns, sooner or later.
    fn tells_turns(&self) -> bool {
        let known = self.profile.as_ref().is_some_and(|profile| signs::Tool::named(&profile.tool).is_some());
        known && self.evidence.process.is_some()
    }

    /// A source that is better than title and screen says now that nothing is done.
    fn is_told_better(&self) -> bool {
        [Source::Record, Source::ProgramStatus]
            .into_iter()
            .any(|source| self.evidence.level(source).is_some_and(|level| level.doing == Doing::Idle))
    }

    /// Hooks or records are there, or were heard: they tell when turns begin and end.
    pub(super) fn edges_expected(&self) -> bool {
        let up = |source| self.evidence.channels.get(&source).is_some_and(|channel| channel.up);
        self.evidence.edges_told || up(Source::Hook) || up(Source::Record)
    }

    /// A noted prompt whose turn was too quick to be seen, or that was never taken.
    fn release_armed(&mut self, clock: &mut Clock) -> bool {
        let Some(armed) = self.turns.armed.as_ref().filter(|_| self.turns.open.is_none()) else { return false };
        let (at, command, before) = (armed.at, armed.plain.starts_with('/'), armed.hash.clone());
        if self.strong_work(clock).is_some() || self.weak_work(clock).is_some() {
            return false;
        }
        let empty = self.evidence.composed() && self.evidence.composer() == Some(&ComposerReading::Empty);
        let changed = |frame: &&Frame| empty && frame.at.since > at.since && before.as_ref() != Some(&frame.seen.hash);
        let settled = self.evidence.frame.as_ref().filter(changed).map(|frame| frame.settled_since.since.max(at.since));
        // Whoever tells turns tells this one too, however late on a busy machine.
        let told = self.edges_expected() || self.tells_turns();
        if let Some(settled) = settled
            && (command || !told)
            && clock.passed(settled + self.timings.completion)
        {
            if command && self.profile.is_some() {
                self.evidence.say(clock.now, Source::Screen, "the command was carried out; it is no turn".to_owned());
                self.turns.armed = None;
                return true;
            }
            let why = Said::spoken(Source::Screen, "the screen changed, and the composer is empty again", clock.now);
            self.turns.infer(at, clock.now, why);
            self.begun(None);
            let (outcome, error) = self.untold_outcome(true);
            self.close(clock.now, Source::Screen, &[], outcome, error, "the screen has settled at an empty composer");
            return true;
        }
        let left = !self.evidence.composed() || (told && settled.is_some());
        let wait = if left { self.timings.final_active } else { self.timings.stale_active };
        if clock.passed(at.since + wait) {
            self.evidence.say(clock.now, Source::Input, "nothing shows that the noted prompt was taken".to_owned());
            self.turns.armed = None;
            return true;
        }
        false
    }

    /// Prompts that were given to the tool while it worked, and that became no turn of their own.
    fn release_waiting(&mut self, clock: &mut Clock) -> bool {
        if self.turns.waiting.is_empty() || self.turns.open.is_some() || self.work_since.is_some() {
            return false;
        }
        if self.takes_from_queue(clock) {
            return false;
        }
        let (Some(frame), true) = (&self.evidence.frame, self.evidence.composed()) else { return false };
        let queued = frame.seen.reading.queued == Some(true);
        let ended = self.turns.last_end.map_or(Duration::ZERO, |end| end.since);
        if queued || !clock.passed(frame.settled_since.since.max(ended) + self.timings.completion) {
            return false;
        }
        self.evidence.say(
            clock.now,
            Source::Screen,
            "prompts that were given meanwhile became part of that turn".to_owned(),
        );
        self.turns.waiting.clear();
        true
    }

    /// How the last turn ended, where only its screen tells.
    fn decide_outcome(&mut self, clock: &mut Clock) -> bool {
        let (Some((turn, old, ended, told)), Some(frame)) = (self.turns.unsure(), &self.evidence.frame) else {
            return false;
        };
        if self.turns.armed.is_some() || self.work_since.is_some() || !self.evidence.composed() {
            return false;
        }
        let now = marks(&frame.seen);
        let settled = frame.settled_since.since.max(ended.since);
        // What is drawn later is about something else.
        if settled > ended.since + self.timings.stale_active {
            return false;
        }
        let given_back = match (self.evidence.composer(), &turn.prompt) {
            (Some(ComposerReading::Draft(draft)), Some(prompt)) => {
                super::prompt_text::plain(draft) == super::prompt_text::plain(prompt)
            }
            _ => false,
        };
        let (outcome, error) = if (now.interrupted && !old.interrupted) || given_back {
            (Outcome::Interrupted, None)
        } else if now.failed && !old.failed {
            (Outcome::Failed, frame.seen.reading.failed.clone())
        } else if told
            && self.evidence.composer() == Some(&ComposerReading::Empty)
            && clock.passed(settled + self.timings.completion)
        {
            (Outcome::Success, None)
        } else {
            return false;
        };
        let why =
            Said::spoken(Source::Screen, format!("the screen shows how it ended ({})", outcome.name()), clock.now);
        self.turns.decide(outcome, error, why);
        true
    }

    /// Who says that the tool waits for an answer.
    pub(super) fn blocked(&self, clock: &mut Clock) -> Option<(Source, String)> {
        self.evidence.waiting(&mut |moment| clock.passed(moment))
    }
}

//! What was sensed last through each source, and for how long it counts. Pure.
//!
//! Each source keeps its own last word: a level (`Doing`) with the moment in which it was said, or a frame. Rules on top
//! of them are in `reduce`; turns, which remember more than the last word, are in `turns`.

mod frame;
mod level;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

pub(super) use frame::Frame;
pub(super) use level::{Doing, Level};

use super::{ProcessSeen, ScreenSeen, When, generic::is_shell};
use crate::{
    agents::{ComposerReading, Sign},
    model::{Source, Spoken},
};

/// Words that are kept for `explain`.
const MOST_SAID: usize = 64;

/// A dialog is on the screen at the latest this long after a hook told of it.
const DIALOG_DRAWN: Duration = Duration::from_secs(1);

/// A sense: is it there, and why not.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    pub(super) up: bool,
    pub(super) why: String,
}

/// Something that was said, for `explain`.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) at: When,
    pub(super) source: Source,
    pub(super) what: String,
    /// How often in a row.
    pub(super) times: u32,
}

impl Said {
    pub(super) fn spoken(source: Source, what: impl Into<String>, at: When) -> Spoken {
        Spoken { source, what: what.into(), at_utc: at.wall.iso_millis() }
    }
}

/// The last word of every source.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) frame: Option<Frame>,
    /// Somebody reads in copy mode since the last frame.
    pub(super) in_mode: bool,
    pub(super) process: Option<(When, ProcessSeen)>,
    pub(super) interrupt: Option<When>,
    /// The tool shortens its context: busy, and no turn.
    pub(super) compacting: Option<When>,
    /// The screen showed a prompt that the tool held back, and shows it no more: the tool took it, and it is in no
    /// composer.
    pub(super) dequeued: Option<When>,
    /// Hooks or records told an edge of a turn since the tool's process began: they will tell the next one too.
    pub(super) edges_told: bool,
    /// It was ready since the process began: what works before that starts up, and is no turn.
    pub(super) been_ready: bool,
    /// A composer was seen since the process began.
    pub(super) prompted: bool,
    levels: BTreeMap<Source, Level>,
    pub(super) channels: BTreeMap<Source, Channel>,
    pub(super) said: VecDeque<Said>,
}

impl Evidence {
    /// Keeps a word for `explain`. The same word again only counts up.
    pub(super) fn say(&mut self, when: When, source: Source, what: String) {
        if let Some(last) = self.said.iter_mut().rev().take(4).find(|said| said.source == source && said.what == what) {
            (last.at, last.times) = (when, last.times.saturating_add(1));
            return;
        }
        if self.said.len() == MOST_SAID {
            self.said.pop_front();
        }
        self.said.push_back(Said { at: when, source, what, times: 1 });
    }

    /// A capture. `true`: another process runs in the pane than before.
    pub(super) fn capture(&mut self, when: When, seen: &ScreenSeen) -> bool {
        self.in_mode = seen.in_mode;
        let respawned = self.frame.as_ref().is_some_and(|frame| frame.seen.pid != seen.pid);
        if respawned {
            self.forget();
        }
        // What copy mode shows is not what the program shows.
        if seen.in_mode && self.frame.is_some() {
            return respawned;
        }
        self.prompted |= seen.reading.composer != ComposerReading::Absent;
        let held = self.frame.as_ref().is_some_and(|frame| frame.seen.reading.queued == Some(true));
        match (seen.reading.queued, &seen.reading.composer) {
            (Some(false), ComposerReading::Empty) if held => self.dequeued = Some(when),
            // It is held again, or was given back to the composer.
            (Some(true), _) | (_, ComposerReading::Draft(_)) => self.dequeued = None,
            _ => {}
        }
        self.frame = Some(Frame::after(self.frame.take(), when, seen));
        respawned
    }

    /// The kernel's word. `true`: the tool's process is another one.
    pub(super) fn process(&mut self, when: When, seen: &ProcessSeen) -> bool {
        let other = match (&self.process, seen.pid) {
            (Some((_, ProcessSeen { pid: Some(before), .. })), Some(now)) => *before != now,
            _ => false,
        };
        if other {
            let frame = self.frame.take();
            self.forget();
            self.frame = frame;
        }
        self.process = Some((when, seen.clone()));
        other
    }

    /// What belonged to a process that is gone says nothing about the next one.
    fn forget(&mut self) {
        self.levels.clear();
        (self.process, self.interrupt, self.compacting, self.frame) = (None, None, None, None);
        self.dequeued = None;
        (self.edges_told, self.prompted, self.been_ready) = (false, false, false);
    }

    pub(super) fn channel(&mut self, source: Source, up: bool, why: &str) {
        if !up {
            self.levels.remove(&source);
        }
        self.channels.insert(source, Channel { up, why: why.to_owned() });
    }

    /// The level that a sign means, if it means one.
    pub(super) fn level_of(sign: &Sign) -> Option<Doing> {
        match sign {
            Sign::Working => Some(Doing::Working),
            Sign::Idle => Some(Doing::Idle),
            Sign::Waiting { kind, message } => Some(Doing::Waiting { kind: *kind, message: message.clone() }),
            _ => None,
        }
    }

    pub(super) fn set_level(&mut self, when: When, source: Source, doing: Doing) {
        let level = match self.levels.remove(&source) {
            Some(level) if level.doing == doing => Level { at: when, ..level },
            _ => Level { doing, since: when, at: when },
        };
        self.levels.insert(source, level);
    }

    pub(super) fn drop_level(&mut self, source: Source) {
        self.levels.remove(&source);
    }

    pub(super) fn level(&self, source: Source) -> Option<&Level> {
        self.levels.get(&source)
    }

    pub(super) fn levels(&self) -> impl Iterator<Item = (Source, &Level)> {
        self.levels.iter().map(|(source, level)| (*source, level))
    }

    /// Nothing tells when the screen changes: it is looked at now and then. The sentence says why.
    pub(super) fn short_sighted(&self) -> Option<&str> {
        self.channels.get(&Source::Screen).filter(|channel| !channel.up).map(|channel| channel.why.as_str())
    }

    /// The tool is not there: its process ended, its pane is dead, or a shell is back. `is_tool`: it is no shell itself.
    pub(super) fn gone(&self, is_tool: bool) -> Option<(Source, String)> {
        let alive = self.process.as_ref().and_then(|(_, process)| process.alive);
        let seen = self.frame.as_ref().map(|frame| &frame.seen);
        if seen.is_some_and(|seen| seen.dead) {
            return Some((Source::Screen, "the pane's process has ended".to_owned()));
        }
        if alive == Some(false) {
            return Some((Source::Process, "the tool's process has ended".to_owned()));
        }
        let seen = seen?;
        if is_tool && is_shell(&seen.command) && alive != Some(true) {
            return Some((Source::Screen, format!("`{}` runs in the foreground, not the tool", seen.command)));
        }
        (seen.reading.gone && alive != Some(true))
            .then(|| (Source::Screen, "the screen is a shell's: the tool has left".to_owned()))
    }

    /// Who says that the tool waits for an answer, strongest first, and what they say.
    pub(super) fn waiting(&self, expires: &mut dyn FnMut(Duration) -> bool) -> Option<(Source, String)> {
        for (source, level) in self.levels() {
            let Doing::Waiting { kind, message } = &level.doing else { continue };
            // A hook tells the question and never the answer; the screen tells both.
            let answered = source == Source::Hook
                && self.frame.as_ref().is_some_and(|frame| {
                    frame.seen.reading.dialog.is_none()
                        && frame.at.since > level.at.since
                        && expires(level.at.since + DIALOG_DRAWN)
                });
            let overruled = source == Source::Hook
                && self.level(Source::Record).is_some_and(|record| {
                    !matches!(record.doing, Doing::Waiting { .. }) && record.since.since > level.at.since
                });
            if !answered && !overruled {
                let what = message.clone().unwrap_or_else(|| format!("waits for an answer ({})", kind.name()));
                return Some((source, what));
            }
        }
        let frame = self.frame.as_ref()?;
        frame.seen.reading.dialog.as_ref().map(|dialog| (Source::Screen, dialog.title.clone()))
    }

    /// The composer, if the frame can be trusted to show it now.
    pub(super) fn composer(&self) -> Option<&ComposerReading> {
        let frame = self.frame.as_ref().filter(|_| !self.in_mode)?;
        Some(&frame.seen.reading.composer)
    }

    /// A composer stands there that takes a text now, whatever stands in it.
    pub(super) fn composed(&self) -> bool {
        matches!(self.composer(), Some(ComposerReading::Empty | ComposerReading::Draft(_)))
            && self.frame.as_ref().is_some_and(Frame::poised)
    }
}

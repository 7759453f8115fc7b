//! Why the state is what it is: every source's last word, its age, and whether it counts. Pure.

use std::time::Duration;

use super::{
    When,
    clock::Clock,
    evidence::{Doing, Level},
    reduce::Reducer,
    turns::is_strong,
};
use crate::{
    api::{Explanation, Ground, Heard},
    model::Source,
};

impl Reducer {
    /// All of it, at this moment.
    pub fn explain(&self, now: When) -> Explanation {
        let state = self.state();
        let heard = self.evidence.said.iter().map(|said| Heard {
            source: said.source.name().to_owned(),
            what: said.what.clone(),
            at_utc: said.at.wall.iso_millis(),
            times: said.times,
        });
        let deaf = self.evidence.channels.iter().filter(|(_, channel)| !channel.up);
        Explanation {
            phase: state.phase.name().to_owned(),
            since_utc: state.phase_since.wall.iso_millis(),
            why: state.why.clone(),
            profile: self.profile.as_ref().map(|profile| profile.name.clone()),
            fit: self.profile.as_ref().map(|profile| profile.fit.name().to_owned()),
            tool_version: state.process.as_ref().and_then(|process| process.version.clone()),
            conservative: self.conservative().map(str::to_owned),
            turn: state.turn.clone(),
            awaited_prompt: state.awaited,
            grounds: self.grounds(now),
            rules: state.probe.as_ref().map(|probe| probe.fired.clone()).unwrap_or_default(),
            deaf: deaf.map(|(source, channel)| (source.name().to_owned(), channel.why.clone())).collect(),
            heard: heard.collect(),
            next_tick_seconds: self.next().map(|next| seconds(next.saturating_sub(now.since))),
        }
    }

    fn grounds(&self, now: When) -> Vec<Ground> {
        let mut clock = Clock::at(now);
        let mut grounds = Vec::new();
        let mut add = |source: Source, says: String, speaks_for: &str, counts: bool, note: Option<String>, at: When| {
            let age_seconds = seconds(now.since.saturating_sub(at.since));
            let (source, speaks_for, at_utc) = (source.name().to_owned(), speaks_for.to_owned(), at.wall.iso_millis());
            grounds.push(Ground { source, says, speaks_for, counts, note, at_utc, age_seconds });
        };
        if let Some((at, process)) = &self.evidence.process {
            let (says, speaks_for) = match process.alive {
                Some(true) => (format!("the tool's process runs ({})", process.names.join(", ")), "ready"),
                Some(false) => ("the tool's process has ended".to_owned(), "unknown"),
                None => ("nobody can tell whether the tool's process runs".to_owned(), "unknown"),
            };
            add(Source::Process, says, speaks_for, process.alive.is_some(), None, *at);
        }
        if let Some(armed) = &self.turns.armed {
            let note = format!(
                "given up {} s after it, if nothing shows that it was taken",
                self.timings.stale_active.as_secs_f64()
            );
            add(Source::Input, "a prompt was submitted".to_owned(), "active", true, Some(note), armed.at);
        }
        if let Some(open) = &self.turns.open {
            let told: Vec<&str> = open.told.iter().chain(&open.worked).map(|source| source.name()).collect();
            let source = open.told.iter().chain(&open.worked).copied().min().unwrap_or(Source::Input);
            let says = format!("turn {} runs (told by {})", open.record.id, told.join(", "));
            add(source, says, "active", true, None, open.began);
        }
        let work = self.weak_work(&mut clock);
        // All but the process say the same as before when it was killed.
        let gone = self.evidence.gone(self.profile.is_some());
        let from_before = || gone.as_ref().map(|_| "from before the tool was gone".to_owned());
        for (source, level) in self.evidence.levels() {
            let overruled = !is_strong(source)
                && level.doing == Doing::Working
                && work.as_ref().is_none_or(|work| work.source != source);
            let note = overruled.then(|| "older than what a stronger source says, or not renewed for long".to_owned());
            let note = from_before().or(note);
            add(source, level.doing.words(), speaks_for(level), !overruled && gone.is_none(), note, level.at);
        }
        if let Some(frame) = &self.evidence.frame {
            let reading = &frame.seen.reading;
            let (says, speaks_for) =
                if let Some((_, why)) = gone.as_ref().filter(|(source, _)| *source == Source::Screen) {
                    (why.clone(), "unknown")
                } else if let Some(dialog) = &reading.dialog {
                    (format!("shows a question: {}", dialog.title), "blocked")
                } else if let Some(rule) = reading.working.first() {
                    (format!("shows work ({rule})"), "active")
                } else if frame.poised() {
                    ("shows a composer that takes text".to_owned(), "ready")
                } else {
                    ("shows nothing that proves a state".to_owned(), "unknown")
                };
            let overruled = speaks_for == "active" && work.as_ref().is_none_or(|work| work.source != Source::Screen);
            let by_screen = gone.as_ref().is_some_and(|(source, _)| *source == Source::Screen);
            let left_over = gone.is_some() && !by_screen;
            let note = if left_over {
                from_before()
            } else if self.evidence.in_mode {
                Some("somebody reads in copy mode since then".to_owned())
            } else if overruled {
                Some("older than what a stronger source says, or a stronger sign of the same".to_owned())
            } else {
                self.evidence.short_sighted().map(str::to_owned)
            };
            let counts = !overruled && !left_over && !self.evidence.in_mode;
            add(Source::Screen, says, speaks_for, counts, note, frame.at);
        }
        grounds
    }
}

fn speaks_for(level: &Level) -> &'static str {
    match level.doing {
        Doing::Working => "active",
        Doing::Idle => "ready",
        Doing::Waiting { .. } => "blocked",
    }
}

fn seconds(span: Duration) -> f64 {
    // Milliseconds are enough for a person.
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)).as_secs_f64()
}

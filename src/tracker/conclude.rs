//! What all the evidence means now. Pure.

use std::sync::Arc;

use sha1::{Digest, Sha1};

use super::{
    clock::Clock,
    evidence::Frame,
    reduce::Reducer,
    state::{Diagnostics, LastTurn, Phase, Probe, ResultSource, Stability, State, Surface, Tri},
};
use crate::{
    agents::ComposerReading,
    model::{Outcome, Source},
};

impl Reducer {
    /// Draws the conclusion, and remembers since when it holds.
    pub(super) fn conclude(&mut self, clock: &mut Clock) {
        let gone = self.evidence.gone(self.profile.is_some());
        let blocked = if gone.is_some() { None } else { self.blocked(clock) };
        let (phase, mut why) = self.phase(clock, gone.as_ref().map(|gone| gone.1.as_str()), blocked.is_some());
        self.evidence.been_ready |= phase == Phase::Ready;
        let surface = self.surface(phase, gone.is_some(), blocked.is_some());
        let before = &self.state;
        let phase_since = if before.phase == phase { before.phase_since } else { clock.now };
        if phase == Phase::Unknown && clock.passed(phase_since.since + self.timings.stalled) {
            why = why.map(|why| format!("stalled: {why}"));
        }
        let last_turn = self.last_turn();
        let signature = self.signature(phase, surface, &last_turn, blocked.as_ref());
        let same = before.stability.signature == signature;
        let since = if same { before.stability.since } else { clock.now };
        let stable = clock.passed(since.since + self.timings.stability);
        let frame = self.evidence.frame.as_ref();
        let dialog = frame.filter(|_| blocked.is_some()).and_then(|frame| frame.seen.reading.dialog.clone());
        let probe = match (&before.probe, frame) {
            (Some(probe), Some(frame)) if probe.at == frame.at => Some(probe.clone()),
            (_, frame) => frame.map(|frame| Arc::new(probe(frame))),
        };
        self.state = State {
            phase,
            phase_since,
            why,
            surface,
            turn: self.turns.open.as_ref().map(|open| open.record.clone()),
            awaited: self.turns.armed.is_some(),
            last_turn,
            stability: Stability { signature, stable, since },
            diagnostics: self.diagnostics(gone.is_some()),
            dialog,
            blocked_by: blocked,
            process: self.evidence.process.as_ref().map(|(_, seen)| seen.clone()),
            prompts_taken: self.turns.taken,
            probe,
        };
    }

    fn phase(&self, clock: &mut Clock, gone: Option<&str>, blocked: bool) -> (Phase, Option<String>) {
        if let Some(gone) = gone {
            return (Phase::Unknown, Some(gone.to_owned()));
        }
        if blocked {
            return (Phase::Blocked, None);
        }
        let works = self.strong_work(clock).is_some() || self.weak_work(clock).is_some();
        let expected = self.turns.open.is_some() || self.turns.armed.is_some() || self.takes_from_queue(clock);
        if works || expected {
            return (Phase::Active, None);
        }
        let Some(frame) = &self.evidence.frame else {
            return (Phase::Unknown, Some("nothing was seen of the screen yet".to_owned()));
        };
        if !self.evidence.in_mode && frame.poised() {
            return (Phase::Ready, None);
        }
        (Phase::Unknown, Some(self.why_not_ready(frame)))
    }

    fn why_not_ready(&self, frame: &Frame) -> String {
        let reading = &frame.seen.reading;
        let why = if self.evidence.in_mode {
            "somebody reads in the pane's copy mode"
        } else if reading.starting {
            "the tool is starting"
        } else if reading.menu {
            "a menu of the composer is open"
        } else if reading.composer == ComposerReading::Unclear {
            "a composer is there, and whether it is empty cannot be told"
        } else {
            "no composer is on the screen, and nothing says that the tool works"
        };
        match self.conservative() {
            Some(conservative) => format!("{why}; {conservative}"),
            None => why.to_owned(),
        }
    }

    fn surface(&self, phase: Phase, gone: bool, blocked: bool) -> Surface {
        let Some(frame) = &self.evidence.frame else { return Surface::default() };
        if gone || self.evidence.in_mode {
            return Surface::default();
        }
        if blocked {
            return Surface {
                accepting_input: Tri::No,
                editing_input: Tri::No,
                ready_posture: Tri::No,
                pending_input: Tri::No,
            };
        }
        let reading = &frame.seen.reading;
        let (accepting, editing) = match reading.composer {
            ComposerReading::Absent => (Tri::No, Tri::No),
            ComposerReading::Empty => (Tri::Yes, Tri::No),
            ComposerReading::Draft(_) => (Tri::Yes, Tri::Yes),
            ComposerReading::Unclear => (Tri::Yes, Tri::Unknown),
        };
        let ready_posture = match phase {
            Phase::Ready => Tri::Yes,
            _ if reading.menu || reading.composer == ComposerReading::Unclear => Tri::Unknown,
            _ => Tri::No,
        };
        let accepting_input = if reading.starting { Tri::No } else { accepting };
        // A draft is held by the composer, not by the tool; without a composer nobody can look.
        let pending_input = match reading.queued {
            None if reading.composer == ComposerReading::Empty && self.turns.waiting.is_empty() => Tri::No,
            queued => queued.into(),
        };
        Surface { accepting_input, editing_input: editing, ready_posture, pending_input }
    }

    fn last_turn(&self) -> LastTurn {
        // A turn that runs, or is about to, clears the result of the one before.
        if self.turns.open.is_some() || self.turns.armed.is_some() {
            return LastTurn::default();
        }
        let (Some(last), Some(ended)) = (self.turns.last(), self.turns.last_end) else { return LastTurn::default() };
        let told_by_hook = last.ended_by.iter().any(|spoken| spoken.source == Source::Hook);
        let source = match last.outcome {
            None | Some(Outcome::Unknown) => ResultSource::None,
            _ if last.request_id.is_some() || self.turns.last_was_noted() => ResultSource::ExplicitInput,
            _ if told_by_hook => ResultSource::HookObservation,
            _ => ResultSource::SurfaceInference,
        };
        LastTurn { outcome: last.outcome, source, updated: Some(ended.wall), error_class: last.error.clone() }
    }

    /// Stands for everything that a caller sees of the state, and for what bears structure on the screen.
    fn signature(&self, phase: Phase, surface: Surface, last: &LastTurn, blocked: Option<&(Source, String)>) -> String {
        let mut hash = Sha1::new();
        let mut add = |text: &str| {
            hash.update(text.as_bytes());
            hash.update([0]);
        };
        add(phase.name());
        for one in [surface.accepting_input, surface.editing_input, surface.ready_posture, surface.pending_input] {
            add(one.name());
        }
        add(last.result());
        add(self.turns.open.as_ref().map_or("", |open| open.record.id.as_str()));
        add(blocked.map_or("", |(_, what)| what));
        if let Some(frame) = &self.evidence.frame {
            let reading = &frame.seen.reading;
            add(if reading.signature.is_empty() { &frame.seen.hash } else { &reading.signature });
            if let ComposerReading::Draft(draft) = &reading.composer {
                add(draft);
            }
        }
        format!("{:x}", hash.finalize())
    }

    fn diagnostics(&self, gone: bool) -> Diagnostics {
        let seen = self.evidence.frame.is_some();
        let alive = self.evidence.process.as_ref().and_then(|(_, process)| process.alive);
        let (availability, parse_status) = match (gone, seen) {
            (true, _) => ("tui_down", "skipped_tui_down"),
            (false, true) => ("available", "parsed"),
            (false, false) => ("unknown", "transport_unavailable"),
        };
        let process_state = match (gone, alive, seen) {
            (true, _, _) => "tui_down",
            (false, Some(true), _) | (false, None, true) => "tui_up",
            _ => "unknown",
        };
        let hook_channel = self.evidence.channels.get(&Source::Hook);
        Diagnostics {
            availability,
            transport_state: "tmux_up",
            process_state,
            parse_status,
            probe_error: None,
            hook_channel: hook_channel.map(|channel| if channel.up { "active" } else { "unavailable" }),
        }
    }
}

fn probe(frame: &Frame) -> Probe {
    let seen = &frame.seen;
    Probe {
        at: frame.at,
        pane: seen.pane,
        pid: seen.pid,
        hash: seen.hash.clone(),
        length: seen.length,
        excerpt: seen.excerpt.clone(),
        fired: seen.reading.fired.iter().map(|fired| fired.rule.clone()).collect(),
    }
}

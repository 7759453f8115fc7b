//! What the state was: bounded, and kept as differences. Pure.
//!
//! An entry costs what changed. The first one is whole; reading adds the differences up again.

use std::{collections::VecDeque, sync::Arc};

use super::{
    When,
    state::{Diagnostics, LastTurn, Phase, Probe, State, Surface},
};
use crate::{agents::Dialog, api::TransitionView};

/// Most entries.
const MOST: usize = 1000;

/// Most bytes of kept text.
const MOST_BYTES: usize = 1024 * 1024;

/// Most transitions.
const MOST_TRANSITIONS: usize = 24;

/// The state at one moment of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// When.
    pub(super) at: When,
    /// As in [`State`].
    pub(super) phase: Phase,
    /// As in [`State`].
    pub(super) surface: Surface,
    /// As in [`State`].
    pub(super) last_turn: LastTurn,
    /// As in [`State`].
    pub(super) diagnostics: Diagnostics,
    /// As in [`State`].
    pub(super) signature: String,
    /// It had not changed for the threshold.
    pub(super) stable: bool,
    /// Since when it had not changed.
    pub(super) stable_since: When,
    /// The open dialog.
    pub(super) dialog: Option<Dialog>,
    /// The last capture.
    pub(super) probe: Option<Arc<Probe>>,
}

impl Snapshot {
    /// What is kept of a state.
    pub(super) fn of(at: When, state: &State) -> Self {
        Self {
            at,
            phase: state.phase,
            surface: state.surface,
            last_turn: state.last_turn.clone(),
            diagnostics: state.diagnostics.clone(),
            signature: state.stability.signature.clone(),
            stable: state.stability.stable,
            stable_since: state.stability.since,
            dialog: state.dialog.clone(),
            probe: state.probe.clone(),
        }
    }

    /// Something that a person sees is different, and not only the screen.
    fn differs(&self, state: &State) -> bool {
        (self.phase, self.surface, self.stable, &self.last_turn, &self.diagnostics, &self.dialog)
            != (state.phase, state.surface, state.stability.stable, &state.last_turn, &state.diagnostics, &state.dialog)
    }
}

/// What became of something that may be there or not.
#[derive(Debug)]
enum Changed<T> {
    No,
    Gone,
    Now(Box<T>),
}

impl<T> Changed<T> {
    /// Between these two, where `now` makes what is kept of the new one.
    fn between<S: PartialEq>(old: Option<&S>, new: Option<&S>, now: impl FnOnce(&S) -> T) -> Self {
        match new {
            _ if old == new => Self::No,
            Some(new) => Self::Now(Box::new(now(new))),
            None => Self::Gone,
        }
    }

    fn now(&self) -> Option<&T> {
        if let Self::Now(now) = self { Some(now) } else { None }
    }
}

/// What one entry changed.
#[derive(Debug)]
struct Step {
    at: When,
    phase: Phase,
    surface: Surface,
    stable: bool,
    stable_since: When,
    signature: Option<String>,
    last_turn: Option<LastTurn>,
    diagnostics: Option<Box<Diagnostics>>,
    dialog: Changed<Dialog>,
    probe: Changed<ProbeStep>,
    bytes: usize,
}

/// A capture as the difference to the one before: all of it but the text, and the text's changed middle.
#[derive(Debug)]
struct ProbeStep {
    rest: Probe,
    head: usize,
    tail: usize,
}

impl Step {
    fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let text = old.probe.as_ref().map_or("", |probe| probe.excerpt.as_str());
        let probe = Changed::between(old.probe.as_ref(), new.probe.as_ref(), |probe| ProbeStep::between(text, probe));
        let dialog = Changed::between(old.dialog.as_ref(), new.dialog.as_ref(), Dialog::clone);
        let drawn = probe.now().map_or(0, |probe| probe.rest.excerpt.len());
        let asked = dialog.now().map_or(0, |dialog| dialog.text.len());
        Self {
            at: new.at,
            phase: new.phase,
            surface: new.surface,
            stable: new.stable,
            stable_since: new.stable_since,
            signature: (old.signature != new.signature).then(|| new.signature.clone()),
            last_turn: (old.last_turn != new.last_turn).then(|| new.last_turn.clone()),
            diagnostics: (old.diagnostics != new.diagnostics).then(|| Box::new(new.diagnostics.clone())),
            dialog,
            probe,
            bytes: drawn + asked,
        }
    }

    fn apply(&self, to: &mut Snapshot) {
        (to.at, to.phase, to.surface) = (self.at, self.phase, self.surface);
        (to.stable, to.stable_since) = (self.stable, self.stable_since);
        if let Some(signature) = &self.signature {
            to.signature.clone_from(signature);
        }
        if let Some(last_turn) = &self.last_turn {
            to.last_turn.clone_from(last_turn);
        }
        if let Some(diagnostics) = &self.diagnostics {
            to.diagnostics = (**diagnostics).clone();
        }
        match &self.dialog {
            Changed::No => {}
            Changed::Gone => to.dialog = None,
            Changed::Now(dialog) => to.dialog = Some((**dialog).clone()),
        }
        match &self.probe {
            Changed::No => {}
            Changed::Gone => to.probe = None,
            Changed::Now(step) => {
                let text = to.probe.as_ref().map_or("", |probe| probe.excerpt.as_str());
                to.probe = Some(Arc::new(step.whole(text)));
            }
        }
    }
}

impl ProbeStep {
    fn between(old: &str, new: &Probe) -> Self {
        let text = new.excerpt.as_str();
        let mut head = old.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
        while !text.is_char_boundary(head) || !old.is_char_boundary(head) {
            head -= 1;
        }
        let most = (old.len() - head).min(text.len() - head);
        let mut tail = old.bytes().rev().zip(text.bytes().rev()).take(most).take_while(|(a, b)| a == b).count();
        while !text.is_char_boundary(text.len() - tail) || !old.is_char_boundary(old.len() - tail) {
            tail -= 1;
        }
        let middle = text[head..text.len() - tail].to_owned();
        Self { rest: Probe { excerpt: middle, ..new.clone() }, head, tail }
    }

    fn whole(&self, old: &str) -> Probe {
        let (head, tail) = (&old[..self.head], &old[old.len() - self.tail..]);
        Probe { excerpt: format!("{head}{}{tail}", self.rest.excerpt), ..self.rest.clone() }
    }
}

/// The past of one session.
#[derive(Debug, Default)]
pub(super) struct History {
    first: Option<Snapshot>,
    last: Option<Snapshot>,
    steps: VecDeque<Step>,
    bytes: usize,
    transitions: VecDeque<TransitionView>,
}

impl History {
    /// Keeps a state, if a person would see a difference.
    pub(super) fn record(&mut self, at: When, state: &State) {
        let Some(last) = &self.last else {
            let snapshot = Snapshot::of(at, state);
            (self.first, self.last) = (Some(snapshot.clone()), Some(snapshot));
            return;
        };
        if !last.differs(state) {
            return;
        }
        let new = Snapshot::of(at, state);
        if let Some(transition) = transition(last, &new) {
            if self.transitions.len() == MOST_TRANSITIONS {
                self.transitions.pop_front();
            }
            self.transitions.push_back(transition);
        }
        let step = Step::between(last, &new);
        self.bytes += step.bytes;
        self.steps.push_back(step);
        self.last = Some(new);
        while self.steps.len() >= MOST || self.bytes > MOST_BYTES {
            let (Some(step), Some(first)) = (self.steps.pop_front(), &mut self.first) else { return };
            step.apply(first);
            self.bytes -= step.bytes;
        }
    }

    /// The newest entries, oldest first; `None`: all that are kept.
    pub(super) fn read(&self, limit: Option<usize>) -> Vec<Snapshot> {
        let Some(mut now) = self.first.clone() else { return Vec::new() };
        let count = self.steps.len() + 1;
        let skip = count.saturating_sub(limit.unwrap_or(count));
        let mut all = Vec::with_capacity(count - skip);
        for at in 0..count {
            if let Some(step) = at.checked_sub(1).and_then(|at| self.steps.get(at)) {
                step.apply(&mut now);
            }
            if at >= skip {
                all.push(now.clone());
            }
        }
        all
    }

    /// The last changes that a person may care about, oldest first; at most 24.
    pub(super) fn transitions(&self) -> impl Iterator<Item = &TransitionView> {
        self.transitions.iter()
    }
}

fn transition(old: &Snapshot, new: &Snapshot) -> Option<TransitionView> {
    let fields = |one: &Snapshot| {
        let (diagnostics, last) = (&one.diagnostics, &one.last_turn);
        [
            ("diagnostics_availability", diagnostics.availability),
            ("surface_pending_input", one.surface.pending_input.name()),
            ("turn_phase", one.phase.name()),
            ("last_turn_result", last.result()),
            ("last_turn_source", last.source.name()),
            ("transport_state", diagnostics.transport_state),
            ("process_state", diagnostics.process_state),
            ("parse_status", diagnostics.parse_status),
        ]
    };
    let (before, after) = (fields(old), fields(new));
    let changed: Vec<_> = before.iter().zip(&after).filter(|(old, new)| old.1 != new.1).collect();
    if changed.is_empty() {
        return None;
    }
    let words: Vec<String> =
        changed.iter().map(|(old, new)| format!("{}: '{}' -> '{}'", new.0, old.1, new.1)).collect();
    let is = |at: usize| after[at].1.to_owned();
    Some(TransitionView {
        recorded_at_utc: new.at.wall.iso_seconds(),
        summary: words.join("; "),
        changed_fields: changed.iter().map(|(_, new)| new.0.to_owned()).collect(),
        diagnostics_availability: is(0),
        surface_pending_input: is(1),
        turn_phase: is(2),
        last_turn_result: is(3),
        last_turn_source: is(4),
        transport_state: is(5),
        process_state: is(6),
        parse_status: is(7),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::Moment;

    fn when(seconds: u64) -> When {
        let since = Duration::from_secs(seconds);
        When { since, wall: Moment::parse("2026-11-21T12:00:00+00:00").unwrap().after(since) }
    }

    fn state(seconds: u64, phase: Phase, text: &str) -> State {
        let probe = Probe {
            at: when(seconds),
            pane: "%0".parse().unwrap(),
            pid: 1,
            hash: text.to_owned(),
            length: text.len(),
            excerpt: text.to_owned(),
            fired: vec![],
        };
        State { phase, probe: Some(Arc::new(probe)), ..State::nothing(when(seconds)) }
    }

    #[test]
    fn a_thousand_entries_are_kept_and_the_oldest_goes_first() {
        let mut history = History::default();
        for second in 0..1500 {
            let phase = if second % 2 == 0 { Phase::Ready } else { Phase::Active };
            history.record(when(second), &state(second, phase, &format!("row {second}")));
        }
        let all = history.read(None);
        assert_eq!(all.len(), 1000);
        assert_eq!(all[0].at, when(500));
        assert_eq!(all[999].probe.as_ref().unwrap().excerpt, "row 1499");
        assert_eq!(history.read(Some(3)).len(), 3);
        assert_eq!(history.read(Some(3))[0].at, when(1497));
        assert_eq!(history.transitions().count(), 24);
        assert_eq!(history.transitions().last().unwrap().changed_fields, ["turn_phase"]);
    }

    #[test]
    fn another_screen_of_the_same_state_is_no_entry() {
        let mut history = History::default();
        history.record(when(0), &state(0, Phase::Active, "a"));
        history.record(when(1), &state(1, Phase::Active, "b"));
        assert_eq!(history.read(None).len(), 1);
    }

    #[test]
    fn large_screens_are_bounded_by_their_bytes() {
        let mut history = History::default();
        for second in 0..900_u64 {
            let phase = if second % 2 == 0 { Phase::Ready } else { Phase::Active };
            let text = char::from(b'a' + u8::try_from(second % 26).unwrap()).to_string().repeat(4000);
            history.record(when(second), &state(second, phase, &text));
        }
        assert!(history.bytes <= MOST_BYTES);
        assert_eq!(history.read(None).last().unwrap().at, when(899));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_recorded(texts in proptest::collection::vec("[aé\n]{0,12}", 1..40)) {
            let mut history = History::default();
            let mut expected = Vec::new();
            for (second, text) in (0_u64..).zip(&texts) {
                let phase = if second % 2 == 0 { Phase::Ready } else { Phase::Unknown };
                let state = state(second, phase, text);
                history.record(when(second), &state);
                expected.push(Snapshot::of(when(second), &state));
            }
            prop_assert_eq!(history.read(None), expected);
        }
    }
}

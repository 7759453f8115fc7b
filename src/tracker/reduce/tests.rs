//! Sequences of observations, as real tools give them, and what must follow.

use super::*;
use crate::{
    agents::{ComposerReading, Dialog, DialogKind, ScreenReading},
    model::Moment,
    tracker::{Phase, ProcessSeen, Tri},
};

mod claude;
mod codex;
mod gemini;
mod plain_screens;
mod random;

/// A reducer, its clock and all edges so far.
pub(super) struct Play {
    pub(super) reducer: Reducer,
    pub(super) now: Duration,
    pub(super) edges: Vec<TurnEdge>,
    /// Every phase and the moment in which it began, in milliseconds.
    pub(super) phases: Vec<(u64, Phase)>,
}

pub(super) fn when(since: Duration) -> When {
    let base = Moment::parse("2026-11-21T12:00:00+00:00").unwrap();
    When { since, wall: base.after(since) }
}

impl Play {
    pub(super) fn of(tool: Option<&str>) -> Self {
        let profile = tool.map(|tool| Profile::find(tool, None).unwrap());
        let reducer = Reducer::new(profile, Timings::default(), when(Duration::ZERO));
        Self { reducer, now: Duration::ZERO, edges: Vec::new(), phases: vec![(0, Phase::Unknown)] }
    }

    pub(super) fn take(&mut self, source: Source, seen: Seen) -> &mut Self {
        let edges = self.reducer.take(when(self.now), &Observation { source, seen });
        self.edges.extend(edges);
        self.record()
    }

    fn record(&mut self) -> &mut Self {
        let phase = self.phase();
        if self.phases.last().is_none_or(|last| last.1 != phase) {
            self.phases.push((u64::try_from(self.now.as_millis()).unwrap(), phase));
        }
        self
    }

    /// Time passes; ticks come when they are due.
    pub(super) fn wait(&mut self, millis: u64) -> &mut Self {
        let end = self.now + Duration::from_millis(millis);
        while let Some(next) = self.reducer.next().filter(|next| *next <= end) {
            assert!(next > self.now || self.now == end, "a tick that is due at once would never end");
            self.now = next;
            let edges = self.reducer.tick(when(self.now));
            self.edges.extend(edges);
            self.record();
        }
        self.now = end;
        self
    }

    pub(super) fn phase(&self) -> Phase {
        self.reducer.state().phase
    }

    pub(super) fn sign(&mut self, source: Source, sign: Sign) -> &mut Self {
        self.take(source, Seen::Sign(sign))
    }

    pub(super) fn screen(&mut self, reading: ScreenReading) -> &mut Self {
        self.take(Source::Screen, Seen::Screen(Box::new(screen(reading))))
    }

    pub(super) fn note(&mut self, text: &str) -> &mut Self {
        self.take(Source::Input, Seen::Noted { request: "gwreq-1".parse().ok(), text: text.to_owned() })
    }

    pub(super) fn process(&mut self, alive: bool) -> &mut Self {
        let seen = ProcessSeen { alive: Some(alive), pid: Some(7), ..ProcessSeen::default() };
        self.take(Source::Process, Seen::Process(seen))
    }

    pub(super) fn ended(&self) -> Vec<&TurnRecord> {
        self.edges.iter().filter_map(|edge| if let TurnEdge::Ended(turn) = edge { Some(turn) } else { None }).collect()
    }

    pub(super) fn amended(&self) -> Vec<&TurnRecord> {
        self.edges
            .iter()
            .filter_map(|edge| if let TurnEdge::Amended(turn) = edge { Some(turn) } else { None })
            .collect()
    }

    pub(super) fn started(&self) -> usize {
        self.edges.iter().filter(|edge| matches!(edge, TurnEdge::Started(_))).count()
    }
}

/// A screen whose text is what was read from it.
pub(super) fn screen(reading: ScreenReading) -> ScreenSeen {
    let hash = format!("{reading:?}");
    ScreenSeen {
        pane: "%0".parse().unwrap(),
        pid: 7,
        dead: false,
        in_mode: false,
        command: "tool".to_owned(),
        title: String::new(),
        hash,
        length: 1,
        excerpt: String::new(),
        reading: ScreenReading {
            signature: if reading.signature.is_empty() { format!("{reading:?}") } else { reading.signature.clone() },
            ..reading
        },
    }
}

pub(super) fn idle() -> ScreenReading {
    ScreenReading { composer: ComposerReading::Empty, queued: Some(false), ..ScreenReading::default() }
}

pub(super) fn working(text: &str) -> ScreenReading {
    ScreenReading { working: vec!["busy".to_owned()], signature: text.to_owned(), ..idle() }
}

pub(super) fn draft(text: &str) -> ScreenReading {
    ScreenReading { composer: ComposerReading::Draft(text.to_owned()), ..idle() }
}

pub(super) fn dialog() -> ScreenReading {
    let dialog =
        Dialog { kind: DialogKind::Permission, title: "Run it?".into(), text: "Run it?".into(), choices: vec![] };
    ScreenReading { dialog: Some(dialog), ..ScreenReading::default() }
}

pub(super) fn prompt(text: &str, turn: Option<&str>) -> Sign {
    Sign::PromptTaken { text: Some(text.to_owned()), turn: turn.map(str::to_owned), queued: false }
}

pub(super) fn end(outcome: Outcome, reply: Option<&str>) -> Sign {
    Sign::TurnEnded { turn: None, outcome, reply: reply.map(str::to_owned), exact: true, error: None }
}

#[test]
fn nothing_seen_is_unknown_and_says_why() {
    let play = Play::of(Some("claude"));
    let state = play.reducer.state();
    assert_eq!(state.phase, Phase::Unknown);
    assert!(state.why.is_some());
    assert_eq!(state.surface.ready_posture, Tri::Unknown);
}

#[test]
fn unknown_for_long_is_called_stalled() {
    let mut play = Play::of(Some("claude"));
    play.wait(29_900);
    assert!(!play.reducer.state().why.as_deref().unwrap().starts_with("stalled"));
    play.wait(200);
    assert!(play.reducer.state().why.as_deref().unwrap().starts_with("stalled"));
}

#[test]
fn stable_after_its_time_and_equal_states_have_equal_signatures() {
    let mut play = Play::of(Some("claude"));
    play.screen(idle()).wait(900);
    let early = play.reducer.state().stability.clone();
    assert!(!early.stable);
    play.screen(idle()).wait(200);
    let late = play.reducer.state().stability.clone();
    assert!(late.stable);
    assert_eq!((late.signature, late.since), (early.signature, early.since));
}

#[test]
fn a_dead_process_wins_over_everything_that_still_says_idle() {
    let mut play = Play::of(Some("claude"));
    play.process(true).screen(idle()).sign(Source::Record, Sign::Idle).sign(Source::Title, Sign::Idle).wait(5);
    assert_eq!(play.phase(), Phase::Ready);
    play.process(false);
    let state = play.reducer.state();
    assert_eq!(state.phase, Phase::Unknown);
    assert_eq!(state.diagnostics.availability, "tui_down");
    assert_eq!(state.diagnostics.process_state, "tui_down");
}

#[test]
fn a_crash_in_a_turn_is_its_end() {
    let mut play = Play::of(Some("claude"));
    play.process(true)
        .screen(idle())
        .note("hi")
        .wait(80)
        .sign(Source::Hook, prompt("hi", None))
        .wait(500)
        .process(false);
    assert_eq!(play.ended()[0].outcome, Some(Outcome::Failed));
    assert!(play.ended()[0].error.is_some());
}

#[test]
fn a_dialog_blocks_whatever_title_and_records_say() {
    let mut play = Play::of(Some("claude"));
    play.screen(dialog()).sign(Source::Title, Sign::Idle).sign(Source::Record, Sign::Idle);
    assert_eq!(play.phase(), Phase::Blocked);
    assert_eq!(play.reducer.state().surface.accepting_input, Tri::No);
    play.screen(idle());
    assert_eq!(play.phase(), Phase::Ready);
}

#[test]
fn a_session_of_a_tool_with_a_shell_in_front_is_down() {
    let mut play = Play::of(Some("codex"));
    let seen = ScreenSeen { command: "bash".to_owned(), ..screen(idle()) };
    play.take(Source::Screen, Seen::Screen(Box::new(seen)));
    assert_eq!(play.reducer.state().diagnostics.availability, "tui_down");
}

#[test]
fn copy_mode_proves_nothing() {
    let mut play = Play::of(Some("codex"));
    play.screen(idle());
    let seen = ScreenSeen { in_mode: true, ..screen(idle()) };
    play.take(Source::Screen, Seen::Screen(Box::new(seen)));
    assert_eq!(play.phase(), Phase::Unknown);
    assert!(play.reducer.state().why.as_deref().unwrap().contains("copy mode"));
}

//! What the agent does, as the reducer concluded it: the nouns of live state.

use std::{sync::Arc, time::Duration};

use super::{ProcessSeen, When};
use crate::{
    agents::Dialog,
    api::TrackingTimings,
    model::{Moment, Outcome, PaneId, Source, TurnRecord},
};

/// The agent's turn, as far as anything proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Phase {
    /// It waits for a prompt.
    Ready,
    /// It works, or a prompt was just submitted.
    Active,
    /// It waits for an answer that only a person, or somebody in their name, may give.
    Blocked,
    /// Nothing proves one of the others.
    #[default]
    Unknown,
}

impl Phase {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Blocked => "blocked",
            Self::Unknown => "unknown",
        }
    }
}

/// Yes, no, or nobody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tri {
    /// It is so.
    Yes,
    /// It is not.
    No,
    /// Nobody can tell.
    #[default]
    Unknown,
}

impl Tri {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

impl From<Option<bool>> for Tri {
    fn from(known: Option<bool>) -> Self {
        match known {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Unknown,
        }
    }
}

/// What the visible surface would do with input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Surface {
    /// A composer is there and takes text.
    pub accepting_input: Tri,
    /// A text that nobody submitted stands in it.
    pub editing_input: Tri,
    /// It looks as an agent looks that waits for a prompt.
    pub ready_posture: Tri,
    /// The tool itself holds input that it has not taken yet.
    pub pending_input: Tri,
}

/// Where the result of the last turn is known from, in the contract's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ResultSource {
    /// The prompt was noted before it was submitted.
    ExplicitInput,
    /// A hook of the tool told.
    HookObservation,
    /// The tool's own records, titles or screens told.
    SurfaceInference,
    /// There is no result.
    #[default]
    None,
}

impl ResultSource {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExplicitInput => "explicit_input",
            Self::HookObservation => "hook_observation",
            Self::SurfaceInference => "surface_inference",
            Self::None => "none",
        }
    }
}

/// How the last turn ended. A turn that runs clears it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LastTurn {
    /// `None`: no turn ended yet, or one runs.
    pub outcome: Option<Outcome>,
    /// Where that is known from.
    pub source: ResultSource,
    /// When it became known.
    pub updated: Option<Moment>,
    /// What the tool said about a failure, in one word or line.
    pub error_class: Option<String>,
}

impl LastTurn {
    /// The contract's word: `none`, `success`, `interrupted` or `known_failure`. An end that nothing explains is no
    /// result.
    pub fn result(&self) -> &'static str {
        match self.outcome {
            Some(Outcome::Success) => "success",
            Some(Outcome::Interrupted) => "interrupted",
            Some(Outcome::Failed) => "known_failure",
            Some(Outcome::Unknown) | None => "none",
        }
    }
}

/// How long the visible state has not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stability {
    /// Stands for the visible state.
    pub signature: String,
    /// It has not changed for `stability_threshold_seconds`.
    pub stable: bool,
    /// Since when it has not changed.
    pub since: When,
}

/// What the senses themselves are worth now, in the contract's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    /// `available`, `unavailable`, `tui_down`, `unknown`.
    pub availability: &'static str,
    /// `tmux_up`, `tmux_missing`, `probe_error`.
    pub transport_state: &'static str,
    /// `tui_up`, `tui_down`, `unknown`.
    pub process_state: &'static str,
    /// `parsed`, `skipped_tui_down`, `transport_unavailable`, `probe_error`.
    pub parse_status: &'static str,
    /// Why the pane cannot be seen, for people.
    pub probe_error: Option<String>,
    /// `active`, `unavailable`; `None` if nobody told of hooks.
    pub hook_channel: Option<&'static str>,
}

/// The last capture that a conclusion rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// When.
    pub at: When,
    /// The pane.
    pub pane: PaneId,
    /// The process that it was started with.
    pub pid: u32,
    /// SHA-1 of the text.
    pub hash: String,
    /// Characters of the text.
    pub length: usize,
    /// Its last 4,000 characters.
    pub excerpt: String,
    /// The rules of the profile that matched.
    pub fired: Vec<String>,
}

/// What the agent does, as far as anything proves it.
///
/// Two states are equal if nothing changed that somebody may wait for: a new capture of the same state is no change.
#[derive(Debug, Clone)]
pub struct State {
    /// Does it wait, work, ask?
    pub phase: Phase,
    /// Since when it is in this phase.
    pub phase_since: When,
    /// Why it is not known, or what is not sure about it.
    pub why: Option<String>,
    /// The visible surface.
    pub surface: Surface,
    /// The turn that runs.
    pub turn: Option<TurnRecord>,
    /// A prompt was noted whose turn has not begun yet.
    pub awaited: bool,
    /// The result of the last one.
    pub last_turn: LastTurn,
    /// How long nothing visible changed.
    pub stability: Stability,
    /// What the senses are worth.
    pub diagnostics: Diagnostics,
    /// The open dialog, as the screen shows it.
    pub dialog: Option<Dialog>,
    /// Who says that it waits for an answer, and what they say.
    pub blocked_by: Option<(Source, String)>,
    /// The kernel's word on the tool's process.
    pub process: Option<ProcessSeen>,
    /// Prompts that the tool was heard to take, counted: whoever waits for one looks again when it grows.
    pub prompts_taken: u64,
    /// The last capture.
    pub probe: Option<Arc<Probe>>,
}

impl State {
    /// Nothing is known.
    pub(super) fn nothing(when: When) -> Self {
        Self {
            phase: Phase::Unknown,
            phase_since: when,
            why: None,
            surface: Surface::default(),
            turn: None,
            awaited: false,
            last_turn: LastTurn::default(),
            stability: Stability { signature: String::new(), stable: false, since: when },
            diagnostics: Diagnostics {
                availability: "unknown",
                transport_state: "tmux_up",
                process_state: "unknown",
                parse_status: "transport_unavailable",
                probe_error: None,
                hook_channel: None,
            },
            dialog: None,
            blocked_by: None,
            process: None,
            prompts_taken: 0,
            probe: None,
        }
    }

    /// Everything that makes two states differ for somebody who waits.
    fn visible(&self) -> impl PartialEq + '_ {
        (
            (self.phase, self.phase_since, &self.why, self.surface, &self.turn, self.awaited, &self.last_turn),
            (&self.stability, &self.diagnostics, &self.dialog, &self.blocked_by, self.prompts_taken),
            self.process.as_ref().map(|process| (process.alive, process.foreground, process.pid, &process.names)),
        )
    }

    /// For how long nothing visible changed.
    pub fn stable_for(&self, now: When) -> Duration {
        now.since.saturating_sub(self.stability.since.since)
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.visible() == other.visible()
    }
}

impl Eq for State {}

/// The six timings of the tracker (contract section 6.2), as spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// How often the pane is captured when nothing tells of changes.
    pub poll: Duration,
    /// Nothing visible changed for this long: stable.
    pub stability: Duration,
    /// A candidate for success must hold for this long.
    pub completion: Duration,
    /// Unknown for longer than this is called stalled.
    pub stalled: Duration,
    /// Work that only stale and weak signs speak for is over after this long at a ready composer.
    pub stale_active: Duration,
    /// Work on a screen that does not change at all is over after this long, if nothing strong contradicts.
    pub final_active: Duration,
}

impl From<&TrackingTimings> for Timings {
    fn from(timings: &TrackingTimings) -> Self {
        // A damaged or absurd value must not end the gateway: a day is as good as never.
        let span = |seconds: f64| {
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(86_400)).min(Duration::from_secs(86_400))
        };
        Self {
            poll: span(timings.watch_poll_interval_seconds),
            stability: span(timings.stability_threshold_seconds),
            completion: span(timings.completion_stability_seconds),
            stalled: span(timings.unknown_to_stalled_timeout_seconds),
            stale_active: span(timings.stale_active_recovery_seconds),
            final_active: span(timings.final_stable_active_recovery_seconds),
        }
    }
}

impl Default for Timings {
    fn default() -> Self {
        Self::from(&TrackingTimings::default())
    }
}

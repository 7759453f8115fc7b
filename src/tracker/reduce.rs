//! Evidence and a clock in, state out. Pure.

use super::{Observation, When};
use crate::{agents::Profile, model::TurnRecord};

/// What the agent does, as far as anything proves it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {}

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
    _profile: Option<Profile>,
}

impl Reducer {
    /// Knows nothing yet.
    pub fn new(profile: Option<Profile>) -> Self {
        Self { _profile: profile }
    }

    /// Takes in one observation.
    pub fn take(&mut self, _when: When, _observation: &Observation) -> Vec<TurnEdge> {
        Vec::new()
    }

    /// What follows from all of it.
    pub fn state(&self) -> State {
        State::default()
    }
}

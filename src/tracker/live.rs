//! The tracker of one session: senses put observations in, everybody else reads state out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{sync::watch, time::Instant};

use super::{Observation, Reducer, State, TurnEdge, When};
use crate::{
    agents::Profile,
    model::{RequestId, Source},
    os::clock,
};

/// The handle of one session's tracker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tracker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    core: Mutex<Core>,
    state: watch::Sender<Arc<State>>,
    began: Instant,
}

#[derive(Debug)]
struct Core {
    reducer: Reducer,
    /// Edges that nobody has taken yet.
    edges: Vec<TurnEdge>,
}

impl Tracker {
    /// A tracker that knows nothing yet. `None`: the tool is a line reader.
    pub fn new(profile: Option<Profile>) -> Self {
        let began = Instant::now();
        let reducer = Reducer::new(profile);
        let state = watch::Sender::new(Arc::new(reducer.state()));
        let core = Mutex::new(Core { reducer, edges: Vec::new() });
        Self { shared: Arc::new(Shared { core, state, began }) }
    }

    /// Takes in what a sense says.
    pub fn observe(&self, observation: &Observation) {
        let when = self.now();
        let state = {
            let mut core = self.core();
            let edges = core.reducer.take(when, observation);
            core.edges.extend(edges);
            Arc::new(core.reducer.state())
        };
        self.shared.state.send_if_modified(|current| {
            let changed = **current != *state;
            *current = state;
            changed
        });
    }

    /// Somebody submits this prompt now.
    pub fn note(&self, request: Option<RequestId>, text: &str) {
        let seen = super::Seen::Noted { request, text: text.to_owned() };
        self.observe(&Observation { source: Source::Input, seen });
    }

    /// Did a hook or a record show exactly this prompt since it was noted?
    pub fn taken(&self, _text: &str) -> bool {
        false
    }

    /// The state, always current.
    pub fn state(&self) -> watch::Receiver<Arc<State>> {
        self.shared.state.subscribe()
    }

    fn now(&self) -> When {
        When { since: self.shared.began.elapsed(), wall: clock::now() }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.shared.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

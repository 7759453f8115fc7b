//! The tracker of one session: senses put observations in, everybody else reads state out.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, broadcast, watch},
    time::Instant,
};

use super::{
    Observation, Reducer, Seen, State, Timings, TurnEdge, When,
    choice::Choice,
    document::{self, Parser},
    history::History,
};
use crate::{
    agents::{Library, Profile},
    api::{Explanation, TrackedSession, TuiHistory, TuiState},
    model::{Moment, RequestId, Source},
    os::clock,
};

/// Edges that a slow listener may be behind.
const MOST_EDGES: usize = 256;

/// That the tool took exactly this prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Through which sense.
    pub source: Source,
    /// When it was told.
    pub at: Moment,
}

/// The handle of one session's tracker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tracker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    core: Mutex<Core>,
    state: watch::Sender<Arc<State>>,
    /// What everybody reads the tool by.
    profile: watch::Sender<Option<Profile>>,
    edges: broadcast::Sender<TurnEdge>,
    /// Told whenever the moment of the next tick may have changed.
    rescheduled: Notify,
    began: Instant,
}

#[derive(Debug)]
struct Core {
    reducer: Reducer,
    /// `None`: the profile was given, and stays.
    choice: Option<Choice>,
    history: History,
}

impl Tracker {
    /// A tracker that knows nothing yet, and reads the tool by the profile for the version that its process turns out
    /// to be.
    pub fn of(tool: &str, library: Library, timings: Timings) -> Self {
        let choice = Choice::new(tool.to_owned(), library);
        Self::with(choice.profile(), Some(choice), timings)
    }

    /// A tracker that knows nothing yet and keeps this profile. `None`: the tool is a line reader.
    pub fn new(profile: Option<Profile>, timings: Timings) -> Self {
        Self::with(profile, None, timings)
    }

    fn with(profile: Option<Profile>, choice: Option<Choice>, timings: Timings) -> Self {
        let began = Instant::now();
        let now = When { since: Duration::ZERO, wall: clock::now() };
        let reducer = Reducer::new(profile.clone(), timings, now);
        let state = Arc::new(reducer.state().clone());
        let mut history = History::default();
        history.record(now, &state);
        let shared = Shared {
            core: Mutex::new(Core { reducer, choice, history }),
            state: watch::Sender::new(state),
            profile: watch::Sender::new(profile),
            edges: broadcast::Sender::new(MOST_EDGES),
            rescheduled: Notify::new(),
            began,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes in what a sense says.
    pub fn observe(&self, observation: &Observation) {
        self.change(|core, when| {
            if let Seen::Process(seen) = &observation.seen
                && core.choice.as_mut().is_some_and(|choice| choice.learn(seen))
            {
                self.choose(core);
            }
            core.reducer.take(when, observation)
        });
        self.shared.rescheduled.notify_one();
    }

    /// Somebody submits this prompt now. The moment is the one to ask [`Tracker::taken`] with.
    pub fn note(&self, request: Option<RequestId>, text: &str) -> When {
        let now = self.now();
        let seen = Seen::Noted { request, text: text.to_owned() };
        self.observe(&Observation { source: Source::Input, seen });
        now
    }

    /// Has the tool itself told, since this moment, that it took exactly this prompt? What tools change in every prompt
    /// (blanks around it, tabs, line ends, how letters are composed) makes no difference.
    ///
    /// Whoever waits for it looks again whenever [`State::prompts_taken`] grows.
    pub fn taken(&self, since: When, text: &str) -> Option<Proof> {
        let core = self.core();
        let take = core.reducer.turns.heard(since.since, text)?;
        Some(Proof { source: take.source, at: take.at.wall })
    }

    /// The state, always current.
    pub fn state(&self) -> watch::Receiver<Arc<State>> {
        self.shared.state.subscribe()
    }

    /// The state now, whoever else waits for changes.
    pub fn now_state(&self) -> Arc<State> {
        self.shared.state.borrow().clone()
    }

    /// Every beginning and end of a turn from here on.
    pub fn edges(&self) -> broadcast::Receiver<TurnEdge> {
        self.shared.edges.subscribe()
    }

    /// The tracker's clock.
    pub fn now(&self) -> When {
        When { since: self.shared.began.elapsed(), wall: clock::now() }
    }

    /// The contract's state document.
    pub fn document(&self, session: &TrackedSession) -> TuiState {
        let core = self.core();
        let recent = core.history.transitions().cloned().collect();
        document::state(session, core.reducer.state(), &parser(&core.reducer), recent, self.now())
    }

    /// The contract's history document: the newest entries, oldest first; `None`: all that are kept.
    pub fn past(&self, session: &TrackedSession, limit: Option<usize>) -> TuiHistory {
        let core = self.core();
        let names = core.reducer.state().process.as_ref().map(|process| process.names.clone()).unwrap_or_default();
        let (past, parser) = (core.history.read(limit), parser(&core.reducer));
        drop(core);
        document::history(session, &past, &parser, &names)
    }

    /// Why the state is what it is.
    pub fn explain(&self) -> Explanation {
        let core = self.core();
        core.reducer.explain(self.now())
    }

    /// The profile that the tool is read by now: for its version, as far as that is known.
    pub fn profile(&self) -> Option<Profile> {
        self.shared.profile.borrow().clone()
    }

    /// The same, for whoever must look anew when it is another one.
    pub fn profiles(&self) -> watch::Receiver<Option<Profile>> {
        self.shared.profile.subscribe()
    }

    /// Other profiles to choose from: files of them changed.
    pub fn use_library(&self, library: Library) {
        self.change(|core, when| {
            if let Some(choice) = &mut core.choice {
                choice.use_library(library);
            }
            self.choose(core);
            core.reducer.tick(when)
        });
        self.shared.rescheduled.notify_one();
    }

    fn choose(&self, core: &mut Core) {
        let Some(choice) = &core.choice else { return };
        let profile = choice.profile();
        tracing::info!(
            profile = profile.as_ref().map(|profile| profile.name.as_str()),
            fit = profile.as_ref().map(|profile| profile.fit.to_string()),
            "the screen is read by these rules"
        );
        core.reducer.use_profile(profile.clone());
        self.shared.profile.send_replace(profile);
    }

    /// Lets time-driven changes happen when they are due, until told to stop.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            let next = self.core().reducer.next();
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep_until(self.shared.began + next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => self.change(|core, when| core.reducer.tick(when)),
                () = self.shared.rescheduled.notified() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Core, When) -> Vec<TurnEdge>) {
        let mut core = self.core();
        // Under the lock: two senses must not overtake each other on the clock.
        let when = self.now();
        let edges = change(&mut core, when);
        let state = Arc::new(core.reducer.state().clone());
        core.history.record(when, &state);
        self.shared.state.send_if_modified(|current| {
            let changed = **current != *state;
            *current = state;
            changed
        });
        for edge in edges {
            // Nobody may be listening.
            drop(self.shared.edges.send(edge));
        }
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.shared.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parser(reducer: &Reducer) -> Parser {
    match &reducer.profile {
        Some(profile) => Parser {
            family: profile.tool.clone(),
            preset: Some(profile.name.clone()),
            conservative: reducer.conservative().is_some(),
        },
        None => Parser { family: "line_reader".to_owned(), preset: None, conservative: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{agents::Fit, tracker::ProcessSeen};

    #[test]
    fn everybody_reads_by_the_profile_for_the_version_that_runs() {
        let tracker = Tracker::of("claude", Library::default(), Timings::default());
        let mut profiles = tracker.profiles();
        let mut runs = |version: &str| {
            let version = Some(version.to_owned());
            let seen = ProcessSeen { alive: Some(true), pid: Some(7), version, ..ProcessSeen::default() };
            tracker.observe(&Observation { source: Source::Process, seen: Seen::Process(seen) });
            let fit = tracker.profile().unwrap().fit;
            assert_eq!(profiles.has_changed().ok(), Some(true));
            assert_eq!(profiles.borrow_and_update().as_ref().unwrap().fit, fit);
            assert_eq!(tracker.core().reducer.profile.as_ref().unwrap().fit, fit);
            (fit, tracker.explain())
        };
        let (fit, explanation) = runs("2.1.330");
        assert_eq!((fit, explanation.fit.as_deref()), (Fit::Exact, Some("exact")));
        assert_eq!((explanation.tool_version.as_deref(), explanation.conservative), (Some("2.1.330"), None));
        let (_, explanation) = runs("4.5.6");
        assert_eq!(explanation.fit.as_deref(), Some("conservative"));
        assert_eq!(explanation.conservative.as_deref(), Some("`claude-2.1` was not made for version 4.5.6"));
    }
}

//! A tracker of the test's own that hears nothing but the records and the process of one real agent.

use std::{
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use agents::{
    agents::Profile,
    model::{Outcome, Reply, TurnRecord},
    tracker::{State, Timings, Tracker, TurnEdge, records},
};
use tokio::sync::watch;

use super::{Real, World, eventually_within};

/// Follows until it is dropped.
pub struct Follower {
    tracker: Tracker,
    edges: Arc<Mutex<Vec<TurnEdge>>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Follows the tool below the process that this pane was started with.
    pub fn new(tool: &str, pane_pid: u32) -> Self {
        let tracker = Tracker::new(Profile::find(tool, None), Timings::default());
        let (stop, stopped) = watch::channel(false);
        let edges = Arc::new(Mutex::new(Vec::new()));
        let (kept, followed, tool) = (edges.clone(), tracker.clone(), tool.to_owned());
        let mut heard = tracker.edges();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let subject = watch::Sender::new(Some(pane_pid));
                let ticking = followed.clone().run(stopped.clone());
                let following = records::follow(followed, tool, subject.subscribe(), |pid| *pid, stopped);
                let keeping = async {
                    while let Ok(edge) = heard.recv().await {
                        kept.lock().unwrap().push(edge);
                    }
                };
                tokio::select! {
                    ((), ()) = async { tokio::join!(following, ticking) } => {}
                    () = keeping => {}
                }
            });
        });
        Self { tracker, edges, stop, thread: Some(thread) }
    }

    /// Follows a real agent.
    pub fn of(world: &World, real: &Real) -> Self {
        let pid = world.tmux(&["display-message", "-p", "-t", &real.agent.pane, "#{pane_pid}"]);
        Self::new(real.tool.name(), pid.trim().parse().unwrap())
    }

    pub fn state(&self) -> Arc<State> {
        self.tracker.now_state()
    }

    /// Turns as they are known now, oldest first.
    pub fn turns(&self) -> Vec<TurnRecord> {
        let mut turns: Vec<TurnRecord> = Vec::new();
        for edge in self.edges.lock().unwrap().iter() {
            let (TurnEdge::Started(turn) | TurnEdge::Ended(turn) | TurnEdge::Amended(turn)) = edge;
            match turns.iter_mut().find(|known| known.id == turn.id) {
                Some(known) => *known = turn.clone(),
                None => turns.push(turn.clone()),
            }
        }
        // What became known of a turn that runs is in the state.
        if let Some(open) = &self.state().turn
            && let Some(known) = turns.iter_mut().find(|known| known.id == open.id && known.outcome.is_none())
        {
            known.clone_from(open);
        }
        turns
    }

    /// Waits until the turn with this prompt has begun, and returns it.
    #[track_caller]
    pub fn begun(&self, prompt: &str) -> TurnRecord {
        self.found(&format!("the beginning of `{prompt}`"), |turn| turn.prompt.as_deref() == Some(prompt))
    }

    /// Waits until the turn with this prompt has ended so, and returns it.
    #[track_caller]
    pub fn ended(&self, prompt: &str, outcome: Outcome) -> TurnRecord {
        let is_it = |turn: &TurnRecord| turn.prompt.as_deref() == Some(prompt) && turn.outcome == Some(outcome);
        self.found(&format!("`{prompt}` to end with {}", outcome.name()), is_it)
    }

    #[track_caller]
    fn found(&self, what: &str, is_it: impl Fn(&TurnRecord) -> bool) -> TurnRecord {
        eventually_within(std::time::Duration::from_secs(30), what, || {
            let turns = self.turns();
            turns.iter().rev().find(|turn| is_it(turn)).cloned().ok_or_else(|| format!("{turns:#?}"))
        })
    }
}

/// The text of an exact reply.
#[track_caller]
pub fn exactly(reply: Option<&Reply>) -> &str {
    let reply = reply.expect("no reply is known");
    assert!(reply.exact, "{reply:?}");
    &reply.text
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

//! Requests that wait, and what became of each.
//!
//! Owns: taking work in (`door`: durable before it is answered), the one slot in which everything is typed (`worker`,
//! `run`, `direct`), interrupts, which wait for nobody (`interrupts`), what a restart
//! finds (`recover`), what becomes of prompts that a tool took (`receipts`), and coalescing control intents (`coalesce`, pure). Promises: accepted means on disk;
//! two senders never interleave; order is the order of acceptance; what was typed is never typed again; a caller that
//! leaves undoes nothing. Callers: `gateway` runs the tasks, `http` uses the [`Queue`].

mod admission;
mod announce;
mod approvals;
pub mod coalesce;
mod direct;
mod door;
mod drafts;
mod given_back;
mod headless;
mod interrupts;
mod keyed;
mod keys;
mod receipts;
mod recover;
mod refusal;
mod run;
mod turns;
mod views;
mod worker;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};

pub use headless::{Chats, HeadlessWorker};
pub use interrupts::Interrupts;
pub use receipts::TurnReceipts;
pub use refusal::Refusal;
pub use worker::Worker;

use crate::{
    api::OnDraft,
    delivery::Keys,
    model::{PaneId, RequestId, RequestKind},
    store::{AgentProcess, Depth, Store, Waiting},
    tmux::{Server, control::Control, input::Hand},
    tracker::{Tracker, View},
};

/// Most rows that may wait.
pub const LONGEST_QUEUE: u64 = 10_000;

/// Work from outside, already checked for shape.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWork {
    /// What is asked for.
    pub kind: RequestKind,
    /// As the contract stores it.
    pub payload: Value,
    /// Makes a repetition harmless.
    pub key: Option<Key>,
    /// How long it may wait.
    pub expires_in: Option<Duration>,
    /// What to do with a draft in the composer.
    pub on_draft: OnDraft,
}

/// The caller's name for one piece of work, with what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// 1 to 128 visible ASCII characters. Names that this program gives itself have a space in them: no caller can
    /// send such a one.
    pub text: String,
    /// MD5 over method, path and body: the same key with another digest is refused.
    pub digest: [u8; 16],
}

/// The agent as the gateway sees it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentNow {
    /// Where it stands.
    pub pane: PaneId,
    /// Its process; `None` while it is away.
    pub process: Option<AgentProcess>,
    /// Counts its lives.
    pub epoch: u64,
}

/// What is fixed for the life of a gateway.
#[derive(Debug, Clone)]
pub struct Place {
    /// The tmux server.
    pub server: Server,
    /// The control client, while there is one.
    pub control: watch::Receiver<Option<Control>>,
    /// Held while a text is typed, also by those who type without a gateway.
    pub lock: PathBuf,
    /// This gateway's name among all hands that ever type here: letters, digits and `-`.
    pub owner: String,
    /// The agent's program as it was recorded.
    pub tool: String,
    /// Who knows what the agent does, and how its screen is read.
    pub tracker: Tracker,
    /// The conversations of an agent whose turns are processes; `None` for one in a terminal.
    pub chats: Option<Arc<Chats>>,
}

impl Place {
    /// How the agent's screen is read now. One delivery keeps to one view: the version that runs may become known
    /// meanwhile.
    fn view(&self) -> View {
        View::new(&self.tool, self.tracker.profile())
    }
}

/// What the status document says about the queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// What is being typed.
    pub running: Option<RequestId>,
    /// A damaged queue file was put aside under this name, and nobody decided yet.
    pub set_aside: Option<String>,
    /// The store takes nothing more; the sentence says why.
    pub sick: Option<String>,
}

/// The queue of one session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    place: Place,
    agent: watch::Receiver<AgentNow>,
    activity: watch::Sender<Activity>,
    keys: Keys,
    /// Something changed for the worker.
    work: Notify,
    /// A row was added behind all others.
    arrivals: Notify,
    /// Something is there for the interrupts.
    urgent: Notify,
    jobs: mpsc::Sender<direct::Job>,
    /// A direct prompt that wants to be alone is on its way.
    alone: Arc<AtomicBool>,
    /// Repetitions of one piece of direct work wait for the first.
    turns: keyed::Turns,
    /// Prompts that a tool took, for the task that follows their turns.
    awaited: mpsc::UnboundedSender<receipts::Awaited>,
}

impl Queue {
    /// The queue over this store, with its three tasks. Nothing is typed until they run.
    pub fn new(
        store: Store,
        place: Place,
        agent: watch::Receiver<AgentNow>,
        activity: Activity,
    ) -> (Self, Worker, Interrupts, TurnReceipts) {
        let ((jobs, inbox), (awaited, to_follow)) = (mpsc::channel(64), mpsc::unbounded_channel());
        let inner = Inner {
            store,
            place,
            agent,
            activity: watch::Sender::new(activity),
            keys: Keys::default(),
            work: Notify::new(),
            arrivals: Notify::new(),
            urgent: Notify::new(),
            jobs,
            alone: Arc::default(),
            turns: keyed::Turns::default(),
            awaited,
        };
        let queue = Self { inner: Arc::new(inner) };
        let turns = TurnReceipts::new(queue.clone(), to_follow);
        (queue.clone(), Worker::new(queue.clone(), inbox), Interrupts::new(queue), turns)
    }

    /// Changes whenever the status document should say something else.
    pub fn activity(&self) -> watch::Receiver<Activity> {
        self.inner.activity.subscribe()
    }

    /// Rows that wait, as of the last commit.
    pub fn depth(&self) -> Depth {
        self.inner.store.waiting_now().borrow().depth(self.inner.agent.borrow().epoch)
    }

    /// Is there a terminal to type into? Turns of other agents are processes.
    pub fn has_terminal(&self) -> bool {
        self.inner.place.chats.is_none()
    }

    /// Changes when the agent comes, goes, or is another one.
    pub fn agent_now(&self) -> watch::Receiver<AgentNow> {
        self.inner.agent.clone()
    }

    /// Changes with every change of what waits.
    pub fn waiting(&self) -> watch::Receiver<Waiting> {
        self.inner.store.waiting_now()
    }

    /// The store is of no use any more.
    pub fn is_sick(&self, why: String) {
        self.tell(|activity| activity.sick = Some(why));
    }

    fn tell(&self, change: impl FnOnce(&mut Activity)) {
        self.inner.activity.send_if_modified(|current| {
            let before = current.clone();
            change(current);
            *current != before
        });
    }

    /// A hand for the agent's pane as it is now.
    fn hand(&self) -> Hand {
        let (place, pane) = (&self.inner.place, self.inner.agent.borrow().pane);
        Hand::new(place.server.clone(), Some(place.control.clone()), pane, place.owner.as_str())
    }

    fn agent(&self) -> AgentNow {
        self.inner.agent.borrow().clone()
    }
}

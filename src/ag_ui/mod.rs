//! The agent on the AG-UI protocol (contract section 4.11).
//!
//! Owns: what the agent can do in that protocol's words (`capabilities`), its events and batches of them (`event`,
//! `batch`, both pure), who is connected and where published events go (`hub`), and a run as a stream of events (`run`).
//! Promises: a slow reader loses events and is told so, and holds nobody up; nothing is stored; a run is one request of
//! the queue, and goes on when its reader leaves; nothing is polled. Callers: `http`. What an agent without a terminal has
//! to tell while it works goes in with [`AgUi::tell`].

mod batch;
mod capabilities;
mod event;
mod hub;
mod run;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};

pub use batch::{Batch, LARGEST_BATCH, MOST_EVENTS, Wrong};
pub use hub::{ActiveSource, Connection, QUEUE};
pub use run::Run;

use crate::{
    api::TrackedSession,
    model::RequestId,
    os::clock,
    queue::{Queue, Refusal},
    tracker::Tracker,
};

/// Streams at one time.
const MOST_STREAMS: usize = 64;

/// Events about running requests that a slow stream may be behind.
const MOST_NEWS: usize = 256;

/// Who asks for a run, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInput {
    /// The conversation, in the caller's words.
    pub thread_id: String,
    /// The run, in the caller's words.
    pub run_id: String,
    /// The last message of the user, or why there is none that could be typed.
    pub prompt: Result<String, &'static str>,
}

/// AG-UI events about one request.
type News = Arc<(RequestId, Value)>;

/// One agent on the protocol. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AgUi {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    queue: Queue,
    tracker: Tracker,
    session: Arc<TrackedSession>,
    /// `tui`, or `headless`.
    family: &'static str,
    hub: Arc<hub::Hub>,
    news: broadcast::Sender<News>,
    seats: Arc<Semaphore>,
    /// A run is on its way.
    busy: Arc<AtomicBool>,
    stopping: watch::Receiver<bool>,
}

impl AgUi {
    /// The agent behind this queue.
    pub fn new(queue: Queue, tracker: Tracker, session: Arc<TrackedSession>, stopping: watch::Receiver<bool>) -> Self {
        let family = if queue.has_terminal() { "tui" } else { "headless" };
        let inner = Inner {
            queue,
            tracker,
            session,
            family,
            hub: Arc::default(),
            news: broadcast::Sender::new(MOST_NEWS),
            seats: Arc::new(Semaphore::new(MOST_STREAMS)),
            busy: Arc::default(),
            stopping,
        };
        Self { inner: Arc::new(inner) }
    }

    /// What this agent can do.
    pub fn capabilities(&self) -> Value {
        capabilities::document(&self.inner.session, self.inner.family)
    }

    /// Events about a request while it is worked on, as they are to stand in the stream of its run: told before its
    /// receipt `turn_ended` is on record. Nobody may be there to hear them.
    pub fn tell(&self, request: &RequestId, event: Value) {
        // Without a run there is no reader.
        drop(self.inner.news.send(Arc::new((request.clone(), event))));
    }

    /// Connects a reader: a snapshot first, then what is published for it.
    ///
    /// # Errors
    /// 503 when too many are connected.
    pub fn connect(&self, input: &RunInput) -> Result<(Connection, Seat), Refusal> {
        let seat = self.seat()?;
        let connection = self.inner.hub.connect(&input.thread_id, &input.run_id, self.inner.stopping.clone());
        connection.greet(json!({ "type": "STATE_SNAPSHOT", "snapshot": { "houmao": self.snapshot(connection.id()) } }));
        Ok((connection, seat))
    }

    fn snapshot(&self, connection: &str) -> Value {
        let (queue, session) = (&self.inner.queue, &self.inner.session);
        let waiting = queue.depth().waiting;
        let running = queue.activity().borrow().running.as_ref().map(ToString::to_string);
        json!({
            "schemaVersion": 1, "connectionId": connection, "replay": "none",
            "agent": { "agentName": session.agent_name, "agentId": session.agent_id, "tool": session.tool },
            "gateway": { "admission": if queue.check_open().is_ok() { "open" } else { "closed" },
                "activeExecution": if running.is_some() { "running" } else { "idle" }, "queueDepth": waiting,
                "runningRequestId": running, "targetTransportFamily": self.inner.family },
            "observation": run::observation(&self.inner.tracker),
        })
    }

    /// Ends a connection; was there one?
    pub fn disconnect(&self, connection: &str) -> bool {
        self.inner.hub.disconnect(connection)
    }

    /// Hands events to whoever is connected where they belong. Nothing is kept for those who come later.
    pub fn publish(&self, batch: &Batch) -> Value {
        self.inner.hub.publish(batch, clock::now())
    }

    /// Where events go that name no destination, and where the last ones went.
    pub fn destination(&self) -> Value {
        self.inner.hub.destination()
    }

    /// The thread that a person looks at.
    pub fn active_thread(&self) -> Value {
        self.inner.hub.active_thread()
    }

    /// Another thread is looked at now.
    pub fn set_active_thread(&self, thread: &str, source: ActiveSource) -> Value {
        self.inner.hub.set_active_thread(thread, source, clock::now())
    }

    /// No thread is looked at any more; with `only`, if it still is this one.
    pub fn clear_active_thread(&self, only: Option<&str>) -> Value {
        self.inner.hub.clear_active_thread(only)
    }

    /// Has a prompt typed, and tells what becomes of it.
    ///
    /// # Errors
    /// 422 without a text, 503 while no work is taken, 409 while other work is done.
    pub async fn run(&self, input: RunInput) -> Result<(Run, Seat), Refusal> {
        let seat = self.seat()?;
        let inner = &self.inner;
        let prompt = match &input.prompt {
            Ok(prompt) => prompt.clone(),
            Err(why) => return Err(Refusal::new(422, "ag_ui_input_unusable", *why)),
        };
        if let Err(closed) = inner.queue.check_open() {
            return Err(Refusal { status: 503, ..closed });
        }
        let alone = Alone::take(&inner.busy)
            .ok_or_else(|| Refusal::new(409, "ag_ui_busy", "another run is on its way; wait for its RUN_FINISHED"))?;
        if let Some(why) = run::is_busy(&inner.queue, &inner.tracker) {
            return Err(Refusal::new(409, "ag_ui_busy", why));
        }
        let news = inner.news.subscribe();
        let (tracker, stopping) = (inner.tracker.clone(), inner.stopping.clone());
        let run = Run::begin(inner.queue.clone(), tracker, input, prompt, inner.family, news, stopping, alone).await?;
        Ok((run, seat))
    }

    fn seat(&self) -> Result<Seat, Refusal> {
        self.inner.seats.clone().try_acquire_owned().map(Seat).map_err(|_full| {
            let detail = format!("{MOST_STREAMS} AG-UI streams are open already");
            Refusal::new(503, "too_many_streams", detail).again_in(5)
        })
    }
}

/// A place for one stream; given back when it is dropped.
#[derive(Debug)]
pub struct Seat(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// The one run of this moment; given back when it is dropped.
#[derive(Debug)]
struct Alone(Arc<AtomicBool>);

impl Alone {
    fn take(busy: &Arc<AtomicBool>) -> Option<Self> {
        (!busy.swap(true, Ordering::AcqRel)).then(|| Self(busy.clone()))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

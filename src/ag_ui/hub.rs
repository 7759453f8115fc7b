//! Who is connected, and where published events go.
//!
//! Each reader has a short queue of its own. What does not fit is dropped, counted, and told to that reader where the gap
//! is; nobody waits for a slow one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::batch::Batch;
use crate::{model::Moment, os::random};

/// Events that wait for one reader.
pub const QUEUE: usize = 100;

/// Who said which thread is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActiveSource {
    /// A button.
    GuiButton,
    /// A page that connected.
    GuiConnect,
    /// A person, or a script.
    Manual,
}

impl ActiveSource {
    /// The words of the wire.
    pub const WORDS: [(&'static str, Self); 3] =
        [("gui_button", Self::GuiButton), ("gui_connect", Self::GuiConnect), ("manual", Self::Manual)];

    fn name(self) -> &'static str {
        match self {
            Self::GuiButton => "gui_button",
            Self::GuiConnect => "gui_connect",
            Self::Manual => "manual",
        }
    }
}

#[derive(Debug)]
struct Subscriber {
    thread: String,
    run: String,
    queue: mpsc::Sender<Value>,
    missed: Arc<AtomicU64>,
}

/// A thread, since when, and who or what said so.
#[derive(Debug, Clone)]
struct Thread {
    id: String,
    at: String,
    source: &'static str,
}

#[derive(Debug, Default)]
struct State {
    subscribers: BTreeMap<String, Subscriber>,
    active: Option<Thread>,
    last_sent: Option<Thread>,
}

/// The readers of one agent.
#[derive(Debug, Default)]
pub(super) struct Hub {
    // Held for the time of a few copies; never across an await.
    state: Mutex<State>,
}

/// Where a batch goes.
enum Destination {
    Connection(String),
    /// A thread, a run, or both.
    Named(Option<String>, Option<String>),
    Sink,
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connect(self: &Arc<Self>, thread: &str, run: &str, stopping: watch::Receiver<bool>) -> Connection {
        let (queue, inbox) = mpsc::channel(QUEUE);
        let (id, missed) = (format!("agui-{}", random::short_id()), Arc::<AtomicU64>::default());
        let one =
            Subscriber { thread: thread.to_owned(), run: run.to_owned(), queue: queue.clone(), missed: missed.clone() };
        self.state().subscribers.insert(id.clone(), one);
        Connection { id, inbox, missed, greeting: Mutex::default(), hub: self.clone(), stopping }
    }

    pub(super) fn disconnect(&self, id: &str) -> bool {
        self.state().subscribers.remove(id).is_some()
    }

    pub(super) fn publish(&self, batch: &Batch, now: Moment) -> Value {
        let mut state = self.state();
        let (destination, kind) = state.destination(batch);
        let mut warnings: Vec<String> = Vec::new();
        let (mut delivered, mut lost) = (0_u64, 0_u64);
        for subscriber in state.subscribers.iter().filter(|(id, one)| destination.fits(id, one)).map(|(_, one)| one) {
            for event in &batch.events {
                match subscriber.queue.try_send(event.clone()) {
                    Ok(()) => delivered += 1,
                    Err(_) => {
                        subscriber.missed.fetch_add(1, Ordering::AcqRel);
                        lost += 1;
                    }
                }
            }
        }
        match &destination {
            Destination::Sink => warnings.push("default_sink_due_to_no_destination".to_owned()),
            _ if delivered + lost == 0 => warnings.push("no_reader_is_connected".to_owned()),
            _ => {}
        }
        if lost > 0 {
            warnings.push(format!("dropped_{lost}_events_due_to_slow_readers"));
        }
        let (thread, run, connection) = destination.names();
        if let Some(thread) = &thread {
            state.last_sent = Some(Thread { id: thread.clone(), at: now.iso_seconds(), source: kind });
        }
        let mut answer = json!({ "status": "accepted", "acceptedCount": batch.events.len(), "storedCount": 0,
            "deliveredCount": delivered, "replay": "none", "destinationKind": kind });
        for (name, value) in [("threadId", thread), ("runId", run), ("connectionId", connection)] {
            if let Some(value) = value {
                answer[name] = value.into();
            }
        }
        if !warnings.is_empty() {
            answer["warnings"] = warnings.into();
        }
        answer
    }

    pub(super) fn destination(&self) -> Value {
        let state = self.state();
        json!({ "activeThread": shown(state.active.as_ref(), "active"),
            "lastSentThread": shown(state.last_sent.as_ref(), "sent") })
    }

    pub(super) fn active_thread(&self) -> Value {
        shown(self.state().active.as_ref(), "active")
    }

    pub(super) fn set_active_thread(&self, thread: &str, source: ActiveSource, now: Moment) -> Value {
        let mut state = self.state();
        state.active = Some(Thread { id: thread.to_owned(), at: now.iso_seconds(), source: source.name() });
        shown(state.active.as_ref(), "active")
    }

    pub(super) fn clear_active_thread(&self, only: Option<&str>) -> Value {
        let mut state = self.state();
        if only.is_none_or(|only| state.active.as_ref().is_some_and(|thread| thread.id == only)) {
            state.active = None;
        }
        shown(state.active.as_ref(), "active")
    }
}

impl State {
    /// The first that is known: a connection, a thread or run, the thread that the events share, the active one.
    fn destination(&self, batch: &Batch) -> (Destination, &'static str) {
        if let Some(id) = &batch.connection_id {
            return (Destination::Connection(id.clone()), "connection");
        }
        if batch.thread_id.is_some() || batch.run_id.is_some() {
            let kind = if batch.thread_id.is_some() { "thread" } else { "run" };
            return (Destination::Named(batch.thread_id.clone(), batch.run_id.clone()), kind);
        }
        if let Some(thread) = batch.shared_thread() {
            return (Destination::Named(Some(thread.to_owned()), None), "event_thread");
        }
        match &self.active {
            Some(thread) => (Destination::Named(Some(thread.id.clone()), None), "active_thread"),
            None => (Destination::Sink, "default_sink"),
        }
    }
}

impl Destination {
    fn fits(&self, id: &str, one: &Subscriber) -> bool {
        match self {
            Self::Connection(wanted) => wanted == id,
            Self::Named(thread, run) => {
                thread.as_ref().is_none_or(|thread| *thread == one.thread)
                    && run.as_ref().is_none_or(|run| *run == one.run)
            }
            Self::Sink => false,
        }
    }

    /// Thread, run and connection.
    fn names(self) -> (Option<String>, Option<String>, Option<String>) {
        match self {
            Self::Connection(id) => (None, None, Some(id)),
            Self::Named(thread, run) => (thread, run, None),
            Self::Sink => (None, None, None),
        }
    }
}

fn shown(thread: Option<&Thread>, word: &str) -> Value {
    match thread {
        None => json!({ "status": "empty" }),
        Some(thread) => {
            json!({ "status": word, "threadId": thread.id, "updatedAtUtc": thread.at, "source": thread.source })
        }
    }
}

/// One reader. It is forgotten when this is dropped.
#[derive(Debug)]
pub struct Connection {
    id: String,
    inbox: mpsc::Receiver<Value>,
    missed: Arc<AtomicU64>,
    greeting: Mutex<Option<Value>>,
    hub: Arc<Hub>,
    stopping: watch::Receiver<bool>,
}

impl Connection {
    /// Its name, for [`super::AgUi::disconnect`] and for batches.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it hears first.
    pub(super) fn greet(&self, event: Value) {
        *self.greeting.lock().unwrap_or_else(PoisonError::into_inner) = Some(event);
    }

    /// The next event; `None` when it was detached, or the gateway stops. May be called anew after it was given up.
    pub async fn next(&mut self) -> Option<Value> {
        if let Some(greeting) = self.greeting.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            return Some(greeting);
        }
        // What was queued came before the gap.
        if self.inbox.is_empty() {
            let count = self.missed.swap(0, Ordering::AcqRel);
            if count > 0 {
                let value = json!({ "droppedCount": count, "queue": QUEUE });
                return Some(json!({ "type": "CUSTOM", "name": "agents.events.dropped", "value": value }));
            }
        }
        tokio::select! {
            biased;
            event = self.inbox.recv() => event,
            _ = self.stopping.wait_for(|stopping| *stopping) => None,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.hub.disconnect(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(count: usize, thread: Option<&str>) -> Batch {
        let event = |n: usize| json!({ "type": "CUSTOM", "name": "n", "value": n });
        Batch {
            thread_id: thread.map(str::to_owned),
            run_id: None,
            connection_id: None,
            events: (0..count).map(event).collect(),
        }
    }

    fn now() -> Moment {
        Moment::parse("2026-11-21T10:00:00Z").unwrap()
    }

    #[tokio::test]
    async fn a_slow_reader_loses_events_and_is_told_where() {
        let (hub, (_stop, stopping)) = (Arc::<Hub>::default(), watch::channel(false));
        let mut slow = hub.connect("t", "r", stopping.clone());
        let _other = hub.connect("other", "r", stopping);
        assert_eq!(hub.publish(&batch(70, Some("t")), now())["deliveredCount"], 70);
        let answer = hub.publish(&batch(70, Some("t")), now());
        assert_eq!((&answer["deliveredCount"], &answer["acceptedCount"]), (&json!(30), &json!(70)));
        assert_eq!(answer["warnings"], json!(["dropped_40_events_due_to_slow_readers"]));
        for _ in 0..QUEUE {
            assert_eq!(slow.next().await.unwrap()["name"], "n");
        }
        let told = slow.next().await.unwrap();
        assert_eq!((&told["name"], &told["value"]["droppedCount"]), (&json!("agents.events.dropped"), &json!(40)));
        hub.publish(&batch(1, Some("t")), now());
        assert_eq!(slow.next().await.unwrap()["value"], 0);
        let id = slow.id().to_owned();
        assert!(hub.disconnect(&id) && !hub.disconnect(&id));
        assert_eq!(slow.next().await, None);
    }

    #[tokio::test]
    async fn the_first_known_destination_counts() {
        let (hub, (_stop, stopping)) = (Arc::<Hub>::default(), watch::channel(false));
        let one = hub.connect("t", "r", stopping.clone());
        let two = hub.connect("u", "r", stopping);
        let sent = |batch: Batch| {
            let answer = hub.publish(&batch, now());
            (answer["destinationKind"].as_str().unwrap().to_owned(), answer["deliveredCount"].as_u64().unwrap())
        };
        assert_eq!(sent(batch(1, None)), ("default_sink".to_owned(), 0));
        assert_eq!(hub.destination()["lastSentThread"]["status"], "empty");
        let run = Batch { run_id: Some("r".to_owned()), ..batch(1, None) };
        assert_eq!(sent(run), ("run".to_owned(), 2));
        let both = Batch { run_id: Some("other".to_owned()), ..batch(1, Some("t")) };
        assert_eq!(sent(both), ("thread".to_owned(), 0));
        let connection = Batch { connection_id: Some(two.id().to_owned()), ..batch(1, Some("t")) };
        assert_eq!(sent(connection), ("connection".to_owned(), 1));
        hub.set_active_thread("u", ActiveSource::Manual, now());
        assert_eq!(sent(batch(1, None)), ("active_thread".to_owned(), 1));
        let named = json!({ "type": "RUN_STARTED", "threadId": "t", "runId": "r" });
        assert_eq!(sent(Batch { events: vec![named], ..batch(0, None) }), ("event_thread".to_owned(), 1));
        assert_eq!(hub.clear_active_thread(Some("t"))["status"], "active");
        assert_eq!(hub.clear_active_thread(Some("u"))["status"], "empty");
        drop(one);
        assert_eq!(sent(batch(1, Some("t"))), ("thread".to_owned(), 0));
    }
}

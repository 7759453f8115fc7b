//! The queue and the eyes inside the gateway: their tasks, what the status document takes from the queue, and the
//! events it leaves behind.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, watch};

use super::{
    board::{Board, Facts},
    tasks::Tasks,
    turns,
    watch::Subject,
};
use crate::{
    agents::headless::Dialect,
    api::{Host, Manifest},
    headless::{Template, is_headless},
    mail::{Desk, Mailbox, Session as MailSession},
    memory,
    model::RequestKind,
    notifier::{Notifier, Session as Bound, Surroundings},
    queue::{Activity, AgentNow, Chats, HeadlessWorker, Interrupts, Place, Queue, TurnReceipts, Worker},
    reminders::Reminders,
    session::{SessionRoot, documents},
    store::{JournalRow, Store, StoreError},
    telemetry::EventLog,
    tmux::control::Control,
    tracker::{Detectors, Eyes, Feed, Recorder, RecordingLimits, Timings, Tracker, Watcher, records},
};

/// How often the status document and `events.jsonl` follow a busy queue.
const FOLLOW: Duration = Duration::from_millis(50);

/// Journal entries that are read together.
const PAGE: usize = 64;

/// The agent's program, and how its screen is judged.
#[derive(Debug)]
pub(super) struct Agent {
    /// As it was recorded.
    pub(super) tool: String,
    pub(super) timings: Timings,
    /// Its turns are processes, and its pane only shows them.
    pub(super) headless: bool,
}

/// The queue with what keeps it running.
pub(super) struct Work {
    pub(super) queue: Queue,
    pub(super) agent: watch::Sender<AgentNow>,
    pub(super) control: watch::Sender<Option<Control>>,
    worker: Worker,
    interrupts: Interrupts,
    receipts: TurnReceipts,
    tool: String,
    tracker: Tracker,
    eyes: Eyes,
    watcher: Watcher,
    /// A person's own profiles.
    detectors: Option<Detectors>,
    feeds: (mpsc::Sender<Feed>, mpsc::Receiver<Feed>),
}

/// What stays of it for the others, once it runs.
pub(super) struct Running {
    pub(super) queue: Queue,
    pub(super) reminders: Reminders,
    pub(super) agent: watch::Sender<AgentNow>,
    pub(super) tracker: Tracker,
    pub(super) eyes: Eyes,
}

impl Work {
    /// Puts queue and eyes together. Nothing runs yet.
    pub(super) fn new(
        root: &SessionRoot,
        store: &Store,
        subject: &Subject,
        facts: &Facts,
        set_aside: Option<String>,
        owner: String,
        agent: Agent,
    ) -> Self {
        let Agent { tool, timings, headless } = agent;
        let (control, clients) = watch::channel(None);
        let detectors = root.home().map(|home| Detectors::read(&home.detectors()));
        let library = detectors.as_ref().map(Detectors::library).unwrap_or_default();
        // What a headless agent does is told by its turns; its pane is read as nobody's.
        let screen = if headless { "headless" } else { tool.as_str() };
        let tracker = Tracker::of(screen, library, timings);
        let recorder = Recorder::new(root.recordings(), RecordingLimits::default());
        let eyes = Eyes::new(subject.server.clone(), clients.clone(), subject.agent, recorder);
        let its_own = if headless { Tracker::new(None, timings) } else { tracker.clone() };
        let watcher = Watcher::new(eyes.clone(), its_own, tool.clone());
        let place = Place {
            server: subject.server.clone(),
            control: clients,
            lock: root.delivery_lock(),
            owner,
            tool: tool.clone(),
            tracker: tracker.clone(),
            chats: headless.then(|| Arc::new(Chats::new(root.clone()))),
        };
        let (agent, agents) = watch::channel(agent_now(subject, facts));
        let activity = Activity { set_aside, ..Activity::default() };
        let (queue, worker, interrupts, receipts) = Queue::new(store.clone(), place, agents, activity);
        let feeds = mpsc::channel(4);
        Self { queue, agent, control, worker, interrupts, receipts, tool, tracker, eyes, watcher, detectors, feeds }
    }

    /// Where the control client brings what the agent's pane prints.
    pub(super) fn feeds(&self) -> mpsc::Sender<Feed> {
        self.feeds.0.clone()
    }

    /// Starts the tasks. `trouble` hears of a store that must not be used any more.
    pub(super) fn start(
        self,
        tasks: &mut Tasks,
        board: &Arc<Board>,
        store: Store,
        events: EventLog,
        trouble: mpsc::Sender<String>,
    ) -> Running {
        let Self {
            queue,
            agent,
            worker,
            interrupts,
            receipts,
            tool,
            tracker,
            eyes,
            watcher,
            detectors,
            feeds: (_, feeds),
            ..
        } = self;
        match HeadlessWorker::in_place_of(worker) {
            Ok(worker) => tasks.start("headless worker", |stop| worker.run(stop)),
            Err(worker) => {
                tasks.start("worker", |stop| worker.run(stop));
                if let Some(detectors) = detectors {
                    let judged = tracker.clone();
                    tasks.start("detectors", |stop| detectors.follow(judged, stop));
                }
                let (sensed, subject) = (tracker.clone(), agent.subscribe());
                tasks.start("records", |stop| records::follow(sensed, tool, subject, process_of, stop));
                let (told, kept) = (tracker.edges(), store.clone());
                tasks.start("turns", |stop| turns::keep(told, kept, stop));
                tasks.start("turn receipts", |stop| receipts.run(stop));
            }
        }
        let ticking = tracker.clone();
        tasks.start("tracker", |stop| ticking.run(stop));
        tasks.start("interrupts", |stop| interrupts.run(stop));
        let (told, followed) = (queue.clone(), board.clone());
        tasks.start("queue status", |stop| follow(told, followed, stop));
        let reminders = Reminders::new(store.clone(), queue.clone(), tracker.clone());
        let ticking = reminders.clone();
        tasks.start("reminders", |stop| ticking.run(stop));
        let (sick, watched) = (queue.clone(), store.clone());
        tasks.start("store health", |stop| health(watched, sick, trouble, stop));
        tasks.start("event log", |stop| export(store, events, stop));
        tasks.start("eyes", |stop| watcher.run(feeds, stop));
        Running { queue, reminders, agent, tracker, eyes }
    }
}

/// The mail of the session, as its manifest says at each call.
pub(super) fn desk(root: &SessionRoot) -> Desk {
    let manifest = root.manifest();
    let read = move || documents::load::<Manifest>(&manifest).map_err(|error| error.to_string());
    Desk::new(MailSession { manifest: Box::new(read), secrets: root.mailbox_secrets(), state: root.state() })
}

/// Starts the mail notifier.
pub(super) fn notifier(
    tasks: &mut Tasks,
    root: &SessionRoot,
    facts: &Facts,
    store: &Store,
    queue: &Queue,
    tracker: &Tracker,
) -> Notifier {
    // Mail is answered only where nobody else listens: elsewhere the address would be refused.
    let base_url = (facts.host == Host::Loopback).then(|| format!("http://127.0.0.1:{}", facts.port));
    let around = surroundings(root, base_url);
    let notifier = Notifier::new(store.clone(), queue.clone(), tracker.clone(), around);
    tasks.start("mail notifier", |stop| notifier.clone().run(stop));
    notifier
}

/// What the mail notifier works in.
fn surroundings(root: &SessionRoot, base_url: Option<String>) -> Surroundings {
    let root = root.clone();
    let folder = root.path().to_owned();
    let read = move || {
        let manifest: Manifest = documents::load(&root.manifest()).map_err(|error| error.to_string())?;
        Ok(Bound {
            mailbox: Mailbox::of_session(&manifest, root.mailbox_secrets()).map_err(|error| error.to_string()),
            terminal: !is_headless(&root, &manifest),
            dialect: dialect(&root, &manifest),
            tool: manifest.tool,
        })
    };
    Surroundings { session: Arc::new(read), folder, base_url }
}

/// Is it headless, and a program whose words are known?
fn dialect(root: &SessionRoot, manifest: &Manifest) -> bool {
    let template = Template::of(root, manifest).ok().flatten();
    template.is_some_and(|template| template.dialect != Dialect::Generic)
}

/// The memory of the session, as its manifest says at each call.
pub(super) fn memory(root: &SessionRoot) -> memory::Desk {
    let manifest = root.manifest();
    memory::Desk::new(move || documents::load::<Manifest>(&manifest).map_err(|error| error.to_string()))
}

/// The process that the agent's pane was started with.
fn process_of(agent: &AgentNow) -> Option<u32> {
    agent.process.as_ref().map(|agent| agent.process.pid)
}

/// The agent as the queue needs to know it.
pub(super) fn agent_now(subject: &Subject, facts: &Facts) -> AgentNow {
    AgentNow { pane: subject.agent, process: facts.view.agent.clone(), epoch: facts.epoch }
}

/// Takes the queue's changes into the status document, a busy queue's not one by one.
async fn follow(queue: Queue, board: Arc<Board>, mut stop: watch::Receiver<bool>) {
    let (mut activity, mut waiting) = (queue.activity(), queue.waiting());
    loop {
        waiting.mark_unchanged();
        let now = activity.borrow_and_update().clone();
        board.update(|facts| facts.take_in(&now, queue.depth()));
        tokio::select! {
            changed = activity.changed() => if changed.is_err() { return },
            changed = waiting.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Closes the queue when its store fails. A failed sync ends the gateway: what the file holds is only known after it
/// was opened anew. A file that was replaced under us is left to the operator.
async fn health(store: Store, queue: Queue, trouble: mpsc::Sender<String>, mut stop: watch::Receiver<bool>) {
    let mut health = store.health();
    let why = tokio::select! {
        sick = health.wait_for(Option::is_some) => sick.ok().and_then(|why| why.clone()),
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let Some(why) = why else { return };
    tracing::error!(why, "the queue takes nothing more");
    queue.is_sick(why.clone());
    if !matches!(store.check().await, Err(StoreError::Replaced { .. })) {
        // The gateway may be ending already.
        drop(trouble.send(why).await);
    }
    drop(stop.wait_for(|stop| *stop).await);
}

/// Writes `events.jsonl` from the journal: what is on disk, in order, a busy journal's many lines in one write. How far
/// it came is kept, so that a crash loses no line; the last few may stand there twice.
async fn export(store: Store, events: EventLog, mut stop: watch::Receiver<bool>) {
    let mut newest = store.newest();
    let mut after = match store.exported().await {
        Ok(Some(after)) => after,
        // A queue that was never exported begins here: what it holds was told by another program.
        Ok(None) | Err(_) => *newest.borrow(),
    };
    let mut stopping = false;
    loop {
        newest.mark_unchanged();
        match export_from(after, &store, &events).await {
            Ok(last) => after = last,
            Err(error) => {
                tracing::warn!(%error, "the journal could not be read for events.jsonl");
                drop(stop.wait_for(|stop| *stop).await);
                return;
            }
        }
        if stopping {
            return;
        }
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            _ = stop.wait_for(|stop| *stop) => stopping = true,
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW) => {}
            _ = stop.wait_for(|stop| *stop) => stopping = true,
        }
    }
}

/// Writes every entry behind this one; returns the last.
async fn export_from(mut after: u64, store: &Store, events: &EventLog) -> Result<u64, StoreError> {
    let before = after;
    loop {
        let rows = store.journal_after(after, None, PAGE).await?;
        after = rows.last().map_or(after, |row| row.id);
        let lines: Vec<Value> = rows.iter().filter_map(event).collect();
        if !lines.is_empty()
            && let Err(error) = events.append_all(&lines)
        {
            tracing::warn!(%error, "events could not be recorded");
        }
        if rows.len() == PAGE {
            continue;
        }
        if after != before
            && let Err(error) = store.remember_exported(after).await
        {
            tracing::debug!(%error, "how far the events were recorded was not kept");
        }
        return Ok(after);
    }
}

/// The gateway's own prompts have a word of their own.
fn accepted(receipt: &Map<String, Value>) -> &'static str {
    let own = receipt.get("request_kind").and_then(Value::as_str) == Some(RequestKind::MailNotifierPrompt.name());
    if own { "accepted_internal" } else { "accepted" }
}

/// A journal entry in the contract's words (section 1.8); ours that it has no words for keep their own.
fn event(row: &JournalRow) -> Option<Value> {
    let id = row.request_id.as_ref().map(ToString::to_string);
    let mut fields = match &row.data {
        Value::Object(fields) => fields.clone(),
        _ => Map::new(),
    };
    if row.kind != "receipt" {
        fields.insert("kind".to_owned(), json!(row.kind));
        if let Some(id) = id {
            fields.insert("request_id".to_owned(), json!(id));
        }
        return Some(Value::Object(fields));
    }
    // Direct work has words of its own.
    row.request_id.as_ref().filter(|id| id.is_queued())?;
    let seconds = format!("{}+00:00", row.at_utc.get(..19).unwrap_or_default());
    let receipt = fields.get("receipt").and_then(Value::as_str).unwrap_or_default().to_owned();
    let reason = fields.get("reason").and_then(Value::as_str);
    match (receipt.as_str(), reason) {
        ("queued", None) => Some(json!({ "kind": accepted(&fields), "request_id": id, "accepted_at_utc": seconds,
            "request_kind": fields.get("request_kind") })),
        // A headless request is done when its turn has ended; the row's own words say how.
        ("submitted", _) if of_headless(&fields) => None,
        ("turn_ended", _) if of_headless(&fields) => Some(headless_end(&fields, id.as_deref(), &seconds)),
        ("submitted", _) => Some(json!({ "kind": "completed", "request_id": id, "error_detail": null,
            "result_json": { "completed_at_utc": seconds,
                "request_kind": fields.get("evidence").and_then(|seen| seen.get("request_kind")) } })),
        // It has an event of its own.
        ("refused", Some("superseded")) => None,
        // The error detail of the row, word for word.
        ("refused" | "indeterminate", _) => Some(json!({ "kind": "failed", "request_id": id, "result_json": null,
            "error_detail": format!("{receipt} ({}): {}", reason.unwrap_or("unknown"),
                fields.get("detail").and_then(Value::as_str).unwrap_or_default()) })),
        _ => None,
    }
}

fn of_headless(fields: &Map<String, Value>) -> bool {
    fields.get("evidence").is_some_and(|seen| seen["headless"] == json!(true))
}

fn headless_end(fields: &Map<String, Value>, id: Option<&str>, seconds: &str) -> Value {
    let seen = fields.get("evidence").cloned().unwrap_or_default();
    if seen["outcome"] == json!("success") {
        return json!({ "kind": "completed", "request_id": id, "error_detail": null,
            "result_json": { "completed_at_utc": seconds, "request_kind": seen["request_kind"] } });
    }
    let why = seen["error"].as_str().map_or_else(String::new, |error| format!(": {error}"));
    let detail = format!("turn_{}{why}", seen["outcome"].as_str().unwrap_or("failed"));
    json!({ "kind": "failed", "request_id": id, "result_json": null, "error_detail": detail })
}

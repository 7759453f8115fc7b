//! The gateway's life: boot, announce, serve until something ends it, take everything back.

use std::{io::Write, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::{
    board::Board,
    boot::{self, Config, Started},
    guard::{self, Tampering},
    place::Seat,
    publish::Publisher,
    signals::Signals,
    tasks::Tasks,
    watch::{self as session_watch, Listeners, Sight, Subject},
    work::{self, Agent, Running, Work},
};
use crate::{
    ag_ui::AgUi,
    api::{DesiredConfig, Place, Readiness},
    app::App,
    http::{
        access::Access,
        router,
        serve::{self, Limits, Listener},
    },
    model::{Failure, LEASE},
    os::{clock, lock::Lock, program, rendezvous::Meeting},
    queue::{AgentNow, Queue},
    store::Store,
    target::{Introduction, Target},
    telemetry::{self, DiagnosticLog, EventLog, WindowMirror},
    tmux::control::Control,
    tracker::{Eyes, Timings},
};

/// How long the control client may take at the start.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// How long running requests may take to finish at the end.
const DRAIN: Duration = Duration::from_secs(2);

/// Runs the gateway until it is asked to end or its session is gone.
///
/// `window` is where its log is shown as well; `None` shows it nowhere.
///
/// # Errors
/// Why it could not start, or what made it give up. A waiting `attach` was told the same.
pub fn run(config: &Config, window: Option<Box<dyn Write + Send>>) -> Result<(), Failure> {
    let mut meeting = match &config.ready {
        Some(name) => Some(
            Meeting::join(&config.root.run(), name)
                .map_err(|error| Failure::internal(format!("the attach that started this gateway is gone: {error}")))?,
        ),
        None => None,
    };
    let outcome = started(config, window, meeting.as_mut());
    if let (Err(failure), Some(meeting)) = (&outcome, &mut meeting) {
        let words = Readiness::Failed {
            code: failure.code.name().to_owned(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
        };
        // The parent may have given up; then the log has the reason.
        drop(meeting.say(&serde_json::to_string(&words).unwrap_or_default()));
    }
    outcome
}

fn started(
    config: &Config,
    window: Option<Box<dyn Write + Send>>,
    mut meeting: Option<&mut Meeting>,
) -> Result<(), Failure> {
    let told = meeting.as_mut().map(|meeting| hear_introduction(meeting)).transpose()?;
    let is_detached = told.as_ref().is_some_and(|told| told.place == Place::Detached);
    let window = window.filter(|_| !is_detached);
    if is_detached {
        program::become_session_leader();
    }
    let mirror = window.and_then(|window| WindowMirror::start(window).ok());
    let _log = telemetry::init(&config.root.log(), mirror, config.verbose);
    let target = boot::find(config, told.as_ref())?;
    let seat = match told {
        Some(told) => Seat::told(told.place)?,
        None => Seat::found(&target, config.context.inside.as_ref())?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // For the rare tmux call beside the control client, and for mail, which has two; the threads go away again.
        .max_blocking_threads(4)
        .thread_keep_alive(Duration::from_millis(100))
        .build()
        .map_err(|error| Failure::internal(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let lived = live(config, seat, &target, meeting).await;
        if let Err(failure) = &lived {
            tracing::error!("{failure}");
        }
        lived
    })
}

fn hear_introduction(meeting: &mut Meeting) -> Result<Introduction, Failure> {
    let line = meeting
        .hear(Duration::from_secs(5))
        .map_err(|error| Failure::internal(format!("the attach that started this gateway fell silent: {error}")))?;
    serde_json::from_str(&line).map_err(|error| Failure::internal(format!("unreadable words of the attach: {error}")))
}

/// Why the gateway ends.
#[derive(Debug)]
enum End {
    Asked(&'static str),
    Lost(String),
    LockLost,
    Failed(String),
}

impl End {
    fn words(&self) -> String {
        match self {
            Self::Asked(signal) => (*signal).to_owned(),
            Self::Lost(why) | Self::Failed(why) => why.clone(),
            Self::LockLost => "the lock file was removed or replaced".to_owned(),
        }
    }
}

async fn live(config: &Config, seat: Seat, target: &Target, meeting: Option<&mut Meeting>) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::internal(format!("no signal handlers: {error}")))?;
    let started = boot::boot(config, seat, target).await?;
    let mut gateway = Gateway::start(config, started);
    let public = match gateway.first_look().await {
        Ok(()) => gateway.announce().await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = public {
        // Half public is worse than not at all.
        drop(gateway.stop(End::Failed(failure.message.clone())).await);
        return Err(failure);
    }
    gateway.start_guard();
    if let Some(meeting) = meeting {
        let words = Readiness::Ready { notes: gateway.notes.clone() };
        let words = serde_json::to_string(&words).unwrap_or_default();
        if let Err(error) = meeting.say(&words) {
            tracing::warn!(%error, "the attach that started this gateway is gone; it goes on without");
        }
    }
    let end = gateway.serve(&mut signals).await;
    tokio::select! {
        ended = gateway.stop(end) => ended,
        second = signals.asked_to_end() => {
            tracing::warn!(signal = second, "asked a second time; ending at once");
            Ok(())
        }
    }
}

/// The running parts.
pub(super) struct Gateway {
    pub(super) config: Config,
    pub(super) tasks: Tasks,
    /// Held to the very end: until everything is taken back, nobody else may start.
    pub(super) lock: Arc<Lock>,
    pub(super) board: Arc<Board>,
    pub(super) desired: DesiredConfig,
    pub(super) events: EventLog,
    pub(super) publisher: Publisher,
    pub(super) store: Store,
    pub(super) store_thread: std::thread::JoinHandle<()>,
    pub(super) generation: u64,
    pub(super) subject: watch::Sender<Subject>,
    /// The control client, while there is one.
    pub(super) control: watch::Receiver<Option<Control>>,
    pub(super) queue: Queue,
    pub(super) agent: watch::Sender<AgentNow>,
    pub(super) eyes: Eyes,
    pub(super) sights: mpsc::Receiver<Sight>,
    pub(super) found: mpsc::Sender<Tampering>,
    pub(super) tampering: mpsc::Receiver<Tampering>,
    pub(super) troubles: mpsc::Receiver<String>,
    pub(super) notes: Vec<String>,
}

impl Gateway {
    fn start(config: &Config, started: Started) -> Self {
        let Started {
            lock,
            store,
            store_thread,
            board,
            publisher,
            subject,
            tcp,
            unix,
            access,
            desired,
            generation,
            set_aside,
            tool,
            headless,
            tracked,
            notes,
        } = started;
        let mut tasks = Tasks::new();
        let (found, tampering) = mpsc::channel(16);
        let (trouble, troubles) = mpsc::channel(1);
        let timings = Timings::from(&desired.desired_tui_tracking_timings.clone().unwrap_or_default());
        let work = Work::new(
            &config.root,
            &store,
            &subject,
            &board.facts(),
            set_aside,
            hand_of(&publisher),
            Agent { tool, timings, headless },
        );
        let (client, control, feeds) = (work.control.clone(), work.control.subscribe(), work.feeds());
        let events = EventLog::new(&config.root.events());
        let Running { queue, reminders, agent, tracker, eyes } =
            work.start(&mut tasks, &board, store.clone(), events, trouble);
        let notifier = work::notifier(&mut tasks, &config.root, &board.facts(), &store, &queue, &tracker);
        let session = Arc::new(tracked);
        let app = App {
            status: board.subscribe(),
            instance_id: publisher.owner.instance_id.as_str().into(),
            diagnostics: Arc::new(diagnostics(config, &desired)),
            queue: queue.clone(),
            reminders,
            tracker: tracker.clone(),
            mail: work::desk(&config.root),
            notifier,
            memory: work::memory(&config.root),
            ag_ui: AgUi::new(queue.clone(), tracker.clone(), session.clone(), tasks.stopping()),
            session,
            eyes: eyes.clone(),
            stopping: tasks.stopping(),
        };
        let listeners = std::iter::once(Listener::Tcp(tcp)).chain(unix.map(Listener::Unix));
        listen(&mut tasks, listeners, app, access);
        let (seen, sights) = mpsc::channel(16);
        let subject = watch_session(&mut tasks, subject, Listeners { sights: seen, client, feeds });
        let (beating, beaten) = (publisher.clone(), board.clone());
        tasks.start("registry heartbeat", |stop| heartbeat(beating, beaten, stop));
        Self {
            config: config.clone(),
            tasks,
            lock,
            board,
            desired,
            events: EventLog::new(&config.root.events()),
            publisher,
            store,
            store_thread,
            generation,
            subject,
            control,
            queue,
            agent,
            eyes,
            sights,
            found,
            tampering,
            troubles,
            notes,
        }
    }

    /// Waits until the control client is attached, before anybody is told of this gateway: whoever was told may make
    /// or end a session in the next moment, and tmux 3.3a does not survive that while a client introduces itself.
    async fn first_look(&mut self) -> Result<(), Failure> {
        match tokio::time::timeout(FIRST_LOOK, self.next_view()).await {
            Ok(Some(Sight::Seen(view))) => self.saw(view).await,
            Ok(Some(Sight::Attached(_))) => {}
            Ok(Some(Sight::Lost(why))) => {
                return Err(Failure::not_found(
                    format!("the session is gone: {why}"),
                    "`agents list` shows the others",
                ));
            }
            Ok(None) | Err(_) => tracing::warn!("no tmux control client yet; going on without"),
        }
        Ok(())
    }

    /// The next sight that tells of the session itself.
    async fn next_view(&mut self) -> Option<Sight> {
        loop {
            match self.sights.recv().await {
                Some(Sight::Attached(process)) => self.attached(process),
                other => return other,
            }
        }
    }

    /// From here on the files are ours to watch.
    fn start_guard(&mut self) {
        let (root, locked, guarded) = (self.config.root.clone(), self.lock.clone(), self.board.clone());
        let found = self.found.clone();
        self.tasks.start("file guard", |stop| guard::guard(root, locked, guarded, found, stop));
    }

    /// Goes public: records and snapshot first, then the variables, then the registry.
    async fn announce(&self) -> Result<(), Failure> {
        let mut facts = self.board.facts();
        self.publisher.write_first(&mut facts, &self.desired)?;
        self.board.update(|current| current.attach = facts.attach.clone());
        self.board.write();
        // The client is attached: its line is dozens of times cheaper than a process. Where it does not do it, a
        // process says why.
        let control = self.control.borrow().clone();
        let set = match control {
            Some(control) => control.ask_list(&self.publisher.variables(&facts)).await.is_ok(),
            None => false,
        };
        if !set {
            self.publisher.set_variables(&facts)?;
        }
        self.publisher.announce_in_registry(&facts, clock::now());
        for note in &self.notes {
            tracing::warn!("{note}");
        }
        tracing::info!(
            host = %facts.host,
            port = facts.port,
            attach_identity = facts.attach.attach_identity,
            pid = self.publisher.owner.process.pid,
            epoch = facts.epoch,
            "gateway started"
        );
        self.note(&json!({
            "kind": "gateway_started",
            "gateway_pid": self.publisher.owner.process.pid,
            "gateway_host": facts.host,
            "gateway_port": facts.port,
            "generation": self.generation,
            "managed_agent_instance_epoch": facts.epoch,
            "started_at_utc": self.publisher.owner.started_at_utc,
        }));
        Ok(())
    }

    /// Appends to the audit log. A full disk costs the line, not the gateway.
    pub(super) fn note(&self, event: &Value) {
        if let Err(error) = self.events.append(event) {
            tracing::warn!(%error, "an event could not be recorded");
        }
    }

    /// Serves until something ends it.
    async fn serve(&mut self, signals: &mut Signals) -> End {
        loop {
            tokio::select! {
                signal = signals.asked_to_end() => return End::Asked(signal),
                Some(sight) = self.sights.recv() => match sight {
                    Sight::Lost(why) => return End::Lost(why),
                    Sight::Seen(view) => self.saw(view).await,
                    Sight::Attached(process) => self.attached(process),
                },
                Some(event) = self.tampering.recv() => match event {
                    Tampering::LockLost => return End::LockLost,
                    Tampering::Withdrawn => self.publish_again().await,
                    Tampering::SurfaceChanged => self.follow_surface().await,
                },
                Some(why) = self.troubles.recv() => return End::Failed(why),
                why = self.tasks.unexpected_end() => return End::Failed(why),
            }
        }
    }

    /// Ends in order. What a lost lock may belong to a newcomer by now is left alone.
    async fn stop(self, end: End) -> Result<(), Failure> {
        let (now, reason) = (clock::now().iso_seconds(), end.words());
        tracing::info!(reason, "gateway stopping");
        let result = match &end {
            End::Asked(_) | End::Lost(_) => Ok(()),
            End::LockLost | End::Failed(_) => Err(Failure::internal(format!("this gateway gave up: {reason}"))),
        };
        self.note(&json!({
            "kind": "gateway_stopped", "generation": self.generation, "reason": reason, "stopped_at_utc": now,
        }));
        self.tasks.end(DRAIN).await;
        if !matches!(end, End::LockLost) {
            self.publisher.withdraw(!matches!(end, End::Lost(_)));
        }
        if let Err(error) = self.store.end_run(self.generation, clock::now()).await {
            tracing::warn!(%error, "the end of this run could not be recorded");
        }
        drop((self.store, self.queue));
        if self.store_thread.join().is_err() {
            tracing::error!("the store's thread had failed");
        }
        tracing::info!("gateway stopped");
        drop(self.lock);
        result
    }
}

/// This run's name among all hands that ever type into the agent's pane.
fn hand_of(publisher: &Publisher) -> String {
    format!("gateway-{}", publisher.owner.instance_id)
}

/// Serves on each of these.
fn listen(tasks: &mut Tasks, listeners: impl Iterator<Item = Listener>, app: App, access: Access) {
    let handler = router::handler(app, access);
    for listener in listeners {
        let name = match listener {
            Listener::Tcp(_) => "http",
            Listener::Unix(_) => "http on the Unix socket",
        };
        let handler = handler.clone();
        tasks.start(name, |stop| serve::serve(listener, handler, Limits::default(), stop));
    }
}

/// The opt-in log of requests.
fn diagnostics(config: &Config, desired: &DesiredConfig) -> DiagnosticLog {
    let logging = desired.desired_diagnostic_logging.clone().unwrap_or_default();
    let folder = config.root.diagnostic_log();
    DiagnosticLog::new(folder.parent().unwrap_or(config.root.path()), &logging)
}

/// Follows the session from now on; what is returned says which one.
fn watch_session(tasks: &mut Tasks, subject: Subject, listeners: Listeners) -> watch::Sender<Subject> {
    let subject = watch::Sender::new(subject);
    let watched = subject.subscribe();
    tasks.start("session watch", |stop| session_watch::watch(watched, listeners, stop));
    subject
}

async fn heartbeat(publisher: Publisher, board: Arc<Board>, mut stop: watch::Receiver<bool>) {
    loop {
        let told = tokio::time::timeout(LEASE / 4, stop.changed()).await;
        if told.is_ok() {
            return;
        }
        let (publisher, facts) = (publisher.clone(), board.facts());
        beside(move || publisher.renew_lease(&facts)).await.unwrap_or_default();
    }
}

/// Does work that may have to wait (a tmux process, a lock) beside the one thread that serves requests.
pub(super) async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.inspect_err(|error| tracing::error!(%error, "work beside the gateway failed")).ok()
}

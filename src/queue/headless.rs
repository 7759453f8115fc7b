//! The worker of an agent whose turns are processes. Rows, receipts and recovery are those of every other session;
//! nothing is typed, and a request is done when its turn has ended.

mod at_once;
mod commands;
mod ends;
mod recover;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::json;
use tokio::{sync::watch, time::sleep};

pub(super) use at_once::DirectTurn;
use commands::Commands;

use super::{
    Queue, Refusal,
    run::closed,
    worker::{AT_ONCE, Next, STORE_PAUSE, Worker, asked},
};
use crate::{
    agents::{ComposerReading, ScreenReading, Sign},
    api::{ChatId, ChatMode, HeadlessChat, Manifest, NextPrompt, SubmitPrompt},
    delivery::JournalClosed,
    headless::{self, Asked, Conversation, Standing, Template, Turn, choose},
    model::{Failure, Note, Receipt, RequestId, RequestKind, Route, Source, Spoken, TurnRecord},
    os::{child, clock, files::FileError, lock::Lock},
    session::{SessionRoot, documents},
    store::QueuedRow,
    tracker::{Observation, ScreenSeen, Seen},
};

/// The conversations of a headless session, and the turn that runs.
#[derive(Debug)]
pub struct Chats {
    root: SessionRoot,
    /// The next prompt that leaves the choice to us begins a new one. Forgotten with the gateway.
    new_once: AtomicBool,
    active: watch::Sender<Option<ActiveTurn>>,
}

/// The turn that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveTurn {
    /// Its name.
    pub id: String,
    /// It was asked for at once, and not through the queue.
    pub direct: bool,
}

impl Chats {
    /// Those of the session at this root.
    pub fn new(root: SessionRoot) -> Self {
        Self { root, new_once: AtomicBool::new(false), active: watch::Sender::new(None) }
    }

    /// The turn that runs: one of ours, or one that a command started.
    pub fn active(&self) -> Option<ActiveTurn> {
        let ours = self.active.borrow().clone();
        ours.or_else(|| {
            let (turn, _) = headless::last(&self.root)?;
            let runs = matches!(turn.standing(), Standing::Starting | Standing::Running(_) | Standing::Orphaned(_));
            runs.then(|| ActiveTurn { id: turn.id().to_owned(), direct: true })
        })
    }

    /// The next prompt that leaves the choice to us begins a new conversation.
    pub fn begin_new_once(&self) {
        self.new_once.store(true, Ordering::Release);
    }

    /// Which conversation comes next.
    ///
    /// # Errors
    /// When the session's files cannot be read.
    pub fn chat(&self) -> Result<HeadlessChat, Failure> {
        let (manifest, template) = self.read()?;
        let (now, _) = Conversation::found(&self.root, &manifest);
        Ok(HeadlessChat {
            current: now.session_id.map(|id| ChatId { id }),
            startup_default: template.startup,
            next_prompt_override: self.new_once.load(Ordering::Acquire).then_some(NextPrompt { mode: ChatMode::New }),
        })
    }

    fn read(&self) -> Result<(Manifest, Template), Failure> {
        let manifest: Manifest = documents::load(&self.root.manifest())?;
        let template = Template::of(&self.root, &manifest)?
            .ok_or_else(|| Failure::internal("the session is not headless any more"))?;
        Ok((manifest, template))
    }
}
impl Queue {
    /// The conversations, if the agent's turns are processes.
    pub fn chats(&self) -> Option<&Arc<Chats>> {
        self.inner.place.chats.as_ref()
    }
}

/// A turn that this worker follows.
#[derive(Debug)]
struct Followed {
    turn: Turn,
    id: RequestId,
    route: Route,
    record: TurnRecord,
    /// Its runner, if this process started it.
    runner: Option<child::Running>,
}

/// Why a turn is not started.
enum NotNow {
    /// It waits.
    Waits(&'static str, String),
    /// It never will be.
    Never(Refusal),
    /// It was taken back meanwhile.
    Withdrawn,
    Closed(JournalClosed),
}

impl From<JournalClosed> for NotNow {
    fn from(closed: JournalClosed) -> Self {
        Self::Closed(closed)
    }
}

/// The task that starts turns and follows them.
#[derive(Debug)]
pub struct HeadlessWorker {
    base: Worker,
    chats: Arc<Chats>,
    active: Option<Followed>,
    /// A turn that a command started: nothing is started beside it.
    foreign: Option<Turn>,
    commands: Commands,
    settled: bool,
}

impl HeadlessWorker {
    /// In the place of the worker that types; `None` for an agent in a terminal.
    ///
    /// # Errors
    /// Gives the worker back.
    pub fn in_place_of(base: Worker) -> Result<Self, Box<Worker>> {
        match base.queue.chats().cloned() {
            Some(chats) => {
                Ok(Self { base, chats, active: None, foreign: None, commands: Commands::default(), settled: false })
            }
            None => Err(Box::new(base)),
        }
    }

    /// Works until it is asked to stop. A turn that runs then goes on, and the next gateway follows it.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut agent = self.base.queue.inner.agent.clone();
        let mut ears = commands::ears(&self.chats);
        self.is_there();
        loop {
            let next = match self.round().await {
                Ok(next) => next,
                Err(JournalClosed) => Next::Later(STORE_PAUSE),
            };
            let queue = self.base.queue.clone();
            let pause = async {
                match next {
                    Next::Again => {}
                    Next::Later(pause) | Next::Blocked(pause) => sleep(pause).await,
                    Next::Idle => std::future::pending().await,
                }
            };
            let running = self.active.as_ref().map(|one| one.turn.clone()).or_else(|| self.foreign.clone());
            let over = async {
                match &running {
                    Some(turn) => turn.over().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = pause => {}
                () = queue.inner.work.notified() => {}
                () = queue.inner.arrivals.notified() => {}
                _ = agent.changed() => {}
                () = over => self.is_over().await,
                () = commands::heard(ears.as_mut(), self.commands.are_starting()) => self.commands.look_again(),
                Some(job) = self.base.jobs.recv() => self.direct(job).await,
                () = asked(&mut stop) => return,
            }
        }
    }

    async fn round(&mut self) -> Result<Next, JournalClosed> {
        if !self.settled {
            self.recover().await?;
            self.settled = true;
        }
        self.take_in().await?;
        let rows = match self.base.queue.inner.store.waiting(AT_ONCE).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "the queue could not be read");
                return Ok(Next::Later(STORE_PAUSE));
            }
        };
        if self.base.expired(&rows).await || self.base.coalesced(&rows).await {
            return Ok(Next::Again);
        }
        self.base.told.retain(|id, _| rows.iter().any(|row| row.id == *id));
        let until_expiry = self.base.until_expiry(&rows).await;
        if let Some(active) = &self.active {
            if let Some(head) = rows.first() {
                let detail = format!("turn `{}` runs", active.turn.id());
                self.base.defer(&head.id, "busy", detail).await;
            }
            return Ok(until_expiry);
        }
        let agent = self.base.queue.agent();
        if agent.process.is_none() {
            self.base.abandoned(&rows).await;
            return Ok(until_expiry);
        }
        let Some(head) = rows.first().filter(|row| row.epoch == agent.epoch) else {
            self.base.undecided(&rows, agent.epoch).await;
            return Ok(until_expiry);
        };
        if head.kind == RequestKind::Interrupt {
            self.base.queue.inner.urgent.notify_one();
            return Ok(until_expiry);
        }
        match self.begin(head).await {
            Ok(()) | Err(NotNow::Withdrawn) => Ok(Next::Again),
            Err(NotNow::Waits(reason, detail)) => {
                self.base.defer(&head.id, reason, detail).await;
                // A command's turn is waited for; a lock that somebody holds for a moment is tried again.
                Ok(if self.foreign.is_some() { until_expiry } else { Next::Later(STORE_PAUSE / 5) })
            }
            Err(NotNow::Never(refusal)) => {
                self.base.queue.refuse(&head.id, &refusal.code, &refusal.detail).await?;
                Ok(Next::Again)
            }
            Err(NotNow::Closed(closed)) => Err(closed),
        }
    }

    async fn begin(&mut self, row: &QueuedRow) -> Result<(), NotNow> {
        let submit: SubmitPrompt = serde_json::from_str(&row.payload_json).map_err(|error| {
            NotNow::Never(Refusal::new(422, "bad_prompt", format!("its payload cannot be read: {error}")))
        })?;
        self.start(&row.id, row.route, &submit).await
    }

    /// Starts the turn of a request that is on record.
    async fn start(&mut self, id: &RequestId, route: Route, submit: &SubmitPrompt) -> Result<(), NotNow> {
        let slot = self.base.queue.slot().map_err(|(reason, detail)| NotNow::Waits(reason, detail))?;
        self.alone().await?;
        let root = self.chats.root.clone();
        let (manifest, template) = self.chats.read().map_err(|failure| not_readable(&failure))?;
        let never = |code, detail: String| NotNow::Never(Refusal::new(422, code, detail));
        let turn_id =
            headless::free_id(&root, submit.turn_id.as_deref()).map_err(|detail| never("bad_turn_id", detail))?;
        let (now, lost) = Conversation::found(&root, &manifest);
        let new_once = self.chats.new_once.load(Ordering::Acquire);
        let mut chosen = choose(&template, submit.chat_session.as_ref(), new_once, &now).map_err(|_no_chat| {
            let detail = "there is no current conversation yet: the first turn begins one";
            NotNow::Never(Refusal::new(409, "missing_current_chat_session", detail))
        })?;
        chosen.note = chosen.note.or(lost);
        let plan = headless::plan(
            &root,
            &template,
            &Asked {
                prompt: &submit.prompt,
                turn_id: &turn_id,
                request_id: Some(id.as_str()),
                chosen: &chosen,
                execution: submit.execution.as_ref(),
                now: clock::now(),
            },
        );
        let intent = Note::new(Receipt::Typing).seen(json!({ "turn_id": turn_id, "headless": true,
            "conversation": plan.conversation, "note": plan.note }));
        let store = &self.base.queue.inner.store;
        if !store.begin(id, clock::now(), vec![intent]).await.map_err(|error| closed(&error))? {
            return Err(NotNow::Withdrawn);
        }
        if submit.chat_session.as_ref().is_none_or(|chat| chat.mode == ChatMode::Auto) {
            self.chats.new_once.store(false, Ordering::Release);
        }
        let started = headless::start(&root, &plan, &submit.prompt)
            .map_err(|failure| never("dispatch_failed", failure.message))?;
        self.follow(slot, id, route, &submit.prompt, started).await
    }

    async fn follow(
        &mut self,
        slot: Lock,
        id: &RequestId,
        route: Route,
        prompt: &str,
        started: headless::Started,
    ) -> Result<(), NotNow> {
        let headless::Started { turn, runner } = started;
        self.base.queue.tell(|activity| activity.running = Some(id.clone()));
        self.chats.active.send_replace(Some(ActiveTurn { id: turn.id().to_owned(), direct: route != Route::Queue }));
        let begun = turn.taken_up(&runner.identity).await;
        drop(slot);
        if !begun && turn.standing() == Standing::Planned {
            self.chats.active.send_replace(None);
            self.base.queue.tell(|activity| activity.running = None);
            let taken_back = headless::withdraw(&turn);
            let detail = format!("its runner ended before it started the program; taken back: {taken_back:?}");
            return Err(NotNow::Never(Refusal::new(422, "dispatch_failed", detail)));
        }
        let record = record(&turn, Some(id), prompt);
        if begun {
            self.base.queue.remember(id, began(&turn, &record)).await;
        }
        self.opened(&record).await;
        self.active = Some(Followed { turn, id: id.clone(), route, record, runner: Some(runner) });
        Ok(())
    }

    /// Is nobody else's turn on its way?
    async fn alone(&mut self) -> Result<(), NotNow> {
        self.foreign = None;
        let Some((turn, _)) = headless::last(&self.chats.root) else { return Ok(()) };
        let failed = |error: FileError| NotNow::Waits("files", error.to_string());
        match turn.standing() {
            Standing::Starting | Standing::Running(_) | Standing::Orphaned(_) => {
                let detail = format!("turn `{}`, which a command started, runs", turn.id());
                self.foreign = Some(turn);
                Err(NotNow::Waits("busy", detail))
            }
            Standing::Planned => headless::withdraw(&turn).map(drop).map_err(failed),
            Standing::Over(_) | Standing::Lost => self.settle(&turn).await.map(drop).map_err(failed),
            Standing::Missing | Standing::Ended(_) => Ok(()),
        }
    }

    async fn opened(&self, record: &TurnRecord) {
        let taken = Sign::PromptTaken { text: record.prompt.clone(), turn: Some(record.id.clone()), queued: false };
        self.observe(Source::Record, Seen::Sign(taken));
        if let Err(error) = self.base.queue.inner.store.turn_started(record.clone(), clock::now()).await {
            tracing::warn!(%error, "a turn could not be written down");
        }
    }

    fn observe(&self, source: Source, seen: Seen) {
        self.base.queue.inner.place.tracker.observe(&Observation { source, seen });
    }

    /// Nobody looks at a screen: that a prompt can be given is true whenever no turn runs.
    fn is_there(&self) {
        let agent = self.base.queue.agent();
        let pid = agent.process.map(|agent| agent.process.pid).unwrap_or_default();
        let reading = ScreenReading { composer: ComposerReading::Empty, queued: Some(false), ..Default::default() };
        let seen = ScreenSeen {
            pane: agent.pane,
            pid,
            dead: false,
            in_mode: false,
            command: "agents".to_owned(),
            title: String::new(),
            reading,
            hash: String::new(),
            length: 0,
            excerpt: String::new(),
        };
        self.observe(Source::Screen, Seen::Screen(Box::new(seen)));
    }
}

fn not_readable(failure: &Failure) -> NotNow {
    NotNow::Waits("files", failure.message.clone())
}

fn record(turn: &Turn, id: Option<&RequestId>, prompt: &str) -> TurnRecord {
    let at = turn.processes().map_or_else(|| clock::now().iso_millis(), |processes| processes.at_utc);
    TurnRecord {
        id: turn.id().to_owned(),
        request_id: id.cloned(),
        tool_turn_id: None,
        prompt: Some(prompt.to_owned()),
        started_at_utc: at.clone(),
        ended_at_utc: None,
        outcome: None,
        reply: None,
        error: None,
        started_by: vec![Spoken { source: Source::Process, what: "the program was started".to_owned(), at_utc: at }],
        ended_by: Vec::new(),
    }
}

/// The program reads the prompt from a file that is whole, or has it among its words: started is submitted.
fn began(turn: &Turn, record: &TurnRecord) -> Vec<Note> {
    let processes = turn.processes();
    let child = processes.as_ref().and_then(|processes| processes.child.as_ref()).map(|child| child.pid);
    let runner = processes.as_ref().map(|processes| processes.runner.pid);
    vec![
        Note::new(Receipt::Submitted).seen(json!({ "proof": "process_started", "headless": true, "turn_id": record.id,
            "child_pid": child, "runner_pid": runner, "request_kind": RequestKind::SubmitPrompt })),
        Note::new(Receipt::TurnStarted).seen(json!({ "proof": "process", "turn_id": record.id,
            "started_at_utc": record.started_at_utc })),
    ]
}

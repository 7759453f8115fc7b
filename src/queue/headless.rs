//! The worker of an agent whose turns are processes. Rows, receipts and recovery are those of every other session;
//! nothing is typed, and a request is done when its turn has ended.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use super::{
    Key, Queue, Refusal,
    direct::{Alone, Job, add, tracked_as},
    run::closed,
    worker::{AT_ONCE, Next, STORE_PAUSE, Worker, asked},
};
use crate::{
    agents::{ComposerReading, ScreenReading, Sign},
    api::{
        AdmissionPolicy, ChatId, ChatMode, ChatSession, ControlPromptSent, HeadlessChat, Manifest, NextPrompt,
        SubmitPrompt, TurnEnd,
    },
    delivery::JournalClosed,
    headless::{self, Asked, Conversation, Pressed, Standing, Template, Turn, choose},
    model::{
        Failure, Note, Outcome, Receipt, Reply, RequestId, RequestKind, RequestState, Route, Source, Spoken, TurnRecord,
    },
    os::{child, clock, lock::Lock},
    session::{SessionRoot, documents},
    store::{JournalRow, QueuedRow},
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

/// A prompt for a turn at once.
#[derive(Debug)]
pub(super) struct DirectTurn {
    submit: SubmitPrompt,
    key: Option<Key>,
    /// Kept until the turn runs.
    _alone: Alone,
}

impl Queue {
    /// The conversations, if the agent's turns are processes.
    pub fn chats(&self) -> Option<&Arc<Chats>> {
        self.inner.place.chats.as_ref()
    }

    /// Starts a turn at once or not at all; answered when its program runs.
    ///
    /// # Errors
    /// [`Refusal`] with an `error_code` of the contract.
    pub async fn control_turn(&self, submit: SubmitPrompt, key: Option<Key>) -> Result<ControlPromptSent, Refusal> {
        let work = async {
            let asked = self.check_open().and_then(|()| self.only_one());
            match asked {
                Ok(alone) => {
                    let direct = DirectTurn { submit, key: key.clone(), _alone: alone };
                    self.ask(|answer| Job::Turn(direct, answer)).await
                }
                Err(refusal) => {
                    self.note_refused_prompt(AdmissionPolicy::ReadyOnly, &refusal).await;
                    Err(refusal)
                }
            }
        };
        self.once(key.as_ref(), work).await
    }

    /// Interrupts the turn that runs, whoever started it. `false`: the store took nothing; to be tried again.
    pub(super) async fn interrupt_turn(&self, chats: &Chats, id: &RequestId) -> bool {
        let (store, turn) = (&self.inner.store, headless::last(&chats.root).map(|(turn, _)| turn));
        let named = turn.as_ref().map(|turn| turn.id().to_owned());
        let intent = Note::new(Receipt::Typing).seen(json!({ "turn_id": named }));
        match store.begin(id, clock::now(), vec![intent]).await {
            Ok(true) => {}
            Ok(false) => return true,
            Err(error) => {
                tracing::error!(%error, "an interrupt could not be recorded, so it was not sent");
                return false;
            }
        }
        let now = clock::now();
        let pressed = turn.map_or(Ok(Pressed::Nothing), |turn| headless::interrupt(&turn, now));
        let result = json!({ "completed_at_utc": now.iso_seconds(), "request_kind": "interrupt" });
        let (state, error, result, note) = match &pressed {
            Ok(pressed) => {
                let proof = if *pressed == Pressed::Nothing { "no_turn_runs" } else { "turn_signalled" };
                let seen = json!({ "proof": proof, "turn_id": named, "request_kind": RequestKind::Interrupt });
                (RequestState::Completed, None, Some(result), Note::new(Receipt::Submitted).seen(seen))
            }
            Err(error) => {
                let (detail, reason) = (error.to_string(), "not_written");
                let note = Note::new(Receipt::Refused).because(reason, detail.clone());
                (RequestState::Failed, Some(format!("refused ({reason}): {detail}")), None, note)
            }
        };
        let recorded = store.finish(id, state, error, result, vec![note], now).await;
        if let Ok(Pressed::Orphan(program)) = &pressed {
            headless::escalate(program).await;
        }
        recorded.inspect_err(|error| tracing::error!(%error, "the end of an interrupt could not be recorded")).is_ok()
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
    settled: bool,
}

impl HeadlessWorker {
    /// In the place of the worker that types; `None` for an agent in a terminal.
    ///
    /// # Errors
    /// Gives the worker back.
    pub fn in_place_of(base: Worker) -> Result<Self, Box<Worker>> {
        match base.queue.chats().cloned() {
            Some(chats) => Ok(Self { base, chats, active: None, foreign: None, settled: false }),
            None => Err(Box::new(base)),
        }
    }

    /// Works until it is asked to stop. A turn that runs then goes on, and the next gateway follows it.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut agent = self.base.queue.inner.agent.clone();
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
        self.alone()?;
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
        self.follow(slot, id, route, &submit.prompt, started).await;
        Ok(())
    }

    async fn follow(&mut self, slot: Lock, id: &RequestId, route: Route, prompt: &str, started: headless::Started) {
        let headless::Started { turn, runner } = started;
        self.base.queue.tell(|activity| activity.running = Some(id.clone()));
        self.chats.active.send_replace(Some(ActiveTurn { id: turn.id().to_owned(), direct: route != Route::Queue }));
        let begun = turn.taken_up(&runner.identity).await;
        drop(slot);
        let record = record(&turn, id, prompt);
        if begun {
            self.base.queue.remember(id, began(&turn, &record)).await;
        }
        self.opened(&record).await;
        self.active = Some(Followed { turn, id: id.clone(), route, record, runner: Some(runner) });
    }

    /// Is nobody else's turn on its way?
    fn alone(&mut self) -> Result<(), NotNow> {
        self.foreign = None;
        let Some((turn, _)) = headless::last(&self.chats.root) else { return Ok(()) };
        let failed = |error: crate::os::files::FileError| NotNow::Waits("files", error.to_string());
        match turn.standing() {
            Standing::Starting | Standing::Running(_) | Standing::Orphaned(_) => {
                let detail = format!("turn `{}`, which a command started, runs", turn.id());
                self.foreign = Some(turn);
                Err(NotNow::Waits("busy", detail))
            }
            Standing::Planned => headless::withdraw(&turn).map(drop).map_err(failed),
            Standing::Over(_) | Standing::Lost => {
                headless::settle(&self.chats.root, &turn, clock::now()).map(drop).map_err(failed)
            }
            Standing::Missing | Standing::Ended(_) => Ok(()),
        }
    }

    /// The turn that was followed is over.
    async fn is_over(&mut self) {
        self.foreign = None;
        let Some(Followed { turn, id, route, record, runner }) = self.active.take() else { return };
        if let Some(runner) = runner {
            // It has ended: its place in the process table is free again.
            let exit = runner.reap();
            tracing::debug!(?exit, turn = turn.id(), "its runner has ended");
        }
        let end = match headless::settle(&self.chats.root, &turn, clock::now()) {
            Ok(end) => end,
            Err(error) => {
                tracing::error!(%error, turn = turn.id(), "how a turn ended could not be written down; tried again");
                sleep(STORE_PAUSE).await;
                self.active = Some(Followed { turn, id, route, record, runner: None });
                return;
            }
        };
        let ended = self.ended(&id, route, record, &end).await;
        if ended.is_err() {
            // The store fails: its health ends this gateway, and the next one finds the row on its way.
            self.settled = false;
        }
        self.chats.active.send_replace(None);
        self.base.queue.tell(|activity| activity.running = None);
    }

    /// Puts the end of a turn on record: the turn first, then its request.
    async fn ended(
        &self,
        id: &RequestId,
        route: Route,
        mut record: TurnRecord,
        end: &TurnEnd,
    ) -> Result<(), JournalClosed> {
        let (store, now) = (&self.base.queue.inner.store, clock::now());
        let said = match end.exit_code {
            Some(code) => format!("the program ended with exit status {code}"),
            None => "the program ended, and its runner had been killed".to_owned(),
        };
        record.ended_at_utc = Some(end.ended_at_utc.clone());
        record.outcome = Some(end.outcome);
        record.error.clone_from(&end.error);
        record.reply = end.reply.clone().map(|text| Reply {
            text,
            source: Source::Record,
            exact: end.exact,
            truncated: end.reply_truncated,
        });
        record.ended_by = vec![Spoken { source: Source::Process, what: said, at_utc: end.ended_at_utc.clone() }];
        self.observe(
            Source::Record,
            Seen::Sign(Sign::TurnEnded {
                turn: Some(record.id.clone()),
                outcome: end.outcome,
                reply: end.reply.clone(),
                exact: end.exact,
                error: end.error.clone(),
            }),
        );
        let missing = end.reply.is_none().then_some("the program did not tell it");
        let seen = json!({ "proof": "process", "headless": true, "turn_id": record.id, "outcome": end.outcome,
            "exit_code": end.exit_code, "session_id": end.session_id, "reply": end.reply, "reply_source": "record",
            "exact": end.exact, "reply_truncated": end.reply_truncated, "reply_missing": missing,
            "error": end.error, "usage": end.usage, "started_at_utc": record.started_at_utc,
            "ended_at_utc": end.ended_at_utc, "request_kind": RequestKind::SubmitPrompt });
        store.turn_ended(record.clone(), now).await.map_err(|error| closed(&error))?;
        let note = Note::new(Receipt::TurnEnded).seen(seen);
        let result = json!({ "completed_at_utc": now.iso_seconds(), "request_kind": RequestKind::SubmitPrompt });
        let failed = |word: &str| {
            let why = end.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
            (RequestState::Failed, Some(format!("turn_{word}{why}")), None)
        };
        let (state, error, result) = match end.outcome {
            Outcome::Success => (RequestState::Completed, None, Some(result)),
            Outcome::Interrupted => failed("interrupted"),
            Outcome::Failed | Outcome::Unknown => failed("failed"),
        };
        store.finish(id, state, error.clone(), result, vec![note], now).await.map_err(|error| closed(&error))?;
        if route != Route::Queue {
            let kind = if error.is_none() { "control_prompt_completed" } else { "control_prompt_failed" };
            let data = json!({ "turn_id": record.id, "finished_at_utc": now.iso_seconds(), "error_detail": error });
            self.base.queue.record(kind, data).await;
        }
        Ok(())
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

    /// Takes up what the last gateway left: the files of a turn say where it stands.
    async fn recover(&mut self) -> Result<(), JournalClosed> {
        let store = self.base.queue.inner.store.clone();
        for row in store.running().await.map_err(|error| closed(&error))? {
            if self.active.as_ref().is_some_and(|one| one.id == row.id) {
                continue;
            }
            if row.kind == RequestKind::Interrupt {
                let detail = "the gateway ended while the turn was being interrupted";
                self.base.uncertain(&row, "unconfirmed", detail).await?;
                continue;
            }
            let named = self.turn_of(&row.id).await?;
            match named.and_then(|id| Turn::of(&self.chats.root, &id)) {
                Some(turn) => self.take_up(&row, turn).await?,
                None => self.not_begun(&row).await?,
            }
        }
        for row in store.waiting_direct().await.map_err(|error| closed(&error))? {
            self.base.queue.refuse(&row.id, "gateway_ended", "the gateway ended before its turn was started").await?;
        }
        Ok(())
    }

    async fn take_up(&mut self, row: &QueuedRow, turn: Turn) -> Result<(), JournalClosed> {
        loop {
            let standing = turn.standing();
            tracing::info!(request_id = %row.id, turn = turn.id(), ?standing, "a turn of an earlier gateway");
            let failed = |error: crate::os::files::FileError| {
                tracing::error!(%error, "the files of a turn cannot be changed");
                JournalClosed
            };
            match standing {
                Standing::Missing => return self.not_begun(row).await,
                Standing::Planned => {
                    if headless::withdraw(&turn).map_err(failed)? {
                        return self.not_begun(row).await;
                    }
                }
                Standing::Starting => turn.over().await,
                Standing::Lost => {
                    headless::settle(&self.chats.root, &turn, clock::now()).map_err(failed)?;
                    let detail =
                        "whoever was to start the turn was killed at that moment; whether it did cannot be told";
                    return self.base.uncertain(row, "unconfirmed", detail).await.map(drop);
                }
                Standing::Running(_) | Standing::Orphaned(_) | Standing::Over(_) | Standing::Ended(_) => {
                    let prompt = prompt_of(row);
                    let record = record(&turn, &row.id, &prompt);
                    if !self.has_begun(&row.id).await? {
                        self.base.queue.remember(&row.id, began(&turn, &record)).await;
                    }
                    self.opened(&record).await;
                    let direct = row.route != Route::Queue;
                    self.chats.active.send_replace(Some(ActiveTurn { id: turn.id().to_owned(), direct }));
                    self.base.queue.tell(|activity| activity.running = Some(row.id.clone()));
                    let over = !matches!(turn.standing(), Standing::Running(_) | Standing::Orphaned(_));
                    self.active = Some(Followed { turn, id: row.id.clone(), route: row.route, record, runner: None });
                    if over {
                        self.is_over().await;
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Nothing of it was ever started: it waits again, or its caller is gone.
    async fn not_begun(&self, row: &QueuedRow) -> Result<(), JournalClosed> {
        if row.route != Route::Queue {
            let detail = "the gateway ended before its turn was started";
            return self.base.queue.refuse(&row.id, "gateway_ended", detail).await;
        }
        let note = Note::new(Receipt::Queued).because("recovered", "its files show that no turn was started");
        let put = self.base.queue.inner.store.put_back(&row.id, note, clock::now()).await;
        put.map(drop).map_err(|error| closed(&error))
    }

    async fn notes_of(&self, id: &RequestId) -> Result<Vec<Note>, JournalClosed> {
        let shown = self.base.queue.inner.store.show(id).await.map_err(|error| closed(&error))?;
        Ok(shown.map(|(_, journal)| journal.iter().filter_map(JournalRow::note).collect()).unwrap_or_default())
    }

    async fn turn_of(&self, id: &RequestId) -> Result<Option<String>, JournalClosed> {
        let notes = self.notes_of(id).await?;
        let intent = notes.into_iter().rev().find(|note| note.receipt == Receipt::Typing);
        Ok(intent.and_then(|note| note.evidence?["turn_id"].as_str().map(str::to_owned)))
    }

    async fn has_begun(&self, id: &RequestId) -> Result<bool, JournalClosed> {
        let notes = self.notes_of(id).await?;
        // Since the last intent: an earlier one was taken back.
        let since = notes.iter().rev().take_while(|note| note.receipt != Receipt::Typing);
        Ok(since.clone().any(|note| note.receipt == Receipt::TurnStarted))
    }

    async fn direct(&mut self, job: Job) {
        let unfit = || Refusal::new(422, "unsupported", "the agent is headless: it has no terminal to type into");
        match job {
            Job::Prompt(_, answer) => drop(answer.send(Err(unfit()))),
            Job::Keys(_, answer) => drop(answer.send(Err(unfit()))),
            Job::Answer(_, answer) => drop(answer.send(Err(unfit()))),
            Job::Turn(_, answer) if answer.is_closed() => {}
            Job::Turn(direct, answer) => {
                let done = self.direct_turn(&direct).await;
                drop(direct);
                drop(answer.send(done));
            }
        }
    }

    async fn direct_turn(&mut self, direct: &DirectTurn) -> Result<ControlPromptSent, Refusal> {
        let policy = AdmissionPolicy::ReadyOnly;
        let not_ready = |detail: String| Refusal::new(409, "not_ready", detail);
        let checked = match &self.active {
            Some(active) => Err(not_ready(format!("turn `{}` runs", active.turn.id()))),
            None => Ok(()),
        };
        let begun = async {
            checked?;
            // Before anything is on record: a conversation that is not there is no work.
            let asked = direct.submit.chat_session.as_ref();
            self.expect_chat(asked)?;
            let mut payload = serde_json::to_value(&direct.submit).unwrap_or_default();
            payload["admission_policy"] = json!(policy);
            let queue = self.base.queue.clone();
            let key = direct.key.as_ref();
            let id = queue.register(RequestKind::SubmitPrompt, Route::ControlPrompt, &payload, key).await?;
            let answer = match self.start(&id, Route::ControlPrompt, &direct.submit).await {
                Ok(()) => {
                    let turn = self.active.as_ref().map(|active| active.turn.id().to_owned()).unwrap_or_default();
                    let mut data = json!({ "admission_policy": policy, "request": id.as_str(), "turn_id": turn,
                        "submitted_at_utc": clock::now().iso_seconds() });
                    add(&mut data, &tracked_as(None, false));
                    queue.record("control_prompt_submitted", data).await;
                    Ok(ControlPromptSent::new(policy, format!("turn {turn} runs for request {id}")))
                }
                Err(not) => {
                    let refusal = match not {
                        NotNow::Waits(reason, detail) => not_ready(format!("{reason}: {detail}")),
                        NotNow::Never(refusal) => refusal,
                        NotNow::Withdrawn => Refusal::new(422, "dispatch_failed", "the request was taken back"),
                        NotNow::Closed(closed) => closed.into(),
                    };
                    queue.refuse(&id, &refusal.code, &refusal.detail).await?;
                    Err(refusal)
                }
            };
            queue.keep_answer(&id, &answer).await;
            answer
        };
        let answer = begun.await;
        if let Err(refusal) = &answer {
            self.base.queue.note_refused(policy, refusal, None).await;
        }
        answer
    }

    fn expect_chat(&self, asked: Option<&ChatSession>) -> Result<(), Refusal> {
        if asked.is_none_or(|asked| asked.mode != ChatMode::Current) {
            return Ok(());
        }
        let chat = self.chats.chat().map_err(|failure| Refusal::new(503, "unavailable", failure.message))?;
        let detail = "there is no current conversation yet: the first turn begins one";
        chat.current.map(drop).ok_or_else(|| Refusal::new(409, "missing_current_chat_session", detail))
    }
}

fn not_readable(failure: &Failure) -> NotNow {
    NotNow::Waits("files", failure.message.clone())
}

fn prompt_of(row: &QueuedRow) -> String {
    let payload: Value = serde_json::from_str(&row.payload_json).unwrap_or_default();
    payload["prompt"].as_str().unwrap_or_default().to_owned()
}

fn record(turn: &Turn, id: &RequestId, prompt: &str) -> TurnRecord {
    let at = turn.processes().map_or_else(|| clock::now().iso_millis(), |processes| processes.at_utc);
    TurnRecord {
        id: turn.id().to_owned(),
        request_id: Some(id.clone()),
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

//! Turns that commands started, with a gateway or before there was one: only their files tell of them. Each is written
//! down once, in the order in which they were started, however often a gateway dies on the way.
//!
//! What is in the store counts; the mark in the turn's folder only saves the look, also when the store has long forgotten
//! the turn.

use std::{collections::HashSet, ffi::OsStr, future::pending, time::Duration};

use tokio::time::sleep;

use super::{Chats, HeadlessWorker, record};
use crate::{
    agents::Sign,
    api::{TurnEnd, TurnPlan},
    delivery::JournalClosed,
    headless::{self, Standing, Turn},
    model::{Source, TurnRecord},
    os::{clock, files::FileError, lock, notify::Folders},
    queue::run::closed,
    tracker::Seen,
};

/// Between two looks at a turn that a command is just about to start: that takes milliseconds.
const STARTING: Duration = Duration::from_millis(20);

/// Where inotify cannot be had, turns of commands are looked for as often as this.
const UNWATCHED: Duration = Duration::from_secs(5);

/// What is known of the turns of commands.
#[derive(Debug, Default)]
pub(super) struct Commands {
    /// Turns that need no second look.
    known: HashSet<String>,
    /// Nothing changed since the last look.
    looked: bool,
    /// A command is about to start one.
    starting: bool,
    /// What was there at boot is written down: whatever comes now happens before our eyes.
    live: bool,
    /// The turn that runs, and is on record as begun.
    follows: Option<String>,
}

/// Where the turns of commands show: each start and each end changes one of these files.
const TOLD_BY: [&str; 2] = ["headless-turn.json", "manifest.json"];

impl Commands {
    /// Something changed.
    pub(super) fn look_again(&mut self) {
        self.looked = false;
    }

    /// Is one about to start?
    pub(super) fn are_starting(&self) -> bool {
        self.starting
    }
}

/// Hears of the files of a session; `None` where the kernel does not tell.
pub(super) fn ears(chats: &Chats) -> Option<Folders> {
    let heard = Folders::watch(&[chats.root.path()]);
    heard.inspect_err(|error| tracing::info!(%error, "turns of commands are looked for every five seconds")).ok()
}

/// Waits until a command may have started or ended a turn.
pub(super) async fn heard(ears: Option<&mut Folders>, starting: bool) {
    let changed = async {
        let Some(ears) = ears else { return sleep(UNWATCHED).await };
        loop {
            match ears.changed().await {
                Ok(name) if TOLD_BY.iter().any(|one| name == OsStr::new(one)) => return,
                Ok(_) => {}
                Err(_) => return sleep(UNWATCHED).await,
            }
        }
    };
    let soon = async { if starting { sleep(STARTING).await } else { pending().await } };
    tokio::select! {
        () = changed => {}
        () = soon => {}
    }
}

impl HeadlessWorker {
    /// Writes down what commands did, up to the turn that runs.
    pub(super) async fn take_in(&mut self) -> Result<(), JournalClosed> {
        if self.active.is_some() || std::mem::replace(&mut self.commands.looked, true) {
            return Ok(());
        }
        let all = self.take_in_all().await;
        // The store may take it later.
        self.commands.looked &= all.is_ok();
        all
    }

    async fn take_in_all(&mut self) -> Result<(), JournalClosed> {
        let (root, mut known) = (self.chats.root.clone(), std::mem::take(&mut self.commands.known));
        // Asked first: whoever starts a turn holds it until the program runs.
        self.commands.starting = lock::is_held(&root.delivery_lock()).unwrap_or_default();
        let looked = tokio::task::spawn_blocking(move || {
            let found = headless::unrecorded(&root, &mut known);
            (found, known)
        });
        let Ok((found, known)) = looked.await else { return Err(JournalClosed) };
        self.commands.known = known;
        for (turn, plan) in found {
            if !self.take_in_one(&turn, &plan).await? {
                return Ok(());
            }
        }
        self.commands.starting = false;
        self.commands.live = true;
        Ok(())
    }

    /// `false`: it is on its way, and nothing can come behind it.
    async fn take_in_one(&mut self, turn: &Turn, plan: &TurnPlan) -> Result<bool, JournalClosed> {
        // Its lock is not asked: at this very moment its runner may take it.
        if turn.processes().is_none() && turn.end().is_none() {
            if self.commands.starting {
                self.commands.looked = false;
                return Ok(false);
            }
            // Nobody has taken it up, and whoever starts the next one takes it back.
            return Ok(true);
        }
        if let Some(id) = plan.request_id.as_ref().and_then(|id| id.parse().ok()) {
            let shown = self.base.queue.inner.store.show(&id).await.map_err(|error| closed(&error))?;
            if shown.is_none_or(|(row, _)| row.state.is_final()) && turn.end().is_some() {
                self.recorded(turn);
            }
            return Ok(true);
        }
        match turn.standing() {
            Standing::Running(_) | Standing::Orphaned(_) => {
                if self.commands.follows.as_deref() != Some(turn.id()) {
                    self.begun(turn).await?;
                    self.commands.follows = Some(turn.id().to_owned());
                }
                self.commands.starting = false;
                self.commands.live = true;
                self.foreign = Some(turn.clone());
                Ok(false)
            }
            Standing::Over(_) | Standing::Lost | Standing::Ended(_) => match self.settle(turn).await {
                Ok(end) => self.write_down(turn, &end).await.map(|()| true),
                Err(error) => {
                    tracing::warn!(%error, turn = turn.id(), "how a turn of a command ended could not be told");
                    Ok(true)
                }
            },
            Standing::Missing | Standing::Planned | Standing::Starting => Ok(true),
        }
    }

    /// Its beginning, once.
    async fn begun(&self, turn: &Turn) -> Result<(), JournalClosed> {
        let record = of_command(turn);
        self.observe(Source::Record, Seen::Sign(taken(&record)));
        let store = &self.base.queue.inner.store;
        if store.turn(turn.id()).await.map_err(|error| closed(&error))?.is_none() {
            store.turn_started(record, clock::now()).await.map_err(|error| closed(&error))?;
        }
        Ok(())
    }

    /// Its end, once, and its beginning if nobody saw that.
    async fn write_down(&mut self, turn: &Turn, end: &TurnEnd) -> Result<(), JournalClosed> {
        let store = self.base.queue.inner.store.clone();
        let followed = self.commands.follows.take_if(|id| id == turn.id()).is_some();
        let mut record = of_command(turn);
        if self.commands.live && !followed {
            self.observe(Source::Record, Seen::Sign(taken(&record)));
        }
        let kept = store.turn(turn.id()).await.map_err(|error| closed(&error))?;
        if kept.is_none() {
            store.turn_started(record.clone(), clock::now()).await.map_err(|error| closed(&error))?;
        }
        super::ends::complete(&mut record, end);
        if self.commands.live || followed {
            self.observe(Source::Record, Seen::Sign(super::ends::sign(&record, end)));
        }
        if kept.is_none_or(|row| row.turn.ended_at_utc.is_none()) {
            store.turn_ended(record, clock::now()).await.map_err(|error| closed(&error))?;
        }
        self.recorded(turn);
        Ok(())
    }

    /// Everything about it is in the store: its files are not looked at again, and may go when they are old.
    pub(super) fn recorded(&mut self, turn: &Turn) {
        let marked: Result<(), FileError> = turn.mark_recorded();
        if let Err(error) = marked {
            tracing::warn!(%error, turn = turn.id(), "that a turn is on record could not be marked");
        }
        self.commands.known.insert(turn.id().to_owned());
    }
}

fn taken(record: &TurnRecord) -> Sign {
    Sign::PromptTaken { text: record.prompt.clone(), turn: Some(record.id.clone()), queued: false }
}

fn of_command(turn: &Turn) -> TurnRecord {
    let prompt = std::fs::read(turn.prompt_file()).unwrap_or_default();
    let mut record = record(turn, None, &String::from_utf8_lossy(&prompt));
    for one in &mut record.started_by {
        "a command started the program".clone_into(&mut one.what);
    }
    record
}

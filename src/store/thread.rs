//! The handle that everybody holds, and the one thread that owns the connection.

use std::{path::Path, sync::mpsc, thread::JoinHandle, time::Duration};

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::{
    error::StoreError,
    open::{self, BUSY, Care},
    tally::{Tally, Waiting},
    writer::Writer,
};
use crate::{model::Moment, os::files::FileError};

/// A handle to the store. Cheap to clone; the thread ends when the last handle is gone.
#[derive(Debug, Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    health: watch::Receiver<Option<String>>,
    newest: watch::Receiver<u64>,
    waiting: watch::Receiver<Waiting>,
}

/// Work for the store's thread.
pub(super) enum Job {
    /// Shares its transaction with the writes before and after it.
    Write(Box<dyn Write>),
    /// Sees all writes that were sent before it.
    Read(Box<dyn Read>),
}

/// A change, and whoever waits for it. The answer is held back until the change is on disk.
pub(super) trait Write: Send {
    /// Makes the change; again, if the first time was rolled back.
    fn run(&mut self, change: &mut Change<'_>) -> rusqlite::Result<()>;
    /// `fault` is why it was not kept.
    fn answer(self: Box<Self>, fault: Option<StoreError>);
}

/// A question, and whoever waits for the answer.
pub(super) trait Read: Send {
    fn run(&mut self, view: &View<'_>) -> rusqlite::Result<()>;
    /// `fault` is why there is no answer.
    fn answer(self: Box<Self>, fault: Option<StoreError>);
}

/// What a write job sees: the tables inside its transaction, and the counts beside them.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) sql: &'a Connection,
    pub(super) tally: &'a mut Tally,
}

/// What a read job sees: what is on disk.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) sql: &'a Connection,
    pub(super) tally: &'a Tally,
}

impl View<'_> {
    /// One value of `agents_meta`.
    pub(super) fn meta(&self, key: &str) -> rusqlite::Result<Option<String>> {
        use rusqlite::OptionalExtension;
        self.sql
            .prepare_cached("SELECT value FROM agents_meta WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()
    }
}

impl Store {
    /// Opens the file and starts its thread. Joining the returned handle after the last [`Store`] is dropped
    /// waits for the connection to close.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be used; no thread is left behind.
    pub fn open(path: &Path, now: Moment) -> Result<(Self, JoinHandle<()>), StoreError> {
        Self::open_with(path, now, Care::Shape, BUSY)
    }

    pub(super) fn open_with(
        path: &Path,
        now: Moment,
        care: Care,
        busy: Duration,
    ) -> Result<(Self, JoinHandle<()>), StoreError> {
        let connection = open::open(path, now, care, busy)?;
        let (health, well) = watch::channel(None);
        let (newest, known) = watch::channel(0);
        let (waiting, counted) = watch::channel(Waiting::default());
        let mut writer = Writer::new(connection, path.to_owned(), busy, health, newest, waiting)?;
        let (jobs, inbox) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            // SQLite needs little stack for these statements, and every sidecar pays for it.
            .stack_size(256 * 1024)
            .spawn(move || writer.serve(&inbox))
            .map_err(|source| FileError::Io { doing: "start the thread for", path: path.to_owned(), source })?;
        Ok((Self { jobs, health: well, newest: known, waiting: counted }, thread))
    }

    /// `None` while the store is well; why it is not, once it can never be used again. The gateway then has to end and
    /// start afresh from the file.
    pub fn health(&self) -> watch::Receiver<Option<String>> {
        self.health.clone()
    }

    /// The newest id of the journal; changes after the entries are on disk.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.clone()
    }

    /// Unfinished rows of the queue; changes after a commit that changed them.
    pub fn waiting_now(&self) -> watch::Receiver<Waiting> {
        self.waiting.clone()
    }

    /// Looks whether the file is still the one that was opened, and the store well.
    ///
    /// # Errors
    /// [`StoreError`] that made the store unusable.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.read(|_| Ok(())).await
    }

    /// Changes something. Returns when the change is on disk.
    ///
    /// The work goes on, and is kept, when the caller stops waiting. It may be done a second time, after all of the
    /// first was rolled back, when another change in the same transaction failed.
    ///
    /// # Errors
    /// [`StoreError`]; nothing of this change was then kept. Only after [`StoreError::Sick`] that cannot be known.
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: Fn(&mut Change<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let waiting = Awaited { work, done: None, answer };
        self.jobs.send(Job::Write(Box::new(waiting))).map_err(|_closed| StoreError::Closed)?;
        answered.await.map_err(|_closed| StoreError::Closed)?
    }

    /// Asks something.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn read<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: Fn(&View<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let waiting = Awaited { work, done: None, answer };
        self.jobs.send(Job::Read(Box::new(waiting))).map_err(|_closed| StoreError::Closed)?;
        answered.await.map_err(|_closed| StoreError::Closed)?
    }
}

/// Work and its caller.
struct Awaited<T, W> {
    work: W,
    done: Option<T>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Awaited<T, W> {
    fn tell(self, fault: Option<StoreError>) {
        let Self { done, answer, .. } = self;
        let outcome = fault.map_or_else(|| done.ok_or(StoreError::Closed), Err);
        // A caller that stopped waiting does not need the answer.
        drop(answer.send(outcome));
    }
}

impl<T: Send, W: Fn(&mut Change<'_>) -> rusqlite::Result<T> + Send> Write for Awaited<T, W> {
    fn run(&mut self, change: &mut Change<'_>) -> rusqlite::Result<()> {
        self.done = Some((self.work)(change)?);
        Ok(())
    }

    fn answer(self: Box<Self>, fault: Option<StoreError>) {
        self.tell(fault);
    }
}

impl<T: Send, W: Fn(&View<'_>) -> rusqlite::Result<T> + Send> Read for Awaited<T, W> {
    fn run(&mut self, view: &View<'_>) -> rusqlite::Result<()> {
        self.done = Some((self.work)(view)?);
        Ok(())
    }

    fn answer(self: Box<Self>, fault: Option<StoreError>) {
        self.tell(fault);
    }
}

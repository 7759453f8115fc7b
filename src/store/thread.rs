//! The one thread that owns the connection. Everybody else sends it work and waits for the answer.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::open::{self, StoreError};
use crate::model::Moment;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle to the store. Cheap to clone; the thread ends when the last handle is gone.
#[derive(Debug, Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
    path: PathBuf,
}

impl Store {
    /// Opens the file and starts its thread. Joining the returned handle after the last [`Store`] is dropped
    /// waits for the connection to close.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be used; no thread is left behind.
    pub fn open(path: &Path, now: Moment) -> Result<(Self, JoinHandle<()>), StoreError> {
        let mut connection = open::open(path, now)?;
        let (jobs, inbox) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            // SQLite needs little stack for these statements, and every sidecar pays for it.
            .stack_size(256 * 1024)
            .spawn(move || {
                while let Ok(job) = inbox.recv() {
                    job(&mut connection);
                }
            })
            .map_err(|source| {
                StoreError::File(crate::os::files::FileError::Io {
                    doing: "start the thread for",
                    path: path.to_owned(),
                    source,
                })
            })?;
        Ok((Self { jobs, path: path.to_owned() }, thread))
    }

    /// Runs one piece of work on the store's thread.
    ///
    /// # Errors
    /// [`StoreError::Sql`] with SQLite's reason, [`StoreError::Closed`] when the thread has ended.
    pub(super) async fn call<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // A caller that stopped waiting does not need the answer.
            drop(answer.send(work(connection)));
        });
        self.jobs.send(job).map_err(|_closed| StoreError::Closed)?;
        let result = answered.await.map_err(|_closed| StoreError::Closed)?;
        result.map_err(|source| StoreError::Sql { path: self.path.clone(), source })
    }
}

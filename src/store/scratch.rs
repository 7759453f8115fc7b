//! A store in a folder of the test's own, and what the tests of this room do with it.

#![expect(clippy::disallowed_methods, reason = "the tests play other programs")]

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::Connection;
use tokio::task::JoinSet;

use super::{
    Admitted, NewRow, Store, StoreError,
    open::{BUSY, Care},
};
use crate::{
    api::OnDraft,
    model::{Moment, RequestId, RequestKind, RequestState, Route},
};

pub(super) struct Scratch {
    pub(super) store: Store,
    pub(super) path: PathBuf,
    pub(super) folder: tempfile::TempDir,
    thread: JoinHandle<()>,
}

pub(super) fn now() -> Moment {
    Moment::parse("2026-11-21T10:00:00.120+00:00").unwrap()
}

/// So long after [`now`].
pub(super) fn later(milliseconds: u64) -> Moment {
    now().after(Duration::from_millis(milliseconds))
}

pub(super) fn id(n: u32) -> RequestId {
    RequestId::new(now(), n)
}

/// A prompt in the queue, for the agent of epoch 1.
pub(super) fn row(n: u32) -> NewRow {
    NewRow {
        id: id(n),
        kind: RequestKind::SubmitPrompt,
        payload_json: format!(r#"{{"prompt":"number {n}"}}"#),
        epoch: 1,
        route: Route::Queue,
        accepted_at: now(),
        expires_at: None,
        on_draft: OnDraft::Wait,
        key: None,
    }
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self::impatient(BUSY)
    }

    /// One that waits less long for locks.
    pub(super) fn impatient(busy: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.sqlite");
        let (store, thread) = Store::open_with(&path, now(), Care::Shape, busy).unwrap();
        Self { store, path, folder, thread }
    }

    /// One with a file that is there already.
    pub(super) fn in_folder(path: PathBuf, folder: tempfile::TempDir) -> Self {
        let (store, thread) = Store::open(&path, now()).unwrap();
        Self { store, path, folder, thread }
    }

    pub(super) fn open_raw(path: &Path) -> Connection {
        Connection::open(path).unwrap()
    }

    /// Ends the store and opens the file anew.
    pub(super) fn again(self) -> Self {
        let (path, folder) = self.end();
        Self::in_folder(path, folder)
    }

    /// Ends the store; the file stays as long as the folder.
    pub(super) fn end(self) -> (PathBuf, tempfile::TempDir) {
        drop(self.store);
        self.thread.join().unwrap();
        (self.path, self.folder)
    }

    /// Another program's connection.
    pub(super) fn outsider(&self) -> Connection {
        Self::open_raw(&self.path)
    }

    pub(super) async fn accept(&self, row: NewRow) -> Result<Admitted, StoreError> {
        self.store.accept(row, u64::MAX).await
    }

    /// Rows with these numbers, all waiting.
    pub(super) async fn fill(&self, numbers: std::ops::Range<u32>) {
        for n in numbers {
            self.accept(row(n)).await.unwrap();
        }
    }

    pub(super) async fn complete(&self, n: u32) -> bool {
        self.store.finish(&id(n), RequestState::Completed, None, None, Vec::new(), now()).await.unwrap()
    }

    pub(super) async fn state(&self, n: u32) -> RequestState {
        self.store.show(&id(n)).await.unwrap().unwrap().0.state
    }

    /// Receipts of a request with their reasons, oldest first.
    pub(super) async fn receipts(&self, n: u32) -> Vec<String> {
        let (_, journal) = self.store.show(&id(n)).await.unwrap().unwrap();
        let words = journal.iter().filter_map(super::JournalRow::note);
        words
            .map(|note| note.receipt.name().to_owned() + &note.reason.map_or_else(String::new, |why| format!(" {why}")))
            .collect()
    }

    /// Sends all these rows while the store's thread is kept busy, so that they become one batch.
    pub(super) async fn accept_together(&self, rows: Vec<NewRow>) -> Vec<Result<Admitted, StoreError>> {
        let (release, held) = mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let mut sent = JoinSet::new();
        // One thread runs them in the order in which they are started here.
        let store = self.store.clone();
        sent.spawn(async move {
            let waited = store.read(move |_| Ok(held.lock().map(|held| held.recv()).is_ok())).await;
            waited.map(|_| None)
        });
        for (n, row) in rows.into_iter().enumerate() {
            let store = self.store.clone();
            sent.spawn(async move { Ok(Some((n, store.accept(row, u64::MAX).await))) });
        }
        sent.spawn(async move {
            drop(release);
            Ok(None)
        });
        let mut answers: Vec<_> = sent.join_all().await.into_iter().filter_map(Result::unwrap).collect();
        answers.sort_by_key(|(n, _)| *n);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}

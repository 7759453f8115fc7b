//! What the last gateway left: the journal names the turn, and the turn's files say where it stands.

use serde_json::Value;

use super::{ActiveTurn, Followed, HeadlessWorker, began, record};
use crate::{
    delivery::JournalClosed,
    headless::{self, Standing, Turn},
    model::{Note, Receipt, RequestId, RequestKind, Route},
    os::{clock, files::FileError},
    queue::run::closed,
    store::{JournalRow, QueuedRow},
};

impl HeadlessWorker {
    /// Takes up what the last gateway left: the files of a turn say where it stands.
    pub(super) async fn recover(&mut self) -> Result<(), JournalClosed> {
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
            let failed = |error: FileError| {
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
                    self.settle(&turn).await.map_err(failed)?;
                    let detail =
                        "whoever was to start the turn was killed at that moment; whether it did cannot be told";
                    self.base.uncertain(row, "unconfirmed", detail).await?;
                    self.recorded(&turn);
                    return Ok(());
                }
                Standing::Running(_) | Standing::Orphaned(_) | Standing::Over(_) | Standing::Ended(_) => {
                    let prompt = prompt_of(row);
                    let record = record(&turn, Some(&row.id), &prompt);
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
}

fn prompt_of(row: &QueuedRow) -> String {
    let payload: Value = serde_json::from_str(&row.payload_json).unwrap_or_default();
    payload["prompt"].as_str().unwrap_or_default().to_owned()
}

//! The gateway's own rows: wake-ups for mail, and the command that makes room before one.

use std::time::Duration;

use serde_json::Value;

use super::{LONGEST_QUEUE, Queue, Refusal};
use crate::{
    api::{OnDraft, RequestCreate},
    model::{RequestId, RequestKind, Route},
    os::{clock, random},
    store::{Announced, NewRow, Poll},
};

impl Queue {
    /// Puts a wake-up on disk, together with the poll that led to it and the messages that it tells of. Returns its id
    /// and what became of it.
    ///
    /// # Errors
    /// [`Refusal`]: nothing is on disk.
    pub async fn announce(
        &self,
        text: &str,
        poll: Poll,
        refs: Vec<String>,
        expires_in: Duration,
    ) -> Result<(RequestId, Announced), Refusal> {
        self.check_open()?;
        let row = self.own_row(RequestKind::MailNotifierPrompt, text, expires_in);
        let id = row.id.clone();
        let announced = self.inner.store.announce(row, poll, refs, LONGEST_QUEUE).await?;
        self.inner.arrivals.notify_one();
        Ok((id, announced))
    }

    /// Puts a command of the tool on disk that makes room for these messages, and that it was for them.
    ///
    /// # Errors
    /// [`Refusal`]: nothing is on disk.
    pub async fn make_room(
        &self,
        command: &str,
        refs: Vec<String>,
        expires_in: Duration,
    ) -> Result<(RequestId, Announced), Refusal> {
        self.check_open()?;
        let row = self.own_row(RequestKind::SubmitPrompt, command, expires_in);
        let id = row.id.clone();
        let announced = self.inner.store.make_room(row, refs, LONGEST_QUEUE).await?;
        self.inner.arrivals.notify_one();
        Ok((id, announced))
    }

    fn own_row(&self, kind: RequestKind, text: &str, expires_in: Duration) -> NewRow {
        let (now, payload): (_, Value) = (clock::now(), RequestCreate::prompt(text).payload.stored());
        NewRow {
            id: RequestId::new(now, random::serial()),
            kind,
            payload_json: payload.to_string(),
            epoch: self.inner.agent.borrow().epoch,
            route: Route::Queue,
            accepted_at: now,
            expires_at: Some(now.after(expires_in)),
            on_draft: OnDraft::Wait,
            key: None,
        }
    }
}

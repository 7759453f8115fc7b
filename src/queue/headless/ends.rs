//! The end of a turn, on record.

use std::io;

use serde_json::json;
use tokio::time::sleep;

use super::{Followed, HeadlessWorker};
use crate::{
    agents::Sign,
    api::TurnEnd,
    delivery::JournalClosed,
    headless::{self, Turn},
    model::{Note, Outcome, Receipt, Reply, RequestId, RequestKind, RequestState, Route, Source, Spoken, TurnRecord},
    os::{clock, files::FileError},
    queue::{run::closed, worker::STORE_PAUSE},
    tracker::Seen,
};

impl HeadlessWorker {
    /// Brings a turn to its end whose runner may be gone: what its program wrote is then read beside the one thread that
    /// serves requests.
    pub(super) async fn settle(&self, turn: &Turn) -> Result<TurnEnd, FileError> {
        let (root, one) = (self.chats.root.clone(), turn.clone());
        let settled = tokio::task::spawn_blocking(move || headless::settle(&root, &one, clock::now())).await;
        settled.unwrap_or_else(|error| {
            Err(FileError::Io { doing: "settle", path: turn.folder().to_owned(), source: io::Error::other(error) })
        })
    }

    /// The turn that was followed is over.
    pub(super) async fn is_over(&mut self) {
        self.foreign = None;
        self.commands.look_again();
        let Some(Followed { turn, id, route, record, runner }) = self.active.take() else { return };
        if let Some(runner) = runner {
            // It has ended: its place in the process table is free again.
            let exit = runner.reap();
            tracing::debug!(?exit, turn = turn.id(), "its runner has ended");
        }
        let end = match self.settle(&turn).await {
            Ok(end) => end,
            Err(error) => {
                tracing::error!(%error, turn = turn.id(), "how a turn ended could not be written down; tried again");
                sleep(STORE_PAUSE).await;
                self.active = Some(Followed { turn, id, route, record, runner: None });
                return;
            }
        };
        let ended = self.ended(&id, route, record, &end).await;
        match ended {
            Ok(()) => self.recorded(&turn),
            // The store fails: its health ends this gateway, and the next one finds the row on its way.
            Err(JournalClosed) => self.settled = false,
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
        complete(&mut record, end);
        self.observe(Source::Record, Seen::Sign(sign(&record, end)));
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
}

/// How it ended, for the history.
pub(super) fn complete(record: &mut TurnRecord, end: &TurnEnd) {
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
}

/// How it ended, for whoever follows the agent's state.
pub(super) fn sign(record: &TurnRecord, end: &TurnEnd) -> Sign {
    Sign::TurnEnded {
        turn: Some(record.id.clone()),
        outcome: end.outcome,
        reply: end.reply.clone(),
        exact: end.exact,
        error: end.error.clone(),
    }
}

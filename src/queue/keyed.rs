//! Direct work under a key: of many repetitions one is done, and all get its answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{Key, Queue, Refusal, door::key_reused};
use crate::{model::RequestId, store::Answer};

/// How long a repetition waits for the answer of work that somebody else began.
const PATIENCE: Duration = Duration::from_secs(25);

/// Whose turn it is, for each key.
#[derive(Debug, Default)]
pub(super) struct Turns {
    // Held to find an entry; never across an await.
    of_keys: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Turns {
    /// The lock of a key, made at its first use. Those that nobody holds any more are forgotten.
    fn of(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut of_keys = self.of_keys.lock().unwrap_or_else(PoisonError::into_inner);
        of_keys.retain(|_, turn| Arc::strong_count(turn) > 1);
        of_keys.entry(key.to_owned()).or_default().clone()
    }
}

impl Queue {
    /// Does direct work once for its key. A refusal before anything was registered is no answer to keep.
    pub(super) async fn once<T: DeserializeOwned>(
        &self,
        key: Option<&Key>,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let Some(key) = key else { return work.await };
        let turn = self.inner.turns.of(&key.text);
        let _turn = turn.lock().await;
        match self.answered(Some(key)).await? {
            None => work.await,
            Some(stored) => match stored.answer {
                Answer::Pending => self.await_answer(key).await,
                answer => again(answer),
            },
        }
    }

    /// The first caller left, and its work goes on.
    async fn await_answer<T: DeserializeOwned>(&self, key: &Key) -> Result<T, Refusal> {
        let mut newest = self.newest_event();
        let given = async {
            loop {
                match self.answered(Some(key)).await? {
                    Some(stored) if stored.answer != Answer::Pending => return again(stored.answer),
                    _ => {}
                }
                // An answer is stored a moment after the last receipt.
                drop(timeout(Duration::from_millis(200), newest.changed()).await);
            }
        };
        timeout(PATIENCE, given).await.unwrap_or_else(|_elapsed| {
            let detail = "the first request with this key is still being done; `GET /v1/requests` shows it";
            Err(Refusal::new(409, "in_progress", detail).again_in(5))
        })
    }

    /// Keeps what was answered, good or bad: the same key gets the same answer.
    pub(super) async fn keep_answer<T: Serialize>(&self, id: &RequestId, answer: &Result<T, Refusal>) {
        let (status, body) = match answer {
            Ok(answer) => (200, serde_json::to_string(answer)),
            Err(refusal) => (refusal.status, serde_json::to_string(&(&refusal.code, &refusal.detail))),
        };
        if let Err(error) = self.inner.store.settle_answer(id, status, body.unwrap_or_default()).await {
            tracing::warn!(%error, request_id = %id, "an answer could not be kept for its key");
        }
    }
}

/// The answer that the first request with a key got.
fn again<T: DeserializeOwned>(answer: Answer) -> Result<T, Refusal> {
    match answer {
        Answer::Given { status: 200, body } => serde_json::from_str(&body).map_err(|_other| key_reused()),
        Answer::Given { status, body } => {
            let (code, detail): (String, String) = serde_json::from_str(&body).map_err(|_other| key_reused())?;
            Err(Refusal { status, code: code.into(), detail, retry_after: None })
        }
        Answer::Queued { .. } | Answer::Pending => Err(key_reused()),
    }
}

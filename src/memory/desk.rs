//! The gateway's counter for calls to the memory of its session.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{Memory, MemoryError};
use crate::api::{Manifest, MemoryAnswer, MemoryCall};

type ReadManifest = dyn Fn() -> Result<Manifest, String> + Send + Sync;

/// Calls to the memory of one session, one after the other: two changes of a page have an order. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    manifest: Arc<ReadManifest>,
    turn: Arc<Semaphore>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("turn", &self.turn).finish_non_exhaustive()
    }
}

impl Desk {
    /// A desk for the session whose manifest this reads, as it is at each call.
    pub fn new(manifest: impl Fn() -> Result<Manifest, String> + Send + Sync + 'static) -> Self {
        Self { manifest: Arc::new(manifest), turn: Arc::new(Semaphore::new(1)) }
    }

    /// Does what is asked for, beside the thread that asks.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub async fn answer(&self, call: MemoryCall) -> Result<MemoryAnswer, MemoryError> {
        let broken = || MemoryError::System("the call was broken off inside this program".to_owned());
        let turn = self.turn.clone().acquire_owned().await.map_err(|_closed| broken())?;
        let manifest = self.manifest.clone();
        let done = spawn_blocking(move || {
            let manifest = manifest()
                .map_err(|why| MemoryError::NotBound(format!("the session's manifest cannot be read: {why}")))?;
            let done = Memory::of(&manifest)?.answer(&call);
            drop(turn);
            done
        });
        done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a call to the memory failed");
            Err(broken())
        })
    }
}

//! Watches the gateway's own files: is the lock still ours, was the snapshot overwritten, did the surface change?
//!
//! The kernel tells of replaced and removed files, so an idle gateway does not look.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::board::Board;
use crate::{
    os::{lock::Lock, notify::Folders},
    session::SessionRoot,
};

/// What happened to the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tampering {
    /// The lock file is not the locked one any more: another gateway could start.
    LockLost,
    /// Somebody who found us unresponsive put the offline snapshot in place, or took our records.
    Withdrawn,
    /// `surface.json` was replaced: the agent was launched again.
    SurfaceChanged,
}

/// Watches until told to stop.
pub(super) async fn guard(
    root: SessionRoot,
    lock: Arc<Lock>,
    board: Arc<Board>,
    events: mpsc::Sender<Tampering>,
    mut stop: watch::Receiver<bool>,
) {
    let folders = [root.path().to_owned(), root.gateway(), root.run()];
    let paths: Vec<&std::path::Path> = folders.iter().map(std::path::PathBuf::as_path).collect();
    let mut watched = match Folders::watch(&paths) {
        Ok(watched) => watched,
        Err(error) => {
            tracing::warn!(%error, "own files are not watched; a removed lock file will go unnoticed");
            drop(stop.wait_for(|stop| *stop).await);
            return;
        }
    };
    // Whoever came between our first writing and the watch was not seen.
    if (!board.is_on_disk() || !root.current_instance().exists()) && events.send(Tampering::Withdrawn).await.is_err() {
        return;
    }
    loop {
        let changed = tokio::select! {
            changed = watched.changed() => changed,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let name = match changed {
            Ok(name) => name,
            Err(error) => {
                tracing::warn!(%error, "own files are not watched any more");
                drop(stop.wait_for(|stop| *stop).await);
                return;
            }
        };
        let tampering = if !lock.is_still_the_path() {
            Some(Tampering::LockLost)
        } else if name == "surface.json" {
            Some(Tampering::SurfaceChanged)
        } else if (name == "state.json" && !board.is_on_disk())
            || (name == "current-instance.json" && !root.current_instance().exists())
        {
            Some(Tampering::Withdrawn)
        } else {
            None
        };
        if let Some(tampering) = tampering
            && events.send(tampering).await.is_err()
        {
            return;
        }
    }
}

//! Watches the gateway's own files: is the lock still ours, was the snapshot overwritten, did the surface change?
//!
//! The kernel tells of replaced and removed files, so an idle gateway does not look. It tells only so many programs
//! of a user (128 by default); the ones beyond look every five seconds.

use std::{ffi::OsString, sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use super::board::Board;
use crate::{
    os::{files, lock::Lock, notify::Folders},
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

/// How often the files are looked at where the kernel does not tell.
const LOOK: Duration = Duration::from_secs(5);

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
    let mut watched = Folders::watch(&paths)
        .inspect_err(|error| tracing::warn!(%error, "the kernel does not tell of changed files; looking every 5 s"))
        .ok();
    let mut surface = files::inode(&root.surface());
    // Whoever came between our first writing and the watch was not seen; so the first round looks at everything.
    let mut changed = None;
    loop {
        let is = |name: &str| changed.as_ref().is_none_or(|changed: &OsString| changed == name);
        let tampering = if !lock.is_still_the_path() {
            Some(Tampering::LockLost)
        } else if is("surface.json") && (changed.is_some() || files::inode(&root.surface()) != surface) {
            surface = files::inode(&root.surface());
            Some(Tampering::SurfaceChanged)
        } else if (is("state.json") && !board.is_on_disk())
            || (is("current-instance.json") && !root.current_instance().exists())
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
        changed = tokio::select! {
            changed = next_change(&mut watched) => changed,
            _ = stop.wait_for(|stop| *stop) => return,
        };
    }
}

/// Waits for a change and names the file; `None` where nobody tells and everything must be looked at.
async fn next_change(watched: &mut Option<Folders>) -> Option<OsString> {
    if let Some(folders) = watched {
        match folders.changed().await {
            Ok(name) => return Some(name),
            Err(error) => {
                tracing::warn!(%error, "the kernel tells of changed files no more; looking every 5 s");
                *watched = None;
            }
        }
    }
    tokio::time::sleep(LOOK).await;
    None
}

//! Hears of arriving mail, through the kernel.

use std::{
    future::pending,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, timeout, timeout_at};

use crate::os::notify::Changes;

/// A mailbox that was quiet for so long has got everything that came together.
const QUIET: Duration = Duration::from_millis(100);

/// How long to wait for more while mail keeps coming.
const LONGEST: Duration = Duration::from_secs(1);

/// Listens to a folder for mail, and to one for a changed binding.
#[derive(Debug, Default)]
pub(super) struct Ears {
    changes: Option<Changes>,
    folder: Option<PathBuf>,
    /// The kernel tells of mail in it.
    complete: bool,
    /// That it cannot hear was told.
    told: bool,
}

impl Ears {
    /// Listens to this folder for mail from now on. `None`: there is no folder.
    pub(super) fn listen(&mut self, mail: Option<&Path>, binding: &Path) {
        if self.folder.as_deref() != mail {
            self.changes = None;
        }
        self.folder = mail.map(Path::to_owned);
        if self.changes.is_none() {
            self.changes = Changes::new()
                .inspect_err(|error| {
                    if !std::mem::replace(&mut self.told, true) {
                        tracing::warn!(%error, "the kernel does not tell of arriving mail; looking once in an interval");
                    }
                })
                .ok();
        }
        self.complete = self.changes.as_mut().is_some_and(|changes| {
            // Each time anew: the folders may have been replaced.
            changes.add(binding);
            mail.is_some_and(|mail| {
                let is_there = changes.add(mail);
                if !is_there {
                    // Whoever makes the folder again does it here.
                    mail.ancestors().skip(1).find(|parent| changes.add(parent));
                }
                is_there
            })
        });
    }

    /// Has the kernel told of every message since the last look?
    pub(super) fn listen_already(&self) -> bool {
        self.complete && self.changes.is_some()
    }

    /// Waits until something has changed, and what came together has all come.
    pub(super) async fn hear(&mut self) {
        let Some(changes) = &mut self.changes else { return pending().await };
        let mut heard = changes.any().await;
        let last = Instant::now() + LONGEST;
        while heard.is_ok() {
            let next = timeout_at(last, timeout(QUIET, changes.any())).await;
            match next {
                Ok(Ok(more)) => heard = more,
                Ok(Err(_)) | Err(_) => return,
            }
        }
        tracing::warn!("the kernel tells of arriving mail no more; looking once in an interval");
        self.changes = None;
    }

    /// Listens no more.
    pub(super) fn rest(&mut self) {
        *self = Self::default();
    }
}

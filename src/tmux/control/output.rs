//! What one pane prints, between a reader that must never wait and whoever wants the bytes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::PaneId;

/// Most bytes that wait. Whoever comes later than that looks at the pane itself.
const MOST_WAITING: usize = 256 * 1024;

/// What a pane printed since it was last asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Printed {
    /// The bytes, in order. What is lost stands before them.
    pub bytes: Vec<u8>,
    /// Some bytes are missing: they came faster than they were taken, or tmux dropped them.
    pub lost: bool,
    /// tmux sends nothing of this pane any more, because the client lagged.
    pub paused: bool,
    /// The pane's mode began or ended: copy mode, a menu of tmux.
    pub mode_changed: bool,
}

impl Printed {
    fn is_nothing(&self) -> bool {
        self.bytes.is_empty() && !self.lost && !self.paused && !self.mode_changed
    }
}

/// What one pane prints. Never slows the client down: what is not taken in time is dropped, and that is said.
#[derive(Debug)]
pub struct Output {
    pane: PaneId,
    shared: Arc<Shared>,
}

/// The end that is written to. Dropping it ends the output.
#[derive(Debug)]
pub(super) struct Tap {
    pane: PaneId,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    printed: Printed,
    ended: bool,
}

impl Shared {
    /// Nothing panics while the lock is held, so what a poisoned one guards is whole.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both ends for one pane.
pub(super) fn tap(pane: PaneId) -> (Tap, Output) {
    let shared = Arc::new(Shared::default());
    (Tap { pane, shared: Arc::clone(&shared) }, Output { pane, shared })
}

impl Tap {
    /// Is it this pane's output that somebody wants?
    pub(super) fn is_of(&self, pane: PaneId) -> bool {
        self.pane == pane
    }

    /// Hands on what was printed. Never waits.
    pub(super) fn print(&self, bytes: &[u8]) {
        self.change(|printed| {
            if printed.bytes.len() + bytes.len() > MOST_WAITING {
                printed.bytes.clear();
                printed.lost = true;
            }
            let room = bytes.len().min(MOST_WAITING);
            printed.bytes.extend_from_slice(&bytes[bytes.len() - room..]);
        });
    }

    /// tmux has dropped what it held back, and sends nothing more until it is asked to.
    pub(super) fn pause(&self) {
        self.change(|printed| (printed.paused, printed.lost) = (true, true));
    }

    /// The pane's mode began or ended.
    pub(super) fn mode_changed(&self) {
        self.change(|printed| printed.mode_changed = true);
    }

    fn change(&self, change: impl FnOnce(&mut Printed)) {
        change(&mut self.shared.waiting().printed);
        self.shared.changed.notify_one();
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.shared.waiting().ended = true;
        self.shared.changed.notify_one();
    }
}

impl Output {
    /// The pane.
    pub fn pane(&self) -> PaneId {
        self.pane
    }

    /// Is there something that [`Output::next`] would return at once?
    pub fn has_more(&self) -> bool {
        !self.shared.waiting().printed.is_nothing()
    }

    /// Everything that was printed since the last call, as soon as there is something; `None` when the client is gone.
    ///
    /// May be cancelled at any time without losing anything.
    pub async fn next(&mut self) -> Option<Printed> {
        loop {
            {
                let mut waiting = self.shared.waiting();
                if !waiting.printed.is_nothing() {
                    return Some(std::mem::take(&mut waiting.printed));
                }
                if waiting.ended {
                    return None;
                }
            }
            // What came since then has left its permit, so this returns at once.
            self.shared.changed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_arrive_together_and_a_slow_reader_hears_what_it_lost() {
        let (tap, mut output) = tap("%1".parse().unwrap());
        tap.print(b"a\xff");
        tap.print(b"b");
        let whole = |bytes: &[u8]| Some(Printed { bytes: bytes.to_vec(), ..Printed::default() });
        assert!(output.has_more());
        assert_eq!(output.next().await, whole(b"a\xffb"));
        assert!(!output.has_more());
        tap.print(&vec![b'x'; MOST_WAITING]);
        tap.print(b"y");
        let lost = Printed { bytes: b"y".to_vec(), lost: true, ..Printed::default() };
        assert_eq!(output.next().await, Some(lost));
        tap.print(&vec![b'z'; MOST_WAITING * 3]);
        let huge = output.next().await.unwrap();
        assert!(huge.lost && huge.bytes.len() == MOST_WAITING);
        tap.print(b"c");
        drop(tap);
        assert_eq!(output.next().await, whole(b"c"));
        assert_eq!(output.next().await, None);
    }

    #[tokio::test]
    async fn a_pause_means_that_bytes_are_missing() {
        let (tap, mut output) = tap("%1".parse().unwrap());
        let (heard, ()) = tokio::join!(output.next(), async {
            tokio::task::yield_now().await;
            tap.pause();
            tap.mode_changed();
        });
        let heard = heard.unwrap();
        assert!(heard.paused && heard.lost && heard.mode_changed && heard.bytes.is_empty());
    }
}

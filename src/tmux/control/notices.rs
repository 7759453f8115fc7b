//! The queue between a reader that must never wait and a consumer that may be slow.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::notice::Notice;

/// Most notices that wait.
const LONGEST_QUEUE: usize = 1_024;

/// Most bytes that wait: a few huge notices must not weigh more than many small ones.
const HEAVIEST_QUEUE: usize = 4 * 1024 * 1024;

/// What tmux told unasked, oldest first.
///
/// The queue holds 1,024 notices or 4 MiB. When it is full the oldest are dropped and counted, and whoever
/// reads must look at the whole state again instead of trusting the changes: see [`Notices::take_lag`].
#[derive(Debug)]
pub struct Notices {
    shared: Arc<Shared>,
}

/// The end that is written to. Dropping it ends the queue.
#[derive(Debug)]
pub(super) struct Publisher {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Notice>,
    weight: usize,
    dropped: u64,
    ended: bool,
}

/// Both ends of an empty queue.
pub(super) fn queue() -> (Publisher, Notices) {
    let shared = Arc::new(Shared::default());
    (Publisher { shared: Arc::clone(&shared) }, Notices { shared })
}

impl Shared {
    /// Nothing panics while the lock is held, so what a poisoned one guards is whole.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Notice> {
        let notice = self.waiting.pop_front()?;
        self.weight -= notice.weight();
        Some(notice)
    }
}

impl Publisher {
    /// Adds one notice, at the cost of the oldest if there is no room. Never waits.
    pub(super) fn publish(&self, notice: Notice) {
        let mut queue = self.shared.queue();
        queue.weight += notice.weight();
        queue.waiting.push_back(notice);
        while queue.waiting.len() > LONGEST_QUEUE || (queue.weight > HEAVIEST_QUEUE && queue.waiting.len() > 1) {
            queue.pop();
            queue.dropped += 1;
        }
        drop(queue);
        self.shared.changed.notify_one();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.queue().ended = true;
        self.shared.changed.notify_one();
    }
}

impl Notices {
    /// The next notice; `None` when the client is gone and everything it said has been read.
    ///
    /// May be cancelled at any time without losing a notice.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            {
                let mut queue = self.shared.queue();
                if let Some(notice) = queue.pop() {
                    return Some(notice);
                }
                if queue.ended {
                    return None;
                }
            }
            // A notice that came since then has left its permit, so this returns at once.
            self.shared.changed.notified().await;
        }
    }

    /// How many notices were dropped since the last call. Anything but 0 means: read the whole state again.
    ///
    /// Ask after [`Notices::next`] returned and before acting on what it returned.
    pub fn take_lag(&mut self) -> u64 {
        std::mem::take(&mut self.shared.queue().dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: usize) -> Notice {
        Notice::Exit { reason: number.to_string().into_bytes() }
    }

    #[tokio::test]
    async fn the_oldest_are_dropped_and_counted() {
        let (publisher, mut notices) = queue();
        for number in 0..LONGEST_QUEUE + 10 {
            publisher.publish(numbered(number));
        }
        assert_eq!(notices.next().await, Some(numbered(10)));
        assert_eq!(notices.take_lag(), 10);
        assert_eq!(notices.take_lag(), 0);
        drop(publisher);
        for number in 11..LONGEST_QUEUE + 10 {
            assert_eq!(notices.next().await, Some(numbered(number)));
        }
        assert_eq!(notices.next().await, None);
        assert_eq!(notices.next().await, None);
    }

    #[tokio::test]
    async fn huge_notices_count_by_weight_and_the_last_one_always_stays() {
        let (publisher, mut notices) = queue();
        let huge = |bytes| Notice::Exit { reason: vec![b'x'; bytes] };
        for _ in 0..5 {
            publisher.publish(huge(HEAVIEST_QUEUE / 4));
        }
        assert_eq!(notices.take_lag(), 1);
        publisher.publish(huge(HEAVIEST_QUEUE + 1));
        assert_eq!(notices.take_lag(), 4);
        assert!(notices.next().await.is_some());
        publisher.publish(huge(1));
        assert_eq!(notices.next().await, Some(huge(1)));
        assert_eq!(notices.take_lag(), 0);
    }

    #[tokio::test]
    async fn a_waiting_consumer_hears_of_a_notice_and_of_the_end() {
        let (publisher, mut notices) = queue();
        let (heard, ()) = tokio::join!(
            async {
                let first = notices.next().await;
                (first, notices.next().await)
            },
            async {
                tokio::task::yield_now().await;
                publisher.publish(numbered(1));
                tokio::task::yield_now().await;
                drop(publisher);
            }
        );
        assert_eq!(heard, (Some(numbered(1)), None));
    }
}

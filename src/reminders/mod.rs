//! What is to be said to the agent later (contract section 4.7).
//!
//! Owns: the schedule (`plan`, pure), the list that callers change (`desk`), how it is shown (`views`), and the task that
//! says what is due (`ticker`). Promises: a reminder
//! that was answered is on disk and survives every restart; what fell due meanwhile is treated as it says itself; the
//! order is that of ranking, then creation, and only the first is effective; each time is said once, whenever the
//! gateway dies; a delay is measured with a clock that does not jump, a time of day with the wall clock; while nothing is
//! due, nothing runs. Callers: `gateway` runs it, `http` changes it.

mod desk;
mod plan;
mod ticker;
mod views;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;

use crate::{
    os::{clock, process},
    queue::Queue,
    store::{ReminderRow, Store},
    tracker::Tracker,
};

/// The reminders of one session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reminders {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    queue: Queue,
    tracker: Tracker,
    boot_id: String,
    /// In their order; `None` until they were read. Held across a change on disk: there is one writer.
    rows: tokio::sync::Mutex<Option<Vec<ReminderRow>>>,
    /// What keeps one back although it is due: a stable word, a sentence.
    waits: Mutex<HashMap<String, (String, String)>>,
    /// The list was changed.
    changed: Notify,
}

impl Reminders {
    /// The reminders that this store keeps. Nothing is said until [`Reminders::run`].
    pub fn new(store: Store, queue: Queue, tracker: Tracker) -> Self {
        let inner = Inner {
            store,
            queue,
            tracker,
            boot_id: process::boot_id(),
            rows: tokio::sync::Mutex::default(),
            waits: Mutex::default(),
            changed: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    fn now(&self) -> plan::Now {
        let (wall, boot) = (clock::now().epoch_micros(), clock::since_boot());
        plan::Now { wall, boot, boot_id: self.inner.boot_id.clone() }
    }
}

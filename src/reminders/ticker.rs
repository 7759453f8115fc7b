//! The task that says what is due. It sleeps until a slot, or until what kept it back has changed.

use std::{collections::HashMap, sync::PoisonError, time::Duration};

use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    Reminders,
    desk::{Rows, name},
    plan::{self, Wake},
    views,
};
use crate::{
    api::{OnDraft, ReminderDelivery, ReminderKeys, RequestPayload, SubmitPrompt, parse_keys},
    model::{RequestId, RequestKind, RequestState},
    os::{alarm::Alarm, clock},
    queue::{Key, NewWork, Refusal},
    store::{ReminderEvent, ReminderRow},
};

/// Between two tries where nobody tells that another one makes sense: keys that the pane does not take, a full disk.
const TRIES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The shortest time between two events about one that is kept back.
const TOLD_AGAIN: Duration = Duration::from_secs(10);

/// Without a timer of the kernel, clocks are looked at this often while something waits for them.
const NO_TIMER: Duration = Duration::from_secs(30);

/// Between two rounds.
#[derive(Debug, Default)]
struct Memory {
    /// What was told last about one that is kept back, and when.
    told: HashMap<String, (String, Instant)>,
    tries: u32,
}

/// When to come back.
#[derive(Debug, Clone, Copy, Default)]
struct Next {
    wake: Wake,
    /// Something is due or being said: the queue tells when it goes on.
    heeds_queue: bool,
    /// After a try that failed: also when the agent does something else.
    again: Option<Duration>,
}

/// What became of a try to say one.
enum Tried {
    Said,
    /// Not now: a stable word, a sentence; whether nobody will tell when it can be.
    Kept(String, String, bool),
}

impl Reminders {
    /// Works until it is asked to stop. What it began by then is found again by the next gateway.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let alarm = Alarm::new();
        if let Err(error) = &alarm {
            tracing::warn!(%error, "no timer for reminders; clocks are looked at every 30 s instead");
        }
        let (queue, mut memory) = (self.inner.queue.clone(), Memory::default());
        let (mut waiting, mut activity) = (queue.waiting(), queue.activity());
        let (mut agent, mut state) = (queue.agent_now(), self.inner.tracker.state());
        loop {
            waiting.mark_unchanged();
            activity.mark_unchanged();
            agent.mark_unchanged();
            state.mark_unchanged();
            let next = tokio::select! {
                next = self.round(&mut memory) => next,
                () = asked(&mut stop) => return,
            };
            tokio::select! {
                () = ring(alarm.as_ref().ok(), next.wake) => {}
                () = pause(next.again) => {}
                () = self.inner.changed.notified() => {}
                Ok(()) = waiting.changed(), if next.heeds_queue => {}
                Ok(()) = activity.changed(), if next.heeds_queue => {}
                Ok(()) = agent.changed(), if next.heeds_queue => {}
                Ok(()) = state.changed(), if next.again.is_some() => {}
                () = asked(&mut stop) => return,
            }
        }
    }

    async fn round(&self, memory: &mut Memory) -> Next {
        match self.try_round(memory).await {
            Ok(next) => next,
            Err(refusal) => {
                tracing::warn!(reason = refusal.detail, "reminders wait for the store");
                Next { again: Some(memory.longer()), ..Next::default() }
            }
        }
    }

    async fn try_round(&self, memory: &mut Memory) -> Result<Next, Refusal> {
        let mut again = None;
        loop {
            let mut rows = self.rows().await?;
            self.see(&mut rows).await?;
            self.settle(&mut rows).await?;
            let now = self.now();
            let Some(row) = plan::to_say(&rows, &now).cloned() else { break };
            match self.say(rows, &row).await? {
                Tried::Said => (memory.tries, again) = (0, None),
                Tried::Kept(code, detail, tries) => {
                    again = tries.then(|| memory.longer());
                    self.keep_back(memory, &row, code, detail).await?;
                    break;
                }
            }
        }
        let rows = self.rows().await?;
        let now = self.now();
        memory.told.retain(|id, _| rows.iter().any(|row| row.id == *id));
        let heeds_queue = rows.iter().any(|row| row.executing) || plan::to_say(&rows, &now).is_some();
        Ok(Next { wake: plan::wake(&rows), heeds_queue, again })
    }

    /// Writes down that a gateway was there when these fell due.
    async fn see(&self, rows: &mut Rows<'_>) -> Result<(), Refusal> {
        let now = self.now();
        let is_news = |row: &ReminderRow| !row.seen_due && plan::is_due(row, &now);
        let seen: Vec<ReminderRow> = rows.iter().filter(|row| is_news(row)).cloned().collect();
        if seen.is_empty() {
            return Ok(());
        }
        let seen = seen.into_iter().map(|row| ReminderRow { seen_due: true, ..row }).collect();
        self.write(rows, seen, Vec::new(), Vec::new()).await
    }

    /// Goes on from those that were said.
    async fn settle(&self, rows: &mut Rows<'_>) -> Result<(), Refusal> {
        let executing: Vec<ReminderRow> = rows.iter().filter(|row| row.executing).cloned().collect();
        for mut row in executing {
            let Some(id) = row.request_id.as_deref().and_then(|id| id.parse::<RequestId>().ok()) else {
                // Keys, and the store failed before it was known what became of them.
                self.was_said(&mut row).await?;
                self.write(rows, vec![row], Vec::new(), Vec::new()).await?;
                continue;
            };
            let error = match self.inner.queue.show(&id).await? {
                Some(detail) if !detail.request.state.is_final() => continue,
                Some(detail) if detail.request.state == RequestState::Failed => {
                    Some(detail.request.error_detail.unwrap_or_else(|| "it failed".to_owned()))
                }
                Some(_) => None,
                None => Some(format!("request {id} is not kept any more; what became of it is not known")),
            };
            self.done(rows, row, error).await?;
        }
        Ok(())
    }

    /// It was said, or cannot be: on with it.
    async fn done(&self, rows: &mut Rows<'_>, row: ReminderRow, error: Option<String>) -> Result<(), Refusal> {
        let mut row = row;
        let kind = if error.is_some() { "reminder_failed" } else { "reminder_completed" };
        if let Some(error) = &error {
            tracing::warn!(reminder = row.id, title = row.definition.title, error, "a reminder could not be said");
        }
        let more = json!({ "occurrence": row.occurrence, "error_detail": error,
            "finished_at_utc": views::micros(self.now().wall) });
        let event = ReminderEvent { request: row.request_id.clone(), ..views::event(kind, &row, more) };
        row.executing = false;
        if plan::advance(&mut row, &self.now()) {
            self.write(rows, vec![row], Vec::new(), vec![event]).await
        } else {
            self.write(rows, Vec::new(), vec![row.id], vec![event]).await
        }
    }

    /// Says the first one, if the queue takes it.
    async fn say(&self, mut rows: Rows<'_>, row: &ReminderRow) -> Result<Tried, Refusal> {
        if let Some((code, detail)) = self.against() {
            return Ok(Tried::Kept(code, detail, false));
        }
        let mut row = row.clone();
        row.occurrence += 1;
        // One time, one name: whatever dies in between, it is taken in once.
        let key = Key { text: name(&row, row.occurrence), digest: [0; 16] };
        match row.definition.delivery.clone() {
            ReminderDelivery::Prompt(prompt) => {
                let payload = SubmitPrompt { prompt, turn_id: None, chat_session: None, execution: None };
                let payload = RequestPayload::SubmitPrompt(payload).stored();
                let work = NewWork {
                    kind: RequestKind::SubmitPrompt,
                    payload,
                    key: Some(key),
                    expires_in: None,
                    on_draft: OnDraft::Wait,
                };
                match self.inner.queue.accept(work).await {
                    Ok(accepted) => {
                        row.request_id = Some(accepted.request_id);
                        let event = self.started(&mut row);
                        self.begin(&mut rows, row, vec![event]).await?;
                        Ok(Tried::Said)
                    }
                    Err(refusal) => Ok(Tried::Kept(refusal.code.into_owned(), refusal.detail, true)),
                }
            }
            ReminderDelivery::SendKeys(keys) => {
                row.request_id = None;
                let event = self.started(&mut row);
                self.begin(&mut rows, row.clone(), Vec::new()).await?;
                // Others may look meanwhile.
                drop(rows);
                self.press(&keys, key, row, event).await
            }
        }
    }

    async fn press(
        &self,
        keys: &ReminderKeys,
        key: Key,
        mut row: ReminderRow,
        started: ReminderEvent,
    ) -> Result<Tried, Refusal> {
        let (sequence, named) = (keys.typed(), key.text.clone());
        let sent = match parse_keys(&sequence, false) {
            Ok(presses) => self.inner.queue.send_keys(presses, sequence, false, Some(key)).await.map(drop),
            Err(unknown) => Err(Refusal::new(422, "dispatch_failed", unknown.to_string())),
        };
        let request = self.inner.queue.named(&named).await?;
        let mut rows = self.rows().await?;
        if !rows.iter().any(|other| other.id == row.id) {
            // Removed meanwhile.
            return Ok(Tried::Said);
        }
        match (sent, request) {
            (sent, Some(request)) => {
                row.request_id = Some(request.to_string());
                let started = ReminderEvent { request: row.request_id.clone(), ..started };
                self.write(&mut rows, vec![row.clone()], Vec::new(), vec![started]).await?;
                self.done(&mut rows, row, sent.err().map(|refusal| refusal.detail)).await?;
                Ok(Tried::Said)
            }
            // Nothing was begun: this time is still to come.
            (sent, None) => {
                let refusal = sent.err().unwrap_or_else(|| Refusal::new(503, "unavailable", "nothing was typed"));
                row.executing = false;
                row.occurrence -= 1;
                self.write(&mut rows, vec![row], Vec::new(), Vec::new()).await?;
                Ok(Tried::Kept(refusal.code.into_owned(), refusal.detail, true))
            }
        }
    }

    /// It is being said from now on.
    async fn begin(&self, rows: &mut Rows<'_>, row: ReminderRow, events: Vec<ReminderEvent>) -> Result<(), Refusal> {
        self.forget(&row.id);
        self.write(rows, vec![row], Vec::new(), events).await
    }

    /// Marks it as being said; the event that tells so.
    fn started(&self, row: &mut ReminderRow) -> ReminderEvent {
        let now = self.now();
        let due = views::micros(plan::due_on_the_wall(row, &now));
        (row.executing, row.started_us) = (true, Some(now.wall));
        let more = json!({ "title": row.definition.title, "occurrence": row.occurrence, "due_at_utc": due,
            "started_at_utc": views::micros(now.wall), "selection_state": "effective", "delivery_state": "executing" });
        ReminderEvent { request: row.request_id.clone(), ..views::event("reminder_started", row, more) }
    }

    /// What speaks against saying anything now.
    fn against(&self) -> Option<(String, String)> {
        let queue = &self.inner.queue;
        if let Err(refusal) = queue.check_open() {
            return Some((refusal.code.into_owned(), refusal.detail));
        }
        if let Some(running) = &queue.activity().borrow().running {
            return Some(("busy".to_owned(), format!("request {running} is being typed")));
        }
        match queue.depth().waiting {
            0 => None,
            1 => Some(("queue".to_owned(), "one request waits in the queue before it".to_owned())),
            many => Some(("queue".to_owned(), format!("{many} requests wait in the queue before it"))),
        }
    }

    /// Remembers what keeps one back, and tells it where that is news.
    async fn keep_back(
        &self,
        memory: &mut Memory,
        row: &ReminderRow,
        code: String,
        detail: String,
    ) -> Result<(), Refusal> {
        let now = Instant::now();
        let is_news = match memory.told.get(&row.id) {
            Some((last, at)) => *last != code && now.duration_since(*at) >= TOLD_AGAIN,
            None => true,
        };
        if is_news {
            memory.told.insert(row.id.clone(), (code.clone(), now));
            let event = views::deferred(row, &self.now(), &code, &detail);
            self.inner.store.change_reminders(Vec::new(), Vec::new(), vec![event], clock::now()).await?;
        }
        let mut waits = self.inner.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.insert(row.id.clone(), (code, detail));
        Ok(())
    }

    /// First on disk, then here.
    async fn write(
        &self,
        rows: &mut Rows<'_>,
        keep: Vec<ReminderRow>,
        remove: Vec<String>,
        events: Vec<ReminderEvent>,
    ) -> Result<(), Refusal> {
        self.inner.store.change_reminders(keep.clone(), remove.clone(), events, clock::now()).await?;
        rows.retain(|row| !remove.contains(&row.id));
        for new in keep {
            if let Some(old) = rows.iter_mut().find(|old| old.id == new.id) {
                *old = new;
            }
        }
        Ok(())
    }
}

impl Memory {
    /// The next pause, longer than the last one.
    fn longer(&mut self) -> Duration {
        let pause = TRIES.0.saturating_mul(1 << self.tries.min(5)).min(TRIES.1);
        self.tries = self.tries.saturating_add(1);
        pause
    }
}

async fn ring(alarm: Option<&Alarm>, wake: Wake) {
    if wake == Wake::default() {
        return std::future::pending().await;
    }
    if let Some(alarm) = alarm {
        match alarm.wait(wake.boot, wake.wall).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "the timer for reminders failed"),
        }
    }
    sleep(NO_TIMER).await;
}

async fn pause(span: Option<Duration>) {
    match span {
        Some(span) => sleep(span).await,
        None => std::future::pending().await,
    }
}

async fn asked(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

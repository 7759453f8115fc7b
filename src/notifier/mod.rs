//! Tells the agent that mail is there (contract section 4.9).
//!
//! Owns: its settings and its audit (rows of the store), when to look (`run`: mail arrives, the interval has passed, the
//! agent became ready), one look (`look`), whether the agent may be told now (`when`, pure), and the words (`words` and
//! `blocks`, pure). Promises: an idle agent hears of mail at once; one wake-up for many messages; never twice for an
//! unchanged set unless its interval says so; nothing is written into a dialog, a draft, a copy mode or a dead pane, for
//! everything goes through the queue; what a message says is quoted and attributed, never the operator's words, and is
//! told only to programs that are known to take it as a prompt (a shell would run it); every poll leaves a row; what is
//! waited for can be asked (`standing`). Callers: `gateway` runs it, `http` changes its settings.

mod blocks;
mod ears;
mod look;
mod run;
mod standing;
mod when;
mod words;

use std::{fmt, path::PathBuf, sync::Arc};

use tokio::sync::{Mutex, Semaphore, watch};

use self::standing::Standing;
use crate::{
    api::{ContextAction, NotifierChange, NotifierStatus},
    mail::Mailbox,
    os::clock,
    queue::{Queue, Refusal},
    store::{self, Store},
    tracker::Tracker,
};

/// The agent's session, as its manifest says now.
#[derive(Debug, Clone)]
pub struct Session {
    /// Where its mail is, or a sentence why it has no mailbox.
    pub mailbox: Result<Mailbox, String>,
    /// It is a program in a terminal, not one that runs once for each turn.
    pub terminal: bool,
    /// It runs once for each turn, and is one of the programs whose words are known.
    pub dialect: bool,
    /// Its program as it was recorded.
    pub tool: String,
}

impl Session {
    /// Has its program a command that compacts the conversation, whose end can be seen?
    fn can_compact(&self) -> bool {
        self.terminal && self.tool == "codex"
    }
}

/// Reads the session. May block; the sentence says what is wrong with its manifest.
pub type ReadSession = Arc<dyn Fn() -> Result<Session, String> + Send + Sync>;

/// What is fixed for the life of a gateway.
#[derive(Clone)]
pub struct Surroundings {
    /// The session.
    pub session: ReadSession,
    /// The folder in which its manifest is put in place.
    pub folder: PathBuf,
    /// Where the agent reaches its mail: `http://127.0.0.1:4711`. `None`: the gateway does not answer about mail.
    pub base_url: Option<String>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// The notifier of one session. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notifier {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    queue: Queue,
    tracker: Tracker,
    around: Surroundings,
    /// Changes with the settings.
    changed: watch::Sender<u64>,
    /// What it waits for.
    standing: watch::Sender<Standing>,
    /// One change of the settings at a time.
    setting: Mutex<()>,
    /// One look into the mailbox at a time: a server that hangs holds one thread, not all.
    reading: Arc<Semaphore>,
}

impl Notifier {
    /// The notifier over this store and queue. It does nothing until it runs.
    pub fn new(store: Store, queue: Queue, tracker: Tracker, around: Surroundings) -> Self {
        let (changed, standing) = (watch::Sender::new(0), watch::Sender::default());
        let (setting, reading) = (Mutex::new(()), Arc::new(Semaphore::new(1)));
        Self { inner: Arc::new(Inner { store, queue, tracker, around, changed, standing, setting, reading }) }
    }

    /// Its settings, and how it goes.
    ///
    /// # Errors
    /// [`Refusal`] when the store does not answer.
    pub async fn status(&self) -> Result<NotifierStatus, Refusal> {
        let (record, session) = (self.inner.store.notifier().await?, self.session().await);
        Ok(status(record, session.and_then(supported).err()))
    }

    /// Switches it on with these settings. It looks at once.
    ///
    /// # Errors
    /// 422 when the session has no mailbox, or cannot do what is asked for.
    pub async fn enable(&self, change: NotifierChange) -> Result<NotifierStatus, Refusal> {
        let session = self.session().await.and_then(supported).map_err(|why| Refusal::new(422, "no_mailbox", why))?;
        let _alone = self.inner.setting.lock().await;
        let kept = self.inner.store.notifier().await?.settings;
        let settings = change.over(kept).map_err(|mask| {
            let detail = format!("`notify_block_shared_tokens`: `{mask}` stands for no token that is kept");
            Refusal::new(422, "unknown_token", detail)
        })?;
        if settings.pre_notification_context_action == ContextAction::Compact && !session.can_compact() {
            let detail = format!(
                "`pre_notification_context_action` can be `compact` only for codex in a terminal; this agent is `{}`",
                session.tool
            );
            return Err(Refusal::new(422, "unsupported_action", detail));
        }
        let (interval, mode) = (settings.interval_seconds, settings.mode.name());
        self.inner.store.set_notifier(settings, clock::now()).await?;
        tracing::info!(interval_seconds = interval, mode, "mail notifier enabled");
        self.inner.changed.send_modify(|count| *count += 1);
        self.status().await
    }

    /// Switches it off, and takes back a wake-up that still waits. The other settings stay.
    ///
    /// # Errors
    /// [`Refusal`] when the store does not answer.
    pub async fn disable(&self) -> Result<NotifierStatus, Refusal> {
        let alone = self.inner.setting.lock().await;
        self.inner.store.disable_notifier(clock::now()).await?;
        drop(alone);
        for id in self.inner.store.waiting_wake_ups().await? {
            // It may be on its way by now; then it is typed, as every request that was taken up.
            if let Err(late) = self.inner.queue.cancel(&id).await {
                tracing::debug!(request_id = %id, %late, "a wake-up could not be taken back");
            }
        }
        tracing::info!("mail notifier disabled");
        self.inner.changed.send_modify(|count| *count += 1);
        self.status().await
    }

    /// Reads the session beside the gateway's thread.
    async fn session(&self) -> Result<Session, String> {
        let read = self.inner.around.session.clone();
        let done = tokio::task::spawn_blocking(move || read()).await;
        done.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// A session whose mail can be watched.
fn supported(session: Session) -> Result<Session, String> {
    match &session.mailbox {
        Ok(_) => Ok(session),
        Err(why) => Err(format!("{why}; `agents mail bind` gives the session one")),
    }
}

fn status(record: store::Notifier, support_error: Option<String>) -> NotifierStatus {
    NotifierStatus {
        schema_version: 1,
        settings: record.settings,
        supported: support_error.is_none(),
        support_error,
        last_poll_at_utc: record.last_poll_at_utc,
        last_notification_at_utc: record.last_notification_at_utc,
        last_error: record.last_error,
    }
}

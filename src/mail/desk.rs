//! Calls to a mailbox: what each is answered with, and the gateway's counter for them.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{MailError, Mailbox, filesystem::Progress};
use crate::{
    api::{
        MailAnswer, MailAttached, MailBinding, MailCall, MailChanged, MailDone, MailGateway, MailList, MailQuery,
        MailStatus, Manifest, MessageView, resolve_live,
    },
    model::BoxName,
};

/// Calls that may be under way at one time: a server that hangs must not take every thread of the gateway.
const SEATS: usize = 2;

/// How long a call waits for a seat. Shorter than a request may take, so that its caller hears why.
const PATIENCE: Duration = Duration::from_secs(10);

impl Mailbox {
    /// The mailbox of a session. `secrets` is its folder of credentials.
    ///
    /// # Errors
    /// [`MailError::NotBound`] without one, or for a binding that cannot be used.
    pub fn of_session(manifest: &Manifest, secrets: PathBuf) -> Result<Self, MailError> {
        let label = manifest.agent_name.as_deref().unwrap_or("without a name");
        match MailBinding::of(manifest.launch_plan.mailbox.as_ref()) {
            Ok(Some(binding)) => Self::of(&binding, secrets),
            Ok(None) => Err(MailError::NotBound(format!("the agent `{label}` has no mailbox"))),
            Err(why) => Err(MailError::NotBound(format!("the mailbox of agent `{label}`: {why}"))),
        }
    }

    /// Does what is asked for, waiting for others on this thread.
    ///
    /// # Errors
    /// [`MailError`].
    pub fn answer(&self, call: &MailCall) -> Result<MailAnswer, MailError> {
        self.begin(call)?.now()
    }

    /// Begins what is asked for: everything but what needs the locks of a mailbox is done then.
    fn begin(&self, call: &MailCall) -> Result<Progress<MailAnswer>, MailError> {
        let (operation, identity) = (call.operation().to_owned(), self.identity());
        let done = move |message: MessageView| MailAnswer::Done(Box::new(MailDone { operation, identity, message }));
        let (operation, identity) = (call.operation().to_owned(), self.identity());
        let changed = move |messages: Vec<MessageView>| {
            MailAnswer::Changed(MailChanged { operation, identity, message_count: messages.len(), messages })
        };
        Ok(match call {
            MailCall::Status => {
                let bindings_version = self.binding().bindings_version().to_owned();
                self.check()?;
                Progress::Done(MailAnswer::Status(MailStatus { identity: self.identity(), bindings_version }))
            }
            MailCall::List(query) => Progress::Done(self.listed(query)?),
            MailCall::Peek { message_ref, folder } => self.showing(message_ref, folder.as_ref(), false)?.map(done),
            MailCall::Read { message_ref, folder } => self.showing(message_ref, folder.as_ref(), true)?.map(done),
            MailCall::Attachment { message_ref, attachment_id } => {
                Progress::Done(self.attached(message_ref, attachment_id)?)
            }
            MailCall::Send(draft) => self.sending(draft)?.map(done),
            MailCall::Post(post) => self.posting(post)?.map(done),
            MailCall::Reply(reply) => self.replying(reply)?.map(done),
            MailCall::Mark { message_refs, flags } => self.marking(message_refs, *flags)?.map(changed),
            MailCall::Move { message_refs, destination } => self.moving(message_refs, destination)?.map(changed),
            MailCall::Archive { message_refs } => self.moving(message_refs, &BoxName::archive())?.map(changed),
        })
    }

    fn attached(&self, message_ref: &str, attachment_id: &str) -> Result<MailAnswer, MailError> {
        let (attachment, content) = self.attachment(message_ref, attachment_id)?;
        Ok(MailAnswer::Attached(Box::new(MailAttached {
            operation: "attachment".to_owned(),
            identity: self.identity(),
            message_ref: message_ref.to_owned(),
            attachment,
            content_base64: BASE64_STANDARD.encode(content),
        })))
    }

    fn listed(&self, query: &MailQuery) -> Result<MailAnswer, MailError> {
        let messages = self.list(query)?;
        let count = |of: fn(&MessageView) -> bool| messages.iter().filter(|message| of(message)).count();
        Ok(MailAnswer::List(MailList {
            identity: self.identity(),
            folder: query.folder.to_string(),
            message_count: messages.len(),
            open_count: count(|message| message.archived != Some(true)),
            unread_count: count(|message| message.unread == Some(true)),
            messages,
        }))
    }
}

/// Where a gateway finds the mailbox of its session.
pub struct Session {
    /// Reads the manifest as it is now: the mailbox may be bound, changed and taken away while the gateway runs.
    pub manifest: Box<dyn Fn() -> Result<Manifest, String> + Send + Sync>,
    /// The session's folder of credentials.
    pub secrets: PathBuf,
    /// The gateway's status document.
    pub state: PathBuf,
}

/// A gateway's calls to the mailbox of its session. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    session: Arc<Session>,
    kept: Arc<Mutex<Option<Mailbox>>>,
    seats: Arc<Semaphore>,
    patience: Duration,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("state", &self.state).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("session", &self.session).field("seats", &self.seats).finish_non_exhaustive()
    }
}

impl Desk {
    /// A desk. Nothing is read yet.
    pub fn new(session: Session) -> Self {
        Self {
            session: Arc::new(session),
            kept: Arc::default(),
            seats: Arc::new(Semaphore::new(SEATS)),
            patience: PATIENCE,
        }
    }

    /// Does what is asked for, beside the thread that asks. A change that waits for somebody who holds a lock of the
    /// mailbox takes neither a thread nor a seat meanwhile.
    ///
    /// # Errors
    /// [`MailError`]; [`MailError::Unavailable`] also where the calls before this one hang.
    pub async fn answer(&self, call: MailCall) -> Result<MailAnswer, MailError> {
        let kept = self.kept.clone();
        let begin = move |session: &Session| mailbox(session, &kept)?.begin(&call)?.step();
        let mut progress = self.seated(begin).await?;
        loop {
            match progress {
                Progress::Done(answer) => return Ok(answer),
                Progress::Waits(pending) => {
                    sleep(pending.pause()).await;
                    progress = self.seated(move |_| pending.try_now()).await?;
                }
            }
        }
    }

    /// Works on one of the seats.
    async fn seated<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Session) -> Result<T, MailError> + Send + 'static,
    ) -> Result<T, MailError> {
        let late = || MailError::Unavailable("earlier calls to this mailbox have not come back yet".to_owned());
        let seat = timeout(self.patience, self.seats.clone().acquire_owned()).await;
        let seat = seat.map_err(|_elapsed| late())?.map_err(|_closed| late())?;
        // The seat is free when the work has ended, whether or not somebody still waits for it.
        self.beside(move |session| {
            let done = work(session);
            drop(seat);
            done
        })
        .await
    }

    /// `mail resolve-live` (contract section 7.5) of this gateway, which listens there.
    ///
    /// # Errors
    /// [`MailError::NotBound`].
    pub async fn resolve(&self, host: String, port: u16) -> Result<Value, MailError> {
        self.beside(move |session| {
            let manifest = session.read()?;
            let mailbox = Mailbox::of_session(&manifest, session.secrets.clone())?;
            let state_path = session.state.to_string_lossy().into_owned();
            Ok(resolve_live(&manifest, mailbox.binding(), Some(&MailGateway { host, port, state_path })))
        })
        .await
    }

    /// Reads files, or asks a server, beside the thread that serves requests.
    async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Session) -> Result<T, MailError> + Send + 'static,
    ) -> Result<T, MailError> {
        let session = self.session.clone();
        let done = spawn_blocking(move || work(&session));
        done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a call to the mailbox failed");
            Err(MailError::Unavailable("the call was broken off inside this program".to_owned()))
        })
    }
}

impl Session {
    fn read(&self) -> Result<Manifest, MailError> {
        (self.manifest)().map_err(|why| MailError::NotBound(format!("the session's manifest cannot be read: {why}")))
    }
}

/// The mailbox that the session is bound to now. The one of the last call is kept with what it has open, for as long as
/// the binding is the same.
fn mailbox(session: &Session, kept: &Mutex<Option<Mailbox>>) -> Result<Mailbox, MailError> {
    let now = Mailbox::of_session(&session.read()?, session.secrets.clone())?;
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    match &*kept {
        Some(last) if last.binding() == now.binding() => Ok(last.clone()),
        _ => Ok(kept.insert(now).clone()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn desk(manifest: impl Fn() -> Result<Manifest, String> + Send + Sync + 'static) -> Desk {
        let desk = Desk::new(Session { manifest: Box::new(manifest), secrets: PathBuf::new(), state: PathBuf::new() });
        Desk { patience: Duration::from_millis(20), ..desk }
    }

    #[tokio::test]
    async fn calls_that_hang_take_two_threads_and_no_more() {
        let (hang, gate) = channel::<()>();
        let gate: Mutex<Receiver<()>> = Mutex::new(gate);
        let (came, begun) = channel();
        let desk = desk(move || {
            came.send(()).unwrap();
            // Ends when the test lets go of its end.
            gate.lock().unwrap().recv().unwrap_or_default();
            Err("gone".to_owned())
        });
        let ask = || desk.answer(MailCall::Status);
        // A caller that leaves takes no seat with it, and gives none back before its work has ended.
        for _ in 0..SEATS {
            assert!(timeout(Duration::from_millis(20), ask()).await.is_err());
            begun.recv().unwrap();
        }
        let late = ask().await.unwrap_err();
        assert_eq!((late.code(), late.status(), late.retry_after()), ("mail_unavailable", 502, Some(5)));
        assert!(begun.try_recv().is_err(), "it took no thread");
        drop(hang);
        let mut answer = ask().await;
        while matches!(answer, Err(MailError::Unavailable(_))) {
            answer = ask().await;
        }
        assert_eq!(answer.unwrap_err().code(), "mailbox_not_bound");
    }
}

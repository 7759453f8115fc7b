//! One look into the mailbox, and what follows from it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};

use super::{
    Notifier, Session, blocks,
    ears::Ears,
    run::{Cause, Next},
    when::{Busy, Now, Verdict, left, verdict},
    words::Occasion,
};
use crate::{
    api::{ContextAction, MailQuery, MessageSummary, MessageView, NotifierMode},
    mail::Mailbox,
    model::{BoxName, Moment, Receipt, RequestId, RequestState},
    os::clock,
    queue::Refusal,
    store::{self, Announced, Notified, Poll, PollOutcome, StoreError},
};

/// How long a wake-up may wait in the queue: the agent was ready when it was written.
const EXPIRES: Duration = Duration::from_secs(120);

/// How long a mailbox may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the agent may take to compact its conversation.
const COMPACTION: Duration = Duration::from_secs(300);

/// Where nobody said how often to look.
const INTERVAL: u64 = 60;

/// Messages that one row of the audit names.
const MOST_NAMED: usize = 200;

/// What one run of the notifier remembers. All of it may be lost.
#[derive(Debug)]
pub(super) struct Mind {
    /// Reasons for waiting that have a row already.
    told: HashSet<Busy>,
    /// The program turned out to take one line at a time.
    one_line: bool,
    /// What was done before the wake-up that comes.
    context: Option<&'static str>,
    /// The agent is a program in a terminal.
    pub(super) in_terminal: bool,
    /// What the last look found where it ended at the mailbox, for who asks.
    pub(super) found: Option<(&'static str, String)>,
}

impl Default for Mind {
    fn default() -> Self {
        Self { told: HashSet::new(), one_line: false, context: None, in_terminal: true, found: None }
    }
}

impl Mind {
    /// Everything is told anew.
    pub(super) fn begin(&mut self) {
        self.told.clear();
    }

    /// Has this reason a row already?
    pub(super) fn was_told(&self, busy: &Busy) -> bool {
        self.told.contains(busy)
    }
}

/// What stands in the mailbox.
struct Mail {
    session: Session,
    mailbox: Mailbox,
    messages: Vec<MessageView>,
    refs: Vec<String>,
}

/// What became of the last wake-up.
enum Fate {
    /// It is on its way.
    Open(RequestId),
    /// It was never typed, or into a process that is gone.
    Untold,
    /// The agent was told, or nobody can say that it was not.
    Told,
}

impl Notifier {
    /// Looks.
    pub(super) async fn look(&self, mind: &mut Mind, ears: &mut Ears, cause: Cause) -> Next {
        self.try_to_look(mind, ears, cause).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the mail notifier waits for the store");
            Next::Store
        })
    }

    async fn try_to_look(&self, mind: &mut Mind, ears: &mut Ears, cause: Cause) -> Result<Next, StoreError> {
        let store = &self.inner.store;
        let record = store.notifier().await?;
        if !record.settings.enabled {
            return Ok(Next::Off);
        }
        if cause == Cause::Late {
            mind.begin();
        }
        let interval = Duration::from_secs(record.settings.interval_seconds.unwrap_or(INTERVAL));
        let last = record.last_notification_at_utc.as_deref().and_then(Moment::parse);
        let mut notified = store.notified().await?;
        match self.fate(&notified, mind).await? {
            Fate::Open(id) => return Ok(Next::Request(id)),
            Fate::Untold => notified.refs.clear(),
            // What arrived meanwhile is heard now, if somebody has listened since.
            Fate::Told if cause == Cause::Done && ears.listen_already() => {
                mind.found = Some(("told", "the agent was told of all of them".to_owned()));
                return Ok(Next::Mail(left(last, interval, clock::now())));
            }
            Fate::Told => {}
        }
        let mail = match self.read(&record, ears).await {
            Ok(mail) => mail,
            Err(trouble) => return self.failed(mind, &record, trouble, interval).await,
        };
        mind.in_terminal = mail.session.terminal;
        let now = clock::now();
        if mail.messages.is_empty() {
            mind.begin();
            mind.found = Some(("empty", "no message waits in the inbox".to_owned()));
            store.polled(self.poll(&record, &mail, PollOutcome::Empty, now), None, false).await?;
            return Ok(Next::Mail(interval));
        }
        if let Verdict::Known(left) = verdict(&mail.refs, &notified.refs, last, interval, now) {
            mind.begin();
            mind.found = Some(("told", format!("the agent was told of all of them ({})", mail.refs.len())));
            let detail = format!("the agent was told of all of them; again in {} s", left.as_secs());
            let poll = Poll { detail: Some(detail), ..self.poll(&record, &mail, PollOutcome::DedupSkip, now) };
            store.polled(poll, None, false).await?;
            return Ok(Next::Mail(left));
        }
        if let Some(busy) = self.against(mind.in_terminal) {
            // What passes by itself in a moment has a row only if it does not.
            if (!busy.is_passing() || cause == Cause::Late) && mind.told.insert(busy.clone()) {
                let detail = format!("{}: {}", busy.reason, busy.detail);
                let poll = Poll { detail: Some(detail), ..self.poll(&record, &mail, PollOutcome::BusySkip, now) };
                store.polled(poll, None, false).await?;
            }
            return Ok(Next::Gate(interval));
        }
        self.tell(mind, &record, &notified, mail, interval).await
    }

    /// What speaks against telling the agent now.
    pub(super) fn against(&self, in_terminal: bool) -> Option<Busy> {
        let (open, running, depth) = self.queue_now();
        let state = in_terminal.then(|| self.inner.tracker.now_state());
        Now { open: &open, running, depth, state: state.as_deref() }.against()
    }

    fn queue_now(&self) -> (Result<(), Refusal>, bool, u64) {
        let queue = &self.inner.queue;
        let running = queue.activity().borrow().running.is_some();
        (queue.check_open(), running, queue.depth().waiting)
    }

    /// What became of the last wake-up.
    async fn fate(&self, notified: &Notified, mind: &mut Mind) -> Result<Fate, StoreError> {
        let Some(id) = &notified.request else { return Ok(Fate::Told) };
        let Some((row, journal)) = self.inner.store.show(id).await? else { return Ok(Fate::Told) };
        let epoch = self.inner.queue.agent_now().borrow().epoch;
        if row.epoch != epoch {
            return Ok(Fate::Untold);
        }
        if !row.state.is_final() {
            return Ok(Fate::Open(id.clone()));
        }
        if row.state != RequestState::Failed || row.receipt != Receipt::Refused {
            return Ok(Fate::Told);
        }
        let reason = journal.iter().rev().find_map(store::JournalRow::note).and_then(|note| note.reason);
        Ok(match reason.as_deref() {
            Some("expired") => Fate::Untold,
            Some("multi_line" | "line_too_long") if !mind.one_line => {
                mind.one_line = true;
                Fate::Untold
            }
            // Somebody took it back, or the program can never be given it: not again before its time.
            _ => Fate::Told,
        })
    }

    /// Reads what waits in the mailbox; listens to it first, so that nothing arrives unheard in between.
    async fn read(&self, record: &store::Notifier, ears: &mut Ears) -> Result<Mail, Trouble> {
        let session = self.session().await.map_err(Trouble::Passing)?;
        let mailbox = session.mailbox.clone().map_err(Trouble::Unbound)?;
        ears.listen(mailbox.arrivals().as_deref(), &self.inner.around.folder);
        let query = MailQuery {
            read: (record.settings.mode == NotifierMode::UnreadOnly).then_some(false),
            archived: Some(false),
            ..MailQuery::of(BoxName::inbox())
        };
        let Ok(permit) = Arc::clone(&self.inner.reading).try_acquire_owned() else {
            return Err(Trouble::Passing("the mailbox has not answered the last question yet".to_owned()));
        };
        let asked = mailbox.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let answer = asked.list(&query);
            drop(permit);
            answer
        });
        let messages = match timeout(PATIENCE, answer).await {
            Ok(Ok(Ok(messages))) => messages,
            Ok(Ok(Err(error))) => return Err(Trouble::Passing(error.to_string())),
            Ok(Err(error)) => return Err(Trouble::Passing(error.to_string())),
            Err(_) => return Err(Trouble::Passing(format!("the mailbox did not answer in {} s", PATIENCE.as_secs()))),
        };
        let refs = messages.iter().map(|message| message.message_ref.clone()).collect();
        Ok(Mail { session, mailbox, messages, refs })
    }

    /// The mailbox could not be read.
    async fn failed(
        &self,
        mind: &mut Mind,
        record: &store::Notifier,
        trouble: Trouble,
        interval: Duration,
    ) -> Result<Next, StoreError> {
        let (why, off) = match trouble {
            Trouble::Passing(why) => (why, false),
            Trouble::Unbound(why) => (format!("{why}; the mail notifier was switched off"), true),
        };
        if record.last_error.as_deref() != Some(&why) {
            tracing::warn!(why, "the mail notifier cannot read the mailbox");
        }
        mind.found = Some(("mailbox_error", why.clone()));
        let poll = Poll { detail: Some(why.clone()), ..self.row(record, PollOutcome::PollError, clock::now()) };
        self.inner.store.polled(poll, Some(why), off).await?;
        Ok(if off { Next::Off } else { Next::Mail(interval) })
    }

    /// The agent is told now, perhaps after room was made.
    async fn tell(
        &self,
        mind: &mut Mind,
        record: &store::Notifier,
        notified: &Notified,
        mail: Mail,
        interval: Duration,
    ) -> Result<Next, StoreError> {
        let settings = &record.settings;
        let is_new = |one: &&String| !notified.refs.contains(*one);
        let wants_room = settings.pre_notification_context_action == ContextAction::Compact
            && mail.session.can_compact()
            && mail.refs.iter().filter(is_new).any(|one| !record.compacted.contains(one));
        if wants_room {
            return self.make_room(mind, record, &mail, interval).await;
        }
        let owner = mail.mailbox.identity().address;
        let occasion = Occasion {
            owner: &owner,
            messages: &mail.messages,
            new: mail.refs.iter().filter(is_new).count(),
            mode: settings.mode,
            base_url: self.inner.around.base_url.as_deref(),
            appendix: &settings.appendix_text,
        };
        let quoted = blocks::quote(&mail.messages, settings);
        let mut entries = quoted.entries.clone();
        let text = if let Some(why) = self.against_quoting(mind, &mail.session) {
            for entry in entries.iter_mut().filter(|entry| entry.rendered) {
                entry.rendered = false;
                entry.auth_detail = Some(why.to_owned());
            }
            occasion.fixed()
        } else {
            occasion.prompt(&quoted)
        };
        let poll = Poll {
            blocks: entries,
            context_action_outcome: mind.context,
            ..self.poll(record, &mail, PollOutcome::Enqueued, clock::now())
        };
        match self.inner.queue.announce(&text, poll, mail.refs.clone(), EXPIRES).await {
            Ok((id, Announced::New { .. })) => {
                let (count, mode) = (mail.messages.len(), settings.mode.name());
                tracing::info!(request_id = %id, open_mail_count = count, mode, "mail notifier enqueued a wake-up");
                mind.begin();
                mind.context = None;
                Ok(Next::Request(id))
            }
            Ok((_, Announced::Off)) => Ok(Next::Off),
            Ok((_, Announced::Another | Announced::Full { .. })) => Ok(Next::Gate(interval)),
            Err(refusal) => Ok(put_off(&refusal, interval)),
        }
    }

    /// Why this program gets no word of a sender; `None`: it takes them as a prompt. Whatever is not known to be an agent
    /// may be a shell, which would run them.
    fn against_quoting(&self, mind: &Mind, session: &Session) -> Option<&'static str> {
        let known = if session.terminal { self.inner.tracker.profile().is_some() } else { session.dialect };
        if !known {
            return Some("the program is not a known agent: it gets no words of senders");
        }
        mind.one_line.then_some("the program takes one line at a time")
    }

    /// Has the conversation compacted, once for these messages, and waits for its end without holding anything.
    async fn make_room(
        &self,
        mind: &mut Mind,
        record: &store::Notifier,
        mail: &Mail,
        interval: Duration,
    ) -> Result<Next, StoreError> {
        let asked = self.inner.queue.make_room("/compact", mail.refs.clone(), EXPIRES).await;
        let id = match asked {
            Ok((id, Announced::New { .. })) => id,
            Ok((_, Announced::Off)) => return Ok(Next::Off),
            Ok((_, Announced::Another | Announced::Full { .. })) => return Ok(Next::Gate(interval)),
            Err(refusal) => return Ok(put_off(&refusal, interval)),
        };
        tracing::info!(request_id = %id, "the conversation is compacted before a wake-up for new mail");
        let ended = timeout(COMPACTION, self.turn_of(&id)).await;
        let failed = match ended {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(_) => Some(format!("its end was not seen within {} s", COMPACTION.as_secs())),
        };
        let Some(why) = failed else {
            mind.context = Some("pre_notification_compact_completed");
            return Ok(Next::Again);
        };
        // The mail is told all the same: these messages count as compacted for.
        mind.context = Some("pre_notification_compact_failed");
        let detail = format!("the conversation could not be compacted ({id}): {why}");
        let poll = Poll {
            detail: Some(detail.clone()),
            context_action_outcome: mind.context,
            ..self.poll(record, mail, PollOutcome::PreNotificationContextError, clock::now())
        };
        self.inner.store.polled(poll, Some(detail), false).await?;
        Ok(Next::Again)
    }

    /// Waits for the end of a request's turn.
    async fn turn_of(&self, id: &RequestId) -> Result<(), String> {
        let queue = &self.inner.queue;
        let mut newest = queue.newest_event();
        loop {
            newest.mark_unchanged();
            let shown = queue.show(id).await.map_err(|refusal| refusal.detail)?;
            let Some(shown) = shown else { return Err("its row is gone".to_owned()) };
            if shown.request.state == RequestState::Failed {
                return Err(shown.request.error_detail.unwrap_or_default());
            }
            let end = shown.receipts.iter().rfind(|receipt| receipt.receipt == Receipt::TurnEnded);
            if let Some(end) = end {
                let outcome = end.evidence.as_ref().map_or(&Value::Null, |seen| &seen["outcome"]);
                return match outcome.as_str() {
                    Some(bad @ ("failed" | "interrupted")) => Err(format!("its turn was {bad}")),
                    _ => Ok(()),
                };
            }
            if newest.changed().await.is_err() {
                sleep(COMPACTION).await;
            }
        }
    }

    /// A row for the audit, without mail.
    fn row(&self, record: &store::Notifier, outcome: PollOutcome, at: Moment) -> Poll {
        let (open, running, depth) = self.queue_now();
        let now = Now { open: &open, running, depth, state: None };
        Poll {
            at,
            outcome,
            unread_count: None,
            unread_digest: None,
            summary: Vec::new(),
            request_admission: now.admission(),
            active_execution: now.execution(),
            queue_depth: depth,
            detail: None,
            context_error_policy: record.settings.context_error_policy,
            pre_notification_context_action: record.settings.pre_notification_context_action,
            context_action_outcome: None,
            blocks: Vec::new(),
        }
    }

    /// A row for the audit about this mail.
    fn poll(&self, record: &store::Notifier, mail: &Mail, outcome: PollOutcome, at: Moment) -> Poll {
        let named = mail.messages.iter().take(MOST_NAMED).map(|message| MessageSummary {
            message_ref: message.message_ref.clone(),
            thread_ref: message.thread_ref.clone(),
            created_at_utc: message.created_at_utc.clone(),
            subject: blocks::line(&message.subject, 200),
        });
        Poll {
            unread_count: Some(mail.messages.len()),
            unread_digest: Some(digest(&mail.refs)),
            summary: named.collect(),
            ..self.row(record, outcome, at)
        }
    }
}

/// What to wait for when the queue took nothing.
fn put_off(refusal: &Refusal, interval: Duration) -> Next {
    tracing::info!(%refusal, "the queue did not take a wake-up for mail");
    let of_store = refusal.code.starts_with("store_") || refusal.code == "disk_full";
    if of_store { Next::Store } else { Next::Gate(interval) }
}

/// Why the mailbox could not be read.
enum Trouble {
    /// It may work the next time.
    Passing(String),
    /// There is none.
    Unbound(String),
}

/// Stands for a set of messages (contract section 1.7).
fn digest(refs: &[String]) -> String {
    let mut sorted: Vec<&str> = refs.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    format!("{:x}", Sha256::digest(sorted.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_set_does_not_depend_on_its_order() {
        let refs = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(digest(&refs(&["b", "a"])), digest(&refs(&["a", "b"])));
        assert_eq!(digest(&refs(&["a", "b"])), "7e18f737311b2dc3b2f269dd78396b0351f14fb66efa879f768cb23181883c78");
    }
}

//! Prompts and interrupts without a gateway: the same delivery under the same lock.

use std::time::Duration;

use serde_json::json;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use crate::{
    api::{AdmissionPolicy, OnDraft},
    delivery::{
        self, Decision, Delivery, Form, Journal, JournalClosed, Keys, Outcome, Prompt, Sight, Stage, Start, Step,
        Timings, Turn, decide, deliver,
    },
    model::{ErrorCode, Failure, Note, Receipt, RequestId},
    os::{clock, files, lock::Lock, random, terminal},
    target::Target,
    tmux::input::{Acted, Hand, HandError, Look},
    tracker::{Detectors, Pending, Quiet, View, records},
};

/// Between two looks: each is a tmux process.
const LOOK: Duration = Duration::from_millis(20);

/// How long an interrupt waits for a text that is being typed.
const INTERRUPT_LOCK: Duration = Duration::from_millis(300);

/// How long a pane that moves may take to come to rest.
const REST: Duration = Duration::from_millis(300);

/// How far a sender waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitFor {
    /// The text left the composer.
    Submitted,
    /// The agent works on it.
    Started,
    /// The agent is ready again.
    Ended,
}

impl WaitFor {
    /// The receipt that ends the wait.
    pub fn receipt(self) -> Receipt {
        match self {
            Self::Submitted => Receipt::Submitted,
            Self::Started => Receipt::TurnStarted,
            Self::Ended => Receipt::TurnEnded,
        }
    }

    /// Is the wait over with this receipt? A later one counts too.
    pub fn is_over(self, receipt: Receipt) -> bool {
        [Self::Submitted, Self::Started, Self::Ended].iter().any(|step| *step >= self && step.receipt() == receipt)
    }
}

/// How a prompt is given directly.
#[derive(Debug, Clone)]
pub struct DirectOptions {
    /// Refuse at once unless this admits it; without one, wait until the agent is ready.
    pub policy: Option<AdmissionPolicy>,
    /// How far to wait.
    pub wait: WaitFor,
    /// How long to wait.
    pub timeout: Duration,
    /// What to do with somebody's draft in the composer.
    pub on_draft: OnDraft,
}

/// What became of a direct prompt.
#[derive(Debug, Clone)]
pub struct DirectOutcome {
    /// The steps, in their order.
    pub receipts: Vec<Note>,
    /// What the agent answered; only when its end was waited for.
    pub reply: Option<String>,
}

/// Gives a prompt to the agent, and says each step as it is proven.
///
/// # Errors
/// Refused, unconfirmed, or the time is over.
pub fn prompt(
    target: &Target,
    text: &str,
    options: &DirectOptions,
    progress: &mut dyn FnMut(&Note),
) -> Result<DirectOutcome, Failure> {
    let text = Prompt::clean(text)
        .map_err(|error| Failure::usage(error.to_string(), "give the text with --prompt, or on stdin"))?;
    let direct = Direct::new(target)?;
    runtime()?.block_on(async {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let mut receipts = Vec::new();
        let mut hear = |note: Note| {
            progress(&note);
            receipts.push(note);
        };
        let work = async {
            let limited = timeout(options.timeout, direct.give(&text, options, &sender)).await;
            drop(sender);
            limited
        };
        let mut work = std::pin::pin!(work);
        let done = loop {
            tokio::select! {
                biased;
                Some(note) = receiver.recv() => hear(note),
                done = &mut work => break done,
            }
        };
        while let Ok(note) = receiver.try_recv() {
            hear(note);
        }
        match done {
            Ok(reply) => Ok(DirectOutcome { receipts, reply: reply? }),
            Err(_elapsed) => Err(late(&receipts, options)),
        }
    })
}

/// Presses the agent's interrupt key.
///
/// # Errors
/// Refused, or unconfirmed.
pub fn interrupt(target: &Target) -> Result<Vec<Note>, Failure> {
    let direct = Direct::new(target)?;
    runtime()?.block_on(async {
        let look = direct.hand.look().await.map_err(|error| unreachable(&error))?;
        let modes = terminal::modes(look.now.tty.as_ref());
        if Sight::glance(look, &direct.view).has_idle_draft() {
            return Err(Failure::refused(
                "nothing runs, and the key would clear the draft in the composer",
                "`agents attach-terminal` shows it; `agents gateway send-keys` presses keys whatever stands there",
            ));
        }
        let id = RequestId::direct(clock::now(), random::serial());
        // An interrupt waits for nobody for long. While it holds the lock, no gateway presses an Enter so close behind
        // it that the program takes both for one key.
        let _typing = Lock::take_within(&target.root.delivery_lock(), INTERRUPT_LOCK)?;
        let pressed = delivery::interrupt(&direct.hand, &Keys::default(), direct.pid, modes, id.as_str()).await;
        sleep(delivery::AFTER_ESCAPE).await;
        match pressed {
            Ok((key, Acted::Done)) => {
                Ok(vec![Note::new(Receipt::Submitted).seen(json!({ "proof": "key_pressed", "key": key }))])
            }
            Ok((_, Acted::Held(_))) => Err(Failure::refused(
                "the pane takes no keys, or runs another process by now",
                "`agents state` shows what is in the pane",
            )),
            Err(error) => Err(unreachable(&error)),
        }
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("no runtime: {error}")))
}

/// One agent, and a hand of this command's own.
struct Direct<'a> {
    target: &'a Target,
    hand: Hand,
    pid: u32,
    view: View,
}

/// Receipts for whoever waits for this command.
struct Told<'a>(&'a mpsc::UnboundedSender<Note>);

impl Journal for Told<'_> {
    async fn begin(&self, note: Note) -> Result<bool, JournalClosed> {
        self.note(note).await.map(|()| true)
    }

    async fn note(&self, note: Note) -> Result<(), JournalClosed> {
        self.0.send(note).map_err(|_closed| JournalClosed)
    }
}

impl<'a> Direct<'a> {
    fn new(target: &'a Target) -> Result<Self, Failure> {
        let pane = target.live_agent()?;
        // Without a gateway nobody else tells one command from the next: the name is what fences them off.
        let owner = format!("direct-{}", Uuid::new_v4());
        let hand = Hand::new(target.server.clone(), None, pane.pane_id, owner);
        let tool = target.manifest.tool.as_str();
        let home = target.root.home();
        let library = home.map(|home| Detectors::read(&home.detectors()).library()).unwrap_or_default();
        let profile = library.find(tool, None);
        let version = records::version(tool, profile.as_ref(), pane.pid);
        let profile = if version.is_some() { library.find(tool, version.as_deref()) } else { profile };
        Ok(Self { target, hand, pid: pane.pid, view: View::new(tool, profile) })
    }

    async fn give(
        &self,
        text: &Prompt,
        options: &DirectOptions,
        told: &mpsc::UnboundedSender<Note>,
    ) -> Result<Option<String>, Failure> {
        let told = Told(told);
        let id = RequestId::direct(clock::now(), random::serial());
        let mut waits = "";
        let turn = loop {
            // Waited for without the lock, or a gateway could not type meanwhile; looked at again under it.
            self.settled(text, options, &told, &mut waits).await?;
            let _typing = self.slot().await?;
            let look = self.settled(text, options, &told, &mut waits).await?;
            self.hand.take().await.map_err(|error| unreachable(&error))?;
            let stage = Stage::Fresh(Box::new(look));
            let form = Form::of(text, self.view.rules()).map_err(|(reason, detail)| refused(reason, &detail))?;
            let (pid, view) = (self.pid, &self.view);
            let (id_text, prompt, form) = (id.as_str(), text, &form);
            let delivery =
                Delivery { id: id_text, prompt, form, pid, stage, view, tracker: None, request: None, stashed: None };
            let outcome = deliver(&self.hand, &Keys::default(), &delivery, &told, Timings::default()).await;
            match outcome.map_err(|closed| Failure::internal(closed.to_string()))? {
                Outcome::Submitted(before, seen) => {
                    self.tell(&told, Note::new(Receipt::Submitted).seen(seen)).await?;
                    let start = before.as_deref().map(Start::at);
                    break Turn { id, start, pid: self.pid, started: false };
                }
                Outcome::Held(reason, detail) if options.policy.is_some() => return Err(refused(reason, &detail)),
                Outcome::Held(..) | Outcome::Withdrawn => {}
                Outcome::Unproven(reason, detail, seen) => {
                    let note = Note::new(Receipt::Indeterminate).because(reason, detail.clone()).seen(seen);
                    self.tell(&told, note).await?;
                    return Err(Failure::new(
                        ErrorCode::Unconfirmed,
                        format!("{reason}: {detail}"),
                        "`agents state` and the terminal show what became of it; it is not typed again",
                    ));
                }
            }
        };
        if options.wait == WaitFor::Submitted { Ok(None) } else { self.follow(turn, options.wait, &told).await }
    }

    /// Waits for whoever else types into this pane.
    async fn slot(&self) -> Result<Lock, Failure> {
        files::create_private_dir(&self.target.root.gateway())?;
        loop {
            if let Some(lock) = Lock::try_take(&self.target.root.delivery_lock())? {
                return Ok(lock);
            }
            sleep(LOOK).await;
        }
    }

    /// Looks until the text may be typed; with a policy, once.
    async fn settled(
        &self,
        text: &Prompt,
        options: &DirectOptions,
        told: &Told<'_>,
        waits: &mut &'static str,
    ) -> Result<Look, Failure> {
        let policy = options.policy.unwrap_or_default();
        let (mut quiet, begun) = (Quiet::default(), Instant::now());
        loop {
            let look = self.hand.look().await.map_err(|error| unreachable(&error))?;
            let still = quiet.observe(&look, begun.elapsed());
            let sight = Sight::survey(look, &self.view);
            let now = clock::now().epoch_millis() / 1000;
            let is_draft = sight.reading.pending == Pending::Yes;
            match decide(text, &self.view, &sight, policy, still, now) {
                Decision::Go => return Ok(sight.look),
                Decision::Refuse(reason, detail) => return Err(refused(reason, &detail)),
                Decision::Wait("settling", _) if begun.elapsed() < REST => {}
                Decision::Wait(reason, detail) if options.policy.is_some() => return Err(refused(reason, &detail)),
                Decision::Wait("draft", detail) if options.on_draft == OnDraft::Refuse && is_draft => {
                    return Err(refused("draft", &detail));
                }
                Decision::Wait("agent_ended", detail) => return Err(refused("agent_ended", &detail)),
                Decision::Wait(reason, mut detail) => {
                    if reason == "draft" && options.on_draft == OnDraft::Stash {
                        detail.push_str(
                            "; it is not put aside: only a gateway keeps on record what has to be brought back",
                        );
                    }
                    if *waits != reason {
                        *waits = reason;
                        self.tell(told, Note::new(Receipt::Deferred).because(reason, detail)).await?;
                    }
                }
            }
            sleep(LOOK).await;
        }
    }

    async fn follow(&self, mut turn: Turn, wait: WaitFor, told: &Told<'_>) -> Result<Option<String>, Failure> {
        let (mut quiet, begun) = (Quiet::default(), Instant::now());
        loop {
            let look = self.hand.look().await.map_err(|error| unreachable(&error))?;
            let still = quiet.observe(&look, begun.elapsed());
            let Sight { look, reading, .. } = Sight::survey(look, &self.view);
            match turn.step(&look, &reading, still) {
                Step::Same => {}
                Step::Started(note) => {
                    turn.started = true;
                    self.tell(told, note).await?;
                    if wait == WaitFor::Started {
                        return Ok(None);
                    }
                }
                Step::Ended => {
                    let mut reply = None;
                    for note in turn.end(&self.hand, &look).await {
                        reply = note.evidence.as_ref().and_then(|seen| seen["reply"].as_str()).map(str::to_owned);
                        self.tell(told, note).await?;
                    }
                    return Ok(reply);
                }
                Step::Lost(note) => {
                    let detail = note.detail.clone().unwrap_or_default();
                    self.tell(told, note).await?;
                    return Err(Failure::new(ErrorCode::Unconfirmed, detail, self.target.revival()));
                }
            }
            sleep(LOOK).await;
        }
    }

    async fn tell(&self, told: &Told<'_>, note: Note) -> Result<(), Failure> {
        told.note(note).await.map_err(|closed| Failure::internal(closed.to_string()))
    }
}

fn refused(reason: &str, detail: &str) -> Failure {
    let hint = match reason {
        "draft" | "pending_unknown" => "submit or clear what stands in the composer, then try again",
        "person_typing" => "try again when nobody types there",
        "copy_mode" => "leave the pane's copy mode with `q`",
        "input_off" => "`select-pane -e` switches the pane's input on",
        "agent_not_running" | "agent_ended" => "`agents state` shows what runs in the pane",
        "dialog" => "answer the question in the terminal",
        _ => "leave out --admission-policy to wait until the agent is ready",
    };
    Failure::refused(format!("{reason}: {detail}"), hint)
}

fn unreachable(error: &HandError) -> Failure {
    Failure::new(ErrorCode::TmuxUnavailable, error.to_string(), "run `agents doctor`")
}

/// The time is over: what is known by then decides what it means.
fn late(receipts: &[Note], options: &DirectOptions) -> Failure {
    let seconds = options.timeout.as_secs_f32();
    let last = receipts.last();
    let (message, hint) = match last.map(|note| note.receipt) {
        Some(Receipt::Submitted | Receipt::TurnStarted) => (
            format!("the prompt was submitted, and its turn did not end within {seconds} s"),
            "the agent goes on; `agents state` shows it",
        ),
        Some(Receipt::Typing | Receipt::Typed) => (
            format!("the prompt was typed, and that it was submitted was not seen within {seconds} s"),
            "look at the composer in the terminal before you send it again",
        ),
        _ => {
            let why =
                last.and_then(|note| note.detail.clone()).unwrap_or_else(|| "somebody else types there".to_owned());
            return Failure::new(
                ErrorCode::Timeout,
                format!("nothing was typed within {seconds} s: {why}"),
                "wait longer with --timeout, or give the prompt to a gateway's queue with `agents gateway prompt`",
            );
        }
    };
    Failure::new(ErrorCode::Timeout, message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_receipt_ends_an_earlier_wait() {
        assert!(WaitFor::Submitted.is_over(Receipt::TurnEnded) && WaitFor::Started.is_over(Receipt::TurnEnded));
        assert!(!WaitFor::Ended.is_over(Receipt::TurnStarted) && !WaitFor::Started.is_over(Receipt::Submitted));
        for other in [Receipt::Queued, Receipt::Typed, Receipt::Indeterminate, Receipt::Refused] {
            assert!(!WaitFor::Submitted.is_over(other), "{other}");
        }
    }
}

//! Turns at once or not at all, and interrupts, which wait for nobody.

use serde_json::json;

use super::{Chats, HeadlessWorker, NotNow};
use crate::{
    api::{AdmissionPolicy, ChatMode, ChatSession, ControlPromptSent, SubmitPrompt},
    headless::{self, Pressed},
    model::{Note, Receipt, RequestId, RequestKind, RequestState, Route},
    os::clock,
    queue::{
        Key, Queue, Refusal,
        direct::{Alone, Job, add, tracked_as},
    },
};

/// A prompt for a turn at once.
#[derive(Debug)]
pub(in crate::queue) struct DirectTurn {
    submit: SubmitPrompt,
    key: Option<Key>,
    /// Kept until the turn runs.
    _alone: Alone,
}

impl Queue {
    /// Starts a turn at once or not at all; answered when its program runs.
    ///
    /// # Errors
    /// [`Refusal`] with an `error_code` of the contract.
    pub async fn control_turn(&self, submit: SubmitPrompt, key: Option<Key>) -> Result<ControlPromptSent, Refusal> {
        let work = async {
            let asked = self.check_open().and_then(|()| self.only_one());
            match asked {
                Ok(alone) => {
                    let direct = DirectTurn { submit, key: key.clone(), _alone: alone };
                    self.ask(|answer| Job::Turn(direct, answer)).await
                }
                Err(refusal) => {
                    self.note_refused_prompt(AdmissionPolicy::ReadyOnly, &refusal).await;
                    Err(refusal)
                }
            }
        };
        self.once(key.as_ref(), work).await
    }

    /// Interrupts the turn that runs, whoever started it. `false`: the store took nothing; to be tried again.
    pub(in crate::queue) async fn interrupt_turn(&self, chats: &Chats, id: &RequestId) -> bool {
        let (store, turn) = (&self.inner.store, headless::last(&chats.root).map(|(turn, _)| turn));
        let named = turn.as_ref().map(|turn| turn.id().to_owned());
        let intent = Note::new(Receipt::Typing).seen(json!({ "turn_id": named }));
        match store.begin(id, clock::now(), vec![intent]).await {
            Ok(true) => {}
            Ok(false) => return true,
            Err(error) => {
                tracing::error!(%error, "an interrupt could not be recorded, so it was not sent");
                return false;
            }
        }
        let now = clock::now();
        let pressed = turn.map_or(Ok(Pressed::Nothing), |turn| headless::interrupt(&turn, now));
        let result = json!({ "completed_at_utc": now.iso_seconds(), "request_kind": "interrupt" });
        let (state, error, result, note) = match &pressed {
            Ok(pressed) => {
                let proof = if *pressed == Pressed::Nothing { "no_turn_runs" } else { "turn_signalled" };
                let seen = json!({ "proof": proof, "turn_id": named, "request_kind": RequestKind::Interrupt });
                (RequestState::Completed, None, Some(result), Note::new(Receipt::Submitted).seen(seen))
            }
            Err(error) => {
                let (detail, reason) = (error.to_string(), "not_written");
                let note = Note::new(Receipt::Refused).because(reason, detail.clone());
                (RequestState::Failed, Some(format!("refused ({reason}): {detail}")), None, note)
            }
        };
        let recorded = store.finish(id, state, error, result, vec![note], now).await;
        if let Ok(Pressed::Orphan(program)) = &pressed {
            headless::escalate(program).await;
        }
        recorded.inspect_err(|error| tracing::error!(%error, "the end of an interrupt could not be recorded")).is_ok()
    }
}

impl HeadlessWorker {
    pub(super) async fn direct(&mut self, job: Job) {
        let unfit = || Refusal::new(422, "unsupported", "the agent is headless: it has no terminal to type into");
        match job {
            Job::Prompt(_, answer) => drop(answer.send(Err(unfit()))),
            Job::Keys(_, answer) => drop(answer.send(Err(unfit()))),
            Job::Answer(_, answer) => drop(answer.send(Err(unfit()))),
            Job::Turn(_, answer) if answer.is_closed() => {}
            Job::Turn(direct, answer) => {
                let done = self.direct_turn(&direct).await;
                drop(direct);
                drop(answer.send(done));
            }
        }
    }

    async fn direct_turn(&mut self, direct: &DirectTurn) -> Result<ControlPromptSent, Refusal> {
        let policy = AdmissionPolicy::ReadyOnly;
        let not_ready = |detail: String| Refusal::new(409, "not_ready", detail);
        let checked = match &self.active {
            Some(active) => Err(not_ready(format!("turn `{}` runs", active.turn.id()))),
            None => Ok(()),
        };
        let begun = async {
            checked?;
            // Before anything is on record: a conversation that is not there is no work.
            let asked = direct.submit.chat_session.as_ref();
            self.expect_chat(asked)?;
            let mut payload = serde_json::to_value(&direct.submit).unwrap_or_default();
            payload["admission_policy"] = json!(policy);
            let queue = self.base.queue.clone();
            let key = direct.key.as_ref();
            let id = queue.register(RequestKind::SubmitPrompt, Route::ControlPrompt, &payload, key).await?;
            let answer = match self.start(&id, Route::ControlPrompt, &direct.submit).await {
                Ok(()) => {
                    let turn = self.active.as_ref().map(|active| active.turn.id().to_owned()).unwrap_or_default();
                    let mut data = json!({ "admission_policy": policy, "request": id.as_str(), "turn_id": turn,
                        "submitted_at_utc": clock::now().iso_seconds() });
                    add(&mut data, &tracked_as(None, false));
                    queue.record("control_prompt_submitted", data).await;
                    Ok(ControlPromptSent::new(policy, format!("turn {turn} runs for request {id}")))
                }
                Err(not) => {
                    let refusal = match not {
                        NotNow::Waits(reason, detail) => not_ready(format!("{reason}: {detail}")),
                        NotNow::Never(refusal) => refusal,
                        NotNow::Withdrawn => Refusal::new(422, "dispatch_failed", "the request was taken back"),
                        NotNow::Closed(closed) => closed.into(),
                    };
                    queue.refuse(&id, &refusal.code, &refusal.detail).await?;
                    Err(refusal)
                }
            };
            queue.keep_answer(&id, &answer).await;
            answer
        };
        let answer = begun.await;
        if let Err(refusal) = &answer {
            self.base.queue.note_refused(policy, refusal, None).await;
        }
        answer
    }

    fn expect_chat(&self, asked: Option<&ChatSession>) -> Result<(), Refusal> {
        if asked.is_none_or(|asked| asked.mode != ChatMode::Current) {
            return Ok(());
        }
        let chat = self.chats.chat().map_err(|failure| Refusal::new(503, "unavailable", failure.message))?;
        let detail = "there is no current conversation yet: the first turn begins one";
        chat.current.map(drop).ok_or_else(|| Refusal::new(409, "missing_current_chat_session", detail))
    }
}

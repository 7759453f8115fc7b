//! Following one request through its receipts, as far as somebody wants to wait.
//!
//! The gateway's view of the request decides; its events say when to look again. So nothing is lost when the
//! connection breaks, when the gateway is replaced, or when the journal no longer has the place where we stood.

use std::time::Duration;

use crate::{
    api::{EventView, ReceiptView, RequestDetail},
    client::{Call, CallError, Gateway, Patience, Waited},
    lifecycle::{self, direct::WaitFor},
    model::{ErrorCode, Failure, Note, Receipt, RequestId, RequestKind, RequestState},
    target::Target,
};

/// How often a gateway that is away is looked for.
const LOOK: Duration = Duration::from_millis(250);

/// How many looks in a row may find none. A gateway that is replaced is away for less than a second.
const LOOKS: u32 = 40;

/// How a wait ended that did not fail.
#[derive(Debug)]
pub(super) struct Followed {
    /// The request as it is now.
    pub(super) detail: RequestDetail,
    /// Ctrl-C came first.
    pub(super) interrupted: bool,
}

impl Followed {
    /// What the agent answered, where it is known.
    pub(super) fn reply(&self) -> Option<&str> {
        let ended = self.detail.receipts.iter().rev().find(|receipt| receipt.receipt == Receipt::TurnEnded)?;
        ended.evidence.as_ref()?.get("reply")?.as_str()
    }

    /// Why there is no reply, if that is known.
    pub(super) fn reply_missing(&self) -> Option<&str> {
        let ended = self.detail.receipts.iter().rev().find(|receipt| receipt.receipt == Receipt::TurnEnded)?;
        ended.evidence.as_ref()?.get("reply_missing")?.as_str()
    }

    /// A turn that did not come to a good end.
    pub(super) fn failure(&self) -> Option<Failure> {
        let ended = self.detail.receipts.iter().rev().find(|receipt| receipt.receipt == Receipt::TurnEnded)?;
        let evidence = ended.evidence.as_ref()?;
        let text = |name: &str| evidence.get(name).and_then(|value| value.as_str());
        let message = match (text("outcome")?, text("error")) {
            ("failed", Some(error)) => format!("the turn failed: {error}"),
            ("failed", None) => "the turn failed".to_owned(),
            ("interrupted", _) => "the turn was interrupted".to_owned(),
            _ => return None,
        };
        let id = text("turn_id").unwrap_or("last");
        let hint = format!("`agents gateway turns show {id}` says how that is known; the prompt is not sent again");
        Some(Failure::new(ErrorCode::TurnFailed, message, hint))
    }
}

/// Follows a request until the goal, its end, or the end of patience. Each receipt is told once.
///
/// # Errors
/// Refused, unconfirmed, timeout; or the gateway is gone and does not come back.
pub(super) fn follow(
    target: &Target,
    gateway: Gateway,
    id: &RequestId,
    goal: WaitFor,
    patience: &mut Patience,
    tell: &mut dyn FnMut(&ReceiptView),
) -> Result<Followed, Failure> {
    let mut following = Following { target, gateway, id, goal, tell, away: 0, place: 0, detail: None };
    loop {
        let waited = match following.look() {
            Ok(detail) if is_over(detail, goal)? => break,
            Ok(_) => following.hear(patience)?,
            Err(error) => following.look_again(patience, error)?,
        };
        match waited {
            Waited::For(()) => {}
            Waited::TimeOver => return Err(time_over(id, goal, following.detail.as_ref())),
            Waited::Interrupted => return following.ended(true),
        }
    }
    following.ended(false)
}

/// One request, and the gateway that we hear of it, which may be replaced by another one.
struct Following<'a> {
    target: &'a Target,
    gateway: Gateway,
    id: &'a RequestId,
    goal: WaitFor,
    tell: &'a mut dyn FnMut(&ReceiptView),
    /// Looks in a row that found no gateway.
    away: u32,
    /// What was told of the journal.
    place: u64,
    detail: Option<RequestDetail>,
}

impl Following<'_> {
    /// The request as it is; tells what is new in it.
    fn look(&mut self) -> Result<&RequestDetail, CallError> {
        let detail: RequestDetail = self.gateway.call(&Call::get(&format!("/v1/requests/{}", self.id)))?;
        self.away = 0;
        for receipt in detail.receipts.iter().filter(|receipt| receipt.id > self.place) {
            (self.tell)(receipt);
        }
        self.place = detail.receipts.last().map_or(0, |receipt| receipt.id).max(self.place);
        Ok(self.detail.insert(detail))
    }

    /// Tells receipts as they come, until it is worth to look at the request again.
    fn hear(&mut self, patience: &mut Patience) -> Result<Waited<()>, Failure> {
        let mut events = match self.gateway.events(patience, Some(self.place), Some(self.id)) {
            Waited::For(Ok(events)) => events,
            // The journal no longer has the place where we stood, or never had one.
            Waited::For(Err(CallError::Refused(refusal))) if refusal.status == 409 => return Ok(patience.pause(LOOK)),
            Waited::For(Err(error)) => return self.look_again(patience, error),
            Waited::TimeOver => return Ok(Waited::TimeOver),
            Waited::Interrupted => return Ok(Waited::Interrupted),
        };
        loop {
            let event = match events.next(patience) {
                Waited::For(Some(event)) => event,
                // Broken off: a gateway that hung up is not asked again at once.
                Waited::For(None) => return Ok(patience.pause(LOOK)),
                Waited::TimeOver => return Ok(Waited::TimeOver),
                Waited::Interrupted => return Ok(Waited::Interrupted),
            };
            let Ok(event) = serde_json::from_str::<EventView>(&event.data) else { return Ok(patience.pause(LOOK)) };
            let is_new = event.id > self.place;
            self.place = self.place.max(event.id);
            let Some(receipt) = receipt_of(&event) else { return Ok(Waited::For(())) };
            if is_new {
                (self.tell)(&receipt);
            }
            let step = receipt.receipt;
            self.detail.iter_mut().for_each(|detail| detail.receipts.push(receipt.clone()));
            if self.goal.is_over(step) || is_end(step) {
                return Ok(Waited::For(()));
            }
        }
    }

    /// The gateway did not answer: waits a moment and finds the one that serves the session now.
    fn look_again(&mut self, patience: &mut Patience, error: CallError) -> Result<Waited<()>, Failure> {
        self.away += 1;
        if !error.is_passing() || self.away > LOOKS {
            return Err(error.into());
        }
        let waited = patience.pause(LOOK);
        if waited == Waited::For(()) {
            match lifecycle::reach(self.target, Duration::ZERO) {
                Ok(gateway) => self.gateway = gateway,
                Err(failure) if failure.code == ErrorCode::NotAttached && self.away < LOOKS => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(waited)
    }

    fn ended(self, interrupted: bool) -> Result<Followed, Failure> {
        let id = self.id;
        let unseen = || Failure::new(ErrorCode::Timeout, format!("request `{id}` was not seen yet"), goes_on(id));
        self.detail.map(|detail| Followed { detail, interrupted }).ok_or_else(unseen)
    }
}

fn is_end(step: Receipt) -> bool {
    matches!(step, Receipt::Refused | Receipt::Indeterminate)
}

/// Is the goal reached? A request that cannot reach it any more is a failure.
fn is_over(detail: &RequestDetail, goal: WaitFor) -> Result<bool, Failure> {
    let request = &detail.request;
    let steps = detail.receipts.iter().map(|receipt| receipt.receipt).chain([request.receipt]);
    if steps.clone().any(|step| goal.is_over(step)) {
        return Ok(true);
    }
    if let Some(end) = steps.clone().find(|step| is_end(*step)) {
        return Err(failed(detail, end));
    }
    match request.state {
        RequestState::Failed | RequestState::Coalesced => Err(failed(detail, Receipt::Refused)),
        // What has no turn is over when it was done.
        RequestState::Completed => {
            Ok(!matches!(request.request_kind, RequestKind::SubmitPrompt | RequestKind::MailNotifierPrompt))
        }
        RequestState::Accepted | RequestState::Running => Ok(false),
    }
}

fn failed(detail: &RequestDetail, end: Receipt) -> Failure {
    let request = &detail.request;
    let receipt = detail.receipts.iter().rev().find(|receipt| receipt.receipt == end);
    let reason = receipt.and_then(|receipt| receipt.reason.clone()).unwrap_or_else(|| request.state.to_string());
    let sentence = receipt.and_then(|receipt| receipt.detail.clone()).or_else(|| request.error_detail.clone());
    let sentence = sentence.map_or_else(String::new, |sentence| format!(": {sentence}"));
    let id = &request.request_id;
    if end == Receipt::Indeterminate {
        return Failure::new(
            ErrorCode::Unconfirmed,
            format!("request `{id}` is unconfirmed ({reason}){sentence}"),
            format!(
                "look at the agent before you send it again; `agents gateway requests show {id}` says what was seen"
            ),
        );
    }
    Failure::refused(
        format!("request `{id}` was refused ({reason}){sentence}"),
        format!("`agents gateway requests show {id}` shows its receipts"),
    )
}

fn time_over(id: &RequestId, goal: WaitFor, detail: Option<&RequestDetail>) -> Failure {
    let last = detail.and_then(|detail| detail.receipts.last());
    let last = last.map_or_else(String::new, |receipt| format!("; the last one is {}", words(&note(receipt))));
    let message = format!("the time is over: request `{id}` has no receipt `{}` yet{last}", goal.receipt());
    Failure::new(ErrorCode::Timeout, message, goes_on(id))
}

/// What to do with a request that nobody waits for any more.
pub(super) fn goes_on(id: &RequestId) -> String {
    format!(
        "it goes on: `agents gateway requests watch {id}` waits further, \
         `agents gateway requests cancel {id}` takes it back while it waits"
    )
}

/// The receipt in a journal entry, if it holds one.
pub(super) fn receipt_of(event: &EventView) -> Option<ReceiptView> {
    let text = |name: &str| event.data.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    Some(ReceiptView {
        id: event.id,
        receipt: Receipt::from_name(&text("receipt")?)?,
        reason: text("reason"),
        detail: text("detail"),
        evidence: event.data.get("evidence").filter(|value| !value.is_null()).cloned(),
        at_utc: event.at_utc.clone(),
    })
}

/// The receipt without its place in the journal.
pub(super) fn note(receipt: &ReceiptView) -> Note {
    Note {
        receipt: receipt.receipt,
        reason: receipt.reason.clone(),
        detail: receipt.detail.clone(),
        evidence: receipt.evidence.clone(),
    }
}

/// A receipt for a person: `deferred: the pane is in copy mode`.
pub(super) fn words(note: &Note) -> String {
    let step = step(note.receipt);
    match (&note.detail, &note.reason) {
        (Some(why), _) | (None, Some(why)) => format!("{step}: {why}"),
        (None, None) => step,
    }
}

/// `turn started`.
fn step(receipt: Receipt) -> String {
    receipt.name().replace('_', " ")
}

//! What a gateway answered when it did not do what was asked, and what that means for the caller. *Pure.*

use hyper::HeaderMap;
use serde_json::Value;

use super::wire::NoAnswer;
use crate::{
    api::ERROR_CODE_HEADER,
    model::{ErrorCode, Failure},
};

/// A refusal of the gateway, as its body says it (contract section 4.0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The stable word: `not_ready`, `queue_full`…; what the status stands for where none is given.
    pub code: String,
    /// One sentence.
    pub detail: String,
    /// After how many seconds another try makes sense.
    pub retry_after: Option<u64>,
}

/// Why a call gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No proven gateway answers; nothing was asked.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// It was asked, and its answer did not come.
    #[error("{call} was sent and not answered: {why}")]
    Lost {
        /// `POST /v1/requests`.
        call: String,
        /// What happened instead.
        why: String,
        /// It may have changed something.
        effect: bool,
    },
    /// It answered no.
    #[error("{}", .0.detail)]
    Refused(Refusal),
    /// It answered something that this program cannot read.
    #[error("the answer to {call} is not the contract's: {why}")]
    Unreadable {
        /// `GET /v1/requests`.
        call: String,
        /// What does not fit.
        why: String,
    },
    /// This machine would not let it ask.
    #[error("could not begin to speak HTTP: {0}")]
    Unable(String),
}

impl CallError {
    /// May the same question find an answer in a moment, from this gateway or the next one?
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer(_) | Self::Lost { .. } => true,
            Self::Refused(refusal) => matches!(refusal.status, 429 | 500 | 503),
            Self::Unreadable { .. } | Self::Unable(_) => false,
        }
    }
}

impl Refusal {
    /// Reads an answer that is no success. Any body will do.
    pub(super) fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        // The form with a date is never sent.
        let retry_after = header("retry-after").and_then(|seconds| seconds.parse().ok());
        let text = || String::from_utf8_lossy(body).chars().take(400).collect::<String>();
        let read = serde_json::from_slice::<Value>(body).unwrap_or_default();
        let detail = read.get("detail").or_else(|| read.get("message")).cloned();
        let word = header(ERROR_CODE_HEADER).or_else(|| read.get("code").and_then(Value::as_str));
        let mut code = word.unwrap_or(code_of(status)).to_owned();
        let detail = match detail {
            Some(Value::String(text)) => text,
            Some(Value::Array(broken)) => broken.iter().map(broken_rule).collect::<Vec<_>>().join("; "),
            Some(Value::Object(detail)) => {
                if let Some(word) = detail.get("error_code").and_then(Value::as_str) {
                    word.clone_into(&mut code);
                }
                detail.get("detail").and_then(Value::as_str).map_or_else(text, str::to_owned)
            }
            _ => text(),
        };
        let detail = if detail.trim().is_empty() { format!("it answered {status}") } else { detail };
        Self { status, code, detail, retry_after }
    }

    fn hint(&self) -> String {
        let again = |also: &str| match self.retry_after {
            Some(seconds) => format!("try again in {seconds} s; {also}"),
            None => format!("try again later; {also}"),
        };
        match self.code.as_str() {
            "blocked_reconciliation" => "`agents gateway reconcile --keep` types what waits into the present agent, \
                 `agents gateway reconcile --drop` gives it up"
                .to_owned(),
            "not_ready" | "pending_input" | "pending_input_unknown" => {
                "without --admission-policy it is queued, and typed when the agent is ready".to_owned()
            }
            "nothing_to_reconcile" => "`agents gateway requests list` shows what there is".to_owned(),
            "not_waiting" => "`agents gateway requests list` shows what still waits".to_owned(),
            "dispatch_failed" => "look at the terminal; nothing is typed again by itself".to_owned(),
            "dialog_changed" | "ambiguous_answer" => "`agents gateway approvals` shows what is open now".to_owned(),
            "reminder_executing" => again("`agents gateway reminders get` shows how it stands"),
            "too_many_reminders" => "`agents gateway reminders remove` makes room".to_owned(),
            "queue_full" => again("`agents gateway requests list --state accepted` shows what waits"),
            "key_reused" => "another prompt needs another --idempotency-key".to_owned(),
            "no_mailbox" => "`agents mail bind` gives the session a mailbox".to_owned(),
            "unsupported_action" => "leave out --pre-notification-context-action".to_owned(),
            "disk_full" => "make room on the disk of the session's files, then try again".to_owned(),
            "unavailable" => again("`agents gateway status` says what is missing"),
            _ => again("`agents gateway status` shows how it is"),
        }
    }
}

/// The word for a refusal that comes without one.
fn code_of(status: u16) -> &'static str {
    match status {
        409 => "conflict",
        429 => "queue_full",
        501 => "unsupported_backend",
        503 => "unavailable",
        507 => "disk_full",
        _ => "refused",
    }
}

/// One broken rule of a body: `prompt: must not be blank`.
fn broken_rule(rule: &Value) -> String {
    let message = rule["msg"].as_str().unwrap_or("it breaks a rule");
    let place: Vec<String> = rule["loc"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
        .filter(|part| part != "body")
        .collect();
    if place.is_empty() { message.to_owned() } else { format!("{}: {message}", place.join(".")) }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NoAnswer(no_answer) => {
                let hint = match &no_answer {
                    NoAnswer::Refused(_) => "`agents gateway attach` starts one",
                    NoAnswer::TimedOut { .. } => "`agents gateway attach --restart` replaces it",
                    NoAnswer::Stranger { .. } => "`agents gateway status` says what became of the session's gateway",
                };
                Self::new(ErrorCode::NotAttached, format!("no live gateway answers: {no_answer}"), hint)
            }
            CallError::Lost { effect: true, .. } => Self::new(
                ErrorCode::Unconfirmed,
                format!("{error}; whether it was done is not known"),
                "`agents gateway requests list` shows what the gateway has",
            ),
            CallError::Lost { effect: false, .. } => {
                Self::new(ErrorCode::Timeout, error.to_string(), "`agents gateway status` shows whether it lives")
            }
            CallError::Unreadable { .. } => Self::new(
                ErrorCode::Incompatible,
                error.to_string(),
                "`agents gateway attach --restart` starts a gateway of this version",
            ),
            CallError::Refused(refusal) => refused(&refusal),
            CallError::Unable(_) => Self::internal(error.to_string()),
        }
    }
}

/// Refusals with 422 in which the words were right, and the session is not made for them.
const IN_ITS_STATE: [&str; 3] = ["dispatch_failed", "no_mailbox", "unsupported_action"];

fn refused(refusal: &Refusal) -> Failure {
    let Refusal { status, code, detail, .. } = refusal;
    let bad_input = matches!(status, 400 | 413) || (*status == 422 && !IN_ITS_STATE.contains(&code.as_str()));
    match status {
        _ if bad_input => {
            Failure::usage(format!("the gateway does not take this: {detail}"), "mend it; nothing was done")
        }
        401 => Failure::new(
            ErrorCode::Unauthorized,
            format!("the gateway refused: {detail}"),
            "run the command as the user whose session it is",
        ),
        // The contract's words for a path that does not exist; a request that does not exist is named.
        404 | 405 if matches!(detail.as_str(), "Not Found" | "Method Not Allowed") => Failure::new(
            ErrorCode::Incompatible,
            "the gateway does not know this command: it is another program's, or an older one",
            "`agents gateway attach --restart` starts a gateway of this version",
        ),
        404 if code == "no_dialog" => {
            Failure::not_found(detail.clone(), "`agents gateway approvals` shows a dialog when one is open")
        }
        404 if code == "unknown_reminder" => {
            Failure::not_found(detail.clone(), "`agents gateway reminders list` shows the reminders")
        }
        404 if code == "unknown_turn" => {
            Failure::not_found(detail.clone(), "`agents gateway turns list` shows the turns")
        }
        404 => Failure::not_found(detail.clone(), "`agents gateway requests list` shows the requests"),
        409 | 422 | 429 | 501 | 503 | 507 => {
            Failure::refused(format!("the gateway refused ({code}): {detail}"), refusal.hint())
        }
        _ => Failure::internal(format!("the gateway answered {status}: {detail}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, headers: &[(&'static str, &str)], body: &str) -> Failure {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        CallError::Refused(Refusal::read(status, &headers, body.as_bytes())).into()
    }

    #[test]
    fn a_refusal_keeps_its_word_and_its_sentence() {
        let body = r#"{"detail":{"status":"error","action":"submit_prompt","sent":false,
            "admission_policy":"ready_only","error_code":"not_ready","detail":"a turn is active"}}"#;
        let told = failure(409, &[], body);
        assert_eq!(
            (told.code, told.message.as_str()),
            (ErrorCode::Refused, "the gateway refused (not_ready): a turn is active")
        );
        assert!(told.hint.contains("without --admission-policy"), "{}", told.hint);
        let full = failure(429, &[("retry-after", "7")], r#"{"detail":"the queue holds 1000 requests"}"#);
        assert_eq!(full.message, "the gateway refused (queue_full): the queue holds 1000 requests");
        assert!(full.hint.starts_with("try again in 7 s"), "{}", full.hint);
        let blocked = failure(409, &[("agents-error-code", "blocked_reconciliation")], r#"{"detail":"rows wait"}"#);
        assert_eq!(blocked.message, "the gateway refused (blocked_reconciliation): rows wait");
        assert!(blocked.hint.contains("reconcile --keep"), "{}", blocked.hint);
    }

    #[test]
    fn each_status_has_its_code() {
        use ErrorCode::{Incompatible, Internal, Refused, TargetNotFound, Unauthorized, Usage};
        for (status, body, code) in [
            (400, r#"{"detail":"x"}"#, Usage),
            (401, r#"{"detail":"x"}"#, Unauthorized),
            (404, r#"{"detail":"no request has the id `x`"}"#, TargetNotFound),
            (404, r#"{"detail":"Not Found"}"#, Incompatible),
            (405, r#"{"detail":"Method Not Allowed"}"#, Incompatible),
            (409, r#"{"detail":"x"}"#, Refused),
            (413, r#"{"detail":"x"}"#, Usage),
            (422, r#"{"detail":"x"}"#, Usage),
            (422, r#"{"detail":{"error_code":"dispatch_failed","detail":"x"}}"#, Refused),
            (429, "", Refused),
            (500, "Internal Server Error", Internal),
            (501, r#"{"detail":{"error_code":"unsupported_backend","detail":"x"}}"#, Refused),
            (503, r#"{"detail":"x"}"#, Refused),
            (507, r#"{"detail":"x"}"#, Refused),
        ] {
            assert_eq!(failure(status, &[], body).code, code, "{status} {body}");
        }
    }

    #[test]
    fn broken_rules_are_named_by_their_place() {
        let body = r#"{"detail":[{"type":"x","loc":["body","payload","prompt"],"msg":"must not be blank","input":""},
            {"type":"y","loc":["body",7],"msg":"no"},{"loc":["body"],"msg":"whole"},{}]}"#;
        let told = failure(422, &[], body);
        assert_eq!(
            told.message,
            "the gateway does not take this: payload.prompt: must not be blank; 7: no; whole; it breaks a rule"
        );
    }

    #[test]
    fn what_was_asked_for_and_not_answered_is_unconfirmed() {
        let lost =
            |effect| CallError::Lost { call: "POST /v1/requests".to_owned(), why: "it hung up".to_owned(), effect };
        assert_eq!(Failure::from(lost(true)).code, ErrorCode::Unconfirmed);
        assert_eq!(Failure::from(lost(false)).code, ErrorCode::Timeout);
        assert_eq!(Failure::from(CallError::NoAnswer(NoAnswer::Refused(9))).code, ErrorCode::NotAttached);
    }
}

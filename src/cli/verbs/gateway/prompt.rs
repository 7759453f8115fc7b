//! `agents gateway prompt`: into the durable queue, or with an admission policy at once or not at all.

use std::{process::ExitCode, time::Duration};

use serde_json::json;
use uuid::Uuid;

use super::{super::prompt::no_model, requests};
use crate::{
    api::{
        ChatMode, ChatSession, ControlPrompt, ControlPromptSent, EXPIRES_IN_HEADER, ExecutionOverride,
        IDEMPOTENCY_KEY_HEADER, ON_DRAFT_HEADER, OnDraft, RequestAccepted, RequestCreate,
    },
    cli::{
        args::{GatewayPrompt, Policy},
        input, render,
        report::Reporter,
        setting,
    },
    client::{Call, Gateway},
    lifecycle,
    model::{ErrorCode, Failure},
    target::Context,
};

/// How long a prompt that is typed at once may take: a new conversation, and the proof that it was taken.
const TYPING_LIMIT: Duration = Duration::from_secs(60);

pub(super) fn run(context: &Context, words: &GatewayPrompt, report: &Reporter) -> Result<ExitCode, Failure> {
    let text = input::prompt(words.prompt.as_deref())?;
    let target = setting::resolve(context, &words.selectors)?;
    let execution = words.model.execution();
    if execution.is_some() && !lifecycle::headless::is_headless(&target) {
        return Err(no_model(&target));
    }
    let gateway = lifecycle::reach(&target, requests::STARTING)?;
    // Without a key of the caller's own the answer could not be asked for again.
    let key = words.idempotency_key.clone().unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    if let Some(policy) = words.admission_policy {
        return at_once(&gateway, text, policy, (words.new_chat, execution), &key, report);
    }
    let mut patience = words.wait.map(|_| requests::patience(&gateway, Some(words.timeout))).transpose()?;
    let mut headers = vec![(IDEMPOTENCY_KEY_HEADER, key.clone())];
    headers.extend(words.expires_in.map(|span| (EXPIRES_IN_HEADER, format!("{}s", span.as_secs()))));
    let on_draft = OnDraft::from(words.on_draft);
    // A gateway of an earlier version does not know the header, and waits.
    if on_draft != OnDraft::Wait {
        headers.push((ON_DRAFT_HEADER, on_draft.name().to_owned()));
    }
    let body = json!(RequestCreate::prompt_with(text, execution));
    let call = Call { headers: &headers, ..Call::post("/v1/requests", &body) };
    let accepted: RequestAccepted = gateway.call(&call).map_err(|error| repeatable(error.into(), &key))?;
    match (words.wait, &mut patience) {
        (Some(until), Some(patience)) => requests::wait(&target, gateway, &accepted, until.into(), patience, report),
        _ => {
            requests::accepted(&accepted, report);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn at_once(
    gateway: &Gateway,
    text: String,
    policy: Policy,
    (new_chat, execution): (bool, Option<ExecutionOverride>),
    key: &str,
    report: &Reporter,
) -> Result<ExitCode, Failure> {
    let chat_session = new_chat.then_some(ChatSession { mode: ChatMode::New, id: None });
    let body = json!(ControlPrompt { chat_session, execution, ..ControlPrompt::new(text, policy.into()) });
    let headers = [(IDEMPOTENCY_KEY_HEADER, key.to_owned())];
    let call = Call { headers: &headers, limit: TYPING_LIMIT, ..Call::post("/v1/control/prompt", &body) };
    let sent: ControlPromptSent = gateway.call(&call).map_err(|error| repeatable(error.into(), key))?;
    if report.wants_json() {
        render::json(&json!(sent));
    } else {
        render::facts(&[("sent", sent.detail)]);
    }
    Ok(ExitCode::SUCCESS)
}

/// An answer that did not come can be asked for again: the key says that it is the same prompt.
fn repeatable(failure: Failure, key: &str) -> Failure {
    if failure.code != ErrorCode::Unconfirmed {
        return failure;
    }
    let hint = format!("the same command with `--idempotency-key {key}` asks again, and types nothing twice");
    Failure { hint, ..failure }
}

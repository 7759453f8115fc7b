//! Direct control of the terminal: at once or not at all.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{Request, StatusCode},
};

use super::headless::expect_terminal;
use crate::{
    api::{AdmissionPolicy, ChatMode, ControlInputSent, ControlPrompt, ControlPromptSent, SubmitPrompt, parse_keys},
    app::App,
    http::{bodies, body, error::Problem, headers::key},
    queue::Refusal,
};

/// `POST /v1/control/prompt` (contract section 4.3).
pub(in crate::http) async fn prompt(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Json<ControlPromptSent>, Problem> {
    let (head, content) = request.into_parts();
    let content = body::receive(content).await?;
    let key = key(&head.headers, &head.method, head.uri.path(), &content)?;
    let prompt = bodies::control_prompt(&body::parse(&content)?)?;
    let policy = prompt.admission_policy;
    let headless = app.queue.chats().is_some();
    if let Some(unfit) = if headless { unfit_for_turns(&prompt) } else { unfit(&prompt) } {
        // A closed queue is named first. The queue looks itself, but it knows earlier answers by their key.
        let refusal = app.queue.check_open().err().unwrap_or(unfit);
        app.queue.note_refused_prompt(policy, &refusal).await;
        return Err(Problem::prompt_refused(policy, &refusal));
    }
    if headless {
        let ControlPrompt { prompt, chat_session, execution, .. } = prompt;
        let submit = SubmitPrompt { prompt, turn_id: None, chat_session, execution };
        let sent = app.queue.control_turn(submit, key).await;
        return sent.map(Json).map_err(|refusal| Problem::prompt_refused(policy, &refusal));
    }
    let new_chat = prompt.chat_session.is_some();
    let sent = app.queue.control_prompt(prompt.prompt, policy, new_chat, key).await;
    sent.map(Json).map_err(|refusal| Problem::prompt_refused(policy, &refusal))
}

/// What an agent whose turns are processes cannot do: nothing can be put behind a turn that runs.
fn unfit_for_turns(prompt: &ControlPrompt) -> Option<Refusal> {
    let detail = "a headless agent takes `admission_policy` `ready_only` only: a turn runs, or none does";
    (prompt.admission_policy != AdmissionPolicy::ReadyOnly)
        .then(|| Refusal::new(422, "invalid_admission_policy", detail))
}

/// What a terminal cannot do, in the order of the contract's table.
fn unfit(prompt: &ControlPrompt) -> Option<Refusal> {
    let refusal = |code, detail: &str| Refusal::new(422, code, detail);
    if let Some(chat) = &prompt.chat_session {
        if chat.mode != ChatMode::New {
            let detail = "an agent in a terminal has one conversation; `chat_session.mode` can only be `new`";
            return Some(refusal("invalid_chat_session", detail));
        }
        if prompt.admission_policy != AdmissionPolicy::ReadyOnly {
            let detail = "a new conversation needs the `admission_policy` `ready_only`";
            return Some(refusal("invalid_admission_policy", detail));
        }
    }
    prompt.execution.as_ref().map(|_| {
        let detail = "`execution` chooses a model per turn; this agent runs in a terminal, and keeps its own";
        refusal("invalid_execution", detail)
    })
}

/// `POST /v1/control/send-keys` (contract section 4.4).
pub(in crate::http) async fn send_keys(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Json<ControlInputSent>, Problem> {
    let (head, content) = request.into_parts();
    let content = body::receive(content).await?;
    let key = key(&head.headers, &head.method, head.uri.path(), &content)?;
    let input = bodies::control_input(&body::parse(&content)?)?;
    if app.queue.chats().is_some() {
        app.queue.check_open()?;
        expect_terminal(&app)?;
    }
    let keys = match parse_keys(&input.sequence, input.escape_special_keys) {
        Ok(keys) => keys,
        Err(unknown) => {
            app.queue.check_open()?;
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, unknown.to_string()));
        }
    };
    Ok(Json(app.queue.send_keys(keys, input.sequence, input.escape_special_keys, key).await?))
}

#[cfg(test)]
mod tests {
    use AdmissionPolicy::{Always, IfNoPending, ReadyOnly};

    use super::*;
    use crate::api::{ChatSession, ExecutionOverride, ModelOverride};

    #[test]
    fn what_a_terminal_cannot_do_is_named_in_the_contracts_order() {
        let code = |mode: Option<ChatMode>, policy, execution: bool| {
            let model = ModelOverride { name: Some("m".to_owned()), reasoning: None };
            let prompt = ControlPrompt {
                chat_session: mode.map(|mode| ChatSession { mode, id: None }),
                execution: execution.then_some(ExecutionOverride { model }),
                ..ControlPrompt::new("x", policy)
            };
            unfit(&prompt).map(|refusal| refusal.code)
        };
        assert_eq!(code(None, Always, false), None);
        assert_eq!(code(Some(ChatMode::New), ReadyOnly, false), None);
        assert_eq!(code(Some(ChatMode::Auto), Always, true).as_deref(), Some("invalid_chat_session"));
        assert_eq!(code(Some(ChatMode::Exact), ReadyOnly, false).as_deref(), Some("invalid_chat_session"));
        assert_eq!(code(Some(ChatMode::New), IfNoPending, true).as_deref(), Some("invalid_admission_policy"));
        assert_eq!(code(Some(ChatMode::New), ReadyOnly, true).as_deref(), Some("invalid_execution"));
    }
}

//! The body of each route, read field by field. Pure.

pub(super) mod ag_ui;
mod mail;
mod memory;
pub(super) mod reminders;

use serde_json::{Value, json};

pub(super) use self::{mail::mail, memory::memory};

use super::{
    error::Problem,
    fields::{Field, Issues, Object},
};
use crate::{
    api::{
        AdmissionPolicy, ApprovalChoice, ChatMode, ChatSession, ControlInput, ControlPrompt, ExecutionOverride,
        LARGEST_PROMPT, LARGEST_SEQUENCE, ModelOverride, Reasoning, ReconcileAction, RecordingAction, RequestCreate,
        RequestPayload, SubmitPrompt,
    },
    model::RequestKind,
};

const CREATE_KINDS: [(&str, RequestKind); 2] =
    [("submit_prompt", RequestKind::SubmitPrompt), ("interrupt", RequestKind::Interrupt)];

/// `POST /v1/requests` (contract section 4.2).
pub(super) fn request_create(body: &Value) -> Result<RequestCreate, Problem> {
    let mut issues = Issues::default();
    let read = read_create(&Field::body(body), &mut issues);
    issues.settle(read)
}

fn read_create(body: &Field<'_>, issues: &mut Issues) -> Option<RequestCreate> {
    let body = body.object(issues)?;
    if let Some(version) = body.given("schema_version") {
        version.version(1, issues);
    }
    let kind = body.required("kind", issues).and_then(|kind| kind.word(&CREATE_KINDS, issues));
    let payload = body.required("payload", issues).and_then(|payload| match kind? {
        RequestKind::Interrupt => read_nothing(&payload, issues),
        _ => read_submit(&payload, issues).map(RequestPayload::SubmitPrompt),
    });
    body.only(&["schema_version", "kind", "payload"], issues);
    Some(RequestCreate { schema_version: 1, kind: kind?, payload: payload? })
}

fn read_nothing(payload: &Field<'_>, issues: &mut Issues) -> Option<RequestPayload> {
    payload.object(issues)?.only(&[], issues);
    Some(RequestPayload::Interrupt {})
}

fn read_submit(payload: &Field<'_>, issues: &mut Issues) -> Option<SubmitPrompt> {
    let payload = payload.object(issues)?;
    let prompt = read_prompt(&payload, issues);
    let turn_id = optional_text(&payload, "turn_id", issues);
    let (chat_session, execution) = (read_chat_session(&payload, issues), read_execution(&payload, issues));
    payload.only(&["prompt", "turn_id", "chat_session", "execution"], issues);
    Some(SubmitPrompt { prompt: prompt?, turn_id, chat_session, execution })
}

/// `POST /v1/control/tui/note-prompt` (contract section 4.5): a prompt's payload, of which only the text counts.
pub(super) fn noted_prompt(body: &Value) -> Result<String, Problem> {
    let mut issues = Issues::default();
    let read = read_submit(&Field::body(body), &mut issues).map(|submit| submit.prompt);
    issues.settle(read)
}

/// `POST /v1/control/prompt` (contract section 4.3).
pub(super) fn control_prompt(body: &Value) -> Result<ControlPrompt, Problem> {
    let mut issues = Issues::default();
    let read = read_control_prompt(&Field::body(body), &mut issues);
    issues.settle(read)
}

fn read_control_prompt(body: &Field<'_>, issues: &mut Issues) -> Option<ControlPrompt> {
    let body = body.object(issues)?;
    if let Some(version) = body.given("schema_version") {
        version.version(2, issues);
    }
    let prompt = read_prompt(&body, issues);
    let admission_policy = match body.given("admission_policy") {
        Some(policy) => policy.word(&AdmissionPolicy::WORDS, issues),
        None => Some(AdmissionPolicy::default()),
    };
    let (chat_session, execution) = (read_chat_session(&body, issues), read_execution(&body, issues));
    body.only(&["schema_version", "prompt", "admission_policy", "chat_session", "execution"], issues);
    Some(ControlPrompt {
        schema_version: 2,
        prompt: prompt?,
        admission_policy: admission_policy?,
        chat_session,
        execution,
    })
}

/// `POST /v1/control/send-keys` (contract section 4.4).
pub(super) fn control_input(body: &Value) -> Result<ControlInput, Problem> {
    let mut issues = Issues::default();
    let read = read_control_input(&Field::body(body), &mut issues);
    issues.settle(read)
}

fn read_control_input(body: &Field<'_>, issues: &mut Issues) -> Option<ControlInput> {
    let body = body.object(issues)?;
    let sequence = body.required("sequence", issues).and_then(|field| {
        let text = field.text(issues)?;
        if text.is_empty() {
            field.breaks("must not be empty", issues);
        } else if text.len() > LARGEST_SEQUENCE {
            issues.too_large("the sequence", text.len(), LARGEST_SEQUENCE);
        }
        Some(text.to_owned())
    });
    let escape_special_keys = match body.given("escape_special_keys") {
        Some(flag) => flag.flag(issues),
        None => Some(false),
    };
    body.only(&["sequence", "escape_special_keys"], issues);
    Some(ControlInput { sequence: sequence?, escape_special_keys: escape_special_keys? })
}

/// `POST /v1/reconcile`.
pub(super) fn reconcile(body: &Value) -> Result<ReconcileAction, Problem> {
    let mut issues = Issues::default();
    let read = read_reconcile(&Field::body(body), &mut issues);
    issues.settle(read)
}

fn read_reconcile(body: &Field<'_>, issues: &mut Issues) -> Option<ReconcileAction> {
    let body = body.object(issues)?;
    let action = body.required("action", issues).and_then(|action| action.word(&ReconcileAction::WORDS, issues));
    body.only(&["action"], issues);
    action
}

/// `POST /v1/agent-events`: the tool, and its event as it came.
pub(super) fn agent_event(body: &Value) -> Result<(&str, &Value), Problem> {
    let mut issues = Issues::default();
    let read = read_agent_event(&Field::body(body), &mut issues);
    issues.settle(read).map(|tool| (tool, &body["event"]))
}

fn read_agent_event<'v>(body: &Field<'v>, issues: &mut Issues) -> Option<&'v str> {
    let body = body.object(issues)?;
    let tool = body.required("tool", issues).and_then(|tool| tool.not_blank(issues));
    let event = body.required("event", issues).and_then(|event| event.object(issues));
    body.only(&["tool", "event"], issues);
    event.and(tool)
}

/// `POST /v1/approvals/{id}`: `option` or `answer`, and not both.
pub(super) fn approval(body: &Value) -> Result<ApprovalChoice, Problem> {
    let mut issues = Issues::default();
    let read = read_approval(&Field::body(body), &mut issues);
    issues.settle(read)
}

fn read_approval(field: &Field<'_>, issues: &mut Issues) -> Option<ApprovalChoice> {
    let body = field.object(issues)?;
    body.only(&["option", "answer"], issues);
    let words = [("accept", ApprovalChoice::Accept), ("reject", ApprovalChoice::Reject)];
    match (body.not_null("option"), body.not_null("answer")) {
        (Some(option), None) => {
            let number = option.count(issues)?;
            let number = u32::try_from(number).ok().filter(|number| *number > 0);
            if number.is_none() {
                option.breaks("option is the number of an answer, from 1", issues);
            }
            number.map(ApprovalChoice::Option)
        }
        (None, Some(answer)) => answer.word(&words, issues),
        _ => {
            field.breaks("give either `option` or `answer`", issues);
            None
        }
    }
}

/// `POST /v1/control/headless/next-prompt-session` (contract section 4.6): only `new` can be asked for.
pub(super) fn next_prompt_session(body: &Value) -> Result<(), Problem> {
    let mut issues = Issues::default();
    let read = read_next_prompt(&Field::body(body), &mut issues);
    issues.settle(read)
}

fn read_next_prompt(body: &Field<'_>, issues: &mut Issues) -> Option<()> {
    let body = body.object(issues)?;
    if let Some(version) = body.given("schema_version") {
        version.version(1, issues);
    }
    let mode = body.required("mode", issues).and_then(|mode| mode.word(&[("new", ())], issues));
    body.only(&["schema_version", "mode"], issues);
    mode
}

/// `POST /v1/recordings`.
pub(super) fn recording(body: &Value) -> Result<RecordingAction, Problem> {
    let mut issues = Issues::default();
    let read = read_recording(&Field::body(body), &mut issues);
    issues.settle(read)
}

fn read_recording(body: &Field<'_>, issues: &mut Issues) -> Option<RecordingAction> {
    let body = body.object(issues)?;
    let words = [("start", RecordingAction::Start), ("stop", RecordingAction::Stop)];
    let action = body.required("action", issues).and_then(|action| action.word(&words, issues));
    body.only(&["action"], issues);
    action
}

/// A text to type. What delivery can take out is no reason to refuse; the end of a bracketed paste is: what follows it
/// would be typed as keys.
fn read_prompt(object: &Object<'_>, issues: &mut Issues) -> Option<String> {
    let field = object.required("prompt", issues)?;
    let text = field.text(issues)?;
    if text.len() > LARGEST_PROMPT {
        issues.too_large("the prompt", text.len(), LARGEST_PROMPT);
        return None;
    }
    field.not_blank(issues)?;
    if let Some(position) = end_of_paste(text) {
        let message = format!("the end of a bracketed paste at character {position} cannot be typed");
        field.wrong("end_of_paste", message, Some(json!({ "position": position })), issues);
        return None;
    }
    Some(text.to_owned())
}

/// The first end of a bracketed paste, in the spelling of seven or of eight bits, in characters from 0.
fn end_of_paste(text: &str) -> Option<usize> {
    let first = ["\u{1b}[201~", "\u{9b}201~"].iter().filter_map(|end| text.find(end)).min()?;
    text.get(..first).map(|before| before.chars().count())
}

fn optional_text(object: &Object<'_>, name: &str, issues: &mut Issues) -> Option<String> {
    object.not_null(name)?.not_blank(issues).map(str::to_owned)
}

fn read_chat_session(object: &Object<'_>, issues: &mut Issues) -> Option<ChatSession> {
    let selector = object.not_null("chat_session")?.object(issues)?;
    let mode = selector.required("mode", issues).and_then(|mode| mode.word(&ChatMode::WORDS, issues));
    let id = optional_text(&selector, "id", issues);
    match (mode, selector.not_null("id")) {
        (Some(ChatMode::Exact), None) => {
            selector.field().breaks("chat_session.id is required when mode=exact", issues);
        }
        (Some(ChatMode::Exact) | None, _) | (_, None) => {}
        (Some(_), Some(field)) => field.breaks("chat_session.id is only allowed when mode=exact", issues),
    }
    selector.only(&["mode", "id"], issues);
    Some(ChatSession { mode: mode?, id })
}

fn read_execution(object: &Object<'_>, issues: &mut Issues) -> Option<ExecutionOverride> {
    let execution = object.not_null("execution")?.object(issues)?;
    let model = execution.required("model", issues).and_then(|model| read_model(&model, issues));
    execution.only(&["model"], issues);
    Some(ExecutionOverride { model: model? })
}

fn read_model(field: &Field<'_>, issues: &mut Issues) -> Option<ModelOverride> {
    let model = field.object(issues)?;
    let name = optional_text(&model, "name", issues);
    let reasoning = model.not_null("reasoning").and_then(|field| {
        let reasoning = field.object(issues)?;
        let level = reasoning.required("level", issues).and_then(|level| level.count(issues));
        reasoning.only(&["level"], issues);
        Some(Reasoning { level: level? })
    });
    if model.not_null("name").is_none() && model.not_null("reasoning").is_none() {
        field.breaks("set model.name, model.reasoning or both", issues);
    }
    model.only(&["name", "reasoning"], issues);
    Some(ModelOverride { name, reasoning })
}

#[cfg(test)]
mod tests;

//! Headless agents: what their gateway says of their turns and conversations (contract section 4.6).

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{Request, StatusCode},
};

use crate::{
    api::{Admission, Connectivity, Execution, HeadlessState, SubmitPrompt},
    app::App,
    http::{bodies, body, error::Problem},
    queue::Chats,
};

/// `GET /v1/control/headless/state`.
pub(in crate::http) async fn state(State(app): State<App>) -> Result<Json<HeadlessState>, Problem> {
    now(&app, chats(&app)?).map(Json)
}

/// `POST /v1/control/headless/next-prompt-session`: the next prompt that leaves the choice to us begins a new one.
pub(in crate::http) async fn next_prompt_session(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Json<HeadlessState>, Problem> {
    let content = body::receive(request.into_body()).await?;
    bodies::next_prompt_session(&body::parse(&content)?)?;
    let chats = chats(&app)?;
    chats.begin_new_once();
    now(&app, chats).map(Json)
}

fn chats(app: &App) -> Result<&Chats, Problem> {
    let detail = "the agent works in a terminal; headless control is for agents whose turns are processes";
    app.queue.chats().map(AsRef::as_ref).ok_or_else(|| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
}

fn now(app: &App, chats: &Chats) -> Result<HeadlessState, Problem> {
    let chat_session = chats.chat().map_err(|failure| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("the session's files: {}", failure.message))
    })?;
    let (status, active) = (app.status.borrow().clone(), chats.active());
    let queue_depth = app.queue.depth().waiting;
    let live = status.managed_agent_connectivity == Connectivity::Connected;
    let open = status.request_admission == Admission::Open;
    Ok(HeadlessState {
        schema_version: 1,
        // A manifest that lost the id is mended from the files of the turns.
        runtime_resumable: true,
        tmux_session_live: live,
        can_accept_prompt_now: open && live && active.is_none() && queue_depth == 0,
        interruptible: active.is_some(),
        chat_session,
        request_admission: status.request_admission,
        active_execution: if active.is_some() { Execution::Running } else { Execution::Idle },
        queue_depth,
        active_turn_id: active.map(|active| active.id),
    })
}

/// An agent whose turns are processes has no terminal that anybody types into.
pub(in crate::http) fn expect_terminal(app: &App) -> Result<(), Problem> {
    if app.queue.chats().is_none() {
        return Ok(());
    }
    let detail = "the agent is headless: it has no terminal that is read or typed into";
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
}

/// May this row wait behind a turn that was started at once? The contract says no (section 4.2).
pub(in crate::http) fn expect_no_direct_turn(app: &App, _submit: &SubmitPrompt) -> Result<(), Problem> {
    let Some(active) = app.queue.chats().and_then(|chats| chats.active()).filter(|active| active.direct) else {
        return Ok(());
    };
    let detail = format!("turn `{}`, which was started at once, runs; try again when it has ended", active.id);
    Err(Problem::new(StatusCode::CONFLICT, detail))
}

//! `POST /v1/agent-events`: what a hook of the agent's program tells.

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
};

use crate::{
    api::{AgentEventTaken, LARGEST_AGENT_EVENT},
    app::App,
    http::{bodies, body, error::Problem},
};

/// Takes one event in. It is not kept: what follows from it is in the agent's state.
pub(in crate::http) async fn take(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<(StatusCode, Json<AgentEventTaken>), Problem> {
    let content = body::receive(request.into_body()).await?;
    if content.len() > LARGEST_AGENT_EVENT {
        return Err(Problem::too_large("the event", content.len(), LARGEST_AGENT_EVENT));
    }
    let content = body::parse(&content)?;
    let (tool, event) = bodies::agent_event(&content)?;
    match app.tracker.hook(tool, event) {
        Some(signs) => Ok((StatusCode::ACCEPTED, Json(AgentEventTaken { signs }))),
        None => {
            let tool: String = tool.chars().take(32).collect();
            let detail = format!("this is no event of a hook of `{tool}` that is known here");
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
        }
    }
}

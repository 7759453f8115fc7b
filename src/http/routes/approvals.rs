//! Dialogs of the agent: which one is open, and its answer.

use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::Request,
};

use crate::{
    api::{ApprovalAnswered, Approvals},
    app::App,
    http::{bodies, body, error::Problem, headers::key},
};

/// `GET /v1/approvals`.
pub(in crate::http) async fn list(State(app): State<App>) -> Result<Json<Approvals>, Problem> {
    Ok(Json(app.queue.approvals().await?))
}

/// `POST /v1/approvals/{id}`.
pub(in crate::http) async fn answer(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Result<Json<ApprovalAnswered>, Problem> {
    let id = path.map_or_else(|_not_utf8| "�".to_owned(), |Path(text)| text);
    let (head, content) = request.into_parts();
    let content = body::receive(content).await?;
    let key = key(&head.headers, &head.method, head.uri.path(), &content)?;
    let choice = bodies::approval(&body::parse(&content)?)?;
    Ok(Json(app.queue.answer_approval(id, choice, key).await?))
}

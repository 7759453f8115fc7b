//! What is to be said to the agent later (contract section 4.7). `?view=full` adds what is ours.

use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{Request, Uri},
};

use crate::{
    api::{ReminderDeleted, ReminderList, ReminderView},
    app::App,
    http::{bodies::reminders as bodies, body, error::Problem, fields::Issues, query::Query},
};

/// `POST /v1/reminders`.
pub(in crate::http) async fn create(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Json<ReminderList>, Problem> {
    let (head, content) = request.into_parts();
    let full = full(&head.uri)?;
    let content = body::receive(content).await?;
    let asked = bodies::create(&body::parse(&content)?)?;
    Ok(Json(app.reminders.create(asked, full).await?))
}

/// `GET /v1/reminders`.
pub(in crate::http) async fn list(State(app): State<App>, uri: Uri) -> Result<Json<ReminderList>, Problem> {
    Ok(Json(app.reminders.list(full(&uri)?).await?))
}

/// `GET /v1/reminders/{id}`.
pub(in crate::http) async fn show(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<ReminderView>, Problem> {
    Ok(Json(app.reminders.show(&id(path), full(&uri)?).await?))
}

/// `PUT /v1/reminders/{id}`.
pub(in crate::http) async fn update(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Result<Json<ReminderView>, Problem> {
    let (head, content) = request.into_parts();
    let (id, full) = (id(path), full(&head.uri)?);
    let content = body::receive(content).await?;
    let (definition, start) = bodies::update(&body::parse(&content)?)?;
    Ok(Json(app.reminders.update(&id, definition, start, full).await?))
}

/// `DELETE /v1/reminders/{id}`.
pub(in crate::http) async fn delete(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<ReminderDeleted>, Problem> {
    Ok(Json(app.reminders.delete(&id(path)).await?))
}

/// A text that can be no id names nothing, like any other unknown one.
fn id(path: Result<Path<String>, PathRejection>) -> String {
    path.map_or_else(|_not_utf8| "�".to_owned(), |Path(text)| text)
}

/// The contract's clients read strictly: what is ours is told to whoever asks for it.
fn full(uri: &Uri) -> Result<bool, Problem> {
    let mut issues = Issues::default();
    let query = Query::read(uri.query(), &["view"], &mut issues);
    if query.text("view").is_some_and(|view| view != "full") {
        query.wrong("view", "Input should be 'full'", &mut issues);
    }
    let full = query.text("view").is_some();
    issues.settle(Some(full))
}

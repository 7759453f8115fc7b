//! `GET` and `POST /v1/recordings`: what the agent's pane prints, written into files.

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
};

use crate::{
    api::Recordings,
    app::App,
    http::{bodies, body, error::Problem},
};

pub(in crate::http) async fn list(State(app): State<App>) -> Result<Json<Recordings>, Problem> {
    app.eyes.recordings().await.map(Json).map_err(|error| failed(&error.to_string()))
}

pub(in crate::http) async fn change(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Json<Recordings>, Problem> {
    let content = body::receive(request.into_body()).await?;
    let action = bodies::recording(&body::parse(&content)?)?;
    app.eyes.record(action).await.map(Json).map_err(|error| failed(&error.to_string()))
}

fn failed(why: &str) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the recordings cannot be used: {why}"))
}

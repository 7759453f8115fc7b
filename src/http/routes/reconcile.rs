//! `POST /v1/reconcile`: what becomes of rows that were accepted for an earlier process of the agent.

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
};

use crate::{
    api::Reconciled,
    app::App,
    http::{bodies, body, error::Problem},
};

pub(in crate::http) async fn decide(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Json<Reconciled>, Problem> {
    let content = body::receive(request.into_body()).await?;
    let action = bodies::reconcile(&body::parse(&content)?)?;
    Ok(Json(app.queue.reconcile(action).await?))
}

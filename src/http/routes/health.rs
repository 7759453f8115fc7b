//! `GET /health`: a v1 gateway answers here. It proves no more, and does not fail when the agent is away.

use axum::Json;

use crate::api::Health;

pub(in crate::http) async fn show() -> Json<Health> {
    Json(Health::ok())
}

//! `GET /v1/status`: the status document (contract section 1.5).

use axum::{Json, extract::State};

use crate::{api::StatusDocument, app::App};

pub(in crate::http) async fn show(State(app): State<App>) -> Json<StatusDocument> {
    let status = app.status.borrow().as_ref().clone();
    Json(status)
}

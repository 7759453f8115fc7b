//! `GET /v1/status`: the status document (contract section 1.5).

use axum::{Json, extract::State};

use crate::{
    api::{Execution, StatusDocument},
    app::App,
};

/// The document as it was last written, with the queue as it is now: a busy queue is not written down row by row.
pub(in crate::http) async fn show(State(app): State<App>) -> Json<StatusDocument> {
    let mut status = app.status.borrow().as_ref().clone();
    status.queue_depth = app.queue.depth().waiting;
    let is_typing = app.queue.activity().borrow().running.is_some();
    status.active_execution = if is_typing { Execution::Running } else { Execution::Idle };
    Json(status)
}

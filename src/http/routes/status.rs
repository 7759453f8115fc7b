//! `GET /v1/status`: the status document (contract section 1.5).

use axum::{Json, extract::State};

use crate::{
    api::{Execution, StatusDocument},
    app::App,
};

/// The document as it was last written, with the queue as it is now: a busy queue is not written down row by row.
pub(in crate::http) async fn show(State(app): State<App>) -> Json<StatusDocument> {
    let mut status = app.status.borrow().as_ref().clone();
    let activity = app.queue.activity();
    let activity = activity.borrow();
    status.queue_depth = activity.depth.waiting;
    status.active_execution = if activity.running.is_some() { Execution::Running } else { Execution::Idle };
    Json(status)
}

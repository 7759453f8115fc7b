//! The agent on the AG-UI protocol (contract section 4.11).

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderValue, Request, Response, StatusCode, Uri, header},
    response::IntoResponse,
};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    ag_ui::{ActiveSource, Batch, Connection, LARGEST_BATCH, Run, Seat, Wrong},
    app::App,
    http::{bodies::ag_ui as bodies, body, error::Problem, events::HEARTBEAT, fields::Issues, query::Query},
};

/// Response header of a stream with the name of the connection.
const CONNECTION_HEADER: &str = "agents-connection-id";

/// `GET /v1/ag-ui/capabilities`.
pub(in crate::http) async fn capabilities(State(app): State<App>) -> Json<Value> {
    Json(app.ag_ui.capabilities())
}

/// `POST /v1/ag-ui/connect`: a snapshot, then what is published.
pub(in crate::http) async fn connect(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let content = body::receive(request.into_body()).await?;
    let (connection, seat) = app.ag_ui.connect(&bodies::connect(&body::parse(&content)?)?)?;
    let id = HeaderValue::from_str(connection.id()).ok();
    let mut response = told(Speaker::Connection(connection), seat);
    if let Some(id) = id {
        response.headers_mut().insert(CONNECTION_HEADER, id);
    }
    Ok(response)
}

/// `DELETE /v1/ag-ui/connections/{id}`.
pub(in crate::http) async fn disconnect(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Response<Body> {
    let id = path.map_or_else(|_not_utf8| "�".to_owned(), |Path(text)| text);
    let detached = app.ag_ui.disconnect(&id);
    let id: String = id.chars().take(64).collect();
    let (code, status, detail) = if detached {
        (StatusCode::OK, "detached", "the connection has ended")
    } else {
        (StatusCode::NOT_FOUND, "not_found", "there is no such connection; it may have ended by itself")
    };
    let body = json!({ "status": status, "connectionId": id, "detached": detached, "detail": detail });
    (code, Json(body)).into_response()
}

/// `POST /v1/ag-ui/runs`: a prompt, and what becomes of it.
pub(in crate::http) async fn run(State(app): State<App>, request: Request<Body>) -> Result<Response<Body>, Problem> {
    let content = body::receive(request.into_body()).await?;
    let (run, seat) = app.ag_ui.run(bodies::run(&body::parse(&content)?)?).await?;
    Ok(told(Speaker::Run(Box::new(run)), seat))
}

/// `POST /v1/ag-ui/events`: all of a batch is taken, or nothing.
pub(in crate::http) async fn publish(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let content = body::receive(request.into_body()).await?;
    let bytes = content.len();
    let read = if bytes > LARGEST_BATCH { Ok(Value::Null) } else { body::parse(&content) };
    let read = read.map_err(|problem| Wrong::new("ag_ui_batch_invalid", problem.words()));
    match read.and_then(|body| Batch::read(&body, bytes)) {
        Ok(batch) => Ok(Json(app.ag_ui.publish(&batch)).into_response()),
        Err(wrong) => Ok(refused(&wrong)),
    }
}

/// `GET /v1/ag-ui/destination`.
pub(in crate::http) async fn destination(State(app): State<App>) -> Json<Value> {
    Json(app.ag_ui.destination())
}

/// `GET /v1/ag-ui/active-thread`.
pub(in crate::http) async fn active_thread(State(app): State<App>) -> Json<Value> {
    Json(app.ag_ui.active_thread())
}

/// `PUT /v1/ag-ui/active-thread`.
pub(in crate::http) async fn set_active_thread(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let content = body::receive(request.into_body()).await?;
    let body = body::parse(&content)?;
    let wrong = |message: &str| refused(&Wrong::new("ag_ui_active_thread_invalid", message));
    let Some(map) = body.as_object().filter(|map| map.keys().all(|name| ["threadId", "source"].contains(&&**name)))
    else {
        return Ok(wrong("give `threadId` and `source`, and nothing else"));
    };
    let Some(thread) = map.get("threadId").and_then(Value::as_str).filter(|thread| !thread.trim().is_empty()) else {
        return Ok(wrong("`threadId` is a text that is not blank"));
    };
    let word = map.get("source").and_then(Value::as_str);
    match ActiveSource::WORDS.iter().find(|(name, _)| Some(*name) == word) {
        Some((_, source)) => Ok(Json(app.ag_ui.set_active_thread(thread, *source)).into_response()),
        None => Ok(wrong("`source` is gui_button, gui_connect or manual")),
    }
}

/// `DELETE /v1/ag-ui/active-thread`.
pub(in crate::http) async fn clear_active_thread(State(app): State<App>, uri: Uri) -> Result<Json<Value>, Problem> {
    let mut issues = Issues::default();
    let query = Query::read(uri.query(), &["threadId"], &mut issues);
    let only = query.text("threadId").map(str::to_owned);
    let only = issues.settle(Some(only))?;
    Ok(Json(app.ag_ui.clear_active_thread(only.as_deref())))
}

fn refused(wrong: &Wrong) -> Response<Body> {
    (StatusCode::UNPROCESSABLE_ENTITY, Json(wrong.body())).into_response()
}

/// Who tells events until there are no more.
enum Speaker {
    Connection(Connection),
    Run(Box<Run>),
}

impl Speaker {
    async fn next(&mut self) -> Option<Value> {
        match self {
            Self::Connection(connection) => connection.next().await,
            Self::Run(run) => run.next().await,
        }
    }
}

/// Each event as soon as the peer has taken the last; silence is broken by a comment. The seat is given back at the end.
fn told(speaker: Speaker, seat: Seat) -> Response<Body> {
    let pieces = stream::unfold((speaker, seat), |(mut speaker, seat)| async move {
        let piece = piece(&mut speaker, HEARTBEAT).await?;
        Some((Ok::<_, Infallible>(piece), (speaker, seat)))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

async fn piece(speaker: &mut Speaker, heartbeat: Duration) -> Option<Bytes> {
    match timeout(heartbeat, speaker.next()).await {
        Ok(event) => event.map(|event| Bytes::from(format!("data: {event}\n\n"))),
        Err(_silence) => Some(Bytes::from_static(b": heartbeat\n\n")),
    }
}

//! Every route in one list, and the way of a request from the parsed head to its answer.

use std::{future::Future, sync::Arc, time::Instant};

use axum::{
    Extension, Json, Router,
    body::Body,
    http::{HeaderValue, Method, Request, Response, StatusCode, header},
    response::IntoResponse,
    routing::{delete, get, post},
};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use tower_service::Service;

use super::{
    access::{Access, Denied},
    routes,
    serve::Connection,
};
use crate::{api::INSTANCE_HEADER, app::App, os::clock, telemetry::DiagnosticLevel};

/// The routes.
fn routes(app: App) -> Router {
    Router::new()
        // for everybody on this machine
        .route("/health", get(routes::health::show))
        // for the operator and the operator's programs
        .route("/v1/status", get(routes::status::show))
        .route("/v1/screen", get(routes::screen::show))
        .route("/v1/recordings", get(routes::recordings::list).post(routes::recordings::change))
        // work for the terminal
        .route("/v1/requests", get(routes::requests::list).post(routes::requests::create))
        .route("/v1/requests/{id}", get(routes::requests::show).delete(routes::requests::cancel))
        .route("/v1/control/prompt", post(routes::control::prompt))
        .route("/v1/control/headless/state", get(routes::headless::state))
        .route("/v1/control/headless/next-prompt-session", post(routes::headless::next_prompt_session))
        .route("/v1/control/send-keys", post(routes::control::send_keys))
        // what is to be said later
        .route("/v1/reminders", get(routes::reminders::list).post(routes::reminders::create))
        .route(
            "/v1/reminders/{id}",
            get(routes::reminders::show).put(routes::reminders::update).delete(routes::reminders::delete),
        )
        // the agent on the AG-UI protocol
        .route("/v1/ag-ui/capabilities", get(routes::ag_ui::capabilities))
        .route("/v1/ag-ui/connect", post(routes::ag_ui::connect))
        .route("/v1/ag-ui/connections/{id}", delete(routes::ag_ui::disconnect))
        .route("/v1/ag-ui/runs", post(routes::ag_ui::run))
        .route("/v1/ag-ui/events", post(routes::ag_ui::publish))
        .route("/v1/ag-ui/destination", get(routes::ag_ui::destination))
        .route(
            "/v1/ag-ui/active-thread",
            get(routes::ag_ui::active_thread)
                .put(routes::ag_ui::set_active_thread)
                .delete(routes::ag_ui::clear_active_thread),
        )
        // what the agent's own hooks tell
        .route("/v1/agent-events", post(routes::agent_events::take))
        // what the agent does
        .route("/v1/control/tui/state", get(routes::tui::state))
        .route("/v1/control/tui/history", get(routes::tui::history))
        .route("/v1/control/tui/note-prompt", post(routes::tui::note_prompt))
        .route("/v1/explain", get(routes::tui::explain))
        .route("/v1/turns", get(routes::turns::list))
        .route("/v1/turns/{id}", get(routes::turns::show))
        // what it asks
        .route("/v1/approvals", get(routes::approvals::list))
        .route("/v1/approvals/{id}", post(routes::approvals::answer))
        // what wakes it
        .route(
            "/v1/mail-notifier",
            get(routes::mail_notifier::show).put(routes::mail_notifier::enable).delete(routes::mail_notifier::disable),
        )
        .route("/v1/mail-notifier/waiting", get(routes::mail_notifier::waiting))
        .route("/v1/reconcile", post(routes::reconcile::decide))
        // its memory
        .route("/v1/memory", get(routes::memory::paths))
        .route("/v1/memory/memo", get(routes::memory::memo).put(routes::memory::set_memo))
        .route("/v1/memory/memo/append", post(routes::memory::append_memo))
        .route("/v1/memory/pages/tree", post(routes::memory::tree))
        .route("/v1/memory/pages/resolve", post(routes::memory::resolve))
        .route("/v1/memory/pages/read", post(routes::memory::read))
        .route("/v1/memory/pages/write", post(routes::memory::write))
        .route("/v1/memory/pages/append", post(routes::memory::append))
        .route("/v1/memory/pages/delete", post(routes::memory::delete))
        // its mail
        .route("/v1/mail/status", get(routes::mail::status))
        .route("/v1/mail/resolve-live", get(routes::mail::resolve_live))
        .route("/v1/mail/list", post(routes::mail::list))
        .route("/v1/mail/peek", post(routes::mail::peek))
        .route("/v1/mail/read", post(routes::mail::read))
        .route("/v1/mail/attachment", post(routes::mail::attachment))
        .route("/v1/mail/send", post(routes::mail::send))
        .route("/v1/mail/post", post(routes::mail::post))
        .route("/v1/mail/reply", post(routes::mail::reply))
        .route("/v1/mail/mark", post(routes::mail::mark))
        .route("/v1/mail/move", post(routes::mail::relocate))
        .route("/v1/mail/archive", post(routes::mail::archive))
        .route("/v1/events", get(routes::events::follow).layer(Extension(routes::events::Seats::default())))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app)
}

async fn not_found() -> Response<Body> {
    detail(StatusCode::NOT_FOUND, "Not Found")
}

async fn method_not_allowed() -> Response<Body> {
    detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

/// The contract's body of a refusal (section 4.0).
fn detail(status: StatusCode, text: &str) -> Response<Body> {
    (status, Json(json!({ "detail": text }))).into_response()
}

/// The handler of every connection: access first, then the routes, then the headers of every answer.
pub fn handler(
    app: App,
    access: Access,
) -> impl Fn(Request<Incoming>, Arc<Connection>) -> HandlerFuture + Clone + Send + Sync + 'static {
    let router = routes(app.clone());
    let access = Arc::new(access);
    let instance = HeaderValue::from_str(&app.instance_id).unwrap_or(HeaderValue::from_static("unknown"));
    move |request, connection| {
        let (app, access, router, instance) = (app.clone(), access.clone(), router.clone(), instance.clone());
        Box::pin(async move {
            let log = app.diagnostics.is_enabled().then(|| Line::begin(&request));
            let mut response = match access.check(&request, &connection) {
                Ok(()) => answer(router, request).await,
                Err(denied) => refuse(&denied),
            };
            mark(&mut response, instance);
            if let Some(line) = log {
                line.end(&app, response.status());
            }
            response
        })
    }
}

/// What [`handler`] returns for each request.
pub type HandlerFuture = std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

async fn answer(mut router: Router, request: Request<Incoming>) -> Response<Body> {
    match router.call(request.map(Body::new)).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn refuse(denied: &Denied) -> Response<Body> {
    let status = StatusCode::from_u16(denied.status).unwrap_or(StatusCode::FORBIDDEN);
    let mut response = detail(status, denied.reason);
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Headers that every answer carries.
fn mark(response: &mut Response<Body>, instance: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(INSTANCE_HEADER, instance);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A stream of the AG-UI protocol says `no-cache`, as its clients expect.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    // A page may bring its own.
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
}

/// One request for the diagnostics log.
struct Line {
    begun: Instant,
    method: Method,
    path: String,
}

impl Line {
    #[expect(clippy::disallowed_methods, reason = "measures how long a request takes")]
    fn begin(request: &Request<Incoming>) -> Self {
        Self { begun: Instant::now(), method: request.method().clone(), path: request.uri().path().to_owned() }
    }

    fn end(self, app: &App, status: StatusCode) {
        let took = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut fields = Map::new();
        fields.insert("method".to_owned(), json!(self.method.as_str()));
        fields.insert("path".to_owned(), json!(self.path));
        fields.insert("status_code".to_owned(), json!(status.as_u16()));
        fields.insert("duration_ms".to_owned(), Value::from(took));
        let (level, event) = if status.is_server_error() {
            (DiagnosticLevel::Error, "gateway.http_request_failed")
        } else {
            (DiagnosticLevel::Info, "gateway.http_request_completed")
        };
        app.diagnostics.record(clock::now(), level, event, fields);
    }
}

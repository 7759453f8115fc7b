//! `/v1/mail/*`: the mailbox of the session's agent (contract section 4.8).

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
};
use serde_json::Value;

use crate::{
    api::{Host, MailAnswer, MailCall},
    app::App,
    http::{bodies, body, error::Problem, headers::key},
};

type Answered = Result<Json<MailAnswer>, Problem>;

pub(in crate::http) async fn status(State(app): State<App>) -> Answered {
    listens_here_only(&app)?;
    Ok(Json(app.mail.answer(MailCall::Status).await?))
}

/// Ours: what a program needs to find the mailbox (contract section 7.5).
pub(in crate::http) async fn resolve_live(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let (host, port) = listens_here_only(&app)?;
    Ok(Json(app.mail.resolve(host.as_str().to_owned(), port).await?))
}

macro_rules! routes {
    ($($name:ident = $operation:literal;)*) => {
        $(
            pub(in crate::http) async fn $name(State(app): State<App>, request: Request<Body>) -> Answered {
                call($operation, app, request).await
            }
        )*
    };
}

routes! {
    list = "list";
    peek = "peek";
    read = "read";
    attachment = "attachment";
    send = "send";
    post = "post";
    reply = "reply";
    mark = "mark";
    relocate = "move";
    archive = "archive";
}

async fn call(operation: &'static str, app: App, request: Request<Body>) -> Answered {
    listens_here_only(&app)?;
    let (head, content) = request.into_parts();
    let content = body::receive(content).await?;
    let key = key(&head.headers, &head.method, head.uri.path(), &content)?.map(|key| key.text);
    let call = bodies::mail(operation, &body::parse(&content)?, key)?;
    Ok(Json(app.mail.answer(call).await?))
}

/// Mail says who wrote what; it is not told to a network.
fn listens_here_only(app: &App) -> Result<(Host, u16), Problem> {
    let status = app.status.borrow();
    match (status.gateway_host, status.gateway_port) {
        (Some(Host::Loopback), Some(port)) => Ok((Host::Loopback, port)),
        (host, _) => {
            let host = host.unwrap_or(Host::Any).as_str();
            let detail = format!("mail is there for this machine alone, and this gateway listens on {host}");
            Err(Problem::coded(StatusCode::SERVICE_UNAVAILABLE, "mail_not_on_loopback", detail))
        }
    }
}

//! The durable queue: bring work, look at it, take it back.

use axum::{
    Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::{Request, StatusCode, Uri},
};

use super::headless::expect_no_direct_turn;
use crate::{
    api::{RequestAccepted, RequestDetail, RequestFilter, RequestList, RequestPayload, RequestView},
    app::App,
    http::{
        bodies, body,
        error::Problem,
        fields::Issues,
        headers::{expires_in, key, on_draft},
        query::{LARGEST_NUMBER, Query},
    },
    model::{RequestId, RequestState},
    queue::NewWork,
};

/// `POST /v1/requests` (contract section 4.2).
pub(in crate::http) async fn create(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Json<RequestAccepted>, Problem> {
    let (head, content) = request.into_parts();
    let content = body::receive(content).await?;
    let key = key(&head.headers, &head.method, head.uri.path(), &content)?;
    let expires_in = expires_in(&head.headers)?;
    let on_draft = on_draft(&head.headers)?;
    let create = bodies::request_create(&body::parse(&content)?)?;
    let headless = app.queue.chats().is_some();
    if let RequestPayload::SubmitPrompt(prompt) = &create.payload
        && headless
        && app.queue.check_open().is_ok()
    {
        expect_no_direct_turn(&app, prompt)?;
    }
    if let RequestPayload::SubmitPrompt(prompt) = &create.payload
        && prompt.execution.is_some()
        && !headless
    {
        // A closed queue is named first. The queue looks itself, but it knows earlier answers by their key.
        app.queue.check_open()?;
        let detail = "`execution` chooses a model per turn; this agent runs in a terminal, and keeps its own";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    let work = NewWork { kind: create.kind, payload: create.payload.stored(), key, expires_in, on_draft };
    Ok(Json(app.queue.accept(work).await?))
}

/// `GET /v1/requests`.
pub(in crate::http) async fn list(State(app): State<App>, uri: Uri) -> Result<Json<RequestList>, Problem> {
    let filter = filter(uri.query())?;
    Ok(Json(app.queue.list(filter).await?))
}

/// `GET /v1/requests/{id}`.
pub(in crate::http) async fn show(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<RequestDetail>, Problem> {
    let id = id(path)?;
    app.queue.show(&id).await?.map(Json).ok_or_else(|| unknown(id.as_str()))
}

/// `DELETE /v1/requests/{id}`.
pub(in crate::http) async fn cancel(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<RequestView>, Problem> {
    let id = id(path)?;
    app.queue.cancel(&id).await?.map(Json).ok_or_else(|| unknown(id.as_str()))
}

/// A text that can be no id names nothing, like any other unknown one.
fn id(path: Result<Path<String>, PathRejection>) -> Result<RequestId, Problem> {
    let text = path.map_or_else(|_not_utf8| "�".to_owned(), |Path(text)| text);
    text.parse().map_err(|_no_id| unknown(&text))
}

fn unknown(id: &str) -> Problem {
    let shown: String = id.chars().take(64).collect();
    Problem::new(StatusCode::NOT_FOUND, format!("no request has the id `{shown}`"))
}

fn filter(query: Option<&str>) -> Result<RequestFilter, Problem> {
    let mut issues = Issues::default();
    let query = Query::read(query, &["state", "limit", "before"], &mut issues);
    let state = query.text("state").and_then(RequestState::from_name);
    if query.text("state").is_some() && state.is_none() {
        let words: Vec<&str> = RequestState::ALL.iter().map(|state| state.name()).collect();
        query.wrong("state", &format!("Input should be one of {}", words.join(", ")), &mut issues);
    }
    let limit = query
        .number("limit", &(1..=u64::from(RequestFilter::LARGEST_LIMIT)), &mut issues)
        .and_then(|limit| u32::try_from(limit).ok())
        .unwrap_or(RequestFilter::default().limit);
    let before = query.number("before", &(0..=LARGEST_NUMBER), &mut issues);
    issues.settle(Some(RequestFilter { state, limit, before }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_known_names_and_values_in_range() {
        assert_eq!(filter(None), Ok(RequestFilter::default()));
        let full = RequestFilter { state: Some(RequestState::Running), limit: 500, before: Some(7) };
        assert_eq!(filter(Some("state=running&limit=500&before=7")), Ok(full));
        for wrong in
            ["state=Running", "state=", "limit=0", "limit=501", "before=-1", "before=1e9", "page=2", "limit=1&limit=2"]
        {
            assert!(format!("{:?}", filter(Some(wrong)).unwrap_err()).contains("422"), "{wrong}");
        }
    }

    #[test]
    fn what_can_be_no_id_is_unknown() {
        for text in ["-1", "1e9", "18446744073709551616", "gwreq-20261121-115826Z-5508dee7"] {
            assert_eq!(id(Ok(Path(text.to_owned()))).unwrap().as_str(), text);
        }
        for text in ["a b", "é", "a.b", &"x".repeat(65)] {
            let problem = format!("{:?}", id(Ok(Path((*text).to_owned()))).unwrap_err());
            assert!(problem.contains("404"), "{problem}");
        }
    }
}

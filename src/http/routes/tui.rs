//! What the agent does: the contract's state and history (sections 4.5 and 6.1), and why it is believed.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{Request, Uri},
};

use super::headless::expect_terminal;
use crate::{
    api::{Explanation, TuiHistory, TuiState},
    app::App,
    http::{bodies, body, error::Problem, fields::Issues, query::Query},
};

/// Entries when the caller does not say how many.
const DEFAULT_LIMIT: usize = 100;

/// `GET /v1/control/tui/state`.
pub(in crate::http) async fn state(State(app): State<App>) -> Result<Json<TuiState>, Problem> {
    expect_terminal(&app)?;
    Ok(Json(app.tracker.document(&app.session)))
}

/// `GET /v1/control/tui/history`.
pub(in crate::http) async fn history(State(app): State<App>, uri: Uri) -> Result<Json<TuiHistory>, Problem> {
    let limit = limit(uri.query())?;
    expect_terminal(&app)?;
    Ok(Json(app.tracker.past(&app.session, limit)))
}

/// `POST /v1/control/tui/note-prompt`: somebody else submits this prompt. Nothing is sent.
pub(in crate::http) async fn note_prompt(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Json<TuiState>, Problem> {
    let content = body::receive(request.into_body()).await?;
    let prompt = bodies::noted_prompt(&body::parse(&content)?)?;
    expect_terminal(&app)?;
    app.tracker.note(None, &prompt);
    Ok(Json(app.tracker.document(&app.session)))
}

/// `GET /v1/explain`.
pub(in crate::http) async fn explain(State(app): State<App>) -> Json<Explanation> {
    Json(app.tracker.explain())
}

/// Zero or less asks for everything that is kept.
fn limit(query: Option<&str>) -> Result<Option<usize>, Problem> {
    let mut issues = Issues::default();
    let query = Query::read(query, &["limit"], &mut issues);
    let limit = query.text("limit").map(str::parse::<i64>);
    if matches!(limit, Some(Err(_))) {
        query.wrong("limit", "Input should be a whole number", &mut issues);
    }
    issues.settle(Some(match limit {
        None | Some(Err(_)) => Some(DEFAULT_LIMIT),
        Some(Ok(limit)) if limit <= 0 => None,
        Some(Ok(limit)) => Some(usize::try_from(limit).unwrap_or(usize::MAX)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_or_less_is_everything() {
        assert_eq!(limit(None), Ok(Some(100)));
        assert_eq!(limit(Some("limit=7")), Ok(Some(7)));
        for all in ["limit=0", "limit=-1"] {
            assert_eq!(limit(Some(all)), Ok(None));
        }
        for wrong in ["limit=", "limit=x", "limit=1.5", "page=1", "limit=1&limit=2"] {
            assert!(format!("{:?}", limit(Some(wrong)).unwrap_err()).contains("422"), "{wrong}");
        }
    }
}

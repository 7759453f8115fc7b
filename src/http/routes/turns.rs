//! The agent's turns: what was asked, what was answered, and how that is known.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::Uri,
};

use crate::{
    api::{TurnDetail, TurnList, TurnView},
    app::App,
    http::{
        error::Problem,
        fields::Issues,
        query::{LARGEST_NUMBER, Query},
    },
    queue::Refusal,
};

const DEFAULT_LIMIT: u32 = 50;
const LARGEST_LIMIT: u64 = 500;

/// `GET /v1/turns`.
pub(in crate::http) async fn list(State(app): State<App>, uri: Uri) -> Result<Json<TurnList>, Problem> {
    let (limit, before) = page(uri.query())?;
    let mut list = app.queue.turns(limit, before).await?;
    list.turns.iter_mut().for_each(|turn| as_it_is_now(&app, turn));
    Ok(Json(list))
}

/// `GET /v1/turns/{id}`.
pub(in crate::http) async fn show(
    State(app): State<App>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<TurnDetail>, Problem> {
    let id = path.map_or_else(|_not_utf8| "�".to_owned(), |Path(text)| text);
    let mut detail = app.queue.turn(&id).await?.ok_or_else(|| unknown(&id))?;
    as_it_is_now(&app, &mut detail.turn);
    Ok(Json(detail))
}

/// The turn that runs is written down when it begins and when it ends; what it gained since is known here.
fn as_it_is_now(app: &App, view: &mut TurnView) {
    let state = app.tracker.now_state();
    if let Some(open) = state.turn.as_ref().filter(|open| open.id == view.turn.id) {
        view.turn.clone_from(open);
    }
}

fn unknown(id: &str) -> Problem {
    let shown: String = id.chars().take(64).collect();
    Refusal::new(404, "unknown_turn", format!("no turn has the id `{shown}`; the newest 2000 are kept")).into()
}

fn page(query: Option<&str>) -> Result<(u32, Option<u64>), Problem> {
    let mut issues = Issues::default();
    let query = Query::read(query, &["limit", "before"], &mut issues);
    let limit = query.number("limit", &(1..=LARGEST_LIMIT), &mut issues);
    let before = query.number("before", &(0..=LARGEST_NUMBER), &mut issues);
    let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(DEFAULT_LIMIT);
    issues.settle(Some((limit, before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_limit_and_a_place() {
        assert_eq!(page(None), Ok((50, None)));
        assert_eq!(page(Some("limit=2&before=9")), Ok((2, Some(9))));
        for wrong in ["limit=0", "limit=501", "before=-1", "after=1"] {
            assert!(format!("{:?}", page(Some(wrong)).unwrap_err()).contains("422"), "{wrong}");
        }
        assert!(format!("{:?}", unknown("x")).contains("404"));
    }
}

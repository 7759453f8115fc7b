//! `GET /v1/events`: the journal as it grows.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, Response, StatusCode, Uri, header},
    response::IntoResponse,
};
use tokio::sync::Semaphore;

use crate::{
    api::EventView,
    app::App,
    http::{
        error::Problem,
        events::{Follower, HEARTBEAT, PAGE},
        fields::{Issue, Issues, shown},
        query::{LARGEST_NUMBER, Query, number},
    },
    model::RequestId,
    queue::{Queue, Refusal},
};

/// Streams at one time: they last, and other requests need connections too.
const MOST_STREAMS: usize = 64;

const LAST_EVENT_ID: &str = "last-event-id";

/// The places for streams of one gateway.
#[derive(Debug, Clone)]
pub(in crate::http) struct Seats(Arc<Semaphore>);

impl Default for Seats {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_STREAMS)))
    }
}

pub(in crate::http) async fn follow(
    State(app): State<App>,
    Extension(Seats(seats)): Extension<Seats>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let wish = wish(uri.query(), &headers)?;
    let Ok(seat) = seats.try_acquire_owned() else {
        let detail = format!("{MOST_STREAMS} streams of events are open already");
        return Err(Refusal::new(503, "too_many_streams", detail).again_in(5).into());
    };
    // Before the range: what comes in between is then seen as a change.
    let newest = app.queue.newest_event();
    let (oldest_kept, newest_kept) = app.queue.event_range().await?;
    let cursor = wish.after.unwrap_or(newest_kept);
    check_cursor(cursor, oldest_kept, newest_kept)?;
    let (queue, request) = (app.queue, wish.request.map(Arc::new));
    let follower = Follower {
        fetch: move |after| fetch(queue.clone(), after, request.clone()),
        newest,
        stopping: app.stopping,
        cursor,
        heartbeat: HEARTBEAT,
    };
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], follower.into_body(seat)).into_response())
}

/// The next page; the end of the stream when the store does not answer, or has removed what should come next. A client
/// that comes back with its cursor is told why.
async fn fetch(queue: Queue, after: u64, request: Option<Arc<RequestId>>) -> Option<Vec<EventView>> {
    let page = async {
        let page = queue.events(after, request.as_deref(), PAGE).await?;
        let follows = page.first().is_some_and(|first| first.id == after.saturating_add(1));
        let (oldest, _) = if follows { (0, 0) } else { queue.event_range().await? };
        Ok::<_, Refusal>((oldest <= after.saturating_add(1)).then_some(page))
    };
    page.await.inspect_err(|refusal| tracing::warn!(%refusal, "a stream of events ends")).ok().flatten()
}

/// What one caller wants to follow.
#[derive(Debug, PartialEq)]
struct Wish {
    after: Option<u64>,
    request: Option<RequestId>,
}

/// The header outweighs the parameter: a client that reconnects repeats its first target, and adds the header.
fn wish(query: Option<&str>, headers: &HeaderMap) -> Result<Wish, Problem> {
    let mut issues = Issues::default();
    let query = Query::read(query, &["after", "request_id"], &mut issues);
    let mut after = query.number("after", &(0..=LARGEST_NUMBER), &mut issues);
    if let Some(value) = headers.get(LAST_EVENT_ID) {
        let text = String::from_utf8_lossy(value.as_bytes());
        after = number(&text);
        if after.is_none() || headers.get_all(LAST_EVENT_ID).iter().count() > 1 {
            issues.add(Issue {
                kind: "value_error",
                place: vec!["header".into(), LAST_EVENT_ID.into()],
                message: "Value error, give one id of an event".to_owned(),
                input: shown(&text.as_ref().into()),
                context: None,
            });
        }
    }
    let request = query.text("request_id").and_then(|text| text.parse().ok());
    if query.text("request_id").is_some() && request.is_none() {
        query.wrong("request_id", "Value error, this is not a request id", &mut issues);
    }
    issues.settle(Some(Wish { after, request }))
}

/// A cursor has to be of this journal, and what follows it has to be kept.
fn check_cursor(cursor: u64, oldest: u64, newest: u64) -> Result<(), Problem> {
    let gone = oldest > cursor.saturating_add(1);
    let detail = if cursor > newest {
        format!("event {cursor} does not exist; the newest is {newest}: the cursor is of another journal")
    } else if gone {
        format!("what follows event {cursor} is not kept any more; the oldest kept is {oldest}")
    } else {
        return Ok(());
    };
    let next = "read `GET /v1/requests`, then follow without a cursor";
    Err(Problem::new(StatusCode::CONFLICT, format!("{detail}; {next}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_of_this_journal_and_what_follows_is_kept() {
        for (cursor, oldest, newest) in [(0, 0, 0), (0, 1, 9), (9, 1, 9), (4, 5, 9), (u64::MAX, 1, u64::MAX)] {
            assert_eq!(check_cursor(cursor, oldest, newest), Ok(()), "{cursor} in {oldest} to {newest}");
        }
        for (cursor, oldest, newest) in [(1, 0, 0), (10, 1, 9), (3, 5, 9), (0, 5, 9), (u64::MAX, 5, 9)] {
            let problem = format!("{:?}", check_cursor(cursor, oldest, newest).unwrap_err());
            assert!(problem.contains("409"), "{problem}");
        }
    }

    #[test]
    fn the_header_outweighs_the_parameter() {
        let read = |query, header: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert(LAST_EVENT_ID, value.parse().unwrap());
            }
            wish(Some(query), &headers)
        };
        assert_eq!(read("", None), Ok(Wish { after: None, request: None }));
        assert_eq!(read("after=3", Some("7")), Ok(Wish { after: Some(7), request: None }));
        let request = "gwreq-1".parse().ok();
        assert_eq!(read("request_id=gwreq-1&after=0", None), Ok(Wish { after: Some(0), request }));
        for (query, header) in [
            ("after=x", None),
            ("after=-1", None),
            ("request_id=a.b", None),
            ("from=1", None),
            ("", Some("")),
            ("", Some("x")),
            ("after=3", Some("18446744073709551616")),
        ] {
            assert!(format!("{:?}", read(query, header).unwrap_err()).contains("422"), "{query} {header:?}");
        }
    }
}

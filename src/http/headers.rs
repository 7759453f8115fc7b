//! The request headers of routes that bring work. Pure.

use std::time::Duration;

use axum::http::{HeaderMap, Method, StatusCode};
use md5::{Digest, Md5};

use super::{
    error::Problem,
    fields::{Issue, shown},
};
use crate::{
    api::{EXPIRES_IN_HEADER, IDEMPOTENCY_KEY_HEADER, ON_DRAFT_HEADER, OnDraft, parse_expires_in},
    queue::Key,
};

/// The longest idempotency key, in characters.
const LONGEST_KEY: usize = 128;

/// The caller's name for this request, with the digest of what it names.
///
/// # Errors
/// 400 when it is empty, too long, repeated, or holds anything but visible ASCII.
pub(super) fn key(headers: &HeaderMap, method: &Method, path: &str, body: &[u8]) -> Result<Option<Key>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let bytes = value.as_bytes();
    let fits = (1..=LONGEST_KEY).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    match (fits, values.next(), value.to_str()) {
        (true, None, Ok(text)) => Ok(Some(Key { text: text.to_owned(), digest: digest(method, path, body) })),
        _ => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "give one Idempotency-Key of 1 to 128 visible ASCII characters, without spaces",
        )),
    }
}

/// Line ends cannot stand in a method or a path, so no two requests read alike.
fn digest(method: &Method, path: &str, body: &[u8]) -> [u8; 16] {
    let mut hash = Md5::new();
    for part in [method.as_str().as_bytes(), b"\n", path.as_bytes(), b"\n", body] {
        hash.update(part);
    }
    hash.finalize().into()
}

/// How long the work may wait.
///
/// # Errors
/// 422 that names the range.
pub(super) fn expires_in(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let mut values = headers.get_all(EXPIRES_IN_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let message = match (parse_expires_in(&text), values.next()) {
        (Ok(span), None) => return Ok(Some(span)),
        (Ok(_), Some(_)) => "Value error, the header stands more than once".to_owned(),
        (Err(error), _) => format!("Value error, {error}"),
    };
    Err(wrong(EXPIRES_IN_HEADER, &text, message))
}

/// What is to be done with a draft in the composer.
///
/// # Errors
/// 422 that names the words.
pub(super) fn on_draft(headers: &HeaderMap) -> Result<OnDraft, Problem> {
    let mut values = headers.get_all(ON_DRAFT_HEADER).iter();
    let Some(value) = values.next() else { return Ok(OnDraft::default()) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let message = match (OnDraft::from_name(&text), values.next()) {
        (Some(one), None) => return Ok(one),
        (Some(_), Some(_)) => "Value error, the header stands more than once",
        (None, _) => "Value error, give `wait`, `refuse` or `stash`",
    };
    Err(wrong(ON_DRAFT_HEADER, &text, message.to_owned()))
}

fn wrong(header: &str, text: &str, message: String) -> Problem {
    let place = vec!["header".into(), header.into()];
    Problem::invalid(&[Issue { kind: "value_error", place, message, input: shown(&text.into()), context: None }])
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: &'static str, values: &[&[u8]]) -> HeaderMap {
        values.iter().map(|value| (name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap())).collect()
    }

    fn key_of(values: &[&[u8]]) -> Result<Option<Key>, Problem> {
        key(&headers(IDEMPOTENCY_KEY_HEADER, values), &Method::POST, "/v1/requests", b"{}")
    }

    #[test]
    fn a_key_is_short_visible_and_alone() {
        assert_eq!(key_of(&[]), Ok(None));
        let longest = "x".repeat(128);
        for fine in ["a", "8c0a4c9e-1", "!~", &longest] {
            assert_eq!(key_of(&[fine.as_bytes()]).unwrap().unwrap().text, fine);
        }
        let long = "x".repeat(129);
        let wrong: [&[&[u8]]; 8] =
            [&[b""], &[b" "], &[b"a b"], &[b"a\tb"], &["é".as_bytes()], &[b"\xff"], &[long.as_bytes()], &[b"a", b"a"]];
        for values in wrong {
            let problem = format!("{:?}", key_of(values).unwrap_err());
            assert!(problem.contains("400") && problem.contains("1 to 128"), "{values:?} got {problem}");
        }
    }

    #[test]
    fn the_digest_tells_bodies_and_routes_apart() {
        let of = |path, body: &[u8]| {
            key(&headers(IDEMPOTENCY_KEY_HEADER, &[b"k"]), &Method::POST, path, body).unwrap().unwrap().digest
        };
        assert_eq!(of("/a", b"{}"), of("/a", b"{}"));
        assert_ne!(of("/a", b"{}"), of("/a", b"{ }"));
        assert_ne!(of("/a", b"b"), of("/ab", b""));
    }

    #[test]
    fn an_expiry_out_of_range_is_refused_with_the_range() {
        let of = |values: &[&[u8]]| expires_in(&headers(EXPIRES_IN_HEADER, values));
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[b"5m"]), Ok(Some(Duration::from_secs(300))));
        let wrong: [&[&[u8]]; 6] = [&[b""], &[b"0"], &[b"-5"], &[b"36500d"], &[b"\xff"], &[b"5m", b"5m"]];
        for values in wrong {
            let problem = format!("{:?}", of(values).unwrap_err());
            assert!(problem.contains("422") && problem.contains("agents-expires-in"), "{values:?} got {problem}");
        }
        assert!(format!("{:?}", of(&[b"100y"]).unwrap_err()).contains("from 1 second to 30 days"));
    }

    #[test]
    fn a_word_about_drafts_is_one_of_three() {
        let of = |values: &[&[u8]]| on_draft(&headers(ON_DRAFT_HEADER, values));
        assert_eq!(of(&[]), Ok(OnDraft::Wait));
        assert_eq!(of(&[b"refuse"]), Ok(OnDraft::Refuse));
        assert_eq!(of(&[b"stash"]), Ok(OnDraft::Stash));
        let wrong: [&[&[u8]]; 5] = [&[b""], &[b"Stash"], &[b"restore"], &[b"\xff"], &[b"wait", b"wait"]];
        for values in wrong {
            let problem = format!("{:?}", of(values).unwrap_err());
            assert!(problem.contains("422") && problem.contains("agents-on-draft"), "{values:?} got {problem}");
        }
    }
}

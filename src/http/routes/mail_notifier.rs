//! `GET|PUT|DELETE /v1/mail-notifier` (contract section 4.9), and ours that says what a wake-up waits for.

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
};
use serde_json::Value;

use crate::{
    api::{
        BlockAuthMode, BlockRender, BlockVerifier, ContextAction, ContextErrorPolicy, NotifierChange, NotifierMode,
        NotifierStatus, NotifierWait, SharedTokens,
    },
    app::App,
    http::{
        body,
        error::Problem,
        fields::{Field, Issues, Object},
    },
};

/// The longest appendix, in bytes.
const LONGEST_APPENDIX: usize = 16_384;

/// The longest interval, in seconds: ten years.
const LONGEST_INTERVAL: u64 = 315_360_000;

/// Most characters of notify blocks in one wake-up.
const MOST_CHARS: u64 = 65_536;

/// Most shared tokens, and the longest one in bytes.
const TOKENS: (usize, usize) = (100, 1_024);

pub(in crate::http) async fn show(State(app): State<App>) -> Result<Json<NotifierStatus>, Problem> {
    Ok(Json(app.notifier.status().await?))
}

pub(in crate::http) async fn waiting(State(app): State<App>) -> Json<NotifierWait> {
    Json(app.notifier.waits_for().await)
}

pub(in crate::http) async fn enable(
    State(app): State<App>,
    request: Request<Body>,
) -> Result<Json<NotifierStatus>, Problem> {
    let content = body::receive(request.into_body()).await?;
    let change = change(&body::parse(&content)?)?;
    Ok(Json(app.notifier.enable(change).await?))
}

pub(in crate::http) async fn disable(State(app): State<App>) -> Result<Json<NotifierStatus>, Problem> {
    Ok(Json(app.notifier.disable().await?))
}

fn change(body: &Value) -> Result<NotifierChange, Problem> {
    let mut issues = Issues::default();
    let read = read(&Field::body(body), &mut issues);
    issues.settle(read)
}

const NAMES: [&str; 13] = [
    "schema_version",
    "enabled",
    "interval_seconds",
    "mode",
    "appendix_text",
    "context_error_policy",
    "pre_notification_context_action",
    "notify_block_render",
    "notify_block_auth_mode",
    "notify_block_auth_verifier",
    "notify_block_shared_tokens",
    "notify_block_per_message_chars",
    "notify_block_total_chars",
];

fn read(body: &Field<'_>, issues: &mut Issues) -> Option<NotifierChange> {
    let body = body.object(issues)?;
    if let Some(version) = body.given("schema_version") {
        version.version(1, issues);
    }
    if let Some(enabled) = body.given("enabled")
        && enabled.flag(issues) == Some(false)
    {
        enabled.breaks("enabled can only be true here; DELETE switches the notifier off", issues);
    }
    let interval = body.required("interval_seconds", issues).and_then(|field| {
        let seconds = field.count(issues)?;
        if !(1..=LONGEST_INTERVAL).contains(&seconds) {
            field.breaks(&format!("interval_seconds must be > 0 and at most {LONGEST_INTERVAL}"), issues);
        }
        Some(seconds)
    });
    let appendix_text = body.not_null("appendix_text").and_then(|field| {
        let text = field.text(issues)?;
        if text.len() > LONGEST_APPENDIX {
            issues.too_large("the appendix", text.len(), LONGEST_APPENDIX);
        }
        Some(text.to_owned())
    });
    let change = NotifierChange {
        interval_seconds: interval.unwrap_or_default(),
        mode: word(&body, "mode", NotifierMode::WORDS, issues),
        appendix_text,
        context_error_policy: word(&body, "context_error_policy", ContextErrorPolicy::WORDS, issues),
        pre_notification_context_action: word(&body, "pre_notification_context_action", ContextAction::WORDS, issues),
        notify_block_render: word(&body, "notify_block_render", BlockRender::WORDS, issues),
        notify_block_auth_mode: word(&body, "notify_block_auth_mode", BlockAuthMode::WORDS, issues),
        notify_block_auth_verifier: word(&body, "notify_block_auth_verifier", BlockVerifier::WORDS, issues),
        notify_block_shared_tokens: tokens(&body, issues),
        notify_block_per_message_chars: chars(&body, "notify_block_per_message_chars", issues),
        notify_block_total_chars: chars(&body, "notify_block_total_chars", issues),
    };
    body.only(&NAMES, issues);
    interval.map(|_| change)
}

fn word<'v, T: Copy>(body: &Object<'v>, name: &'v str, words: &[(&str, T)], issues: &mut Issues) -> Option<T> {
    body.not_null(name)?.word(words, issues)
}

fn chars<'v>(body: &Object<'v>, name: &'v str, issues: &mut Issues) -> Option<usize> {
    let field = body.not_null(name)?;
    let count = field.count(issues)?;
    if !(1..=MOST_CHARS).contains(&count) {
        field.breaks(&format!("must be > 0 and at most {MOST_CHARS}"), issues);
    }
    usize::try_from(count).ok()
}

/// The answer to a wrong token never repeats one: the whole list counts as one value that is not shown.
fn tokens(body: &Object<'_>, issues: &mut Issues) -> Option<SharedTokens> {
    let field = body.not_null("notify_block_shared_tokens")?;
    let list = field.value().as_array();
    let words: Option<Vec<String>> =
        list.and_then(|list| list.iter().map(|one| one.as_str().map(str::to_owned)).collect());
    let fits = |word: &String| !word.trim().is_empty() && word.len() <= TOKENS.1;
    match words {
        Some(words) if words.len() <= TOKENS.0 && words.iter().all(fits) => Some(SharedTokens::new(words)),
        _ => {
            let (most, longest) = TOKENS;
            let rule = format!("give a list of at most {most} tokens that are not blank and at most {longest} bytes");
            field.breaks_unseen(&rule, issues);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_says_what_it_changes_and_nothing_else() {
        let plain = change(&json!({ "interval_seconds": 60 })).unwrap();
        assert_eq!(plain, NotifierChange { interval_seconds: 60, ..NotifierChange::default() });
        let full = change(&json!({
            "schema_version": 1, "enabled": true, "interval_seconds": 5, "mode": "unread_only", "appendix_text": "",
            "context_error_policy": "clear_context", "pre_notification_context_action": "compact",
            "notify_block_render": "disabled", "notify_block_auth_mode": "required",
            "notify_block_auth_verifier": "shared-token", "notify_block_shared_tokens": ["a", "kept:1"],
            "notify_block_per_message_chars": 1, "notify_block_total_chars": 2,
        }))
        .unwrap();
        assert_eq!(full.appendix_text.as_deref(), Some(""));
        assert_eq!(full.mode, Some(NotifierMode::UnreadOnly));
        assert_eq!(full.notify_block_shared_tokens.unwrap().reveal(), ["a", "kept:1"]);
    }

    #[test]
    fn every_wrong_use_is_named_and_no_token_is_repeated() {
        for (wrong, place) in [
            (json!({}), "interval_seconds"),
            (json!({ "interval_seconds": 0 }), "interval_seconds"),
            (json!({ "interval_seconds": -1 }), "interval_seconds"),
            (json!({ "interval_seconds": 1.5 }), "interval_seconds"),
            (json!({ "interval_seconds": u64::MAX }), "interval_seconds"),
            (json!({ "interval_seconds": 1, "enabled": false }), "enabled"),
            (json!({ "interval_seconds": 1, "schema_version": 2 }), "schema_version"),
            (json!({ "interval_seconds": 1, "mode": "all" }), "mode"),
            (json!({ "interval_seconds": 1, "appendix_text": 7 }), "appendix_text"),
            (json!({ "interval_seconds": 1, "notify_block_total_chars": 0 }), "notify_block_total_chars"),
            (
                json!({ "interval_seconds": 1, "notify_block_shared_tokens": ["s3cret", 7] }),
                "notify_block_shared_tokens",
            ),
            (json!({ "interval_seconds": 1, "notify_block_shared_tokens": "s3cret" }), "notify_block_shared_tokens"),
            (json!({ "interval_seconds": 1, "colour": "red" }), "colour"),
            (json!([]), "body"),
        ] {
            let problem = format!("{:?}", change(&wrong).unwrap_err());
            assert!(problem.contains("422") && problem.contains(place), "{wrong}: {problem}");
            assert!(!problem.contains("s3cret"), "{problem}");
        }
        let long = json!({ "interval_seconds": 1, "appendix_text": "x".repeat(LONGEST_APPENDIX + 1) });
        assert!(format!("{:?}", change(&long).unwrap_err()).contains("413"));
    }
}

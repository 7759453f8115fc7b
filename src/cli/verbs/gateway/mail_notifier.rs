//! `agents gateway mail-notifier status|enable|disable`.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::requests;
use crate::{
    api::NotifierStatus,
    cli::{
        args::{EnableNotifier, MailNotifier},
        input, render,
        report::Reporter,
        setting,
    },
    client::Call,
    lifecycle,
    model::Failure,
    target::Context,
};

const PATH: &str = "/v1/mail-notifier";

pub(super) fn run(context: &Context, words: &MailNotifier, report: &Reporter) -> Result<ExitCode, Failure> {
    let body = match words {
        MailNotifier::Enable(words) => Some(body(words)?),
        MailNotifier::Status(_) | MailNotifier::Disable(_) => None,
    };
    let gateway = lifecycle::reach(&setting::resolve(context, words.selectors())?, requests::STARTING)?;
    let status: NotifierStatus = match words {
        MailNotifier::Status(_) => gateway.call(&Call::get(PATH))?,
        MailNotifier::Enable(_) => gateway.call(&Call { method: "PUT", body: body.as_ref(), ..Call::get(PATH) })?,
        MailNotifier::Disable(_) => gateway.call(&Call::delete(PATH))?,
    };
    if report.wants_json() {
        render::json(&json!(status));
    } else {
        show(&status);
    }
    Ok(ExitCode::SUCCESS)
}

fn body(words: &EnableNotifier) -> Result<Value, Failure> {
    let tokens = words.notify_block_shared_tokens_file.as_deref().map(input::secrets).transpose()?;
    let given = [
        ("mode", words.mode.map(|word| json!(word.name()))),
        ("appendix_text", words.appendix_text.as_ref().map(|text| json!(text))),
        ("context_error_policy", words.context_error_policy.map(|word| json!(word.name()))),
        ("pre_notification_context_action", words.pre_notification_context_action.map(|word| json!(word.name()))),
        ("notify_block_render", words.notify_block_render.map(|word| json!(word.name()))),
        ("notify_block_auth_mode", words.notify_block_auth_mode.map(|word| json!(word.name()))),
        ("notify_block_auth_verifier", words.notify_block_auth_verifier.map(|word| json!(word.name()))),
        ("notify_block_shared_tokens", tokens.map(|tokens| json!(tokens))),
        ("notify_block_per_message_chars", words.notify_block_per_message_chars.map(|count| json!(count))),
        ("notify_block_total_chars", words.notify_block_total_chars.map(|count| json!(count))),
    ];
    let mut body = Map::new();
    body.insert("schema_version".to_owned(), json!(1));
    body.insert("enabled".to_owned(), json!(true));
    body.insert("interval_seconds".to_owned(), json!(words.interval_seconds));
    body.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Ok(Value::Object(body))
}

fn show(status: &NotifierStatus) {
    let state = match (status.enabled, status.interval_seconds) {
        (true, Some(seconds)) => format!("on, tells again after {seconds} s"),
        (true, None) => "on".to_owned(),
        (false, _) => "off".to_owned(),
    };
    let (never, none) = (|| "never".to_owned(), || "none".to_owned());
    let blocks = format!(
        "{}, {}, verifier {} ({} tokens), {} characters each, {} in all",
        status.notify_block_render.name(),
        status.notify_block_auth_mode.name(),
        status.notify_block_auth_verifier.name(),
        status.notify_block_shared_tokens.len(),
        status.notify_block_per_message_chars,
        status.notify_block_total_chars,
    );
    let context = format!(
        "before: {}, when broken: {}",
        status.pre_notification_context_action.name(),
        status.context_error_policy.name()
    );
    render::facts(&[
        ("notifier", state),
        ("mailbox", status.support_error.clone().unwrap_or_else(|| "watched".to_owned())),
        ("messages", status.mode.name().to_owned()),
        ("appendix", Some(&status.appendix_text).filter(|text| !text.is_empty()).map_or_else(none, String::clone)),
        ("context", context),
        ("notes", blocks),
        ("last look", status.last_poll_at_utc.clone().unwrap_or_else(never)),
        ("last told", status.last_notification_at_utc.clone().unwrap_or_else(never)),
        ("last error", status.last_error.clone().unwrap_or_else(none)),
    ]);
}

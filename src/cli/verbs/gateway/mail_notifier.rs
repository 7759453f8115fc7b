//! `agents gateway mail-notifier status|enable|disable`.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::requests;
use crate::{
    api::{NotifierStatus, NotifierWait, WaitsFor},
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

const WAITING: &str = "/v1/mail-notifier/waiting";

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
    let wait: Option<NotifierWait> = match words {
        // A gateway of another program, or an older one, does not know this route.
        MailNotifier::Status(_) => gateway.call(&Call::get(WAITING)).ok(),
        MailNotifier::Enable(_) | MailNotifier::Disable(_) => None,
    };
    if report.wants_json() {
        let mut shown = json!(status);
        if let Some(wait) = wait {
            shown["waiting"] = json!(wait);
        }
        render::json(&shown);
    } else {
        show(&status, wait.as_ref());
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

fn show(status: &NotifierStatus, wait: Option<&NotifierWait>) {
    let settings = &status.settings;
    let state = match (settings.enabled, settings.interval_seconds) {
        (true, Some(seconds)) => format!("on, tells again after {seconds} s"),
        (true, None) => "on".to_owned(),
        (false, _) => "off".to_owned(),
    };
    let (never, none) = (|| "never".to_owned(), || "none".to_owned());
    let blocks = format!(
        "{}, {}, verifier {} ({} tokens), {} characters each, {} in all",
        settings.notify_block_render.name(),
        settings.notify_block_auth_mode.name(),
        settings.notify_block_auth_verifier.name(),
        settings.notify_block_shared_tokens.reveal().len(),
        settings.notify_block_per_message_chars,
        settings.notify_block_total_chars,
    );
    let context = format!(
        "before: {}, when broken: {}",
        settings.pre_notification_context_action.name(),
        settings.context_error_policy.name()
    );
    let mut facts = vec![("notifier", state)];
    facts.extend(wait.map(|wait| ("waits for", in_words(wait))));
    facts.extend([
        ("mailbox", status.support_error.clone().unwrap_or_else(|| "watched".to_owned())),
        ("messages", settings.mode.name().to_owned()),
        ("appendix", Some(&settings.appendix_text).filter(|text| !text.is_empty()).map_or_else(none, String::clone)),
        ("context", context),
        ("notes", blocks),
        ("last look", status.last_poll_at_utc.clone().unwrap_or_else(never)),
        ("last told", status.last_notification_at_utc.clone().unwrap_or_else(never)),
        ("last error", status.last_error.clone().unwrap_or_else(none)),
    ]);
    render::facts(&facts);
}

/// Why the agent was not told, in one line.
fn in_words(wait: &NotifierWait) -> String {
    let what = match wait.waits_for {
        WaitsFor::Nothing => "nothing",
        WaitsFor::Look => "the mailbox, which is being read",
        WaitsFor::Mail => "mail",
        WaitsFor::Agent => "the agent",
        WaitsFor::Request => "the queue, which has a wake-up",
        WaitsFor::Store => "the gateway's store, which does not answer",
    };
    let mut line = what.to_owned();
    let mut add = |before: &str, text: Option<&str>| {
        if let Some(text) = text {
            line.push_str(before);
            line.push_str(text);
        }
    };
    add(": ", wait.reason.as_deref());
    add(", ", wait.detail.as_deref());
    if wait.waits_for != WaitsFor::Nothing {
        add("; since ", wait.since_utc.as_deref());
    }
    add("; request ", wait.request_id.as_deref());
    line
}

//! `agents gateway ag-ui publish`: events for whoever is connected.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::requests::STARTING;
use crate::{
    cli::{
        args::{AgUi, Publish},
        input, render,
        report::Reporter,
        setting,
    },
    client::Call,
    lifecycle,
    model::Failure,
    target::Context,
};

pub(super) fn run(context: &Context, words: &AgUi, report: &Reporter) -> Result<ExitCode, Failure> {
    let AgUi::Publish(publish) = words;
    let body = body(publish)?;
    let gateway = lifecycle::reach(&setting::resolve(context, words.selectors())?, STARTING)?;
    let answer: Value = gateway.call(&Call::post("/v1/ag-ui/events", &body))?;
    if report.wants_json() {
        render::json(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    let number = |name: &str| answer[name].as_u64().unwrap_or_default().to_string();
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    let mut rows = vec![("accepted", number("acceptedCount")), ("delivered", number("deliveredCount"))];
    rows.extend(text("destinationKind").map(|kind| ("destination", kind)));
    rows.extend(text("threadId").map(|id| ("thread", id)));
    render::facts(&rows);
    for warning in answer["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        report.note(&warning.replace('_', " "));
    }
    Ok(ExitCode::SUCCESS)
}

/// A flag outweighs what stands in the input.
fn body(words: &Publish) -> Result<Value, Failure> {
    let mut body = match input::document(&words.input)? {
        Value::Array(events) => json!({ "events": events }),
        event @ Value::Object(_) if event.get("events").is_none() => json!({ "events": [event] }),
        batch @ Value::Object(_) => batch,
        _ => {
            return Err(Failure::usage(
                "the input is no event",
                "give one event, a list of them, or an object with `events`",
            ));
        }
    };
    let named = [("threadId", &words.thread_id), ("runId", &words.run_id), ("connectionId", &words.connection_id)];
    for (name, value) in named {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    Ok(body)
}

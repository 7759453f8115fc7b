//! `agents gateway send-keys`.

use std::{process::ExitCode, time::Duration};

use serde_json::json;

use super::requests;
use crate::{
    api::{ControlInput, ControlInputSent, parse_keys},
    cli::{args::SendKeys, render, report::Reporter, setting},
    client::Call,
    lifecycle,
    model::Failure,
    target::Context,
};

/// How long it may take: it waits for the one who types.
const TYPING_LIMIT: Duration = Duration::from_secs(60);

pub(super) fn run(context: &Context, words: &SendKeys, report: &Reporter) -> Result<ExitCode, Failure> {
    if words.sequence.is_empty() {
        return Err(Failure::usage("the sequence is empty", "give text or keys: --sequence '/help<[Enter]>'"));
    }
    parse_keys(&words.sequence, words.escape_special_keys).map_err(|error| {
        Failure::usage(error.to_string(), "with --escape-special-keys it is typed as text; nothing was sent")
    })?;
    let target = setting::resolve(context, &words.selectors)?;
    let gateway = lifecycle::reach(&target, requests::STARTING)?;
    let body = json!(ControlInput { sequence: words.sequence.clone(), escape_special_keys: words.escape_special_keys });
    let call = Call { limit: TYPING_LIMIT, ..Call::post("/v1/control/send-keys", &body) };
    let sent: ControlInputSent = gateway.call(&call)?;
    if report.wants_json() {
        render::json(&json!(sent));
    } else {
        render::facts(&[("sent", sent.detail)]);
    }
    Ok(ExitCode::SUCCESS)
}

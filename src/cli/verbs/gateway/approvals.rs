//! `agents gateway approvals` and `agents gateway approve`: dialogs of the agent, and their answers.

use std::process::ExitCode;

use serde_json::json;

use super::requests;
use crate::{
    api::{ApprovalAnswered, Approvals},
    cli::{args, render, report::Reporter, setting},
    client::Call,
    lifecycle,
    model::Failure,
    target::Context,
};

pub(super) fn list(context: &Context, words: &args::Approvals, report: &Reporter) -> Result<ExitCode, Failure> {
    let gateway = lifecycle::reach(&setting::resolve(context, words.selectors())?, requests::STARTING)?;
    let found: Approvals = gateway.call(&Call::get("/v1/approvals"))?;
    if report.wants_json() {
        render::json(&json!(found));
        return Ok(ExitCode::SUCCESS);
    }
    if found.approvals.is_empty() {
        report.note("no dialog is open");
    }
    for open in &found.approvals {
        let facts = [("dialog", open.id.clone()), ("kind", open.kind.clone()), ("title", open.title.clone())];
        render::facts(&facts);
        render::facts(&[("since", open.since_utc.clone())]);
        open.text.lines().for_each(|line| render::line(&format!("  | {line}")));
        let row = |one: &crate::api::ApprovalOption| {
            [one.number.to_string(), one.label.clone(), if one.selected { "pointed at" } else { "" }.to_owned()]
        };
        render::table(["OPTION", "ANSWER", ""], open.options.iter().map(row).collect());
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn answer(context: &Context, words: &args::Approve, report: &Reporter) -> Result<ExitCode, Failure> {
    // What is no id cannot be open; and nothing of it may become a part of the path.
    if !words.id.bytes().all(|byte| byte.is_ascii_alphanumeric()) || words.id.is_empty() {
        return Err(Failure::usage(
            "this is no id of a dialog",
            "`agents gateway approvals` shows the one that is open",
        ));
    }
    let body = match (words.option, words.accept) {
        (Some(option), _) => json!({ "option": option }),
        (None, true) => json!({ "answer": "accept" }),
        (None, false) => json!({ "answer": "reject" }),
    };
    let gateway = lifecycle::reach(&setting::resolve(context, &words.selectors)?, requests::STARTING)?;
    let done: ApprovalAnswered = gateway.call(&Call::post(&format!("/v1/approvals/{}", words.id), &body))?;
    if report.wants_json() {
        render::json(&json!(done));
    } else {
        render::line(&done.detail);
    }
    Ok(ExitCode::SUCCESS)
}

//! `agents gateway reconcile`: what becomes of the requests that were accepted for an agent that was replaced.

use std::process::ExitCode;

use serde_json::json;

use super::requests;
use crate::{
    api::{self, ReconcileAction, Reconciled},
    cli::{args::Reconcile, render, report::Reporter, setting},
    client::Call,
    lifecycle,
    model::Failure,
    target::Context,
};

pub(super) fn run(context: &Context, words: &Reconcile, report: &Reporter) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, &words.selectors)?;
    let gateway = lifecycle::reach(&target, requests::STARTING)?;
    let action = if words.keep { ReconcileAction::Keep } else { ReconcileAction::Drop };
    let done: Reconciled = gateway.call(&Call::post("/v1/reconcile", &json!(api::Reconcile { action })))?;
    if report.wants_json() {
        render::json(&json!(done));
    } else {
        render::facts(&[
            ("kept", done.kept.to_string()),
            ("dropped", done.dropped.to_string()),
            ("epoch", done.epoch.to_string()),
        ]);
    }
    Ok(ExitCode::SUCCESS)
}

//! `agents interrupt`: presses the agent's interrupt key, with or without a gateway beside it.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    cli::{args::Selectors, follow, render, report::Reporter, setting},
    lifecycle::{direct, headless},
    model::Failure,
    target::Context,
};

pub(super) fn run(context: &Context, selectors: &Selectors, report: &Reporter) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, selectors)?;
    let receipts =
        if headless::is_headless(&target) { headless::interrupt_turn(&target)? } else { direct::interrupt(&target)? };
    if report.wants_json() {
        render::json(&json!({ "receipts": receipts }));
    } else {
        let last = receipts.last().map(follow::words).unwrap_or_default();
        render::facts(&[("agent", target.label()), ("receipt", last)]);
    }
    Ok(ExitCode::SUCCESS)
}

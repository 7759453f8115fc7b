//! `agents prompt`: types a prompt into the agent, with or without a gateway beside it.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    cli::{
        args::{DirectPrompt, Until},
        follow, input, render,
        report::{Progress, Reporter},
        setting,
    },
    lifecycle::direct::{self, DirectOptions},
    model::Failure,
    target::Context,
};

pub(super) fn run(context: &Context, words: &DirectPrompt, report: &Reporter) -> Result<ExitCode, Failure> {
    let text = input::prompt(words.prompt.as_deref())?;
    let target = setting::resolve(context, &words.selectors)?;
    let options = DirectOptions {
        policy: words.admission_policy.map(Into::into),
        wait: words.wait.into(),
        timeout: words.timeout,
    };
    let mut progress = Progress::new(report);
    let outcome = direct::prompt(&target, &text, &options, &mut |note| progress.tell(&follow::words(note)));
    drop(progress);
    let outcome = outcome?;
    if report.wants_json() {
        render::json(&json!({ "receipts": outcome.receipts, "reply": outcome.reply }));
    } else if words.wait == Until::Ended {
        render::reply(outcome.reply.as_deref(), report);
    } else {
        let last = outcome.receipts.last().map(follow::words).unwrap_or_default();
        render::facts(&[("agent", target.label()), ("receipt", last)]);
    }
    Ok(ExitCode::SUCCESS)
}

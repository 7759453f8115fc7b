//! `agents prompt`: types a prompt into the agent, with or without a gateway beside it.

use std::process::ExitCode;

use serde_json::json;

use super::turn;
use crate::{
    cli::{
        args::{DirectPrompt, Until},
        follow, input, render,
        report::{Progress, Reporter},
        setting,
    },
    lifecycle::{
        direct::{self, DirectOptions},
        headless::{TurnOptions, is_headless},
    },
    model::Failure,
    target::{Context, Target},
};

pub(super) fn run(context: &Context, words: &DirectPrompt, report: &Reporter) -> Result<ExitCode, Failure> {
    let text = input::prompt(words.prompt.as_deref())?;
    let target = setting::resolve(context, &words.selectors)?;
    if is_headless(&target) {
        let options = TurnOptions {
            chat: None,
            execution: words.model.execution(),
            at_once: words.admission_policy.is_some(),
            only_start: words.wait != Until::Ended,
            timeout: words.timeout,
        };
        return turn::give(&target, text, &options, report);
    }
    if words.model.execution().is_some() {
        return Err(no_model(&target));
    }
    let options = DirectOptions {
        policy: words.admission_policy.map(Into::into),
        wait: words.wait.into(),
        timeout: words.timeout,
        on_draft: words.on_draft.into(),
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

/// A program in a terminal keeps its own model.
pub(super) fn no_model(target: &Target) -> Failure {
    Failure::usage(
        format!("agent `{}` works in a terminal and keeps its own model", target.label()),
        "leave out --model and --reasoning-level; a headless agent takes them for each turn",
    )
}

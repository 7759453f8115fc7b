//! `agents relaunch`.

use std::process::ExitCode;

use super::launch;
use crate::{
    cli::{args::Relaunch, render, report::Reporter, setting},
    lifecycle,
    model::Failure,
    target::Context,
};

pub(super) fn run(context: &Context, words: &Relaunch, report: &Reporter) -> Result<ExitCode, Failure> {
    let chat = words.chat()?;
    let target = setting::resolve(context, &words.selectors)?;
    let created = lifecycle::relaunch(&target, chat.as_ref())?;
    if report.wants_json() {
        render::json(&launch::describe(&created));
    } else {
        launch::print(&created, "relaunched", None);
    }
    Ok(ExitCode::SUCCESS)
}

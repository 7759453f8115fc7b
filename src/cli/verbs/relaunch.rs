//! `agents relaunch`.

use std::process::ExitCode;

use super::launch;
use crate::{
    cli::{args::Selectors, render, report::Reporter, setting},
    lifecycle,
    model::Failure,
    target::Context,
};

pub(super) fn run(context: &Context, selectors: &Selectors, report: &Reporter) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, selectors)?;
    let created = lifecycle::relaunch(&target)?;
    if report.wants_json() {
        render::json(&launch::describe(&created));
    } else {
        launch::print(&created, "relaunched", None);
    }
    Ok(ExitCode::SUCCESS)
}

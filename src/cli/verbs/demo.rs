//! `agents demo`: the main job, end to end.

use std::process::ExitCode;

use crate::{cli::report::Reporter, model::Failure};

pub(super) fn run(_keep: bool, _report: Reporter) -> Result<ExitCode, Failure> {
    Err(Failure::internal("under construction"))
}

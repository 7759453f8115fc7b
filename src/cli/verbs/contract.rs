//! `agents contract check`.

use std::{path::Path, process::ExitCode};

use serde_json::json;

use super::launch::problem_status;
use crate::{
    cli::{args::Contract, render, report::Reporter},
    contract::{self, Case, ContractError},
    model::Failure,
};

pub(super) fn run(words: &Contract, report: &Reporter) -> Result<ExitCode, Failure> {
    let Contract::Check { dir } = words;
    let cases = contract::check(dir).map_err(|error| unusable(&error, dir))?;
    let wrong: Vec<&Case> = cases.iter().filter(|case| !case.differences.is_empty()).collect();
    if report.wants_json() {
        render::json(&json!({ "checked": cases.len(), "differ": wrong.len(), "cases": cases }));
        return Ok(problem_status(!wrong.is_empty()));
    }
    for case in &wrong {
        render::line(&case.name);
        case.differences.iter().for_each(|difference| render::line(&format!("    {difference}")));
    }
    render::line(&format!("{} fixtures read, {} as written down", cases.len(), cases.len() - wrong.len()));
    Ok(problem_status(!wrong.is_empty()))
}

fn unusable(error: &ContractError, dir: &Path) -> Failure {
    let hint =
        format!("`agents contract check DIR` wants a folder with `screens` and `streams`, as `{}`", dir.display());
    match error {
        ContractError::File { .. } => Failure::not_found(error.to_string(), hint),
        ContractError::Unreadable { .. } => Failure::usage(error.to_string(), hint),
    }
}

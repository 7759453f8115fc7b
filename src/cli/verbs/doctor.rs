//! `agents doctor`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::launch::problem_status;
use crate::{
    cli::{render, report::Reporter},
    lifecycle::{self, Severity},
    target::Context,
};

pub(super) fn run(context: &Context, report: &Reporter) -> ExitCode {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let checks = lifecycle::examine(context, locale.as_deref());
    let broken = checks.iter().any(|check| check.severity == Severity::Broken);
    if report.wants_json() {
        let rows: Vec<Value> = checks
            .iter()
            .map(|check| {
                json!({ "check": check.name, "severity": check.severity.word(), "finding": check.finding, "mend": check.mend })
            })
            .collect();
        render::json(&json!({ "healthy": !broken, "checks": rows }));
        return problem_status(broken);
    }
    for check in &checks {
        render::line(&format!("{:8} {}: {}", check.severity.word(), check.name, check.finding));
        if let Some(mend) = &check.mend {
            render::line(&format!("         {mend}"));
        }
    }
    problem_status(broken)
}

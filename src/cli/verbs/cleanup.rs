//! `agents cleanup`: lists first, deletes with `--yes`.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    cli::{args::Selectors, render, report::Reporter, setting},
    lifecycle::{self, Leftover},
    model::Failure,
    target::Context,
};

pub(super) fn run(context: &Context, selectors: &Selectors, yes: bool, report: &Reporter) -> Result<ExitCode, Failure> {
    let mut found = lifecycle::find_leftovers(context);
    if setting::any_selector(selectors) {
        let target = setting::resolve(context, selectors)?;
        if target.session.is_ok() {
            return Err(Failure::refused(
                format!("the session of agent `{}` is alive", target.label()),
                "`agents stop` ends it first",
            ));
        }
        found.retain(|leftover| leftover.target.root == target.root);
    }
    let mut removed = Vec::new();
    if yes {
        for leftover in &found {
            lifecycle::remove_leftovers(context, leftover)?;
            removed.push(leftover.target.root.path().to_string_lossy().into_owned());
        }
    }
    if report.wants_json() {
        let listed: Vec<_> = found.iter().map(describe).collect();
        render::json(&json!({ "leftovers": listed, "removed": removed }));
        return Ok(ExitCode::SUCCESS);
    }
    for leftover in &found {
        let verb = if yes { "removed" } else { "would remove" };
        render::line(&format!(
            "{verb} {} ({} KiB): agent `{}`, {}",
            leftover.target.root.path().display(),
            leftover.bytes.div_ceil(1024),
            leftover.target.label(),
            leftover.why
        ));
    }
    match (found.is_empty(), yes) {
        (true, _) => report.note("nothing is left over"),
        (false, false) => report.note("nothing was removed; add --yes to remove what is listed"),
        (false, true) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(leftover: &Leftover) -> serde_json::Value {
    json!({
        "session_root": leftover.target.root.path().to_string_lossy(),
        "agent_name": leftover.target.manifest.agent_name,
        "agent_id": leftover.target.manifest.agent_id,
        "reason": leftover.why,
        "bytes": leftover.bytes,
    })
}

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
    let (mut removed, mut failed) = (Vec::new(), None);
    for leftover in found.iter().filter(|_| yes) {
        let path = leftover.target.root.path().to_string_lossy().into_owned();
        match lifecycle::remove_leftovers(context, leftover) {
            Ok(()) => removed.push(path),
            // The others can go all the same; the first failure decides the exit status.
            Err(failure) => {
                report.note(&format!("`{path}` stays: {}", failure.message));
                failed.get_or_insert(failure);
            }
        }
    }
    if report.wants_json() {
        let listed: Vec<_> = found.iter().map(describe).collect();
        return match failed {
            Some(failure) => Err(failure),
            None => {
                render::json(&json!({ "leftovers": listed, "removed": removed }));
                Ok(ExitCode::SUCCESS)
            }
        };
    }
    for leftover in &found {
        let gone = removed.iter().any(|path| *path == leftover.target.root.path().to_string_lossy());
        let verb = match (yes, gone) {
            (false, _) => "would remove",
            (true, true) => "removed",
            (true, false) => "could not remove",
        };
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
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
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

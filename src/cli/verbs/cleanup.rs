//! `agents cleanup`: lists first, deletes with `--yes`.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    cli::{args::Selectors, render, report::Reporter, setting},
    headless::Turn,
    lifecycle::{self, Leftover, OldTurns, headless::is_headless},
    model::Failure,
    session::SessionRoot,
    target::Context,
};

pub(super) fn run(context: &Context, selectors: &Selectors, yes: bool, report: &Reporter) -> Result<ExitCode, Failure> {
    let mut found = lifecycle::find_leftovers(context);
    let mut old = lifecycle::find_old_turns(context);
    if setting::any_selector(selectors) {
        let target = setting::resolve(context, selectors)?;
        // Of a session that lives only old turns can go.
        if target.session.is_ok() && !is_headless(&target) {
            return Err(Failure::refused(
                format!("the session of agent `{}` is alive", target.label()),
                "`agents stop` ends it first",
            ));
        }
        found.retain(|leftover| leftover.target.root == target.root);
        old.retain(|old| old.target.root == target.root);
    }
    // A whole root that goes takes its turns along.
    old.retain(|old| found.iter().all(|leftover| leftover.target.root != old.target.root));
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
    let mut turns_removed = Vec::new();
    for old in old.iter().filter(|_| yes) {
        match lifecycle::remove_old_turns(old) {
            Ok(()) => turns_removed.push(&old.target.root),
            Err(failure) => {
                report.note(&format!("old turns of agent `{}` stay: {}", old.target.label(), failure.message));
                failed.get_or_insert(failure);
            }
        }
    }
    if report.wants_json() {
        let listed: Vec<_> = found.iter().map(describe).collect();
        return match failed {
            Some(failure) => Err(failure),
            None => {
                let old: Vec<_> = old.iter().map(|old| describe_turns(old, &turns_removed)).collect();
                render::json(&json!({ "leftovers": listed, "removed": removed, "old_turns": old }));
                Ok(ExitCode::SUCCESS)
            }
        };
    }
    for leftover in &found {
        let gone = removed.iter().any(|path| *path == leftover.target.root.path().to_string_lossy());
        let verb = verb(yes, gone);
        render::line(&format!(
            "{verb} {} ({} KiB): agent `{}`, {}",
            leftover.target.root.path().display(),
            leftover.bytes.div_ceil(1024),
            leftover.target.label(),
            leftover.why
        ));
    }
    for old in &old {
        render::line(&format!(
            "{} {} old turn{} ({} KiB) of agent `{}`",
            verb(yes, turns_removed.contains(&&old.target.root)),
            old.turns.len(),
            if old.turns.len() == 1 { "" } else { "s" },
            old.bytes.div_ceil(1024),
            old.target.label()
        ));
    }
    match (found.is_empty() && old.is_empty(), yes) {
        (true, _) => report.note("nothing is left over"),
        (false, false) => report.note("nothing was removed; add --yes to remove what is listed"),
        (false, true) => {}
    }
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

fn verb(yes: bool, gone: bool) -> &'static str {
    match (yes, gone) {
        (false, _) => "would remove",
        (true, true) => "removed",
        (true, false) => "could not remove",
    }
}

fn describe_turns(old: &OldTurns, removed: &[&SessionRoot]) -> serde_json::Value {
    json!({
        "session_root": old.target.root.path().to_string_lossy(),
        "agent_name": old.target.manifest.agent_name,
        "agent_id": old.target.manifest.agent_id,
        "turns": old.turns.iter().map(Turn::id).collect::<Vec<_>>(),
        "bytes": old.bytes,
        "removed": removed.contains(&&old.target.root),
    })
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

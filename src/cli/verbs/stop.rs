//! `agents stop`.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    cli::{args::Selectors, render, report::Reporter, setting},
    lifecycle,
    model::Failure,
    target::Context,
};

pub(super) fn run(context: &Context, selectors: &Selectors, report: &Reporter) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, selectors)?;
    setting::refuse_own_window(context, &target)?;
    let label = target.label();
    let stopped = lifecycle::stop(&target)?;
    if report.wants_json() {
        render::json(&json!({
            "agent_name": target.manifest.agent_name,
            "agent_id": target.manifest.agent_id,
            "agent_ended": stopped.agent_ended,
            "session_kept": stopped.session_kept,
            "notes": stopped.notes,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let ended = match (stopped.agent_ended, stopped.already) {
        (true, _) => "its program was ended",
        (false, true) => "nothing of it was running",
        (false, false) => "its program was left alone",
    };
    render::line(&format!("stopped agent `{label}`; {ended}"));
    if let Some(why) = stopped.session_kept {
        report.note(&format!("the tmux session lives on: {why}"));
    }
    stopped.notes.iter().for_each(|note| report.detail(note));
    Ok(ExitCode::SUCCESS)
}

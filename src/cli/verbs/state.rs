//! `agents state`: what the agent's terminal is doing, as tmux and the kernel see it.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    cli::{args::Selectors, render, report::Reporter, setting},
    model::Failure,
    target::{AgentPane, Context},
};

pub(super) fn run(context: &Context, selectors: &Selectors, report: &Reporter) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, selectors)?;
    let pane = match &target.agent {
        AgentPane::Alive(pane) | AgentPane::Replaced(pane) | AgentPane::Dead(pane) => Some(pane),
        AgentPane::Missing(_) => None,
    };
    let why = match &target.agent {
        AgentPane::Missing(why) => Some(why.as_str()),
        _ => None,
    };
    if report.wants_json() {
        render::json(&json!({
            "agent_name": target.manifest.agent_name,
            "agent_id": target.manifest.agent_id,
            "agent": word(&target.agent),
            "reason": why,
            "pane_id": pane.map(|pane| pane.pane_id.to_string()),
            "pane_pid": pane.map(|pane| pane.pid),
            "window_index": pane.map(|pane| pane.window_index),
            "foreground_command": pane.map(|pane| pane.command.as_str()),
            "in_mode": pane.map(|pane| pane.in_mode),
            "input_off": pane.map(|pane| pane.input_off),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![("agent", target.label()), ("state", word(&target.agent).to_owned())];
    if let Some(pane) = pane {
        let input = match (pane.in_mode, pane.input_off) {
            (true, _) => "held: the pane is in copy mode or another mode",
            (_, true) => "held: input is switched off",
            _ => "open",
        };
        rows.push(("program", format!("{}, pid {}", pane.command, pane.pid)));
        rows.push(("pane", format!("{} in window {}", pane.pane_id, pane.window_index)));
        rows.push(("input", input.to_owned()));
    }
    rows.extend(why.map(|why| ("reason", why.to_owned())));
    render::facts(&rows);
    Ok(ExitCode::SUCCESS)
}

/// One word for the agent's pane.
pub(super) fn word(agent: &AgentPane) -> &'static str {
    match agent {
        AgentPane::Alive(_) => "running",
        AgentPane::Replaced(_) => "running (started again since it was recorded)",
        AgentPane::Dead(_) => "ended",
        AgentPane::Missing(_) => "gone",
    }
}

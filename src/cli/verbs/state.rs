//! `agents state`: what the agent does, as its gateway knows it; without one, what tmux and the kernel see.

use std::{process::ExitCode, time::Duration};

use serde_json::json;

use super::{
    gateway::tui::{composer, last_turn},
    turn,
};
use crate::{
    api::{Explanation, HeadlessState, TuiState},
    cli::{args::Selectors, render, report::Reporter, setting},
    client::Call,
    lifecycle,
    model::Failure,
    target::{AgentPane, Context, Target},
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
    let mail = lifecycle::unread(&target.root, &target.manifest);
    let headless = lifecycle::headless::is_headless(&target).then(|| headless_state(&target));
    let live = if headless.is_some() { None } else { live(&target) };
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
            "mailbox": mail.as_ref().map(super::list::mail),
            "headless": headless,
            "live": live.as_ref().map(|(state, explanation)| json!({
                "phase": state.turn.phase,
                "since_utc": explanation.since_utc,
                "why": explanation.why,
                "last_turn": state.last_turn,
                "surface": state.surface,
                "stable": state.stability.stable,
                "turn": explanation.turn,
                "dialog": state.parsed_surface.as_ref().and_then(|parsed| parsed.operator_blocked_excerpt.clone()),
            })),
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
    match &live {
        _ if headless.is_some() => rows.extend(turn::now(&target, headless.as_ref().and_then(Option::as_ref))),
        Some((state, explanation)) => rows.extend(now(state, explanation)),
        None => report.note("no gateway watches it: `agents gateway attach` starts one, which knows more"),
    }
    rows.extend(mail.as_ref().map(|mail| ("mail", super::show::mail_words(mail))));
    render::facts(&rows);
    Ok(ExitCode::SUCCESS)
}

/// What its gateway knows; `None` without one of ours. A command that only looks waits for nobody.
fn live(target: &Target) -> Option<(TuiState, Explanation)> {
    let gateway = lifecycle::reach(target, Duration::ZERO).ok()?;
    let state = gateway.call(&Call::get("/v1/control/tui/state")).ok()?;
    Some((state, gateway.call(&Call::get("/v1/explain")).ok()?))
}

fn headless_state(target: &Target) -> Option<HeadlessState> {
    let gateway = lifecycle::reach(target, Duration::ZERO).ok()?;
    gateway.call(&Call::get("/v1/control/headless/state")).ok()
}

fn now(state: &TuiState, explanation: &Explanation) -> Vec<(&'static str, String)> {
    let mut rows = vec![("phase", format!("{}, since {}", state.turn.phase, explanation.since_utc))];
    rows.extend(explanation.why.clone().map(|why| ("why", why)));
    let asks = state.parsed_surface.as_ref().and_then(|parsed| parsed.operator_blocked_excerpt.clone());
    rows.extend(asks.map(|asks| ("asks", asks)));
    if let Some(turn) = &explanation.turn {
        let prompt = turn.prompt.as_deref().and_then(|prompt| prompt.lines().next()).unwrap_or("an unknown prompt");
        rows.push(("turn", format!("{}, since {}: {prompt}", turn.id, turn.started_at_utc)));
    }
    let surface = &state.surface;
    rows.push(("composer", composer(&surface.accepting_input, &surface.editing_input, &surface.pending_input)));
    rows.push(("last turn", last_turn(state)));
    rows
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

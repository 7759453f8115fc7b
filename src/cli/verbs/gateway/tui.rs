//! `agents gateway tui state|history|watch|note-prompt` and `agents gateway explain`: what the agent does, and why that
//! is believed.

use std::{process::ExitCode, time::Duration};

use serde_json::json;

use super::requests::{INTERRUPTED, STARTING};
use crate::{
    api::{Explanation, Ground, HistoryEntry, TuiHistory, TuiState},
    cli::{
        args::{Selectors, Tui},
        input, render,
        report::Reporter,
        setting,
    },
    client::{Call, Gateway, Patience, Waited},
    lifecycle,
    model::Failure,
    target::Context,
};

pub(super) fn run(context: &Context, words: &Tui, report: &Reporter) -> Result<ExitCode, Failure> {
    match words {
        Tui::State(selectors) => {
            let gateway = lifecycle::reach(&setting::resolve(context, selectors)?, STARTING)?;
            let state: TuiState = gateway.call(&Call::get("/v1/control/tui/state"))?;
            show(&state, report);
            Ok(ExitCode::SUCCESS)
        }
        Tui::History { selectors, limit } => {
            let gateway = lifecycle::reach(&setting::resolve(context, selectors)?, STARTING)?;
            let path = format!("/v1/control/tui/history?limit={limit}");
            let history: TuiHistory = gateway.call(&Call::get(&path))?;
            if report.wants_json() {
                render::json(&json!(history));
            } else {
                history.entries.iter().for_each(|entry| render::line(&past(entry)));
            }
            Ok(ExitCode::SUCCESS)
        }
        Tui::Watch { selectors, interval_seconds } => {
            if report.wants_json() {
                return Err(Failure::usage(
                    "watching never ends, and --json prints one document",
                    "`agents gateway tui state --json` prints the state once",
                ));
            }
            let gateway = lifecycle::reach(&setting::resolve(context, selectors)?, STARTING)?;
            watch(&gateway, Duration::from_secs_f64(*interval_seconds))
        }
        Tui::NotePrompt { selectors, prompt } => {
            let target = setting::resolve(context, selectors)?;
            let body = json!({ "prompt": input::prompt(prompt.as_deref())? });
            let gateway = lifecycle::reach(&target, STARTING)?;
            let state: TuiState = gateway.call(&Call::post("/v1/control/tui/note-prompt", &body))?;
            show(&state, report);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn show(state: &TuiState, report: &Reporter) {
    if report.wants_json() {
        return render::json(&json!(state));
    }
    let (surface, diagnostics) = (&state.surface, &state.diagnostics);
    let mut rows = vec![
        ("phase", state.turn.phase.clone()),
        ("last turn", last_turn(state)),
        ("composer", composer(&surface.accepting_input, &surface.editing_input, &surface.pending_input)),
        ("stable", stable(state)),
        ("tool", tool(state)),
        ("senses", format!("{}, {}", diagnostics.availability, diagnostics.process_state)),
    ];
    if let Some(excerpt) = state.parsed_surface.as_ref().and_then(|parsed| parsed.operator_blocked_excerpt.clone()) {
        rows.insert(1, ("asks", excerpt));
    }
    render::facts(&rows);
    state.recent_transitions.iter().rev().take(5).rev().for_each(|change| {
        render::line(&format!("{}  {}", change.recorded_at_utc, change.summary));
    });
}

/// What is known of the last turn, in one line.
pub(in crate::cli::verbs) fn last_turn(state: &TuiState) -> String {
    let last = &state.last_turn;
    let when = last.updated_at_utc.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
    let error = last.error_class.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    if last.result == "none" { "none".to_owned() } else { format!("{}{when}{error}", last.result) }
}

/// What the composer would do with text, in one line.
pub(in crate::cli::verbs) fn composer(accepting: &str, editing: &str, pending: &str) -> String {
    let takes = match (accepting, editing) {
        ("yes", "no") => "empty, takes text",
        ("yes", "yes") => "holds a draft that nobody submitted",
        ("yes", _) => "takes text; whether it is empty cannot be told",
        ("no", _) => "takes no text",
        _ => "unknown",
    };
    let queued = if pending == "yes" { "; the tool holds input that it has not taken yet" } else { "" };
    format!("{takes}{queued}")
}

fn stable(state: &TuiState) -> String {
    let stability = &state.stability;
    let word = if stability.stable { "yes" } else { "no" };
    format!("{word}, unchanged for {:.1} s", stability.stable_for_seconds)
}

fn tool(state: &TuiState) -> String {
    let session = &state.tracked_session;
    let version = session.observed_tool_version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    format!("{}{version}", session.tool)
}

fn past(entry: &HistoryEntry) -> String {
    let stable = if entry.stability.stable { ", stable" } else { "" };
    format!(
        "{}  {:<8} last turn {}, composer {}, {}{stable}",
        entry.recorded_at_utc,
        entry.turn.phase,
        entry.last_turn.result,
        composer(&entry.surface.accepting_input, &entry.surface.editing_input, &entry.surface.pending_input),
        entry.diagnostics.availability,
    )
}

/// A line for every change, until Ctrl-C, or until nobody reads any more.
fn watch(gateway: &Gateway, interval: Duration) -> Result<ExitCode, Failure> {
    let mut patience = Patience::new(None)?;
    let mut last = String::new();
    loop {
        let state: TuiState = gateway.call(&Call::get("/v1/control/tui/state"))?;
        let surface = &state.surface;
        let line = format!(
            "{}, last turn {}, composer {}, {}",
            state.turn.phase,
            state.last_turn.result,
            composer(&surface.accepting_input, &surface.editing_input, &surface.pending_input),
            state.diagnostics.availability,
        );
        if line != last {
            let when = state.probe_snapshot.as_ref().map_or("-", |probe| probe.observed_at_utc.as_str());
            if !render::try_line(&format!("{when}  {line}")) {
                return Ok(ExitCode::SUCCESS);
            }
            last = line;
        }
        match patience.pause(interval) {
            Waited::Interrupted => return Ok(ExitCode::from(INTERRUPTED)),
            Waited::For(()) | Waited::TimeOver => {}
        }
    }
}

/// `agents gateway explain`.
pub(super) fn explain(context: &Context, selectors: &Selectors, report: &Reporter) -> Result<ExitCode, Failure> {
    let gateway = lifecycle::reach(&setting::resolve(context, selectors)?, STARTING)?;
    let explanation: Explanation = gateway.call(&Call::get("/v1/explain"))?;
    if report.wants_json() {
        render::json(&json!(explanation));
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![("phase", format!("{}, since {}", explanation.phase, explanation.since_utc))];
    let rules = match (&explanation.profile, &explanation.tool_version) {
        (None, _) => "any line reader's".to_owned(),
        (Some(profile), None) => profile.clone(),
        (Some(profile), Some(version)) => format!("{profile}, for version {version}"),
    };
    rows.extend(explanation.why.clone().map(|why| ("why", why)));
    rows.extend(
        explanation.turn.as_ref().map(|turn| ("turn", format!("{} runs since {}", turn.id, turn.started_at_utc))),
    );
    if explanation.awaited_prompt {
        rows.push(("prompt", "submitted, and nothing shows yet that the tool took it".to_owned()));
    }
    rows.push(("rules", rules));
    rows.extend(explanation.conservative.clone().map(|why| ("careful", why)));
    if !explanation.rules.is_empty() {
        rows.push(("matched", explanation.rules.join(", ")));
    }
    rows.extend(explanation.deaf.iter().map(|(source, why)| ("deaf", format!("{source}: {why}"))));
    rows.extend(explanation.next_tick_seconds.map(|next| ("may change", format!("by itself in {next:.1} s"))));
    render::facts(&rows);
    let grounds = explanation.grounds.iter().map(ground).collect();
    render::table(["SOURCE", "SPEAKS FOR", "COUNTS", "AGE", "SAYS"], grounds);
    Ok(ExitCode::SUCCESS)
}

fn ground(ground: &Ground) -> [String; 5] {
    let says = match &ground.note {
        Some(note) => format!("{} ({note})", ground.says),
        None => ground.says.clone(),
    };
    let counts = if ground.counts { "yes" } else { "no" };
    [ground.source.clone(), ground.speaks_for.clone(), counts.to_owned(), format!("{:.1} s", ground.age_seconds), says]
}

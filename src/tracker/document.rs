//! State and history as the contract's documents. Pure.

use super::{
    When,
    history::Snapshot,
    state::{Diagnostics, LastTurn, Phase, Probe, State, Surface, Tri},
};
use crate::{
    agents::Dialog,
    api::{
        DiagnosticsView, HistoryEntry, LastTurnView, ParsedSurface, ProbeView, StabilityView, SurfaceView,
        TrackedSession, TransitionView, TuiHistory, TuiState, TurnPhase,
    },
    model::Moment,
};

/// By which rules the screen is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parser {
    /// The tool, or `line_reader`.
    pub(super) family: String,
    pub(super) preset: Option<String>,
    /// The rules are not made for the version that runs.
    pub(super) conservative: bool,
}

/// The contract's state document.
pub(super) fn state(
    session: &TrackedSession,
    state: &State,
    parser: &Parser,
    recent: Vec<TransitionView>,
    now: When,
) -> TuiState {
    let snapshot = Snapshot::of(now, state);
    let names = state.process.as_ref().map(|process| process.names.clone()).unwrap_or_default();
    let version = state.process.as_ref().and_then(|process| process.version.clone());
    let entry = entry(&snapshot, parser, &names, version.as_deref());
    TuiState {
        terminal_id: session.tracked_session_id.clone(),
        tracked_session: TrackedSession {
            observed_tool_version: version.or_else(|| session.observed_tool_version.clone()),
            ..session.clone()
        },
        diagnostics: entry.diagnostics,
        probe_snapshot: entry.probe_snapshot,
        parsed_surface: entry.parsed_surface,
        surface: entry.surface,
        turn: entry.turn,
        last_turn: entry.last_turn,
        chat_context: entry.chat_context,
        chat_context_diagnostic: None,
        work: "unknown".to_owned(),
        settled: false,
        observation_channels: None,
        stability: entry.stability,
        recent_transitions: recent,
    }
}

/// The contract's history document.
pub(super) fn history(session: &TrackedSession, past: &[Snapshot], parser: &Parser, names: &[String]) -> TuiHistory {
    TuiHistory {
        terminal_id: session.tracked_session_id.clone(),
        tracked_session_id: session.tracked_session_id.clone(),
        entries: past.iter().map(|snapshot| entry(snapshot, parser, names, None)).collect(),
    }
}

fn entry(snapshot: &Snapshot, parser: &Parser, names: &[String], version: Option<&str>) -> HistoryEntry {
    HistoryEntry {
        recorded_at_utc: snapshot.at.wall.iso_seconds(),
        diagnostics: diagnostics(&snapshot.diagnostics),
        probe_snapshot: snapshot.probe.as_ref().map(|seen| probe(seen, names)),
        parsed_surface: parsed(snapshot, parser, version),
        surface: surface(snapshot.surface),
        turn: TurnPhase { phase: snapshot.phase.name().to_owned() },
        last_turn: last_turn(&snapshot.last_turn),
        chat_context: if snapshot.probe.is_some() { "current" } else { "unknown" }.to_owned(),
        chat_context_diagnostic: None,
        stability: StabilityView {
            signature: snapshot.signature.clone(),
            stable: snapshot.stable,
            stable_for_seconds: snapshot.at.since.saturating_sub(snapshot.stable_since.since).as_secs_f64(),
            stable_since_utc: Some(snapshot.stable_since.wall.iso_seconds()),
        },
    }
}

fn diagnostics(diagnostics: &Diagnostics) -> DiagnosticsView {
    DiagnosticsView {
        availability: diagnostics.availability.to_owned(),
        transport_state: diagnostics.transport_state.to_owned(),
        process_state: diagnostics.process_state.to_owned(),
        parse_status: diagnostics.parse_status.to_owned(),
        probe_error: None,
        parse_error: None,
        hook_channel_state: diagnostics.hook_channel.map(str::to_owned),
        hook_counters: None,
        hook_conflict_reasons: Vec::new(),
    }
}

fn probe(probe: &Probe, names: &[String]) -> ProbeView {
    ProbeView {
        observed_at_utc: probe.at.wall.iso_seconds(),
        pane_id: Some(probe.pane.to_string()),
        pane_pid: Some(probe.pid),
        captured_text_hash: Some(probe.hash.clone()),
        captured_text_length: probe.length,
        captured_text_excerpt: probe.excerpt.clone(),
        matched_process_names: names.to_vec(),
    }
}

fn parsed(snapshot: &Snapshot, parser: &Parser, version: Option<&str>) -> Option<ParsedSurface> {
    let seen = snapshot.probe.as_ref()?;
    let text = |dialog: &Dialog| dialog.text.clone();
    let dialog = snapshot.dialog.as_ref().map(text).unwrap_or_default();
    let line = |line: Option<&str>| line.unwrap_or_default().to_owned();
    let (business_state, ui_context) = match snapshot.phase {
        Phase::Ready => ("idle", "normal_prompt"),
        Phase::Active => ("working", "normal_prompt"),
        Phase::Blocked => ("awaiting_operator", "approval_prompt"),
        Phase::Unknown => ("unknown", "unknown"),
    };
    let input_mode = match (snapshot.phase, snapshot.surface.accepting_input) {
        (Phase::Blocked, _) => "modal",
        (_, Tri::Yes) => "freeform",
        (_, Tri::No) => "closed",
        (_, Tri::Unknown) => "unknown",
    };
    Some(ParsedSurface {
        parser_family: parser.family.clone(),
        parser_preset_id: parser.preset.clone(),
        parser_preset_version: version.map(str::to_owned),
        availability: "supported".to_owned(),
        business_state: business_state.to_owned(),
        input_mode: input_mode.to_owned(),
        ui_context: ui_context.to_owned(),
        normalized_projection_text: seen.excerpt.clone(),
        dialog_head: line(dialog.lines().next()),
        dialog_tail: line(dialog.lines().last()),
        dialog_text: dialog,
        anomaly_codes: if parser.conservative { vec!["unknown_version_floor_used".to_owned()] } else { Vec::new() },
        baseline_invalidated: false,
        operator_blocked_excerpt: snapshot.dialog.as_ref().map(|dialog| dialog.title.clone()),
    })
}

fn surface(surface: Surface) -> SurfaceView {
    SurfaceView {
        accepting_input: surface.accepting_input.name().to_owned(),
        editing_input: surface.editing_input.name().to_owned(),
        ready_posture: surface.ready_posture.name().to_owned(),
        pending_input: surface.pending_input.name().to_owned(),
    }
}

fn last_turn(last: &LastTurn) -> LastTurnView {
    LastTurnView {
        result: last.result().to_owned(),
        source: last.source.name().to_owned(),
        updated_at_utc: last.updated.map(Moment::iso_seconds),
        error_class: last.error_class.clone(),
    }
}

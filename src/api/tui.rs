//! What the agent does, as it crosses HTTP: the contract's documents (section 6.1), to the key, and our own about turns
//! and evidence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ReceiptView;
use crate::model::TurnRecord;

/// Who is tracked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedSession {
    /// The session's identity.
    pub tracked_session_id: String,
    /// The same.
    pub session_name: String,
    /// The agent's program as it was recorded.
    pub tool: String,
    /// The version that runs, where it is known.
    pub observed_tool_version: Option<String>,
    /// Exact tmux session name.
    pub tmux_session_name: String,
    /// Always `agent`.
    pub tmux_window_name: Option<String>,
    /// Always empty.
    pub terminal_aliases: Vec<String>,
    /// From the manifest.
    pub agent_name: Option<String>,
    /// From the manifest.
    pub agent_id: Option<String>,
    /// Absolute path.
    pub manifest_path: Option<String>,
    /// Absolute path.
    pub session_root: Option<String>,
}

/// A sense that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenseError {
    /// One word.
    pub kind: String,
    /// One sentence.
    pub message: String,
    /// More.
    pub details: BTreeMap<String, String>,
}

/// What the senses are worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosticsView {
    /// `available`, `unavailable`, `tui_down`, `error`, `unknown`.
    pub availability: String,
    /// `tmux_up`, `tmux_missing`, `probe_error`.
    pub transport_state: String,
    /// `tui_up`, `tui_down`, `unsupported_tool`, `probe_error`, `unknown`.
    pub process_state: String,
    /// `parsed`, `skipped_tui_down`, `unsupported_tool`, `transport_unavailable`, `probe_error`, `parse_error`.
    pub parse_status: String,
    /// Why the pane cannot be seen.
    pub probe_error: Option<SenseError>,
    /// Why it cannot be read.
    pub parse_error: Option<SenseError>,
    /// `active`, `unavailable`; null if nobody told of hooks.
    pub hook_channel_state: Option<String>,
    /// Not counted.
    pub hook_counters: Option<BTreeMap<String, u64>>,
    /// Always empty.
    pub hook_conflict_reasons: Vec<String>,
}

/// The capture that a state rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeView {
    /// When.
    pub observed_at_utc: String,
    /// The pane.
    pub pane_id: Option<String>,
    /// The process that it was started with.
    pub pane_pid: Option<u32>,
    /// SHA-1 of the text.
    pub captured_text_hash: Option<String>,
    /// Characters of the text.
    pub captured_text_length: usize,
    /// Its last 4,000 characters.
    pub captured_text_excerpt: String,
    /// Names of the tool's process that were found.
    pub matched_process_names: Vec<String>,
}

/// The screen in the words of the contract's older parser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named by the contract")]
pub struct ParsedSurface {
    pub parser_family: String,
    pub parser_preset_id: Option<String>,
    pub parser_preset_version: Option<String>,
    pub availability: String,
    pub business_state: String,
    pub input_mode: String,
    pub ui_context: String,
    pub normalized_projection_text: String,
    pub dialog_text: String,
    pub dialog_head: String,
    pub dialog_tail: String,
    pub anomaly_codes: Vec<String>,
    pub baseline_invalidated: bool,
    pub operator_blocked_excerpt: Option<String>,
}

/// What the surface would do with input; each `yes`, `no` or `unknown`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named by the contract")]
pub struct SurfaceView {
    pub accepting_input: String,
    pub editing_input: String,
    pub ready_posture: String,
    pub pending_input: String,
}

/// The turn's phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnPhase {
    /// `ready`, `active`, `blocked`, `unknown`.
    pub phase: String,
}

/// How the last turn ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTurnView {
    /// `success`, `interrupted`, `known_failure`, `none`.
    pub result: String,
    /// `explicit_input`, `hook_observation`, `surface_inference`, `none`.
    pub source: String,
    /// When it became known.
    pub updated_at_utc: Option<String>,
    /// What the tool said about a failure.
    pub error_class: Option<String>,
}

/// For how long nothing visible changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StabilityView {
    /// Stands for the visible state.
    pub signature: String,
    /// It has not changed for the threshold.
    pub stable: bool,
    /// For how long it has not changed.
    pub stable_for_seconds: f64,
    /// Since when.
    pub stable_since_utc: Option<String>,
}

/// A change that a person may care about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named by the contract")]
pub struct TransitionView {
    pub recorded_at_utc: String,
    pub summary: String,
    pub changed_fields: Vec<String>,
    pub diagnostics_availability: String,
    pub surface_pending_input: String,
    pub turn_phase: String,
    pub last_turn_result: String,
    pub last_turn_source: String,
    pub transport_state: String,
    pub process_state: String,
    pub parse_status: String,
}

/// `GET /v1/control/tui/state`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named by the contract")]
pub struct TuiState {
    pub terminal_id: String,
    pub tracked_session: TrackedSession,
    pub diagnostics: DiagnosticsView,
    pub probe_snapshot: Option<ProbeView>,
    pub parsed_surface: Option<ParsedSurface>,
    pub surface: SurfaceView,
    pub turn: TurnPhase,
    pub last_turn: LastTurnView,
    pub chat_context: String,
    pub chat_context_diagnostic: Option<BTreeMap<String, String>>,
    pub work: String,
    pub settled: bool,
    pub observation_channels: Option<BTreeMap<String, String>>,
    pub stability: StabilityView,
    pub recent_transitions: Vec<TransitionView>,
}

/// One entry of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named by the contract")]
pub struct HistoryEntry {
    pub recorded_at_utc: String,
    pub diagnostics: DiagnosticsView,
    pub probe_snapshot: Option<ProbeView>,
    pub parsed_surface: Option<ParsedSurface>,
    pub surface: SurfaceView,
    pub turn: TurnPhase,
    pub last_turn: LastTurnView,
    pub chat_context: String,
    pub chat_context_diagnostic: Option<BTreeMap<String, String>>,
    pub stability: StabilityView,
}

/// `GET /v1/control/tui/history`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named by the contract")]
pub struct TuiHistory {
    pub terminal_id: String,
    pub tracked_session_id: String,
    /// Oldest first.
    pub entries: Vec<HistoryEntry>,
}

/// One source's last word, and what it is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ground {
    /// `record`, `hook`, `title`…
    pub source: String,
    /// What it said, in one sentence.
    pub says: String,
    /// The phase that it speaks for: `active`, `ready`, `blocked`, `unknown`.
    pub speaks_for: String,
    /// It counts now.
    pub counts: bool,
    /// Why it does not, or what it depends on.
    pub note: Option<String>,
    /// When it was said last.
    pub at_utc: String,
    /// How long ago.
    pub age_seconds: f64,
}

/// Something that was said or seen, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// Which sense.
    pub source: String,
    /// What.
    pub what: String,
    /// When last.
    pub at_utc: String,
    /// How often in a row.
    pub times: u32,
}

/// `GET /v1/explain`: why the state is what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The phase.
    pub phase: String,
    /// Since when.
    pub since_utc: String,
    /// Why it is not known, or what is not sure about it.
    pub why: Option<String>,
    /// The rules by which the screen is read; null for a line reader.
    pub profile: Option<String>,
    /// `exact`: they were made for the version that runs; else `conservative`. Null for a line reader.
    #[serde(default)]
    pub fit: Option<String>,
    /// The version that runs, where it is known.
    #[serde(default)]
    pub tool_version: Option<String>,
    /// Why they are used with care: another version runs.
    pub conservative: Option<String>,
    /// The turn that runs.
    pub turn: Option<TurnRecord>,
    /// A prompt was noted, and nothing shows yet that the tool took it.
    pub awaited_prompt: bool,
    /// What every source says, and what that is worth.
    pub grounds: Vec<Ground>,
    /// Rules that the last screen met.
    pub rules: Vec<String>,
    /// Senses that cannot be used, each with the reason.
    pub deaf: BTreeMap<String, String>,
    /// What was said lately, oldest first.
    pub heard: Vec<Heard>,
    /// In how many seconds the state may change by itself; null if only new evidence can change it.
    pub next_tick_seconds: Option<f64>,
}

/// One turn, for `GET /v1/turns`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnView {
    /// The turn.
    #[serde(flatten)]
    pub turn: TurnRecord,
    /// How long it took, in milliseconds; null while it runs.
    pub duration_ms: Option<i64>,
    /// Its place among all turns, 1 or higher.
    pub sequence: u64,
}

/// `GET /v1/turns`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnList {
    /// Newest first.
    pub turns: Vec<TurnView>,
    /// `before` of the next page; null on the last one.
    pub next_before: Option<u64>,
}

/// `GET /v1/turns/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnDetail {
    /// The turn.
    #[serde(flatten)]
    pub turn: TurnView,
    /// What was proven about its request, oldest first; empty if it has none.
    pub receipts: Vec<ReceiptView>,
}

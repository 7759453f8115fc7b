//! May a direct prompt be typed into a tool now, by the contract's table (section 4.3, rows 8 to 11)? Pure.

use serde_json::{Value, json};

use super::Refusal;
use crate::{
    api::AdmissionPolicy,
    tracker::{Phase, State, Tri},
};

/// What speaks against it in the tracker's state; `None`: nothing.
pub(super) fn speaks_against(policy: AdmissionPolicy, state: &State) -> Option<Refusal> {
    if policy == AdmissionPolicy::ReadyOnly {
        let failing = failing(state);
        if !failing.is_empty() {
            let why = state.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            return Some(Refusal::new(409, "not_ready", format!("{}{why}", failing.join(", "))));
        }
    }
    if policy != AdmissionPolicy::Always {
        match state.surface.pending_input {
            Tri::Yes => {
                let detail = "the program itself holds a prompt that it has not taken yet";
                return Some(Refusal::new(409, "pending_input", detail));
            }
            Tri::Unknown => {
                let detail = "whether the program itself holds a prompt cannot be told";
                return Some(Refusal::new(409, "pending_input_unknown", detail));
            }
            Tri::No => {}
        }
    }
    (state.phase == Phase::Blocked && policy == AdmissionPolicy::IfNoPending)
        .then(|| Refusal::new(409, "not_ready", "turn.phase is blocked"))
}

/// Would waiting for a moment be enough?
pub(super) fn is_settling(state: &State) -> bool {
    failing(state) == ["stability.stable is false"]
}

/// The fields that are not as `ready_only` needs them.
fn failing(state: &State) -> Vec<String> {
    let surface = &state.surface;
    let wanted = [
        ("turn.phase", state.phase.name(), "ready"),
        ("surface.accepting_input", surface.accepting_input.name(), "yes"),
        ("surface.editing_input", surface.editing_input.name(), "no"),
        ("surface.ready_posture", surface.ready_posture.name(), "yes"),
        ("stability.stable", if state.stability.stable { "true" } else { "false" }, "true"),
    ];
    wanted.iter().filter(|(_, is, wanted)| is != wanted).map(|(name, is, _)| format!("{name} is {is}")).collect()
}

/// The state in the words of the contract's events (section 1.8).
pub(super) fn tracked(state: &State) -> Value {
    let surface = &state.surface;
    json!({ "tracked_turn_phase": state.phase.name(), "tracked_accepting_input": surface.accepting_input.name(),
        "tracked_editing_input": surface.editing_input.name(), "tracked_ready_posture": surface.ready_posture.name(),
        "tracked_pending_input": surface.pending_input.name(), "tracked_stable": state.stability.stable })
}

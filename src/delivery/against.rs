//! What speaks against the next step of a delivery, in stable words and in sentences. Pure.

use serde_json::{Value, json};

use super::task::Outcome;
use crate::{
    tmux::input::{Look, PaneNow},
    tracker::Reading,
};

/// The text stands in front of another program than the one it was meant for. Behind Enter a question is an answer:
/// the program took the text.
pub(super) fn misplaced(reading: &Reading, entered: bool) -> Option<Outcome> {
    let why = reading.against.as_ref()?;
    let after = if entered { "after Enter was pressed" } else { "before Enter was pressed" };
    match why.reason {
        "agent_not_running" => Some(Outcome::Unproven(
            "agent_ended",
            format!("the agent left the foreground {after}: {}", why.detail),
            json!({ "enter_pressed": entered }),
        )),
        "dialog" if !entered => Some(Outcome::Unproven(
            "dialog",
            "the program asked a question after the text was typed; Enter would have answered it".to_owned(),
            json!({ "enter_pressed": false }),
        )),
        _ => None,
    }
}

/// Keys would not reach the program now.
pub(super) fn unreachable(now: &PaneNow) -> Option<(&'static str, &'static str)> {
    if now.in_mode {
        return Some(("copy_mode", "the text is typed; Enter waits until the pane leaves its copy mode"));
    }
    if now.input_off {
        return Some(("input_off", "the text is typed; Enter waits until the pane's input is on"));
    }
    now.synchronized.then_some(("synchronized", "the text is typed; Enter waits until the panes are not synchronized"))
}

/// What the guard saw that the look before had not.
pub(super) fn changed(look: &Look, now: &PaneNow, owner: &str) -> (&'static str, String) {
    let was = &look.now;
    let (reason, detail) = if now.dead || now.pid != was.pid {
        ("target_changed", "another process runs in the pane, or none")
    } else if let Some((reason, _)) = unreachable(now) {
        (reason, "the pane stopped taking keys in the last moment")
    } else if now.hand != owner {
        ("other_hand", "another program of this kind types into the pane")
    } else if now.session_activity != was.session_activity {
        ("person_typing", "a person pressed a key in the last moment")
    } else if now.command != was.command {
        ("agent_not_running", "another program came to the foreground in the last moment")
    } else {
        ("busy", "the cursor moved in the last moment")
    };
    (reason, detail.to_owned())
}

pub(super) fn gone(why: &str) -> Outcome {
    Outcome::Unproven("server_lost", format!("the pane or its tmux server is gone: {why}"), Value::Null)
}

pub(super) fn not_ours(now: &PaneNow) -> Outcome {
    let detail = format!("another text was typed behind it (the pane remembers `{}`)", now.typed);
    Outcome::Unproven("not_ours", detail, Value::Null)
}

//! May this text be typed into this pane now? Pure.

use std::time::Duration;

use super::{form::Form, prompt::Prompt, sight::Sight};
use crate::{
    api::AdmissionPolicy,
    os::terminal::LONGEST_CANONICAL_LINE,
    tracker::{Pending, View},
};

/// How long a person's terminal must have been quiet, in whole seconds of tmux's clock.
pub const PERSON_PAUSE: i64 = 2;

/// How long a pane must have looked the same to count as settled.
const SETTLED: Duration = Duration::from_millis(40);

/// A window that printed nothing for so long, in whole seconds of tmux's clock, is settled at first sight.
const LONG_QUIET: i64 = 2;

/// What follows from a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Type.
    Go,
    /// Not now: a stable word and a sentence.
    Wait(&'static str, String),
    /// Never: a stable word and a sentence.
    Refuse(&'static str, String),
}

/// Decides. `quiet` is how long the pane has looked like this, `now` the wall clock in seconds since 1970.
pub fn decide(
    prompt: &Prompt,
    view: &View,
    sight: &Sight,
    policy: AdmissionPolicy,
    quiet: Duration,
    now: i64,
) -> Decision {
    let Sight { look, around, reading } = sight;
    // What can never arrive need not wait for it.
    if let Err((reason, detail)) = Form::of(prompt, view.rules()) {
        return Decision::Refuse(reason, detail);
    }
    if let Some(why) = &reading.against
        && (why.hard || policy == AdmissionPolicy::ReadyOnly)
    {
        return Decision::Wait(why.reason, why.detail.clone());
    }
    if around.modes.is_some_and(|modes| modes.canonical) && prompt.longest_line() > LONGEST_CANONICAL_LINE {
        let detail = format!(
            "a line has {} bytes, and the program reads lines through the terminal, which takes {LONGEST_CANONICAL_LINE}",
            prompt.longest_line()
        );
        return Decision::Refuse("line_too_long", detail);
    }
    if around.modes.is_some_and(|modes| modes.canonical) && prompt.has_lines() && policy != AdmissionPolicy::Always {
        let detail =
            "the program reads line by line through the terminal: each line break would submit what stands before it";
        return Decision::Refuse("multi_line", detail.to_owned());
    }
    match (policy, reading.pending) {
        // A person's text is never mixed with ours, whatever the caller wishes.
        (_, Pending::Yes) => {
            return Decision::Wait("draft", "a text that was not submitted stands in the composer".to_owned());
        }
        (AdmissionPolicy::IfNoPending, Pending::Unknown) => {
            return Decision::Wait(
                "pending_unknown",
                "whether a text stands in the composer cannot be told".to_owned(),
            );
        }
        _ => {}
    }
    if look.now.person_activity.is_some_and(|at| now - at < PERSON_PAUSE) {
        return Decision::Wait("person_typing", "a person used the keyboard a moment ago".to_owned());
    }
    if policy == AdmissionPolicy::ReadyOnly && quiet < SETTLED && now - look.now.window_activity < LONG_QUIET {
        return Decision::Wait("settling", "the pane changed a moment ago".to_owned());
    }
    Decision::Go
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        os::terminal::Modes,
        tmux::input::{Look, PaneNow},
        tracker::Around,
    };

    const NOW: i64 = 1000;

    fn pane(row: &str) -> Look {
        let now =
            PaneNow { cursor_x: row.chars().count(), cursor_shown: true, width: 80, height: 1, ..PaneNow::default() };
        Look { now, rows: vec![row.trim_end().to_owned()], ..Look::default() }
    }

    fn sight(look: &Look, around: &Around, tool: &str) -> Sight {
        let reading = View::new(tool, None).read(look, around);
        Sight { look: look.clone(), around: around.clone(), reading }
    }

    fn word(look: &Look, around: &Around, policy: AdmissionPolicy, quiet: u64) -> &'static str {
        let prompt = Prompt::clean("hello").unwrap();
        let sight = sight(look, around, "bash");
        match decide(&prompt, &View::new("bash", None), &sight, policy, Duration::from_millis(quiet), NOW) {
            Decision::Go => "go",
            Decision::Wait(reason, _) | Decision::Refuse(reason, _) => reason,
        }
    }

    #[test]
    fn policies_differ_in_whom_they_may_disturb() {
        let none = Around::default();
        let table = [
            ("$ ", ["go", "go", "go"]),
            ("working", ["busy", "pending_unknown", "go"]),
            ("$ half", ["draft", "draft", "draft"]),
        ];
        for (row, expected) in table {
            let seen = [AdmissionPolicy::ReadyOnly, AdmissionPolicy::IfNoPending, AdmissionPolicy::Always]
                .map(|policy| word(&pane(row), &none, policy, 100));
            assert_eq!(seen, expected, "{row}");
        }
        let mut copying = pane("$ ");
        copying.now.in_mode = true;
        assert_eq!(word(&copying, &none, AdmissionPolicy::Always, 100), "copy_mode");
    }

    #[test]
    fn a_person_and_a_moving_pane_are_waited_for() {
        let none = Around::default();
        let mut look = pane("$ ");
        look.now.window_activity = NOW - 1;
        assert_eq!(word(&look, &none, AdmissionPolicy::ReadyOnly, 10), "settling");
        assert_eq!(word(&look, &none, AdmissionPolicy::ReadyOnly, 40), "go");
        look.now.window_activity = NOW - 2;
        assert_eq!(word(&look, &none, AdmissionPolicy::ReadyOnly, 0), "go");
        look.now.person_activity = Some(NOW - 1);
        assert_eq!(word(&look, &none, AdmissionPolicy::Always, 100), "person_typing");
        look.now.person_activity = Some(NOW - 2);
        assert_eq!(word(&look, &none, AdmissionPolicy::Always, 100), "go");
    }

    #[test]
    fn a_line_that_the_terminal_would_cut_is_refused() {
        let around = Around { modes: Some(Modes { canonical: true, signals: true }), foreground: None };
        let look = pane("$ ");
        let sight = sight(&look, &around, "sh");
        let long = Prompt::clean(&"x".repeat(LONGEST_CANONICAL_LINE + 1)).unwrap();
        let decided = decide(&long, &View::new("sh", None), &sight, AdmissionPolicy::Always, Duration::ZERO, NOW);
        assert!(matches!(decided, Decision::Refuse("line_too_long", _)), "{decided:?}");
    }
}

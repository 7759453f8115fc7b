//! May the agent be told now, and is there anything to tell? Pure.

use std::{collections::HashSet, time::Duration};

use crate::{
    model::Moment,
    queue::Refusal,
    tracker::{Phase, State, Tri},
};

/// By so much a moment that is kept in whole seconds may be too early.
const WITHIN_A_SECOND: Duration = Duration::from_millis(999);

/// What is to be done about the messages that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Tell the agent.
    Tell,
    /// It was told of all of them; again after so long.
    Known(Duration),
}

/// Decides about messages of which the agent was told of some at a moment.
pub(super) fn verdict(
    refs: &[String],
    told: &HashSet<String>,
    last: Option<Moment>,
    interval: Duration,
    now: Moment,
) -> Verdict {
    if last.is_none() || !refs.iter().all(|one| told.contains(one)) {
        return Verdict::Tell;
    }
    let left = left(last, interval, now);
    if left.is_zero() { Verdict::Tell } else { Verdict::Known(left) }
}

/// How long until messages that were told of at that moment, which is known in whole seconds, are told of again.
pub(super) fn left(last: Option<Moment>, interval: Duration, now: Moment) -> Duration {
    let Some(last) = last else { return interval };
    // A clock that was set back must not silence it for longer than an interval.
    let passed = u64::try_from(now.epoch_millis() - last.epoch_millis()).unwrap_or(0);
    (interval + WITHIN_A_SECOND).saturating_sub(Duration::from_millis(passed)).min(interval)
}

/// Why the agent is not told now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Busy {
    /// A stable word.
    pub(super) reason: &'static str,
    /// For a person.
    pub(super) detail: String,
}

impl Busy {
    fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// It passes by itself in a moment, and nobody could do anything about it.
    pub(super) fn is_passing(&self) -> bool {
        self.reason == "settling"
    }
}

/// What is known of queue and agent at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now<'a> {
    /// Could work be accepted?
    pub(super) open: &'a Result<(), Refusal>,
    /// Something is being typed, or a turn runs in a process of its own.
    pub(super) running: bool,
    /// Rows that wait.
    pub(super) depth: u64,
    /// What an agent in a terminal does; `None` for one without.
    pub(super) state: Option<&'a State>,
}

impl Now<'_> {
    /// What speaks against telling the agent; `None`: nothing.
    pub(super) fn against(&self) -> Option<Busy> {
        if let Err(closed) = self.open {
            return Some(Busy::new("closed", closed.detail.clone()));
        }
        if self.running {
            return Some(Busy::new("running", "a request is being carried out"));
        }
        if self.depth > 0 {
            return Some(Busy::new("queue", "requests wait before it"));
        }
        self.state.and_then(of_agent)
    }

    /// `open`, `blocked_reconciliation` or `blocked_unavailable`.
    pub(super) fn admission(&self) -> &'static str {
        match self.open {
            Ok(()) => "open",
            Err(closed) if closed.code == "blocked_reconciliation" => "blocked_reconciliation",
            Err(_) => "blocked_unavailable",
        }
    }

    /// `running` or `idle`.
    pub(super) fn execution(&self) -> &'static str {
        if self.running { "running" } else { "idle" }
    }
}

/// The contract's eighth check (section 4.3), and a prompt that the tool itself holds.
fn of_agent(state: &State) -> Option<Busy> {
    let surface = &state.surface;
    let why = |what: &str| match &state.why {
        Some(why) => format!("{what}: {why}"),
        None => what.to_owned(),
    };
    if state.diagnostics.availability == "tui_down" {
        return Some(Busy::new("agent_not_running", why("the agent's program does not run")));
    }
    if state.probe.is_none() {
        return Some(Busy::new("settling", "nothing was seen of the agent's screen yet"));
    }
    if surface.editing_input == Tri::Yes {
        return Some(Busy::new("draft", "a text that nobody submitted stands in the composer"));
    }
    match state.phase {
        Phase::Ready => {}
        Phase::Active => return Some(Busy::new("working", "the agent works")),
        Phase::Blocked => {
            let said = state.blocked_by.as_ref().map_or_else(String::new, |(_, said)| format!(" ({said})"));
            return Some(Busy::new("dialog", format!("the agent waits for an answer of a person{said}")));
        }
        Phase::Unknown => return Some(Busy::new("not_ready", why("what the agent does is not known"))),
    }
    if surface.accepting_input != Tri::Yes || surface.editing_input != Tri::No || surface.ready_posture != Tri::Yes {
        return Some(Busy::new("not_ready", why("the composer does not take a text")));
    }
    if surface.pending_input == Tri::Yes {
        return Some(Busy::new("queued_input", "the program itself holds a prompt that it has not taken yet"));
    }
    (!state.stability.stable).then(|| Busy::new("settling", "the agent's screen changed a moment ago"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Moment {
        Moment::parse("2026-11-21T10:00:00+00:00").unwrap().after(Duration::from_secs(second.unsigned_abs()))
    }

    fn decide(refs: &[&str], told: &[&str], last: Option<i64>, now: i64) -> Verdict {
        let refs: Vec<String> = refs.iter().map(|one| (*one).to_owned()).collect();
        let told = told.iter().map(|one| (*one).to_owned()).collect();
        verdict(&refs, &told, last.map(at), Duration::from_secs(60), at(now))
    }

    #[test]
    fn only_what_is_new_is_told_before_the_interval_has_passed() {
        assert_eq!(decide(&["a"], &[], None, 0), Verdict::Tell);
        assert_eq!(decide(&["a", "b"], &["a"], Some(0), 1), Verdict::Tell);
        assert_eq!(decide(&["a"], &["a", "b"], Some(0), 1), Verdict::Known(Duration::from_millis(59_999)));
        assert_eq!(decide(&["a"], &["a"], Some(0), 61), Verdict::Tell);
        assert_eq!(decide(&["a"], &["a"], Some(50), 10), Verdict::Known(Duration::from_secs(60)), "clock set back");
    }

    #[test]
    fn the_queue_speaks_before_the_agent() {
        let open = Ok(());
        let closed = Err(Refusal::new(409, "blocked_reconciliation", "decide first"));
        let now = |open, running, depth| Now { open, running, depth, state: None };
        assert_eq!(now(&open, false, 0).against(), None);
        assert_eq!(now(&open, true, 1).against().unwrap().reason, "running");
        assert_eq!(now(&open, false, 2).against().unwrap().reason, "queue");
        let against = now(&closed, true, 1);
        assert_eq!(against.against().unwrap().detail, "decide first");
        assert_eq!((against.admission(), against.execution()), ("blocked_reconciliation", "running"));
    }
}

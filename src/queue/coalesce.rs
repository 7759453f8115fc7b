//! Adjacent control intents: which of them still mean something (contract section 5). Pure.

use crate::model::{RequestId, RequestKind};

/// What a control intent does, weakest context command first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The interrupt key.
    Interrupt,
    /// `/compact`
    Compact,
    /// `/clear`
    Clear,
    /// `/new`
    New,
}

impl Action {
    /// The action of a row; `None` for every other prompt.
    pub fn of(kind: RequestKind, prompt: Option<&str>) -> Option<Self> {
        match (kind, prompt.map(str::trim)) {
            (RequestKind::Interrupt, _) => Some(Self::Interrupt),
            (RequestKind::SubmitPrompt, Some("/compact")) => Some(Self::Compact),
            (RequestKind::SubmitPrompt, Some("/clear")) => Some(Self::Clear),
            (RequestKind::SubmitPrompt, Some("/new")) => Some(Self::New),
            _ => None,
        }
    }

    /// The word in events and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupt",
            Self::Compact => "/compact",
            Self::Clear => "/clear",
            Self::New => "/new",
        }
    }
}

/// One waiting row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub id: RequestId,
    /// The agent process that it is meant for.
    pub epoch: u64,
    /// `None` for an ordinary prompt.
    pub action: Option<Action>,
}

/// What is left of a run of control intents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coalesced {
    /// What stays, in the order in which it runs: at most one interrupt, then at most one context command.
    pub effective: Vec<(RequestId, Action)>,
    /// What goes, and for whom.
    pub superseded: Vec<(RequestId, Action, RequestId)>,
}

/// The run of control intents around the row at `at`: neighbours of the same epoch without a prompt between them.
pub fn run_around(rows: &[Waiting], at: usize) -> &[Waiting] {
    let Some(middle) = rows.get(at).filter(|row| row.action.is_some()) else { return &[] };
    let belongs = |row: &&Waiting| row.action.is_some() && row.epoch == middle.epoch;
    let before = rows[..at].iter().rev().take_while(belongs).count();
    let after = rows[at..].iter().take_while(belongs).count();
    &rows[at - before..at + after]
}

/// Keeps the first interrupt and the strongest context command, the latest among equals.
pub fn coalesce(run: &[Waiting]) -> Coalesced {
    let intents = || run.iter().filter_map(|row| Some((&row.id, row.action?)));
    let interrupt = intents().find(|(_, action)| *action == Action::Interrupt);
    // `max_by_key` returns the last of equals.
    let context = intents().filter(|(_, action)| *action != Action::Interrupt).max_by_key(|(_, action)| *action);
    let kept = |action| if action == Action::Interrupt { interrupt } else { context };
    let superseded = intents().filter_map(|(id, action)| {
        let (into, _) = kept(action)?;
        (into != id).then(|| (id.clone(), action, into.clone()))
    });
    Coalesced {
        superseded: superseded.collect(),
        effective: interrupt.into_iter().chain(context).map(|(id, action)| (id.clone(), action)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(actions: &[Option<Action>]) -> Vec<Waiting> {
        let row = |(number, action): (usize, &Option<Action>)| Waiting {
            id: format!("r-{number}").parse().unwrap(),
            epoch: 1,
            action: *action,
        };
        actions.iter().enumerate().map(row).collect()
    }

    fn names(coalesced: &Coalesced) -> Vec<String> {
        coalesced.effective.iter().map(|(id, action)| format!("{id} {}", action.name())).collect()
    }

    #[test]
    fn the_first_interrupt_and_the_strongest_command_stay() {
        use Action::{Clear, Compact, Interrupt, New};
        let run = rows(&[Clear, Interrupt, New, Compact, Interrupt, New].map(Some));
        let left = coalesce(&run);
        assert_eq!(names(&left), ["r-1 interrupt", "r-5 /new"]);
        let gone: Vec<String> = left.superseded.iter().map(|(id, _, into)| format!("{id}>{into}")).collect();
        assert_eq!(gone, ["r-0>r-5", "r-2>r-5", "r-3>r-5", "r-4>r-1"]);
    }

    #[test]
    fn prompts_and_other_epochs_end_a_run() {
        use Action::{Clear, Interrupt};
        let mut all = rows(&[Some(Interrupt), None, Some(Clear), Some(Interrupt), Some(Clear)]);
        assert_eq!(run_around(&all, 3).len(), 3);
        assert_eq!(run_around(&all, 0).len(), 1);
        assert_eq!(run_around(&all, 1).len(), 0);
        all[4].epoch = 2;
        assert_eq!(run_around(&all, 3).len(), 2);
        assert_eq!(Action::of(RequestKind::SubmitPrompt, Some(" /clear\n")), Some(Clear));
        assert_eq!(Action::of(RequestKind::SubmitPrompt, Some("/clear all")), None);
        assert_eq!(Action::of(RequestKind::MailNotifierPrompt, Some("/clear")), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_kept_twice(kinds in prop::collection::vec(0_usize..4, 0..12)) {
            let actions = [Action::Interrupt, Action::Compact, Action::Clear, Action::New];
            let run = rows(&kinds.iter().map(|kind| Some(actions[*kind])).collect::<Vec<_>>());
            let left = coalesce(&run);
            prop_assert_eq!(left.effective.len() + left.superseded.len(), run.len());
            let effective: Vec<&RequestId> = left.effective.iter().map(|(id, _)| id).collect();
            for (id, action, into) in &left.superseded {
                prop_assert!(effective.contains(&into) && !effective.contains(&id));
                let (_, stronger) = left.effective.iter().find(|(kept, _)| kept == into).unwrap();
                prop_assert!(stronger >= action);
                prop_assert_eq!(*stronger == Action::Interrupt, *action == Action::Interrupt);
            }
            // What is left has nothing more to give up.
            let again: Vec<Waiting> = run.iter().filter(|row| effective.contains(&&row.id)).cloned().collect();
            prop_assert!(coalesce(&again).superseded.is_empty());
        }
    }
}

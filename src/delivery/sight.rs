//! One look at a pane with everything that it says, and what that proves about our own text. A tool with a profile is
//! read by its composer, every other program by the row of its cursor.

use super::{
    footing::Footing,
    prompt::Prompt,
    proof::{self, Shown, Sought},
};
use crate::{
    agents::{ComposerReading, Dialog, ScreenReading},
    os::terminal,
    tmux::input::Look,
    tracker::{Around, Reading, State, View},
};

/// One look, and what it says.
#[derive(Debug, Clone)]
pub struct Sight {
    /// The look.
    pub look: Look,
    /// What the kernel says of the terminal; empty where it was not asked.
    pub around: Around,
    /// What both mean to somebody who wants to type.
    pub reading: Reading,
}

impl Sight {
    /// Reads a look, and asks the kernel only where it looks ready: while a program works, it is looked at often.
    pub fn glance(look: Look, view: &View) -> Self {
        let reading = view.read(&look, &Around::default());
        if reading.is_ready() { Self::survey(look, view) } else { Self { look, around: Around::default(), reading } }
    }

    /// Reads a look together with what the kernel says.
    pub fn survey(look: Look, view: &View) -> Self {
        let reading = view.read(&look, &Around::default());
        if reading.against.as_ref().is_some_and(|why| why.hard) {
            return Self { look, around: Around::default(), reading };
        }
        let around =
            Around { modes: terminal::modes(look.now.tty.as_ref()), foreground: terminal::foreground(look.now.pid) };
        let reading = view.read(&look, &around);
        Self { look, around, reading }
    }

    /// The same with what is known of the tool besides.
    #[must_use]
    pub fn weighed(self, view: &View, state: &State) -> Self {
        Self { reading: view.weigh(self.reading, state), ..self }
    }

    /// The same with what is known of the tool besides, where that holds for every policy.
    #[must_use]
    pub fn blocked_by(self, view: &View, state: &State) -> Self {
        let weighed = view.weigh(self.reading.clone(), state);
        if weighed.against.as_ref().is_some_and(|why| why.hard) { Self { reading: weighed, ..self } } else { self }
    }

    /// The dialog of a tool that is open.
    pub fn dialog(&self) -> Option<&Dialog> {
        self.screen()?.dialog.as_ref()
    }

    /// Does somebody's draft stand in a tool's composer while nothing runs? There is nothing to interrupt then, and the
    /// key would clear the draft.
    pub fn has_idle_draft(&self) -> bool {
        self.screen().is_some_and(|screen| {
            matches!(screen.composer, ComposerReading::Draft(_)) && screen.working.is_empty() && screen.dialog.is_none()
        })
    }

    fn screen(&self) -> Option<&ScreenReading> {
        self.reading.screen.as_deref()
    }

    /// What stands in the composer; for a tool, as far as its composer shows it.
    pub(super) fn composed(&self, footing: &Footing) -> String {
        match self.screen().map(|screen| &screen.composer) {
            None => footing.composed(&self.look),
            Some(ComposerReading::Draft(text)) => text.clone(),
            Some(ComposerReading::Absent | ComposerReading::Empty | ComposerReading::Unclear) => String::new(),
        }
    }

    /// Does the composer show our text?
    pub(super) fn shown(&self, sought: &Sought, footing: &Footing) -> Option<Shown> {
        let text = self.composed(footing);
        match self.screen() {
            None => proof::shown(sought, &text, footing.folded()),
            Some(_) => proof::shown_whole(sought, &text, footing.folded()),
        }
    }

    /// Does it show our text and nothing else? What a person added, however little, shows here.
    pub(super) fn alone(&self, sought: &Sought, footing: &Footing) -> bool {
        let text = self.composed(footing);
        match self.screen() {
            None => proof::alone(sought, &text),
            Some(_) => proof::shown_whole(sought, &text, footing.folded()).is_some(),
        }
    }

    /// Is a tool's composer there, and empty?
    pub fn is_empty(&self) -> bool {
        self.screen().is_some_and(|screen| screen.composer == ComposerReading::Empty)
    }

    /// Is a menu of the composer open, of which Enter would take a choice?
    pub(super) fn has_menu(&self) -> bool {
        self.screen().is_some_and(|screen| screen.menu)
    }

    /// Is the composer exactly as it was before Enter?
    pub(super) fn holds(&self, before: &Self, footing: &Footing) -> bool {
        match self.screen() {
            None => proof::holds(&before.look, &self.look),
            Some(screen) => {
                screen.dialog.is_none()
                    && screen.working.is_empty()
                    && proof::same_signs(&self.composed(footing), &before.composed(footing))
            }
        }
    }

    /// What proves that the program took the text when Enter was pressed; `None` while nothing does. The flag: it is
    /// certain by itself. `before` is the moment before Enter, where it is known. `stashed` is a draft that the tool
    /// brings back when it takes a prompt, and never sooner by itself.
    pub(super) fn took(
        &self,
        sought: &Sought,
        before: Option<&Self>,
        footing: &Footing,
        stashed: Option<&str>,
    ) -> Option<(&'static str, bool)> {
        let Some(screen) = self.screen() else {
            let before = before.map(|sight| (&sight.look, &sight.around));
            return proof::took(sought, before, &self.look, &self.around).map(|proof| (proof, true));
        };
        if screen.dialog.is_some() {
            return Some(("dialog_opened", true));
        }
        match &screen.composer {
            ComposerReading::Draft(_) if self.shown(sought, footing).is_some() => None,
            ComposerReading::Draft(text) if stashed.is_some_and(|draft| proof::same_signs(text, draft)) => {
                Some(("draft_restored", true))
            }
            ComposerReading::Draft(_) => {
                let person = before.is_some_and(|was| self.look.now.person_activity > was.look.now.person_activity);
                person.then_some(("person_types_on", true))
            }
            _ if !screen.working.is_empty() => Some(("tool_works", true)),
            ComposerReading::Empty => Some(("composer_emptied", false)),
            ComposerReading::Absent => Some(("composer_gone", false)),
            ComposerReading::Unclear => None,
        }
    }
}

/// Are these two texts one, but for blanks and what a tool makes of them?
pub fn same_text(one: &str, other: &str) -> bool {
    proof::same_signs(one, other)
}

/// Does a tool's composer hold this text, sign for sign, and nothing else?
pub fn holds_exactly(prompt: &Prompt, sight: &Sight) -> bool {
    match sight.screen().map(|screen| &screen.composer) {
        Some(ComposerReading::Draft(text)) => proof::same_signs(text, prompt.text()),
        _ => false,
    }
}

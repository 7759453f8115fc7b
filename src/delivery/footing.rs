//! Where a text is to stand: what the pane looked like in the moment before it was typed. Pure.
//!
//! It goes on record with the intent, so that whoever takes a delivery up after a crash knows as much as the one
//! that began it.

use serde::{Deserialize, Serialize};

use super::proof::folds;
use crate::{
    agents::ComposerReading,
    tmux::input::{Look, PaneNow},
    tracker::{Around, FRAMES, View, cursor_text},
};

/// The moment before a text was typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footing {
    /// What stood left of the cursor: the prompt.
    prompt: String,
    /// The cursor's row, counted from the first row that ever scrolled out.
    line: usize,
    /// The cursor's column.
    column: usize,
    /// When a person last pressed a key, as tmux knew it.
    pub(super) session_activity: i64,
    /// The foreground program.
    pub(super) command: String,
    /// What the pane remembered of texts that were typed.
    pub(super) typed: String,
    /// What it remembered of texts that were submitted.
    pub(super) entered: String,
    /// Folded pastes that stood in the composer.
    #[serde(default)]
    folded: usize,
}

impl Footing {
    /// From the look that led to the decision to type.
    pub fn of(look: &Look, view: &View) -> Self {
        let bare = Self {
            prompt: cursor_text(look).0,
            line: look.now.cursor_line(),
            column: look.now.cursor_x,
            session_activity: look.now.session_activity,
            command: look.now.command.clone(),
            typed: look.now.typed.clone(),
            entered: look.now.entered.clone(),
            folded: 0,
        };
        let composed = match view.read(look, &Around::default()).screen.map(|screen| screen.composer) {
            Some(ComposerReading::Draft(text)) => text,
            Some(_) => String::new(),
            None => bare.composed(look),
        };
        Self { folded: folds(&composed), ..bare }
    }

    /// Folded pastes that stood in the composer before.
    pub(super) fn folded(&self) -> usize {
        self.folded
    }

    /// Has nobody typed since, as far as the pane remembers?
    pub fn is_untouched(&self, now: &PaneNow) -> bool {
        now.typed == self.typed && now.entered == self.entered
    }

    /// The text between the prompt and the cursor: what a person would see in the composer.
    pub(super) fn composed(&self, look: &Look) -> String {
        let at = look.now.cursor_y.min(look.rows.len().saturating_sub(1));
        let prompt = self.prompt.trim_end();
        let first = if prompt.is_empty() {
            // Nothing marks the beginning but its place, which holds until the pane is drawn anew.
            self.line.checked_sub(look.now.history).filter(|row| *row <= at).unwrap_or(at)
        } else {
            // The nearest prompt above the cursor; scrolled out, everything visible belongs to the text.
            (0..=at).rev().find(|row| look.rows[*row].starts_with(prompt)).unwrap_or(0)
        };
        let skip =
            if look.rows.get(first).is_some_and(|row| row.starts_with(prompt)) { prompt.chars().count() } else { 0 };
        let mut text = String::new();
        for row in first..=at {
            let whole = if row == at { cursor_text(look).0 } else { look.rows[row].clone() };
            let skip = if row == first { skip } else { 0 };
            let part: String = whole.chars().skip(skip).collect();
            text.push_str(part.trim_matches(|c: char| FRAMES.contains(&c)));
        }
        text
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::delivery) fn screen(rows: &[&str], x: usize, y: usize) -> Look {
        let now = PaneNow { cursor_x: x, cursor_y: y, width: 20, height: rows.len(), ..PaneNow::default() };
        Look { now, rows: rows.iter().map(|row| (*row).to_owned()).collect(), ..Look::default() }
    }

    #[test]
    fn the_composer_begins_at_the_nearest_prompt() {
        let footing = Footing::of(&screen(&["> hello", "❯", ""], 2, 1), &View::new("x", None));
        assert_eq!(footing.composed(&screen(&["> hello", "❯", ""], 2, 1)).trim(), "");
        assert_eq!(footing.composed(&screen(&["> hello", "❯ hello", ""], 7, 1)).trim(), "hello");
        assert_eq!(
            footing.composed(&screen(&["❯ a long text that ", "wraps here"], 5, 1)).trim(),
            "a long text that wraps"
        );
        assert_eq!(
            footing.composed(&screen(&["of a long", "text"], 4, 1)),
            "of a longtext",
            "the prompt has scrolled out"
        );
    }

    #[test]
    fn frames_do_not_count_and_without_a_prompt_the_place_does() {
        let framed = Footing::of(&screen(&["│ >              │"], 4, 0), &View::new("x", None));
        assert_eq!(framed.composed(&screen(&["│ > fix it       │"], 10, 0)).trim(), "fix it");
        let blank = Footing::of(&screen(&["working", ""], 0, 1), &View::new("x", None));
        assert_eq!(blank.composed(&screen(&["working", "next"], 4, 1)), "next");
    }
}

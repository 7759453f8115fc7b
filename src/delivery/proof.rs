//! What a screen proves about our own text. Pure.

use super::prompt::Prompt;
use crate::{
    tmux::input::Look,
    tracker::{Around, Composer, composer, cursor_text},
};

/// Characters at the end of a text that must be seen.
const TAIL: usize = 48;

/// Fewer letters and digits than these prove nothing by themselves.
const ENOUGH: usize = 3;

/// How the composers of agents abbreviate a long paste.
const PLACEHOLDERS: [&str; 2] = ["[Pasted", "[Paste #"];

/// A text in the forms in which a screen can show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sought {
    /// The end of its last line that holds anything: letters and digits, which survive wrapping, frames and fonts.
    letters: String,
    /// The same, everything but blanks.
    signs: String,
    /// The whole text, everything but blanks.
    whole: String,
    /// Its letters and digits.
    whole_letters: String,
}

impl Sought {
    pub(super) fn of(prompt: &Prompt) -> Self {
        // The cursor ends up behind the last line with something on it.
        let line = prompt.text().trim_end().rsplit('\n').next().unwrap_or_default();
        Self {
            letters: last(&letters(line)),
            signs: last(&signs(line)),
            whole: signs(prompt.text()),
            whole_letters: letters(prompt.text()),
        }
    }
}

fn last(text: &str) -> String {
    let skip = text.chars().count().saturating_sub(TAIL);
    text.chars().skip(skip).collect()
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

fn signs(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// How a composer shows that a text landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Its end stands in front of the cursor.
    Text,
    /// A placeholder for a paste does.
    Placeholder,
    /// Something does; the text has too few letters to be found in the way a terminal draws it.
    Something,
}

impl Shown {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text_at_cursor",
            Self::Placeholder => "paste_placeholder",
            Self::Something => "composer_not_empty",
        }
    }
}

/// Do the composer's signs before the cursor end with the text? `folded` pastes stood in it before.
pub(super) fn shown(sought: &Sought, composed: &str, folded: usize) -> Option<Shown> {
    let seen = signs(composed);
    if seen.is_empty() {
        return None;
    }
    let enough = sought.letters.chars().count() >= ENOUGH;
    if seen.ends_with(&sought.signs) || (enough && letters(composed).ends_with(&sought.letters)) {
        return Some(Shown::Text);
    }
    if folds(composed) > folded {
        return Some(Shown::Placeholder);
    }
    (!enough).then_some(Shown::Something)
}

/// Does a tool's composer show the text and nothing else? A composer that is too small shows the end of it.
pub(super) fn shown_whole(sought: &Sought, composed: &str, folded: usize) -> Option<Shown> {
    let seen = signs(composed);
    if seen.is_empty() {
        return None;
    }
    let is_end = |whole: &str, seen: &str| whole == seen || (seen.chars().count() >= TAIL && whole.ends_with(seen));
    let enough = sought.letters.chars().count() >= ENOUGH;
    if is_end(&sought.whole, &seen) || (enough && is_end(&sought.whole_letters, &letters(composed))) {
        return Some(Shown::Text);
    }
    if folds(composed) > folded {
        return Some(Shown::Placeholder);
    }
    (!enough).then_some(Shown::Something)
}

/// How many folded pastes stand in a composer.
pub(super) fn folds(composed: &str) -> usize {
    PLACEHOLDERS.iter().map(|sign| composed.matches(sign).count()).sum()
}

/// Are two composers alike but for blanks?
pub(super) fn same_signs(one: &str, other: &str) -> bool {
    signs(one) == signs(other)
}

/// Does the composer show this text and nothing else? What a person added, however little, shows here.
pub(super) fn alone(sought: &Sought, composed: &str) -> bool {
    signs(composed) == sought.whole
}

/// What was typed behind our text on the cursor's row: empty if our text stands there alone, `None` if it is not to be
/// found there.
pub(super) fn behind(prompt: &Prompt, now: &Look) -> Option<String> {
    let (before, after) = cursor_text(now);
    if after.chars().any(char::is_alphanumeric) {
        return None;
    }
    let line = prompt.text().trim_end().rsplit('\n').next().unwrap_or_default();
    let ends: Vec<usize> = line.char_indices().map(|(at, _)| at).rev().take(TAIL).collect();
    // The row may begin in the middle of the line, but a few signs may stand anywhere.
    let mut long_enough = ends.into_iter().skip(ENOUGH - 1).rev();
    let found = long_enough.find_map(|at| Some(before.rfind(&line[at..])? + line.len() - at))?;
    Some(before[found..].to_owned())
}

fn cursor_row(look: &Look) -> &str {
    look.rows.get(look.now.cursor_y).map(String::as_str).unwrap_or_default()
}

/// Is the composer exactly as it was before Enter: the same row at the same place, the cursor where it was?
pub(super) fn holds(before_enter: &Look, now: &Look) -> bool {
    // A program that paints from the first row moves rows into the history that were never scrolled away.
    let stayed =
        now.now.cursor_line() == before_enter.now.cursor_line() || now.now.cursor_y == before_enter.now.cursor_y;
    stayed && now.now.cursor_x == before_enter.now.cursor_x && cursor_row(now) == cursor_row(before_enter)
}

/// What proves that the program took the text when Enter was pressed; `None` while nothing does.
///
/// That the cursor moved proves nothing: a program may take an Enter for a line break. `before` is the moment before
/// Enter, where it is known.
pub(super) fn took(
    sought: &Sought,
    before: Option<(&Look, &Around)>,
    now: &Look,
    around: &Around,
) -> Option<&'static str> {
    if before.is_some_and(|(look, _)| holds(look, now)) {
        return None;
    }
    match composer(now, false) {
        Composer::Empty => return Some("prompt_is_back"),
        Composer::Continuation => return Some("asks_for_the_rest"),
        Composer::Draft(text) if before.is_some_and(|(look, _)| is_a_persons(sought, look, &text, now)) => {
            return Some("person_types_on");
        }
        Composer::Draft(_) | Composer::Ambiguous | Composer::Absent => {}
    }
    let modes = before.map_or(around.modes, |(_, around)| around.modes);
    if modes.is_some_and(|modes| modes.canonical) {
        return Some("terminal_took_the_line");
    }
    // Behind Enter a hidden cursor means work, or a question that the program asks now.
    if !now.now.cursor_shown && before.is_none_or(|(look, _)| look.now.cursor_shown) {
        return Some("cursor_hidden");
    }
    let (look, was) = before?;
    if was.modes != around.modes {
        return Some("terminal_modes_changed");
    }
    let own = |around: &Around| around.foreground.as_ref().map(|foreground| foreground.is_own);
    if own(was) != own(around) {
        return Some("another_program_runs");
    }
    (look.now.alternate != now.now.alternate).then_some("other_screen")
}

/// Is this draft what a person typed since then, and nothing of ours?
fn is_a_persons(sought: &Sought, then: &Look, draft: &str, now: &Look) -> bool {
    let known = sought.letters.chars().count() >= ENOUGH && !letters(draft).contains(&sought.letters);
    known && now.now.person_activity > then.now.person_activity
}

/// The cursor's row for the record: short, and without what a terminal would act on.
pub(super) fn excerpt(look: &Look) -> String {
    let row = cursor_row(look);
    let skip = row.chars().count().saturating_sub(120);
    row.chars().skip(skip).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        delivery::{Footing, footing::tests::screen},
        os::terminal::Modes,
        tracker::View,
    };

    fn sought(text: &str) -> Sought {
        Sought::of(&Prompt::clean(text).unwrap())
    }

    fn seen(text: &str, before: &Look, now: &Look) -> Option<Shown> {
        let footing = Footing::of(before, &View::new("x", None));
        shown(&sought(text), &footing.composed(now), footing.folded())
    }

    #[test]
    fn a_text_is_found_at_the_cursor_wrapped_and_framed() {
        let before = screen(&["$", ""], 2, 0);
        assert_eq!(seen("echo hi", &before, &screen(&["$ echo hi", ""], 9, 0)), Some(Shown::Text));
        assert_eq!(seen("echo hi", &before, &screen(&["$ echo h", ""], 8, 0)), None);
        let frame = screen(&["│ > ", ""], 4, 0);
        let framed = screen(&["│ > a long line     │", "│ that wraps        │"], 12, 1);
        assert_eq!(seen("a long line that wraps", &frame, &framed), Some(Shown::Text));
        assert_eq!(seen("one\ntwo three", &before, &screen(&["$ one", "two three"], 9, 1)), Some(Shown::Text));
    }

    #[test]
    fn the_same_text_above_the_composer_proves_nothing() {
        let before = screen(&["> hello", "❯", "12:00"], 2, 1);
        assert_eq!(seen("hello", &before, &before), None);
        assert_eq!(seen("hello", &before, &screen(&["> hello", "❯", "12:01"], 2, 1)), None);
        assert_eq!(seen("hello", &before, &screen(&["> hello", "❯ hello", ""], 7, 1)), Some(Shown::Text));
    }

    #[test]
    fn a_placeholder_and_an_undrawable_text_are_told_from_nothing() {
        let before = screen(&["❯", ""], 2, 0);
        let pasted = screen(&["❯ [Pasted text #1 +11 lines]", ""], 28, 0);
        assert_eq!(seen("line 1\nline 12", &before, &pasted), Some(Shown::Placeholder));
        assert_eq!(seen("👩‍👩‍👧", &before, &screen(&["❯ 👩👩👧", ""], 8, 0)), Some(Shown::Something));
        assert_eq!(seen("👩‍👩‍👧", &before, &before), None);
        assert_eq!(seen("?", &before, &screen(&["❯ ?", ""], 3, 0)), Some(Shown::Text));
    }

    #[test]
    fn what_a_person_added_is_seen_however_little_it_is() {
        let footing = Footing::of(&screen(&["❯", ""], 2, 0), &View::new("x", None));
        assert!(alone(&sought("fix it"), &footing.composed(&screen(&["❯ fix it", ""], 8, 0))));
        for (row, cursor) in [("❯ fix it!", 9), ("❯ xfix it", 9), ("❯ fix it; NOT", 13)] {
            assert!(!alone(&sought("fix it"), &footing.composed(&screen(&[row, ""], cursor, 0))), "{row}");
        }
    }

    #[test]
    fn what_stands_behind_our_text_is_cut_out() {
        let prompt = Prompt::clean("run the tests").unwrap();
        let row = |text: &str| screen(&[text, ""], text.chars().count(), 0);
        assert_eq!(behind(&prompt, &row("❯ run the testsls -l")).as_deref(), Some("ls -l"));
        assert_eq!(behind(&prompt, &row("❯ run the tests")).as_deref(), Some(""));
        assert_eq!(behind(&prompt, &row("❯ xx")), None);
    }

    #[test]
    fn an_unchanged_composer_holds_the_text_and_a_changed_one_does_not() {
        let typed = screen(&["old", "❯ hello"], 7, 1);
        assert!(holds(&typed, &screen(&["spinner", "❯ hello"], 7, 1)));
        let mut painted = typed.clone();
        painted.now.history += 2;
        assert!(holds(&typed, &painted));
        assert!(!holds(&typed, &screen(&["❯ hello", "❯ "], 2, 1)));
        assert!(!holds(&typed, &screen(&["old", "❯ hello", ""], 0, 2)));
    }

    #[test]
    fn a_cursor_that_moved_is_no_proof_by_itself() {
        let modes = |canonical| Around { modes: Some(Modes { canonical, signals: false }), foreground: None };
        let mut typed = screen(&["❯ hello", ""], 7, 0);
        typed.now.cursor_shown = true;
        let mut next = screen(&["❯ hello", ""], 0, 1);
        next.now.cursor_shown = true;
        let raw = (typed.clone(), modes(false));
        assert_eq!(took(&sought("hello"), Some((&raw.0, &raw.1)), &typed, &modes(false)), None);
        assert_eq!(
            took(&sought("hello"), Some((&raw.0, &raw.1)), &next, &modes(false)),
            None,
            "it may be a line break in the composer"
        );
        assert_eq!(took(&sought("hello"), Some((&raw.0, &raw.1)), &next, &modes(true)), Some("terminal_modes_changed"));
        assert_eq!(
            took(&sought("hello"), Some((&typed, &modes(true))), &next, &modes(true)),
            Some("terminal_took_the_line")
        );
        let mut working = next.clone();
        working.now.cursor_shown = false;
        assert_eq!(took(&sought("hello"), Some((&raw.0, &raw.1)), &working, &modes(false)), Some("cursor_hidden"));
        let back = screen(&["> hello", "❯ "], 2, 1);
        assert_eq!(took(&sought("hello"), Some((&raw.0, &raw.1)), &back, &modes(false)), Some("prompt_is_back"));
        let mut person = screen(&["> hello", "❯ and"], 5, 1);
        person.now.person_activity = Some(9);
        assert_eq!(took(&sought("hello"), Some((&raw.0, &raw.1)), &person, &modes(false)), Some("person_types_on"));
        assert_eq!(took(&sought("hello"), None, &next, &modes(false)), None);
    }
}

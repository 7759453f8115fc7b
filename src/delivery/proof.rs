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

/// The end of a text in a form that survives wrapping, frames and fonts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tail {
    /// Letters and digits only.
    letters: String,
    /// Everything but blanks.
    signs: String,
}

impl Tail {
    pub(super) fn of(prompt: &Prompt) -> Self {
        // The last line with something on it: that is where the cursor ends up.
        let line = prompt.text().trim_end().rsplit('\n').next().unwrap_or_default();
        Self { letters: last(&letters(line)), signs: last(&signs(line)) }
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

/// How a text shows that it landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Its end stands at the cursor.
    Text,
    /// A placeholder for a paste appeared.
    Placeholder,
    /// It has too few letters to be found, and the cursor's row changed.
    Change,
    /// It stands alone at the cursor, sign for sign.
    Alone,
}

impl Shown {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text_at_cursor",
            Self::Placeholder => "paste_placeholder",
            Self::Change => "cursor_row_changed",
            Self::Alone => "text_alone_at_cursor",
        }
    }
}

/// Does the pane show that the text landed? `before` is the look before it was typed, if there was one.
pub(super) fn shown(tail: &Tail, before: Option<&Look>, now: &Look) -> Option<Shown> {
    // The same text may stand above, from an earlier prompt.
    let untouched = before.map_or_else(|| composer(now, false) == Composer::Empty, |before| holds(before, now));
    if untouched {
        return None;
    }
    let seen = up_to_cursor(now);
    let (has_letters, at_cursor) = if tail.letters.chars().count() >= ENOUGH {
        (true, letters(&seen).ends_with(&tail.letters))
    } else {
        (false, signs(&seen).ends_with(&tail.signs))
    };
    if at_cursor {
        return Some(Shown::Text);
    }
    let Some(before) = before else {
        let abbreviated = PLACEHOLDERS.iter().any(|sign| cursor_row(now).contains(sign));
        return abbreviated.then_some(Shown::Placeholder);
    };
    if placeholders(now) > placeholders(before) {
        return Some(Shown::Placeholder);
    }
    // Emoji and combined signs are drawn in ways that a terminal does not give back.
    let changed = cursor_row(before) != cursor_row(now) && now.now.cursor_x > before.now.cursor_x;
    (!has_letters && changed).then_some(Shown::Change)
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

/// Everything from the top of the screen to the cursor.
fn up_to_cursor(look: &Look) -> String {
    let above = look.rows.iter().take(look.now.cursor_y);
    let mut text: String = above.flat_map(|row| [row.as_str(), " "]).collect();
    text.push_str(&cursor_text(look).0);
    text
}

fn cursor_row(look: &Look) -> &str {
    look.rows.get(look.now.cursor_y).map(String::as_str).unwrap_or_default()
}

fn placeholders(look: &Look) -> usize {
    look.rows.iter().map(|row| PLACEHOLDERS.iter().map(|sign| row.matches(sign).count()).sum::<usize>()).sum()
}

/// Is the composer exactly as it was before Enter: the same row at the same place, the cursor where it was?
pub(super) fn holds(before_enter: &Look, now: &Look) -> bool {
    now.now.cursor_line() == before_enter.now.cursor_line()
        && now.now.cursor_x == before_enter.now.cursor_x
        && cursor_row(now) == cursor_row(before_enter)
}

/// What proves that the program took the text when Enter was pressed; `None` while nothing does.
///
/// That the cursor moved proves nothing: a program may take an Enter for a line break. `before` is the moment before
/// Enter, where it is known.
pub(super) fn took(tail: &Tail, before: Option<&(Look, Around)>, now: &Look, around: &Around) -> Option<&'static str> {
    if before.is_some_and(|(look, _)| holds(look, now)) {
        return None;
    }
    match composer(now, false) {
        Composer::Empty => return Some("prompt_is_back"),
        Composer::Continuation => return Some("asks_for_the_rest"),
        Composer::Draft(text) if before.is_some_and(|(look, _)| is_a_persons(tail, look, &text, now)) => {
            return Some("person_types_on");
        }
        Composer::Draft(_) | Composer::Ambiguous | Composer::Absent => {}
    }
    let modes = before.map_or(around.modes, |(_, around)| around.modes);
    if modes.is_some_and(|modes| modes.canonical) {
        return Some("terminal_took_the_line");
    }
    if !now.now.cursor_shown && before.is_none_or(|(look, _)| look.now.cursor_shown) {
        return Some("cursor_hidden");
    }
    let (look, was) = before.map(|(look, around)| (look, around))?;
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
fn is_a_persons(tail: &Tail, then: &Look, draft: &str, now: &Look) -> bool {
    let known = tail.letters.chars().count() >= ENOUGH && !letters(draft).contains(&tail.letters);
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
    use crate::{os::terminal::Modes, tmux::input::PaneNow};

    fn screen(rows: &[&str], x: usize, y: usize) -> Look {
        let now = PaneNow { cursor_x: x, cursor_y: y, width: 20, height: rows.len(), ..PaneNow::default() };
        Look { now, rows: rows.iter().map(|row| (*row).to_owned()).collect() }
    }

    fn tail(text: &str) -> Tail {
        Tail::of(&Prompt::clean(text).unwrap())
    }

    #[test]
    fn a_text_is_found_at_the_cursor_wrapped_and_framed() {
        let before = screen(&["$ ", ""], 2, 0);
        assert_eq!(shown(&tail("echo hi"), Some(&before), &screen(&["$ echo hi", ""], 9, 0)), Some(Shown::Text));
        assert_eq!(shown(&tail("echo hi"), Some(&before), &screen(&["$ echo h", ""], 8, 0)), None);
        let framed = screen(&["│ a long line that   │", "│ wraps              │"], 7, 1);
        assert_eq!(shown(&tail("a long line that wraps"), Some(&before), &framed), Some(Shown::Text));
        let above = screen(&["> echo hi", "$ "], 2, 1);
        assert_eq!(shown(&tail("echo hi x"), Some(&before), &above), None);
    }

    #[test]
    fn the_same_text_of_an_earlier_prompt_proves_nothing() {
        let before = screen(&["> hello", "❯ "], 2, 1);
        assert_eq!(shown(&tail("hello"), Some(&before), &before), None);
        assert_eq!(shown(&tail("hello"), None, &before), None);
        assert_eq!(shown(&tail("hello"), None, &screen(&["> hello", "❯ hello"], 7, 1)), Some(Shown::Text));
    }

    #[test]
    fn a_placeholder_and_an_undrawable_text_are_told_from_nothing() {
        let before = screen(&["❯ ", ""], 2, 0);
        let pasted = screen(&["❯ [Pasted text #1 +11 lines]", ""], 28, 0);
        assert_eq!(shown(&tail("line 1\nline 12"), Some(&before), &pasted), Some(Shown::Placeholder));
        assert_eq!(shown(&tail("line 1\nline 12"), Some(&pasted), &pasted), None, "it was there before");
        assert_eq!(shown(&tail("👩‍👩‍👧"), Some(&before), &screen(&["❯ 👩👩👧", ""], 8, 0)), Some(Shown::Change));
        assert_eq!(shown(&tail("👩‍👩‍👧"), Some(&before), &before), None);
    }

    #[test]
    fn an_unchanged_composer_holds_the_text_and_a_changed_one_does_not() {
        let typed = screen(&["old", "❯ hello"], 7, 1);
        assert!(holds(&typed, &screen(&["spinner", "❯ hello"], 7, 1)));
        assert!(!holds(&typed, &screen(&["❯ hello", "❯ "], 2, 1)));
        assert!(!holds(&typed, &screen(&["old", "❯ hello", ""], 0, 2)));
    }

    #[test]
    fn a_cursor_that_moved_is_no_proof_by_itself() {
        let hello = tail("hello");
        let modes = |canonical| Around { modes: Some(Modes { canonical, signals: false }), foreground: None };
        let mut typed = screen(&["❯ hello", ""], 7, 0);
        typed.now.cursor_shown = true;
        let mut next = screen(&["❯ hello", ""], 0, 1);
        next.now.cursor_shown = true;
        let raw = (typed.clone(), modes(false));
        assert_eq!(took(&hello, Some(&raw), &typed, &modes(false)), None);
        assert_eq!(took(&hello, Some(&raw), &next, &modes(false)), None, "it may be a line break in the composer");
        assert_eq!(took(&hello, Some(&raw), &next, &modes(true)), Some("terminal_modes_changed"));
        assert_eq!(
            took(&hello, Some(&(typed.clone(), modes(true))), &next, &modes(true)),
            Some("terminal_took_the_line")
        );
        let mut working = next.clone();
        working.now.cursor_shown = false;
        assert_eq!(took(&hello, Some(&raw), &working, &modes(false)), Some("cursor_hidden"));
        let back = screen(&["> hello", "❯ "], 2, 1);
        assert_eq!(took(&hello, Some(&raw), &back, &modes(false)), Some("prompt_is_back"));
        assert_eq!(took(&hello, None, &next, &modes(false)), None);

        let mut person = screen(&["> hello", "❯ and"], 5, 1);
        person.now.cursor_shown = true;
        assert_eq!(took(&hello, Some(&raw), &person, &modes(false)), None, "it may be a completion");
        person.now.person_activity = Some(7);
        assert_eq!(took(&hello, Some(&raw), &person, &modes(false)), Some("person_types_on"));
        assert_eq!(took(&tail("sand"), Some(&raw), &person, &modes(false)), Some("person_types_on"));
        assert_eq!(took(&tail("and"), Some(&raw), &person, &modes(false)), None, "it is ours");
    }

    #[test]
    fn what_a_person_typed_behind_the_text_is_told_from_it() {
        let prompt = |text: &str| Prompt::clean(text).unwrap();
        let at = |row: &str, x| screen(&[row], x, 0);
        let extra = |text: &str, row: &str, x| behind(&prompt(text), &at(row, x));
        assert_eq!(extra("fix it.", "❯ fix it.", 9), Some(String::new()));
        assert_eq!(extra("fix it.", "❯ fix it.ö", 10), Some("ö".to_owned()));
        assert_eq!(extra("fix it.", "❯ fix it.a", 12), Some("a  ".to_owned()), "blanks count");
        assert_eq!(extra("one\nfix it.\n", "  fix it.", 9), Some(String::new()));
        assert_eq!(extra("a very long line, wrapped", "  wrapped│", 9), Some(String::new()));
        assert_eq!(extra("fix it.", "❯ fix i", 7), None);
        assert_eq!(extra("fix it.", "❯ fix it.and more", 9), None, "the cursor stands inside");
        assert_eq!(extra("hi", "❯ hi", 4), None, "two signs may stand anywhere");
    }
}

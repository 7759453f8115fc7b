//! What a line reader printed between a prompt and the next one. Pure.

use crate::tmux::input::Look;

/// Where a turn began on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The row of the composer when Enter was pressed, counted from the first row that ever scrolled out.
    line: usize,
    /// What stood in that row.
    row: String,
    alternate: bool,
}

/// Which rows hold a reply, for `Hand::text`, or why there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// From the first to the last of these rows.
    Rows(i64, i64),
    /// It printed nothing.
    Nothing,
    /// It cannot be read from the screen; the sentence says why.
    Unreadable(&'static str),
}

impl Start {
    /// The look before Enter was pressed.
    pub fn at(look: &Look) -> Self {
        let row = look.rows.get(look.now.cursor_y).map(|row| row.trim_end().to_owned()).unwrap_or_default();
        Self { line: look.now.cursor_line(), row, alternate: look.now.alternate }
    }

    /// Where its row stands now, and what must stand there, if rows may have been dropped from the history since:
    /// tmux drops a tenth when it is full, and every row behind moves up.
    pub(super) fn anchor(&self, end: &Look) -> Option<(i64, &str)> {
        let is_nearly_full = end.now.history.saturating_mul(10) >= end.now.history_limit.saturating_mul(9);
        is_nearly_full.then(|| (row_of(self.line, end), self.row.as_str()))
    }
}

/// A row counted from the first one that ever scrolled out, as `Hand::text` counts.
fn row_of(line: usize, look: &Look) -> i64 {
    i64::try_from(line).unwrap_or(i64::MAX) - i64::try_from(look.now.history).unwrap_or(i64::MAX)
}

/// The rows between the prompt that was submitted and the one that stands at the cursor now.
pub(super) fn cut(start: &Start, end: &Look) -> Reply {
    if start.alternate || end.now.alternate {
        return Reply::Unreadable("the program draws on the alternate screen");
    }
    let (first, last) = (row_of(start.line + 1, end), row_of(end.now.cursor_line(), end) - 1);
    if last < first { Reply::Nothing } else { Reply::Rows(first, last) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tmux::input::PaneNow;

    fn look(history: usize, cursor_y: usize) -> Look {
        let now = PaneNow { history, cursor_y, history_limit: 100, height: 5, ..PaneNow::default() };
        Look { now, rows: vec![], ..Look::default() }
    }

    #[test]
    fn rows_are_counted_from_the_visible_top() {
        assert_eq!(cut(&Start::at(&look(0, 0)), &look(0, 3)), Reply::Rows(1, 2));
        assert_eq!(cut(&Start::at(&look(0, 1)), &look(10, 4)), Reply::Rows(-8, 3));
        assert_eq!(cut(&Start::at(&look(0, 1)), &look(0, 2)), Reply::Nothing);
    }

    #[test]
    fn a_history_that_may_have_dropped_rows_needs_an_anchor() {
        let mut before = look(85, 1);
        before.rows = vec![String::new(), "$ ls  ".to_owned()];
        let start = Start::at(&before);
        assert_eq!(start.anchor(&look(89, 4)), None);
        assert_eq!(start.anchor(&look(91, 4)), Some((-5, "$ ls")));
    }
}

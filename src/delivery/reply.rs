//! What a line reader printed between a prompt and the next one. Pure.

use crate::tmux::input::Look;

/// Where a turn began on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The row of the composer when Enter was pressed, counted from the first row that ever scrolled out.
    line: usize,
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
        Self { line: look.now.cursor_line(), alternate: look.now.alternate }
    }
}

/// The rows between the prompt that was submitted and the one that stands at the cursor now.
pub(super) fn cut(start: Start, end: &Look) -> Reply {
    if start.alternate || end.now.alternate {
        return Reply::Unreadable("the program draws on the alternate screen");
    }
    if end.now.history >= end.now.history_limit {
        return Reply::Unreadable("the pane's history is full, and rows were dropped");
    }
    let row = |line: usize| {
        let line = i64::try_from(line).unwrap_or(i64::MAX);
        line - i64::try_from(end.now.history).unwrap_or(i64::MAX)
    };
    let (first, last) = (row(start.line + 1), row(end.now.cursor_line()) - 1);
    if last < first { Reply::Nothing } else { Reply::Rows(first, last) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tmux::input::PaneNow;

    fn look(history: usize, cursor_y: usize) -> Look {
        let now = PaneNow { history, cursor_y, history_limit: 100, height: 5, ..PaneNow::default() };
        Look { now, rows: vec![] }
    }

    #[test]
    fn rows_are_counted_from_the_visible_top() {
        assert_eq!(cut(Start::at(&look(0, 0)), &look(0, 3)), Reply::Rows(1, 2));
        assert_eq!(cut(Start::at(&look(0, 1)), &look(10, 4)), Reply::Rows(-8, 3));
        assert_eq!(cut(Start::at(&look(0, 1)), &look(0, 2)), Reply::Nothing);
        assert!(matches!(cut(Start::at(&look(0, 1)), &look(100, 2)), Reply::Unreadable(_)));
    }
}

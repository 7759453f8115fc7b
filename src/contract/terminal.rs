//! A terminal without a window: bytes in, what it shows out.

use std::num::NonZeroU16;

use crate::model::{Color, Row, Run, Screen, Style};

/// A terminal of one size at a time.
pub(super) struct Terminal {
    parser: vt100::Parser,
}

impl Terminal {
    pub(super) fn new(width: u16, height: u16) -> Self {
        Self { parser: vt100::Parser::new(whole(height), whole(width), 0) }
    }

    pub(super) fn print(&mut self, text: &str) {
        self.parser.process(text.as_bytes());
    }

    pub(super) fn resize(&mut self, width: u16, height: u16) {
        self.parser.set_size(whole(height), whole(width));
    }

    /// What it shows now.
    pub(super) fn screen(&self, title: &str) -> Screen {
        let shown = self.parser.screen();
        let (height, width) = shown.size();
        let (cursor_y, cursor_x) = shown.cursor_position();
        Screen {
            rows: (0..height.get()).map(|row| self.row(row, width.get())).collect(),
            width: width.get().into(),
            height: height.get().into(),
            cursor_x: cursor_x.into(),
            cursor_y: cursor_y.into(),
            cursor_shown: !shown.hide_cursor(),
            alternate: shown.alternate_screen(),
            title: title.to_owned(),
        }
    }

    fn row(&self, row: u16, width: u16) -> Row {
        let mut runs: Vec<Run> = Vec::new();
        let cells = (0..width).filter_map(|column| self.parser.screen().cell(row, column));
        for cell in cells.filter(|cell| !cell.is_wide_continuation()) {
            let style = style(cell);
            let text = if cell.has_contents() { cell.contents() } else { " " };
            match runs.last_mut() {
                Some(run) if run.style == style => run.text.push_str(text),
                _ => runs.push(Run { text: text.to_owned(), style }),
            }
        }
        Row { runs }
    }
}

/// A recording that says 0 means a terminal of one cell.
fn whole(size: u16) -> NonZeroU16 {
    NonZeroU16::new(size).unwrap_or(NonZeroU16::MIN)
}

fn style(cell: &vt100::Cell) -> Style {
    let color = |color: vt100::Color| match color {
        vt100::Color::Default => Color::Default,
        vt100::Color::Idx(number) => Color::Indexed(number),
        vt100::Color::Rgb(red, green, blue) => Color::Rgb(red, green, blue),
    };
    Style {
        foreground: color(cell.fgcolor()),
        background: color(cell.bgcolor()),
        bold: cell.bold(),
        dim: cell.dim(),
        italic: cell.italic(),
        underlined: cell.underline(),
        inverse: cell.inverse(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_stands_there_with_its_colours() {
        let mut terminal = Terminal::new(10, 2);
        terminal.print("\u{1b}[2;1H\u{1b}[2mab\u{1b}[0m\u{1b}[48;5;236m漢\u{1b}[0mc");
        let screen = terminal.screen("t");
        assert_eq!(screen.texts(), ["", "ab漢c"]);
        assert!(screen.rows[1].runs[0].style.dim);
        assert_eq!(screen.rows[1].runs[1].style.background, Color::Indexed(236));
        assert_eq!((screen.cursor_x, screen.cursor_y), (5, 1));
        terminal.resize(4, 1);
        assert_eq!(terminal.screen("t").width, 4);
    }
}

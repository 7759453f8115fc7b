//! What a terminal shows at one moment: rows of styled text, cursor, title. No I/O.

/// A colour as the program asked for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Color {
    /// The terminal's own.
    #[default]
    Default,
    /// One of the 256 of the palette.
    Indexed(u8),
    /// Red, green, blue.
    Rgb(u8, u8, u8),
}

/// How a piece of text is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Style {
    /// Colour of the letters.
    pub foreground: Color,
    /// Colour behind them.
    pub background: Color,
    /// SGR 1.
    pub bold: bool,
    /// SGR 2: how most composers draw a placeholder.
    pub dim: bool,
    /// SGR 3.
    pub italic: bool,
    /// SGR 4.
    pub underlined: bool,
    /// SGR 7: how some programs draw a cursor of their own.
    pub inverse: bool,
}

impl Style {
    /// Applies one SGR sequence's parameters, as in `1;38;5;231`. Unknown ones change nothing.
    pub fn apply(&mut self, parameters: &str) {
        let mut numbers = parameters.split([';', ':']).map(|one| one.parse::<u16>().unwrap_or(0));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underlined = true,
                7 => self.inverse = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underlined = false,
                27 => self.inverse = false,
                30..=37 => self.foreground = indexed(number - 30),
                38 => self.foreground = extended(&mut numbers).unwrap_or(self.foreground),
                39 => self.foreground = Color::Default,
                40..=47 => self.background = indexed(number - 40),
                48 => self.background = extended(&mut numbers).unwrap_or(self.background),
                49 => self.background = Color::Default,
                90..=97 => self.foreground = indexed(number - 82),
                100..=107 => self.background = indexed(number - 92),
                _ => {}
            }
        }
    }
}

fn indexed(number: u16) -> Color {
    Color::Indexed(u8::try_from(number).unwrap_or(u8::MAX))
}

fn extended(numbers: &mut impl Iterator<Item = u16>) -> Option<Color> {
    let mut byte = || numbers.next().and_then(|number| u8::try_from(number).ok());
    match byte()? {
        5 => Some(Color::Indexed(byte()?)),
        2 => Some(Color::Rgb(byte()?, byte()?, byte()?)),
        _ => None,
    }
}

/// Neighbouring cells that are drawn alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Run {
    /// What they hold.
    pub text: String,
    /// How they are drawn.
    pub style: Style,
}

/// One row, left to right; what is blank at its end may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Row {
    /// Its pieces.
    pub runs: Vec<Run>,
}

impl Row {
    /// Its text without the blanks at its end.
    pub fn text(&self) -> String {
        let whole: String = self.runs.iter().map(|run| run.text.as_str()).collect();
        whole.trim_end().to_owned()
    }

    /// Each character with its style, left to right.
    pub fn styled(&self) -> impl Iterator<Item = (char, Style)> + '_ {
        self.runs.iter().flat_map(|run| run.text.chars().map(|c| (c, run.style)))
    }

    fn push(&mut self, c: char, style: Style) {
        match self.runs.last_mut() {
            Some(run) if run.style == style => run.text.push(c),
            _ => self.runs.push(Run { text: c.to_string(), style }),
        }
    }
}

/// A terminal at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Screen {
    /// Top to bottom, as many as `height`.
    pub rows: Vec<Row>,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The cursor's column, from 0.
    pub cursor_x: usize,
    /// The cursor's row, from 0.
    pub cursor_y: usize,
    /// The program shows the cursor.
    pub cursor_shown: bool,
    /// The program draws on the alternate screen.
    pub alternate: bool,
    /// The title that the program set; empty if none.
    pub title: String,
}

impl Screen {
    /// Reads rows as `capture-pane -e` prints them: a style goes on into the next row until it is changed. Sequences
    /// other than SGR, and what has no place on a screen, are left out.
    pub fn styled_rows<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Row> {
        let mut style = Style::default();
        lines.into_iter().map(|line| styled_row(line, &mut style)).collect()
    }

    /// Every row's text.
    pub fn texts(&self) -> Vec<String> {
        self.rows.iter().map(Row::text).collect()
    }
}

fn styled_row(line: &str, style: &mut Style) -> Row {
    let mut row = Row::default();
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            escape(&mut rest, style);
        } else if c == '\u{0e}' || c == '\u{0f}' || (c.is_control() && c != '\t') {
            // Shifts of the character set and other controls draw nothing.
        } else {
            row.push(c, *style);
        }
    }
    row
}

/// Takes in what follows an ESC.
fn escape(rest: &mut std::str::Chars<'_>, style: &mut Style) {
    match rest.next() {
        Some('[') => {
            let mut parameters = String::new();
            for c in rest.by_ref() {
                match c {
                    'm' => return style.apply(&parameters),
                    '\u{40}'..='\u{7e}' => return,
                    _ => parameters.push(c),
                }
            }
        }
        // A link (OSC 8): up to its end.
        Some(']') => {
            while let Some(c) = rest.next() {
                if c == '\u{7}' || (c == '\u{1b}' && rest.next() == Some('\\')) {
                    return;
                }
            }
        }
        Some('(' | ')') => drop(rest.next()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_go_on_into_the_next_row() {
        let rows = Screen::styled_rows(["a\u{1b}[2;38;5;8mb", "c\u{1b}[0;38;2;1;2;3md\u{1b}[1me  "]);
        let dim = Style { dim: true, foreground: Color::Indexed(8), ..Style::default() };
        let rgb = Style { foreground: Color::Rgb(1, 2, 3), ..Style::default() };
        assert_eq!(rows[0].runs[1], Run { text: "b".to_owned(), style: dim });
        assert_eq!(rows[1].runs[0], Run { text: "c".to_owned(), style: dim });
        assert_eq!(rows[1].runs[1], Run { text: "d".to_owned(), style: rgb });
        assert_eq!(rows[1].runs[2].style, Style { bold: true, ..rgb });
        assert_eq!(rows[1].text(), "cde");
    }

    #[test]
    fn links_and_other_sequences_draw_nothing() {
        let rows = Screen::styled_rows(["\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\\u{1b}(B\u{1b}[2Kz"]);
        assert_eq!(rows[0].text(), "linkz");
    }
}

//! Paints: lines that stay, and below them a region that is painted anew with each change.

use std::{
    collections::VecDeque,
    io::Write,
    time::{Duration, Instant},
};

/// What stands below the lines that stay.
#[derive(Debug, Default, PartialEq, Clone)]
pub struct Region {
    pub rows: Vec<String>,
    /// The cursor stands at the end of this row; `None` hides it.
    pub cursor: Option<usize>,
}

/// The terminal, as far as we draw on it.
#[derive(Debug)]
pub struct Screen {
    delay: Duration,
    waiting: VecDeque<(Instant, String)>,
    shown: Region,
    /// Lines that are to stay and not painted yet.
    lines: Vec<String>,
    /// The last lines that stay, for a window of another size.
    kept: VecDeque<String>,
}

impl Screen {
    pub fn new(delay: Duration) -> Self {
        Self { delay, waiting: VecDeque::new(), shown: Region::default(), lines: Vec::new(), kept: VecDeque::new() }
    }

    /// Columns and rows of the terminal.
    pub fn size() -> (usize, usize) {
        let size = rustix::termios::tcgetwinsize(std::io::stdout());
        size.map_or((80, 24), |size| (usize::from(size.ws_col).max(10), usize::from(size.ws_row).max(4)))
    }

    /// A line that stays, cut to the window.
    pub fn print(&mut self, line: &str) {
        let (columns, _) = Self::size();
        self.lines.extend(super::composer::wrapped(line, columns - 1).into_iter().next());
    }

    /// Paints what is new. Writes nothing when nothing is.
    pub fn paint(&mut self, region: Region) -> std::io::Result<()> {
        if self.lines.is_empty() && region == self.shown {
            return Ok(());
        }
        let mut text = "\x1b[?25l\r".to_owned();
        let at = self.shown.cursor.unwrap_or(self.shown.rows.len().saturating_sub(1));
        text += &up(at);
        text += "\x1b[J";
        self.draw(text, region)
    }

    /// Paints everything again, for a window that changed its size.
    pub fn repaint(&mut self, region: Region) -> std::io::Result<()> {
        self.lines.splice(..0, std::mem::take(&mut self.kept));
        self.draw("\x1b[?25l\x1b[H\x1b[2J".to_owned(), region)
    }

    fn draw(&mut self, mut text: String, region: Region) -> std::io::Result<()> {
        for line in self.lines.drain(..) {
            text += &line;
            text += "\r\n";
            self.kept.push_back(line);
        }
        while self.kept.len() > Self::size().1 {
            self.kept.pop_front();
        }
        text += &region.rows.join("\r\n");
        if let Some(row) = region.cursor {
            text += "\r";
            text += &up(region.rows.len() - 1 - row);
            // Printed once more: the terminal alone knows how wide its characters are.
            text += &region.rows[row];
            text += "\x1b[?25h";
        }
        self.shown = region;
        self.write(text)
    }

    /// Writes as it is, in its place among what was painted.
    pub fn write(&mut self, text: String) -> std::io::Result<()> {
        self.waiting.push_back((Instant::now() + self.delay, text));
        self.flush()
    }

    /// When something that waits becomes due.
    pub fn due(&self) -> Option<Instant> {
        self.waiting.front().map(|(due, _)| *due)
    }

    /// Writes what is due.
    pub fn flush(&mut self) -> std::io::Result<()> {
        let mut out = std::io::stdout();
        while self.waiting.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            let Some((_, text)) = self.waiting.pop_front() else { break };
            out.write_all(text.as_bytes())?;
        }
        out.flush()
    }
}

fn up(rows: usize) -> String {
    if rows == 0 { String::new() } else { format!("\x1b[{rows}A") }
}

//! The words of a recording: asciicast v2, line by line. Pure.

use serde_json::json;

use crate::model::{Color, Moment, Screen, Style};

/// The first line of a file.
pub(super) fn header(screen: &Screen, at: Moment) -> String {
    let header = json!({
        "version": 2,
        "width": screen.width,
        "height": screen.height,
        "timestamp": at.epoch_millis() / 1000,
        "title": screen.title,
        "env": { "TERM": if screen.alternate { "tmux-256color" } else { "screen-256color" } },
    });
    format!("{header}\n")
}

/// One event: `o` output, `r` resize, `m` marker.
pub(super) fn event(seconds: f64, kind: &str, data: &str) -> String {
    format!("{}\n", json!([(seconds * 1e6).round() / 1e6, kind, data]))
}

/// Draws this screen, whatever the terminal showed before.
pub(super) fn drawn(screen: &Screen) -> String {
    let mut text = String::from(if screen.alternate { "\x1b[?1049h" } else { "\x1b[?1049l" });
    text.push_str("\x1b[0m\x1b[r\x1b[H\x1b[2J");
    for (number, row) in screen.rows.iter().enumerate().filter(|(_, row)| !row.runs.is_empty()) {
        place(&mut text, number, 0);
        for run in &row.runs {
            text.push_str(&sgr(run.style));
            text.push_str(&run.text);
        }
        text.push_str("\x1b[0m");
    }
    place(&mut text, screen.cursor_y, screen.cursor_x);
    text.push_str(if screen.cursor_shown { "\x1b[?25h" } else { "\x1b[?25l" });
    text
}

fn place(text: &mut String, row: usize, column: usize) {
    text.extend([format!("\x1b[{};{}H", row + 1, column + 1)]);
}

/// The sequence that sets exactly this style.
fn sgr(style: Style) -> String {
    let mut text = String::from("\x1b[0");
    for (is_set, number) in
        [(style.bold, 1), (style.dim, 2), (style.italic, 3), (style.underlined, 4), (style.inverse, 7)]
    {
        if is_set {
            text.extend([format!(";{number}")]);
        }
    }
    for (color, base) in [(style.foreground, 38), (style.background, 48)] {
        match color {
            Color::Default => {}
            Color::Indexed(number) => text.extend([format!(";{base};5;{number}")]),
            Color::Rgb(red, green, blue) => text.extend([format!(";{base};2;{red};{green};{blue}")]),
        }
    }
    text.push('m');
    text
}

/// Bytes into text, where a character may be cut in two between two pieces.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The beginning of a character, three bytes at most.
    held: Vec<u8>,
}

impl Decoder {
    /// Takes the next piece. What is no UTF-8 becomes U+FFFD, what is not complete yet waits.
    pub(super) fn take(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.held.len());
        let mut chunks = self.held.utf8_chunks().peekable();
        let mut kept = 0;
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && could_go_on(invalid) {
                kept = invalid.len();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.held.drain(..self.held.len() - kept);
        text
    }

    /// The end: what was held is incomplete.
    pub(super) fn finish(&mut self) -> &'static str {
        if std::mem::take(&mut self.held).is_empty() { "" } else { "\u{fffd}" }
    }
}

/// Is this the beginning of a character, and not its whole?
fn could_go_on(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => false,
        Err(error) => error.error_len().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cut_character_is_put_together_again() {
        let mut decoder = Decoder::default();
        let pieces: [&[u8]; 6] = [b"a\xe4\xb8", b"\x96", b"\xf0\x9f", b"x\xff", b"", b"\xc3"];
        let texts: Vec<String> = pieces.iter().map(|piece| decoder.take(piece)).collect();
        assert_eq!(texts, ["a", "世", "", "\u{fffd}x\u{fffd}", "", ""]);
        assert_eq!(decoder.finish(), "\u{fffd}");
        assert_eq!(decoder.finish(), "");
    }

    #[test]
    fn a_seed_draws_the_screen() {
        let rows = Screen::styled_rows(["a\x1b[1;31mb\x1b[0m", "", "\x1b[2;48;2;1;2;3mc"]);
        let screen =
            Screen { rows, width: 9, height: 3, cursor_x: 2, cursor_y: 2, alternate: true, ..Screen::default() };
        let text = drawn(&screen);
        assert!(text.starts_with("\x1b[?1049h"), "{text:?}");
        assert!(text.contains("\x1b[1;1H\x1b[0ma\x1b[0;1;38;5;1mb\x1b[0m\x1b[3;1H\x1b[0;2;48;2;1;2;3mc"), "{text:?}");
        assert!(text.ends_with("\x1b[3;3H\x1b[?25l"), "{text:?}");
    }

    #[test]
    fn events_are_lines_of_json() {
        assert_eq!(event(1.25, "o", "\x1b[1m\"é\n"), "[1.25,\"o\",\"\\u001b[1m\\\"é\\n\"]\n");
        let at = Moment::parse("2026-11-21T20:00:00Z").unwrap();
        let line: serde_json::Value = serde_json::from_str(&header(&Screen::default(), at)).unwrap();
        assert_eq!((line["version"].as_u64(), line["timestamp"].as_i64()), (Some(2), Some(1_795_291_200)));
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(bytes: Vec<u8>, cuts: Vec<prop::sample::Index>) {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let mut decoder = Decoder::default();
            let mut text: String = at.windows(2).map(|cut| decoder.take(&bytes[cut[0]..cut[1]])).collect();
            text.push_str(decoder.finish());
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}

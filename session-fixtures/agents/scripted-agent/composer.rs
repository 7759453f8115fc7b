//! The draft of the next prompt, and how it looks. Pure.

/// More characters than this in one paste get a placeholder.
const LONG: usize = 800;

/// One part of a draft.
#[derive(Debug)]
enum Part {
    Typed(Vec<u8>),
    Pasted { number: usize, text: Vec<u8> },
}

/// The draft.
#[derive(Debug, Default)]
pub struct Composer {
    parts: Vec<Part>,
    pastes: usize,
    placeholders: bool,
}

impl Composer {
    pub fn new(draft: &str, placeholders: bool) -> Self {
        let mut composer = Self { placeholders, ..Self::default() };
        composer.type_text(draft.as_bytes());
        composer
    }

    pub fn type_text(&mut self, text: &[u8]) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Typed(typed)) => typed.extend(text),
            _ => self.parts.push(Part::Typed(text.to_vec())),
        }
    }

    pub fn paste(&mut self, text: Vec<u8>) {
        let is_long = text.contains(&b'\n') || String::from_utf8_lossy(&text).chars().count() > LONG;
        if self.placeholders && is_long {
            self.pastes += 1;
            self.parts.push(Part::Pasted { number: self.pastes, text });
        } else {
            self.type_text(&text);
        }
    }

    /// Takes the last character away, or the whole of a paste that shows as a placeholder.
    pub fn backspace(&mut self) {
        let Some(Part::Typed(typed)) = self.parts.last_mut() else {
            self.parts.pop();
            return;
        };
        while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
        if typed.is_empty() {
            self.parts.pop();
        }
    }

    /// The whole draft as it would be submitted.
    pub fn text(&self) -> Vec<u8> {
        let part = |part: &Part| match part {
            Part::Typed(text) | Part::Pasted { text, .. } => text.clone(),
        };
        self.parts.iter().flat_map(part).collect()
    }

    /// Takes the draft out.
    pub fn take(&mut self) -> Vec<u8> {
        let text = self.text();
        self.parts.clear();
        text
    }

    pub fn is_blank(&self) -> bool {
        self.text().iter().all(u8::is_ascii_whitespace)
    }

    /// Rows of the composer, none wider than `width` cells, at most `most` of them: the last ones.
    pub fn rows(&self, width: usize, most: usize) -> Vec<String> {
        let shown: String = self.parts.iter().map(Part::shown).collect();
        let lines = shown.split('\n').flat_map(|line| wrapped(line, width.saturating_sub(2).max(4)));
        let rows: Vec<String> = lines.collect();
        let first = rows.len().saturating_sub(most.max(1));
        let mark = |number| if number == 0 { "❯ " } else { "  " };
        rows[first..].iter().enumerate().map(|(number, row)| format!("{}{row}", mark(number))).collect()
    }
}

impl Part {
    fn shown(&self) -> String {
        match self {
            Self::Typed(text) => visible(text),
            Self::Pasted { number, text } => match text.split(|byte| *byte == b'\n').count() - 1 {
                0 => format!("[Pasted text #{number}]"),
                more => format!("[Pasted text #{number} +{more} lines]"),
            },
        }
    }
}

/// Text without control characters: tabs become spaces, CR breaks the line, the others show as `^X`.
pub fn visible(text: &[u8]) -> String {
    let mut shown = String::new();
    for c in String::from_utf8_lossy(text).replace("\r\n", "\n").chars() {
        match c {
            '\n' | '\r' => shown.push('\n'),
            '\t' => shown.push_str("    "),
            '\0'..='\x1f' => shown.extend(['^', char::from(c as u8 + 0x40)]),
            c if c.is_control() => shown.push('\u{fffd}'),
            c => shown.push(c),
        }
    }
    shown
}

/// Cuts a line into rows. A row may be shorter than it could be, but is never wider than `width`.
pub fn wrapped(line: &str, width: usize) -> Vec<String> {
    let (mut rows, mut row, mut cells, mut before) = (Vec::new(), String::new(), 0, ' ');
    for c in line.chars() {
        let wide = if c < '\u{1100}' { 1 } else { 2 };
        if cells + wide > width && !is_glued(before, c) {
            rows.push(std::mem::take(&mut row));
            cells = 0;
        }
        cells += wide;
        before = c;
        row.push(c);
    }
    rows.push(row);
    rows
}

/// Do these two belong to one sign? Joined emoji and accents must not be torn apart.
fn is_glued(before: char, c: char) -> bool {
    before == '\u{200d}'
        || matches!(c, '\u{200d}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}')
}

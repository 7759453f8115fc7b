//! Bytes of a terminal in, keys and pastes out. Pure.

const PASTE_BEGINS: &[u8] = b"\x1b[200~";
const PASTE_ENDS: &[u8] = b"\x1b[201~";

/// What somebody did.
#[derive(Debug, PartialEq)]
pub enum Input {
    /// Characters, as typed.
    Text(Vec<u8>),
    /// A control byte: Enter is 0x0d, Backspace 0x7f.
    Control(u8),
    /// Escape, alone.
    Escape,
    /// An escape sequence that means nothing here: arrows, Alt with a key, mouse.
    Sequence(Vec<u8>),
    /// The beginning of a bracketed paste; its text follows later.
    PasteBegins,
    /// A whole bracketed paste, without its brackets.
    Paste(Vec<u8>),
}

/// Keeps what is incomplete between two reads.
#[derive(Debug, Default)]
pub struct Parser {
    rest: Vec<u8>,
    in_paste: bool,
    /// So much of an unfinished paste is known to hold no end.
    searched: usize,
}

impl Parser {
    /// Takes bytes as they came; returns what is complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Input> {
        self.rest.extend(bytes);
        let mut found = Vec::new();
        while let Some((input, length)) = self.next() {
            self.rest.drain(..length);
            found.push(input);
        }
        found
    }

    /// Is something incomplete there that only the absence of more can decide?
    pub fn waits(&self) -> bool {
        !self.in_paste && !self.rest.is_empty()
    }

    /// Nothing more came: an escape byte was the Escape key.
    pub fn settle(&mut self) -> Option<Input> {
        if !self.waits() {
            return None;
        }
        let rest = std::mem::take(&mut self.rest);
        Some(if rest == [0x1b] { Input::Escape } else { Input::Sequence(rest) })
    }

    fn next(&mut self) -> Option<(Input, usize)> {
        if self.in_paste {
            let Some(at) = find(&self.rest[self.searched..], PASTE_ENDS).map(|at| at + self.searched) else {
                self.searched = self.rest.len().saturating_sub(PASTE_ENDS.len());
                return None;
            };
            (self.in_paste, self.searched) = (false, 0);
            return Some((Input::Paste(self.rest[..at].to_vec()), at + PASTE_ENDS.len()));
        }
        match *self.rest.first()? {
            0x1b => self.escape(),
            byte @ (0..0x20 | 0x7f) => Some((Input::Control(byte), 1)),
            _ => {
                let end = self.rest.iter().position(|byte| *byte < 0x20 || *byte == 0x7f);
                let text = self.rest[..end.unwrap_or(self.rest.len())].to_vec();
                let length = text.len();
                Some((Input::Text(text), length))
            }
        }
    }

    fn escape(&mut self) -> Option<(Input, usize)> {
        let length = match *self.rest.get(1)? {
            0x1b => return Some((Input::Escape, 1)),
            b'[' => 3 + self.rest[2..].iter().position(|byte| (0x40..=0x7e).contains(byte))?,
            b'O' if self.rest.len() < 3 => return None,
            b'O' => 3,
            _ => 2,
        };
        let sequence = self.rest[..length].to_vec();
        if sequence == PASTE_BEGINS {
            self.in_paste = true;
            return Some((Input::PasteBegins, length));
        }
        Some((Input::Sequence(sequence), length))
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

//! Bytes of control mode (tmux 3.2 to 3.6) into events. Pure: no I/O, no clock, bounded memory.

use super::notice::{Notice, parsed};

/// Longest line that is kept, in bytes; the rest of a longer one is dropped.
const LONGEST_LINE: usize = 1024 * 1024;

/// Largest block that is kept, in bytes, counting what each line costs beside its text.
const LARGEST_BLOCK: usize = 4 * 1024 * 1024;

/// What `tmux -CC` sends before everything else, to make a terminal emulator switch modes.
const DEVICE_CONTROL: &[u8] = b"\x1bP1000p";

/// What a tmux server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The whole answer to one command.
    Block {
        /// tmux's running number of the command.
        number: u64,
        /// Bit 0 is set when this client sent the command; otherwise it is the answer to the attaching
        /// itself or to a hook.
        flags: u32,
        /// `%end`; otherwise `%error`, and the lines say what was wrong.
        ok: bool,
        /// What the command printed, line by line, without line breaks. Never interpreted.
        lines: Vec<Vec<u8>>,
        /// The block was too large, or one of its lines too long, and something is missing.
        truncated: bool,
    },
    /// Something tmux told unasked.
    Notice(Notice),
}

/// Cuts the stream into lines, and the lines into events.
///
/// Between `%begin` and its own `%end` everything is content, whatever it looks like. The time, the number
/// and the flags must all be those of the `%begin`.
#[derive(Debug)]
pub struct Parser {
    longest_line: usize,
    largest_block: usize,
    /// The line that has not ended yet, as far as it is kept.
    line: Vec<u8>,
    /// The end of `line` was dropped.
    line_cut: bool,
    /// A whole line has been seen.
    started: bool,
    block: Option<OpenBlock>,
}

/// The words behind `%begin`, `%end` and `%error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Guard {
    time: u64,
    number: u64,
    flags: u32,
}

#[derive(Debug)]
struct OpenBlock {
    guard: Guard,
    lines: Vec<Vec<u8>>,
    /// What `lines` costs in memory, in bytes.
    cost: usize,
    truncated: bool,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser at the beginning of a stream. It keeps lines up to 1 MiB and blocks up to 4 MiB.
    pub fn new() -> Self {
        Self::with_limits(LONGEST_LINE, LARGEST_BLOCK)
    }

    fn with_limits(longest_line: usize, largest_block: usize) -> Self {
        Self { longest_line, largest_block, line: Vec::new(), line_cut: false, started: false, block: None }
    }

    /// Takes the next bytes, cut anywhere, and gives every event they complete to `sink`, in order.
    ///
    /// Lines end in LF or CR LF. A line without its end is kept until the end comes.
    pub fn feed(&mut self, chunk: &[u8], mut sink: impl FnMut(Event)) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            let kept = text.len().min(self.longest_line - self.line.len());
            self.line.extend_from_slice(&text[..kept]);
            self.line_cut |= kept < text.len();
            if ends && let Some(event) = self.end_line() {
                sink(event);
            }
        }
    }

    fn end_line(&mut self) -> Option<Event> {
        let cut = std::mem::take(&mut self.line_cut);
        let whole = self.line.strip_suffix(b"\r").filter(|_| !cut).unwrap_or(&self.line);
        let first = !std::mem::replace(&mut self.started, true);
        let text = whole.strip_prefix(DEVICE_CONTROL).filter(|_| first).unwrap_or(whole);
        let event = take_line(&mut self.block, text, cut, self.largest_block);
        self.line.clear();
        event
    }
}

fn take_line(block: &mut Option<OpenBlock>, line: &[u8], cut: bool, largest_block: usize) -> Option<Event> {
    let Some(open) = block else {
        if cut {
            return Some(Event::Notice(Notice::Other { line: line.to_vec(), truncated: true }));
        }
        if let Some(guard) = line.strip_prefix(b"%begin ").and_then(Guard::parse) {
            *block = Some(OpenBlock { guard, lines: Vec::new(), cost: 0, truncated: false });
            return None;
        }
        return Some(Event::Notice(Notice::parse(line)));
    };
    let Some((guard, ok)) = Guard::closing(line).filter(|(guard, _)| *guard == open.guard && !cut) else {
        open.push(line, cut, largest_block);
        return None;
    };
    let OpenBlock { lines, truncated, .. } = block.take()?;
    Some(Event::Block { number: guard.number, flags: guard.flags, ok, lines, truncated })
}

impl OpenBlock {
    /// Keeps one line of content, unless the block is full. Once one is missing, all later ones are dropped.
    fn push(&mut self, line: &[u8], cut: bool, largest_block: usize) {
        // Without the cost of the line itself, a flood of empty lines would be free.
        let cost = line.len() + size_of::<Vec<u8>>();
        if self.truncated || self.cost + cost > largest_block {
            self.truncated = true;
            return;
        }
        self.cost += cost;
        self.truncated = cut;
        self.lines.push(line.to_vec());
    }
}

impl Guard {
    /// The three words `time number flags`, and nothing else.
    fn parse(words: &[u8]) -> Option<Self> {
        let mut words = words.split(|byte| *byte == b' ');
        let guard =
            Self { time: parsed(words.next()?)?, number: parsed(words.next()?)?, flags: parsed(words.next()?)? };
        words.next().is_none().then_some(guard)
    }

    /// The guard of a line that ends a block, and whether it ends well.
    fn closing(line: &[u8]) -> Option<(Self, bool)> {
        let (words, ok) = match line.strip_prefix(b"%end ") {
            Some(words) => (words, true),
            None => (line.strip_prefix(b"%error ")?, false),
        };
        Some((Self::parse(words)?, ok))
    }
}

#[cfg(test)]
mod tests;

//! Status and title sequences in what a program prints (OSC 7501, the Program Status Protocol; OSC 0 and 2). Pure.
//!
//! tmux shows nothing of OSC 7501, so it is read from the raw output, in whatever pieces that comes.

use super::Tool;
use crate::{
    agents::{DialogKind, Sign},
    model::Outcome,
};

/// The longest sequence that is read; a longer one is passed over. A status with a message is far shorter.
const LONGEST: usize = 4_096;

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
/// CAN and SUB give a sequence up.
const GIVEN_UP: [u8; 2] = [0x18, 0x1a];

/// One sequence that means something here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The program's status.
    Status(Sign),
    /// The pane's title, as it is set; empty when it is taken back.
    Title(String),
}

/// Listens to one program's output. It keeps what is unfinished between two pieces, and never more than that.
#[derive(Debug, Clone, Default)]
pub struct ProgramStatus {
    place: Place,
    /// The sequence so far, without its introducer.
    held: Vec<u8>,
}

/// Where in the output we are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// In what is printed.
    #[default]
    Ground,
    /// Behind an ESC.
    Escape,
    /// In an operating system command.
    Command,
    /// Behind an ESC in one: its end, or the beginning of something else.
    CommandEscape,
}

impl ProgramStatus {
    /// Takes in the next piece of output; returns what it said, in order.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        loop {
            if self.place == Place::Ground {
                // Nearly all output is here: passed over at once.
                let Some(at) = bytes.iter().position(|byte| *byte == ESC) else { return heard };
                self.place = Place::Escape;
                bytes = bytes.get(at + 1..).unwrap_or_default();
            }
            let Some((byte, rest)) = bytes.split_first() else { return heard };
            bytes = rest;
            heard.extend(self.take(*byte));
        }
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.capacity()
    }

    fn take(&mut self, byte: u8) -> Option<Heard> {
        match (self.place, byte) {
            (Place::Escape, b']') => {
                self.held.clear();
                self.place = Place::Command;
            }
            (Place::Escape, ESC) => {}
            (Place::Command, BEL) | (Place::CommandEscape, b'\\') => {
                self.place = Place::Ground;
                return self.finished();
            }
            // Twice, when it was wrapped for a multiplexer.
            (Place::Command | Place::CommandEscape, ESC) => self.place = Place::CommandEscape,
            (Place::Command, byte) if GIVEN_UP.contains(&byte) => self.place = Place::Ground,
            (Place::Command, byte) => {
                if self.held.len() <= LONGEST {
                    self.held.push(byte);
                }
            }
            (Place::CommandEscape, b']') => {
                self.held.clear();
                self.place = Place::Command;
            }
            (Place::Ground | Place::Escape | Place::CommandEscape, _) => self.place = Place::Ground,
        }
        None
    }

    /// The sequence is whole.
    fn finished(&mut self) -> Option<Heard> {
        let held = std::mem::take(&mut self.held);
        if held.len() > LONGEST {
            return None;
        }
        let text = String::from_utf8_lossy(&held);
        let (number, rest) = text.split_once(';')?;
        match number {
            "7501" => status(rest).map(Heard::Status),
            "0" | "2" => Some(Heard::Title(rest.chars().filter(|c| !c.is_control()).collect())),
            _ => None,
        }
    }
}

/// The status in a sequence's words: `state=blocked:app=codex:kind=permission`.
fn status(words: &str) -> Option<Sign> {
    let word = |name: &str| {
        words
            .split([':', ';'])
            .find_map(|word| word.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
    };
    let message = || word("msg").and_then(base64).filter(|text| !text.is_empty());
    let ended = |outcome, error| Sign::TurnEnded { turn: None, outcome, reply: None, exact: false, error };
    match word("state")? {
        "working" => Some(Sign::Working),
        "idle" => Some(Sign::Idle),
        "done" => Some(ended(Outcome::Success, None)),
        "error" => Some(ended(Outcome::Failed, message())),
        "blocked" => {
            let kind = match word("kind") {
                Some("permission") => DialogKind::Permission,
                Some("question") => DialogKind::Question,
                _ => DialogKind::Other,
            };
            Some(Sign::Waiting { kind, message: message() })
        }
        _ => None,
    }
}

/// Text in base64 of either alphabet, with padding or without.
fn base64(text: &str) -> Option<String> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0_u32);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap_or_default());
        }
    }
    String::from_utf8(bytes).ok()
}

impl Tool {
    /// It reports its status in its output unasked, under tmux.
    pub fn prints_status(self) -> bool {
        self == Self::Codex
    }
}

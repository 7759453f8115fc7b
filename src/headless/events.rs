//! A program's output as `canonical-events.jsonl`: never without bound, whatever the program writes.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use serde_json::{Value, json};

use super::settle::Lines;
use crate::{
    agents::headless::{Event, Kind, LONGEST_LINE, Reader},
    api::{CanonicalEvent, TurnPlan},
    model::Moment,
    os::clock,
};

/// How much is read at once, in bytes: between two pieces everything else is looked at.
pub(super) const PIECE: usize = 256 * 1024;

/// The most events of a program whose output is its answer, in bytes.
const MOST: usize = 4 * 1024 * 1024;

/// The most events of a tool, in bytes: its events say more than its output.
const MOST_OF_A_TOOL: usize = 64 * 1024 * 1024;

/// How much is read of a program whose output is its answer, in bytes: line ends alone make neither events nor an answer.
const MOST_READ: usize = 2 * LONGEST_LINE;

/// How much of what an interrupted tool left unread is read, in bytes: its last words stand at the end.
const TAIL: u64 = 2 * LONGEST_LINE as u64;

/// Makes events of output.
#[derive(Debug, Default)]
pub(super) struct Events {
    lines: Lines,
    /// Bytes that were read.
    read: usize,
    /// Bytes of events.
    made: usize,
    /// The limit is reached and was told.
    full: bool,
}

impl Events {
    /// Takes in output; returns the events of its whole lines as lines of JSON.
    pub(super) fn take(&mut self, reader: &mut Reader, plan: &TurnPlan, piece: &[u8]) -> Vec<u8> {
        self.read += piece.len();
        self.cut(reader, plan, |lines, whole| lines.take(piece, whole))
    }

    /// What stands behind the last line's end.
    pub(super) fn end(&mut self, reader: &mut Reader, plan: &TurnPlan) -> Vec<u8> {
        self.cut(reader, plan, |lines, whole| lines.end(whole))
    }

    /// Nothing that still comes makes a difference; said once, and then the output is not read any more.
    pub(super) fn has_enough(&self, reader: &Reader) -> bool {
        reader.is_generic() && (self.read > MOST_READ || self.full && reader.is_full())
    }

    /// Reads what is there now to its end. Of an interrupted tool only what stands last, if there is very much.
    ///
    /// # Errors
    /// When the output cannot be read, or `write` fails.
    pub(super) fn rest(
        &mut self,
        from: &mut File,
        reader: &mut Reader,
        plan: &TurnPlan,
        interrupted: bool,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        // Somebody whom the program left behind may write for ever.
        let (at, length) = (from.stream_position()?, from.metadata()?.len());
        let mut left = length.saturating_sub(at);
        if interrupted && !reader.is_generic() && left > TAIL {
            left = TAIL;
            from.seek(SeekFrom::Start(length - left))?;
            self.lines.leap();
        }
        let mut piece = vec![0; PIECE];
        while left > 0 && !self.has_enough(reader) {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let count = match from.read(&mut piece[..most]) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            left = left.saturating_sub(count as u64);
            write(&self.take(reader, plan, &piece[..count]))?;
        }
        if left > 0 {
            reader.leaves_out();
            let mut bytes = Vec::new();
            self.fill(reader, plan, clock::now(), &mut bytes);
            return write(&bytes);
        }
        write(&self.end(reader, plan))
    }

    fn cut(
        &mut self,
        reader: &mut Reader,
        plan: &TurnPlan,
        cut: impl FnOnce(&mut Lines, &mut dyn FnMut(&[u8])),
    ) -> Vec<u8> {
        let (now, mut bytes, mut lines) = (clock::now(), Vec::new(), std::mem::take(&mut self.lines));
        if reader.is_generic() {
            // An event for each line would be a hundred times the output.
            let mut whole: Option<Vec<u8>> = None;
            cut(&mut lines, &mut |line| {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                match &mut whole {
                    Some(whole) => {
                        whole.push(b'\n');
                        whole.extend_from_slice(line);
                    }
                    None => whole = Some(line.to_vec()),
                }
            });
            if let Some(whole) = whole {
                self.tell(reader, plan, &whole, now, &mut bytes);
            }
        } else {
            cut(&mut lines, &mut |line| self.tell(reader, plan, line, now, &mut bytes));
        }
        self.lines = lines;
        bytes
    }

    fn tell(&mut self, reader: &mut Reader, plan: &TurnPlan, line: &[u8], now: Moment, bytes: &mut Vec<u8>) {
        // Read also when nothing more is told: a tool's last line says how the turn ended.
        let (events, raw) = reader.line(line);
        for event in events {
            if self.full {
                return;
            }
            let told = canonical(reader, plan, event, raw.clone(), now);
            let most = if reader.is_generic() { MOST } else { MOST_OF_A_TOOL };
            if self.made + told.len() > most {
                self.fill(reader, plan, now, bytes);
                return;
            }
            self.made += told.len();
            bytes.extend(told);
        }
    }

    fn fill(&mut self, reader: &Reader, plan: &TurnPlan, now: Moment, bytes: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.full, true) {
            let event = Event {
                kind: Kind::Diagnostic,
                message: "further output is in stdout.jsonl".to_owned(),
                type_name: "limit".to_owned(),
                data: json!({}),
            };
            bytes.extend(canonical(reader, plan, event, Value::Null, now));
        }
    }
}

/// A line of `canonical-events.jsonl`.
fn canonical(reader: &Reader, plan: &TurnPlan, event: Event, raw_payload: Value, now: Moment) -> Vec<u8> {
    let event = CanonicalEvent {
        kind: event.kind.name().to_owned(),
        message: event.message,
        provider: plan.dialect.clone(),
        provider_event_type: event.type_name,
        session_id: plan.session_id.clone().or_else(|| reader.session_id().map(str::to_owned)),
        turn_index: plan.turn_index,
        timestamp_utc: now.iso_millis(),
        data: event.data,
        raw_payload,
    };
    // Plain JSON: there is nothing in it that could fail.
    let mut bytes = serde_json::to_vec(&event).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::agents::headless::Dialect;

    fn plan(dialect: Dialect) -> TurnPlan {
        serde_json::from_value(json!({ "schema_version": 1, "turn_id": "t", "turn_index": 1, "dialect": dialect.name(),
            "words": [], "working_directory": "/", "environment": [], "reads_prompt": false, "conversation": "new",
            "created_at_utc": "2026-11-21T11:58:26.000Z" }))
        .unwrap()
    }

    fn told(dialect: Dialect, output: &[u8], interrupted: bool) -> (Reader, Vec<Value>, usize) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(output).unwrap();
        file.rewind().unwrap();
        let (mut reader, mut all, mut events) = (Reader::new(dialect), Vec::new(), Events::default());
        let plan = plan(dialect);
        let write = |bytes: &[u8]| all.write_all(bytes);
        events.rest(&mut file, &mut reader, &plan, interrupted, write).unwrap();
        let lines = all.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let told = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
        (reader, told, all.len())
    }

    #[test]
    fn lines_that_came_together_are_one_event() {
        let (reader, events, _) = told(Dialect::Generic, b"one\r\n\ntwo\nthree", false);
        let messages: Vec<&str> = events.iter().filter_map(|event| event["message"].as_str()).collect();
        assert_eq!(messages, ["one\n\ntwo", "three"]);
        assert_eq!(reader.told().reply.as_deref(), Some("one\n\ntwo\nthree"));
    }

    #[test]
    fn much_output_ends_in_one_diagnostic() {
        let (reader, events, size) = told(Dialect::Generic, &b"y\n".repeat(8 * 1024 * 1024), false);
        assert!(size <= MOST + 1024 && reader.told().truncated, "{size}");
        let diagnostics = events.iter().filter(|event| event["kind"] == "diagnostic").count();
        assert_eq!((diagnostics, &events.last().unwrap()["kind"]), (1, &json!("diagnostic")));
        // Nothing but line ends is no answer, and not read for ever either.
        let (reader, events, _) = told(Dialect::Generic, &vec![b'\n'; MOST_READ + 2 * PIECE], false);
        assert!(reader.told().truncated && events.len() == 1, "{events:?}");
    }

    #[test]
    fn of_an_interrupted_tool_the_last_words_are_read() {
        let mut output = vec![b'x'; 3 * LONGEST_LINE];
        output.extend(b"\n{\"type\":\"result\",\"subtype\":\"success\",\"result\":\"late\",\"is_error\":false}\n");
        let (reader, _, size) = told(Dialect::Claude, &output, true);
        assert_eq!((reader.told().reply.as_deref(), size < LONGEST_LINE), (Some("late"), true));
    }
}

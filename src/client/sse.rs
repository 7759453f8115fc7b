//! Server-sent events, byte by byte. *Pure.*

/// Largest line or event that is kept. A journal entry is far smaller.
const LARGEST: usize = 4 * 1024 * 1024;

/// One event as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// `id:`, or the last one that was given.
    pub id: Option<String>,
    /// `event:`; empty when none was given.
    pub kind: String,
    /// The lines of `data:`, joined.
    pub data: String,
}

/// Something that is no stream of events: a line or an event beyond every measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {LARGEST} bytes")]
pub struct TooLarge;

/// Turns bytes into events, however they were cut on the way.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    begun: bool,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Takes more bytes and returns the events that they complete.
    ///
    /// # Errors
    /// [`TooLarge`]; the stream is of no use any more.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        for byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, *byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\r' | b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.take(&line));
                }
                _ => self.line.push(*byte),
            }
            if self.line.len() + self.event.data.len() > LARGEST {
                return Err(TooLarge);
            }
        }
        Ok(events)
    }

    /// The last id that was given, with an event or without.
    pub fn last_id(&self) -> Option<&str> {
        self.event.id.as_deref()
    }

    /// One whole line; the empty one ends an event.
    fn take(&mut self, line: &[u8]) -> Option<Event> {
        let line = String::from_utf8_lossy(line);
        let first = !std::mem::replace(&mut self.begun, true);
        let line = if first { line.strip_prefix('\u{feff}').unwrap_or(&line) } else { &line };
        if line.is_empty() {
            // The id stays: it is where the stream stands, with or without an event.
            let next = Event { id: self.event.id.clone(), ..Event::default() };
            let event = std::mem::replace(&mut self.event, next);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.event.kind),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Comments have an empty name; `retry` and unknown fields mean nothing here.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: Option<&str>, kind: &str, data: &str) -> Event {
        Event { id: id.map(str::to_owned), kind: kind.to_owned(), data: data.to_owned() }
    }

    /// The events of a text, fed in pieces of so many bytes.
    fn parse(text: &str, piece: usize) -> Vec<Event> {
        let mut parser = Parser::default();
        text.as_bytes().chunks(piece).flat_map(|bytes| parser.feed(bytes).unwrap()).collect()
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let text = ": hello\n\nid: 7\nevent: receipt\ndata: {\"a\":\ndata: \"é\"}\n\n: heartbeat\n\nid:8\ndata:x\nretry: 5\n\n";
        let expected = vec![event(Some("7"), "receipt", "{\"a\":\n\"é\"}"), event(Some("8"), "", "x")];
        for piece in 1..text.len() {
            assert_eq!(parse(text, piece), expected, "{piece}");
            assert_eq!(parse(&text.replace('\n', "\r\n"), piece), expected, "{piece} with CRLF");
            assert_eq!(parse(&text.replace('\n', "\r"), piece), expected, "{piece} with CR");
        }
    }

    #[test]
    fn an_event_without_data_is_none_but_its_id_counts() {
        assert_eq!(parse("id: 3\nevent: receipt\n\ndata: x\n\n", 4), [event(Some("3"), "", "x")]);
        let mut parser = Parser::default();
        assert_eq!((parser.feed(b": following\nid: 12\n\n"), parser.last_id()), (Ok(vec![]), Some("12")));
        assert_eq!(parse("data\n\n", 4), [event(None, "", "")], "a field without a colon has an empty value");
        assert_eq!(parse("data: half", 4), []);
        assert_eq!(parse("data: half\n", 4), [], "only an empty line ends an event");
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_beginning_alone() {
        assert_eq!(parse("\u{feff}data: x\n\n", 1), [event(None, "", "x")]);
        assert_eq!(parse("data: x\n\n\u{feff}data: y\n\n", 1), [event(None, "", "x")]);
    }

    #[test]
    fn bytes_that_are_no_text_and_ids_with_nul_do_no_harm() {
        let mut parser = Parser::default();
        let events = parser.feed(b"id: a\0b\ndata: \xff\xfe\n\n").unwrap();
        assert_eq!(events, [event(None, "", "\u{fffd}\u{fffd}")]);
    }

    #[test]
    fn a_stream_without_end_of_line_is_given_up() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; LARGEST / 2 + 1];
        assert_eq!(parser.feed(&piece), Ok(vec![]));
        assert_eq!(parser.feed(&piece), Err(TooLarge));
        let mut parser = Parser::default();
        let line = [b"data: ".as_slice(), &vec![b'x'; LARGEST / 2], b"\n"].concat();
        assert_eq!(parser.feed(&line), Ok(vec![]));
        assert_eq!(parser.feed(&line), Err(TooLarge));
    }
}

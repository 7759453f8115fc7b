//! A reader of server-sent events.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    Answer, Http, PATIENCE,
    http::{Body, chunk},
};

/// One event, or one comment (then only `comment` is set).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub data: String,
    pub comment: Option<String>,
}

impl Event {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub fn number(&self) -> u64 {
        self.id.parse().unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// An open stream of events. Ends when dropped.
#[derive(Debug)]
pub struct Events {
    stream: TcpStream,
    incoming: Receiver<Event>,
    /// The answer's head.
    pub head: String,
}

impl Http {
    /// Opens a stream of events; gives the answer back when it is none.
    pub fn events(&self, path: &str) -> Result<Events, Answer> {
        self.stream("GET", path, None)
    }

    /// The same, where a body asks for the stream.
    pub fn post_events(&self, path: &str, body: &Value) -> Result<Events, Answer> {
        self.stream("POST", path, Some(body.to_string().as_bytes()))
    }

    fn stream(&self, method: &str, path: &str, body: Option<&[u8]>) -> Result<Events, Answer> {
        let mut connection = self.keep();
        let request = self.with("Accept", "text/event-stream").request(method, path, body);
        connection.stream.get_mut().write_all(&request).unwrap();
        let (status, head) = connection.head().expect("an answer");
        if status != 200 {
            let mut body = vec![0; 1 << 16];
            let count = connection.stream.read(&mut body).unwrap();
            return Err(Answer { status, head, body: String::from_utf8_lossy(&body[..count]).into_owned() });
        }
        let stream = connection.stream.get_ref().try_clone().unwrap();
        // The stream may be quiet for long; what a test waits for has its own limit.
        stream.set_read_timeout(None).unwrap();
        let (sender, incoming) = channel();
        let is_chunked = matches!(Body::of(&head), Body::Chunks);
        std::thread::spawn(move || {
            let mut text = Text::default();
            loop {
                let more = if is_chunked {
                    chunk(&mut connection.stream).ok().flatten()
                } else {
                    let mut buffer = vec![0; 4096];
                    let count = connection.stream.read(&mut buffer).unwrap_or(0);
                    (count > 0).then(|| buffer[..count].to_vec())
                };
                let Some(more) = more else { return };
                if !text.take(&more, &sender) {
                    return;
                }
            }
        });
        Ok(Events { stream, incoming, head })
    }
}

impl Events {
    /// The next event that is no comment.
    #[track_caller]
    pub fn next(&self) -> Event {
        self.until("one more event", |event| event.comment.is_none())
    }

    /// Reads on until an event fits, and returns it.
    #[track_caller]
    pub fn until(&self, what: &str, mut fits: impl FnMut(&Event) -> bool) -> Event {
        let (deadline, mut last) = (Instant::now() + PATIENCE, None);
        loop {
            match self.incoming.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) if fits(&event) => return event,
                Ok(event) => last = Some(event),
                Err(error) => panic!("waited in vain for {what} ({error}); last event: {last:?}"),
            }
        }
    }

    /// What comes within this time, and whether the stream is still open after it.
    pub fn within(&self, time: Duration) -> (Vec<Event>, bool) {
        let (deadline, mut seen) = (Instant::now() + time, Vec::new());
        loop {
            match self.incoming.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => seen.push(event),
                Err(error) => return (seen, error == RecvTimeoutError::Timeout),
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.stream.shutdown(Shutdown::Both).ok();
    }
}

/// Bytes in, events out.
#[derive(Default)]
struct Text {
    rest: Vec<u8>,
    event: Event,
}

impl Text {
    /// False once nobody listens any more.
    fn take(&mut self, bytes: &[u8], sender: &Sender<Event>) -> bool {
        self.rest.extend(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8(line).expect("events are UTF-8");
            if !self.line(line.trim_end_matches(['\r', '\n']), sender) {
                return false;
            }
        }
        true
    }

    fn line(&mut self, line: &str, sender: &Sender<Event>) -> bool {
        if let Some(comment) = line.strip_prefix(':') {
            return sender.send(Event { comment: Some(comment.trim().to_owned()), ..Event::default() }).is_ok();
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            // An id alone only moves the reader's place.
            return event.data.is_empty() || sender.send(event).is_ok();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut self.event.id),
            "event" => value.clone_into(&mut self.event.name),
            "data" if self.event.data.is_empty() => value.clone_into(&mut self.event.data),
            "data" => self.event.data.extend(["\n", value]),
            "retry" => {}
            other => panic!("unknown field `{other}` in an event"),
        }
        true
    }
}

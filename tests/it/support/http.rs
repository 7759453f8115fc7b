//! HTTP as a test wants it: exact bytes, JSON both ways, and many requests on one connection.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};

use super::{PATIENCE, id_of, prompt};

/// One answer. The head is in lower case.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// The `detail` of a refusal with this status.
    #[track_caller]
    pub fn refused(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        let mut body = self.json();
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{self:?}");
        body["detail"].take()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| *key == name).map(|(_, value)| value.trim()).next()
    }
}

/// Sends these bytes and reads until the other side closes.
pub fn raw(port: u16, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The other side may refuse before all is sent.
    stream.write_all(bytes).ok();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).ok();
    let text = String::from_utf8_lossy(&all).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// A plain GET with extra header lines (each ending in `\r\n`).
pub fn get(port: u16, path: &str, headers: &str) -> Answer {
    raw(port, format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}Connection: close\r\n\r\n").as_bytes())
}

/// A caller of one gateway. Each call is a connection of its own; `keep` makes one for many calls.
#[derive(Debug, Clone)]
pub struct Http {
    pub port: u16,
    headers: String,
}

impl Http {
    pub fn new(port: u16) -> Self {
        Self { port, headers: String::new() }
    }

    /// The same caller with one more header.
    pub fn with(&self, name: &str, value: &str) -> Self {
        Self { port: self.port, headers: format!("{}{name}: {value}\r\n", self.headers) }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.keep().get(path)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.keep().post(path, body)
    }

    /// Queues a prompt; returns its id.
    #[track_caller]
    pub fn queue_prompt(&self, text: &str) -> String {
        id_of(&self.post("/v1/requests", &prompt(text)).ok())
    }

    /// Queues an interrupt; returns its id.
    #[track_caller]
    pub fn queue_interrupt(&self) -> String {
        id_of(&self.post("/v1/requests", &json!({"kind": "interrupt", "payload": {}})).ok())
    }

    /// A request with its receipts.
    #[track_caller]
    pub fn shown(&self, id: &str) -> Value {
        self.get(&format!("/v1/requests/{id}")).ok()
    }

    /// The request that was made last, with its receipts; null while there is none.
    #[track_caller]
    pub fn newest_request(&self) -> Value {
        let all = self.get("/v1/requests?limit=1").ok();
        all["requests"][0]["request_id"].as_str().map(|id| self.shown(id)).unwrap_or_default()
    }

    /// A POST whose body is not JSON, or not text.
    pub fn post_bytes(&self, path: &str, body: &[u8]) -> Answer {
        self.keep().send("POST", path, Some(body)).expect("an answer")
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.keep().send("DELETE", path, None).expect("an answer")
    }

    /// The bytes of a request, for a test that sends only a part of them or does not wait.
    pub fn request(&self, method: &str, path: &str, body: Option<&[u8]>) -> Vec<u8> {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{}", self.port, self.headers);
        let content = |body: &[u8]| format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        let content = body.map(content).unwrap_or_default();
        [head.as_bytes(), content.as_bytes(), b"\r\n", body.unwrap_or_default()].concat()
    }

    /// A connection that stays open.
    #[track_caller]
    pub fn keep(&self) -> Connection {
        self.try_keep().expect("connect")
    }

    /// The same, where the gateway may be gone.
    pub fn try_keep(&self) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Connection { http: self.clone(), stream: BufReader::new(stream) })
    }
}

/// Many requests, one after the other, on one connection.
#[derive(Debug)]
pub struct Connection {
    pub(super) http: Http,
    pub(super) stream: BufReader<TcpStream>,
}

impl Connection {
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, None).expect("an answer")
    }

    #[track_caller]
    pub fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body.to_string().as_bytes())).expect("an answer")
    }

    /// One request and its answer; an error when the gateway went away before it had answered.
    pub fn send(&mut self, method: &str, path: &str, body: Option<&[u8]>) -> std::io::Result<Answer> {
        // The other side may refuse before all is sent; its answer says why.
        let sent = self.stream.get_mut().write_all(&self.http.request(method, path, body));
        let (status, head) = self.head().or_else(|error| sent.and(Err(error)))?;
        let mut body = Vec::new();
        Body::of(&head).read_all(&mut self.stream, &mut body)?;
        Ok(Answer { status, head, body: String::from_utf8_lossy(&body).into_owned() })
    }

    pub(super) fn head(&mut self) -> std::io::Result<(u16, String)> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "no answer"));
            }
        }
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Ok((status, head.trim_end().to_lowercase()))
    }
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body {
    Length(u64),
    Chunks,
    Close,
}

impl Body {
    pub(super) fn of(head: &str) -> Self {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        match length.and_then(|value| value.trim().parse().ok()) {
            Some(length) => Self::Length(length),
            None if head.contains("transfer-encoding: chunked") => Self::Chunks,
            None => Self::Close,
        }
    }

    fn read_all(self, stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> std::io::Result<()> {
        match self {
            Self::Length(length) => stream.take(length).read_to_end(body).and_then(|count| {
                if count as u64 == length { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
            }),
            Self::Close => stream.read_to_end(body).map(drop),
            Self::Chunks => {
                while let Some(chunk) = chunk(stream)? {
                    body.extend(chunk);
                }
                Ok(())
            }
        }
    }
}

/// The next chunk of a chunked body; `None` at its end.
pub(super) fn chunk(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let length = u64::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
    let mut chunk = Vec::new();
    stream.take(length + 2).read_to_end(&mut chunk)?;
    if chunk.len() as u64 != length + 2 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    chunk.truncate(chunk.len() - 2);
    Ok((length > 0).then_some(chunk))
}

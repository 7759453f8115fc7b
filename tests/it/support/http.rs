//! Raw HTTP: tests say exactly what goes over the wire.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Sends these bytes and reads until the other side closes.
pub fn raw(port: u16, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
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

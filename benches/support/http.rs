//! Requests on kept connections, and how long each took.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body of a success.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The bytes of a request. A body is JSON.
pub fn request(port: u16, method: &str, path: &str, body: Option<&Value>) -> Vec<u8> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let content = match body.len() {
        0 => String::new(),
        length => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{content}\r\n{body}").into_bytes()
}

/// One kept connection, used by one thread.
#[derive(Debug)]
pub struct Client {
    port: u16,
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub fn new(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { port, stream, received: Vec::new() }
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send(&request(self.port, "GET", path, None))
    }

    pub fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.send(&request(self.port, "POST", path, Some(body)))
    }

    pub fn send(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).unwrap();
        self.received.clear();
        let mut buffer = [0; 4096];
        loop {
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the gateway closed the connection");
            self.received.extend_from_slice(&buffer[..count]);
            if let Some((status, body)) = whole(&self.received) {
                return Answer { status, body: self.received[body..].to_vec() };
            }
        }
    }
}

/// The status, and where the body begins, once all of an answer with a `content-length` is there.
fn whole(received: &[u8]) -> Option<(u16, usize)> {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&received[..end]).unwrap();
    let length: usize = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.parse().ok())
        .expect("a content-length");
    let status = head.split(' ').nth(1)?.parse().ok()?;
    (received.len() >= end + length).then_some((status, end))
}

/// What many requests cost.
#[derive(Debug, Default)]
pub struct Hammered {
    /// Of each request that was answered with 200.
    pub times: Vec<Duration>,
    /// Requests that were answered otherwise.
    pub refused: usize,
    pub took: Duration,
}

impl Hammered {
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64()
    }
}

/// Sends `each` requests on each of `connections` kept connections, the next one after the answer to the last one.
/// One thread does all of it, so that it takes little of what it measures.
pub fn hammer(port: u16, connections: usize, each: usize, make: impl Fn(usize, usize) -> Vec<u8>) -> Hammered {
    // Made before the clock runs.
    let requests = (0..connections).map(|of| (0..each).map(|number| make(of, number)).collect::<Vec<_>>());
    let mut hammered = Hammered::default();
    let mut take = |results: Vec<(u16, Duration)>| {
        for (status, time) in results {
            if status == 200 { hammered.times.push(time) } else { hammered.refused += 1 }
        }
    };
    if connections == 1 {
        let requests: Vec<Vec<u8>> = requests.flatten().collect();
        let mut client = Client::new(port);
        client.get("/health");
        let begun = Instant::now();
        let results = requests.iter().map(|request| {
            let sent = Instant::now();
            (client.send(request).status, sent.elapsed())
        });
        take(results.collect());
        hammered.took = begun.elapsed();
        return hammered;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let requests: Vec<Vec<Vec<u8>>> = requests.collect();
    hammered.took = runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let mut stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            stream.set_nodelay(true).unwrap();
            // The first request of a connection has its caller looked up.
            talk(&mut stream, &request(port, "GET", "/health", None)).await;
            talk(&mut stream, &request(port, "GET", "/v1/status", None)).await;
            streams.push(stream);
        }
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for (mut stream, requests) in streams.into_iter().zip(requests) {
            tasks.spawn(async move {
                let mut results = Vec::with_capacity(requests.len());
                for request in &requests {
                    let sent = Instant::now();
                    results.push((talk(&mut stream, request).await, sent.elapsed()));
                }
                results
            });
        }
        while let Some(results) = tasks.join_next().await {
            take(results.unwrap());
        }
        begun.elapsed()
    });
    hammered
}

async fn talk(stream: &mut tokio::net::TcpStream, request: &[u8]) -> u16 {
    stream.write_all(request).await.unwrap();
    let (mut buffer, mut seen) = ([0; 4096], 0);
    loop {
        let count = stream.read(&mut buffer[seen..]).await.unwrap();
        assert!(count > 0, "the gateway closed the connection");
        seen += count;
        if let Some((status, _)) = whole(&buffer[..seen]) {
            return status;
        }
    }
}

//! A gateway of the test's own: it proves itself as the real one, and answers as the test says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use super::{Agent, Stopped, World};

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Heard {
    pub method: String,
    pub path: String,
    /// Header lines in lower case.
    pub head: String,
    pub body: Value,
}

impl Heard {
    /// `POST /v1/requests`.
    pub fn call(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let line = self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.map(str::to_owned)
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    Json(u16, Value),
    /// With one more header line.
    Marked(u16, &'static str, Value),
    /// Events as they are written; then the end of the connection.
    Events(String),
    /// Events as they are written; then nothing, until the client goes.
    EventsAndSilence(String),
    HangUp,
}

/// Listens where the session's record says that the gateway does. The real gateway is stopped while this lives.
pub struct StandIn {
    heard: Arc<Mutex<Vec<Heard>>>,
    /// The record of the real gateway, which is put back before it goes on.
    record: (PathBuf, Vec<u8>),
    _real: Stopped,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        std::fs::write(&self.record.0, &self.record.1).ok();
    }
}

impl StandIn {
    /// Takes the place of the agent's gateway.
    pub fn new(world: &World, agent: &Agent, answer: impl Fn(&Heard) -> Reply + Send + Sync + 'static) -> Self {
        Self::proving(usize::MAX, world, agent, answer)
    }

    /// As [`StandIn::new`], but after so many connections it proves to be somebody else.
    pub fn proving(
        times: usize,
        world: &World,
        agent: &Agent,
        answer: impl Fn(&Heard) -> Reply + Send + Sync + 'static,
    ) -> Self {
        // tmux wakes a stopped program of its panes, so the real one is in none of them.
        world.agents(&["gateway", "attach", "--background", "--agent-id", &agent.id]).ok();
        let real = Stopped::new(world.gateway_pid());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let path = agent.root.join("gateway/run/current-instance.json");
        let record = (path.clone(), std::fs::read(&path).unwrap());
        super::edit(&path, |record| record["port"] = json!(port));
        let proof = agent.file("gateway/run/owner.json")["instance_id"].as_str().unwrap().to_owned();
        let status = agent.file("gateway/state.json");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::new((answer, heard.clone(), proof, status));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().flatten().enumerate() {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    let (answer, heard, proof, status) = &*shared;
                    let answer = |request: &Heard| {
                        heard.lock().unwrap().push(request.clone());
                        match request.path.as_str() {
                            "/health" => Reply::Json(200, json!({"protocol_version": "v1", "status": "ok"})),
                            "/v1/status" => Reply::Json(200, status.clone()),
                            _ => answer(request),
                        }
                    };
                    serve(stream, if connection < times { proof } else { "somebody else" }, answer);
                });
            }
        });
        Self { heard, record, _real: real }
    }

    /// What was asked of it, without the questions that prove it.
    pub fn heard(&self) -> Vec<Heard> {
        let heard = self.everything();
        heard.into_iter().filter(|request| !["/health", "/v1/status"].contains(&request.path.as_str())).collect()
    }

    pub fn everything(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

/// One connection, until either side ends it.
fn serve(stream: TcpStream, proof: &str, answer: impl Fn(&Heard) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(request) = read(&mut reader) {
        let mut send = |status: u16, marks: &str, body: &str| {
            let head = format!("HTTP/1.1 {status} X\r\nagents-gateway-instance: {proof}\r\n{marks}");
            write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).ok();
        };
        match answer(&request) {
            Reply::Json(status, body) => send(status, "content-type: application/json\r\n", &body.to_string()),
            Reply::Marked(status, mark, body) => send(status, &format!("{mark}\r\n"), &body.to_string()),
            reply @ (Reply::Events(_) | Reply::EventsAndSilence(_)) => {
                let (text, goes_on) = match reply {
                    Reply::Events(text) => (text, false),
                    Reply::EventsAndSilence(text) => (text, true),
                    _ => unreachable!(),
                };
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
                stream.write_all(format!("{head}{text}").as_bytes()).ok();
                if goes_on {
                    reader.read_exact(&mut [0]).ok();
                }
                return;
            }
            Reply::HangUp => return,
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Heard> {
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut head = String::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line.replace("\r\n", "\n").to_lowercase());
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Heard { method, path, head, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}

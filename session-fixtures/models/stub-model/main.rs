//! A model that says what it is told to, for tests with real coding agents. It listens on loopback only.
//!
//! `stub-model [log=FILE] [bodies=FILE]` prints `{"port":N}` on stdout and ends when its stdin does, so that nothing is
//! left when a test is killed. It speaks, streaming or whole:
//!
//! - Anthropic Messages: `POST /v1/messages`, and `/v1/messages/count_tokens`,
//! - `OpenAI` Responses: `POST /v1/responses`,
//! - Gemini: `POST /v1beta/models/MODEL:streamGenerateContent`, `:generateContent`, `:countTokens`.
//!
//! The last text of the user chooses what happens, see `act.rs`. Nothing waits but what was asked to. The log is the
//! truth of what arrived, see `log.rs`; `bodies` gets every request body as one line.

#![allow(
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "a program of the tests: it plays what others do, with clocks and tasks of its own"
)]

mod act;
mod log;
mod play;
mod wire;

use std::{
    convert::Infallible,
    io::{Read, Write},
    net::Ipv4Addr,
    path::PathBuf,
    process::ExitCode,
    rc::Rc,
};

use http_body_util::BodyExt;
use hyper::{Method, Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use log::Log;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::LocalSet};
use wire::Api;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            writeln!(std::io::stderr(), "stub-model: {problem}").ok();
            ExitCode::from(2)
        }
    }
}

fn run() -> std::io::Result<()> {
    let (mut log, mut bodies) = (None, None);
    for word in std::env::args().skip(1) {
        match word.split_once('=') {
            Some(("log", path)) => log = Some(PathBuf::from(path)),
            Some(("bodies", path)) => bodies = Some(PathBuf::from(path)),
            _ => return Err(std::io::Error::other(format!("unknown word `{word}`"))),
        }
    }
    let log = Rc::new(Log::open(log.as_deref(), bodies.as_deref())?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(log))
}

async fn serve(log: Rc<Log>) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = json!({ "port": listener.local_addr()?.port() });
    writeln!(std::io::stdout(), "{port}")?;
    let mut end = end_of_stdin();
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = &mut end => return Ok(()),
        };
        let log = Rc::clone(&log);
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| answer(Rc::clone(&log), request));
            // A client that leaves in the middle is part of the play, and is in the log.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

/// A thread, because a blocking read inside the runtime would keep the program from ending.
fn end_of_stdin() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        std::io::stdin().lock().read_to_end(&mut Vec::new()).ok();
        ended.send(()).ok();
    });
    end
}

async fn answer(log: Rc<Log>, request: Request<Incoming>) -> Result<play::Answer, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let call = format!("{} {}", head.method, head.uri.path());
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let api = (head.method == Method::POST).then(|| Api::of(head.uri.path(), &body)).flatten();
    Ok(match api {
        Some((api, want)) => play::answer(log, &call, api, &want, &body),
        None => play::other(&log, &call, &body),
    })
}

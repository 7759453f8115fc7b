//! Plays one answer: frames with the silences between them, and the lines of the log.

use std::{rc::Rc, time::Duration};

use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    body::{Bytes, Frame},
};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    act::Act,
    log::{Log, hash, now_ms},
    wire::{Api, Voice, Want},
};

pub type Answer = Response<UnsyncBoxBody<Bytes, std::convert::Infallible>>;

/// Answers a request to a model.
pub fn answer(log: Rc<Log>, call: &str, api: Api, want: &Want, body: &Value) -> Answer {
    let n = log.number(call, body);
    if let Want::Count = want {
        log.line(&json!({"n": n, "at_ms": now_ms(), "call": call, "api": api.name(), "turn": false}));
        return json_answer(StatusCode::OK, &api.count(body));
    }
    let asked = api.asked(body);
    let voice = Voice::new(api, n, want.model(), body);
    let streams = matches!(want, Want::Stream(_));
    let turn = streams && voice.has_tools();
    let act = if turn { Act::of(&asked.text, asked.after_tool) } else { Act::Say(voice.aside()) };
    log.line(&json!({
        "n": n,
        "at_ms": now_ms(),
        "call": call,
        "api": api.name(),
        "model": want.model(),
        "bytes": asked.text.len(),
        "hash": hash(asked.text.as_bytes()),
        "text": asked.text,
        "after_tool": asked.after_tool,
        "turn": turn,
        "act": act.name(),
    }));
    if let Act::Error(status) = act {
        finished(&log, n, "error", "");
        let status_code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return json_answer(status_code, &api.error(status));
    }
    if !streams {
        let said: String = act.parts().into_iter().map(|(_, part)| part).collect();
        finished(&log, n, "whole", &said);
        return json_answer(StatusCode::OK, &voice.whole(&said));
    }
    let (frames, sent) = unbounded_channel();
    tokio::task::spawn_local(play(log, n, voice, act, frames));
    stream_answer(sent)
}

/// Answers what no model does: start-up checks, telemetry, lists.
pub fn other(log: &Log, call: &str, body: &Value) -> Answer {
    let n = log.number(call, body);
    log.line(&json!({"n": n, "at_ms": now_ms(), "call": call, "other": true}));
    match call {
        "HEAD /" | "GET /" => json_answer(StatusCode::OK, &json!({})),
        "GET /v1/models" => json_answer(StatusCode::OK, &json!({"object": "list", "data": [], "models": []})),
        _ => {
            json_answer(StatusCode::NOT_FOUND, &json!({"error": {"type": "not_found_error", "message": "not played"}}))
        }
    }
}

async fn play(log: Rc<Log>, n: u64, voice: Voice, act: Act, frames: UnboundedSender<String>) {
    let mut said = String::new();
    let whole = perform(&voice, &act, &frames, &mut said).await.is_some();
    finished(&log, n, if whole { "whole" } else { "left" }, &said);
}

/// `None` when the client went.
async fn perform(voice: &Voice, act: &Act, frames: &UnboundedSender<String>, said: &mut String) -> Option<()> {
    frames.send(voice.begin()).ok()?;
    if *act == Act::Hang {
        frames.closed().await;
        return None;
    }
    for (silence, part) in act.parts() {
        pass(silence, frames).await?;
        frames.send(voice.text(&part)).ok()?;
        said.push_str(&part);
    }
    let command = if let Act::Tool(command) = act { Some(command.as_str()) } else { None };
    frames.send(voice.end(said, command)).ok()
}

async fn pass(silence: Duration, frames: &UnboundedSender<String>) -> Option<()> {
    if silence.is_zero() {
        return Some(());
    }
    tokio::select! {
        () = tokio::time::sleep(silence) => Some(()),
        () = frames.closed() => None,
    }
}

fn finished(log: &Log, n: u64, outcome: &str, said: &str) {
    log.line(&json!({"n": n, "finished_at_ms": now_ms(), "outcome": outcome, "said": said}));
}

fn json_answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    answer
}

fn stream_answer(sent: UnboundedReceiver<String>) -> Answer {
    let frames = stream::unfold(sent, |mut sent| async move {
        let frame = sent.recv().await?;
        Some((Ok(Frame::data(Bytes::from(frame))), sent))
    });
    let mut answer = Response::new(StreamBody::new(frames).boxed_unsync());
    answer.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("text/event-stream"));
    answer
}

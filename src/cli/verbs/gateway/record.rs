//! `agents gateway record start|stop|list`: files of what the agent's terminal showed.

use std::{path::Path, process::ExitCode};

use serde_json::json;

use super::requests;
use crate::{
    api::{Recording, RecordingAction, Recordings},
    cli::{args::Record, render, report::Reporter, setting},
    client::Call,
    lifecycle,
    model::Failure,
    target::Context,
};

pub(super) fn run(context: &Context, words: &Record, report: &Reporter) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, words.selectors())?;
    let gateway = lifecycle::reach(&target, requests::STARTING)?;
    let action = match words {
        Record::Start(_) => Some(RecordingAction::Start),
        Record::Stop(_) => Some(RecordingAction::Stop),
        Record::List(_) => None,
    };
    let found: Recordings = match action {
        Some(action) => gateway.call(&Call::post("/v1/recordings", &json!({ "action": action })))?,
        None => gateway.call(&Call::get("/v1/recordings"))?,
    };
    if report.wants_json() {
        render::json(&json!(found));
        return Ok(ExitCode::SUCCESS);
    }
    if found.recording && found.recordings.is_empty() {
        render::line(&format!("recording into {}", found.folder));
        return Ok(ExitCode::SUCCESS);
    }
    let row = |one: &Recording| {
        let file = Path::new(&found.folder).join(&one.name).to_string_lossy().into_owned();
        [one.bytes.to_string(), if one.active { "recording" } else { "" }.to_owned(), file]
    };
    render::table(["BYTES", "", "FILE"], found.recordings.iter().map(row).collect());
    Ok(ExitCode::SUCCESS)
}

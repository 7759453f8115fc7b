//! `agents gateway screen`: what the agent's terminal shows now.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::requests;
use crate::{
    cli::{
        args::{ScreenFormat, ScreenWords},
        render,
        report::Reporter,
        setting,
    },
    client::Call,
    lifecycle,
    model::Failure,
    target::Context,
};

pub(super) fn run(context: &Context, words: &ScreenWords, report: &Reporter) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, &words.selectors)?;
    let gateway = lifecycle::reach(&target, requests::STARTING)?;
    let path = |format: ScreenFormat| format!("/v1/screen?format={}", format.name());
    if report.wants_json() || words.format == ScreenFormat::Json {
        let mut screen: Value = gateway.call(&Call::get(&path(ScreenFormat::Json)))?;
        // With `--json` another format is one of its fields.
        if words.format == ScreenFormat::Html {
            let page = gateway.fetch(&Call::get(&path(words.format)))?;
            screen["html"] = json!(String::from_utf8_lossy(&page));
        }
        render::json(&screen);
    } else {
        render::raw(&gateway.fetch(&Call::get(&path(words.format)))?);
    }
    Ok(ExitCode::SUCCESS)
}

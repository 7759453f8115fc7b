//! `agents replay`: a recording, and what the tracker makes of it.

use std::{process::ExitCode, time::Duration};

use serde_json::json;

use crate::{
    cli::{args::Replay, render, report::Reporter},
    contract::{self, ContractError, Played},
    model::Failure,
};

pub(super) fn run(words: &Replay, report: &Reporter) -> Result<ExitCode, Failure> {
    let played = contract::replay(&words.file, words.tool.as_deref(), words.tool_version.as_deref())
        .map_err(|error| failed(&error))?;
    if report.wants_json() {
        render::json(&json!({
            "tool": played.tool,
            "tool_version": played.version,
            "profile": played.profile,
            "timeline": played.steps,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(profile) = &played.profile {
        report.detail(&format!("read by profile `{profile}`"));
    } else {
        report.note(&format!("there is no profile for `{}`: only titles and status sequences count", played.tool));
    }
    if let Some(why) = &played.conservative {
        report.note(&format!("what is not certain is unknown: {why}"));
    }
    print(&played, words.speed);
    Ok(ExitCode::SUCCESS)
}

fn print(played: &Played, speed: Option<f64>) {
    let mut before = 0;
    for step in &played.steps {
        if let Some(speed) = speed {
            pause(Duration::from_millis(step.at_millis.saturating_sub(before)).div_f64(speed));
            before = step.at_millis;
        }
        if !render::try_line(&step.to_string()) {
            return;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a person asked to see it at this pace")]
fn pause(span: Duration) {
    std::thread::sleep(span);
}

fn failed(error: &ContractError) -> Failure {
    match error {
        ContractError::File { .. } => Failure::not_found(error.to_string(), "name a recording (asciicast v2)"),
        ContractError::Unreadable { .. } => {
            let hint = "`agents gateway record start` makes recordings; --tool names the agent program in it";
            Failure::usage(error.to_string(), hint)
        }
    }
}

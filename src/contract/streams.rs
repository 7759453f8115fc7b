//! Recorded streams: `NAME.cast`, the timeline that it must yield in `NAME.timeline`, and in `NAME.truth.toml` what
//! the tool's own hooks told of that run, with a clock of their own.

use std::path::Path;

use serde::Deserialize;

use super::{Case, ContractError, Step};

/// The hooks were seen through files: they may be told so much late.
const SLACK_MILLIS: u64 = 100;

/// A turn is seen to begin at the latest so long after the tool told it,
const BEGIN_MILLIS: u64 = 300;

/// and to end, by screen and title alone, so long after it.
const END_MILLIS: u64 = 1_500;

/// What happened, by the tool's own word. All times are seconds since the recording began.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Truth {
    turn: Vec<TrueTurn>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrueTurn {
    /// The tool took the prompt.
    taken: f64,
    /// It was done.
    ended: f64,
    outcome: String,
    /// It asked for a permission…
    asked: Option<f64>,
    /// …and a person answered.
    answered: Option<f64>,
}

/// Checks every recording below `streams/<tool>-<version>/`.
pub(super) fn check(streams: &Path) -> Result<Vec<Case>, ContractError> {
    let mut cases = Vec::new();
    for folder in super::folders(streams)? {
        let is_cast = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "cast");
        for file in super::entries(&folder)?.into_iter().filter(is_cast) {
            let steps = super::replay(&file, None, None)?.steps;
            let mut differences = timeline(&super::text(&file.with_extension("timeline"))?, &steps);
            let truth = file.with_extension("truth.toml");
            if truth.exists() {
                let text = super::text(&truth)?;
                let told: Truth = toml::from_str(&text)
                    .map_err(|error| ContractError::Unreadable { file: truth, why: error.to_string() })?;
                differences.extend(untrue(&told, &steps));
            }
            let name = format!("streams/{}/{}", super::file_name(&folder), super::file_name(&file));
            cases.push(Case { name, differences });
        }
    }
    Ok(cases)
}

/// The first line that differs: what follows it mostly follows from it.
fn timeline(expected: &str, steps: &[Step]) -> Vec<String> {
    let is: Vec<String> = steps.iter().map(ToString::to_string).collect();
    let expected: Vec<&str> = expected.lines().filter(|line| !line.starts_with('#')).collect();
    let place = (0..expected.len().max(is.len()))
        .find(|place| expected.get(*place).copied() != is.get(*place).map(String::as_str));
    let Some(place) = place else { return Vec::new() };
    let line = |text: Option<&str>| text.map_or("nothing more".to_owned(), |text| format!("`{}`", text.trim()));
    let (wanted, found) = (line(expected.get(place).copied()), line(is.get(place).map(String::as_str)));
    vec![format!("line {} of the timeline: expected {wanted}, read {found}", place + 1)]
}

/// Where a timeline contradicts what the tool told.
fn untrue(truth: &Truth, steps: &[Step]) -> Vec<String> {
    let mut wrong = Vec::new();
    let of = |what: &str, start: &str| -> Vec<&Step> {
        steps.iter().filter(|step| step.what == what && step.is.starts_with(start)).collect()
    };
    let (began, ended) = (of("turn", "started"), of("turn", "ended"));
    if began.len() != truth.turn.len() || ended.len() != truth.turn.len() {
        wrong.push(format!("{} turns ran, {} began and {} ended here", truth.turn.len(), began.len(), ended.len()));
        return wrong;
    }
    for ((turn, began), done) in truth.turn.iter().zip(began).zip(ended) {
        let (taken, end) = (millis(turn.taken), millis(turn.ended));
        if began.at_millis > taken + BEGIN_MILLIS {
            wrong.push(format!("a turn that began at {} was seen {} ms late", turn.taken, began.at_millis - taken));
        }
        if done.at_millis + SLACK_MILLIS < end || done.at_millis > end + END_MILLIS {
            wrong.push(format!("a turn that ended at {} was seen to end at {} ms", turn.ended, done.at_millis));
        }
        if !done.is.starts_with(&format!("ended {}", turn.outcome)) {
            wrong.push(format!("the turn that ended at {} was {}: {}", turn.ended, turn.outcome, done.is));
        }
        let running = taken + SLACK_MILLIS..end.saturating_sub(SLACK_MILLIS);
        for (span, phase) in spans(steps) {
            if phase == "ready" && span.start < running.end && span.end > running.start {
                wrong.push(format!("false ready from {} to {} ms", span.start, span.end));
            }
        }
        if let (Some(asked), Some(answered)) = (turn.asked, turn.answered) {
            let asks = millis(asked) + BEGIN_MILLIS..millis(answered);
            let is_blocked = spans(steps)
                .any(|(span, phase)| phase == "blocked" && span.start <= asks.start && span.end >= asks.end);
            if !is_blocked {
                wrong.push(format!("it asked from {asked} to {answered} and was not seen blocked"));
            }
        }
    }
    wrong
}

/// From when to when which phase was shown.
fn spans(steps: &[Step]) -> impl Iterator<Item = (std::ops::Range<u64>, &str)> {
    let phases: Vec<&Step> = steps.iter().filter(|step| step.what == "phase").collect();
    let ends: Vec<u64> = phases.iter().skip(1).map(|step| step.at_millis).chain([u64::MAX]).collect();
    phases.into_iter().zip(ends).map(|(step, end)| (step.at_millis..end, step.is.as_str()))
}

fn millis(seconds: f64) -> u64 {
    let span = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

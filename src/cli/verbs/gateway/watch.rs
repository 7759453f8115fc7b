//! `agents gateway requests watch`: receipts as they come.

use std::{process::ExitCode, time::Duration};

use serde_json::json;

use super::requests::{self, INTERRUPTED, STARTING};
use crate::{
    api::{EventView, ReceiptView},
    cli::{args::Selectors, follow, render, report::Reporter, setting},
    client::{CallError, Event, Gateway, Patience, Waited},
    lifecycle::{self, direct::WaitFor},
    model::{ErrorCode, Failure, RequestId},
    target::{Context, Target},
};

/// How often a gateway that is away is looked for.
const LOOK: Duration = Duration::from_millis(500);

pub(super) fn run(
    context: &Context,
    selectors: &Selectors,
    id: Option<&RequestId>,
    report: &Reporter,
) -> Result<ExitCode, Failure> {
    if id.is_none() && report.wants_json() {
        return Err(Failure::usage(
            "watching all requests never ends, and --json prints one document",
            "name one request, or leave --json out",
        ));
    }
    let target = setting::resolve(context, selectors)?;
    let gateway = lifecycle::reach(&target, STARTING)?;
    let mut patience = requests::patience(&gateway, None)?;
    let Some(id) = id else { return all(&target, gateway, &mut patience, report) };
    let mut tell = |receipt: &ReceiptView| {
        if !report.wants_json() {
            render::line(&requests::step_line(receipt));
        }
    };
    let followed = follow::follow(&target, gateway, id, WaitFor::Ended, &mut patience, &mut tell)?;
    if report.wants_json() {
        render::json(&json!(followed.detail));
    }
    Ok(requests::finish(&followed, id, WaitFor::Ended, report))
}

/// All requests, until Ctrl-C or until nobody reads any more.
fn all(target: &Target, mut gateway: Gateway, patience: &mut Patience, report: &Reporter) -> Result<ExitCode, Failure> {
    let mut place = None;
    let mut away = false;
    loop {
        let waited = match gateway.events(patience, place, None) {
            Waited::For(Ok(mut events)) => {
                if std::mem::take(&mut away) {
                    report.note("the gateway answers again");
                }
                loop {
                    match events.next(patience) {
                        Waited::For(Some(event)) if !render::try_line(&line(&event)) => return Ok(ExitCode::SUCCESS),
                        Waited::For(Some(_)) => {}
                        Waited::For(None) => {
                            place = events.place().or(place);
                            break patience.pause(LOOK);
                        }
                        Waited::TimeOver => break Waited::TimeOver,
                        Waited::Interrupted => break Waited::Interrupted,
                    }
                }
            }
            Waited::For(Err(CallError::Refused(refusal))) if refusal.status == 409 && place.is_some() => {
                report.note(&format!("some receipts were missed: {}", refusal.detail));
                place = None;
                patience.pause(LOOK)
            }
            Waited::For(Err(error)) if error.is_passing() => {
                if !std::mem::replace(&mut away, true) {
                    report.note("the gateway does not answer; waiting for it until Ctrl-C");
                }
                patience.pause(LOOK)
            }
            Waited::For(Err(error)) => return Err(error.into()),
            Waited::TimeOver => Waited::TimeOver,
            Waited::Interrupted => Waited::Interrupted,
        };
        if waited != Waited::For(()) {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        match lifecycle::reach(target, Duration::ZERO) {
            Ok(found) => gateway = found,
            Err(failure) if failure.code == ErrorCode::NotAttached => {}
            Err(failure) => return Err(failure),
        }
    }
}

/// An event as a line: when, of which request, what.
fn line(event: &Event) -> String {
    let Ok(view) = serde_json::from_str::<EventView>(&event.data) else {
        return format!("{}  {}", event.kind, event.data);
    };
    let request = view.request_id.as_deref().unwrap_or("-");
    let what = follow::receipt_of(&view).map_or(view.kind, |receipt| requests::step(&receipt));
    format!("{}  {request}  {what}", view.at_utc)
}

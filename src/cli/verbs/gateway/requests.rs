//! `agents gateway requests list|show|cancel`, and how a request is shown and waited for wherever one was made.

use std::{process::ExitCode, time::Duration};

use serde_json::json;

use super::watch;
use crate::{
    api::{ReceiptView, RequestAccepted, RequestDetail, RequestFilter, RequestList, RequestView},
    cli::{
        args::Requests,
        follow::{self, Followed},
        render,
        report::{Progress, Reporter},
        setting,
    },
    client::{Call, Gateway, Patience},
    lifecycle::{self, direct::WaitFor},
    model::{ErrorCode, Failure, Receipt, RequestId, RequestKind},
    target::{Context, Target},
};

/// How long a gateway that is just starting is waited for.
pub(super) const STARTING: Duration = Duration::from_secs(3);

/// Exit status of a wait that Ctrl-C ended, as shells count it.
pub(in crate::cli) const INTERRUPTED: u8 = 130;

/// How much of a prompt stands in a list.
const GLANCE: usize = 48;

pub(super) fn run(context: &Context, words: &Requests, report: &Reporter) -> Result<ExitCode, Failure> {
    match words {
        Requests::List { selectors, state, limit } => {
            let gateway = lifecycle::reach(&setting::resolve(context, selectors)?, STARTING)?;
            let filter = RequestFilter { state: state.map(Into::into), limit: *limit, before: None };
            list(&gateway, &filter, report)
        }
        Requests::Show { selectors, id } => {
            let gateway = lifecycle::reach(&setting::resolve(context, selectors)?, STARTING)?;
            let detail: RequestDetail = gateway.call(&Call::get(&format!("/v1/requests/{id}")))?;
            if report.wants_json() {
                render::json(&json!(detail));
            } else {
                show(&detail);
            }
            Ok(ExitCode::SUCCESS)
        }
        Requests::Cancel { selectors, id } => {
            let gateway = lifecycle::reach(&setting::resolve(context, selectors)?, STARTING)?;
            let request: RequestView = gateway.call(&Call::delete(&format!("/v1/requests/{id}")))?;
            if report.wants_json() {
                render::json(&json!(request));
            } else {
                facts(&request, None);
            }
            Ok(ExitCode::SUCCESS)
        }
        Requests::Watch { selectors, id } => watch::run(context, selectors, id.as_ref(), report),
    }
}

fn list(gateway: &Gateway, filter: &RequestFilter, report: &Reporter) -> Result<ExitCode, Failure> {
    let state = filter.state.map(|state| format!("&state={state}")).unwrap_or_default();
    let list: RequestList = gateway.call(&Call::get(&format!("/v1/requests?limit={}{state}", filter.limit)))?;
    if report.wants_json() {
        render::json(&json!(list));
        return Ok(ExitCode::SUCCESS);
    }
    let rows = list.requests.iter().map(|request| {
        [
            request.request_id.clone(),
            request.request_kind.to_string(),
            request.state.to_string(),
            request.receipt.to_string(),
            request.accepted_at_utc.clone(),
            request.prompt.as_deref().map(glance).unwrap_or_default(),
        ]
    });
    if list.requests.is_empty() {
        report.note("no requests");
    } else {
        render::table(["ID", "KIND", "STATE", "RECEIPT", "ACCEPTED", "PROMPT"], rows.collect());
    }
    if list.next_before.is_some() {
        report.note("there are older ones; --limit shows more");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(detail: &RequestDetail) {
    let request = &detail.request;
    let mut rows = vec![
        ("request", request.request_id.clone()),
        ("kind", format!("{}, by {}", request.request_kind, request.route)),
        ("state", request.state.to_string()),
        ("accepted", request.accepted_at_utc.clone()),
    ];
    let times = [
        ("started", &request.started_at_utc),
        ("finished", &request.finished_at_utc),
        ("expires", &request.expires_at_utc),
        ("error", &request.error_detail),
    ];
    rows.extend(times.into_iter().filter_map(|(name, text)| Some((name, text.clone()?))));
    rows.push(("epoch", request.managed_agent_instance_epoch.to_string()));
    rows.extend(request.prompt.as_deref().map(|text| ("prompt", format!("{} ({} bytes)", glance(text), text.len()))));
    render::facts(&rows);
    detail.receipts.iter().for_each(|receipt| render::line(&step_line(receipt)));
}

/// A receipt as a line: when, which, why.
pub(super) fn step_line(receipt: &ReceiptView) -> String {
    format!("{}  {}", receipt.at_utc, step(receipt))
}

/// Which, and why: `deferred  copy_mode: the pane is in copy mode`.
pub(super) fn step(receipt: &ReceiptView) -> String {
    let why = match (&receipt.reason, &receipt.detail) {
        (Some(reason), Some(detail)) => format!("  {reason}: {detail}"),
        (Some(one), None) | (None, Some(one)) => format!("  {one}"),
        (None, None) => String::new(),
    };
    format!("{}{why}", receipt.receipt)
}

/// The first line of a text, as far as it fits into a row.
pub(in crate::cli::verbs) fn glance(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    let is_all = line.chars().count() <= GLANCE && text.trim() == line;
    if is_all { line.to_owned() } else { line.chars().take(GLANCE - 1).chain(['…']).collect() }
}

/// What was accepted, and how to follow it.
pub(super) fn accepted(accepted: &RequestAccepted, report: &Reporter) {
    if report.wants_json() {
        return render::json(&json!(accepted));
    }
    let mut rows = vec![("request", accepted.request_id.clone()), ("state", accepted.state.to_string())];
    if let Some(ahead @ 1..) = accepted.queue_depth.checked_sub(1)
        && accepted.request_kind != RequestKind::Interrupt
    {
        rows.push(("ahead", ahead.to_string()));
    }
    render::facts(&rows);
    report.note(&format!("`agents gateway requests watch {}` follows it", accepted.request_id));
}

fn facts(request: &RequestView, receipt: Option<&ReceiptView>) {
    let receipt = receipt.map_or_else(|| request.receipt.to_string(), |receipt| follow::words(&follow::note(receipt)));
    render::facts(&[
        ("request", request.request_id.clone()),
        ("state", request.state.to_string()),
        ("receipt", receipt),
    ]);
}

/// Somebody who can wait: only a gateway of ours says what becomes of a request.
pub(in crate::cli::verbs) fn patience(gateway: &Gateway, limit: Option<Duration>) -> Result<Patience, Failure> {
    if !gateway.gives_receipts() {
        return Err(Failure::new(
            ErrorCode::Incompatible,
            "the gateway is another program's: it does not say what becomes of a request",
            "leave out --wait, or `agents gateway attach --restart` starts one of ours",
        ));
    }
    Patience::new(limit)
}

/// Waits for a request that was accepted, and prints how it ended: its receipt, or what the agent answered.
pub(in crate::cli::verbs) fn wait(
    target: &Target,
    gateway: Gateway,
    accepted: &RequestAccepted,
    goal: WaitFor,
    patience: &mut Patience,
    report: &Reporter,
) -> Result<ExitCode, Failure> {
    let id: RequestId =
        accepted.request_id.parse().map_err(|error| Failure::internal(format!("the gateway's answer: {error}")))?;
    let mut progress = Progress::new(report);
    progress.tell(&waiting_words(accepted));
    let mut tell = |receipt: &ReceiptView| {
        // The first words say more than this receipt does.
        if receipt.receipt != Receipt::Queued || receipt.detail.is_some() {
            progress.tell(&follow::words(&follow::note(receipt)));
        }
    };
    let followed = follow::follow(target, gateway, &id, goal, patience, &mut tell);
    drop(progress);
    let followed = followed?;
    let wants_reply = goal == WaitFor::Ended;
    if report.wants_json() {
        let mut document = json!(followed.detail);
        if wants_reply {
            document["reply"] = json!(followed.reply());
        }
        render::json(&document);
    } else if !followed.interrupted && wants_reply {
        match (followed.reply(), followed.reply_missing()) {
            (None, _) if followed.failure().is_some() => {}
            (None, Some(why)) => report.note(&format!("the turn has ended, and there is no reply: {why}")),
            (reply, _) => render::reply(reply, report),
        }
    } else if !followed.interrupted {
        facts(&followed.detail.request, followed.detail.receipts.last());
    }
    Ok(finish(&followed, &id, goal, report))
}

/// `queued · 2 ahead`. An interrupt waits behind nobody.
fn waiting_words(accepted: &RequestAccepted) -> String {
    match (accepted.request_kind, accepted.queue_depth.saturating_sub(1)) {
        (RequestKind::Interrupt, _) | (_, 0) => "queued".to_owned(),
        (_, ahead) => format!("queued · {ahead} ahead"),
    }
}

/// The exit status of a wait; after Ctrl-C with a word about the request, which does not know of it. Who waited for the
/// end hears of a bad one.
pub(super) fn finish(followed: &Followed, id: &RequestId, goal: WaitFor, report: &Reporter) -> ExitCode {
    if !followed.interrupted {
        return match followed.failure().filter(|_| goal == WaitFor::Ended) {
            // The document has been printed, and there is one.
            Some(failure) if report.wants_json() => ExitCode::from(failure.code.exit_status()),
            Some(failure) => report.failure(&failure),
            None => ExitCode::SUCCESS,
        };
    }
    report.note(&format!("request `{id}`: {}", follow::goes_on(id)));
    ExitCode::from(INTERRUPTED)
}

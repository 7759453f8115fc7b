//! `agents gateway turns list|show`: what was asked, what was answered, and how that is known.

use std::process::ExitCode;

use serde_json::json;

use super::requests::{STARTING, glance, step_line};
use crate::{
    api::{TurnDetail, TurnList, TurnView},
    cli::{args::Turns, render, report::Reporter, setting},
    client::{Call, Gateway},
    lifecycle,
    model::{Failure, Outcome, Reply, Spoken},
    target::Context,
};

pub(super) fn run(context: &Context, words: &Turns, report: &Reporter) -> Result<ExitCode, Failure> {
    let gateway = lifecycle::reach(&setting::resolve(context, words.selectors())?, STARTING)?;
    match words {
        Turns::List { limit, .. } => list(&gateway, *limit, report),
        Turns::Show { id, reply, .. } => {
            let id = if id == "last" { newest(&gateway)? } else { id.clone() };
            let detail: TurnDetail = gateway.call(&Call::get(&format!("/v1/turns/{id}")))?;
            if report.wants_json() {
                render::json(&json!(detail));
            } else if *reply {
                render::reply(detail.turn.turn.reply.as_ref().map(|reply| reply.text.as_str()), report);
            } else {
                show(&detail, report);
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn newest(gateway: &Gateway) -> Result<String, Failure> {
    let list: TurnList = gateway.call(&Call::get("/v1/turns?limit=1"))?;
    let newest = list.turns.into_iter().next().map(|turn| turn.turn.id);
    newest.ok_or_else(|| Failure::not_found("no turn was seen yet", "`agents gateway prompt` begins one"))
}

fn list(gateway: &Gateway, limit: u32, report: &Reporter) -> Result<ExitCode, Failure> {
    let list: TurnList = gateway.call(&Call::get(&format!("/v1/turns?limit={limit}")))?;
    if report.wants_json() {
        render::json(&json!(list));
        return Ok(ExitCode::SUCCESS);
    }
    let rows = list.turns.iter().map(|view| {
        let turn = &view.turn;
        [
            turn.id.clone(),
            outcome(turn.outcome).to_owned(),
            turn.started_at_utc.clone(),
            took(view),
            turn.prompt.as_deref().map(glance).unwrap_or_default(),
        ]
    });
    if list.turns.is_empty() {
        report.note("no turns");
    } else {
        render::table(["ID", "OUTCOME", "STARTED", "TOOK", "PROMPT"], rows.collect());
    }
    if list.next_before.is_some() {
        report.note("there are older ones; --limit shows more");
    }
    Ok(ExitCode::SUCCESS)
}

fn outcome(outcome: Option<Outcome>) -> &'static str {
    outcome.map_or("running", Outcome::name)
}

fn took(view: &TurnView) -> String {
    view.duration_ms.map_or_else(|| "-".to_owned(), |ms| format!("{}.{:01} s", ms / 1000, ms % 1000 / 100))
}

fn show(detail: &TurnDetail, report: &Reporter) {
    let turn = &detail.turn.turn;
    let mut rows = vec![
        ("turn", turn.id.clone()),
        ("outcome", outcome(turn.outcome).to_owned()),
        ("started", turn.started_at_utc.clone()),
    ];
    rows.extend(turn.ended_at_utc.as_ref().map(|at| ("ended", format!("{at}, after {}", took(&detail.turn)))));
    rows.extend(turn.request_id.as_ref().map(|id| ("request", id.to_string())));
    rows.extend(turn.tool_turn_id.clone().map(|id| ("tool's id", id)));
    rows.extend(turn.error.clone().map(|error| ("error", error)));
    rows.extend(turn.prompt.as_deref().map(|text| ("prompt", format!("{} ({} bytes)", glance(text), text.len()))));
    rows.extend(turn.reply.as_ref().map(|reply| ("reply", known(reply))));
    render::facts(&rows);
    turn.started_by.iter().for_each(|spoken| render::line(&evidence("start", spoken)));
    turn.ended_by.iter().for_each(|spoken| render::line(&evidence("end", spoken)));
    detail.receipts.iter().for_each(|receipt| render::line(&step_line(receipt)));
    if let Some(reply) = &turn.reply {
        render::line("");
        render::reply(Some(&reply.text), report);
    }
}

/// How a reply is known.
fn known(reply: &Reply) -> String {
    let exact = if reply.exact { "exact" } else { "not exact" };
    let cut = if reply.truncated { ", cut off" } else { "" };
    format!("{} bytes, {exact}, from the {}{cut}", reply.text.len(), reply.source.name())
}

fn evidence(edge: &str, spoken: &Spoken) -> String {
    format!("{}  {edge}: {} {}", spoken.at_utc, spoken.source.name(), spoken.what)
}

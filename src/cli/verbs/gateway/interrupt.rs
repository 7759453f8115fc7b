//! `agents gateway interrupt`.

use std::process::ExitCode;

use serde_json::json;

use super::requests;
use crate::{
    api::{RequestAccepted, RequestCreate},
    cli::{args::GatewayInterrupt, report::Reporter, setting},
    client::Call,
    lifecycle::{self, direct::WaitFor},
    model::Failure,
    target::Context,
};

pub(super) fn run(context: &Context, words: &GatewayInterrupt, report: &Reporter) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, &words.selectors)?;
    let gateway = lifecycle::reach(&target, requests::STARTING)?;
    let patience = words.wait.then(|| requests::patience(&gateway, Some(words.timeout))).transpose()?;
    let body = json!(RequestCreate::interrupt());
    let accepted: RequestAccepted = gateway.call(&Call::post("/v1/requests", &body))?;
    let Some(mut patience) = patience else {
        requests::accepted(&accepted, report);
        return Ok(ExitCode::SUCCESS);
    };
    requests::wait(&target, gateway, &accepted, WaitFor::Submitted, &mut patience, report)
}

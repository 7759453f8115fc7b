//! `agents join`.

use std::process::ExitCode;

use super::launch;
use crate::{
    cli::{args::Join, render, report::Reporter},
    lifecycle::{self, JoinOptions},
    model::{AgentId, AgentName, Failure, SessionName, ToolName},
    target::Context,
};

pub(super) fn run(context: &Context, words: &Join, report: &Reporter) -> Result<ExitCode, Failure> {
    let options = JoinOptions {
        name: words.agent_name.as_deref().map(AgentName::parse).transpose()?,
        id: words.agent_id.as_deref().map(AgentId::parse).transpose()?,
        tool: words.tool.as_deref().map(ToolName::parse).transpose()?,
        session: words.target_tmux_session.as_deref().map(SessionName::parse).transpose()?,
        renumber: words.renumber,
        headless: words.turns.options(),
    };
    let created = lifecycle::join(context, &options)?;
    if report.wants_json() {
        render::json(&launch::describe(&created));
    } else {
        launch::print(&created, "joined", None);
        created.notes.iter().for_each(|note| report.note(note));
    }
    Ok(ExitCode::SUCCESS)
}

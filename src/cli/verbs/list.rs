//! `agents list`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::launch::problem_status;
use crate::{
    cli::{render, report::Reporter},
    lifecycle::{self, Entry, Unread},
    target::Context,
};

pub(super) fn run(context: &Context, all: bool, report: &Reporter) -> ExitCode {
    let (mut entries, problems) = lifecycle::list(context);
    if !all {
        entries.retain(|entry| entry.agent != "stopped");
    }
    if report.wants_json() {
        let agents: Vec<Value> = entries.iter().map(describe).collect();
        render::json(&json!({ "agents": agents, "problems": problems }));
    } else if entries.is_empty() {
        report.note("no agents; `agents launch NAME -- PROGRAM` starts one, `agents join` adopts one");
    } else {
        render::list(&entries);
    }
    if !report.wants_json() {
        problems.iter().for_each(|problem| report.note(problem));
    }
    problem_status(!problems.is_empty())
}

fn describe(entry: &Entry) -> Value {
    let record = &entry.record;
    json!({
        "agent_name": record.agent_name,
        "agent_id": record.agent_id,
        "tool": record.identity.tool,
        "agent": entry.agent,
        "foreground_command": entry.command,
        "gateway": entry.gateway,
        "mailbox": entry.mail.as_ref().map(mail),
        "lifecycle_state": record.lifecycle.state,
        "tmux_session_name": record.terminal.current_session_name.as_ref().unwrap_or(&record.terminal.last_session_name),
        "manifest_path": record.runtime.manifest_path,
        "session_root": record.runtime.session_root,
    })
}

/// How much mail an agent has, as JSON.
pub(super) fn mail(mail: &Unread) -> Value {
    json!({ "address": mail.address, "transport": mail.transport, "unread_count": mail.unread, "problem": mail.why })
}

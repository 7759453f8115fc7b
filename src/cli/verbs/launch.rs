//! `agents launch`.

use std::{path::Path, process::ExitCode};

use serde_json::{Value, json};

use crate::{
    cli::{args::Launch, render, report::Reporter, setting::absolute},
    lifecycle::{self, AttachOptions, Created, LaunchOptions, MailboxWish},
    mail::filesystem::RegisterMode,
    model::{AgentId, AgentName, ErrorCode, Failure, SessionName, ToolName, shell_quote},
    target::{self, Context},
};

pub(super) fn run(context: &Context, words: &Launch, report: &Reporter) -> Result<ExitCode, Failure> {
    let here = std::env::current_dir().map_err(|error| {
        Failure::usage(format!("the current folder cannot be used: {error}"), "name one with --workdir")
    })?;
    let options = LaunchOptions {
        name: AgentName::parse(&words.name)?,
        id: words.id.as_deref().map(AgentId::parse).transpose()?,
        tool: words.tool.as_deref().map(ToolName::parse).transpose()?,
        working_directory: words.workdir.as_deref().map(absolute).transpose()?.unwrap_or(here),
        session_name: words.session_name.as_deref().map(SessionName::parse).transpose()?,
        program: words.program.clone(),
        path: std::env::var_os("PATH"),
        mailbox: words.mailbox.as_deref().map(|address| wish(Some(address), words.mail_root.as_deref())).transpose()?,
        headless: words.turns.options(),
        hooks: !words.no_hooks,
    };
    let created = lifecycle::launch(context, &options)?;
    let gateway = words.gateway_auto_attach.then(|| {
        let target = target::of_root(context, &created.root)?;
        lifecycle::attach(&target, &AttachOptions::default())
    });
    let mut document = describe(&created);
    let mut code = ExitCode::SUCCESS;
    match &gateway {
        Some(Ok(attached)) => document["gateway"] = json!(attached.status),
        // The session is there and stays; only its gateway is missing.
        Some(Err(failure)) => {
            document["gateway_auto_attach_error"] =
                json!({ "code": failure.code.name(), "message": failure.message, "hint": failure.hint });
            code = ExitCode::from(failure.code.exit_status());
        }
        None => {}
    }
    if report.wants_json() {
        render::json(&document);
        return Ok(code);
    }
    let live = gateway.as_ref().and_then(|attached| attached.as_ref().ok()).map(|attached| {
        let port = attached.status.gateway_port.unwrap_or_default();
        ("gateway", format!("live at http://127.0.0.1:{port}"))
    });
    print(&created, "launched", live);
    created.notes.iter().for_each(|note| report.note(note));
    match gateway {
        Some(Ok(_)) => {}
        Some(Err(failure)) => {
            let failure = failure.context("the agent runs, its gateway does not");
            return Ok(report.failure(&failure));
        }
        None => report.note(&format!(
            "`agents gateway attach --agent-id {}` starts its gateway",
            shell_quote(created.manifest.agent_id.as_deref().unwrap_or_default())
        )),
    }
    Ok(code)
}

/// The mailbox that was asked for; an empty address means the agent's name.
pub(super) fn wish(address: Option<&str>, root: Option<&Path>) -> Result<MailboxWish, Failure> {
    let address = address.filter(|address| !address.is_empty()).map(str::parse).transpose()?;
    Ok(MailboxWish { address, root: root.map(absolute).transpose()?, mode: RegisterMode::default() })
}

/// A made or adopted session as JSON.
pub(super) fn describe(created: &Created) -> Value {
    let manifest = &created.manifest;
    json!({
        "agent_name": manifest.agent_name,
        "agent_id": manifest.agent_id,
        "tool": manifest.tool,
        "tmux_session_name": manifest.tmux_session_name,
        "tmux_socket": created.server.socket().to_string_lossy(),
        "primary_pane_id": created.pane_id,
        "working_directory": manifest.working_directory,
        "session_root": created.root.path().to_string_lossy(),
        "manifest_path": created.root.manifest().to_string_lossy(),
        "mailbox": manifest.launch_plan.mailbox,
        "hooks": created.hooks,
        "notes": created.notes,
    })
}

/// A made or adopted session for a person, with what else is to be told of it.
pub(super) fn print(created: &Created, verb: &str, more: Option<(&str, String)>) {
    let manifest = &created.manifest;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let socket = created.server.socket().to_string_lossy();
    let exactly = format!("={}", text(&manifest.tmux_session_name));
    let mut rows = vec![
        (verb, format!("{} ({}), id {}", text(&manifest.agent_name), manifest.tool, text(&manifest.agent_id))),
        ("session", format!("{} on {socket}", text(&manifest.tmux_session_name))),
        ("look", format!("tmux -S {} attach -t {}", shell_quote(&socket), shell_quote(&exactly))),
        ("files", created.root.path().to_string_lossy().into_owned()),
    ];
    let address = manifest.launch_plan.mailbox.as_ref().and_then(|mailbox| mailbox["address"].as_str());
    rows.extend(address.map(|address| ("mailbox", address.to_owned())));
    rows.extend((!created.hooks.is_empty()).then(|| ("hooks", created.hooks.join(", "))));
    rows.extend(more);
    render::facts(&rows);
}

/// Exit status for a listing that found problems.
pub(super) fn problem_status(found: bool) -> ExitCode {
    if found { ExitCode::from(ErrorCode::Internal.exit_status()) } else { ExitCode::SUCCESS }
}

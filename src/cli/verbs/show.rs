//! `agents show`.

use std::process::ExitCode;

use serde_json::json;

use crate::{
    cli::{args::Selectors, render, report::Reporter, setting},
    lifecycle::{self, Live, Unread},
    model::Failure,
    target::{Context, FoundBy, Target},
};

pub(super) fn run(context: &Context, selectors: &Selectors, report: &Reporter) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, selectors)?;
    let identity = target.manifest.attach_identity(&target.root.name());
    let live = lifecycle::observe(&target.root, &identity)?;
    let session = target.session.as_ref();
    let mail = lifecycle::unread(&target.root, &target.manifest);
    if report.wants_json() {
        let (gateway, version) = match &live {
            Live::Answering { instance, owner, .. } => {
                (json!(instance), json!(owner.as_ref().map(|owner| &owner.program_version)))
            }
            _ => (json!(null), json!(null)),
        };
        render::json(&json!({
            "manifest": target.manifest,
            "surface": target.surface,
            "session_root": target.root.path().to_string_lossy(),
            "found_by": found_by(&target),
            "tmux_socket": target.server.socket().to_string_lossy(),
            "tmux_session_name": session.ok().map(|session| &session.session_name),
            "session_gone": session.err(),
            "agent": super::state::word(&target.agent),
            "gateway": gateway,
            "gateway_program_version": version,
            "mailbox": mail.as_ref().map(super::list::mail),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let manifest = &target.manifest;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let tmux = match session {
        Ok(session) => {
            format!("{} ({}) on {}", session.session_name, session.session_id, target.server.socket().display())
        }
        Err(why) => format!("gone: {why}"),
    };
    render::facts(&[
        ("agent", format!("{}, id {}", text(&manifest.agent_name), text(&manifest.agent_id))),
        ("tool", manifest.tool.clone()),
        (
            "program",
            std::iter::once(&manifest.launch_plan.executable)
                .chain(&manifest.launch_plan.args)
                .cloned()
                .collect::<Vec<_>>()
                .join(" "),
        ),
        ("works in", manifest.working_directory.clone()),
        ("since", manifest.created_at_utc.clone()),
        (
            "origin",
            target
                .surface
                .as_ref()
                .map_or("another program", |surface| match surface.origin {
                    crate::api::Origin::Launched => "launched",
                    crate::api::Origin::Joined => "joined",
                })
                .to_owned(),
        ),
        ("session", tmux),
        ("state", super::state::word(&target.agent).to_owned()),
        ("gateway", gateway_words(&live)),
        ("mail", mail.as_ref().map_or_else(|| "no mailbox".to_owned(), mail_words)),
        ("found by", found_by(&target).to_owned()),
        ("files", target.root.path().to_string_lossy().into_owned()),
    ]);
    Ok(ExitCode::SUCCESS)
}

/// The mailbox of an agent, and how much is unread in it.
pub(super) fn mail_words(mail: &Unread) -> String {
    match &mail.why {
        Some(why) => format!("{}: {why}", mail.address),
        None => format!("{}, {} unread", mail.address, mail.unread.unwrap_or_default()),
    }
}

fn found_by(target: &Target) -> &'static str {
    match target.found_by {
        FoundBy::ManifestPointer => "manifest pointer",
        FoundBy::Registry => "registry record",
        FoundBy::SessionRoot => "session root",
    }
}

fn gateway_words(live: &Live) -> String {
    match live {
        Live::Answering { instance, owner, .. } => {
            let ours = env!("CARGO_PKG_VERSION");
            let version = owner.as_ref().map_or("another program", |owner| owner.program_version.as_str());
            let differs = if version == ours { String::new() } else { format!("; this program is {ours}") };
            format!(
                "live at http://{}:{}, pid {}, version {version}{differs}",
                instance.host, instance.port, instance.pid
            )
        }
        Live::Unresponsive { why, .. } => format!("unresponsive: {why}"),
        Live::Dead { .. } => "dead, with leftovers: `agents gateway status` cleans them".to_owned(),
        Live::Passing { .. } => "starting or stopping".to_owned(),
        Live::Offline => "offline".to_owned(),
    }
}

//! `agents mailbox`: the folders that agents share their mail in.

use std::{path::PathBuf, process::ExitCode};

use serde_json::{Value, json};

use crate::{
    cli::{
        args::{GivenUp, MailboxCommand, MailboxRoot, Mode, Register, RepairWords, Unregister},
        render,
        report::Reporter,
        setting,
    },
    mail::filesystem::{self, AccountEntry, RegisterMode, Registering, Staging, UnregisterMode},
    model::{Address, Failure},
    os::files,
    target::Context,
};

pub(super) fn run(context: &Context, words: MailboxCommand, report: &Reporter) -> Result<ExitCode, Failure> {
    match words {
        MailboxCommand::Init(root) => init(&path(context, &root)?, report),
        MailboxCommand::Status(root) => status(&existing(context, &root)?, report),
        MailboxCommand::Register(words) => register(context, words, report),
        MailboxCommand::Unregister(words) => unregister(context, &words, report),
        MailboxCommand::Repair(words) => repair(context, &words, report),
        MailboxCommand::Accounts { root, address } => accounts(&existing(context, &root)?, address.as_ref(), report),
    }
}

/// A root that has to be there.
fn existing(context: &Context, root: &MailboxRoot) -> Result<PathBuf, Failure> {
    let path = path(context, root)?;
    if files::inode(&path).is_some() {
        return Ok(path);
    }
    Err(Failure::not_found(
        format!("there is no mailbox root at `{}`", path.display()),
        "`agents mailbox init` makes one; `--mailbox-root` names another",
    ))
}

fn path(context: &Context, root: &MailboxRoot) -> Result<PathBuf, Failure> {
    root.mailbox_root.as_deref().map_or_else(|| Ok(context.home.mailbox()), setting::absolute)
}

/// One document, or lines for a person.
fn say(report: &Reporter, document: &Value, lines: &[(&str, String)]) -> ExitCode {
    if report.wants_json() {
        render::json(document);
    } else {
        render::facts(lines);
    }
    ExitCode::SUCCESS
}

fn init(root: &std::path::Path, report: &Reporter) -> Result<ExitCode, Failure> {
    let was_there = filesystem::init(root)?;
    let what = if was_there { "was there already" } else { "made" };
    let document = json!({ "mailbox_root": root.to_string_lossy(), "created": !was_there });
    Ok(say(report, &document, &[("mailbox root", format!("{} ({what})", root.display()))]))
}

fn status(root: &std::path::Path, report: &Reporter) -> Result<ExitCode, Failure> {
    let found = filesystem::overview(root)?;
    let lines = [
        ("mailbox root", found.mailbox_root.clone()),
        ("protocol", found.protocol_version.to_string()),
        ("messages", found.messages.to_string()),
        ("addresses", format!("{} active, {} given up, {} parked", found.active, found.inactive, found.stashed)),
        ("unfinished", found.unfinished.to_string()),
        ("problems", if found.problems.is_empty() { "none".to_owned() } else { found.problems.len().to_string() }),
    ];
    let code = say(report, &json!(found), &lines);
    if !report.wants_json() {
        found.problems.iter().for_each(|problem| report.note(problem));
    }
    Ok(code)
}

fn register(context: &Context, words: Register, report: &Reporter) -> Result<ExitCode, Failure> {
    let root = path(context, &words.root)?;
    let mode = match words.mode {
        Mode::Safe => RegisterMode::Safe,
        Mode::Stash => RegisterMode::Stash,
        Mode::Force if words.yes => RegisterMode::Force,
        Mode::Force => {
            return Err(Failure::refused(
                format!("--mode force would remove the mailbox that somebody else has at {}", words.address),
                "add --yes to do it, or use --mode stash, which keeps it",
            ));
        }
    };
    let done = filesystem::register(
        &root,
        &Registering {
            address: words.address,
            principal_id: words.principal_id,
            mode,
            display_name: words.display_name,
            manifest_path_hint: None,
            role: None,
            folder: words.mailbox_folder.as_deref().map(setting::absolute).transpose()?,
        },
    )?;
    let what = match (&done.replaced, done.was_there) {
        (Some(_), _) => "registered, in place of another owner",
        (None, true) => "was registered already",
        (None, false) => "registered",
    };
    let document = json!({
        "registration_id": done.id,
        "was_there": done.was_there,
        "replaced_registration_id": done.replaced,
        "binding": done.binding,
    });
    let lines = [
        ("address", format!("{} ({what})", done.binding.address)),
        ("owner", done.binding.principal_id.clone()),
        ("mailbox", done.binding.mailbox_path.clone().unwrap_or_default()),
    ];
    Ok(say(report, &document, &lines))
}

fn unregister(context: &Context, words: &Unregister, report: &Reporter) -> Result<ExitCode, Failure> {
    let root = existing(context, &words.root)?;
    let (mode, what) = match words.mode {
        GivenUp::Deactivate => (UnregisterMode::Deactivate, "gets no more mail; what it has stays"),
        GivenUp::Purge if words.yes => (UnregisterMode::Purge, "has no mailbox any more"),
        GivenUp::Purge => {
            return Err(Failure::refused(
                format!("--mode purge would remove the mailbox of {}", words.address),
                "add --yes to do it, or leave --mode out, which keeps it",
            ));
        }
    };
    let id = filesystem::unregister(&root, &words.address, mode)?;
    let document = json!({ "registration_id": id, "address": words.address });
    Ok(say(report, &document, &[("address", format!("{} {what}", words.address))]))
}

fn repair(context: &Context, words: &RepairWords, report: &Reporter) -> Result<ExitCode, Failure> {
    let staging = match (words.no_cleanup_staging, words.remove_staging) {
        (true, _) => Staging::Keep,
        (_, true) => Staging::Remove,
        _ => Staging::Quarantine,
    };
    let done = filesystem::repair(&existing(context, &words.root)?, staging)?;
    let lines = [
        ("messages", format!("{} in the index, {} added, {} updated", done.messages, done.indexed, done.updated)),
        ("mailboxes", format!("{} registered again", done.registered)),
        ("links", format!("{} mended", done.links)),
        ("undelivered", done.undelivered.len().to_string()),
        ("staging", format!("{} put away", done.staging.len())),
        ("problems", if done.problems.is_empty() { "none".to_owned() } else { done.problems.len().to_string() }),
    ];
    let code = say(report, &json!(done), &lines);
    if !report.wants_json() {
        if let Some(name) = &done.set_aside {
            report.note(&format!("the damaged index was put aside as `{name}`"));
        }
        done.undelivered.iter().for_each(|id| report.note(&format!("nobody has message {id}: its sender died")));
        done.problems.iter().for_each(|problem| report.note(problem));
    }
    Ok(code)
}

fn accounts(root: &std::path::Path, address: Option<&Address>, report: &Reporter) -> Result<ExitCode, Failure> {
    let mut found = filesystem::accounts(root)?;
    if let Some(address) = address {
        found.retain(|account| account.address == address.as_str());
        if found.is_empty() {
            return Err(Failure::not_found(
                format!("{address} was never registered in `{}`", root.display()),
                "`agents mailbox accounts` shows who was",
            ));
        }
    }
    if report.wants_json() {
        render::json(&json!({ "mailbox_root": root.to_string_lossy(), "accounts": found }));
        return Ok(ExitCode::SUCCESS);
    }
    let row = |account: &AccountEntry| {
        [
            account.address.clone(),
            account.status.to_owned(),
            account.principal_id.clone(),
            account.unread.to_string(),
            account.messages.to_string(),
        ]
    };
    render::table(["ADDRESS", "STATUS", "OWNER", "UNREAD", "MESSAGES"], found.iter().map(row).collect());
    found.iter().filter_map(|account| account.problem.as_ref()).for_each(|problem| report.note(problem));
    Ok(ExitCode::SUCCESS)
}

//! `agents mail save`: an attachment becomes a file. What its sender called it decides about nothing but a plain name.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::ExitCode,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;

use super::{ask, letters};
use crate::{
    api::{AttachmentView, MailAttached, MailCall, MailDone},
    cli::{args::MailSave, render, report::Reporter, setting},
    mail::MailError,
    model::{ErrorCode, Failure},
    os::{
        files::{self, Durability, FileError},
        folder::Folder,
    },
    target::Context,
};

/// Where a sender gave no name that can be used.
const NAMELESS: &str = "attachment";

/// Longest name in bytes: file systems take 255.
const LONGEST: usize = 200;

pub(super) fn run(context: &Context, words: &MailSave, report: &Reporter) -> Result<ExitCode, Failure> {
    let target = setting::resolve(context, &words.selectors)?;
    let (message_ref, to) = (words.message_ref.clone(), setting::absolute(&words.to)?);
    let peek = MailCall::Peek { message_ref: message_ref.clone(), folder: None };
    peek.check().map_err(MailError::Invalid)?;
    let message = letters::read::<MailDone>(ask(&target, &peek)?)?.message;
    let file = chosen(&message.attachments, words.attachment.as_deref())?;
    if !to.is_dir() && words.to.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(Failure::usage(format!("there is no folder `{}`", to.display()), "make it first, or name a file"));
    }
    let path = if to.is_dir() { to.join(plain_name(given_name(file))) } else { to };
    // Nothing is fetched that could not be kept.
    if !words.force && path.symlink_metadata().is_ok() {
        return Err(is_there(&path));
    }
    let call = MailCall::Attachment { message_ref, attachment_id: file.attachment_id.clone() };
    let answer: MailAttached = letters::read(ask(&target, &call)?)?;
    let bytes = BASE64_STANDARD.decode(&answer.content_base64).map_err(|error| {
        let message = format!("the gateway's answer is not the contract's: {error}");
        Failure::new(ErrorCode::Incompatible, message, "`agents gateway attach --restart` starts one of this version")
    })?;
    write(&path, &bytes, words.force)?;
    if report.wants_json() {
        render::json(&json!({ "path": path, "size_bytes": bytes.len(), "attachment": answer.attachment }));
    } else {
        let (size, media) = (bytes.len(), letters::clean(&answer.attachment.media_type));
        render::facts(&[("saved", format!("{} ({media}, {size} bytes)", path.display()))]);
    }
    Ok(ExitCode::SUCCESS)
}

/// The attachment that is meant.
fn chosen<'a>(all: &'a [AttachmentView], wanted: Option<&str>) -> Result<&'a AttachmentView, Failure> {
    let listed = || {
        let lines = all.iter().enumerate().map(|(at, file)| format!("{} {}", at + 1, letters::clean(given_name(file))));
        lines.collect::<Vec<_>>().join(", ")
    };
    let Some(wanted) = wanted else {
        return match all {
            [one] => Ok(one),
            [] => Err(MailError::NoAttachment("the message has no attachment".to_owned()).into()),
            _ => Err(Failure::usage(
                format!("the message has {} attachments: {}", all.len(), listed()),
                "`--attachment NUMBER` names one of them",
            )),
        };
    };
    // Names are the sender's: none may stand for another file's number.
    let number = wanted.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    if let Some(one) = number.and_then(|at| all.get(at)) {
        return Ok(one);
    }
    let named = |file: &&AttachmentView| file.attachment_id == wanted || given_name(file) == wanted;
    let mut found = all.iter().filter(named);
    if let (Some(one), None) = (found.next(), found.next()) {
        return Ok(one);
    }
    let (wanted, listed) = (letters::clean(wanted), listed());
    Err(MailError::NoAttachment(format!("the message has no one attachment `{wanted}`; it has: {listed}")).into())
}

/// What its sender called it.
fn given_name(file: &AttachmentView) -> &str {
    let path = || file.locator.as_deref().and_then(|path| path.rsplit('/').next());
    let label = file.label.as_deref().filter(|label| !label.trim().is_empty());
    label.or_else(path).unwrap_or(&file.attachment_id)
}

/// A name that leads nowhere, hides nothing and is no option: the last part of what was given, without what a terminal
/// would obey.
fn plain_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean = letters::clean(last).replace(['\n', '\t'], " ");
    let name = clean.trim().trim_start_matches(['.', '-', ' ']);
    let end = (0..=LONGEST.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or_default();
    let name = name[..end].trim_end();
    if name.is_empty() { NAMELESS.to_owned() } else { name.to_owned() }
}

fn write(path: &Path, bytes: &[u8], force: bool) -> Result<(), Failure> {
    let nowhere = || Failure::usage(format!("`{}` is no place for a file", path.display()), "`--to` names a file");
    if force {
        let is_other = path.symlink_metadata().is_ok_and(|found| !found.is_file());
        if is_other || !path.parent().is_some_and(Path::is_dir) {
            return Err(nowhere());
        }
        return files::replace(path, bytes, Durability::Disk).map_err(Failure::from);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(nowhere());
    };
    let folder: PathBuf = folder.canonicalize().map_err(|_error| nowhere())?;
    // Whoever made a file there in the meantime keeps it.
    Folder::open(&folder).and_then(|folder| folder.write_new(name, bytes)).map_err(|error| match &error {
        FileError::Io { source, .. } if source.kind() == ErrorKind::AlreadyExists => is_there(path),
        _ => Failure::from(error),
    })
}

fn is_there(path: &Path) -> Failure {
    let message = format!("`{}` is there already", path.display());
    Failure::new(ErrorCode::Refused, message, "`--to` names another place, `--force` writes over it")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_senders_name_is_a_name_and_no_more() {
        for (given, plain) in [
            ("plan.md", "plan.md"),
            ("../../.ssh/authorized_keys", "authorized_keys"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("..", NAMELESS),
            ("a/", NAMELESS),
            ("", NAMELESS),
            (".bashrc", "bashrc"),
            ("-rf", "rf"),
            ("a\u{202e}cod\u{1b}[2J\n.exe", "acod .exe"),
            ("Grüße 🙂.txt", "Grüße 🙂.txt"),
        ] {
            assert_eq!(plain_name(given), plain, "{given:?}");
        }
        assert!(plain_name(&"ä".repeat(300)).len() <= LONGEST);
    }

    #[test]
    fn a_name_never_stands_for_another_files_number() {
        let file = |label: &str| AttachmentView {
            attachment_id: format!("id-{label}"),
            kind: "managed_copy".to_owned(),
            media_type: "text/plain".to_owned(),
            locator: None,
            size_bytes: None,
            sha256: None,
            label: Some(label.to_owned()),
        };
        let all = [file("2"), file("plan.md"), file(" ")];
        let id = |wanted| chosen(&all, Some(wanted)).map(|one| one.attachment_id.as_str()).ok();
        assert_eq!((id("2"), id("1"), id("plan.md")), (Some("id-plan.md"), Some("id-2"), Some("id-plan.md")));
        assert_eq!((id("9"), id("")), (None, None));
    }

    proptest! {
        #[test]
        fn no_name_leads_anywhere(given in "\\PC{0,300}|[\u{0}-\u{a0}./\\\\]{0,40}") {
            let name = plain_name(&given);
            let path = Path::new(&name);
            prop_assert_eq!(path.components().count(), 1, "{}", name);
            prop_assert!(matches!(path.components().next(), Some(std::path::Component::Normal(_))), "{}", name);
            prop_assert!(name.len() <= LONGEST && !name.starts_with(['.', '-']) && !name.contains('\0'), "{:?}", name);
        }
    }
}

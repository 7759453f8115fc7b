//! What somebody wants to say, made into a message.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{
    api::{MailContent, NewAttachment, NotifyAuth},
    mail::{
        MailError, fence,
        message::{Attachment, AttachmentKind, Head, Message, PROTOCOL, Principal},
    },
    model::{Address, MessageId, Moment},
    os::{
        clock,
        files::{self, FileError},
    },
    store::mail::RegistrationRow,
};

/// Role of the operator in messages.
pub(super) const OPERATOR_ROLE: &str = "system_operator";

/// Who owns the operator's mailbox.
pub(super) const OPERATOR_PRINCIPAL: &str = "HOUMAO-operator";

/// What a new message is about and to whom.
pub(super) struct Letter<'a> {
    pub(super) from: Principal,
    pub(super) to: Vec<Principal>,
    pub(super) cc: Vec<Principal>,
    pub(super) reply_to: Vec<Principal>,
    pub(super) subject: &'a str,
    pub(super) content: &'a MailContent,
    /// Those of the content, looked at.
    pub(super) attachments: Vec<Attachment>,
    /// The message that it answers.
    pub(super) parent: Option<&'a Message>,
}

impl Letter<'_> {
    /// The message, with a new id.
    pub(super) fn write(self) -> Result<Message, MailError> {
        let content = self.content;
        if let Some(NotifyAuth { scheme, .. }) = content.notify_auth.as_ref().filter(|auth| auth.scheme != "none") {
            return Err(MailError::Invalid(format!(
                "the notify scheme `{}` is not known; messages take `none`",
                scheme.escape_debug()
            )));
        }
        let (body, notify_block) = match &content.notify_block {
            Some(block) => {
                let mut block = block.clone();
                block.text = fence::shortened(&block.text);
                if block.text.trim().is_empty() {
                    return Err(MailError::Invalid("the notify block is blank".to_owned()));
                }
                (fence::mirrored(&content.body, &block), Some(block))
            }
            None => (content.body.clone(), fence::lifted(&content.body)),
        };
        let now = clock::now();
        let message_id = new_id(now);
        let (thread_id, in_reply_to, references) = match self.parent.map(|parent| &parent.head) {
            None => (message_id.clone(), None, Vec::new()),
            Some(parent) => {
                let mut references = parent.references.clone();
                references.retain(|reference| *reference != parent.message_id);
                references.push(parent.message_id.clone());
                (parent.thread_id.clone(), Some(parent.message_id.clone()), references)
            }
        };
        let head = Head {
            protocol_version: PROTOCOL,
            message_id,
            thread_id,
            in_reply_to,
            references,
            created_at_utc: now.iso_seconds_z(),
            from: self.from,
            to: self.to,
            cc: self.cc,
            reply_to: self.reply_to,
            subject: self.subject.to_owned(),
            attachments: self.attachments,
            headers: std::collections::BTreeMap::new(),
            notify_block,
            notify_auth: content.notify_auth.clone(),
        };
        Ok(Message { head, body })
    }
}

/// Ids count up with time, also within one second: the order of ids is the order of messages.
fn new_id(now: Moment) -> MessageId {
    let random = uuid::Uuid::new_v4().as_u128() >> 32;
    MessageId::new(now, (u128::from(now.nanoseconds()) << 96) | random)
}

/// Looks at the files that are to go with a message. They may be large: nobody should wait for it.
pub(super) fn attachments(content: &MailContent) -> Result<Vec<Attachment>, MailError> {
    content.attachments.iter().map(attachment).collect()
}

fn attachment(wanted: &NewAttachment) -> Result<Attachment, MailError> {
    let path = Path::new(&wanted.path);
    if !path.is_absolute() {
        return Err(MailError::Invalid(format!("the attachment `{}` has no absolute path", wanted.path)));
    }
    let (sha256, size) = files::digest(path).map_err(|error| match error {
        FileError::Io { .. } | FileError::Missing { .. } | FileError::NotPlain { .. } => {
            MailError::Invalid(format!("the attachment cannot be read: {error}"))
        }
        other => other.into(),
    })?;
    Ok(Attachment {
        attachment_id: format!("att-{}", uuid::Uuid::new_v4().simple()),
        kind: AttachmentKind::PathRef,
        path: wanted.path.clone(),
        media_type: media_type(path).to_owned(),
        sha256: Some(sha256),
        size_bytes: Some(size),
        label: wanted.label.clone(),
    })
}

/// By the name alone; whoever opens it looks for themselves.
fn media_type(path: &Path) -> &'static str {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "md" | "markdown" => "text/markdown",
        "txt" | "log" | "patch" | "diff" => "text/plain",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "yaml" | "yml" => "application/yaml",
        "toml" => "application/toml",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "svg" => "image/svg+xml",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        _ => "application/octet-stream",
    }
}

/// A registration as an end of a message.
pub(super) fn principal(row: &RegistrationRow) -> Result<Principal, MailError> {
    Ok(Principal {
        principal_id: row.owner_principal_id.clone(),
        address: address(&row.address)?,
        display_name: row.display_name.clone(),
        manifest_path_hint: row.manifest_path_hint.clone(),
        role: row.role.clone(),
    })
}

pub(super) fn address(text: &str) -> Result<Address, MailError> {
    text.parse().map_err(|_wrong| MailError::Damaged(format!("`{}` in the index is no address", text.escape_debug())))
}

/// The subject of an answer.
pub(super) fn answer_subject(subject: &str) -> String {
    let has = subject.trim_start().get(..3).is_some_and(|start| start.eq_ignore_ascii_case("re:"));
    if has { subject.to_owned() } else { format!("Re: {subject}") }
}

/// Digest of all that is to be sent, for an idempotency key.
pub(super) fn digest(operation: &str, ends: &[&str], subject: &str, content: &MailContent) -> String {
    let files: Vec<_> = content.attachments.iter().map(|file| (&file.path, &file.label)).collect();
    let all =
        serde_json::json!([operation, ends, subject, content.body, files, content.notify_block, content.notify_auth,]);
    format!("{:x}", Sha256::digest(all.to_string()))
}

//! Messages of the server's as a reader sees them (contract sections 4.8 and 7.4). Pure.

use serde_json::{Value, json};

use super::folders::Folders;
use crate::{
    api::{AttachmentView, MessageView, Participant},
    mail::MailError,
    model::{BoxName, Moment},
};

/// What references of this transport begin with.
const MESSAGE: &str = "stalwart:";
const THREAD: &str = "stalwart-thread:";
/// Longest preview, in characters.
const PREVIEW: usize = 240;
/// As much of a body as a preview can need.
const PREVIEW_BYTES: u32 = 2048;

pub(super) fn message_ref(id: &str) -> String {
    format!("{MESSAGE}{id}")
}

pub(super) fn thread_ref(id: &str) -> String {
    format!("{THREAD}{id}")
}

/// The id in a reference.
///
/// # Errors
/// [`MailError::UnknownMessage`] for anything that this transport never gave.
pub(super) fn email_id(reference: &str) -> Result<&str, MailError> {
    let is_id = |id: &str| {
        (1..=255).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let unknown = || MailError::UnknownMessage(reference.chars().take(120).collect());
    reference.strip_prefix(MESSAGE).filter(|id| is_id(id)).ok_or_else(unknown)
}

/// Arguments of an `Email/get`; `ids` is added.
pub(super) fn get_arguments(account: &str, with_body: bool) -> Value {
    let mut arguments = json!({
        "accountId": account,
        "properties": [
            "id", "threadId", "mailboxIds", "keywords", "from", "to", "cc", "replyTo", "subject", "receivedAt",
            "textBody", "bodyValues", "attachments",
        ],
        "bodyProperties": ["partId", "blobId", "size", "name", "type"],
        "fetchTextBodyValues": true,
    });
    if !with_body {
        arguments["maxBodyValueBytes"] = json!(PREVIEW_BYTES);
    }
    arguments
}

/// A message from an `Email/get`; `folder` is the id of the mailbox that was looked into.
pub(super) fn view(email: &Value, folders: &Folders, folder: Option<&str>, with_body: bool) -> MessageView {
    let id = email["id"].as_str().unwrap_or_default();
    let has = |keyword: &str| email["keywords"][keyword] == true;
    let body = body_of(email);
    let folder = folders.name_of(&email["mailboxIds"], folder);
    let received = email["receivedAt"].as_str().unwrap_or_default();
    let subject = email["subject"].as_str().map(str::trim).filter(|subject| !subject.is_empty());
    MessageView {
        message_ref: message_ref(id),
        thread_ref: email["threadId"].as_str().map(thread_ref),
        created_at_utc: Moment::parse(received).map_or_else(|| received.to_owned(), Moment::iso_seconds),
        subject: subject.unwrap_or("(no subject)").to_owned(),
        read: Some(has("$seen")),
        answered: Some(has("$answered")),
        archived: Some(folder.as_deref() == Some(BoxName::ARCHIVE)),
        folder,
        unread: Some(!has("$seen")),
        body_preview: Some(preview(&body)),
        body_text: with_body.then_some(body),
        sender: people(&email["from"]).into_iter().next().unwrap_or_else(nobody),
        to: people(&email["to"]),
        cc: people(&email["cc"]),
        reply_to: people(&email["replyTo"]),
        attachments: attachments(email),
        notify_block: None,
        notify_auth: None,
    }
}

fn body_of(email: &Value) -> String {
    let parts = email["textBody"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |part: &Value| email["bodyValues"][part["partId"].as_str()?]["value"].as_str();
    parts.iter().filter_map(text).collect::<Vec<_>>().join("\n")
}

/// White space collapsed, at most 240 characters.
pub(super) fn preview(body: &str) -> String {
    let words: Vec<&str> = body.split_whitespace().collect();
    words.join(" ").chars().take(PREVIEW).collect()
}

/// The addresses of a header.
pub(super) fn people(header: &Value) -> Vec<Participant> {
    let person = |found: &Value| {
        let name = found["name"].as_str().filter(|name| !name.is_empty());
        Some(Participant {
            address: found["email"].as_str()?.to_owned(),
            display_name: name.map(str::to_owned),
            principal_id: None,
        })
    };
    header.as_array().map(|all| all.iter().filter_map(person).collect()).unwrap_or_default()
}

fn nobody() -> Participant {
    Participant { address: String::new(), display_name: None, principal_id: None }
}

/// The attachments of a message.
pub(super) fn attachments(email: &Value) -> Vec<AttachmentView> {
    email["attachments"].as_array().map(|all| all.iter().map(attachment).collect()).unwrap_or_default()
}

fn attachment(part: &Value) -> AttachmentView {
    let text = |name: &str| part[name].as_str().map(str::to_owned);
    AttachmentView {
        attachment_id: text("blobId").unwrap_or_default(),
        kind: "managed_copy".to_owned(),
        media_type: text("type").unwrap_or_else(|| "application/octet-stream".to_owned()),
        locator: None,
        size_bytes: part["size"].as_u64(),
        sha256: None,
        label: text("name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_of_others_name_nothing() {
        assert_eq!(email_id("stalwart:M12-a_b"), Ok("M12-a_b"));
        for wrong in ["", "stalwart:", "stalwart:a/b", "filesystem:msg-1", "M12", "stalwart:#d", "stalwart:a\n"] {
            assert!(matches!(email_id(wrong), Err(MailError::UnknownMessage(_))), "{wrong}");
        }
    }

    #[test]
    fn whatever_a_server_says_is_shown_as_far_as_it_goes() {
        let folders = Folders::of(&[json!({ "id": "a", "name": "Archive", "role": "archive", "parentId": null })]);
        let email = json!({
            "id": "M1", "threadId": "T1", "mailboxIds": { "a": true }, "keywords": { "$seen": true },
            "from": [{ "name": "", "email": "b@x" }], "to": null, "subject": " ", "receivedAt": "2026-11-21T23:34:51Z",
            "textBody": [{ "partId": "1" }, { "partId": "9" }], "bodyValues": { "1": { "value": "a\n\n b " } },
            "attachments": [{ "blobId": "G1", "type": "text/plain", "size": 3, "name": "n.txt" }],
        });
        let seen = view(&email, &folders, None, true);
        assert_eq!(
            (seen.message_ref.as_str(), seen.thread_ref.as_deref()),
            ("stalwart:M1", Some("stalwart-thread:T1"))
        );
        assert_eq!((seen.folder.as_deref(), seen.archived, seen.unread), (Some("archive"), Some(true), Some(false)));
        assert_eq!((seen.body_preview.as_deref(), seen.body_text.as_deref()), (Some("a b"), Some("a\n\n b ")));
        assert_eq!((seen.subject.as_str(), seen.sender.address.as_str()), ("(no subject)", "b@x"));
        assert_eq!(seen.attachments[0].label.as_deref(), Some("n.txt"));
        assert_eq!(view(&json!("nonsense"), &folders, None, false).sender.address, "");
    }
}

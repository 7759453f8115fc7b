//! Mailboxes and messages as the tests and benches of mail make them.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each program that plays with mail takes what it needs"
)]

use std::path::{Path, PathBuf};

use agents::{
    api::{MailBinding, MailContent, MailDraft, MailQuery, MessageView},
    mail::{
        Mailbox,
        filesystem::{self, RegisterMode, Registering},
    },
    model::Address,
};

/// Somebody's address.
pub fn address(name: &str) -> Address {
    format!("{name}@agents.localhost").parse().unwrap()
}

/// Somebody's mailbox below this root; it is registered if it was not.
pub fn mailbox(root: &Path, name: &str) -> Mailbox {
    let wish = Registering {
        address: address(name),
        principal_id: format!("AGENTS-{name}"),
        mode: RegisterMode::Safe,
        display_name: None,
        manifest_path_hint: None,
        role: None,
        folder: None,
    };
    let registration = filesystem::register(root, &wish).unwrap();
    Mailbox::of(&MailBinding::Filesystem(registration.binding), PathBuf::new()).unwrap()
}

/// A text with the caller's name for it.
pub fn content(body: &str, key: &str) -> MailContent {
    MailContent { body: body.to_owned(), key: Some(key.to_owned()), ..MailContent::default() }
}

/// A message to these, with its key for a subject.
pub fn draft(to: &[&str], key: &str, body: &str) -> MailDraft {
    let to = to.iter().map(|name| address(name)).collect();
    MailDraft { to, cc: Vec::new(), subject: key.to_owned(), content: content(body, key) }
}

/// What is in a folder, newest first.
pub fn folder(mailbox: &Mailbox, name: &str) -> Vec<MessageView> {
    mailbox.list(&MailQuery::of(name.parse().unwrap())).unwrap()
}

/// The newest message that came, wherever it was put.
pub fn newest(mailbox: &Mailbox) -> MessageView {
    let all = ["inbox", "kept"].iter().flat_map(|name| folder(mailbox, name));
    all.max_by(|one, other| one.message_ref.cmp(&other.message_ref)).unwrap()
}

/// The message's own id.
pub fn id(message: &MessageView) -> String {
    message.message_ref.strip_prefix("filesystem:").unwrap().to_owned()
}

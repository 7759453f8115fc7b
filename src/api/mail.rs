//! Mail as it crosses HTTP (contract section 4.8), and the session's binding to its mailbox (section 1.1).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{Address, BoxName};

/// `launch_plan.mailbox` of the manifest: where the agent's mail is. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "transport", rename_all = "snake_case")]
pub enum MailBinding {
    /// A folder that several agents share.
    Filesystem(FilesystemBinding),
    /// A JMAP server.
    Stalwart(JmapBinding),
}

impl MailBinding {
    /// The binding in a manifest's section; `None` where there is none.
    ///
    /// # Errors
    /// One sentence about a section that this program cannot read.
    pub fn of(section: Option<&Value>) -> Result<Option<Self>, String> {
        let Some(section) = section.filter(|section| !section.is_null()) else { return Ok(None) };
        serde_json::from_value(section.clone())
            .map(Some)
            .map_err(|error| format!("`launch_plan.mailbox` cannot be used: {error}"))
    }

    /// `filesystem` or `stalwart`.
    pub fn transport(&self) -> &'static str {
        match self {
            Self::Filesystem(_) => "filesystem",
            Self::Stalwart(_) => "stalwart",
        }
    }

    /// The agent's own address.
    pub fn address(&self) -> &Address {
        match self {
            Self::Filesystem(binding) => &binding.address,
            Self::Stalwart(binding) => &binding.address,
        }
    }

    /// Who owns the mailbox.
    pub fn principal_id(&self) -> &str {
        match self {
            Self::Filesystem(binding) => &binding.principal_id,
            Self::Stalwart(binding) => &binding.principal_id,
        }
    }

    /// When the binding was made: an ISO time, compared for equality only.
    pub fn bindings_version(&self) -> &str {
        match self {
            Self::Filesystem(binding) => &binding.bindings_version,
            Self::Stalwart(binding) => &binding.bindings_version,
        }
    }
}

/// The mailbox is a folder (contract section 7.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "contract section 1.1")]
pub struct FilesystemBinding {
    pub principal_id: String,
    pub address: Address,
    pub bindings_version: String,
    pub filesystem_root: String,
    #[serde(default)]
    pub mailbox_kind: MailboxKind,
    #[serde(default)]
    pub mailbox_path: Option<String>,
}

/// Where one address keeps its folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailboxKind {
    /// Below the mailbox root.
    #[default]
    InRoot,
    /// Elsewhere; a link in the root leads there.
    Symlink,
}

/// The mailbox is on a JMAP server (contract section 7.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "contract section 1.1")]
pub struct JmapBinding {
    pub principal_id: String,
    pub address: Address,
    pub bindings_version: String,
    pub jmap_url: String,
    pub management_url: String,
    pub login_identity: String,
    pub credential_ref: String,
}

/// One end of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Where it gets its mail.
    pub address: String,
    /// What a person calls it.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Who owns the address.
    #[serde(default)]
    pub principal_id: Option<String>,
}

/// An attachment as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "contract section 4.8")]
pub struct AttachmentView {
    pub attachment_id: String,
    pub kind: String,
    pub media_type: String,
    pub locator: Option<String>,
    pub size_bytes: Option<u64>,
    pub sha256: Option<String>,
    pub label: Option<String>,
}

/// A text for the notifier to show beside its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifyBlock {
    /// At most 512 characters; more is cut.
    pub text: String,
    /// Before or behind the notifier's words.
    #[serde(default)]
    pub placement: BlockPlacement,
}

/// Where a notify block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockPlacement {
    /// In front.
    Prepend,
    /// Behind.
    #[default]
    Append,
}

/// What speaks for the sender of a notify block. Only the scheme `none` is accepted in messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "contract section 4.8")]
pub struct NotifyAuth {
    pub scheme: String,
    #[serde(default)]
    pub token: Option<String>,
    #[serde(default)]
    pub iss: Option<String>,
    #[serde(default)]
    pub iat: Option<Value>,
    #[serde(default)]
    pub exp: Option<Value>,
}

/// A message as a reader sees it (contract section 4.8).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "contract section 4.8")]
pub struct MessageView {
    /// `filesystem:<message id>` or `stalwart:<email id>`.
    pub message_ref: String,
    pub thread_ref: Option<String>,
    pub created_at_utc: String,
    pub subject: String,
    pub read: Option<bool>,
    pub answered: Option<bool>,
    pub archived: Option<bool>,
    #[serde(rename = "box")]
    pub folder: Option<String>,
    pub unread: Option<bool>,
    /// At most 240 characters, white space collapsed.
    pub body_preview: Option<String>,
    /// Only when it was asked for.
    pub body_text: Option<String>,
    pub sender: Participant,
    pub to: Vec<Participant>,
    pub cc: Vec<Participant>,
    pub reply_to: Vec<Participant>,
    pub attachments: Vec<AttachmentView>,
    pub notify_block: Option<NotifyBlock>,
    pub notify_auth: Option<NotifyAuth>,
}

/// Which messages of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "contract section 4.8")]
pub struct MailQuery {
    pub folder: BoxName,
    pub read: Option<bool>,
    pub answered: Option<bool>,
    pub archived: Option<bool>,
    /// Newest first, at most so many; all if `None`.
    pub limit: Option<usize>,
    /// Not older than this ISO time.
    pub since: Option<String>,
    pub include_body: bool,
}

impl MailQuery {
    /// Everything in one folder.
    pub fn of(folder: BoxName) -> Self {
        Self { folder, read: None, answered: None, archived: None, limit: None, since: None, include_body: false }
    }
}

/// A file to go with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAttachment {
    /// Absolute.
    pub path: String,
    /// What a person calls it.
    pub label: Option<String>,
}

/// Body and what goes with it, the same for every way of writing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "contract section 4.8")]
pub struct MailContent {
    /// Markdown.
    pub body: String,
    pub attachments: Vec<NewAttachment>,
    pub notify_block: Option<NotifyBlock>,
    pub notify_auth: Option<NotifyAuth>,
    /// The caller's name for this message (`Idempotency-Key`): the same key and content are sent once.
    pub key: Option<String>,
}

/// A new message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "contract section 4.8")]
pub struct MailDraft {
    /// At least one.
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    /// Not blank.
    pub subject: String,
    pub content: MailContent,
}

/// A note of the operator into this agent's mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "contract section 4.8")]
pub struct MailPost {
    pub subject: String,
    pub reply_policy: ReplyPolicy,
    pub content: MailContent,
}

/// May a note be answered?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyPolicy {
    /// Into the operator's mailbox.
    #[default]
    OperatorMailbox,
    /// No.
    None,
}

/// An answer to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "contract section 4.8")]
pub struct MailReply {
    pub message_ref: String,
    pub content: MailContent,
}

/// Flags to set or clear; `None` leaves one as it is. At least one is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "contract section 4.8")]
pub struct MailFlags {
    pub read: Option<bool>,
    pub answered: Option<bool>,
    pub archived: Option<bool>,
}

/// Whose mailbox an answer is about; opens every answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "contract section 4.8")]
pub struct MailIdentity {
    pub schema_version: u32,
    pub transport: String,
    pub principal_id: String,
    pub address: String,
}

/// `GET /v1/mail/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "contract section 4.8")]
pub struct MailStatus {
    #[serde(flatten)]
    pub identity: MailIdentity,
    pub bindings_version: String,
}

/// `POST /v1/mail/list`. The counts are about the returned list only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "contract section 4.8")]
pub struct MailList {
    #[serde(flatten)]
    pub identity: MailIdentity,
    #[serde(rename = "box")]
    pub folder: String,
    pub message_count: usize,
    pub open_count: usize,
    pub unread_count: usize,
    pub messages: Vec<MessageView>,
}

/// Answer of peek, read, send, post and reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MailDone {
    /// `peek`, `read`, `send`, `post` or `reply`.
    pub operation: String,
    /// Whose mailbox.
    #[serde(flatten)]
    pub identity: MailIdentity,
    /// The message.
    pub message: MessageView,
}

/// Answer of attachment, a call of ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MailAttached {
    /// `attachment`.
    pub operation: String,
    /// Whose mailbox.
    #[serde(flatten)]
    pub identity: MailIdentity,
    /// The message.
    pub message_ref: String,
    /// What the message says about it.
    pub attachment: AttachmentView,
    /// What is in it.
    pub content_base64: String,
}

/// Answer of mark, move and archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MailChanged {
    /// `mark`, `move` or `archive`.
    pub operation: String,
    /// Whose mailbox.
    #[serde(flatten)]
    pub identity: MailIdentity,
    /// How many.
    pub message_count: usize,
    /// As they are now.
    pub messages: Vec<MessageView>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bindings_are_read_as_the_contract_writes_them() {
        let section = json!({
            "transport": "filesystem", "principal_id": "HOUMAO-alpha", "address": "alpha@houmao.localhost",
            "bindings_version": "2026-11-21T11:59:27.741130Z", "filesystem_root": "/m", "mailbox_kind": "in_root",
            "mailbox_path": "/m/mailboxes/alpha@houmao.localhost",
        });
        let binding = MailBinding::of(Some(&section)).unwrap().unwrap();
        assert_eq!((binding.transport(), binding.address().as_str()), ("filesystem", "alpha@houmao.localhost"));
        assert_eq!(serde_json::to_value(&binding).unwrap(), section);
        assert_eq!(MailBinding::of(Some(&Value::Null)), Ok(None));
        assert!(MailBinding::of(Some(&json!({ "transport": "pigeon" }))).is_err());
        assert!(MailBinding::of(Some(&json!({ "transport": "filesystem", "address": "../x" }))).is_err());
    }
}

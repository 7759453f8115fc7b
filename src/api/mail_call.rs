//! What somebody wants of a mailbox, and the answer: the same over HTTP and without a gateway. Pure.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    JmapBinding, MailAttached, MailBinding, MailChanged, MailContent, MailDone, MailDraft, MailFlags, MailList,
    MailPost, MailQuery, MailReply, MailStatus, MailboxKind, Manifest,
};
use crate::model::{BoxName, Moment};

/// One call of the mail routes (contract section 4.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailCall {
    /// Whose mailbox is it?
    Status,
    /// Messages of a folder.
    List(MailQuery),
    /// One message; it stays unread.
    Peek {
        /// Which.
        message_ref: String,
        /// Only if it is in this folder.
        folder: Option<BoxName>,
    },
    /// One message, which is read then.
    Read {
        /// Which.
        message_ref: String,
        /// Only if it is in this folder.
        folder: Option<BoxName>,
    },
    /// What is in an attachment of a message.
    Attachment {
        /// Of which.
        message_ref: String,
        /// As the message names it.
        attachment_id: String,
    },
    /// A new message.
    Send(MailDraft),
    /// A note of the operator.
    Post(MailPost),
    /// An answer.
    Reply(MailReply),
    /// Other flags.
    Mark {
        /// At least one, each once.
        message_refs: Vec<String>,
        /// At least one is set.
        flags: MailFlags,
    },
    /// Another folder.
    Move {
        /// At least one, each once.
        message_refs: Vec<String>,
        /// Made if it is not there.
        destination: BoxName,
    },
    /// Into the archive.
    Archive {
        /// At least one, each once.
        message_refs: Vec<String>,
    },
}

impl MailCall {
    /// The word for it, in paths and answers.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::List(_) => "list",
            Self::Peek { .. } => "peek",
            Self::Read { .. } => "read",
            Self::Attachment { .. } => "attachment",
            Self::Send(_) => "send",
            Self::Post(_) => "post",
            Self::Reply(_) => "reply",
            Self::Mark { .. } => "mark",
            Self::Move { .. } => "move",
            Self::Archive { .. } => "archive",
        }
    }

    /// Where a gateway takes it.
    pub fn path(&self) -> String {
        format!("/v1/mail/{}", self.operation())
    }

    /// What it says there; `None` for the one that is asked with `GET`.
    pub fn body(&self) -> Option<Value> {
        let mut body = Map::new();
        let mut say = |name: &str, value: Value| body.insert(name.to_owned(), value);
        match self {
            Self::Status => return None,
            Self::List(query) => {
                say("box", json!(query.folder));
                say("read_state", json!(state(query.read, ["read", "unread"])));
                say("answered_state", json!(state(query.answered, ["answered", "unanswered"])));
                say("archived", json!(query.archived));
                say("limit", json!(query.limit));
                say("since", json!(query.since));
                say("include_body", json!(query.include_body));
            }
            Self::Peek { message_ref, folder } | Self::Read { message_ref, folder } => {
                say("message_ref", json!(message_ref));
                say("box", json!(folder));
            }
            Self::Attachment { message_ref, attachment_id } => {
                say("message_ref", json!(message_ref));
                say("attachment_id", json!(attachment_id));
            }
            Self::Send(draft) => {
                say("to", json!(draft.to));
                say("cc", json!(draft.cc));
                say("subject", json!(draft.subject));
                content(&draft.content, &mut body);
            }
            Self::Post(post) => {
                say("subject", json!(post.subject));
                say("reply_policy", json!(post.reply_policy));
                content(&post.content, &mut body);
            }
            Self::Reply(reply) => {
                say("message_ref", json!(reply.message_ref));
                content(&reply.content, &mut body);
            }
            Self::Mark { message_refs, flags } => {
                say("message_refs", json!(message_refs));
                for (name, flag) in [("read", flags.read), ("answered", flags.answered), ("archived", flags.archived)] {
                    if let Some(flag) = flag {
                        body.insert(name.to_owned(), json!(flag));
                    }
                }
            }
            Self::Move { message_refs, destination } => {
                say("message_refs", json!(message_refs));
                say("destination_box", json!(destination));
            }
            Self::Archive { message_refs } => drop(say("message_refs", json!(message_refs))),
        }
        Some(Value::Object(body))
    }

    /// Refuses values that no mailbox takes.
    ///
    /// # Errors
    /// One sentence about the first that is wrong.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Status => Ok(()),
            Self::List(query) => match &query.since {
                Some(since) if Moment::parse(since).is_none() => {
                    Err(format!("`{since}` is not an ISO time with its zone, as `2026-11-21T12:00:00Z`"))
                }
                _ => Ok(()),
            },
            Self::Peek { message_ref, .. } | Self::Read { message_ref, .. } => check_ref(message_ref),
            Self::Attachment { message_ref, attachment_id } => match attachment_id.trim() {
                "" => Err("the id of the attachment is empty".to_owned()),
                _ => check_ref(message_ref),
            },
            Self::Send(draft) => {
                check_subject(&draft.subject)?;
                check_once("address", &draft.to)?;
                check_once("address", &draft.cc)?;
                check_content(&draft.content)
            }
            Self::Post(post) => check_subject(&post.subject).and_then(|()| check_content(&post.content)),
            Self::Reply(reply) => check_ref(&reply.message_ref).and_then(|()| check_content(&reply.content)),
            Self::Mark { message_refs, .. } | Self::Move { message_refs, .. } | Self::Archive { message_refs } => {
                message_refs.iter().try_for_each(|one| check_ref(one))?;
                check_once("message", message_refs)
            }
        }
    }

    /// The caller's name for what is to be written.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Send(MailDraft { content, .. })
            | Self::Post(MailPost { content, .. })
            | Self::Reply(MailReply { content, .. }) => content.key.as_deref(),
            _ => None,
        }
    }
}

fn check_ref(message: &str) -> Result<(), String> {
    if message.trim().is_empty() { Err("the reference of the message is empty".to_owned()) } else { Ok(()) }
}

fn check_subject(subject: &str) -> Result<(), String> {
    if subject.trim().is_empty() {
        return Err("the subject is empty".to_owned());
    }
    if subject.chars().any(char::is_control) {
        return Err("a subject is one line without control characters".to_owned());
    }
    Ok(())
}

fn check_once<T: AsRef<str>>(what: &str, list: &[T]) -> Result<(), String> {
    let mut known = HashSet::new();
    match list.iter().map(AsRef::as_ref).find(|one| !known.insert(*one)) {
        Some(twice) => Err(format!("the {what} `{twice}` is named twice")),
        None => Ok(()),
    }
}

fn check_content(content: &MailContent) -> Result<(), String> {
    if content.body.contains('\0') {
        return Err("the text holds a NUL".to_owned());
    }
    if content.notify_block.as_ref().is_some_and(|block| block.text.trim().is_empty()) {
        return Err("the notify block is empty".to_owned());
    }
    Ok(())
}

fn state(wanted: Option<bool>, [yes, no]: [&'static str; 2]) -> &'static str {
    wanted.map_or("any", |wanted| if wanted { yes } else { no })
}

fn content(content: &MailContent, body: &mut Map<String, Value>) {
    body.insert("body_content".to_owned(), json!(content.body));
    let attachments = content.attachments.iter().map(|file| json!({ "path": file.path, "label": file.label }));
    body.insert("attachments".to_owned(), attachments.collect());
    if let Some(block) = &content.notify_block {
        body.insert("notify_block".to_owned(), json!(block));
    }
    if let Some(auth) = &content.notify_auth {
        body.insert("notify_auth".to_owned(), json!(auth));
    }
}

/// What came of a [`MailCall`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "one per document of the contract's section 4.8")]
pub enum MailAnswer {
    Status(MailStatus),
    List(MailList),
    Done(Box<MailDone>),
    Attached(Box<MailAttached>),
    Changed(MailChanged),
}

/// The gateway that a mailbox can be reached through (contract section 7.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailGateway {
    /// `127.0.0.1` or `0.0.0.0`.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Its status document.
    pub state_path: String,
}

/// `mail resolve-live` (contract section 7.5): everything that a program needs to reach the mail of a session.
pub fn resolve_live(manifest: &Manifest, binding: &MailBinding, gateway: Option<&MailGateway>) -> Value {
    let mut mailbox = json!({
        "transport": binding.transport(),
        "principal_id": binding.principal_id(),
        "address": binding.address(),
        "bindings_version": binding.bindings_version(),
    });
    let (name, more) = place(binding);
    mailbox[name] = more;
    let tracked = &manifest.agent_id;
    json!({
        "schema_version": 1,
        "source": "manifest_binding",
        "transport": binding.transport(),
        "principal_id": binding.principal_id(),
        "address": binding.address(),
        "bindings_version": binding.bindings_version(),
        "mailbox": mailbox,
        "managed_agent": {
            "agent_id": manifest.agent_id,
            "agent_name": manifest.agent_name,
            "agent_ref": tracked,
            "mode": if manifest.backend.ends_with("_headless") { "headless" } else { "tui" },
            "tmux_session_name": manifest.tmux_session_name,
            "tracked_agent_id": tracked,
        },
        "gateway_available": gateway.is_some(),
        "gateway": gateway.map(|gateway| json!({
            "base_url": format!("http://127.0.0.1:{}", gateway.port),
            "host": gateway.host,
            "port": gateway.port,
            "protocol_version": super::PROTOCOL_VERSION,
            "state_path": gateway.state_path,
            "source": "current_instance",
        })),
    })
}

fn place(binding: &MailBinding) -> (&'static str, Value) {
    match binding {
        MailBinding::Filesystem(bound) => {
            let root = bound.filesystem_root.trim_end_matches('/');
            let entry = format!("{root}/mailboxes/{}", bound.address);
            let path = match bound.mailbox_kind {
                MailboxKind::InRoot => entry,
                MailboxKind::Symlink => bound.mailbox_path.clone().unwrap_or(entry),
            };
            let place = json!({
                "root": bound.filesystem_root,
                "mailbox_kind": bound.mailbox_kind,
                "mailbox_path": path,
                "inbox_path": format!("{path}/inbox"),
                "sqlite_path": format!("{root}/index.sqlite"),
                "local_sqlite_path": format!("{path}/mailbox.sqlite"),
            });
            ("filesystem", place)
        }
        MailBinding::Stalwart(JmapBinding { jmap_url, management_url, login_identity, credential_ref, .. }) => {
            let place = json!({
                "jmap_url": jmap_url, "management_url": management_url, "login_identity": login_identity,
                "credential_ref": credential_ref,
            });
            ("stalwart", place)
        }
    }
}

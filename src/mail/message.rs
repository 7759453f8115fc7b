//! The canonical message, protocol 3 (contract section 7.2): YAML between `---` lines, an empty line, Markdown. Pure.
//!
//! What is read may have been edited by hand into anything: every rule of the contract is checked, and every refusal
//! names its place.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fence;
use crate::{
    api::{AttachmentView, MessageView, NotifyAuth, NotifyBlock, Participant, ReplyPolicy},
    model::{Address, MessageId, Moment},
};

/// Version of the contract's mail protocol.
pub const PROTOCOL: u32 = 3;

/// Largest message file that is read or written: body and everything else.
pub const LARGEST: u64 = 16 * 1024 * 1024;

/// How many signs of a body its preview shows.
const PREVIEW: usize = 240;

/// Header: who wrote it, where it was no agent.
const ORIGIN: &str = "x-houmao-origin";
/// Header: may it be answered?
const REPLY_POLICY: &str = "x-houmao-reply-policy";

/// Why a text is no message: one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadMessage(pub String);

/// A whole message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Everything but the body.
    pub head: Head,
    /// Markdown.
    pub body: String,
}

/// The front matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "contract section 7.2")]
pub struct Head {
    pub protocol_version: u32,
    pub message_id: MessageId,
    pub thread_id: MessageId,
    #[serde(default)]
    pub in_reply_to: Option<MessageId>,
    #[serde(default)]
    pub references: Vec<MessageId>,
    pub created_at_utc: String,
    pub from: Principal,
    pub to: Vec<Principal>,
    #[serde(default)]
    pub cc: Vec<Principal>,
    #[serde(default)]
    pub reply_to: Vec<Principal>,
    pub subject: String,
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    #[serde(default)]
    pub headers: BTreeMap<String, Value>,
    #[serde(default)]
    pub notify_block: Option<NotifyBlock>,
    #[serde(default)]
    pub notify_auth: Option<NotifyAuth>,
}

/// One end of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "contract section 7.2")]
pub struct Principal {
    pub principal_id: String,
    pub address: Address,
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default)]
    pub manifest_path_hint: Option<String>,
    #[serde(default)]
    pub role: Option<String>,
}

/// A file that goes with a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "contract section 7.2")]
pub struct Attachment {
    pub attachment_id: String,
    pub kind: AttachmentKind,
    pub path: String,
    pub media_type: String,
    #[serde(default)]
    pub sha256: Option<String>,
    #[serde(default)]
    pub size_bytes: Option<u64>,
    #[serde(default)]
    pub label: Option<String>,
}

/// Where an attachment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentKind {
    /// Where its sender has it.
    PathRef,
    /// Copied into the mailbox root.
    ManagedCopy,
}

impl AttachmentKind {
    /// As the contract writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PathRef => "path_ref",
            Self::ManagedCopy => "managed_copy",
        }
    }
}

impl Message {
    /// Reads a message file.
    ///
    /// # Errors
    /// [`BadMessage`] for anything that is not wholly as the contract says.
    pub fn parse(text: &str) -> Result<Self, BadMessage> {
        let bad = |why: &str| BadMessage(why.to_owned());
        let rest = text.strip_prefix("---\n").ok_or_else(|| bad("it does not begin with a line `---`"))?;
        let (yaml, rest) = match rest.split_once("\n---\n") {
            Some(parts) => parts,
            None => (
                rest.strip_suffix("\n---")
                    .ok_or_else(|| bad("its front matter has no end: a line `---` is missing"))?,
                "",
            ),
        };
        // One empty line separates; an editor may have taken it away.
        let body = rest.strip_prefix('\n').unwrap_or(rest).to_owned();
        let options = serde_saphyr::options! { with_snippet: false };
        let head: Head = serde_saphyr::from_str_with_options(yaml, options).map_err(|error| {
            let why: String = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            BadMessage(format!("its front matter cannot be read: {}", cut(&why, 300)))
        })?;
        let mut message = Self { head, body };
        if message.head.notify_block.is_none() {
            message.head.notify_block = fence::lifted(&message.body);
        }
        if let Some(block) = &mut message.head.notify_block {
            block.text = fence::shortened(&block.text);
        }
        message.check()?;
        Ok(message)
    }

    /// The text of the file.
    ///
    /// # Errors
    /// [`BadMessage`] for a message that [`Message::parse`] would refuse.
    pub fn render(&self) -> Result<String, BadMessage> {
        self.check()?;
        // Quoted throughout: no text of a subject can be taken for anything else, by any reader.
        let options = serde_saphyr::ser_options! { quote_all: true, prefer_block_scalars: false };
        let yaml = serde_saphyr::to_string_with_options(&self.head, options)
            .map_err(|error| BadMessage(format!("it cannot be written: {error}")))?;
        let end = if yaml.ends_with('\n') { "" } else { "\n" };
        Ok(format!("---\n{yaml}{end}---\n\n{}", self.body))
    }

    /// The rules of the contract.
    fn check(&self) -> Result<(), BadMessage> {
        let head = &self.head;
        let rule = |holds: bool, why: &str| if holds { Ok(()) } else { Err(BadMessage(why.to_owned())) };
        rule(head.protocol_version == PROTOCOL, "`protocol_version` is not 3")?;
        rule(Moment::parse(&head.created_at_utc).is_some(), "`created_at_utc` is not a time with its offset")?;
        rule(head.created_at_utc.ends_with('Z'), "`created_at_utc` does not end with `Z`")?;
        let unique: std::collections::BTreeSet<_> = head.references.iter().collect();
        rule(unique.len() == head.references.len(), "`references` names a message twice")?;
        match &head.in_reply_to {
            None => {
                rule(head.references.is_empty(), "`references` is not empty though `in_reply_to` is null")?;
                rule(
                    head.thread_id == head.message_id,
                    "`thread_id` is not `message_id` though `in_reply_to` is null",
                )?;
            }
            Some(parent) => {
                rule(head.references.last() == Some(parent), "`in_reply_to` is not the last of `references`")?;
            }
        }
        rule(!head.to.is_empty(), "`to` is empty")?;
        let ends = head.to.iter().chain(&head.cc).chain(&head.reply_to).chain([&head.from]);
        for end in ends {
            rule(!end.principal_id.trim().is_empty(), "a `principal_id` is blank")?;
        }
        rule(!head.subject.trim().is_empty(), "`subject` is blank")?;
        rule(!self.body.contains('\0') && !head.subject.contains('\0'), "it contains a NUL")?;
        for file in &head.attachments {
            rule(!file.attachment_id.trim().is_empty() && !file.path.is_empty(), "an attachment has no id or path")?;
            let is_whole = file.kind != AttachmentKind::PathRef || file.path.starts_with('/');
            rule(is_whole, "the path of a `path_ref` attachment is not absolute")?;
        }
        if let Some(auth) = &head.notify_auth {
            rule(auth.scheme == "none", "`notify_auth.scheme` is not `none`")?;
        }
        let policy = head.headers.get(REPLY_POLICY);
        rule(
            policy.is_none_or(|policy| policy == "none" || policy == "operator_mailbox"),
            "the header `x-houmao-reply-policy` is neither `none` nor `operator_mailbox`",
        )
    }

    /// Everybody who gets it, each once: `to` before `cc`.
    pub fn recipients(&self) -> Vec<&Principal> {
        let mut found: Vec<&Principal> = Vec::new();
        for end in self.head.to.iter().chain(&self.head.cc) {
            if !found.iter().any(|known| known.address == end.address) {
                found.push(end);
            }
        }
        found
    }

    /// Marks it as the operator's.
    pub fn mark_as_post(&mut self, policy: ReplyPolicy) {
        let policy = if policy == ReplyPolicy::None { "none" } else { "operator_mailbox" };
        self.head.headers.insert(ORIGIN.to_owned(), "operator".into());
        self.head.headers.insert(REPLY_POLICY.to_owned(), policy.into());
    }

    /// May it be answered?
    pub fn takes_replies(&self) -> bool {
        self.head.headers.get(REPLY_POLICY).is_none_or(|policy| policy != "none")
    }

    /// The first words of the body, in one line.
    pub fn preview(&self) -> String {
        let mut preview = String::new();
        let mut length = 0;
        for word in self.body.split_whitespace() {
            if length > PREVIEW {
                break;
            }
            if length > 0 {
                preview.push(' ');
                length += 1;
            }
            preview.push_str(word);
            length += word.chars().count();
        }
        cut(&preview, PREVIEW)
    }

    /// As a reader sees it, without what only a mailbox knows.
    pub fn view(&self, include_body: bool) -> MessageView {
        let head = &self.head;
        MessageView {
            message_ref: reference(&head.message_id),
            thread_ref: Some(reference(&head.thread_id)),
            created_at_utc: head.created_at_utc.clone(),
            subject: head.subject.clone(),
            read: None,
            answered: None,
            archived: None,
            folder: None,
            unread: None,
            body_preview: Some(self.preview()),
            body_text: include_body.then(|| self.body.clone()),
            sender: head.from.participant(),
            to: head.to.iter().map(Principal::participant).collect(),
            cc: head.cc.iter().map(Principal::participant).collect(),
            reply_to: head.reply_to.iter().map(Principal::participant).collect(),
            attachments: head.attachments.iter().map(Attachment::view).collect(),
            notify_block: head.notify_block.clone(),
            notify_auth: head.notify_auth.clone(),
        }
    }
}

impl Principal {
    fn participant(&self) -> Participant {
        Participant {
            address: self.address.to_string(),
            display_name: self.display_name.clone(),
            principal_id: Some(self.principal_id.clone()),
        }
    }
}

impl Attachment {
    fn view(&self) -> AttachmentView {
        AttachmentView {
            attachment_id: self.attachment_id.clone(),
            kind: self.kind.as_str().to_owned(),
            media_type: self.media_type.clone(),
            locator: Some(self.path.clone()),
            size_bytes: self.size_bytes,
            sha256: self.sha256.clone(),
            label: self.label.clone(),
        }
    }
}

/// What a caller names a message by.
pub fn reference(id: &MessageId) -> String {
    format!("filesystem:{id}")
}

/// At most so many characters; what is cut ends with `…`.
fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some(_) => text.chars().take(longest - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::api::BlockPlacement;

    fn principal(name: &str) -> Principal {
        Principal {
            principal_id: format!("AGENTS-{name}"),
            address: format!("{name}@agents.localhost").parse().unwrap(),
            display_name: None,
            manifest_path_hint: None,
            role: None,
        }
    }

    fn message(subject: &str, body: &str) -> Message {
        let id = MessageId::new(Moment::parse("2026-11-21T11:58:26Z").unwrap(), 7);
        let head = Head {
            protocol_version: PROTOCOL,
            message_id: id.clone(),
            thread_id: id,
            in_reply_to: None,
            references: Vec::new(),
            created_at_utc: "2026-11-21T11:58:26Z".to_owned(),
            from: principal("alpha"),
            to: vec![principal("beta")],
            cc: Vec::new(),
            reply_to: Vec::new(),
            subject: subject.to_owned(),
            attachments: Vec::new(),
            headers: BTreeMap::new(),
            notify_block: None,
            notify_auth: None,
        };
        Message { head, body: body.to_owned() }
    }

    #[test]
    fn a_message_is_written_as_the_contract_says() {
        let text = message("hello: \"you\"", "# Body\n---\nend").render().unwrap();
        assert!(text.starts_with("---\nprotocol_version: 3\nmessage_id: "), "{text}");
        assert!(text.ends_with("\n---\n\n# Body\n---\nend"), "{text}");
        assert!(text.contains("\nin_reply_to: null\nreferences: []\n"), "{text}");
        assert_eq!(Message::parse(&text).unwrap(), message("hello: \"you\"", "# Body\n---\nend"));
    }

    #[test]
    fn what_other_programs_write_is_read() {
        let text = "---\nprotocol_version: 3\nmessage_id: msg-20261121T115826Z-00000000000000000000000000000007\n\
            thread_id: msg-20261121T115826Z-00000000000000000000000000000001\n\
            in_reply_to: msg-20261121T115826Z-00000000000000000000000000000001\n\
            references:\n- msg-20261121T115826Z-00000000000000000000000000000001\n\
            created_at_utc: '2026-11-21T11:58:26Z'\n\
            from:\n  principal_id: HOUMAO-alpha\n  address: alpha@houmao.localhost\n  role: null\n\
            to:\n- principal_id: HOUMAO-beta\n  address: beta@houmao.localhost\n\
            subject: yes\nattachments:\n- attachment_id: a\n  kind: managed_copy\n  path: attachments/managed/x\n  \
            media_type: text/plain\nheaders:\n  x-houmao-origin: operator\n  x-houmao-reply-policy: none\n---\n\n\
            ```houmao-notify\nlook\n```\n";
        let message = Message::parse(text).unwrap();
        assert_eq!(message.head.subject, "yes");
        assert!(!message.takes_replies());
        assert_eq!(message.view(false).notify_block.unwrap().text, "look");
        assert_eq!(message.head.attachments[0].kind, AttachmentKind::ManagedCopy);
    }

    #[test]
    fn every_broken_rule_is_named() {
        let good = message("s", "b").render().unwrap();
        let cases = [
            ("protocol_version: 3", "protocol_version: 4", "`protocol_version` is not 3"),
            ("created_at_utc: ", "created_at: ", "unknown field"),
            (
                "in_reply_to: null",
                "in_reply_to: \"msg-20261121T115826Z-00000000000000000000000000000009\"",
                "in_reply_to",
            ),
            ("references: []", "references: [../x]", "not a message id"),
            ("beta@agents", "../beta@agents", "not a mail address"),
            ("subject: ", "subject: \" \" # ", "`subject` is blank"),
            (
                "attachments: []",
                "attachments: [{attachment_id: a, kind: path_ref, path: x, media_type: m}]",
                "not absolute",
            ),
            ("notify_auth: null", "notify_auth: {scheme: bearer}", "`notify_auth.scheme`"),
            ("headers: {}", "headers: {x-houmao-reply-policy: maybe}", "x-houmao-reply-policy"),
            ("---\nprotocol", "protocol", "does not begin"),
            ("\n---\n\n", "\n", "has no end"),
            ("subject:", "subject: [", "front matter cannot be read"),
        ];
        for (from, to, why) in cases {
            let broken = good.replacen(from, to, 1);
            assert_ne!(broken, good, "{from}");
            let found = Message::parse(&broken).unwrap_err();
            assert!(found.0.contains(why), "{from} → {to}: {found}");
            assert!(!found.0.contains('\n') && found.0.len() < 600, "{found}");
        }
    }

    #[test]
    fn previews_are_one_short_line() {
        assert_eq!(message("s", " a\n\n b\tc ").preview(), "a b c");
        let long = message("s", &"wörter ".repeat(100)).preview();
        assert!(long.chars().count() == 240 && long.ends_with('…'), "{long}");
        assert_eq!(message("s", &"x".repeat(240)).preview().len(), 240);
    }

    fn text() -> impl Strategy<Value = String> {
        // Signs that mean something in YAML, line ends of all kinds, and any other sign but NUL.
        vec(
            prop_oneof![
                "[-:#\\[\\]{}&*!|>'\"%@`?~,. \t\\\\]",
                "[a-z0-9]{1,4}",
                "[\n\r\u{85}\u{2028}\u{feff}]",
                any::<char>().prop_map(String::from)
            ],
            0..24,
        )
        .prop_map(|parts| parts.concat().replace('\0', ""))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            subject in text(), body in text(), name in option::of(text()), path in text(), header in text(), block in option::of(text()),
        ) {
            prop_assume!(!subject.trim().is_empty());
            let mut message = message(&subject, &body);
            message.head.to[0].display_name = name.clone();
            message.head.attachments.push(Attachment {
                attachment_id: "att-1".to_owned(), kind: AttachmentKind::PathRef, path: format!("/{path}"),
                media_type: "text/plain".to_owned(), sha256: None, size_bytes: Some(3), label: name,
            });
            message.head.headers.insert("x-note".to_owned(), Value::String(header));
            message.head.notify_block = block.map(|text| NotifyBlock { text, placement: BlockPlacement::Prepend });
            let text = message.render().unwrap();
            if message.head.notify_block.is_none() {
                message.head.notify_block = fence::lifted(&message.body);
            }
            prop_assert_eq!(Message::parse(&text).unwrap(), message, "{}", text);
        }

        #[test]
        fn nonsense_is_refused_without_a_panic(at in 0_usize..600, bytes in vec(any::<u8>(), 0..40), cut in any::<bool>()) {
            let mut text = message("subject", "body").render().unwrap().into_bytes();
            let at = at.min(text.len());
            let end = if cut { text.len() } else { (at + bytes.len()).min(text.len()) };
            text.splice(at..end, bytes);
            drop(Message::parse(&String::from_utf8_lossy(&text)));
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in text()) {
            drop(Message::parse(&text));
            drop(Message::parse(&format!("---\n{text}\n---\n\nbody")));
        }
    }
}

//! A message to be sent, with the two digests that make sending it again harmless. Pure.

use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::{
    api::{MailContent, MailDraft, NewAttachment},
    mail::MailError,
    model::Address,
};

/// Header with the digest of what was given to us, to tell a repetition from another message with the same key.
pub(super) const CONTENT_HEADER: &str = "header:X-Agents-Content:asText";

/// Everything about a message but its files' blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) from: Address,
    pub(super) to: Vec<String>,
    pub(super) cc: Vec<String>,
    pub(super) subject: String,
    pub(super) body: String,
    pub(super) attachments: Vec<NewAttachment>,
    /// Message-ID without brackets.
    pub(super) id: String,
    /// Was the id made from the caller's key, so that a message with it may be there already?
    pub(super) keyed: bool,
    /// Message-IDs; the last one is answered.
    pub(super) references: Vec<String>,
}

/// What has been put on the server for an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) media: &'static str,
    pub(super) size: u64,
}

impl Letter {
    /// A new message. `unique` is random.
    ///
    /// # Errors
    /// [`MailError::Unsupported`] for what this transport does not carry.
    pub(super) fn new(from: &Address, draft: &MailDraft, unique: &str) -> Result<Self, MailError> {
        let texts = |all: &[Address]| all.iter().map(ToString::to_string).collect();
        Self::of(from, texts(&draft.to), texts(&draft.cc), draft.subject.clone(), &draft.content, Vec::new(), unique)
    }

    /// An answer. `references` ends with the message that is answered.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn answer(
        from: &Address,
        to: Vec<String>,
        subject: &str,
        content: &MailContent,
        references: Vec<String>,
        unique: &str,
    ) -> Result<Self, MailError> {
        let has_prefix = subject.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("re:"));
        let subject = if has_prefix { subject.to_owned() } else { format!("Re: {subject}") };
        Self::of(from, to, Vec::new(), subject, content, references, unique)
    }

    fn of(
        from: &Address,
        to: Vec<String>,
        cc: Vec<String>,
        subject: String,
        content: &MailContent,
        references: Vec<String>,
        unique: &str,
    ) -> Result<Self, MailError> {
        if content.notify_block.is_some() || content.notify_auth.is_some() {
            return Err(MailError::Unsupported("a JMAP mailbox carries no words for the notifier".to_owned()));
        }
        if subject.trim().is_empty() || subject.chars().any(char::is_control) {
            return Err(MailError::Invalid("a subject is one line and not blank".to_owned()));
        }
        if content.body.contains('\0') {
            return Err(MailError::Invalid("the body holds a NUL".to_owned()));
        }
        let domain = from.as_str().rsplit('@').next().unwrap_or("agents.localhost");
        let local = match &content.key {
            // Of the sender too: two agents may choose the same key.
            Some(key) => digest(&[from.as_str(), key]),
            None => unique.to_owned(),
        };
        Ok(Self {
            id: format!("agents.{local}@{domain}"),
            keyed: content.key.is_some(),
            from: from.clone(),
            body: content.body.clone(),
            attachments: content.attachments.clone(),
            to,
            cc,
            subject,
            references,
        })
    }

    /// Digest of what a caller gave.
    pub(super) fn content(&self) -> String {
        let mut parts = vec![self.subject.as_str(), &self.body, self.references.last().map_or("", String::as_str)];
        for (kind, all) in [("to", &self.to), ("cc", &self.cc)] {
            all.iter().for_each(|one| parts.extend([kind, one]));
        }
        for file in &self.attachments {
            parts.extend(["file", &file.path, file.label.as_deref().unwrap_or_default()]);
        }
        digest(&parts)
    }

    /// Everybody it goes to, each once.
    pub(super) fn recipients(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for one in self.to.iter().chain(&self.cc) {
            if !all.iter().any(|known| known.eq_ignore_ascii_case(one)) {
                all.push(one);
            }
        }
        all
    }

    /// The message as `Email/set` creates it, in one mailbox, as a draft.
    pub(super) fn email(&self, mailbox: &str, blobs: &[Blob]) -> Value {
        let people = |all: &[String]| all.iter().map(|one| json!({ "email": one })).collect::<Vec<_>>();
        let mut email = json!({
            "mailboxIds": { mailbox: true },
            "keywords": { "$draft": true, "$seen": true },
            "messageId": [self.id],
            "from": people(&[self.from.to_string()]),
            "to": people(&self.to),
            "subject": self.subject,
            CONTENT_HEADER: self.content(),
            "bodyValues": { "b": { "value": self.body } },
            "textBody": [{ "partId": "b", "type": "text/plain" }],
        });
        if !self.cc.is_empty() {
            email["cc"] = json!(people(&self.cc));
        }
        if let Some(parent) = self.references.last() {
            email["inReplyTo"] = json!([parent]);
            email["references"] = json!(self.references);
        }
        if !blobs.is_empty() {
            let part = |blob: &Blob| json!({ "blobId": blob.id, "type": blob.media, "name": blob.name, "disposition": "attachment" });
            email["attachments"] = json!(blobs.iter().map(part).collect::<Vec<_>>());
        }
        email
    }
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha1::new();
    for part in parts {
        // With its length: no two lists of parts look the same.
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    format!("{:x}", hash.finalize())
}

/// What kind of file it is, by its name.
pub(super) fn media_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("txt" | "log") => "text/plain",
        Some("md") => "text/markdown",
        Some("json") => "application/json",
        Some("html") => "text/html",
        Some("csv") => "text/csv",
        Some("pdf") => "application/pdf",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("zip") => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(key: Option<&str>, body: &str) -> MailDraft {
        MailDraft {
            to: vec!["beta@x".parse().unwrap()],
            cc: vec!["Beta@x".parse().unwrap(), "c@x".parse().unwrap()],
            subject: "s".to_owned(),
            content: MailContent { body: body.to_owned(), key: key.map(str::to_owned), ..MailContent::default() },
        }
    }

    #[test]
    fn the_same_key_gives_the_same_id_and_other_words_another_digest() {
        let from: Address = "alpha@agents.localhost".parse().unwrap();
        let letter = |key, body, unique| Letter::new(&from, &draft(key, body), unique).unwrap();
        let (one, two, other) = (letter(Some("k"), "a", "1"), letter(Some("k"), "a", "2"), letter(Some("k"), "b", "3"));
        assert_eq!((&one.id, one.content()), (&two.id, two.content()));
        assert!(one.id == other.id && one.content() != other.content());
        assert_eq!(letter(None, "a", "u").id, "agents.u@agents.localhost");
        assert_eq!(one.recipients(), ["beta@x", "c@x"]);
        let foreign = Letter::new(&"b@y".parse().unwrap(), &draft(Some("k"), "a"), "1").unwrap();
        assert_ne!(foreign.id.split('@').next(), one.id.split('@').next());
    }

    #[test]
    fn an_answer_stands_in_its_thread() {
        let from: Address = "alpha@x".parse().unwrap();
        let content = MailContent { body: "yes".to_owned(), ..MailContent::default() };
        let references = vec!["a@x".to_owned(), "b@x".to_owned()];
        let answer = Letter::answer(&from, vec!["b@x".to_owned()], "Q", &content, references, "u").unwrap();
        let email = answer.email("m", &[]);
        assert_eq!(email["subject"], "Re: Q");
        assert_eq!((&email["inReplyTo"], &email["references"]), (&json!(["b@x"]), &json!(["a@x", "b@x"])));
        let again = Letter::answer(&from, Vec::new(), "RE: Q", &content, Vec::new(), "u").unwrap();
        assert_eq!(again.subject, "RE: Q");
    }

    #[test]
    fn what_this_transport_does_not_carry_is_refused() {
        let from: Address = "alpha@x".parse().unwrap();
        let mut with_block = draft(None, "a");
        with_block.content.notify_block =
            Some(crate::api::NotifyBlock { text: "x".to_owned(), placement: crate::api::BlockPlacement::Append });
        assert!(matches!(Letter::new(&from, &with_block, "u"), Err(MailError::Unsupported(_))));
        assert!(matches!(Letter::new(&from, &draft(None, "a\0"), "u"), Err(MailError::Invalid(_))));
    }
}

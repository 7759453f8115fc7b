//! The session resource (RFC 8620 section 2), and calls of methods.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::wire::{Deadline, Wire};
use crate::mail::{LARGEST_ATTACHMENT, MailError};

const CORE: &str = "urn:ietf:params:jmap:core";
const MAIL: &str = "urn:ietf:params:jmap:mail";
const SUBMISSION: &str = "urn:ietf:params:jmap:submission";
const WELL_KNOWN: &str = "/.well-known/jmap";

/// A server that knows us.
#[derive(Debug, Clone)]
pub(super) struct Session {
    wire: Wire,
    api: String,
    upload: String,
    download: Option<String>,
    /// The account with our mail.
    pub(super) account: String,
    /// The account that sends, if the server lets anybody send.
    pub(super) sending: Option<String>,
    /// Most messages in one answer.
    pub(super) most: usize,
    /// Largest file.
    pub(super) largest_file: u64,
}

impl Session {
    /// Asks the server who we are.
    ///
    /// # Errors
    /// [`MailError`].
    pub(super) fn open(wire: Wire, path: &str, deadline: Deadline) -> Result<Self, MailError> {
        let first = if path == "/" { WELL_KNOWN } else { path };
        let is_session = |found: &Value| found.get("apiUrl").is_some_and(Value::is_string);
        // A bound address may be the server's, its session's, or that of its API: the last knows no GET.
        let mut found = wire.get(first, deadline)?.filter(is_session);
        if found.is_none() && first != WELL_KNOWN {
            found = wire.get(WELL_KNOWN, deadline)?.filter(is_session);
        }
        let origin = wire.origin().clone();
        let found = found.ok_or_else(|| MailError::Rejected(format!("no JMAP server answers at {origin}{first}")))?;
        let link = |name: &str| {
            let link = found.get(name).and_then(Value::as_str).unwrap_or_default();
            // Templates stand for ids only, in braces, which no URL has.
            origin.path_of(&link.replace('{', "%7B").replace('}', "%7D"))
        };
        let primary = |what: &str| found["primaryAccounts"][what].as_str().map(str::to_owned);
        let account = primary(MAIL)
            .ok_or_else(|| MailError::NotRegistered(format!("the mail server {origin} gives this login no mail")))?;
        let offers_sending = found["capabilities"].get(SUBMISSION).is_some();
        let core = &found["capabilities"][CORE];
        let number = |name: &str, otherwise: u64| core[name].as_u64().filter(|&n| n > 0).unwrap_or(otherwise);
        Ok(Self {
            api: link("apiUrl")?,
            upload: link("uploadUrl")?,
            download: found
                .get("downloadUrl")
                .is_some_and(Value::is_string)
                .then(|| link("downloadUrl"))
                .transpose()?,
            sending: offers_sending.then(|| primary(SUBMISSION)).flatten(),
            account,
            most: usize::try_from(number("maxObjectsInGet", 256)).unwrap_or(256),
            largest_file: number("maxSizeUpload", 25 * 1024 * 1024),
            wire,
        })
    }

    /// Calls methods in one round trip. Each call is `[name, arguments, id]`.
    ///
    /// # Errors
    /// [`MailError`]: no answer came.
    pub(super) fn call(&self, calls: &[Value], deadline: Deadline) -> Result<Answers, MailError> {
        let mut using = vec![CORE, MAIL];
        if self.sending.is_some() {
            using.push(SUBMISSION);
        }
        let body = json!({ "using": using, "methodCalls": calls }).to_string();
        let answer = self.wire.post(&self.api, "application/json", body.as_bytes(), deadline)?;
        match answer {
            Value::Object(mut fields) => match fields.remove("methodResponses") {
                Some(Value::Array(all)) => Ok(Answers(all)),
                _ => Err(self.nonsense()),
            },
            _ => Err(self.nonsense()),
        }
    }

    fn nonsense(&self) -> MailError {
        MailError::Rejected(format!("the mail server {} answered something that is not JMAP", self.wire.origin()))
    }

    /// Puts a file on the server; returns its blob id.
    ///
    /// # Errors
    /// [`MailError`].
    pub(super) fn upload(&self, media: &str, bytes: &[u8], deadline: Deadline) -> Result<String, MailError> {
        let path = self.upload.replace("%7BaccountId%7D", &encoded(&self.account)?);
        let answer = self.wire.post(&path, media, bytes, deadline)?;
        answer["blobId"].as_str().map(str::to_owned).ok_or_else(|| self.nonsense())
    }
}

impl Session {
    /// Takes a file from the server; `None` where the server has none of this id any more.
    ///
    /// # Errors
    /// [`MailError`].
    pub(super) fn download(&self, blob: &str, media: &str, deadline: Deadline) -> Result<Option<Vec<u8>>, MailError> {
        let Some(template) = &self.download else {
            let origin = self.wire.origin();
            return Err(MailError::Unsupported(format!("the mail server {origin} gives no attachments away")));
        };
        let mut path = template.clone();
        for (name, value) in [("accountId", self.account.as_str()), ("blobId", blob), ("type", media), ("name", "file")]
        {
            path = path.replace(&format!("%7B{name}%7D"), &encoded(value)?);
        }
        self.wire.file(&path, LARGEST_ATTACHMENT, deadline)
    }
}

/// A text as a part of a path or query.
fn encoded(text: &str) -> Result<String, MailError> {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").map_err(|error| MailError::Invalid(error.to_string()))?,
        }
    }
    Ok(out)
}

/// What methods answered, in their order.
#[derive(Debug)]
pub(super) struct Answers(Vec<Value>);

impl Answers {
    /// The arguments of the answer with this id and name.
    ///
    /// # Errors
    /// [`MailError`] for a method that failed.
    pub(super) fn of(&self, id: &str, name: &str) -> Result<&Map<String, Value>, MailError> {
        let mine = || self.0.iter().filter(|answer| answer[2] == id);
        if let Some(found) = mine().find(|answer| answer[0] == name).and_then(|answer| answer[1].as_object()) {
            return Ok(found);
        }
        let error = mine().find(|answer| answer[0] == "error");
        Err(error.map_or_else(
            || MailError::Rejected(format!("the mail server did not answer {name}")),
            |answer| method_error(name, answer[1]["type"].as_str().unwrap_or("unknown")),
        ))
    }

    /// Was the change refused because somebody else's came before?
    pub(super) fn is_out_of_step(&self, id: &str) -> bool {
        self.0.iter().any(|answer| answer[2] == id && answer[0] == "error" && answer[1]["type"] == STATE_MISMATCH)
    }

    /// The objects of a `/get`.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(super) fn list(&self, id: &str, name: &str) -> Result<&[Value], MailError> {
        Ok(self.of(id, name)?.get("list").and_then(Value::as_array).map_or(&[], Vec::as_slice))
    }
}

/// A method that failed as a whole.
fn method_error(name: &str, kind: &str) -> MailError {
    match kind {
        "serverUnavailable" | "serverFail" | "serverPartialFail" => {
            MailError::Unavailable(format!("the mail server failed at {name} ({kind})"))
        }
        "accountNotFound" => MailError::NotRegistered("the mail server has no mailbox for this login yet".to_owned()),
        "requestTooLarge" => MailError::Invalid("the mail server finds this too much at once".to_owned()),
        STATE_MISMATCH => MailError::Unavailable("the mailbox changed at the same moment".to_owned()),
        _ => MailError::Rejected(format!("the mail server refused {name} ({kind})")),
    }
}

/// Somebody changed the mailbox between our look and our change.
const STATE_MISMATCH: &str = "stateMismatch";

/// An object that could not be created, changed or sent.
pub(super) fn set_error(error: &Value, subject: &str) -> MailError {
    let kind = error["type"].as_str().unwrap_or("unknown");
    let said = error["description"].as_str().map(|said| format!(": {said}")).unwrap_or_default();
    match kind {
        "notFound" => MailError::UnknownMessage(subject.to_owned()),
        "invalidRecipients" => {
            let all = error["invalidRecipients"].as_array().map(Vec::as_slice).unwrap_or_default();
            MailError::UnknownRecipients(all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect())
        }
        "overQuota" => MailError::Full("the mailbox on the server is full".to_owned()),
        "tooLarge" | "tooManyRecipients" | "invalidProperties" | "invalidEmail" => {
            MailError::Invalid(format!("the mail server does not take {subject} ({kind}{said})"))
        }
        "rateLimit" | "serverFail" | "serverUnavailable" => {
            MailError::Unavailable(format!("the mail server could not do it now ({kind}{said})"))
        }
        _ => MailError::Rejected(format!("the mail server refused {subject} ({kind}{said})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_methods_keep_their_meaning() {
        let answers = Answers(vec![
            json!(["error", { "type": "accountNotFound" }, "a"]),
            json!(["Email/set", { "updated": null }, "b"]),
            json!(["EmailSubmission/set", { "created": {} }, "b"]),
        ]);
        assert!(matches!(answers.of("a", "Mailbox/get"), Err(MailError::NotRegistered(_))));
        assert!(answers.of("b", "EmailSubmission/set").unwrap().contains_key("created"));
        assert!(matches!(answers.of("c", "Email/get"), Err(MailError::Rejected(_))));
        assert_eq!(
            set_error(&json!({ "type": "invalidRecipients", "invalidRecipients": ["x@y"] }), "it"),
            MailError::UnknownRecipients(vec!["x@y".to_owned()])
        );
        assert!(matches!(set_error(&json!({ "type": "overQuota" }), "it"), MailError::Full(_)));
        assert!(matches!(set_error(&json!("nonsense"), "it"), MailError::Rejected(_)));
    }
}

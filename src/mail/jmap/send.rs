//! Sending and answering, so that a message with a key leaves once.
//!
//! A message is made as a draft, handed over, and on success moved to the sent ones by the server itself, in one request.
//! When that request is cut off, the folders tell how far it came: nothing (it is sent), a draft (the same draft is handed
//! over again, with the same Message-ID, which receiving servers know), or a sent message (it is returned).

use std::path::Path;

use serde_json::{Value, json};

use super::{
    Account, ask_folders, change,
    folders::Folders,
    letter::{Blob, CONTENT_HEADER, Letter, media_type},
    session::{Session, set_error},
    view,
    wire::Deadline,
};
use crate::{
    api::{MailContent, MailDraft, MailReply, MessageView},
    mail::{LARGEST_ATTACHMENT, MailError},
    model::{BoxName, Moment},
    os::{clock, files, random},
};

/// So many messages in one thread within [`LOOP_SECONDS`] are no conversation.
const LOOP_MESSAGES: usize = 40;
const LOOP_SECONDS: u64 = 60;

/// How far an earlier try came.
enum Earlier {
    Nothing,
    Draft(String),
    Sent(Box<MessageView>),
}

/// Where drafts and sent messages go.
struct Places {
    drafts: String,
    sent: String,
    /// As whom we send.
    identity: String,
    folders: Folders,
}

impl Account {
    pub(in crate::mail) fn send(&self, draft: &MailDraft) -> Result<MessageView, MailError> {
        let letter = Letter::new(&self.binding.address, draft, &unique()?)?;
        let deadline = deadline_for(&draft.content);
        self.with(deadline, |session| self.deliver(session, &letter, deadline))
    }

    pub(in crate::mail) fn reply(&self, reply: &MailReply) -> Result<MessageView, MailError> {
        let id = view::email_id(&reply.message_ref)?;
        let unique = unique()?;
        let deadline = deadline_for(&reply.content);
        self.with(deadline, |session| {
            let parent = parent_of(session, id, &reply.message_ref, deadline)?;
            let to = addresses(&parent["replyTo"]).or_else(|| addresses(&parent["from"]));
            let to = to.ok_or_else(|| MailError::Invalid("nobody is named to answer to".to_owned()))?;
            let mut references = ids(&parent["references"]);
            references.extend(ids(&parent["messageId"]));
            let subject = parent["subject"].as_str().map(str::trim).filter(|subject| !subject.is_empty());
            let subject: String =
                subject.unwrap_or("(no subject)").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let letter = Letter::answer(&self.binding.address, to, &subject, &reply.content, references, &unique)?;
            let sent = self.deliver(session, &letter, deadline)?;
            // The answer has left: that its parent could not be marked must not make anybody send it again.
            if change::set_keyword(session, id, "$answered", deadline).is_err() {
                drop(change::set_keyword(session, id, "$answered", Deadline::soon()));
            }
            Ok(sent)
        })
    }

    fn deliver(&self, session: &Session, letter: &Letter, deadline: Deadline) -> Result<MessageView, MailError> {
        let Some(sending) = session.sending.as_deref() else {
            return Err(MailError::Unsupported("the mail server lets nobody send over JMAP".to_owned()));
        };
        let places = places(session, sending, self.binding.address.as_str(), deadline)?;
        let earlier = if letter.keyed { earlier(session, letter, &places, deadline)? } else { Earlier::Nothing };
        let handed_over = match earlier {
            Earlier::Sent(view) => return Ok(*view),
            Earlier::Draft(id) => self.hand_over(session, sending, letter, &places, Some(&id), &[], deadline),
            Earlier::Nothing => {
                let blobs = upload(session, letter, deadline)?;
                self.hand_over(session, sending, letter, &places, None, &blobs, deadline)
            }
        };
        match handed_over {
            // The connection may have broken after the message left.
            Err(MailError::Unavailable(why)) => match earlier_if_known(session, letter, &places) {
                Some(Earlier::Sent(view)) => Ok(*view),
                Some(Earlier::Nothing) => Err(MailError::Unavailable(format!("{why}; nothing was sent"))),
                Some(Earlier::Draft(_)) | None => Err(MailError::Unavailable(format!(
                    "{why}; nobody knows yet whether the message left{}",
                    if letter.keyed {
                        ": send it again with the same key, and it leaves once"
                    } else {
                        ": look into `sent` before you send it again"
                    }
                ))),
            },
            handed_over => handed_over,
        }
    }

    /// One request: the draft (unless it is there), its submission, and on success its move to the sent ones.
    #[expect(clippy::too_many_arguments, reason = "one request with everything in it")]
    fn hand_over(
        &self,
        session: &Session,
        sending: &str,
        letter: &Letter,
        places: &Places,
        draft: Option<&str>,
        blobs: &[Blob],
        deadline: Deadline,
    ) -> Result<MessageView, MailError> {
        let mut calls = Vec::new();
        if draft.is_none() {
            let email = letter.email(&places.drafts, blobs);
            calls.push(json!(["Email/set", { "accountId": session.account, "create": { "d": email } }, "c"]));
        }
        let recipients: Vec<Value> = letter.recipients().iter().map(|one| json!({ "email": one })).collect();
        calls.push(json!(["EmailSubmission/set", {
            "accountId": sending,
            "create": { "s": {
                "emailId": draft.unwrap_or("#d"), "identityId": places.identity,
                "envelope": { "mailFrom": { "email": self.binding.address }, "rcptTo": recipients },
            } },
            "onSuccessUpdateEmail": { "#s": { "mailboxIds": { &places.sent: true }, "keywords/$draft": null } },
        }, "s"]));
        let answers = session.call(&calls, deadline)?;
        let created = if draft.is_none() {
            let made = answers.of("c", "Email/set")?;
            let created = &made.get("created").unwrap_or(&Value::Null)["d"];
            if created["id"].as_str().is_none() {
                return Err(set_error(&made.get("notCreated").unwrap_or(&Value::Null)["d"], "the message"));
            }
            created.clone()
        } else {
            json!({ "id": draft })
        };
        let id = created["id"].as_str().unwrap_or_default();
        let submitted = answers.of("s", "EmailSubmission/set");
        let failure = match submitted {
            Ok(done) if done.get("created").is_some_and(|all| all["s"].is_object()) => None,
            Ok(done) => Some(set_error(&done.get("notCreated").unwrap_or(&Value::Null)["s"], "the message")),
            Err(error) => Some(error),
        };
        if let Some(failure) = failure {
            // Nobody got it: the draft goes too. Should this fail, the next try with the key finds it.
            let destroy = json!(["Email/set", { "accountId": session.account, "destroy": [id] }, "x"]);
            drop(session.call(&[destroy], deadline));
            return Err(failure);
        }
        Ok(view_of(session, letter, places, &created, blobs, deadline))
    }
}

fn unique() -> Result<String, MailError> {
    random::token().map_err(|error| MailError::Unavailable(format!("the system gives no random numbers: {error}")))
}

fn deadline_for(content: &MailContent) -> Deadline {
    if content.attachments.is_empty() { Deadline::soon() } else { Deadline::for_files() }
}

fn places(session: &Session, sending: &str, from: &str, deadline: Deadline) -> Result<Places, MailError> {
    let name = |name: &str| name.parse::<BoxName>().map_err(|error| MailError::Invalid(error.to_string()));
    let ask_identities = json!(["Identity/get", { "accountId": sending }, "i"]);
    let answers = session.call(&[ask_folders(session), ask_identities], deadline)?;
    let folders = Folders::of(answers.list("f", "Mailbox/get")?);
    let identity = identity_of(answers.list("i", "Identity/get")?, from)
        .ok_or_else(|| MailError::Rejected(format!("the mail server has no identity to send as {from}")))?;
    let sent = name(BoxName::SENT)?;
    let sent = match folders.id(&sent) {
        Some(id) => id.to_owned(),
        None => change::folder_id(session, &sent, deadline)?,
    };
    let drafts = folders.id(&name(BoxName::DRAFTS)?).unwrap_or(&sent).to_owned();
    Ok(Places { drafts, sent, identity, folders })
}

/// The identity to send as: ours, else one for everybody of our domain, else the first one, as of a server that has one
/// identity without an address.
fn identity_of(all: &[Value], address: &str) -> Option<String> {
    let domain = address.split_once('@').map(|(_, domain)| format!("*@{domain}")).unwrap_or_default();
    let with = |email: &str| {
        all.iter().find(|one| one["email"].as_str().is_some_and(|found| found.eq_ignore_ascii_case(email)))
    };
    let found = with(address).or_else(|| with(&domain)).or_else(|| with("")).or_else(|| all.first());
    found.and_then(|one| one["id"].as_str()).map(str::to_owned)
}

/// Asks the folders how far an earlier try came.
fn earlier(session: &Session, letter: &Letter, places: &Places, deadline: Deadline) -> Result<Earlier, MailError> {
    let mut get = view::get_arguments(&session.account, true);
    get["#ids"] = json!({ "resultOf": "q", "name": "Email/query", "path": "/ids" });
    if let Some(properties) = get["properties"].as_array_mut() {
        properties.extend([json!("messageId"), json!(CONTENT_HEADER)]);
    }
    let query = json!({
        "accountId": session.account, "limit": 16,
        "filter": { "operator": "AND", "conditions": [
            { "header": ["Message-ID", letter.id] },
            { "operator": "OR", "conditions": [{ "inMailbox": places.sent }, { "inMailbox": places.drafts }] },
        ] },
    });
    let answers = session.call(&[json!(["Email/query", query, "q"]), json!(["Email/get", get, "g"])], deadline)?;
    answers.of("q", "Email/query")?;
    let is_ours = |email: &&Value| ids(&email["messageId"]).contains(&letter.id);
    let found: Vec<&Value> = answers.list("g", "Email/get")?.iter().filter(is_ours).collect();
    let is_draft = |email: &&&Value| email["keywords"]["$draft"] == true;
    if let Some(other) =
        found.iter().find(|email| email[CONTENT_HEADER].as_str().map(str::trim) != Some(&letter.content()))
    {
        return Err(MailError::KeyReused(format!(
            "this key was used for another message ({})",
            view::message_ref(other["id"].as_str().unwrap_or_default())
        )));
    }
    if let Some(sent) = found.iter().find(|email| !is_draft(email)) {
        return Ok(Earlier::Sent(Box::new(view::view(sent, &places.folders, Some(&places.sent), true))));
    }
    let Some(id) = found.first().and_then(|email| email["id"].as_str()) else { return Ok(Earlier::Nothing) };
    if was_submitted(session, id, deadline) {
        let patch = json!({ "mailboxIds": { &places.sent: true }, "keywords/$draft": null });
        let set = json!(["Email/set", { "accountId": session.account, "update": { id: patch } }, "m"]);
        session.call(&[set], deadline)?;
        let mut seen = view::view(found[0], &places.folders, None, true);
        seen.folder = Some(BoxName::SENT.to_owned());
        return Ok(Earlier::Sent(Box::new(seen)));
    }
    Ok(Earlier::Draft(id.to_owned()))
}

/// Does the server remember that it sent this draft? Servers may forget at once, so that a no proves nothing.
fn was_submitted(session: &Session, id: &str, deadline: Deadline) -> bool {
    let Some(sending) = session.sending.as_deref() else { return false };
    let calls = [
        json!(["EmailSubmission/query", { "accountId": sending, "filter": { "emailIds": [id] } }, "q"]),
        json!(["EmailSubmission/get", {
            "accountId": sending, "properties": ["emailId", "undoStatus"],
            "#ids": { "resultOf": "q", "name": "EmailSubmission/query", "path": "/ids" },
        }, "g"]),
    ];
    session.call(&calls, deadline).is_ok_and(|answers| {
        answers
            .list("g", "EmailSubmission/get")
            .is_ok_and(|all| all.iter().any(|one| one["emailId"] == id && one["undoStatus"] != "canceled"))
    })
}

/// The same, for a message whose sending was cut off: a server that is gone tells nothing.
fn earlier_if_known(session: &Session, letter: &Letter, places: &Places) -> Option<Earlier> {
    earlier(session, letter, places, Deadline::briefly()).ok()
}

fn upload(session: &Session, letter: &Letter, deadline: Deadline) -> Result<Vec<Blob>, MailError> {
    let one = |file: &crate::api::NewAttachment| {
        let path = Path::new(&file.path);
        let largest = LARGEST_ATTACHMENT.min(session.largest_file);
        let bytes = files::read_within(path, largest).map_err(|error| match error {
            files::FileError::TooLarge { bytes, .. } => MailError::Invalid(format!(
                "`{}` has {bytes} bytes; at most {largest} can be attached",
                file.path.escape_debug()
            )),
            error => MailError::Invalid(error.to_string()),
        })?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let media = media_type(&name);
        let id = session.upload(media, &bytes, deadline)?;
        let name = file.label.clone().unwrap_or(name);
        Ok(Blob { id, name, media, size: bytes.len() as u64 })
    };
    letter.attachments.iter().map(one).collect()
}

/// The message that answers refer to.
fn parent_of(session: &Session, id: &str, reference: &str, deadline: Deadline) -> Result<Value, MailError> {
    let answers = session.call(
        &[
            json!(["Email/get", {
                "accountId": session.account, "ids": [id],
                "properties": ["id", "threadId", "from", "replyTo", "subject", "messageId", "references",
                    "header:X-Houmao-Reply-Policy:asText"],
            }, "p"]),
            json!(["Thread/get", {
                "accountId": session.account,
                "#ids": { "resultOf": "p", "name": "Email/get", "path": "/list/*/threadId" },
            }, "t"]),
            json!(["Email/get", {
                "accountId": session.account, "properties": ["receivedAt"],
                "#ids": { "resultOf": "t", "name": "Thread/get", "path": "/list/*/emailIds" },
            }, "r"]),
        ],
        deadline,
    )?;
    let parent = answers.list("p", "Email/get")?.first();
    let parent = parent.ok_or_else(|| MailError::UnknownMessage(reference.to_owned()))?;
    if parent["header:X-Houmao-Reply-Policy:asText"].as_str().map(str::trim) == Some("none") {
        return Err(MailError::NoReply);
    }
    let now = clock::now();
    let is_recent = |email: &&Value| {
        let received = email["receivedAt"].as_str().and_then(Moment::parse);
        received.is_some_and(|received| now.seconds_since(received) < LOOP_SECONDS)
    };
    // A thread that cannot be read is no reason against an answer.
    let recent = answers.list("r", "Email/get").unwrap_or_default().iter().filter(is_recent).count();
    if recent >= LOOP_MESSAGES {
        return Err(MailError::Loop(format!("{recent} messages in this thread within a minute are no conversation")));
    }
    Ok(parent.clone())
}

fn addresses(header: &Value) -> Option<Vec<String>> {
    let all: Vec<String> = view::people(header).into_iter().map(|person| person.address).collect();
    (!all.is_empty()).then_some(all)
}

fn ids(header: &Value) -> Vec<String> {
    let text = |id: &Value| id.as_str().map(str::to_owned);
    header.as_array().map(|all| all.iter().filter_map(text).collect()).unwrap_or_default()
}

/// The sent message: from the server, or as we know it where the server is gone again; it has left in any case.
fn view_of(
    session: &Session,
    letter: &Letter,
    places: &Places,
    created: &Value,
    blobs: &[Blob],
    deadline: Deadline,
) -> MessageView {
    let id = created["id"].as_str().unwrap_or_default();
    let mut get = view::get_arguments(&session.account, true);
    get["ids"] = json!([id]);
    let answers = session.call(&[json!(["Email/get", get, "g"])], deadline);
    let found = answers.as_ref().ok().and_then(|answers| answers.list("g", "Email/get").ok()?.first());
    if let Some(found) = found {
        return view::view(found, &places.folders, Some(&places.sent), true);
    }
    let mut email = letter.email(&places.sent, &[]);
    email["id"] = json!(id);
    email["threadId"] = created["threadId"].clone();
    email["receivedAt"] = json!(clock::now().iso_seconds());
    email["textBody"] = json!([{ "partId": "b" }]);
    email["attachments"] = blobs
        .iter()
        .map(|blob| json!({ "blobId": blob.id, "type": blob.media, "size": blob.size, "name": blob.name }))
        .collect();
    view::view(&email, &places.folders, Some(&places.sent), true)
}

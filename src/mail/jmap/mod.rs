//! Mail over JMAP (RFC 8620, RFC 8621; contract section 7.4).
//!
//! Owns: one account on one server. Promises: the password goes to the bound origin alone, over TLS or inside this
//! machine, and is shown nowhere; a call ends in time, whatever the server does; a message with a key leaves once, as far
//! as the server's own folders prove it. The server's words are the truth: nothing is kept here but where it lives.

mod change;
mod folders;
mod letter;
mod secret;
mod send;
mod session;
mod view;
mod wire;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};

pub use self::secret::{
    Credential, Secret, common_folder, forget_credential, has_authority, path_in, reference_for, store_credential,
};
use self::{
    folders::Folders,
    session::Session,
    wire::{Deadline, Origin, Wire},
};
use super::{MailError, attachment_of};
use crate::{
    api::{AttachmentView, JmapBinding, MailQuery, MessageView},
    model::{BoxName, Moment},
};

/// Proves that a server takes a login, before anything is bound to it.
///
/// # Errors
/// [`MailError`].
pub fn check_login(url: &str, credential: &Credential) -> Result<(), MailError> {
    let (origin, path) = Origin::of(url)?;
    Session::open(Wire::new(origin, credential)?, &path, Deadline::soon()).map(drop)
}

/// Messages of one round trip without and with their bodies.
const PAGE: usize = 256;
const PAGE_WITH_BODIES: usize = 32;

/// One agent's mailbox. Cheap to clone: clones share what they know of the server.
#[derive(Debug, Clone)]
pub struct Account {
    binding: JmapBinding,
    secrets: PathBuf,
    origin: Origin,
    path: String,
    known: Arc<Mutex<Option<Arc<Session>>>>,
}

impl Account {
    pub(super) fn of(binding: &JmapBinding, secrets: PathBuf) -> Result<Self, MailError> {
        let (origin, path) = Origin::of(&binding.jmap_url)?;
        path_in(&secrets, &binding.credential_ref)?;
        Ok(Self { binding: binding.clone(), secrets, origin, path, known: Arc::default() })
    }

    /// Does something with a server that knows us. After a failure the server is asked anew who we are: the password, the
    /// server or its addresses may be others by then.
    fn with<T>(&self, deadline: Deadline, act: impl Fn(&Session) -> Result<T, MailError>) -> Result<T, MailError> {
        let known = self.known().clone();
        let was_known = known.is_some();
        let session = known.map_or_else(|| self.open(deadline), Ok)?;
        let done = act(&session);
        match done {
            Err(MailError::Rejected(_) | MailError::NotRegistered(_)) if was_known => {
                *self.known() = None;
                act(&*self.open(deadline)?)
            }
            Err(MailError::Unavailable(_)) => {
                *self.known() = None;
                done
            }
            done => done,
        }
    }

    fn open(&self, deadline: Deadline) -> Result<Arc<Session>, MailError> {
        let credential = secret::load(&self.secrets, &self.binding.credential_ref)?;
        let wire = Wire::new(self.origin.clone(), &credential)?;
        let session = Arc::new(Session::open(wire, &self.path, deadline)?);
        *self.known() = Some(Arc::clone(&session));
        Ok(session)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Arc<Session>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn check(&self) -> Result<(), MailError> {
        self.unread().map(drop)
    }

    pub(super) fn unread(&self) -> Result<usize, MailError> {
        let deadline = Deadline::soon();
        self.with(deadline, |session| {
            folders_of(session, deadline)?.unread().ok_or_else(|| {
                MailError::NotRegistered(format!("the mail server has no inbox for {}", self.binding.address))
            })
        })
    }

    pub(super) fn list(&self, query: &MailQuery) -> Result<Vec<MessageView>, MailError> {
        let deadline = Deadline::soon();
        self.with(deadline, |session| {
            let folders = folders_of(session, deadline)?;
            let Some(folder) = folders.id(&query.folder) else { return Ok(Vec::new()) };
            let filter = filter_of(query, folder, folders.id(&BoxName::archive()))?;
            let page = if query.include_body { PAGE_WITH_BODIES } else { PAGE }.min(session.most);
            let wanted = query.limit.unwrap_or(usize::MAX);
            let mut found: Vec<MessageView> = Vec::new();
            let mut position = 0;
            while found.len() < wanted {
                let limit = page.min(wanted - found.len());
                let mut get = view::get_arguments(&session.account, query.include_body);
                get["#ids"] = json!({ "resultOf": "q", "name": "Email/query", "path": "/ids" });
                let answers = session.call(
                    &[
                        json!(["Email/query", {
                            "accountId": session.account, "filter": filter, "position": position, "limit": limit,
                            "sort": [{ "property": "receivedAt", "isAscending": false }],
                        }, "q"]),
                        json!(["Email/get", get, "g"]),
                    ],
                    deadline,
                )?;
                let ids = answers.of("q", "Email/query")?["ids"].as_array().cloned().unwrap_or_default();
                let emails = answers.list("g", "Email/get")?;
                // `/get` keeps no order, and what went away meanwhile is not in it.
                let views = ids.iter().filter_map(|id| emails.iter().find(|email| email["id"] == *id));
                found.extend(views.map(|email| view::view(email, &folders, Some(folder), query.include_body)));
                position += ids.len();
                if ids.len() < limit {
                    // The end, or a server that gives less at once than it was asked for.
                    let most = answers.of("q", "Email/query")?.get("limit").and_then(Value::as_u64);
                    if ids.is_empty() || most.is_none_or(|most| usize::try_from(most).is_ok_and(|most| most >= limit)) {
                        break;
                    }
                }
            }
            Ok(found)
        })
    }

    pub(super) fn show(
        &self,
        message: &str,
        folder: Option<&BoxName>,
        mark_read: bool,
    ) -> Result<MessageView, MailError> {
        let id = view::email_id(message)?;
        let deadline = Deadline::soon();
        self.with(deadline, |session| {
            let mut get = view::get_arguments(&session.account, true);
            get["ids"] = json!([id]);
            let answers = session.call(&[ask_folders(session), json!(["Email/get", get, "g"])], deadline)?;
            let folders = Folders::of(answers.list("f", "Mailbox/get")?);
            let unknown = || MailError::UnknownMessage(message.to_owned());
            let email = answers.list("g", "Email/get")?.first().ok_or_else(unknown)?;
            let wanted = folder.map(|folder| folders.id(folder));
            let is_there = |id: Option<&str>| id.is_some_and(|id| email["mailboxIds"][id] == true);
            if wanted.is_some_and(|id| !is_there(id)) {
                return Err(unknown());
            }
            let mut seen = view::view(email, &folders, wanted.flatten(), true);
            if mark_read && seen.read != Some(true) {
                change::set_keyword(session, id, "$seen", deadline)?;
                (seen.read, seen.unread) = (Some(true), Some(false));
            }
            Ok(seen)
        })
    }
}

impl Account {
    pub(super) fn attachment(&self, message: &str, attachment: &str) -> Result<(AttachmentView, Vec<u8>), MailError> {
        let id = view::email_id(message)?;
        let deadline = Deadline::for_files();
        self.with(deadline, |session| {
            let mut get = view::get_arguments(&session.account, false);
            get["ids"] = json!([id]);
            let answers = session.call(&[json!(["Email/get", get, "g"])], deadline)?;
            let unknown = || MailError::UnknownMessage(message.to_owned());
            let email = answers.list("g", "Email/get")?.first().ok_or_else(unknown)?;
            let file = attachment_of(view::attachments(email), message, attachment)?;
            let content = session.download(&file.attachment_id, &file.media_type, deadline)?;
            let content = content.ok_or_else(|| {
                MailError::NoAttachment("the mail server does not have the attachment any more".to_owned())
            })?;
            Ok((file, content))
        })
    }
}

/// The call that asks for the folders, as `f`.
fn ask_folders(session: &Session) -> Value {
    json!(["Mailbox/get", { "accountId": session.account, "properties": Folders::PROPERTIES }, "f"])
}

fn folders_of(session: &Session, deadline: Deadline) -> Result<Folders, MailError> {
    let answers = session.call(&[ask_folders(session)], deadline)?;
    Ok(Folders::of(answers.list("f", "Mailbox/get")?))
}

/// The filter of an `Email/query`.
fn filter_of(query: &MailQuery, folder: &str, archive: Option<&str>) -> Result<Value, MailError> {
    let mut conditions = vec![json!({ "inMailbox": folder })];
    let mut keyword = |name: &str, wanted: Option<bool>| match wanted {
        Some(true) => conditions.push(json!({ "hasKeyword": name })),
        Some(false) => conditions.push(json!({ "notKeyword": name })),
        None => {}
    };
    keyword("$seen", query.read);
    keyword("$answered", query.answered);
    match (query.archived, archive) {
        (Some(true), Some(archive)) => conditions.push(json!({ "inMailbox": archive })),
        (Some(false), Some(archive)) => {
            conditions.push(json!({ "operator": "NOT", "conditions": [{ "inMailbox": archive }] }));
        }
        // Nothing is archived where there is no archive.
        (Some(true), None) => conditions.push(json!({ "operator": "NOT", "conditions": [{ "inMailbox": folder }] })),
        (Some(false), None) | (None, _) => {}
    }
    if let Some(since) = &query.since {
        let moment = Moment::parse(since)
            .ok_or_else(|| MailError::Invalid(format!("`{}` is not a time", since.escape_debug())))?;
        let seconds = moment.iso_seconds().replace("+00:00", "Z");
        conditions.push(json!({ "after": seconds }));
    }
    Ok(json!({ "operator": "AND", "conditions": conditions }))
}

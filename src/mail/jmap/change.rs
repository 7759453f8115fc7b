//! Flags and folders of messages.

use serde_json::{Map, Value, json};

use super::{
    Account, ask_folders,
    folders::{Folders, role_of},
    session::{Answers, Session, set_error},
    view,
    wire::Deadline,
};
use crate::{
    api::{MailFlags, MessageView},
    mail::MailError,
    model::BoxName,
};

/// How often a change is tried that somebody else's change came before.
const TRIES: usize = 4;

impl Account {
    pub(in crate::mail) fn mark(&self, messages: &[String], flags: MailFlags) -> Result<Vec<MessageView>, MailError> {
        let ids = ids_of(messages)?;
        let deadline = Deadline::soon();
        self.with(deadline, |session| {
            let destination = match flags.archived {
                Some(true) => Some(BoxName::archive()),
                Some(false) => Some(BoxName::inbox()),
                None => None,
            };
            let destination = destination.map(|folder| folder_id(session, &folder, deadline)).transpose()?;
            change(session, &ids, deadline, |folders, email| {
                let mut patch = Map::new();
                for (keyword, wanted) in [("$seen", flags.read), ("$answered", flags.answered)] {
                    if let Some(wanted) = wanted {
                        patch.insert(format!("keywords/{keyword}"), if wanted { json!(true) } else { Value::Null });
                    }
                }
                if let Some(destination) = &destination {
                    // What is in no archive stays where it is when it is to be in none.
                    let is_archived =
                        folders.id(&BoxName::archive()).is_some_and(|archive| email["mailboxIds"][archive] == true);
                    if is_archived != (flags.archived == Some(true)) {
                        patch.insert("mailboxIds".to_owned(), json!({ destination: true }));
                    }
                }
                patch
            })
        })
    }

    pub(in crate::mail) fn relocate(
        &self,
        messages: &[String],
        folder: &BoxName,
    ) -> Result<Vec<MessageView>, MailError> {
        let ids = ids_of(messages)?;
        let deadline = Deadline::soon();
        self.with(deadline, |session| {
            // Before the folder is made: a wrong reference leaves nothing behind.
            look(session, &ids, deadline)?;
            let destination = folder_id(session, folder, deadline)?;
            change(session, &ids, deadline, |_, _| {
                Map::from_iter([("mailboxIds".to_owned(), json!({ &destination: true }))])
            })
        })
    }
}

fn ids_of(messages: &[String]) -> Result<Vec<&str>, MailError> {
    messages.iter().map(|message| view::email_id(message)).collect()
}

/// Sets one keyword of one message.
pub(super) fn set_keyword(session: &Session, id: &str, keyword: &str, deadline: Deadline) -> Result<(), MailError> {
    let patch = json!({ format!("keywords/{keyword}"): true });
    let call = json!(["Email/set", { "accountId": session.account, "update": { id: patch } }, "s"]);
    let answers = session.call(&[call], deadline)?;
    refused(&answers, &[id])
}

/// The server's mailbox for a folder, made if it is not there.
pub(super) fn folder_id(session: &Session, folder: &BoxName, deadline: Deadline) -> Result<String, MailError> {
    let answers = session.call(&[ask_folders(session)], deadline)?;
    let folders = Folders::of(answers.list("f", "Mailbox/get")?);
    if let Some(id) = folders.id(folder) {
        return Ok(id.to_owned());
    }
    let mut new = json!({ "name": folder.as_str(), "parentId": null });
    if let Some(role) = role_of(folder) {
        new["role"] = json!(role);
    }
    let create = json!(["Mailbox/set", { "accountId": session.account, "create": { "n": new } }, "n"]);
    let answers = session.call(&[create, ask_folders(session)], deadline)?;
    // Somebody may have made it meanwhile, so that ours was refused.
    let folders = Folders::of(answers.list("f", "Mailbox/get")?);
    if let Some(id) = folders.id(folder) {
        return Ok(id.to_owned());
    }
    let made = answers.of("n", "Mailbox/set")?;
    Err(set_error(made.get("notCreated").map_or(&Value::Null, |all| &all["n"]), &format!("the folder `{folder}`")))
}

/// Looks whether all these messages are there.
fn look(session: &Session, ids: &[&str], deadline: Deadline) -> Result<Answers, MailError> {
    let mut get = view::get_arguments(&session.account, false);
    get["ids"] = json!(ids);
    let answers = session.call(&[ask_folders(session), json!(["Email/get", get, "g"])], deadline)?;
    let emails = answers.list("g", "Email/get")?;
    match ids.iter().find(|id| !emails.iter().any(|email| email["id"] == **id)) {
        Some(missing) => Err(MailError::UnknownMessage(view::message_ref(missing))),
        None => Ok(answers),
    }
}

/// Changes all these messages, or none: the server refuses the change if the mailbox is another one than we looked at.
fn change(
    session: &Session,
    ids: &[&str],
    deadline: Deadline,
    patch: impl Fn(&Folders, &Value) -> Map<String, Value>,
) -> Result<Vec<MessageView>, MailError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let seen = look(session, ids, deadline)?;
        let folders = Folders::of(seen.list("f", "Mailbox/get")?);
        let update: Map<String, Value> = seen
            .list("g", "Email/get")?
            .iter()
            .filter_map(|email| Some((email["id"].as_str()?.to_owned(), Value::Object(patch(&folders, email)))))
            .collect();
        let state = &seen.of("g", "Email/get")?["state"];
        let mut get = view::get_arguments(&session.account, false);
        get["ids"] = json!(ids);
        let set = json!({ "accountId": session.account, "ifInState": state, "update": update });
        let answers = session.call(&[json!(["Email/set", set, "s"]), json!(["Email/get", get, "g"])], deadline)?;
        match refused(&answers, ids) {
            Ok(()) => {
                let emails = answers.list("g", "Email/get")?;
                let mine = ids.iter().filter_map(|id| emails.iter().find(|email| email["id"] == **id));
                return Ok(mine.map(|email| view::view(email, &folders, None, false)).collect());
            }
            Err(_) if answers.is_out_of_step("s") && tries < TRIES => {}
            Err(error) => return Err(error),
        }
    }
}

/// The first message that the server did not change, as an error.
fn refused(answers: &Answers, ids: &[&str]) -> Result<(), MailError> {
    let not_updated = answers.of("s", "Email/set")?.get("notUpdated");
    let first = ids.iter().find_map(|id| Some((id, not_updated?.get(id)?)));
    first.map_or(Ok(()), |(id, error)| Err(set_error(error, &view::message_ref(id))))
}

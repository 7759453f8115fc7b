//! Folders: names of ours, mailboxes of the server's. Pure.

use serde_json::Value;

use crate::model::BoxName;

/// Folders that a server knows by role.
const ROLES: [&str; 4] = [BoxName::INBOX, BoxName::SENT, BoxName::ARCHIVE, BoxName::DRAFTS];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Folder {
    id: String,
    name: String,
    role: Option<String>,
    is_top: bool,
    unread: usize,
}

/// The mailboxes of one account, as `Mailbox/get` told them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folders(Vec<Folder>);

impl Folders {
    /// Properties to ask for.
    pub(super) const PROPERTIES: [&str; 5] = ["id", "name", "role", "parentId", "unreadEmails"];

    pub(super) fn of(list: &[Value]) -> Self {
        let folder = |found: &Value| {
            Some(Folder {
                id: found["id"].as_str()?.to_owned(),
                name: found["name"].as_str()?.to_owned(),
                role: found["role"].as_str().map(str::to_owned),
                is_top: found["parentId"].is_null(),
                unread: found["unreadEmails"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default(),
            })
        };
        Self(list.iter().filter_map(folder).collect())
    }

    /// The mailbox that is meant by a name: by its role, else by its name; one at the top before one below another.
    pub(super) fn id(&self, name: &BoxName) -> Option<&str> {
        let name = name.as_str();
        let by_role = || self.0.iter().find(|folder| folder.role.as_deref() == Some(name));
        let mut named: Vec<&Folder> =
            self.0.iter().filter(|folder| folder.name.to_lowercase() == name.to_lowercase()).collect();
        named.sort_by_key(|folder| (folder.name != name, !folder.is_top));
        let found =
            if ROLES.contains(&name) { by_role().or_else(|| named.first().copied()) } else { named.first().copied() };
        found.map(|folder| folder.id.as_str())
    }

    /// What we call the folder of a message that lies in these mailboxes; `first` if it is one of them.
    pub(super) fn name_of(&self, boxes: &Value, first: Option<&str>) -> Option<String> {
        let boxes = boxes.as_object()?;
        let is_in = |id: &str| boxes.get(id).is_some_and(|there| there == true);
        let mine = || self.0.iter().filter(|folder| is_in(&folder.id));
        let found = mine().find(|folder| Some(folder.id.as_str()) == first).or_else(|| mine().next())?;
        match &found.role {
            Some(role) if ROLES.contains(&role.as_str()) => Some(role.clone()),
            _ => Some(found.name.clone()),
        }
    }

    /// Unread messages of the inbox.
    pub(super) fn unread(&self) -> Option<usize> {
        let inbox = self.id(&BoxName::inbox())?;
        self.0.iter().find(|folder| folder.id == inbox).map(|folder| folder.unread)
    }
}

/// The role to create a folder with.
pub(super) fn role_of(name: &BoxName) -> Option<&str> {
    ROLES.contains(&name.as_str()).then(|| name.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_role_comes_before_a_name_and_the_top_before_below() {
        let folders = Folders::of(&[
            json!({ "id": "1", "name": "Inbox", "role": "inbox", "parentId": null, "unreadEmails": 3 }),
            json!({ "id": "2", "name": "sent", "role": null, "parentId": null }),
            json!({ "id": "3", "name": "Gesendet", "role": "sent", "parentId": null }),
            json!({ "id": "4", "name": "to do", "role": null, "parentId": "1" }),
            json!({ "id": "5", "name": "To Do", "role": null, "parentId": null }),
            json!({ "id": "6", "name": "Archive", "role": null, "parentId": null }),
            json!({ "name": "nonsense" }),
        ]);
        let id = |name: &str| folders.id(&name.parse().unwrap());
        assert_eq!((id("inbox"), id("sent"), id("to do"), id("To Do")), (Some("1"), Some("3"), Some("4"), Some("5")));
        assert_eq!((id("TO DO"), id("archive"), id("nowhere")), (Some("5"), Some("6"), None));
        assert_eq!(folders.name_of(&json!({ "3": true }), None).as_deref(), Some("sent"));
        assert_eq!(folders.name_of(&json!({ "1": true, "5": true }), Some("5")).as_deref(), Some("To Do"));
        assert_eq!(folders.name_of(&json!({ "9": true }), None), None);
        assert_eq!(folders.unread(), Some(3));
    }
}

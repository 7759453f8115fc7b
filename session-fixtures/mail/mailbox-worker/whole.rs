//! What has to be true of a mailbox root at any time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use agents::{api::MessageView, mail::Mailbox};

use super::letters::{folder, id};

/// What a worker did: a line before each step and one behind it.
pub fn read_log(log: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

/// Everything that may be and may not: no two mailboxes disagree about a message, and no file about the index.
#[track_caller]
pub fn is_whole(root: &Path, mailboxes: &[(&str, &Mailbox)], log: &[Vec<String>]) {
    let lists: BTreeMap<&str, BTreeMap<&str, Vec<MessageView>>> = mailboxes
        .iter()
        .map(|(name, mailbox)| (*name, ["inbox", "sent", "kept"].map(|name| (name, folder(mailbox, name))).into()))
        .collect();
    for (name, folders) in &lists {
        for (sub, messages) in folders {
            let listed: BTreeSet<String> = messages.iter().map(|message| format!("{}.md", id(message))).collect();
            assert_eq!(listed.len(), messages.len(), "{name} {sub}: a message twice");
            let place = root.join(format!("mailboxes/{name}@agents.localhost/{sub}"));
            let linked: BTreeSet<String> = fs::read_dir(place)
                .map(|names| names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
                .unwrap_or_default();
            assert_eq!(listed, linked, "{name} {sub}: links and index");
        }
    }
    let left: Vec<_> = fs::read_dir(root.join("staging")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    // Each key once or never, for all its recipients alike; each answered one once.
    let subjects = |name: &str, sub: &str| {
        let mut found: Vec<String> = lists[name][sub].iter().map(|message| message.subject.clone()).collect();
        found.sort();
        found.retain(|subject| subject.starts_with("k-"));
        found
    };
    if lists.contains_key("gamma") {
        assert_eq!(subjects("beta", "inbox"), subjects("gamma", "inbox"));
        assert_eq!(subjects("alpha", "sent"), subjects("gamma", "inbox"));
    }
    let unique: BTreeSet<String> = subjects("beta", "inbox").into_iter().collect();
    assert_eq!(unique.len(), subjects("beta", "inbox").len(), "a key was delivered twice");
    let bodies: Vec<&MessageView> = lists["beta"]["inbox"].iter().collect();
    let replies: Vec<&str> = bodies
        .iter()
        .filter(|message| message.subject.starts_with("Re:"))
        .map(|message| message.body_preview.as_deref().unwrap())
        .collect();
    assert_eq!(replies.iter().collect::<BTreeSet<_>>().len(), replies.len(), "an answer was delivered twice");
    let alphas: BTreeMap<&str, (&str, &MessageView)> = ["inbox", "kept"]
        .iter()
        .flat_map(|sub| lists["alpha"][sub].iter().map(|message| (message.message_ref.as_str(), (*sub, message))))
        .collect();
    let (mut places, mut reads): (BTreeMap<&str, &str>, BTreeMap<&str, bool>) = Default::default();
    for line in log {
        let word = |at: usize| line[at].as_str();
        match (word(0), line.get(1).map(String::as_str)) {
            ("ok", Some("send")) => assert!(unique.contains(word(2)), "{} was answered and is lost", word(2)),
            ("ok", Some("reply")) => {
                assert!(replies.contains(&word(2)), "{} was answered and is lost", word(2));
                assert_eq!(alphas[word(3)].1.answered, Some(true));
            }
            ("ok", Some("move")) => drop(places.insert(word(2), word(3))),
            ("ok", Some("mark")) => drop(reads.insert(word(2), word(3) == "1")),
            // Without an answer it may have happened or not.
            ("try", Some("move")) => drop(places.remove(word(2))),
            ("try", Some("mark")) => drop(reads.remove(word(2))),
            _ => {}
        }
    }
    places.iter().for_each(|(message, place)| assert_eq!(alphas[message].0, *place, "{message}"));
    reads.iter().for_each(|(message, read)| assert_eq!(alphas[message].1.read, Some(*read), "{message}"));
}

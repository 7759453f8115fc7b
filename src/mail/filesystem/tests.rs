//! Mail between mailboxes of one root, as everybody but this room sees it.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::*;
use crate::{
    api::{
        BlockPlacement, MailBinding, MailContent, MailDraft, MailFlags, MailPost, MailQuery, MailReply, NewAttachment,
        NotifyBlock, ReplyPolicy,
    },
    mail::Mailbox,
    model::{Address, BoxName},
};

mod damage;

fn address(name: &str) -> Address {
    format!("{name}@agents.localhost").parse().unwrap()
}

fn wish(name: &str, principal: &str, mode: RegisterMode) -> Registering {
    Registering {
        address: address(name),
        principal_id: principal.to_owned(),
        mode,
        display_name: None,
        manifest_path_hint: None,
        role: None,
        folder: None,
    }
}

fn mailbox(root: &Path, name: &str) -> Mailbox {
    let registration = register(root, &wish(name, &format!("AGENTS-{name}"), RegisterMode::Safe)).unwrap();
    Mailbox::of(&MailBinding::Filesystem(registration.binding), PathBuf::new()).unwrap()
}

fn content(body: &str) -> MailContent {
    MailContent { body: body.to_owned(), ..MailContent::default() }
}

fn draft(to: &[&str], subject: &str, body: &str) -> MailDraft {
    let to = to.iter().map(|name| address(name)).collect();
    MailDraft { to, cc: Vec::new(), subject: subject.to_owned(), content: content(body) }
}

/// What a person's editor does.
fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    use crate::os::files::{Durability, replace};
    replace(path, bytes.as_ref(), Durability::Process).unwrap();
}

fn inbox(mailbox: &Mailbox) -> Vec<crate::api::MessageView> {
    mailbox.list(&MailQuery::of(BoxName::inbox())).unwrap()
}

fn folder(mailbox: &Mailbox, name: &str) -> Vec<crate::api::MessageView> {
    mailbox.list(&MailQuery::of(name.parse().unwrap())).unwrap()
}

#[test]
fn a_message_goes_there_and_back() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("mail");
    let (alpha, beta) = (mailbox(&root, "alpha"), mailbox(&root, "beta"));
    let sent = alpha.send(&draft(&["beta"], "hello", "how are you?\n\nfine")).unwrap();
    assert_eq!((sent.folder.as_deref(), sent.read), (Some("sent"), Some(true)));
    let got = inbox(&beta);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].message_ref, sent.message_ref);
    assert_eq!((got[0].unread, got[0].body_preview.as_deref()), (Some(true), Some("how are you? fine")));
    assert_eq!(beta.unread().unwrap(), 1);
    let shown = beta.show(&sent.message_ref, None, true).unwrap();
    assert_eq!((shown.body_text.as_deref(), shown.read), (Some("how are you?\n\nfine"), Some(true)));
    assert_eq!(beta.unread().unwrap(), 0);
    let answer = beta.reply(&MailReply { message_ref: sent.message_ref.clone(), content: content("well") }).unwrap();
    assert_eq!((answer.subject.as_str(), &answer.thread_ref), ("Re: hello", &sent.thread_ref));
    assert_eq!(inbox(&beta)[0].answered, Some(true));
    assert_eq!(inbox(&alpha)[0].message_ref, answer.message_ref);
    beta.relocate(std::slice::from_ref(&sent.message_ref), &"to do".parse().unwrap()).unwrap();
    assert_eq!((inbox(&beta).len(), folder(&beta, "to do").len()), (0, 1));
    let own = root.join("mailboxes/beta@agents.localhost");
    let name = format!("{}.md", sent.message_ref.strip_prefix("filesystem:").unwrap());
    assert!(own.join("to do").join(&name).is_symlink() && !own.join("inbox").join(&name).is_symlink());
    assert!(std::fs::read_to_string(own.join("to do").join(&name)).unwrap().starts_with("---\n"));
    beta.mark(std::slice::from_ref(&sent.message_ref), MailFlags { read: Some(false), ..MailFlags::default() })
        .unwrap();
    assert_eq!(folder(&beta, "to do")[0].unread, Some(true));
    assert!(std::fs::read_dir(root.join("staging")).unwrap().next().is_none());
    let mode = |path: &str| std::fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("index.sqlite"), mode("messages"), mode("")), (0o600, 0o700, 0o700));
    assert!(!root.join("locks/index.lock").exists());
}

#[test]
fn who_is_not_there_gets_nothing_and_nobody_else_does() {
    let place = tempfile::tempdir().unwrap();
    let (alpha, beta) = (mailbox(place.path(), "alpha"), mailbox(place.path(), "beta"));
    let refused = alpha.send(&draft(&["beta", "gamma", "delta"], "hello", "x")).unwrap_err();
    let expected = ["gamma@agents.localhost", "delta@agents.localhost"].map(str::to_owned).to_vec();
    assert_eq!(refused, MailError::UnknownRecipients(expected));
    assert!(inbox(&beta).is_empty() && folder(&alpha, "sent").is_empty());
    assert!(matches!(beta.show("filesystem:nonsense", None, false), Err(MailError::UnknownMessage(_))));
    assert!(matches!(alpha.send(&draft(&["beta"], " ", "x")), Err(MailError::Invalid(_))));
    assert!(folder(&beta, "no such").is_empty());
}

#[test]
fn one_key_sends_one_message() {
    let place = tempfile::tempdir().unwrap();
    let (alpha, beta) = (mailbox(place.path(), "alpha"), mailbox(place.path(), "beta"));
    let mut keyed = draft(&["beta"], "hello", "x");
    keyed.content.key = Some("k".to_owned());
    let first = alpha.send(&keyed).unwrap();
    assert_eq!(alpha.send(&keyed).unwrap().message_ref, first.message_ref);
    assert_eq!(inbox(&beta).len(), 1);
    keyed.subject = "other".to_owned();
    let refused = alpha.send(&keyed).unwrap_err();
    assert_eq!((refused.code(), refused.status()), ("key_reused", 409), "{refused}");
}

#[test]
fn only_what_passes_by_itself_is_worth_another_try() {
    use crate::os::files::FileError;
    use rustix::io::Errno;
    let of = |errno: Errno| {
        MailError::from(FileError::Io { doing: "open", path: PathBuf::from("/x"), source: errno.into() })
    };
    for errno in [Errno::EXIST, Errno::NOTDIR, Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::NOENT, Errno::LOOP] {
        let error = of(errno);
        assert!(matches!(&error, MailError::Damaged(why) if why.contains("`/x`")), "{errno}: {error:?}");
    }
    for errno in [Errno::AGAIN, Errno::INTR, Errno::MFILE, Errno::NFILE, Errno::TIMEDOUT, Errno::BUSY, Errno::NOMEM] {
        assert!(matches!(of(errno), MailError::Unavailable(_)), "{errno}");
    }
    assert!(matches!(of(Errno::NOSPC), MailError::Full(_)));
}

#[test]
fn notes_of_the_operator_are_answered_into_the_operators_mailbox_or_not_at_all() {
    let place = tempfile::tempdir().unwrap();
    let alpha = mailbox(place.path(), "alpha");
    let post = |reply_policy| MailPost { subject: "note".to_owned(), reply_policy, content: content("please") };
    let open = alpha.post(&post(ReplyPolicy::OperatorMailbox)).unwrap();
    assert_eq!((open.folder.as_deref(), open.sender.address.as_str()), (Some("inbox"), Address::OPERATOR));
    let answer = alpha.reply(&MailReply { message_ref: open.message_ref, content: content("done") }).unwrap();
    assert_eq!(answer.to[0].address, Address::OPERATOR);
    let closed = alpha.post(&post(ReplyPolicy::None)).unwrap();
    let refused = alpha.reply(&MailReply { message_ref: closed.message_ref, content: content("but") });
    assert_eq!(refused.unwrap_err(), MailError::NoReply);
}

#[test]
fn what_goes_with_a_message_is_described() {
    let place = tempfile::tempdir().unwrap();
    let (alpha, beta) = (mailbox(&place.path().join("m"), "alpha"), mailbox(&place.path().join("m"), "beta"));
    let file = place.path().join("notes.md");
    put(&file, "abc");
    let attached = |path: &str| NewAttachment { path: path.to_owned(), label: Some("notes".to_owned()) };
    let mut with = draft(&["beta"], "files", "see");
    with.content.attachments = vec![attached(file.to_str().unwrap())];
    with.content.notify_block = Some(NotifyBlock { text: "look".repeat(200), placement: BlockPlacement::Prepend });
    let sent = alpha.send(&with).unwrap();
    let got = beta.show(&sent.message_ref, None, false).unwrap();
    let found = &got.attachments[0];
    assert_eq!(
        (found.kind.as_str(), found.media_type.as_str(), found.size_bytes),
        ("path_ref", "text/markdown", Some(3))
    );
    assert_eq!(found.sha256.as_deref(), Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    assert_eq!(got.notify_block.unwrap().text.chars().count(), 512);
    assert!(got.body_text.unwrap().contains("```houmao-notify\nlook"));
    for wrong in ["notes.md", "/no/such/file", "/dev/null"] {
        with.content.attachments = vec![attached(wrong)];
        assert!(matches!(alpha.send(&with), Err(MailError::Invalid(_))), "{wrong}");
    }
}

fn id(message: &crate::api::MessageView) -> &str {
    message.message_ref.strip_prefix("filesystem:").unwrap()
}

#[test]
fn two_programs_that_answer_each_other_are_stopped_until_the_operator_says_something() {
    let place = tempfile::tempdir().unwrap();
    let (alpha, beta) = (mailbox(place.path(), "alpha"), mailbox(place.path(), "beta"));
    let (mut writer, mut reader) = (&alpha, &beta);
    let mut letter = draft(&["beta"], "ping", "0");
    letter.cc = vec![Address::operator()];
    let root = alpha.send(&letter).unwrap().message_ref;
    let mut last = root.clone();
    for number in 1..LOOP_PER_MINUTE {
        (writer, reader) = (reader, writer);
        last =
            writer.reply(&MailReply { message_ref: last, content: content(&number.to_string()) }).unwrap().message_ref;
    }
    let again =
        |mailbox: &Mailbox, to: &str| mailbox.reply(&MailReply { message_ref: to.to_owned(), content: content("x") });
    let stopped = again(reader, &last).unwrap_err();
    assert!(matches!(&stopped, MailError::Loop(why) if why.contains("30 messages in 60 seconds")), "{stopped}");
    assert_eq!(stopped.status(), 429);
    alpha.send(&draft(&["beta"], "a new thread", "is free")).unwrap();
    let binding = crate::api::FilesystemBinding {
        principal_id: "HOUMAO-operator".to_owned(),
        address: Address::operator(),
        bindings_version: String::new(),
        filesystem_root: place.path().to_string_lossy().into_owned(),
        mailbox_kind: crate::api::MailboxKind::InRoot,
        mailbox_path: None,
    };
    let operator = Mailbox::of(&MailBinding::Filesystem(binding), PathBuf::new()).unwrap();
    again(&operator, &root).unwrap();
    again(reader, &last).unwrap();
}

#[test]
fn a_mailbox_elsewhere_is_used_only_where_it_was_registered() {
    let (place, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = place.path().join("m");
    let alpha = mailbox(&root, "alpha");
    let mut far = wish("beta", "AGENTS-beta", RegisterMode::Safe);
    far.folder = Some(place.path().join("far"));
    let registration = register(&root, &far).unwrap();
    let beta = Mailbox::of(&MailBinding::Filesystem(registration.binding), PathBuf::new()).unwrap();
    let sent = alpha.send(&draft(&["beta"], "one", "1")).unwrap();
    assert!(place.path().join("far/inbox").join(format!("{}.md", id(&sent))).is_symlink());
    assert_eq!(beta.arrivals(), Some(place.path().join("far/inbox")));
    assert_eq!(inbox(&beta).len(), 1);
    let entry = root.join("mailboxes/beta@agents.localhost");
    crate::os::files::remove(&entry).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), &entry).unwrap();
    assert!(matches!(alpha.send(&draft(&["beta"], "two", "2")), Err(MailError::Damaged(_))));
    assert!(matches!(beta.unread(), Err(MailError::Damaged(_))));
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn an_address_changes_hands_only_as_it_was_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let (alpha, one) = (mailbox(root, "alpha"), mailbox(root, "beta"));
    alpha.send(&draft(&["beta"], "for the first", "1")).unwrap();
    let mode = |mode| register(root, &wish("beta", "AGENTS-other", mode));
    assert!(matches!(mode(RegisterMode::Safe), Err(MailError::Taken(why)) if why.contains("AGENTS-beta")));
    let same = register(root, &wish("beta", "AGENTS-beta", RegisterMode::Safe)).unwrap();
    assert!(same.was_there);
    let stashed = mode(RegisterMode::Stash).unwrap();
    assert_eq!(stashed.replaced.as_deref(), Some(same.id.as_str()));
    let two = Mailbox::of(&MailBinding::Filesystem(stashed.binding.clone()), PathBuf::new()).unwrap();
    assert!(inbox(&two).is_empty());
    assert!(matches!(one.unread(), Err(MailError::NotRegistered(_))), "it belongs to another one now");
    let parked = root.join("mailboxes").join(format!("beta@agents.localhost--{}", same.id));
    assert_eq!(std::fs::read_dir(parked.join("inbox")).unwrap().count(), 1);
    alpha.send(&draft(&["beta"], "for the second", "2")).unwrap();
    assert_eq!(inbox(&two).len(), 1);
    let forced = register(root, &wish("beta", "AGENTS-third", RegisterMode::Force)).unwrap();
    let three = Mailbox::of(&MailBinding::Filesystem(forced.binding), PathBuf::new()).unwrap();
    assert!(inbox(&three).is_empty());
    alpha.send(&draft(&["beta"], "for the third", "3")).unwrap();
    unregister(root, &address("beta"), UnregisterMode::Deactivate).unwrap();
    assert!(matches!(alpha.send(&draft(&["beta"], "x", "x")), Err(MailError::UnknownRecipients(_))));
    register(root, &wish("beta", "AGENTS-third", RegisterMode::Safe)).unwrap();
    assert_eq!(inbox(&three).len(), 1, "what it had is there again");
    unregister(root, &address("beta"), UnregisterMode::Deactivate).unwrap();
    let fourth = mode(RegisterMode::Safe).unwrap();
    assert!(fourth.replaced.is_some());
    assert!(inbox(&Mailbox::of(&MailBinding::Filesystem(fourth.binding), PathBuf::new()).unwrap()).is_empty());
    unregister(root, &address("beta"), UnregisterMode::Purge).unwrap();
    assert!(!root.join("mailboxes/beta@agents.localhost").exists());
    let left = repair(root, Staging::Quarantine).unwrap();
    assert!(left.problems.is_empty(), "{left:?}");
    assert!(matches!(unregister(root, &Address::operator(), UnregisterMode::Purge), Err(MailError::Invalid(_))));
    let mut reserved = wish("x", "p", RegisterMode::Safe);
    reserved.address = "HOUMAO-x@y".parse().unwrap();
    assert!(matches!(register(root, &reserved), Err(MailError::Invalid(_))));
}

#[test]
fn a_folder_with_other_things_is_no_mailbox_root_and_stays_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    put(&place.path().join("thesis.txt"), "x");
    assert!(matches!(init(place.path()), Err(MailError::Invalid(_))));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    let (old, new) = (place.path().join("old"), place.path().join("new"));
    assert!(!init(&new).unwrap() && init(&new).unwrap());
    std::fs::create_dir(&old).unwrap();
    put(&old.join("protocol-version.txt"), "1\n");
    assert!(matches!(init(&old), Err(MailError::Damaged(why)) if why.contains("protocol `1`")));
    assert!(matches!(overview(&place.path().join("none")), Err(MailError::NotRegistered(_))));
}

#[test]
fn what_another_program_does_to_a_mailbox_is_seen() {
    let place = tempfile::tempdir().unwrap();
    let (alpha, beta) = (mailbox(place.path(), "alpha"), mailbox(place.path(), "beta"));
    let sent = alpha.send(&draft(&["beta"], "one", "1")).unwrap();
    inbox(&beta);
    // The contract's own programs know neither our tables nor our locks.
    let own = place.path().join("mailboxes/beta@agents.localhost");
    crate::store::mail::play_another_program(&own.join("mailbox.sqlite"), "UPDATE message_state SET is_read = 1");
    assert_eq!(inbox(&beta)[0].read, Some(true));
    crate::store::mail::play_another_program(&place.path().join("index.sqlite"), "DELETE FROM agents_messages");
    let foreign = &inbox(&beta)[0];
    assert_eq!((foreign.subject.as_str(), foreign.to.len(), &foreign.thread_ref), ("one", 1, &sent.thread_ref));
    assert_eq!(foreign.sender, sent.sender);
}

#[test]
fn ten_thousand_messages_are_listed_whole_and_in_parts() {
    let place = tempfile::tempdir().unwrap();
    let (alpha, beta) = (mailbox(place.path(), "alpha"), mailbox(place.path(), "beta"));
    let sent = alpha.send(&draft(&["beta"], "the pattern", &"word ".repeat(60))).unwrap();
    crate::store::mail::play_another_program(
        &place.path().join("index.sqlite"),
        "CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) \
         SELECT printf('msg-20261121T115826Z-%032x', i) AS id FROM n;
         INSERT INTO messages SELECT n.id, n.id, NULL, '2026-11-21T11:58:26Z', '/x', subject, body_markdown, \
         headers_json, sender_principal_id, sender_address, NULL, NULL, NULL, NULL FROM messages, n;
         INSERT INTO agents_messages SELECT n.id, n.id, '2026-11-21T11:58:26Z', subject, preview, ends_json \
         FROM agents_messages, n;
         INSERT INTO mailbox_projections SELECT registration_id, n.id, folder_name, '/x' \
         FROM mailbox_projections, n WHERE folder_name = 'inbox';
         INSERT INTO mailbox_state SELECT registration_id, n.id, 0, 0, 0, 0, 0, box_name \
         FROM mailbox_state, n WHERE box_name = 'inbox'",
    );
    let all = inbox(&beta);
    assert_eq!((all.len(), beta.unread().unwrap()), (10_000, 10_000));
    assert!(all.windows(2).all(|pair| pair[0].message_ref > pair[1].message_ref), "newest first");
    let mut part = MailQuery::of(BoxName::inbox());
    part.limit = Some(20);
    assert_eq!(beta.list(&part).unwrap(), all[..20]);
    beta.show(&sent.message_ref, None, true).unwrap();
    part.read = Some(true);
    assert_eq!(beta.list(&part).unwrap().len(), 1);
    assert_eq!(beta.unread().unwrap(), 9_999);
}

#[test]
fn a_list_has_its_folders_messages_whatever_lies_between_them() {
    let place = tempfile::tempdir().unwrap();
    let (alpha, beta) = (mailbox(place.path(), "alpha"), mailbox(place.path(), "beta"));
    let letters = ["alpha", "beta", "operator"].map(|to| {
        let mut letter = draft(&["beta"], to, to);
        letter.to = vec![if to == "operator" { Address::operator() } else { address(to) }];
        letter
    });
    // Gaps of all lengths between what beta has in each folder: its sent ones, and others that it moved or has in two.
    let (mut expected, mut number) = (std::collections::BTreeMap::<&str, Vec<String>>::new(), 0);
    for gap in [0, 1, 3, 4, 5, 6, 11, 0, 2] {
        for _ in 0..gap {
            let folder = ["sent", "kept"][number % 2];
            let writer = if folder == "sent" { &beta } else { &alpha };
            let sent = writer.send(&letters[if folder == "sent" { 2 } else { 1 }]).unwrap().message_ref;
            if folder == "kept" {
                beta.relocate(std::slice::from_ref(&sent), &"kept".parse().unwrap()).unwrap();
            }
            expected.entry(folder).or_default().push(sent);
            number += 1;
        }
        let sent = alpha.send(&letters[1]).unwrap().message_ref;
        expected.entry("inbox").or_default().push(sent);
    }
    let both = beta.send(&letters[1]).unwrap().message_ref;
    ["inbox", "sent"].iter().for_each(|folder| expected.entry(folder).or_default().push(both.clone()));
    let references = |query: &MailQuery| -> Vec<String> {
        beta.list(query).unwrap().into_iter().rev().map(|message| message.message_ref).collect()
    };
    for (name, messages) in &expected {
        let mut query = MailQuery::of(name.parse().unwrap());
        assert_eq!(references(&query), *messages, "{name}");
        query.limit = Some(3);
        assert_eq!(references(&query), messages[messages.len() - 3..], "{name}");
        query.limit = Some(0);
        assert!(references(&query).is_empty());
        query = MailQuery { since: Some("2999-01-01T00:00:00Z".to_owned()), ..MailQuery::of(name.parse().unwrap()) };
        assert!(references(&query).is_empty());
        query.since = Some("2001-01-01T00:00:00Z".to_owned());
        query.include_body = true;
        let bodies: Vec<_> = beta.list(&query).unwrap().into_iter().filter_map(|message| message.body_text).collect();
        assert_eq!(bodies.len(), messages.len());
        assert!(bodies.iter().all(|body| body == "beta" || *name == "sent" && body == "operator"), "{bodies:?}");
    }
    // Every third one read, and the oldest of all gone from its mailbox.
    let inbox = &expected["inbox"];
    let third: Vec<String> = inbox.iter().step_by(3).cloned().collect();
    beta.mark(&third, MailFlags { read: Some(true), ..MailFlags::default() }).unwrap();
    let read = |read| references(&MailQuery { read: Some(read), ..MailQuery::of(BoxName::inbox()) });
    assert_eq!(read(true), third);
    assert_eq!(read(false), inbox.iter().filter(|one| !third.contains(one)).cloned().collect::<Vec<_>>());
    crate::store::mail::play_another_program(
        &place.path().join("mailboxes/beta@agents.localhost/mailbox.sqlite"),
        "UPDATE message_state SET is_deleted = 1 WHERE message_id = (SELECT min(message_id) FROM message_state)",
    );
    assert_eq!(references(&MailQuery::of(BoxName::inbox())), inbox[1..]);
}

#[test]
fn a_mailbox_folder_is_one_owners_alone() {
    let place = tempfile::tempdir().unwrap();
    let (root, own) = (place.path().join("mail"), place.path().join("own"));
    let at = |name: &str, folder: &Path| {
        let wish = Registering { folder: Some(folder.to_owned()), ..wish(name, name, RegisterMode::Safe) };
        register(&root, &wish)
    };
    mailbox(&root, "alpha");
    at("beta", &own).unwrap();
    assert!(at("beta", &own).unwrap().was_there);
    let link = place.path().join("link");
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    let foreign = place.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    put(&foreign.join("notes.txt"), "x");
    let refused = [
        root.clone(),
        root.join("mailboxes/alpha@agents.localhost"),
        root.join("new"),
        place.path().to_owned(),
        own.clone(),
        own.join("inbox"),
        link.join("own"),
        link.join("mail/mailboxes/alpha@agents.localhost"),
        foreign.clone(),
        foreign.join("notes.txt"),
    ];
    for folder in refused {
        let error = at("gamma", &folder).unwrap_err();
        assert!(matches!(&error, MailError::Invalid(why) if why.contains("folder")), "{}: {error:?}", folder.display());
    }
    // Given up, it has its owner's mail still: nobody else gets it, its owner does.
    unregister(&root, &address("beta"), UnregisterMode::Purge).unwrap();
    assert!(at("gamma", &own).unwrap_err().to_string().contains("beta@agents.localhost"));
    at("beta", &own).unwrap();
    at("gamma", &place.path().join("other")).unwrap();
}

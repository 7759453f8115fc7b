//! What is lost, edited or replaced: named, harmless to everything else, and mended.

use super::*;

fn file_of(root: &Path, message: &crate::api::MessageView) -> PathBuf {
    let day = &message.created_at_utc[..10];
    root.join("messages").join(day).join(format!("{}.md", id(message)))
}

#[test]
fn a_message_edited_into_nonsense_is_named_and_harms_no_other() {
    let place = tempfile::tempdir().unwrap();
    let (alpha, beta) = (mailbox(place.path(), "alpha"), mailbox(place.path(), "beta"));
    let first = alpha.send(&draft(&["beta"], "one", "1")).unwrap();
    let second = alpha.send(&draft(&["beta"], "two", "2")).unwrap();
    for nonsense in ["", "---\n", "---\nsubject: [\n---\n\nx", "\0\0", "---\nprotocol_version: 9\n---\n"] {
        put(&file_of(place.path(), &first), nonsense);
        let refused = beta.show(&first.message_ref, None, true).unwrap_err();
        assert!(matches!(&refused, MailError::Damaged(why) if why.contains(id(&first))), "{refused}");
        assert!(beta.reply(&MailReply { message_ref: first.message_ref.clone(), content: content("x") }).is_err());
        assert_eq!(inbox(&beta).len(), 2, "lists do not read it");
        assert_eq!(inbox(&beta)[1].read, Some(false));
    }
    assert_eq!(beta.show(&second.message_ref, None, false).unwrap().body_text.as_deref(), Some("2"));
    let mended = repair(place.path(), Staging::Quarantine).unwrap();
    assert!(mended.problems.iter().any(|problem| problem.contains(id(&first))), "{mended:?}");
    assert_eq!((mended.messages, mended.indexed, inbox(&beta).len()), (2, 0, 2));
}

#[test]
fn an_index_that_is_lost_or_damaged_is_rebuilt_from_the_files() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("m");
    let (alpha, beta) = (mailbox(&root, "alpha"), mailbox(&root, "beta"));
    let first = alpha.send(&draft(&["beta", "alpha"], "one", "1")).unwrap();
    let answer = beta.reply(&MailReply { message_ref: first.message_ref.clone(), content: content("2") }).unwrap();
    beta.show(&first.message_ref, None, true).unwrap();
    alpha.relocate(std::slice::from_ref(&answer.message_ref), &"kept".parse().unwrap()).unwrap();
    let gamma = register(&root, &wish("gamma", "AGENTS-gamma", RegisterMode::Safe)).unwrap();
    unregister(&root, &gamma.binding.address, UnregisterMode::Deactivate).unwrap();
    let seen = |mailbox: &Mailbox| ["inbox", "sent", "kept"].map(|name| folder(mailbox, name));
    let before = (seen(&alpha), seen(&beta), accounts(&root).unwrap());
    for damage in [None, Some(vec![7_u8; 9000])] {
        for ending in ["", "-wal", "-shm"] {
            crate::os::files::remove(&root.join(format!("index.sqlite{ending}"))).unwrap();
        }
        if let Some(bytes) = &damage {
            put(&root.join("index.sqlite"), bytes);
        }
        assert!(matches!(alpha.check(), Err(MailError::Damaged(_))), "{:?}", alpha.check());
        assert!(init(&root).is_err());
        let mended = repair(&root, Staging::Quarantine).unwrap();
        assert_eq!((mended.messages, mended.indexed, mended.registered), (2, 2, 4), "{mended:?}");
        assert_eq!(mended.set_aside.is_some(), damage.is_some());
        let without_time = |mut accounts: Vec<AccountEntry>| {
            accounts.iter_mut().for_each(|account| account.deactivated_at_utc = None);
            accounts
        };
        assert_eq!((seen(&alpha), seen(&beta)), (before.0.clone(), before.1.clone()));
        assert_eq!(without_time(accounts(&root).unwrap()), without_time(before.2.clone()));
        let again = repair(&root, Staging::Quarantine).unwrap();
        assert_eq!((again.indexed, again.links, again.problems.len()), (0, 0, 0), "{again:?}");
    }
}

#[test]
fn links_and_states_that_are_lost_come_again_and_an_edit_by_hand_is_taken_over() {
    let place = tempfile::tempdir().unwrap();
    let (alpha, beta) = (mailbox(place.path(), "alpha"), mailbox(place.path(), "beta"));
    let sent = alpha.send(&draft(&["beta"], "one", "1")).unwrap();
    beta.show(&sent.message_ref, None, true).unwrap();
    let own = place.path().join("mailboxes/beta@agents.localhost");
    let link = own.join("inbox").join(format!("{}.md", id(&sent)));
    crate::os::files::remove(&link).unwrap();
    let path = file_of(place.path(), &sent);
    let text = std::fs::read_to_string(&path).unwrap();
    put(&path, text + "and more");
    let mended = repair(place.path(), Staging::Remove).unwrap();
    assert_eq!((mended.links, mended.updated), (1, 1), "{mended:?}");
    assert!(link.is_symlink());
    assert_eq!(inbox(&beta)[0].body_preview.as_deref(), Some("1and more"));
    for ending in ["", "-wal", "-shm"] {
        crate::os::files::remove(&own.join(format!("mailbox.sqlite{ending}"))).unwrap();
    }
    assert_eq!(inbox(&beta)[0].read, Some(true), "the index remembers what the mailbox forgot");
    beta.mark(std::slice::from_ref(&sent.message_ref), MailFlags { answered: Some(true), ..MailFlags::default() })
        .unwrap();
}

#[test]
fn a_mailbox_that_was_replaced_by_a_link_is_left_alone() {
    let (place, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (alpha, beta) = (mailbox(place.path(), "alpha"), mailbox(place.path(), "beta"));
    let gamma = mailbox(place.path(), "gamma");
    alpha.send(&draft(&["beta"], "one", "1")).unwrap();
    let own = place.path().join("mailboxes/beta@agents.localhost");
    let aside = place.path().join("aside");
    crate::os::files::rename(&own, &aside).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), &own).unwrap();
    let damaged = |done: Result<(), MailError>| {
        let error = done.unwrap_err();
        assert!(
            matches!(&error, MailError::Damaged(why) if why.contains("nothing was read or written there")),
            "{error}"
        );
    };
    damaged(alpha.send(&draft(&["gamma", "beta"], "two", "2")).map(drop));
    damaged(beta.list(&MailQuery::of(BoxName::inbox())).map(drop));
    damaged(beta.unread().map(drop));
    damaged(beta.send(&draft(&["gamma"], "three", "3")).map(drop));
    assert!(inbox(&gamma).is_empty(), "delivered to all or to nobody");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    assert_eq!(overview(place.path()).unwrap().problems.len(), 1);
    let mended = repair(place.path(), Staging::Quarantine).unwrap();
    assert!(mended.problems.iter().any(|problem| problem.contains("beta@agents.localhost")), "{mended:?}");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    crate::os::files::remove(&own).unwrap();
    crate::os::files::rename(&aside, &own).unwrap();
    // A folder in it is no better place.
    crate::os::files::rename(&own.join("inbox"), &aside).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), own.join("inbox")).unwrap();
    assert!(matches!(alpha.send(&draft(&["gamma", "beta"], "two", "2")), Err(MailError::Damaged(_))));
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    crate::os::files::remove(&own.join("inbox")).unwrap();
    crate::os::files::rename(&aside, &own.join("inbox")).unwrap();
    assert_eq!(inbox(&beta).len(), 1);
    alpha.send(&draft(&["gamma", "beta"], "two", "2")).unwrap();
    assert_eq!((inbox(&beta).len(), inbox(&gamma).len()), (2, 1));
}

#[test]
fn what_stands_in_the_place_of_a_folder_is_named_and_put_aside() {
    let place = tempfile::tempdir().unwrap();
    let (root, outside) = (place.path().join("mail"), place.path().join("outside"));
    let (alpha, beta) = (mailbox(&root, "alpha"), mailbox(&root, "beta"));
    std::fs::create_dir(&outside).unwrap();
    let own = root.join("mailboxes/beta@agents.localhost");
    for is_link in [true, false] {
        crate::os::files::remove_tree(&own.join("inbox")).unwrap();
        if is_link {
            std::os::unix::fs::symlink(&outside, own.join("inbox")).unwrap();
        } else {
            put(&own.join("inbox"), "x");
        }
        let what = if is_link { "a symbolic link" } else { "a file" };
        let told = beta.check().unwrap_err();
        assert!(matches!(&told, MailError::Damaged(why) if why.contains("inbox") && why.contains(what)), "{told:?}");
        assert!(alpha.send(&draft(&["beta"], "hello", "x")).is_err());
        let problems = overview(&root).unwrap().problems;
        assert!(problems.len() == 1 && problems[0].contains(what), "{problems:?}");
        let problems = repair(&root, Staging::Keep).unwrap().problems;
        assert!(problems.len() == 1 && problems[0].contains("inbox.wrong-"), "{problems:?}");
        assert!(own.join("inbox").is_dir() && !own.join("inbox").is_symlink());
        assert!(overview(&root).unwrap().problems.is_empty());
        beta.check().unwrap();
        alpha.send(&draft(&["beta"], "hello", "x")).unwrap();
    }
    assert!(std::fs::read_dir(&outside).unwrap().next().is_none());
}

#[test]
fn a_link_to_nothing_is_removed() {
    let place = tempfile::tempdir().unwrap();
    mailbox(place.path(), "alpha");
    let name = "msg-20260101T000000Z-0123456789abcdef0123456789abcdef.md";
    let link = place.path().join("mailboxes/alpha@agents.localhost/inbox").join(name);
    std::os::unix::fs::symlink(place.path().join("messages/2026-01-01").join(name), &link).unwrap();
    let done = repair(place.path(), Staging::Keep).unwrap();
    assert_eq!((done.links, done.problems.len(), link.is_symlink()), (1, 0, false), "{done:?}");
}

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
    beta.relocate(&[sent.message_ref.clone()], &"to do".parse().unwrap()).unwrap();
    assert_eq!((inbox(&beta).len(), folder(&beta, "to do").len()), (0, 1));
    let own = root.join("mailboxes/beta@agents.localhost");
    let name = format!("{}.md", sent.message_ref.strip_prefix("filesystem:").unwrap());
    assert!(own.join("to do").join(&name).is_symlink() && !own.join("inbox").join(&name).is_symlink());
    assert!(std::fs::read_to_string(own.join("to do").join(&name)).unwrap().starts_with("---\n"));
    beta.mark(&[sent.message_ref.clone()], MailFlags { read: Some(false), ..MailFlags::default() }).unwrap();
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
    assert!(matches!(alpha.send(&keyed), Err(MailError::Invalid(_))));
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
    std::fs::write(&file, "abc").unwrap();
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

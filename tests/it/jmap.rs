//! Mail over JMAP against a real server: what a caller sees, and what is true when the server dies in between.

use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use agents::{
    api::{MailBinding, MailContent, MailDraft, MailFlags, MailPost, MailQuery, MailReply, NewAttachment, ReplyPolicy},
    mail::{MailError, Mailbox, jmap::path_in},
    model::BoxName,
};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Cyrus, DOMAIN, Hold, Http, World, eventually, free_port, password_of, port_of};

fn content(body: &str, key: Option<&str>) -> MailContent {
    MailContent { body: body.to_owned(), key: key.map(str::to_owned), ..MailContent::default() }
}

fn draft(to: &str, subject: &str, content: MailContent) -> MailDraft {
    MailDraft {
        to: vec![format!("{to}@{DOMAIN}").parse().unwrap()],
        cc: Vec::new(),
        subject: subject.to_owned(),
        content,
    }
}

fn folder(name: &str) -> BoxName {
    name.parse().unwrap()
}

fn query(name: &str) -> MailQuery {
    MailQuery::of(folder(name))
}

fn subjects(mailbox: &Mailbox, name: &str) -> Vec<String> {
    mailbox.list(&query(name)).unwrap().into_iter().map(|message| message.subject).collect()
}

#[test]
fn two_agents_write_to_each_other_over_jmap() {
    let Some(cyrus) = Cyrus::start() else { return };
    let (alpha, beta) = (cyrus.account("alpha"), cyrus.account("beta"));
    beta.check().unwrap();
    assert_eq!((beta.unread(), beta.arrivals()), (Ok(0), None));
    assert_eq!(beta.identity().transport, "stalwart");

    // With a file, a name of many letters, and a second recipient who is the first one.
    let file = tempfile::Builder::new().suffix(".md").tempfile().unwrap();
    std::fs::write(file.path(), "# notes\n".repeat(40_000)).unwrap();
    let mut letter = draft("beta", "Grüße 🙂", content("first line\n\n.\n  last  line ü\n", None));
    letter.cc = letter.to.clone();
    letter.content.attachments =
        vec![NewAttachment { path: file.path().display().to_string(), label: Some("notes.md".to_owned()) }];
    let sent = alpha.send(&letter).unwrap();
    assert_eq!((sent.folder.as_deref(), sent.read, sent.subject.as_str()), (Some("sent"), Some(true), "Grüße 🙂"));
    assert_eq!(alpha.list(&query("drafts")), Ok(Vec::new()));

    let listed = beta.list(&query("inbox")).unwrap();
    assert_eq!((listed.len(), beta.unread()), (1, Ok(1)));
    let message = &listed[0];
    assert!(message.message_ref.starts_with("stalwart:") && message.body_text.is_none());
    assert!(message.thread_ref.as_deref().unwrap().starts_with("stalwart-thread:"));
    assert_eq!(message.body_preview.as_deref(), Some("first line . last line ü"));
    assert_eq!((message.sender.address.as_str(), message.to.len(), message.cc.len()), ("alpha@agents.localhost", 1, 1));
    let attached = &message.attachments[0];
    assert_eq!((attached.label.as_deref(), attached.size_bytes), (Some("notes.md"), Some(320_000)));
    assert_eq!(attached.media_type, "text/markdown");
    let (file, bytes) = beta.attachment(&message.message_ref, &attached.attachment_id).unwrap();
    assert_eq!((&file, bytes), (attached, "# notes\n".repeat(40_000).into_bytes()));
    let none = beta.attachment(&message.message_ref, "Gnone").unwrap_err();
    assert_eq!((none.code(), none.status()), ("no_attachment", 404));
    assert_eq!(beta.attachment("stalwart:Mnone", &file.attachment_id).unwrap_err().code(), "unknown_message");

    // Looking is not reading; reading is.
    let peeked = beta.show(&message.message_ref, None, false).unwrap();
    assert_eq!(peeked.body_text.as_deref().map(str::trim_end), Some("first line\n\n.\n  last  line ü"));
    assert_eq!((peeked.unread, beta.unread()), (Some(true), Ok(1)));
    let read = beta.show(&message.message_ref, Some(&BoxName::inbox()), true).unwrap();
    assert_eq!((read.read, beta.unread()), (Some(true), Ok(0)));
    for wrong in ["stalwart:M00000000", "stalwart:../x", "filesystem:msg-1", "nonsense"] {
        assert!(matches!(beta.show(wrong, None, true), Err(MailError::UnknownMessage(_))), "{wrong}");
    }
    let elsewhere = beta.show(&message.message_ref, Some(&BoxName::archive()), false);
    assert!(matches!(elsewhere, Err(MailError::UnknownMessage(_))));

    // An answer stands in the thread and marks what it answers.
    let reply = MailReply { message_ref: message.message_ref.clone(), content: content("got it", None) };
    let answer = beta.reply(&reply).unwrap();
    assert_eq!((answer.subject.as_str(), answer.thread_ref.as_ref()), ("Re: Grüße 🙂", message.thread_ref.as_ref()));
    let back = &alpha.list(&query("inbox")).unwrap()[0];
    assert_eq!(back.thread_ref, alpha.show(&sent.message_ref, None, false).unwrap().thread_ref);
    let answered = MailQuery { answered: Some(true), include_body: true, ..query("inbox") };
    let answered = beta.list(&answered).unwrap();
    assert!(answered.len() == 1 && answered[0].body_text.as_deref().unwrap().contains("last  line"));
    assert!(matches!(
        beta.reply(&MailReply { message_ref: "stalwart:Mnone".to_owned(), content: content("x", None) }),
        Err(MailError::UnknownMessage(_))
    ));

    // Refused as a whole: one recipient is nobody, and the other one gets nothing.
    let mut letter = draft("beta", "to nobody", content("x", None));
    letter.cc = vec![format!("nobody@{DOMAIN}").parse().unwrap()];
    assert_eq!(alpha.send(&letter), Err(MailError::UnknownRecipients(vec![format!("nobody@{DOMAIN}")])));
    assert_eq!((subjects(&beta, "inbox").len(), subjects(&alpha, "drafts").len()), (1, 0));
    let post = MailPost { subject: "s".to_owned(), reply_policy: ReplyPolicy::None, content: content("x", None) };
    assert!(matches!(alpha.post(&post), Err(MailError::Unsupported(_))));
}

#[test]
fn flags_and_folders_change_for_all_or_for_none() {
    let Some(cyrus) = Cyrus::start() else { return };
    let (alpha, beta) = (cyrus.account("alpha"), cyrus.account("beta"));
    for n in 0..5 {
        alpha.send(&draft("beta", &format!("m{n}"), content("x", None))).unwrap();
    }
    let all: Vec<String> = beta.list(&query("inbox")).unwrap().into_iter().map(|m| m.message_ref).collect();
    assert_eq!(all.len(), 5);

    let flags = MailFlags { read: Some(true), answered: Some(true), archived: None };
    let marked = beta.mark(&all[..2], flags).unwrap();
    assert!(marked.iter().all(|m| m.read == Some(true) && m.answered == Some(true)));
    assert_eq!(marked.iter().map(|m| &m.message_ref).collect::<Vec<_>>(), all[..2].iter().collect::<Vec<_>>());
    let with_wrong = [all[2].clone(), "stalwart:Mnone".to_owned()];
    assert_eq!(beta.mark(&with_wrong, flags), Err(MailError::UnknownMessage("stalwart:Mnone".to_owned())));
    let places = [all[2].clone(), "stalwart:Mnone".to_owned()];
    assert!(beta.relocate(&places, &folder("never made")).is_err());
    assert_eq!(beta.unread(), Ok(3));
    let count = |query: MailQuery| beta.list(&query).unwrap().len();
    assert_eq!(count(MailQuery { read: Some(false), ..query("inbox") }), 3);
    assert_eq!(count(MailQuery { answered: Some(false), ..query("inbox") }), 3);
    assert_eq!(count(MailQuery { limit: Some(2), ..query("inbox") }), 2);
    assert_eq!(count(MailQuery { since: Some("2100-01-01T00:00:00Z".to_owned()), ..query("inbox") }), 0);
    assert_eq!(count(MailQuery { since: Some("2020-01-01T00:00:00+02:00".to_owned()), ..query("inbox") }), 5);
    let nonsense = MailQuery { since: Some("yesterday".to_owned()), ..query("inbox") };
    assert!(matches!(beta.list(&nonsense), Err(MailError::Invalid(_))));
    assert_eq!(count(query("never made")), 0);

    // A folder is made by what is moved there; the archive is a folder and a flag.
    let moved = beta.relocate(&all[..1], &folder("to do")).unwrap();
    assert_eq!(moved[0].folder.as_deref(), Some("to do"));
    assert_eq!((count(query("to do")), count(query("inbox"))), (1, 4));
    let archived = beta.relocate(&all[1..2], &BoxName::archive()).unwrap();
    assert_eq!((archived[0].archived, archived[0].folder.as_deref()), (Some(true), Some("archive")));
    let archive = |wanted| MailFlags { archived: Some(wanted), ..MailFlags::default() };
    beta.mark(&all[2..3], archive(true)).unwrap();
    assert_eq!((count(query("archive")), count(query("inbox"))), (2, 2));
    let back = beta.mark(&[all[0].clone(), all[1].clone()], archive(false)).unwrap();
    assert_eq!((back[0].folder.as_deref(), back[1].folder.as_deref()), (Some("to do"), Some("inbox")));
    assert_eq!(count(MailQuery { archived: Some(true), ..query("inbox") }), 0);
    assert_eq!(count(MailQuery { archived: Some(false), ..query("inbox") }), 3);
}

#[test]
fn a_server_that_dies_while_it_sends_loses_nothing_and_sends_once() {
    let Some(mut cyrus) = Cyrus::start() else { return };
    let (alpha, beta) = (cyrus.account("alpha"), cyrus.account("beta"));

    // The same key is the same message, also for somebody who starts anew; other words with it are refused.
    let once = draft("beta", "once", content("x", Some("key-1")));
    let first = alpha.send(&once).unwrap();
    let anew = cyrus.bound("alpha", &password_of("alpha"));
    assert_eq!(anew.send(&once).unwrap().message_ref, first.message_ref);
    let other = draft("beta", "once", content("other words", Some("key-1")));
    assert_eq!(alpha.send(&other).unwrap_err().code(), "key_reused");
    assert_eq!(subjects(&beta, "inbox"), ["once"]);

    for (n, hold) in [Hold::BeforeDelivery, Hold::AfterDelivery].into_iter().enumerate() {
        let subject = format!("killed {n}");
        let letter = draft("beta", &subject, content("x", Some(&subject)));
        cyrus.hold(hold);
        let sender = alpha.clone();
        let (trying, held) = (letter.clone(), cyrus.held());
        let attempt = std::thread::spawn(move || sender.send(&trying));
        eventually("a held message", || (cyrus.held() > held).then_some(()).ok_or("none".to_owned()));
        cyrus.kill();
        let failed = attempt.join().unwrap().unwrap_err();
        assert!(matches!(&failed, MailError::Unavailable(why) if why.contains("same key")), "{failed:?}");
        assert_eq!((failed.status(), failed.retry_after()), (502, Some(5)));
        assert!(matches!(alpha.send(&letter), Err(MailError::Unavailable(_))), "it is down");
        assert!(matches!(beta.unread(), Err(MailError::Unavailable(why)) if why.contains("refused")));

        cyrus.hold(Hold::Nowhere);
        cyrus.up();
        let sent = alpha.send(&letter).unwrap();
        assert_eq!(alpha.send(&letter).unwrap().message_ref, sent.message_ref);
        assert_eq!(subjects(&beta, "inbox").iter().filter(|found| **found == subject).count(), 1, "{hold:?}");
        assert_eq!(subjects(&alpha, "sent").iter().filter(|found| **found == subject).count(), 1, "{hold:?}");
        assert_eq!(subjects(&alpha, "drafts"), Vec::<String>::new());
    }

    // Ten writers at once, each sending everything twice.
    std::thread::scope(|scope| {
        for n in 0..10 {
            let alpha = alpha.clone();
            scope.spawn(move || {
                let letter = draft("beta", &format!("many {n}"), content("x", Some(&format!("many-{n}"))));
                assert_eq!(alpha.send(&letter).unwrap().message_ref, alpha.send(&letter).unwrap().message_ref);
            });
        }
    });
    assert_eq!(subjects(&beta, "inbox").iter().filter(|subject| subject.starts_with("many")).count(), 10);
}

#[test]
fn a_server_that_does_not_answer_or_refuses_us_is_told_apart() {
    let Some(cyrus) = Cyrus::start() else { return };
    let alpha = cyrus.account("alpha");

    // Stopped: the kernel accepts the connection, and nobody answers.
    cyrus.signal_all(Signal::STOP);
    let since = Instant::now();
    let failed = alpha.list(&query("inbox")).unwrap_err();
    assert!(matches!(&failed, MailError::Unavailable(why) if why.contains("in time")), "{failed:?}");
    assert!(since.elapsed() < Duration::from_secs(60), "a call ends");
    cyrus.signal_all(Signal::CONT);
    assert_eq!(alpha.list(&query("inbox")), Ok(Vec::new()));

    // No TLS where TLS is spoken to.
    let MailBinding::Stalwart(mut binding) = alpha.binding().clone() else { unreachable!() };
    binding.jmap_url = format!("https://127.0.0.1:{}", cyrus.port);
    let tls = Mailbox::of(&MailBinding::Stalwart(binding.clone()), cyrus.secrets("alpha")).unwrap();
    let failed = tls.check().unwrap_err();
    assert!(matches!(&failed, MailError::Rejected(why) if why.contains("no safe connection")), "{failed:?}");
    assert_eq!(failed.retry_after(), None);

    // Nobody there; somebody there who hangs up; somebody who is no JMAP server.
    let at = |port: u16| {
        let mut binding = binding.clone();
        binding.jmap_url = format!("http://127.0.0.1:{port}/jmap");
        Mailbox::of(&MailBinding::Stalwart(binding), cyrus.secrets("alpha")).unwrap()
    };
    assert!(matches!(at(free_port()).check(), Err(MailError::Unavailable(why)) if why.contains("refused")));
    let hangs_up = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hangs_up.local_addr().unwrap().port();
    std::thread::spawn(move || hangs_up.incoming().flatten().for_each(drop));
    assert!(matches!(at(port).check(), Err(MailError::Unavailable(_))));

    // A wrong password, also when it was right a moment ago; nothing that is said holds one.
    let wrong = cyrus.bound("alpha", "wrong password 7");
    let failed = wrong.check().unwrap_err();
    assert!(matches!(&failed, MailError::Rejected(why) if why.contains("refused the login")), "{failed:?}");
    for shown in [format!("{failed:?} {failed}"), format!("{wrong:?}"), format!("{alpha:?}")] {
        assert!(!shown.contains("wrong password 7") && !shown.contains(&password_of("alpha")), "{shown}");
    }
    cyrus.bound("alpha", &password_of("alpha")).check().unwrap();
    wrong.check().unwrap();

    // A secret that others can read is not used.
    let path = path_in(&cyrus.secrets("alpha"), &cyrus.binding("alpha").credential_ref).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let fresh = Mailbox::of(alpha.binding(), cyrus.secrets("alpha")).unwrap();
    assert!(matches!(fresh.check(), Err(MailError::Rejected(why)) if why.contains("chmod 600")));

    // An account that never got mail.
    let nobody = cyrus.bound("gamma", &password_of("gamma"));
    assert!(matches!(nobody.check(), Err(MailError::NotRegistered(_))));
}

#[test]
fn a_server_gets_the_password_once_somebody_trusted_vouches_for_its_name() {
    let Some(cyrus) = Cyrus::start_with_tls() else { return };
    let beta = cyrus.account("beta");
    drop(cyrus.account("alpha"));
    let world = World::new();
    let agent = world.launch("alpha");
    let mail = |words: &[&str]| world.agents(&[&["mail"], words, &["--agent-id", &agent.id]].concat());
    let (login, file) = (format!("alpha@{DOMAIN}"), world.work().join("password").display().to_string());
    std::fs::write(&file, password_of("alpha") + "\n").unwrap();
    let (tls, ca) = (cyrus.tls.unwrap(), cyrus.authority().display().to_string());
    let bind = |host: &str, port: u16, more: &[&str]| {
        let url = format!("https://{host}:{port}");
        mail(&[&["bind", "--jmap-url", &url, "--login", &login, "--password-file", &file], more].concat())
    };
    bind("localhost", tls, &[]).fails(1, "no safe connection", "");
    bind("127.0.0.1", tls, &["--jmap-ca", &ca]).fails(1, "no safe connection", "");
    bind("localhost", cyrus.port, &["--jmap-ca", &ca]).fails(1, "no safe connection", "");
    bind("localhost", tls, &["--jmap-ca", &file]).fails(2, "no certificate in PEM", "");
    let unknown = bind("localhost", tls, &[]).stderr;
    assert!(unknown.contains("--jmap-ca FILE"), "{unknown}");

    // Who does not prove itself hears a greeting of TLS, and no word more.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = deaf.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = deaf.accept().unwrap();
        let mut first = vec![0; 4096];
        let count = std::io::Read::read(&mut stream, &mut first).unwrap();
        first.truncate(count);
        first
    });
    assert_ne!(bind("localhost", port, &["--jmap-ca", &ca]).status, 0);
    let heard = heard.join().unwrap();
    assert_eq!(heard.first(), Some(&0x16), "a handshake: {heard:?}");
    assert!(!String::from_utf8_lossy(&heard).contains("Basic"));
    mail(&["status"]).fails(8, "no mailbox", "agents mail bind");

    bind("localhost", tls, &["--jmap-ca", &ca]).ok();
    let words = ["send", "--to", &format!("beta@{DOMAIN}"), "--subject", "over tls", "--body-content", "b"];
    mail(&words).ok();
    assert_eq!(subjects(&beta, "inbox"), ["over tls"]);
    let http = Http::new(port_of(&world.attach(&agent)));
    assert_eq!(http.get("/v1/mail/status").ok()["address"], login.as_str());

    // What binds it again names the authority, which is not kept.
    let again = mail(&["unbind"]);
    assert!(again.stderr.contains("--password-file FILE --jmap-ca FILE"), "{}", again.stderr);
    assert!(files_with(&agent.root, "BEGIN CERTIFICATE").is_empty());
    bind("localhost", tls, &["--jmap-ca", &ca]).ok();

    // The authority is kept with the password; without it nobody vouches any more.
    let kept = agent.root.join("mailbox-secrets").join(format!("stalwart-{login}.ca.pem"));
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(&kept).unwrap();
    world.agents(&["gateway", "detach", "--agent-id", &agent.id]).ok();
    mail(&["status"]).fails(1, "no safe connection", "");
}

#[test]
fn a_session_is_bound_to_a_server_and_its_password_is_never_seen() {
    let Some(mut cyrus) = Cyrus::start() else { return };
    let beta = cyrus.account("beta");
    drop(cyrus.account("alpha"));
    let world = World::new();
    let agent = world.launch("alpha");
    let mail = |words: &[&str]| world.agents(&[&["mail"], words, &["--agent-id", &agent.id]].concat());
    let login = format!("alpha@{DOMAIN}");
    let url = format!("http://127.0.0.1:{}", cyrus.port);
    let file = world.work().join("password");
    let file = file.display().to_string();
    let bind = ["bind", "--jmap-url", &url, "--login", &login, "--password-file", &file];

    // What the server does not take is not bound.
    std::fs::write(&file, "another one\n").unwrap();
    mail(&bind).fails(1, "refused the login", "credentials");
    std::fs::write(&file, "two\nlines\n").unwrap();
    mail(&bind).fails(2, "2 lines", "one line");
    mail(&["bind", "--jmap-url", "http://mail.example", "--login", "a@b", "--password-file", &file])
        .fails(2, "lines", "one line");
    mail(&["status"]).fails(8, "no mailbox", "agents mail bind");
    assert!(!agent.root.join("mailbox-secrets").exists());

    std::fs::write(&file, password_of("alpha") + "\n").unwrap();
    mail(&["bind", "--jmap-url", "http://mail.example", "--login", "a@b", "--password-file", &file]).fails(
        2,
        "plain http",
        "agents mail --help",
    );
    let bound = mail(&[&bind[..], &["--json"]].concat()).json();
    assert_eq!((&bound["mailbox"]["transport"], &bound["mailbox"]["address"]), (&json!("stalwart"), &json!(login)));

    // Through the gateway: it finds the binding, sends, lists, and says what it does not do.
    let http = Http::new(port_of(&world.attach(&agent)));
    assert_eq!(http.get("/v1/mail/status").ok()["transport"], "stalwart");
    let letter = json!({ "to": [format!("beta@{DOMAIN}")], "subject": "over http", "body_content": "b" });
    let keyed = http.with("idempotency-key", "k-1");
    let sent = keyed.post("/v1/mail/send", &letter).ok();
    assert_eq!(keyed.post("/v1/mail/send", &letter).ok()["message"]["message_ref"], sent["message"]["message_ref"]);
    assert_eq!(subjects(&beta, "inbox"), ["over http"]);
    let posted = http.post("/v1/mail/post", &json!({ "subject": "s", "body_content": "b" }));
    assert_eq!(posted.status, 422);
    let unknown = http.post("/v1/mail/read", &json!({ "message_ref": "stalwart:Mnone" }));
    assert_eq!(unknown.status, 404);
    let nobody = json!({ "to": [format!("nobody@{DOMAIN}")], "subject": "s", "body_content": "b" });
    assert_eq!(http.post("/v1/mail/send", &nobody).status, 422);
    assert!(mail(&["list", "--box", "sent"]).ok().contains("over http"));

    // Down: a status that says so, and when to come back.
    cyrus.kill();
    let down = http.post("/v1/mail/send", &letter);
    assert_eq!(
        (down.status, down.header("agents-error-code"), down.header("retry-after")),
        (502, Some("mail_unavailable"), Some("5"))
    );
    mail(&["list"]).fails(10, "refused", "nothing was lost");
    cyrus.up();
    http.post("/v1/mail/list", &json!({})).ok();

    // The password is in two files, for this user alone, and nowhere else.
    let holders = files_with(&world.home(), &password_of("alpha"));
    assert_eq!(holders.len(), 2, "{holders:?}");
    for holder in &holders {
        assert_eq!(holder.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", holder.display());
    }
    mail(&["unbind"]).ok();
    assert_eq!(files_with(&agent.root, &password_of("alpha")), Vec::<PathBuf>::new());
    assert_eq!(http.get("/v1/mail/status").status, 422);
}

/// Every file below a folder that holds a text.
fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(files_with(&path, text));
        } else if kind.is_file()
            && std::fs::read(&path).unwrap().windows(text.len()).any(|part| part == text.as_bytes())
        {
            found.push(path);
        }
    }
    found
}

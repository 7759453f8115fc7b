//! What mail in a folder costs: sending durably, and listing an inbox with many messages.
//!
//! `cargo bench --bench mail` prints a table and writes `target/bench/mail.json`. `AGENTS_BENCH_SAMPLES` (200) is how many
//! messages are sent one by one, `AGENTS_BENCH_MESSAGES` (10,000) how many the inbox has, `AGENTS_BENCH_FOLDER` (`/tmp`)
//! where the files are.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a program that measures and prints"
)]

#[path = "../session-fixtures/mail/mailbox-worker/letters.rs"]
mod letters;
mod support;

use std::{collections::BTreeMap, fs, hint::black_box, os::unix::fs::symlink, path::Path};

use agents::{
    api::{MailContent, MailDraft, MailFlags, MailQuery, MailReply},
    mail::{
        filesystem::{self, Staging},
        message::{Head, Message, Principal},
    },
    model::{BoxName, MessageId, Moment},
};
use letters::{address, mailbox};
use serde_json::json;
use support::{Table, number, timed};

fn main() {
    if support::is_test() {
        return;
    }
    let samples = number("AGENTS_BENCH_SAMPLES", 200);
    let messages = number("AGENTS_BENCH_MESSAGES", 10_000);
    let place = std::env::var_os("AGENTS_BENCH_FOLDER").unwrap_or_else(|| "/tmp".into());
    let folder = tempfile::Builder::new().prefix("agb-").tempdir_in(place).unwrap();
    let mut table = Table::default();
    Table::head();
    small(&mut table, &folder.path().join("small"), samples);
    large(&mut table, &folder.path().join("large"), messages);
    table.finish("mail", &json!({ "samples": samples, "messages": messages }));
}

fn body() -> String {
    "A line of a message that one agent writes to another about its work.\n".repeat(8)
}

fn content() -> MailContent {
    MailContent { body: body(), ..MailContent::default() }
}

fn small(table: &mut Table, root: &Path, samples: u64) {
    let (alpha, beta) = (mailbox(root, "alpha"), mailbox(root, "beta"));
    let draft = MailDraft { to: vec![address("beta")], cc: Vec::new(), subject: "work".to_owned(), content: content() };
    let many = |work: &mut dyn FnMut()| (0..samples).map(|_| timed(&mut *work)).collect::<Vec<_>>();
    let mut sent = Vec::new();
    table.times("a message sent, durably", "", many(&mut || sent.push(alpha.send(&draft).unwrap())));
    let mut references = sent.iter().map(|message| message.message_ref.clone()).cycle();
    let mut next = move || references.next().unwrap();
    let read = MailFlags { read: Some(true), ..MailFlags::default() };
    table.times("a message shown", "", many(&mut || drop(black_box(beta.show(&next(), None, false).unwrap()))));
    table.times("a message marked read, durably", "", many(&mut || drop(beta.mark(&[next()], read).unwrap())));
    let archive = BoxName::archive();
    table.times("a message moved, durably", "", many(&mut || drop(beta.relocate(&[next()], &archive).unwrap())));
    let mut answers = sent.iter().map(|message| message.message_ref.clone());
    let mut answer = || {
        let reply = MailReply { message_ref: answers.next().unwrap(), content: content() };
        drop(beta.reply(&reply).unwrap());
    };
    table.times("a message answered, durably", "", many(&mut answer));
}

fn large(table: &mut Table, root: &Path, messages: u64) {
    let (alpha, beta) = (mailbox(root, "alpha"), mailbox(root, "beta"));
    let principal = |name: &str| Principal {
        principal_id: format!("AGENTS-{name}"),
        address: address(name),
        display_name: None,
        manifest_path_hint: None,
        role: None,
    };
    let root = root.canonicalize().unwrap();
    let days = root.join("messages/2999-01-01");
    fs::create_dir(&days).unwrap();
    for serial in 0..messages {
        let message_id = MessageId::new(Moment::parse("2999-01-01T00:00:00Z").unwrap(), u128::from(serial));
        let head = Head {
            protocol_version: 3,
            thread_id: message_id.clone(),
            message_id: message_id.clone(),
            in_reply_to: None,
            references: Vec::new(),
            created_at_utc: "2999-01-01T00:00:00Z".to_owned(),
            from: principal("alpha"),
            to: vec![principal("beta")],
            cc: Vec::new(),
            reply_to: Vec::new(),
            subject: format!("message {serial}"),
            attachments: Vec::new(),
            headers: BTreeMap::new(),
            notify_block: None,
            notify_auth: None,
        };
        let path = days.join(format!("{message_id}.md"));
        fs::write(&path, Message { head, body: body() }.render().unwrap()).unwrap();
        let inbox = root.join("mailboxes/beta@agents.localhost/inbox");
        symlink(&path, inbox.join(format!("{message_id}.md"))).unwrap();
    }
    let mut mended = None;
    let span = timed(|| mended = Some(filesystem::repair(&root, Staging::Keep).unwrap()));
    assert_eq!(mended.unwrap().messages, messages);
    table.value(&format!("an index of {messages} messages rebuilt"), span.as_secs_f64() * 1e3, "ms", "");
    let mut part = MailQuery::of(BoxName::inbox());
    part.limit = Some(50);
    let all = MailQuery::of(BoxName::inbox());
    assert_eq!(beta.list(&all).unwrap().len() as u64, messages);
    let many = |work: &mut dyn FnMut()| (0..50).map(|_| timed(&mut *work)).collect::<Vec<_>>();
    let what = format!("an inbox of {messages}");
    table.times(&format!("{what}, the newest 50"), "50 ms", many(&mut || drop(black_box(beta.list(&part).unwrap()))));
    table.times(&format!("{what}, all of it"), "50 ms", many(&mut || drop(black_box(beta.list(&all).unwrap()))));
    table.times(&format!("{what}, unread counted"), "", many(&mut || assert!(beta.unread().unwrap() > 0)));
    let draft = MailDraft { to: vec![address("beta")], cc: Vec::new(), subject: "work".to_owned(), content: content() };
    table.times(&format!("{what}, one more sent to it"), "", many(&mut || drop(alpha.send(&draft).unwrap())));
}

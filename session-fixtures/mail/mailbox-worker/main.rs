//! A program that uses mailboxes until it is done or killed.
//!
//! - `any ROOT LOG SEED` sends, answers, moves, marks and repairs by chance, without end.
//! - `one ROOT WHAT KEY` waits for a line on stdin, then answers (`reply`) or moves (a folder's name) one message.
//! - `stream ROOT FROM TO COUNT` sends many, as fast as it goes.
//! - `full ROOT LOG` waits for a line on stdin, then does everything on a disk that is full by then.
//! - `tell ROOT LOG` writes down what arrived, after a proof that the mailboxes are whole.
//!
//! It says `ready` when it begins.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a program of the tests: what does not work ends it"
)]

mod letters;
#[path = "../../../tests/it/support/seeded.rs"]
mod seeded;
mod whole;

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use agents::{
    api::{MailFlags, MailReply},
    mail::{
        MailError,
        filesystem::{self, Staging},
    },
    model::BoxName,
};
use letters::{content, draft, folder, mailbox, newest};
use seeded::Seeded;
use whole::{is_whole, read_log};

/// After so many messages a stream says how far it is.
const PORTION: u64 = 100;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize| words[at].as_str();
    let (root, log) = (Path::new(word(1)), Path::new(word(2)));
    match word(0) {
        "any" => anything(root, log, word(3).parse().unwrap()),
        "one" => one_thing(root, word(2), word(3)),
        "stream" => stream(root, word(2), word(3), word(4).parse().unwrap()),
        "full" => fill_up(root, log),
        "tell" => tell(root, log),
        other => panic!("`{other}` is not known"),
    }
}

fn say_ready() {
    say_line("ready");
}

fn say_line(line: &str) {
    let mut out = std::io::stdout();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Sends, answers, moves, marks and repairs by chance, as `alpha`. A step without an answer is taken again first.
fn anything(root: &Path, log: &Path, seed: u64) {
    let alpha = mailbox(root, "alpha");
    let done = read_log(log);
    let mut file = File::options().create(true).append(true).open(log).unwrap();
    let mut say = move |line: &str| file.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut chance = Seeded::new(seed);
    let roots: Vec<String> =
        ["inbox", "kept"].iter().flat_map(|name| folder(&alpha, name)).map(|message| message.message_ref).collect();
    let mut number = done.iter().filter(|line| line[0] == "try").count();
    let mut again = done.last().filter(|line| line[0] == "try").map(|line| line[1..].to_vec());
    // What died inside a line of the log never said anything: nothing of it was begun.
    if !fs::read_to_string(log).unwrap_or_default().ends_with('\n') {
        say("");
    }
    say_ready();
    loop {
        let words = again.take().unwrap_or_else(|| {
            number += 1;
            let message = chance.one(&roots).clone();
            let words = match chance.within(0..16) {
                0..6 => vec!["send".to_owned(), format!("k-{number}")],
                6..10 => vec!["reply".to_owned(), format!("k-{number}"), message],
                10..13 => vec!["move".to_owned(), message, (*chance.one(&["inbox", "kept"])).to_owned()],
                13..15 => vec!["mark".to_owned(), message, chance.within(0..2).to_string()],
                _ => vec!["repair".to_owned()],
            };
            say(&format!("try {}", words.join(" ")));
            words
        });
        let word = |at: usize| words[at].as_str();
        match word(0) {
            "send" => drop(alpha.send(&draft(&["beta", "gamma"], word(1), "body")).unwrap()),
            "reply" => {
                let reply = MailReply { message_ref: word(2).to_owned(), content: content(word(1), word(1)) };
                match alpha.reply(&reply) {
                    Ok(_) => {}
                    Err(MailError::Loop(_)) => {
                        say("skip");
                        continue;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            "move" => {
                drop(alpha.relocate(&[word(1).to_owned()], &word(2).parse::<BoxName>().unwrap()).unwrap());
            }
            "mark" => {
                let flags = MailFlags { read: Some(word(2) == "1"), ..MailFlags::default() };
                drop(alpha.mark(&[word(1).to_owned()], flags).unwrap());
            }
            _ => {
                let done = filesystem::repair(root, Staging::Quarantine).unwrap();
                assert!(done.problems.is_empty() && done.undelivered.is_empty(), "{done:?}");
            }
        }
        say(&format!("ok {}", words.join(" ")));
    }
}

/// One step, after a word on stdin.
fn one_thing(root: &Path, what: &str, key: &str) {
    let alpha = mailbox(root, "alpha");
    let first = newest(&alpha);
    say_ready();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    match what {
        "reply" => {
            drop(alpha.reply(&MailReply { message_ref: first.message_ref, content: content(key, key) }).unwrap());
        }
        folder => drop(alpha.relocate(&[first.message_ref], &folder.parse().unwrap()).unwrap()),
    }
}

/// Many messages, as fast as it goes. Now and then it says how many have been sent.
fn stream(root: &Path, from: &str, to: &str, count: u64) {
    let sender = mailbox(root, from);
    say_ready();
    for number in 0..count {
        sender.send(&draft(&[to], &format!("{from} {number}"), "body")).unwrap();
        if number % PORTION == 0 {
            say_line(&format!("sent {}", number + 1));
        }
    }
}

/// Does everything on a full disk; what it hears is in the log.
fn fill_up(root: &Path, log: &Path) {
    let (alpha, beta) = (mailbox(root, "alpha"), mailbox(root, "beta"));
    let mut file = File::options().create(true).append(true).open(log).unwrap();
    let mut say = |word: &str, done: Result<(), MailError>| {
        let code = done.err().map_or("ok", |error| error.code());
        file.write_all(format!("{word} {code}\n").as_bytes()).unwrap();
    };
    let first = beta.send(&draft(&["alpha"], "root", "x")).unwrap().message_ref;
    say("first", Ok(()));
    say_ready();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    for number in 0..12 {
        let key = format!("k-{number}");
        say(&key, alpha.send(&draft(&["beta"], &key, &"x".repeat(9_000))).map(drop));
        let reply =
            MailReply { message_ref: first.clone(), content: content(&"y".repeat(9_000), &format!("r-{number}")) };
        say("reply", alpha.reply(&reply).map(drop));
        say("move", alpha.relocate(std::slice::from_ref(&first), &format!("kept {number}").parse().unwrap()).map(drop));
    }
}

/// Says what is there.
fn tell(root: &Path, log: &Path) {
    let (alpha, beta) = (mailbox(root, "alpha"), mailbox(root, "beta"));
    alpha.send(&draft(&["beta"], "last", "x")).unwrap();
    is_whole(root, &[("alpha", &alpha), ("beta", &beta)], &[]);
    let subjects: Vec<String> = folder(&beta, "inbox").into_iter().map(|message| message.subject).collect();
    fs::write(log, subjects.join("\n")).unwrap();
    let mended = filesystem::repair(root, Staging::Quarantine).unwrap();
    assert!(mended.problems.is_empty() && mended.undelivered.is_empty() && mended.links == 0, "{mended:?}");
}

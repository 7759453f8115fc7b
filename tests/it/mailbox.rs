//! Mailboxes in a folder: the commands around them, and what is true after anything that can happen to them.
//!
//! | what | test |
//! | --- | --- |
//! | killed at any moment of a send, reply, move, mark, repair | `deaths_at_any_moment_lose_nothing_and_double_nothing` |
//! | killed in every step of a reply and of a move | `a_death_in_every_step_is_survived` |
//! | two programs that write to each other while a third reads | `two_writers_and_a_reader_lose_nothing` |
//! | a full disk | `a_full_disk_delivers_to_all_or_to_nobody` |

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use agents::{
    api::{MailBinding, MailContent, MailDraft, MailFlags, MailQuery, MailReply, MessageView},
    mail::{
        MailError, Mailbox,
        filesystem::{self, RegisterMode, Registering, Staging},
    },
    model::{Address, BoxName},
};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Seeded, Tracer, World, signal};

fn address(name: &str) -> Address {
    format!("{name}@agents.localhost").parse().unwrap()
}

fn mailbox(root: &Path, name: &str) -> Mailbox {
    let wish = Registering {
        address: address(name),
        principal_id: format!("AGENTS-{name}"),
        mode: RegisterMode::Safe,
        display_name: None,
        manifest_path_hint: None,
        role: None,
        folder: None,
    };
    let registration = filesystem::register(root, &wish).unwrap();
    Mailbox::of(&MailBinding::Filesystem(registration.binding), PathBuf::new()).unwrap()
}

fn content(body: &str, key: &str) -> MailContent {
    MailContent { body: body.to_owned(), key: Some(key.to_owned()), ..MailContent::default() }
}

fn draft(to: &[&str], key: &str, body: &str) -> MailDraft {
    let to = to.iter().map(|name| address(name)).collect();
    MailDraft { to, cc: Vec::new(), subject: key.to_owned(), content: content(body, key) }
}

/// A folder in memory, where there is one: a killed process loses nothing there either, and many messages take less time.
fn fast_place() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn folder(mailbox: &Mailbox, name: &str) -> Vec<MessageView> {
    mailbox.list(&MailQuery::of(name.parse().unwrap())).unwrap()
}

/// The newest message that came, wherever it was put.
fn newest(mailbox: &Mailbox) -> MessageView {
    let all = ["inbox", "kept"].iter().flat_map(|name| folder(mailbox, name));
    all.max_by(|one, other| one.message_ref.cmp(&other.message_ref)).unwrap()
}

fn id(message: &MessageView) -> String {
    message.message_ref.strip_prefix("filesystem:").unwrap().to_owned()
}

/// Not a test: a program that uses a mailbox until it is done or killed. What it does is in `MAILBOX_WORKER`.
#[test]
#[ignore = "the other tests start it"]
fn worker() {
    let Ok(words) = std::env::var("MAILBOX_WORKER") else { return };
    let words: Vec<&str> = words.split('|').collect();
    let (root, log, seed) = (Path::new(words[1]), Path::new(words[2]), words[3].parse().unwrap());
    match words[0] {
        "any" => anything(root, log, seed),
        "one" => one_thing(root, words[4], words[5]),
        "stream" => stream(root, words[4], words[5], seed),
        "full" => fill_up(root, log),
        _ => tell(root, log),
    }
}

struct Worker {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Worker {
    fn command(command: &mut Command, words: &str) -> Self {
        command.args(["--exact", "mailbox::worker", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env("MAILBOX_WORKER", words).env("RUST_BACKTRACE", "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn start(words: &str) -> Self {
        Self::command(&mut Command::new(std::env::current_exe().unwrap()), words)
    }

    /// Waits until it says so.
    fn ready(&mut self) {
        let mut line = String::new();
        while !line.ends_with("ready\n") {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "it ended before it was ready");
        }
    }

    fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").ok();
    }

    fn kill(mut self) {
        signal(self.child.id(), Signal::KILL);
        self.child.wait().unwrap();
    }

    /// `true` if it ended well.
    fn end(mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

fn say_ready() {
    let mut out = std::io::stdout();
    out.write_all(b"ready\n").unwrap();
    out.flush().unwrap();
}

/// What a worker did: a line before each step and one behind it.
fn read_log(log: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
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

/// Many messages, as fast as it goes.
fn stream(root: &Path, from: &str, to: &str, count: u64) {
    let sender = mailbox(root, from);
    say_ready();
    for number in 0..count {
        sender.send(&draft(&[to], &format!("{from} {number}"), "body")).unwrap();
    }
}

/// Everything that may be and may not: no two mailboxes disagree about a message, and no file about the index.
#[track_caller]
fn is_whole(root: &Path, mailboxes: &[(&str, &Mailbox)], log: &[Vec<String>]) {
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

#[test]
fn deaths_at_any_moment_lose_nothing_and_double_nothing() {
    let place = fast_place();
    let (root, log) = (place.path().join("mail"), place.path().join("log"));
    let [alpha, beta, gamma] = ["alpha", "beta", "gamma"].map(|name| mailbox(&root, name));
    for number in 0..20 {
        beta.send(&draft(&["alpha"], &format!("root {number}"), "x")).unwrap();
    }
    let seed = 20_261_122;
    let mut chance = Seeded::new(seed);
    for round in 0..40 {
        let mut worker = Worker::start(&format!("any|{}|{}|{}", root.display(), log.display(), chance.next()));
        worker.ready();
        let end = Instant::now() + Duration::from_micros(chance.within(0..100_000));
        while Instant::now() < end {
            std::thread::yield_now();
        }
        worker.kill();
        // Every other time the next writer finds what is left, not a reader.
        if round % 2 == 0 {
            is_whole(&root, &[("alpha", &alpha), ("beta", &beta), ("gamma", &gamma)], &read_log(&log));
        }
    }
    // Whatever the last one left is finished by whoever looks.
    is_whole(&root, &[("alpha", &alpha), ("beta", &beta), ("gamma", &gamma)], &read_log(&log));
    let mended = filesystem::repair(&root, Staging::Quarantine).unwrap();
    assert!(mended.problems.is_empty() && mended.undelivered.is_empty(), "{mended:?}");
    assert_eq!((mended.indexed, mended.updated, mended.links), (0, 0, 0), "{mended:?}");
    is_whole(&root, &[("alpha", &alpha), ("beta", &beta), ("gamma", &gamma)], &read_log(&log));
    let ok = |what: &str| read_log(&log).iter().filter(|line| line[0] == "ok" && line[1] == what).count();
    let counts = ["send", "reply", "move", "mark", "repair"].map(|what| (what, ok(what)));
    eprintln!("seed {seed}: {counts:?}");
    assert!(counts[..4].iter().all(|(_, count)| *count > 0), "each was done sometimes: {counts:?}");
}

#[test]
fn a_death_in_every_step_is_survived() {
    if !World::strace_available() {
        eprintln!("skipped: no strace here");
        return;
    }
    let place = fast_place();
    let root = place.path().join("mail");
    let (alpha, beta) = (mailbox(&root, "alpha"), mailbox(&root, "beta"));
    let mut deaths = Vec::new();
    // Which call is the last one, and of which step. The same calls do most of a move's work.
    let all = ["fsync", "fdatasync", "linkat", "symlinkat", "renameat", "unlinkat"];
    let steps = all.map(|call| ("reply", call)).into_iter().chain(all[3..].iter().map(|call| ("kept", *call)));
    for (what, call) in steps {
        // Each in a thread of its own: many answers in one would be taken for a loop.
        beta.send(&draft(&["alpha"], &format!("root {what} {call}"), "x")).unwrap();
        for number in 1.. {
            let key = format!("{what}-{call}-{number}");
            let mut worker = Worker::start(&format!("one|{}|-|0|{what}|{key}", root.display()));
            worker.ready();
            let tracer = Tracer::new(worker.child.id(), call, &format!("signal=KILL:when={number}"));
            worker.go();
            let lived = worker.end();
            drop(tracer);
            is_whole(&root, &[("alpha", &alpha), ("beta", &beta)], &[]);
            let found =
                || folder(&beta, "inbox").iter().filter(|one| one.body_preview.as_deref() == Some(&key)).count();
            let parent = newest(&alpha);
            if what == "reply" {
                assert!(found() == 1 || !lived && found() == 0, "{key}");
                // Asked again, it happened once.
                alpha.reply(&MailReply { message_ref: parent.message_ref, content: content(&key, &key) }).unwrap();
                assert_eq!(found(), 1, "{key}");
            } else {
                let is_there = parent.folder.as_deref() == Some(what);
                assert!(is_there || !lived, "{key}");
                alpha.relocate(&[parent.message_ref], &BoxName::inbox()).unwrap();
            }
            if lived {
                break;
            }
            deaths.push(key);
        }
    }
    eprintln!("{} deaths: {deaths:?}", deaths.len());
    assert!(deaths.len() >= 15, "each step was the last one once: {deaths:?}");
}

#[test]
fn two_writers_and_a_reader_lose_nothing() {
    let count: usize = 2_500;
    let place = fast_place();
    let root = place.path().join("mail");
    let (alpha, beta) = (mailbox(&root, "alpha"), mailbox(&root, "beta"));
    let begun = Instant::now();
    let mut writers = [("alpha", "beta"), ("beta", "alpha")]
        .map(|(from, to)| Worker::start(&format!("stream|{}|-|{count}|{from}|{to}", root.display())));
    writers.iter_mut().for_each(Worker::ready);
    let (mut seen, mut looks) = (0, 0);
    while writers.iter_mut().any(|writer| writer.child.try_wait().unwrap().is_none()) {
        let now = folder(&beta, "inbox");
        let different: BTreeSet<&str> = now.iter().map(|message| message.subject.as_str()).collect();
        assert_eq!(different.len(), now.len(), "one twice");
        assert!(now.len() >= seen, "{} after {seen}", now.len());
        // In the order in which they were sent, and none left out.
        let oldest_first = now.iter().rev().enumerate();
        oldest_first.for_each(|(number, message)| assert_eq!(message.subject, format!("alpha {number}")));
        (seen, looks) = (now.len(), looks + 1);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(writers.into_iter().all(Worker::end));
    eprintln!("{} messages in {:?}, {looks} looks meanwhile", 2 * count, begun.elapsed());
    for (mailbox, from) in [(&beta, "alpha"), (&alpha, "beta")] {
        let got: BTreeSet<String> = folder(mailbox, "inbox").into_iter().map(|message| message.subject).collect();
        assert_eq!(got, (0..count).map(|number| format!("{from} {number}")).collect());
        assert_eq!((folder(mailbox, "inbox").len(), folder(mailbox, "sent").len()), (count, count));
    }
    is_whole(&root, &[("alpha", &alpha), ("beta", &beta)], &[]);
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

#[test]
fn a_full_disk_delivers_to_all_or_to_nobody() {
    let Some(world) = World::on_small_disk(2048) else {
        eprintln!("skipped: this machine allows no file system of our own");
        return;
    };
    let (root, log, told) = (world.home().join("mail"), world.path().join("log"), world.path().join("told"));
    let program = std::env::current_exe().unwrap();
    let mut command = world.command(&program);
    let mut worker = Worker::command(&mut command, &format!("full|{}|{}|0", root.display(), log.display()));
    worker.ready();
    world.disk().fill();
    worker.go();
    assert!(worker.end());
    world.disk().free();
    let mut command = world.command(&program);
    assert!(Worker::command(&mut command, &format!("tell|{}|{}|0", root.display(), told.display())).end());
    let log = read_log(&log);
    let refused: Vec<_> = log.iter().filter(|line| line[1] != "ok").collect();
    assert!(!refused.is_empty() && refused.iter().all(|line| line[1] == "disk_full"), "{log:?}");
    let told = fs::read_to_string(told).unwrap();
    let got: BTreeSet<&str> = told.lines().filter(|line| line.starts_with("k-")).collect();
    let sent = log.iter().filter(|line| line[0].starts_with("k-") && line[1] == "ok");
    assert_eq!(got, sent.map(|line| line[0].as_str()).collect());
    assert!(told.lines().any(|line| line == "last"));
}

#[test]
fn the_commands_say_what_there_is_and_what_they_do() {
    let world = World::new();
    let root = world.work().join("shared");
    let root_text = root.display().to_string();
    let run = |words: &[&str]| world.agents(&[&["mailbox"], words, &["--mailbox-root", &root_text]].concat());
    run(&["status"]).fails(3, "no mailbox root", "agents mailbox init");
    let json = |words: &[&str]| run(&[words, &["--json"]].concat()).json();
    assert_eq!(json(&["init"])["created"], true);
    assert_eq!(json(&["init"])["created"], false);
    assert_eq!(fs::read_to_string(root.join("protocol-version.txt")).unwrap(), "3\n");
    let beta = ["register", "--address", "beta@agents.localhost", "--principal-id"];
    let made = json(&[&beta[..], &["AGENTS-beta"]].concat());
    assert_eq!((&made["was_there"], &made["binding"]["transport"]), (&json!(false), &json!(null)));
    assert_eq!(json(&[&beta[..], &["AGENTS-beta"]].concat())["was_there"], true);
    run(&[&beta[..], &["AGENTS-x"]].concat()).fails(8, "belongs to AGENTS-beta", "--mode stash");
    run(&[&beta[..], &["AGENTS-x", "--mode", "force"]].concat()).fails(8, "would remove", "--yes");
    let stashed = json(&[&beta[..], &["AGENTS-x", "--mode", "stash"]].concat());
    assert_eq!(stashed["replaced_registration_id"], made["registration_id"]);
    run(&["register", "--address", "HOUMAO-x@y", "--principal-id", "p"]).fails(2, "reserved", "");
    run(&["unregister", "--address", "beta@agents.localhost", "--mode", "purge"]).fails(8, "would remove", "--yes");
    run(&["unregister", "--address", "nobody@agents.localhost"]).fails(8, "has no mailbox", "");
    assert!(run(&["accounts"]).ok().contains("beta@agents.localhost"));
    json(&["unregister", "--address", "beta@agents.localhost"]);
    let status = json(&["status"]);
    assert_eq!(
        (&status["active"], &status["inactive"], &status["stashed"], &status["problems"]),
        (&json!(1), &json!(1), &json!(1), &json!([]))
    );
    let accounts = json(&["accounts", "--address", "beta@agents.localhost"]);
    assert_eq!(accounts["accounts"].as_array().unwrap().len(), 2);
    run(&["accounts", "--address", "nobody@x"]).fails(3, "never registered", "accounts");
    for name in ["left", "agents-left"] {
        fs::write(root.join("staging").join(name), "x").unwrap();
    }
    let old = std::time::SystemTime::now() - Duration::from_secs(100);
    File::options().write(true).open(root.join("staging/left")).unwrap().set_modified(old).unwrap();
    assert_eq!(json(&["repair"])["staging"], json!(["left"]));
    assert!(run(&["repair"]).ok().contains("0 in the index"));
    run(&["init", "--mailbox-root", "/proc/nowhere"]).fails(2, "", "");
    let other = world.work().display().to_string();
    world.agents(&["mailbox", "init", "--mailbox-root", &other]).fails(2, "not empty", "");
}

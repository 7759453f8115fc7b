//! Mailboxes in a folder: the commands around them, and what is true after anything that can happen to them.
//!
//! | what | test |
//! | --- | --- |
//! | killed at any moment of a send, reply, move, mark, repair | `deaths_at_any_moment_lose_nothing_and_double_nothing` |
//! | killed in every step of a reply and of a move | `a_death_in_every_step_is_survived` |
//! | two programs that write to each other while a third reads | `two_writers_and_a_reader_lose_nothing` |
//! | a full disk | `a_full_disk_delivers_to_all_or_to_nobody` |

#[path = "../../session-fixtures/mail/mailbox-worker/letters.rs"]
mod letters;
#[path = "../../session-fixtures/mail/mailbox-worker/whole.rs"]
mod whole;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use agents::{
    api::MailReply,
    mail::filesystem::{self, Staging},
    model::BoxName,
};
use letters::{content, draft, folder, mailbox, newest};
use rustix::process::Signal;
use serde_json::json;

use whole::{is_whole, read_log};

use crate::support::{Seeded, Tracer, World, signal};

/// A folder in memory, where there is one: a killed process loses nothing there either, and many messages take less time.
fn fast_place() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

struct Worker {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Worker {
    fn program() -> PathBuf {
        let program = World::program().with_file_name("examples").join("mailbox-worker");
        assert!(program.exists(), "`cargo test` builds it; with `--test it` build it first: `cargo build --examples`");
        program
    }

    fn command(command: &mut Command, words: &[&str]) -> Self {
        command.args(words).env("RUST_BACKTRACE", "1");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn start(words: &[&str]) -> Self {
        Self::command(&mut Command::new(Self::program()), words)
    }

    /// What it says next; `None` when it has ended.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        (self.output.read_line(&mut line).unwrap() > 0).then(|| line.trim_end().to_owned())
    }

    /// Waits until it says so.
    fn ready(&mut self) {
        assert_eq!(self.line().as_deref(), Some("ready"), "it ended before it was ready");
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
        let mut worker = Worker::start(&["any", text(&root), text(&log), &chance.next().to_string()]);
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
            let mut worker = Worker::start(&["one", text(&root), what, &key]);
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
        .map(|(from, to)| Worker::start(&["stream", text(&root), from, to, &count.to_string()]));
    writers.iter_mut().for_each(Worker::ready);
    let (mut seen, mut looks) = (0, 0);
    // Each time that alpha says how far it is.
    while let Some(line) = writers[0].line() {
        let sent: usize = line.strip_prefix("sent ").unwrap().parse().unwrap();
        let now = folder(&beta, "inbox");
        let different: BTreeSet<&str> = now.iter().map(|message| message.subject.as_str()).collect();
        assert_eq!(different.len(), now.len(), "one twice");
        assert!(now.len() >= seen.max(sent), "{} after {seen}, and {sent} were sent", now.len());
        // In the order in which they were sent, and none left out.
        let oldest_first = now.iter().rev().enumerate();
        oldest_first.for_each(|(number, message)| assert_eq!(message.subject, format!("alpha {number}")));
        (seen, looks) = (now.len(), looks + 1);
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

#[test]
fn a_full_disk_delivers_to_all_or_to_nobody() {
    let Some(world) = World::on_small_disk(2048) else {
        eprintln!("skipped: this machine allows no file system of our own");
        return;
    };
    let (root, log, told) = (world.home().join("mail"), world.path().join("log"), world.path().join("told"));
    let mut command = world.command(Worker::program());
    let mut worker = Worker::command(&mut command, &["full", text(&root), text(&log)]);
    worker.ready();
    world.disk().fill();
    worker.go();
    assert!(worker.end());
    world.disk().free();
    let mut command = world.command(Worker::program());
    assert!(Worker::command(&mut command, &["tell", text(&root), text(&told)]).end());
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

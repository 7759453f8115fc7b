//! What prompts cost on their way, measured on the real program, a private tmux server and a scripted agent.
//!
//! `cargo bench --bench queue` prints a table and writes `target/bench/queue.json`. It needs the agent:
//! `cargo build --release --example scripted-agent`. `AGENTS_BENCH_RUNS` (5) is how often the rate of acceptance is
//! measured, `AGENTS_BENCH_SAMPLES` (40) how many prompts go to an idle pane one by one, `AGENTS_BENCH_DELIVERIES`
//! (10,000) how many go through the queue, `AGENTS_BENCH_IDLE_SECONDS` (15) how long the idle gateway is watched.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a program that measures and prints"
)]

mod support;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, Write},
    path::PathBuf,
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use inotify::{Inotify, WatchMask};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use support::{
    Table, World, children,
    http::{Client, hammer, request},
    idle_cpu, memory, number,
};

/// As many rows as one session takes in these runs; a queue holds 10,000.
const ROWS: usize = 9_600;

/// A pane that printed nothing for so long is idle by tmux's clock, which counts whole seconds.
const IDLE: Duration = Duration::from_millis(3_200);

/// Prompts that wait at one time while many are delivered.
const PORTION: usize = 500;

fn main() {
    if support::is_test() {
        return;
    }
    let runs = number("AGENTS_BENCH_RUNS", 5);
    let samples = number("AGENTS_BENCH_SAMPLES", 40);
    let deliveries = usize::try_from(number("AGENTS_BENCH_DELIVERIES", 10_000)).unwrap();
    let idle = number("AGENTS_BENCH_IDLE_SECONDS", 15);
    let mut table = Table::default();
    Table::head();
    for clients in [1, 8, 64] {
        accepts(&mut table, clients, runs);
    }
    typing(&mut table, samples);
    many(&mut table, deliveries, idle);
    let settings = json!({ "runs": runs, "samples": samples, "deliveries": deliveries, "idle_seconds": idle });
    table.finish("queue", &settings);
}

/// A session with the scripted agent, its gateway, and the agent's log.
struct Session {
    world: World,
    port: u16,
    log: Log,
}

impl Session {
    fn new() -> Self {
        let agent = World::scripted_agent().display().to_string();
        let world = World::new(&["--tool", "scripted", "--", &agent, "log={folder}/agent.log", "tui"]);
        let log = Log::open(world.folder().join("agent.log"));
        let mut session = Self { port: world.attach(), world, log };
        session.log.wait_for("\"note\":\"ready\"", 1);
        session
    }

    fn prompt(text: &str) -> Value {
        json!({ "kind": "submit_prompt", "payload": { "prompt": text } })
    }
}

/// The agent's log: what it got, line by line.
struct Log {
    path: PathBuf,
    changes: Inotify,
    file: File,
    text: String,
}

impl Log {
    fn open(path: PathBuf) -> Self {
        // The agent may not have created it yet, and only appends.
        let file = File::options().create(true).append(true).read(true).open(&path).unwrap();
        let changes = Inotify::init().unwrap();
        changes.watches().add(&path, WatchMask::MODIFY).unwrap();
        Self { path, changes, file, text: String::new() }
    }

    fn read(&mut self) -> &str {
        self.file.read_to_string(&mut self.text).unwrap();
        &self.text
    }

    /// Waits, without a pause of its own, until a text stands in so many places.
    fn wait_for(&mut self, text: &str, times: usize) -> Instant {
        let limit = Instant::now() + Duration::from_secs(20);
        while self.read().matches(text).count() < times {
            assert!(Instant::now() < limit, "the agent never logged {times} x {text}");
            let mut changed = [PollFd::new(&self.changes, PollFlags::IN)];
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            if poll(&mut changed, Some(&second)).unwrap() > 0 {
                self.changes.read_events(&mut [0; 4096]).unwrap();
            }
        }
        Instant::now()
    }

    /// How often each text was submitted.
    fn prompts(&mut self) -> BTreeMap<String, usize> {
        let mut all = BTreeMap::new();
        for line in std::fs::read_to_string(&self.path).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if let (Some(_), Some(text)) = (line["n"].as_u64(), line["text"].as_str()) {
                *all.entry(text.to_owned()).or_default() += 1;
            }
        }
        all
    }
}

/// How many prompts a second are on disk and answered, beside what the disk can do by itself.
fn accepts(table: &mut Table, clients: usize, runs: u64) {
    let (mut disk, mut rates, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let each = if clients == 1 { 2_000 } else { ROWS / clients };
    for _ in 0..runs {
        let session = Session::new();
        // Somebody reads in copy mode: nothing is typed, everything waits.
        session.world.tmux(&["copy-mode", "-t", ":0"]);
        disk.push(syncs(&session.world));
        let port = session.port;
        let prompt =
            |client, number| Session::prompt(&format!("prompt {number} of client {client}: {}", "x".repeat(200)));
        let hammered = hammer(port, clients, each, |client, number| {
            request(port, "POST", "/v1/requests", Some(&prompt(client, number)))
        });
        assert_eq!(hammered.refused, 0);
        rates.push(hammered.rate());
        times.extend(hammered.times);
    }
    table.rates(&format!("baseline: append 1 KB + fdatasync, before {clients}"), "syncs/s", "", disk);
    let (rate, each) = match clients {
        1 => ("", "0.6 ms"),
        64 => ("20,000/s", ""),
        _ => ("", ""),
    };
    table.rates(&format!("durable accepts, {clients} clients"), "accepts/s", rate, rates);
    table.times(&format!("durable accepts, {clients} clients, each"), each, times);
}

/// What the same disk does at the same time.
fn syncs(world: &World) -> f64 {
    let mut file = File::create(world.folder().join("syncs")).unwrap();
    let (block, count) = ([b'x'; 1024], 1_000);
    let begun = Instant::now();
    for _ in 0..count {
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

/// How soon a text is in the pane of an agent that waits for it.
fn typing(table: &mut Table, samples: u64) {
    let (mut direct, mut queued, mut accepted, mut whole) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut one, mut other) = (Session::new(), Session::new());
    let paste = "\"note\":\"paste\"";
    for number in 1..=samples {
        let times = usize::try_from(number).unwrap();
        sleep(IDLE / 2);
        let mut client = Client::new(one.port);
        client.get("/v1/status");
        let sent = Instant::now();
        // The answer comes after Enter and its proof; the text is there before.
        let text = format!("direct prompt {number}");
        let call = std::thread::spawn(move || {
            let answer = client.post("/v1/control/prompt", &json!({ "schema_version": 2, "prompt": text }));
            (answer, Instant::now())
        });
        direct.push(one.log.wait_for(paste, times) - sent);
        let (answer, answered) = call.join().unwrap();
        answer.ok();
        whole.push(answered - sent);

        sleep(IDLE / 2);
        let mut client = Client::new(other.port);
        client.get("/v1/status");
        let sent = Instant::now();
        client.post("/v1/requests", &Session::prompt(&format!("queued prompt {number}"))).ok();
        let answered = Instant::now();
        queued.push(other.log.wait_for(paste, times).saturating_duration_since(answered));
        accepted.push(answered - sent);
    }
    table.times("idle pane: accept", "0.6 ms", accepted);
    table.times("idle pane: accept answered -> text in the pane", "3 ms", queued);
    table.times("idle pane: control prompt -> text in the pane", "", direct);
    table.times("idle pane: control prompt -> proof that it was taken", "", whole);
}

/// What a request's history says of it, and whether that is so.
#[derive(Debug, Default)]
struct Promises {
    submitted: usize,
    /// Said to be submitted, and the agent does not have it.
    falsely_submitted: usize,
    /// Accepted, and neither with the agent nor said to have failed.
    lost: usize,
    doubled: usize,
    /// Typed, and honest about not knowing more.
    indeterminate: usize,
    refused: usize,
    /// Submitted to the agent by nobody.
    foreign: usize,
}

/// Many prompts through one queue, then the gateway left alone.
fn many(table: &mut Table, deliveries: usize, idle: u64) {
    let mut session = Session::new();
    let pid = session.world.gateway_pid();
    memory(pid).rows(table, "gateway before any prompt");
    let (mut told, mut took) = (BTreeMap::new(), Duration::ZERO);
    let mut client = Client::new(session.port);
    for from in (0..deliveries).step_by(PORTION) {
        let texts: Vec<String> =
            (from..deliveries.min(from + PORTION)).map(|number| format!("delivery {number} of many.")).collect();
        let begun = Instant::now();
        let mut sent = Vec::new();
        for text in texts {
            let accepted = client.post("/v1/requests", &Session::prompt(&text)).ok();
            sent.push((accepted["request_id"].as_str().unwrap().to_owned(), text));
        }
        loop {
            let status = client.get("/v1/status").ok();
            if status["queue_depth"] == 0 && status["active_execution"] == "idle" {
                break;
            }
            sleep(Duration::from_millis(100));
        }
        took += begun.elapsed();
        // Old receipts go, so each portion is asked for at once.
        for (id, text) in sent {
            let shown = client.get(&format!("/v1/requests/{id}")).ok();
            let receipts = shown["receipts"].as_array().unwrap().iter();
            let names: Vec<String> =
                receipts.map(|receipt| receipt["receipt"].as_str().unwrap_or_default().to_owned()).collect();
            told.insert(text, names);
        }
    }
    table.value("deliveries", deliveries as f64, "prompts", "");
    table.value("deliveries, rate", deliveries as f64 / took.as_secs_f64(), "prompts/s", "");
    promises(table, &told, &session.log.prompts());
    memory(pid).rows(table, "gateway after the deliveries");
    for child in children(pid) {
        table.value("its tmux control client, RSS", memory(child).resident, "MiB", "");
    }
    // What follows the last prompt is over by now.
    sleep(Duration::from_secs(3));
    table.value("gateway CPU while idle, per hour", idle_cpu(pid, idle), "CPU-s", "5 CPU-s");
    match system_calls(pid, idle) {
        Some(calls) => table.value(&format!("its system calls in {idle} idle seconds"), calls, "", ""),
        None => println!("no strace here: the system calls of the idle gateway were not counted"),
    }
    memory(pid).rows(table, "gateway idle after all that");
}

fn promises(table: &mut Table, told: &BTreeMap<String, Vec<String>>, got: &BTreeMap<String, usize>) {
    let mut found = Promises::default();
    for (text, receipts) in told {
        let (says, times) = (|name: &str| receipts.iter().any(|one| one == name), got.get(text).copied().unwrap_or(0));
        let (submitted, honest) = (says("submitted"), says("indeterminate") || says("refused"));
        found.submitted += usize::from(submitted);
        found.falsely_submitted += usize::from(submitted && times == 0);
        found.lost += usize::from(!submitted && !honest && times == 0);
        found.doubled += usize::from(times > 1);
        found.indeterminate += usize::from(says("indeterminate"));
        found.refused += usize::from(says("refused"));
    }
    found.foreign = got.keys().filter(|text| !told.contains_key(*text)).count();
    for (what, count, budget) in [
        ("  with the receipt `submitted`", found.submitted, ""),
        ("  falsely `submitted`", found.falsely_submitted, "0"),
        ("  lost", found.lost, "0"),
        ("  doubled", found.doubled, "0"),
        ("  merged or foreign", found.foreign, "0"),
        ("  `indeterminate`", found.indeterminate, ""),
        ("  `refused`", found.refused, ""),
    ] {
        table.value(what, count as f64, "", budget);
    }
}

/// System calls of a process and its threads; `None` without strace.
fn system_calls(pid: u64, seconds: u64) -> Option<f64> {
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("calls");
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&notes).args(["-p", &pid.to_string()]);
    let mut strace = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    sleep(Duration::from_secs(seconds));
    let ended = rustix::process::Pid::from_raw(i32::try_from(strace.id()).unwrap())
        .map(|own| rustix::process::kill_process(own, rustix::process::Signal::INT));
    ended?.ok()?;
    strace.wait().ok()?;
    let mut text = String::new();
    let mut file = File::open(notes).ok()?;
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    // The calls in which the threads slept were begun before; they are shown as they are left.
    Some(text.lines().filter(|line| line.contains('(') && !line.contains("<detached")).count() as f64)
}

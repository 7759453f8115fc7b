//! What it costs to know what the agent does, measured on the real program and a private tmux server.
//!
//! `cargo bench --bench tracker` prints a table and writes `target/bench/tracker.json`. Nothing here asserts a time.
//! `AGENTS_BENCH_IDLE_SECONDS` (default 60), `AGENTS_BENCH_FLOOD_SECONDS` (default 30; an hour shows that memory stays
//! flat), `AGENTS_BENCH_FLOOD_BYTES` (a second, default 1,000,000) and `AGENTS_BENCH_ROUNDS` (default 100) change it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a program that measures and prints"
)]

mod support;

use std::{
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{Table, World, cpu_time, http, memory, number};

fn main() {
    if support::is_test() {
        return;
    }
    let idle = number("AGENTS_BENCH_IDLE_SECONDS", 60);
    let flood = number("AGENTS_BENCH_FLOOD_SECONDS", 30);
    let rate = number("AGENTS_BENCH_FLOOD_BYTES", 1_000_000);
    let rounds = number("AGENTS_BENCH_ROUNDS", 100);
    let mut table = Table::default();
    Table::head();
    at_rest(&mut table, idle);
    latency(&mut table, rounds);
    flooded(&mut table, rate, flood);
    table.finish(
        "tracker",
        &json!({ "idle_seconds": idle, "flood_seconds": flood, "flood_bytes": rate, "rounds": rounds }),
    );
}

/// A composer that nobody types into, and one with a line that changes all the time: CPU time, and processes started.
fn at_rest(table: &mut Table, seconds: u64) {
    let agent = World::scripted_agent();
    for (what, budget, settings, seconds) in [
        ("idle beside a composer", "0.1 %", &[][..], seconds),
        ("beside a line that changes 10 times a second", "", &["tick=100"][..], seconds.min(20)),
    ] {
        let starts = Starts::new();
        let words = [&["--tool", "scripted", "--", agent.to_str().unwrap()], settings, &["tui"]].concat();
        let world = World::with_path(starts.path(), &words);
        world.attach();
        let pid = world.gateway_pid();
        std::thread::sleep(Duration::from_secs(2));
        let (before, begun, spent) = (starts.count(), Instant::now(), cpu_time(pid));
        std::thread::sleep(Duration::from_secs(seconds));
        let share = cpu_time(pid).saturating_sub(spent).as_secs_f64() / begun.elapsed().as_secs_f64();
        table.value(what, share * 100.0, "% of a core", budget);
        table.value("  tmux processes started meanwhile", (starts.count() - before) as f64, "", "0");
        table.value("  RSS", memory(pid).resident, "MiB", "");
    }
}

/// Counts tmux processes with a stand-in that notes each start and then is tmux.
struct Starts {
    folder: tempfile::TempDir,
}

impl Starts {
    fn new() -> Self {
        let starts = Self { folder: tempfile::Builder::new().prefix("agb-").tempdir_in("/tmp").unwrap() };
        let all = std::env::var_os("PATH").unwrap();
        let real = std::env::split_paths(&all).map(|folder| folder.join("tmux")).find(|file| file.is_file()).unwrap();
        let (script, notes) = (starts.folder.path().join("tmux"), starts.notes());
        let text = format!("#!/bin/sh\necho x >> {}\nexec {} \"$@\"\n", notes.display(), real.display());
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
        starts
    }

    fn notes(&self) -> PathBuf {
        self.folder.path().join("notes")
    }

    fn path(&self) -> std::ffi::OsString {
        let all = std::env::var_os("PATH").unwrap();
        let folders = std::iter::once(self.folder.path().to_owned()).chain(std::env::split_paths(&all));
        std::env::join_paths(folders).unwrap()
    }

    fn count(&self) -> usize {
        std::fs::read_to_string(self.notes()).unwrap_or_default().lines().count()
    }
}

/// From a change in the pane to the state that says so: a prompt is typed, and the draft stands in the state; it is
/// taken back, and the composer is empty again.
fn latency(table: &mut Table, rounds: u64) {
    let agent = World::scripted_agent();
    let words = ["--tool", "scripted", "--", agent.to_str().unwrap(), "tui"];
    let world = World::new(&words);
    let port = world.attach();
    let mut asking = http::Client::new(port);
    if asking.get("/v1/control/tui/state").status == 404 {
        return;
    }
    let mut samples = Vec::new();
    let editing = |asking: &mut http::Client, wanted: &str| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            let state = asking.get("/v1/control/tui/state").ok();
            if state["surface"]["editing_input"] == wanted {
                return;
            }
        }
        panic!("editing_input never became {wanted}");
    };
    editing(&mut asking, "no");
    for _ in 0..rounds {
        for (key, wanted) in [("x", "yes"), ("BSpace", "no")] {
            // The first change after a rest: while a pane goes on changing it is looked at every 75 ms on purpose.
            std::thread::sleep(Duration::from_millis(200));
            world.tmux(&["send-keys", "-t", "%0", key]);
            let begun = Instant::now();
            editing(&mut asking, wanted);
            samples.push(begun.elapsed());
        }
    }
    table.times("from a key typed in the pane to the state", "30 ms, p99 100 ms", samples);
}

/// A pane that prints without an end: CPU time, memory, and how long `/health` takes.
fn flooded(table: &mut Table, rate: u64, seconds: u64) {
    let agent = World::scripted_agent();
    let world = World::new(&["--tool", "scripted", "--", agent.to_str().unwrap(), &format!("flood={rate}")]);
    let port = world.attach();
    let pid = world.gateway_pid();
    std::thread::sleep(Duration::from_secs(2));
    let (before, begun, spent) = (memory(pid), Instant::now(), cpu_time(pid));
    let mut asking = http::Client::new(port);
    let mut answers = Vec::new();
    let end = begun + Duration::from_secs(seconds);
    while Instant::now() < end {
        let asked = Instant::now();
        asking.get("/health").ok();
        answers.push(asked.elapsed());
        // Ten a second: the questions are not what is measured.
        std::thread::sleep(Duration::from_millis(100));
    }
    let share = cpu_time(pid).saturating_sub(spent).as_secs_f64() / begun.elapsed().as_secs_f64();
    let what = format!("while the pane prints {:.1} MB/s", rate as f64 / 1e6);
    table.value(&what, share * 100.0, "% of a core", "5 %");
    table.times("  /health meanwhile", "", answers);
    table.value("  RSS before", before.resident, "MiB", "");
    table.value("  RSS after", memory(pid).resident, "MiB", "flat");
}

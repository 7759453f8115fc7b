//! What the main job costs, measured on the real program and a private tmux server.
//!
//! `cargo bench --bench gateway` prints a table and writes `target/bench/gateway.json`. Each figure stands beside
//! a baseline of the same run, because machines and their neighbours differ. Nothing here asserts a time.
//! `AGENTS_BENCH_ROUNDS` (default 100) and `AGENTS_BENCH_IDLE_SECONDS` (default 60) make it shorter or longer.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a program that measures and prints"
)]

mod support;

use std::{os::unix::fs::PermissionsExt, process::Command};

use serde_json::json;
use support::{Table, World, children, http, idle_cpu, memory, number, timed};

fn main() {
    if support::is_test() {
        return;
    }
    let rounds = number("AGENTS_BENCH_ROUNDS", 100);
    let idle = number("AGENTS_BENCH_IDLE_SECONDS", 60);
    let world = World::new(&["--", "sh"]);
    let mut table = Table::default();
    baselines(&world, &mut table, rounds);
    commands(&world, &mut table, rounds);
    forks(&mut table);
    requests(&world, &mut table);
    footprint(&world, &mut table, idle);
    table.finish("gateway", &json!({ "rounds": rounds, "idle_seconds": idle }));
}

/// What no program can beat here: starting a process, and asking tmux one question.
fn baselines(world: &World, table: &mut Table, rounds: u64) {
    Table::head();
    let run = |command: &mut Command| {
        timed(|| {
            command.output().unwrap();
        })
    };
    let start = (0..rounds).map(|_| run(&mut world.command("true"))).collect();
    table.times("baseline: start `true`", "", start);
    let ask = |world: &World| {
        let mut command = world.command("tmux");
        command.arg("-S").arg(world.socket()).args(["display-message", "-p", "ok"]);
        command
    };
    let asked = (0..rounds).map(|_| run(&mut ask(world))).collect();
    table.times("baseline: one tmux question", "", asked);
    let help = (0..rounds).map(|_| run(world.command(World::program()).arg("--help"))).collect();
    table.times("agents --help", "5 ms", help);
    let list = (0..rounds).map(|_| run(world.command(World::program()).arg("list"))).collect();
    table.times("agents list", "5 ms", list);
}

fn commands(world: &World, table: &mut Table, rounds: u64) {
    let [mut attach, mut reuse, mut live, mut detach, mut offline] = [const { Vec::new() }; 5];
    for _ in 0..rounds {
        let time = |words: &[&str]| {
            timed(|| {
                world.on_bench(words);
            })
        };
        attach.push(time(&["gateway", "attach"]));
        reuse.push(time(&["gateway", "attach"]));
        live.push(time(&["gateway", "status"]));
        detach.push(time(&["gateway", "detach"]));
        offline.push(time(&["gateway", "status"]));
    }
    table.times("attach, command to healthy", "25 ms, p99 60 ms", attach);
    table.times("attach to a healthy gateway", "5 ms", reuse);
    table.times("status, live", "5 ms", live);
    table.times("status, offline", "4 ms", offline);
    table.times("detach", "", detach);
}

/// Counts tmux processes, the gateway's own included, with a stand-in that notes each start and then is tmux.
fn forks(table: &mut Table) {
    let path = std::env::var_os("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|folder| folder.join("tmux")).find(|file| file.is_file()).unwrap();
    let folder = tempfile::Builder::new().prefix("agb-").tempdir_in("/tmp").unwrap();
    let (script, notes) = (folder.path().join("tmux"), folder.path().join("notes"));
    std::fs::write(&script, format!("#!/bin/sh\necho x >> {}\nexec {} \"$@\"\n", notes.display(), real.display()))
        .unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let folders = std::iter::once(folder.path().to_owned()).chain(std::env::split_paths(&path));
    // The private server starts with this PATH, so the gateway in its window has it too.
    let world = World::with_path(std::env::join_paths(folders).unwrap(), &["--", "sh"]);
    let count = |words: &[&str]| {
        std::fs::write(&notes, "").unwrap();
        world.on_bench(words);
        std::fs::read_to_string(&notes).unwrap().lines().count() as f64
    };
    table.value("tmux processes: attach, all in all", count(&["gateway", "attach"]), "", "");
    table.value("tmux processes: attach to a healthy gateway", count(&["gateway", "attach"]), "", "");
    table.value("tmux processes: status, live", count(&["gateway", "status"]), "", "2 at most");
    table.value("tmux processes: detach, all in all", count(&["gateway", "detach"]), "", "");
    table.value("tmux processes: status, offline", count(&["gateway", "status"]), "", "2 at most");
}

/// Requests on kept connections.
fn requests(world: &World, table: &mut Table) {
    let port = world.attach();
    for path in ["/health", "/v1/status"] {
        for connections in [1, 16] {
            let hammered =
                http::hammer(port, connections, 20_000 / connections, |_, _| http::request(port, "GET", path, None));
            table.value(&format!("GET {path}, {connections} connections"), hammered.rate(), "requests/s", "");
            table.times(&format!("GET {path}, {connections} connections, each"), "", hammered.times);
        }
    }
    let fresh = (0..500).map(|_| timed(|| drop(http::Client::new(port).get("/health")))).collect();
    table.times("GET /health, new connection each", "", fresh);
}

fn footprint(world: &World, table: &mut Table, idle: u64) {
    let pid = world.gateway_pid();
    table.value("sidecar CPU while idle, per hour", idle_cpu(pid, idle), "CPU-s", "5 CPU-s");
    memory(pid).rows(table, "sidecar memory, after the load above");
    for child in children(pid) {
        table.value("its tmux control client, RSS", memory(child).resident, "MiB", "");
    }
    let size = std::fs::metadata(World::program()).unwrap().len();
    table.value("program on disk", size as f64 / 1_048_576.0, "MiB", "");
}

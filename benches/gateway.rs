//! What the main job costs, measured on the real program and a private tmux server.
//!
//! `cargo bench --bench gateway` prints a table and writes `target/bench/gateway.json`. Each figure stands beside
//! a baseline of the same run, because machines and their neighbours differ. Nothing here asserts a time.
//! `AGENTS_BENCH_ROUNDS` (default 100) and `AGENTS_BENCH_IDLE_SECONDS` (default 60) make it shorter or longer.

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

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

fn main() {
    // `cargo test --benches` and `--list` run bench programs too; there is nothing to test here.
    if std::env::args().any(|word| word == "--test" || word == "--list") {
        return;
    }
    let rounds = number("AGENTS_BENCH_ROUNDS", 100);
    let idle = number("AGENTS_BENCH_IDLE_SECONDS", 60);
    let world = World::new();
    let mut table = Table::default();
    baselines(&world, &mut table, rounds);
    commands(&world, &mut table, rounds);
    forks(&mut table);
    http(&world, &mut table);
    footprint(&world, &mut table, idle);
    table.finish(rounds, idle);
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A private folder, home and tmux server.
struct World {
    folder: tempfile::TempDir,
    path: std::ffi::OsString,
}

impl World {
    fn new() -> Self {
        Self::with_path(std::env::var_os("PATH").unwrap())
    }

    fn with_path(path: std::ffi::OsString) -> Self {
        let folder = tempfile::Builder::new().prefix("agb-").tempdir_in("/tmp").unwrap();
        let world = Self { folder, path };
        world.agents(&["launch", "bench", "--", "sh"]);
        world
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", &self.path).env("HOME", self.folder.path()).env("LANG", "C.UTF-8");
        command.env("AGENTS_HOME", self.folder.path().join("home")).env("AGENTS_TMUX_SOCKET", self.socket());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn program() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_agents"))
    }

    fn agents(&self, words: &[&str]) -> Value {
        let done = self.command(Self::program()).arg("--json").args(words).output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stdout));
        serde_json::from_slice(&done.stdout).unwrap()
    }

    fn on_bench(&self, words: &[&str]) -> Value {
        let words: Vec<&str> = words.iter().copied().chain(["--agent-name", "bench"]).collect();
        self.agents(&words)
    }

    fn gateway_pid(&self) -> u64 {
        self.on_bench(&["show"])["gateway"]["pid"].as_u64().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.command(Self::program()).args(["stop", "--agent-name", "bench"]).output().ok();
        self.command("tmux").arg("-S").arg(self.socket()).arg("kill-server").output().ok();
    }
}

/// Rows as they are measured.
#[derive(Default)]
struct Table {
    rows: Vec<Value>,
}

impl Table {
    fn times(&mut self, what: &str, budget: &str, mut samples: Vec<Duration>) {
        samples.sort_unstable();
        let at = |share: f64| {
            let index = ((samples.len() - 1) as f64 * share).round();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index within the samples")]
            let index = index as usize;
            samples[index].as_secs_f64() * 1000.0
        };
        let (min, median, p99) = (at(0.0), at(0.5), at(0.99));
        println!("{what:<44} {min:>9.2} {median:>9.2} {p99:>9.2} ms   {budget}");
        self.rows.push(json!({
            "what": what, "unit": "ms", "min": min, "median": median, "p99": p99, "samples": samples.len(), "budget": budget,
        }));
    }

    fn value(&mut self, what: &str, value: f64, unit: &str, budget: &str) {
        println!("{what:<44} {:>9} {value:>9.2} {:>9} {unit}   {budget}", "", "");
        self.rows.push(json!({ "what": what, "unit": unit, "value": value, "budget": budget }));
    }

    fn finish(self, rounds: u64, idle: u64) {
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown").to_owned();
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let tmux =
            Command::new("tmux").arg("-V").output().map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned());
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let machine = json!({
            "cpu": cpu, "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            "kernel": kernel.trim(), "tmux": tmux.unwrap_or_default(), "load_at_the_end": load.trim(),
        });
        println!("\nmachine: {machine}");
        let document = json!({ "machine": machine, "rounds": rounds, "idle_seconds": idle, "rows": self.rows });
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("gateway.json");
        std::fs::write(&path, serde_json::to_vec_pretty(&document).unwrap()).unwrap();
        println!("written: {}", path.display());
    }
}

fn timed(mut work: impl FnMut()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// What no program can beat here: starting a process, and asking tmux one question.
fn baselines(world: &World, table: &mut Table, rounds: u64) {
    println!("{:<44} {:>9} {:>9} {:>9}      budget (median)", "", "min", "median", "p99");
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
    let world = World::with_path(std::env::join_paths(folders).unwrap());
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

/// Requests on kept connections, each connection with its own thread.
fn http(world: &World, table: &mut Table) {
    let status = world.on_bench(&["gateway", "attach"]);
    let port = u16::try_from(status["gateway_port"].as_u64().unwrap()).unwrap();
    for path in ["/health", "/v1/status"] {
        for connections in [1, 16] {
            let begun = Instant::now();
            let threads: Vec<_> = (0..connections)
                .map(|_| std::thread::spawn(move || hammer(port, path, 20_000 / connections)))
                .collect();
            let samples: Vec<Duration> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
            let rate = samples.len() as f64 / begun.elapsed().as_secs_f64();
            table.value(&format!("GET {path}, {connections} connections"), rate, "requests/s", "");
            table.times(&format!("GET {path}, {connections} connections, each"), "", samples);
        }
    }
    let fresh = (0..500).map(|_| timed(|| drop(hammer(port, "/health", 1)))).collect();
    table.times("GET /health, new connection each", "", fresh);
}

fn hammer(port: u16, path: &str, count: usize) -> Vec<Duration> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    let mut buffer = vec![0; 8192];
    (0..count)
        .map(|_| {
            timed(|| {
                stream.write_all(request.as_bytes()).unwrap();
                let mut seen = 0;
                // Both answers are JSON objects without inner braces, so the last byte tells the end.
                while seen == 0 || buffer[seen - 1] != b'}' {
                    seen += stream.read(&mut buffer[seen..]).unwrap();
                }
            })
        })
        .collect()
}

fn footprint(world: &World, table: &mut Table, idle: u64) {
    let pid = world.gateway_pid();
    let before = cpu_ticks(pid);
    std::thread::sleep(Duration::from_secs(idle));
    let used = cpu_ticks(pid) - before;
    // The kernel counts 100 ticks a second.
    table.value("sidecar CPU while idle, per hour", used as f64 / 100.0 * 3600.0 / idle as f64, "CPU-s", "5 CPU-s");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| -> f64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default()
    };
    table.value("sidecar memory (RSS), after the load above", field("VmRSS") / 1024.0, "MiB", "7 MB");
    table.value("  of that private (anonymous)", field("RssAnon") / 1024.0, "MiB", "");
    let control = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in control.split_whitespace() {
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        let rss: f64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok())
            .unwrap_or_default();
        table.value("its tmux control client (RSS)", rss / 1024.0, "MiB", "");
    }
    let size = std::fs::metadata(World::program()).unwrap().len();
    table.value("program on disk", size as f64 / 1_048_576.0, "MiB", "");
}

/// User and system time of a process, in ticks of 10 ms.
fn cpu_ticks(pid: u64) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

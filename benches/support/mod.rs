//! What the benches share: a private world, a table of figures, the costs of a process.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "programs that measure and print; each takes what it needs"
)]

pub mod http;

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// `cargo test --benches` and `--list` run bench programs too; there is nothing to test here.
pub fn is_test() -> bool {
    std::env::args().any(|word| word == "--test" || word == "--list")
}

/// A setting from the environment.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

pub fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// A private folder, home and tmux server, with one session `bench`.
pub struct World {
    folder: tempfile::TempDir,
    path: OsString,
}

impl World {
    /// With a session that runs these words. `{folder}` in them is this world's folder.
    pub fn new(words: &[&str]) -> Self {
        Self::with_path(std::env::var_os("PATH").unwrap(), words)
    }

    pub fn with_path(path: OsString, words: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("agb-").tempdir_in("/tmp").unwrap();
        let world = Self { folder, path };
        let place = world.folder().display().to_string();
        let words: Vec<String> = words.iter().map(|word| word.replace("{folder}", &place)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        world.agents(&[&["launch", "bench"], &words[..]].concat());
        world
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.folder().join("s")
    }

    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", &self.path).env("HOME", self.folder()).env("LANG", "C.UTF-8");
        command.env("AGENTS_HOME", self.folder().join("home")).env("AGENTS_TMUX_SOCKET", self.socket());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn program() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_agents"))
    }

    /// The terminal program that plays an agent and logs what it got.
    pub fn scripted_agent() -> PathBuf {
        let program = Self::program().with_file_name("examples").join("scripted-agent");
        assert!(program.exists(), "build it first: `cargo build --release --example scripted-agent`");
        program
    }

    pub fn agents(&self, words: &[&str]) -> Value {
        let done = self.command(Self::program()).arg("--json").args(words).output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stdout));
        serde_json::from_slice(&done.stdout).unwrap()
    }

    pub fn on_bench(&self, words: &[&str]) -> Value {
        let words: Vec<&str> = words.iter().copied().chain(["--agent-name", "bench"]).collect();
        self.agents(&words)
    }

    /// Runs tmux itself, on the private server.
    pub fn tmux(&self, words: &[&str]) {
        let done = self.command("tmux").arg("-S").arg(self.socket()).args(words).output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Attaches a gateway and returns its port.
    pub fn attach(&self) -> u16 {
        let status = self.on_bench(&["gateway", "attach"]);
        u16::try_from(status["gateway_port"].as_u64().unwrap()).unwrap()
    }

    pub fn gateway_pid(&self) -> u64 {
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
pub struct Table {
    rows: Vec<Value>,
}

impl Table {
    pub fn head() {
        println!("{:<52} {:>9} {:>9} {:>9}      budget (median)", "", "min", "median", "p99");
    }

    pub fn times(&mut self, what: &str, budget: &str, mut samples: Vec<Duration>) {
        samples.sort_unstable();
        let at = |share: f64| {
            let index = ((samples.len() - 1) as f64 * share).round();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index within the samples")]
            let index = index as usize;
            samples[index].as_secs_f64() * 1000.0
        };
        let (min, median, p99) = (at(0.0), at(0.5), at(0.99));
        println!("{what:<52} {min:>9.2} {median:>9.2} {p99:>9.2} ms   {budget}");
        self.rows.push(json!({
            "what": what, "unit": "ms", "min": min, "median": median, "p99": p99, "samples": samples.len(), "budget": budget,
        }));
    }

    pub fn value(&mut self, what: &str, value: f64, unit: &str, budget: &str) {
        println!("{what:<52} {:>9} {value:>9.2} {:>9} {unit}   {budget}", "", "");
        self.rows.push(json!({ "what": what, "unit": unit, "value": value, "budget": budget }));
    }

    /// Several runs of the same rate: the lowest, the median and the highest.
    pub fn rates(&mut self, what: &str, unit: &str, budget: &str, mut runs: Vec<f64>) {
        runs.sort_unstable_by(f64::total_cmp);
        let (low, median, high) = (runs[0], runs[runs.len() / 2], runs[runs.len() - 1]);
        println!("{what:<52} {low:>9.0} {median:>9.0} {high:>9.0} {unit}   {budget} (lowest, median, highest run)");
        self.rows.push(json!({
            "what": what, "unit": unit, "lowest": low, "median": median, "highest": high, "runs": runs.len(), "budget": budget,
        }));
    }

    /// Describes the machine and writes `target/bench/NAME.json`; `settings` tells how long the run was.
    pub fn finish(self, name: &str, settings: &Value) {
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
        let mut document = json!({ "machine": machine, "rows": self.rows });
        let all = document.as_object_mut().unwrap();
        all.extend(settings.as_object().cloned().unwrap_or_default());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.json"));
        std::fs::write(&path, serde_json::to_vec_pretty(&document).unwrap()).unwrap();
        println!("written: {}", path.display());
    }
}

/// Resident memory of a process, in MiB.
pub fn memory(pid: u64) -> Memory {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| -> f64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default()
    };
    Memory { resident: field("VmRSS:") / 1024.0, private: field("RssAnon:") / 1024.0 }
}

#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub resident: f64,
    /// Of that anonymous: the heap and the stacks.
    pub private: f64,
}

impl Memory {
    pub fn rows(self, table: &mut Table, what: &str) {
        table.value(&format!("{what}, RSS"), self.resident, "MiB", "6.68 MiB (7.0 MB)");
        table.value("  of that private (anonymous)", self.private, "MiB", "");
    }
}

/// The processes that a process started and did not wait for yet.
pub fn children(pid: u64) -> Vec<u64> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// CPU time of a process while nothing is asked of it, as seconds in an hour.
pub fn idle_cpu(pid: u64, seconds: u64) -> f64 {
    let before = cpu_ticks(pid);
    std::thread::sleep(Duration::from_secs(seconds));
    // The kernel counts 100 ticks a second.
    (cpu_ticks(pid) - before) as f64 / 100.0 * 3600.0 / seconds as f64
}

/// User and system time of a process, in ticks of 10 ms.
fn cpu_ticks(pid: u64) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

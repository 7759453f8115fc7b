//! Private folder, private tmux server, private home; everything is ended by pid when the test ends.

use std::{
    ffi::OsStr,
    io::Read,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{Run, disk::Disk};

/// The world of one test.
pub struct World {
    folder: TempDir,
    disk: Option<Disk>,
}

/// One launched or joined agent.
#[derive(Debug, Clone)]
pub struct Agent {
    pub name: String,
    pub id: String,
    pub session: String,
    pub pane: String,
    pub root: PathBuf,
}

impl World {
    pub fn new() -> Self {
        // Short, because a socket's path holds about 100 bytes; and never tmux's own folder.
        let folder = tempfile::Builder::new().prefix("ag-").tempdir_in("/tmp").unwrap();
        for name in ["home", "work", "tmux"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::set_permissions(folder.path().join("home"), std::fs::Permissions::from_mode(0o700)).unwrap();
        let world = Self { folder, disk: None };
        let default = PathBuf::from(format!("/tmp/tmux-{}/default", rustix::process::geteuid().as_raw()));
        assert_ne!(world.socket(), default, "tests never touch the user's own tmux server");
        world
    }

    /// A world whose home is on a disk of so many KiB; `None` where the machine does not allow one.
    pub fn on_small_disk(kib: u32) -> Option<Self> {
        let mut world = Self::new();
        world.disk = Some(Disk::over(&world.home(), kib)?);
        Some(world)
    }

    /// The small disk of this world.
    pub fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("a world on a small disk")
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.path().join("s")
    }

    pub fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    pub fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// The real program.
    pub fn program() -> PathBuf {
        PathBuf::from(env!("CARGO_BIN_EXE_agents"))
    }

    /// The scripted terminal agent, which cargo builds beside the program.
    pub fn scripted_agent() -> PathBuf {
        let program = Self::program().with_file_name("examples").join("scripted-agent");
        assert!(program.exists(), "`cargo test` builds it; with `--test it` build it first: `cargo build --examples`");
        program
    }

    /// A command in this world: nothing of the caller's tmux, home or gateway variables reaches it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match &self.disk {
            Some(disk) => disk.enter(program.as_ref(), &self.work()),
            None => Command::new(program),
        };
        command.env_clear();
        for name in ["PATH", "USER", "LANG"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("HOME", self.path())
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            // A shell that ends after the folder is gone must not make it again for its history.
            .env("HISTFILE", "/dev/null")
            .env("LANG", "C.UTF-8")
            // A command that forgets the socket ends up here, not at the user's server.
            .env("TMUX_TMPDIR", self.path().join("tmux"))
            .env("AGENTS_HOME", self.home())
            .env("AGENTS_TMUX_SOCKET", self.socket())
            .current_dir(self.work())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program in this world.
    pub fn agents(&self, words: &[&str]) -> Run {
        let mut command = self.command(Self::program());
        command.args(words);
        self.finish(command)
    }

    /// Runs the program as if typed in this pane.
    pub fn agents_in(&self, pane: &str, words: &[&str]) -> Run {
        let mut command = self.command(Self::program());
        let server = self.tmux(&["display-message", "-p", "#{pid}"]);
        command.env_remove("AGENTS_TMUX_SOCKET");
        command.env("TMUX", format!("{},{server},0", self.socket().display())).env("TMUX_PANE", pane).args(words);
        self.finish(command)
    }

    /// Runs a command to its end, within a limit that only a hung one reaches.
    #[expect(clippy::unused_self, reason = "commands belong to a world")]
    pub fn finish(&self, mut command: Command) -> Run {
        let words = format!("{command:?}");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut outputs = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            outputs.1.read_to_string(&mut text).ok();
            text
        });
        let writer = std::thread::spawn(move || {
            let mut text = String::new();
            outputs.0.read_to_string(&mut text).ok();
            text
        });
        let deadline = Instant::now() + Duration::from_secs(40);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{words} did not end");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Run { words, status, stdout: writer.join().unwrap(), stderr: reader.join().unwrap() }
    }

    /// Runs tmux on the private server; it must succeed. Returns what it printed, without the last line break.
    #[track_caller]
    pub fn tmux(&self, words: &[&str]) -> String {
        let run = self.try_tmux(words);
        assert_eq!(run.status, 0, "{run:#?}");
        run.stdout.trim_end_matches('\n').to_owned()
    }

    pub fn try_tmux(&self, words: &[&str]) -> Run {
        let _turn = self.turn(words);
        let mut command = self.command("tmux");
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(self.socket()).args(words);
        self.finish(command)
    }

    /// What a person types at tmux 3.3a in the moment in which a control client introduces itself can end the server
    /// (decision 10). A test is about something else, so it takes its turn as the program does, for a second at most.
    fn turn(&self, words: &[&str]) -> Option<std::fs::File> {
        let reads = ["capture-pane", "display-message", "list-", "show-"];
        if words.first().is_none_or(|word| reads.iter().any(|read| word.starts_with(read))) {
            return None;
        }
        let gate = format!("{}.lock", self.socket().to_string_lossy().replace('/', "%"));
        let gate = std::fs::File::open(self.home().join("tmux").join(gate)).ok()?;
        let end = Instant::now() + Duration::from_secs(1);
        while gate.try_lock().is_err() {
            if Instant::now() > end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Some(gate)
    }

    /// Starts the private server with options, before anything else runs on it.
    pub fn server_with(&self, options: &[&str]) {
        let mut words = vec!["new-session", "-d", "-s", "keeper", "sleep 1000"];
        for option in options {
            words.extend([";", "set", "-g"]);
            words.extend(option.split(' '));
        }
        self.tmux(&words);
    }

    /// Launches a quiet shell as an agent.
    #[track_caller]
    pub fn launch(&self, name: &str) -> Agent {
        self.launch_with(&[name, "--", "bash", "--norc"])
    }

    /// Launches with these words; the first is the name.
    #[track_caller]
    pub fn launch_with(&self, words: &[&str]) -> Agent {
        let all: Vec<&str> = ["launch", "--json"].iter().chain(words).copied().collect();
        let agent = Agent::read(&self.agents(&all).json());
        let root = self.disk.as_ref().map_or_else(|| agent.root.clone(), |disk| disk.seen(&agent.root));
        Agent { root, ..agent }
    }

    #[track_caller]
    pub fn attach(&self, agent: &Agent) -> Value {
        self.agents(&["gateway", "attach", "--json", "--agent-id", &agent.id]).json()
    }

    #[track_caller]
    pub fn status(&self, agent: &Agent) -> Value {
        self.agents(&["gateway", "status", "--json", "--agent-id", &agent.id]).json()
    }

    /// Windows of a session as `index name` lines.
    pub fn windows(&self, session: &str) -> Vec<String> {
        let target = format!("={session}:");
        let listed = self.tmux(&["list-windows", "-t", &target, "-F", "#{window_index} #{window_name}"]);
        listed.lines().map(str::to_owned).collect()
    }

    /// Variables of a session's environment whose names contain `GATEWAY_`.
    pub fn live_variables(&self, session: &str) -> Vec<String> {
        let shown = self.tmux(&["show-environment", "-t", &format!("={session}:")]);
        shown.lines().filter(|line| line.contains("GATEWAY_") && !line.starts_with('-')).map(str::to_owned).collect()
    }

    /// Pids of gateway processes that serve a session of this world.
    pub fn gateway_pids(&self) -> Vec<u32> {
        let home = self.home().to_string_lossy().into_owned();
        let serves = |process: &procfs::process::Process| {
            let words = process.cmdline().unwrap_or_default();
            let alive = process.stat().is_ok_and(|stat| stat.state != 'Z');
            alive
                && !words.iter().any(|word| word.starts_with("headless-"))
                && words.iter().any(|word| word == "--session-root")
                && words.iter().any(|word| word.starts_with(&home))
        };
        let all = procfs::process::all_processes().unwrap().flatten();
        let serving: Vec<i32> = all.filter(serves).map(|process| process.pid).collect();
        // A program that a gateway is about to start still carries the gateway's own words.
        let is_child = |pid: &i32| {
            let stat = procfs::process::Process::new(*pid).and_then(|process| process.stat());
            stat.is_ok_and(|stat| serving.contains(&stat.ppid))
        };
        serving.iter().filter(|pid| !is_child(pid)).map(|pid| u32::try_from(*pid).unwrap()).collect()
    }
}

impl Agent {
    pub fn read(created: &Value) -> Self {
        let text = |key: &str| created[key].as_str().unwrap_or_else(|| panic!("{key} in {created}")).to_owned();
        Self {
            name: text("agent_name"),
            id: text("agent_id"),
            session: text("tmux_session_name"),
            pane: text("primary_pane_id"),
            root: text("session_root").into(),
        }
    }

    /// Reads one of the session's JSON files.
    #[track_caller]
    pub fn file(&self, name: &str) -> Value {
        let path = self.root.join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}: {text}", path.display()))
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.root.join("gateway/logs/gateway.log")).unwrap_or_default()
    }
}

/// Sends a signal to a process of the test's own making.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).ok();
}

impl Drop for World {
    fn drop(&mut self) {
        for pid in self.gateway_pids() {
            signal(pid, rustix::process::Signal::KILL);
        }
        if self.socket().exists() {
            let server = self.try_tmux(&["display-message", "-p", "#{pid}"]).stdout.trim().to_owned();
            self.try_tmux(&["kill-server"]);
            if let Ok(pid) = server.parse() {
                signal(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

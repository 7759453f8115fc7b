//! What tests look at and do around a gateway: ports, processes, many commands at once, and the consistency check.

use std::{
    fs::File,
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
    sync::{
        Barrier,
        atomic::{AtomicU16, Ordering},
    },
};

use procfs::process::Process;
use rustix::process::Signal;
use serde_json::Value;

use super::{Agent, Run, World, eventually, signal};

/// A port that nobody uses, below the range from which the system gives ports away on its own.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 9_000).unwrap();
    for _ in 0..9_000 {
        let port = 20_000 + (first + NEXT.fetch_add(7, Ordering::Relaxed)) % 9_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// The port in a status document.
#[track_caller]
pub fn port_of(status: &Value) -> u16 {
    u16::try_from(status["gateway_port"].as_u64().unwrap_or_else(|| panic!("no port in {status}"))).unwrap()
}

/// Does anybody listen on this port?
pub fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Does somebody hold the gateway's lock of this session?
pub fn lock_is_held(agent: &Agent) -> bool {
    let Ok(file) = File::open(agent.root.join("gateway/gateway.lock")) else { return false };
    file.try_lock_shared().is_err()
}

/// Kernel facts about a process; `None` once it has ended, or is only waited for.
pub fn stat(pid: u32) -> Option<procfs::process::Stat> {
    let stat = Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    (stat.state != 'Z').then_some(stat)
}

/// Processes whose parent is this one.
pub fn children(pid: u32) -> Vec<u32> {
    let parent = i32::try_from(pid).unwrap();
    let all = procfs::process::all_processes().unwrap().flatten();
    let ours = all.filter(|process| process.stat().is_ok_and(|stat| stat.ppid == parent && stat.state != 'Z'));
    ours.map(|process| u32::try_from(process.pid).unwrap()).collect()
}

/// Resident memory of a process in bytes.
pub fn resident(pid: u32) -> u64 {
    let status = Process::new(i32::try_from(pid).unwrap()).unwrap().status().unwrap();
    status.vmrss.unwrap_or_default() * 1024
}

/// Waits until a process is gone.
pub fn gone(pid: u32) {
    eventually(&format!("process {pid} to end"), || match stat(pid) {
        None => Ok(()),
        Some(stat) => Err(format!("state {} of {}", stat.state, stat.comm)),
    });
}

/// Waits until a process is stopped or runs again.
fn state_becomes(pid: u32, stopped: bool) {
    eventually("the process to stop or go on", || match stat(pid) {
        Some(stat) if (stat.state == 'T') == stopped => Ok(()),
        other => Err(format!("{:?}", other.map(|stat| stat.state))),
    });
}

impl World {
    /// The one gateway process of this world.
    #[track_caller]
    pub fn gateway_pid(&self) -> u32 {
        let pids = self.gateway_pids();
        assert_eq!(pids.len(), 1, "{pids:?}");
        pids[0]
    }

    /// Runs one program many times at the same moment, each with these words.
    pub fn at_once(&self, runs: &[&[&str]]) -> Vec<Run> {
        let start = Barrier::new(runs.len());
        std::thread::scope(|scope| {
            let one = |words| {
                start.wait();
                self.agents(words)
            };
            let threads: Vec<_> = runs.iter().map(|words| scope.spawn(move || one(words))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    /// Waits until no gateway process is left.
    pub fn no_gateway(&self) {
        eventually("every gateway to end", || match self.gateway_pids() {
            pids if pids.is_empty() => Ok(()),
            pids => Err(format!("{pids:?}")),
        });
    }

    /// Waits until the session has these windows, as `index name` lines.
    pub fn windows_become(&self, session: &str, expected: &[&str]) {
        eventually(&format!("the windows {expected:?}"), || match self.windows(session) {
            windows if windows == expected => Ok(()),
            windows => Err(format!("{windows:?}")),
        });
    }

    /// Pid of the private tmux server.
    pub fn server_pid(&self) -> u32 {
        self.tmux(&["display-message", "-p", "#{pid}"]).parse().unwrap()
    }

    /// A control client of a session, as a person's terminal would be one. Ended by its guard.
    pub fn client(&self, session: &str) -> Client {
        let mut command = self.command("tmux");
        command.arg("-S").arg(self.socket()).args(["-C", "attach-session", "-t", &format!("={session}")]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pid = child.id().to_string();
        eventually("the client to be attached", || {
            let clients = self.tmux(&["list-clients", "-F", "#{client_pid}"]);
            if clients.lines().any(|line| line == pid) { Ok(()) } else { Err(clients) }
        });
        Client(child)
    }

    /// Waits until everything that tells of gateways tells the same: processes, lock, windows, variables and files.
    pub fn is_consistent(&self, agent: &Agent) {
        eventually("a consistent state", || self.contradiction(agent).map_or(Ok(()), Err));
    }

    /// The first thing that does not fit, if any.
    fn contradiction(&self, agent: &Agent) -> Option<String> {
        let pids = self.gateway_pids();
        let marked = self.try_tmux(&["list-panes", "-a", "-F", "#{@agents_gateway} #{pane_dead} #{pane_pid}"]).stdout;
        let windows: Vec<&str> = marked.lines().filter(|line| !line.starts_with(' ')).collect();
        let state = agent.file("gateway/state.json");
        let variables = self.try_tmux(&["show-environment", "-t", &format!("={}:", agent.session)]).stdout;
        let variables = variables.lines().filter(|line| line.contains("_GATEWAY_PORT=")).count();
        let record = std::fs::read_to_string(agent.root.join("gateway/run/current-instance.json"))
            .ok()
            .and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let seen = format!(
            "pids {pids:?}, windows {windows:?}, state {}, {variables} port variables, record {record:?}",
            state["gateway_health"]
        );
        let fits = match (pids.as_slice(), record) {
            ([], None) => {
                windows.is_empty()
                    && state["gateway_health"] == "not_attached"
                    && variables == 0
                    && !lock_is_held(agent)
            }
            ([pid], Some(record)) => {
                let window = record["execution_mode"] == "tmux_auxiliary_window";
                record["pid"].as_u64() == Some(u64::from(*pid))
                    && windows.len() == usize::from(window)
                    && windows.iter().all(|line| line.ends_with(&format!(" 0 {pid}")))
                    && state["gateway_health"] == "healthy"
                    && state["gateway_port"] == record["port"]
                    && variables == 2
                    && lock_is_held(agent)
            }
            _ => false,
        };
        (!fits).then_some(seen)
    }
}

/// A client that is attached while this lives.
#[derive(Debug)]
pub struct Client(pub Child);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A process of the test's own making that is stopped while this lives.
#[derive(Debug)]
pub struct Stopped(u32);

impl Stopped {
    /// Stops the process and waits until it has stopped.
    pub fn new(pid: u32) -> Self {
        signal(pid, Signal::STOP);
        state_becomes(pid, true);
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}

//! `agents demo`: the main job, end to end, with real programs on a private tmux server.
//!
//! Every step is a command that a person could type; it runs as its own process and its output is shown as it
//! came. A step that does not do what it should ends the demo with a failure, so the demo is also a check.

#![expect(clippy::disallowed_types, reason = "the demo types what an operator would type")]

use std::{
    io::{self, BufRead, BufReader, IsTerminal},
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    cli::{render, report::Reporter},
    model::{Failure, shell_quote},
    os::{files, process, program},
};

pub(super) fn run(keep: bool, report: &Reporter) -> Result<ExitCode, Failure> {
    let mut stage = Stage::open(report)?;
    let played = play(&mut stage);
    let kept = keep && played.is_ok();
    if kept {
        stage.say("The session stays. To explore it, and to take it down afterwards:");
        stage.show(&stage.export());
        stage.show("agents gateway attach --agent-name demo");
        stage.show(&format!("tmux -S {} attach", quoted(&stage.socket())));
        stage.show(&format!("agents stop --agent-name demo && rm -r {}", quoted(&stage.folder)));
    } else {
        stage.take_down(played.is_ok());
    }
    played?;
    if report.wants_json() {
        render::json(
            &json!({ "ok": true, "kept": kept, "folder": stage.folder.to_string_lossy(), "steps": stage.steps }),
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn play(stage: &mut Stage) -> Result<(), Failure> {
    stage.say("A private home and a private tmux server: nothing of yours is touched.");
    stage.show(&stage.export());

    stage.say("An agent is any program in a terminal. This one is a shell; claude or codex would do.");
    stage.agents(&["launch", "demo", "--session-name", "demo", "--", "sh"])?;

    stage.say("Its gateway starts in a window of its own. Window 0 stays the agent's.");
    stage.agents(&["gateway", "attach", "--agent-name", "demo"])?;
    stage.tmux(&["list-windows", "-a", "-F", "window #{window_index}: #{window_name}"])?;

    stage.say("Status is live: the gateway answers.");
    stage.agents(&["gateway", "status", "--agent-name", "demo"])?;
    let live = stage.status()?;
    expect(&live, "gateway_health", "healthy")?;

    stage
        .say("A prompt goes through its durable queue. Each receipt is shown as it comes; the last line is the reply.");
    let prompt = ["gateway", "prompt", "--agent-name", "demo", "--prompt", "echo $((6 * 7))", "--wait=ended", "-v"];
    if stage.agents_live(&prompt)?.trim() != "42" {
        return Err(Failure::internal("the agent's reply to the prompt is not 42"));
    }

    stage.say("What the gateway has been asked, and what became of it.");
    stage.agents(&["gateway", "requests", "list", "--agent-name", "demo"])?;

    stage.say("Now the worst: the gateway is killed without a chance to clean up.");
    let pid = stage.gateway_pid()?;
    stage.kill(pid)?;

    stage.say("Status tells the truth: offline. It also removes what the dead gateway left in tmux and on disk.");
    stage.agents(&["gateway", "status", "--agent-name", "demo"])?;
    let offline = stage.status()?;
    expect(&offline, "gateway_health", "not_attached")?;
    let variables = stage.tmux(&["show-environment", "-t", "=demo"])?;
    if variables.lines().any(|line| line.starts_with("AGENTS_GATEWAY_HOST=")) {
        return Err(Failure::internal("the live variables are still in the tmux session"));
    }

    stage.say("The agent never noticed. Attach again: same port, another process.");
    stage.agents(&["gateway", "attach", "--agent-name", "demo"])?;
    let again = stage.status()?;
    if again["gateway_port"] != live["gateway_port"] || stage.gateway_pid()? == pid {
        return Err(Failure::internal("the new gateway is not a new process on the same port"));
    }

    stage.say("Detach ends the gateway in order. The session stays gateway-capable.");
    stage.agents(&["gateway", "detach", "--agent-name", "demo"])?;

    stage.say("What happened, one line an event; `tail -F` follows the same file.");
    stage.agents(&["gateway", "logs", "--agent-name", "demo", "-n", "8"])?;
    Ok(())
}

fn expect(status: &Value, key: &str, wanted: &str) -> Result<(), Failure> {
    if status[key] == wanted {
        return Ok(());
    }
    Err(Failure::internal(format!("`{key}` should be `{wanted}` and is {}", status[key])))
}

/// A path as one word of a command.
fn quoted(path: &Path) -> String {
    shell_quote(&path.to_string_lossy())
}

/// Words as a person would type them.
fn typed(words: &[&str]) -> String {
    let one = |word: &&str| match word.split_once('=').filter(|(flag, _)| flag.starts_with("--")) {
        Some((flag, value)) => format!("{flag}={}", shell_quote(value)),
        None => shell_quote(word),
    };
    words.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// The private world of the demo.
struct Stage {
    folder: PathBuf,
    program: PathBuf,
    report: Reporter,
    bold: bool,
    steps: Vec<Value>,
}

impl Stage {
    fn open(report: &Reporter) -> Result<Self, Failure> {
        let unique = Uuid::new_v4().simple().to_string();
        let folder = std::env::temp_dir().join(format!("agents-demo-{}", &unique[..8]));
        files::create_private_dir(&folder)?;
        let program = program::myself()
            .map_err(|error| Failure::internal(format!("could not find the program's own file: {error}")))?;
        Ok(Self { folder, program, report: report.clone(), bold: io::stdout().is_terminal(), steps: Vec::new() })
    }

    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("tmux.sock")
    }

    /// The command that leads a shell into this world.
    fn export(&self) -> String {
        format!("export AGENTS_HOME={} AGENTS_TMUX_SOCKET={}", quoted(&self.home()), quoted(&self.socket()))
    }

    /// A sentence about what comes.
    fn say(&self, text: &str) {
        if !self.report.wants_json() {
            render::line("");
            render::line(&format!("# {text}"));
        }
    }

    /// A command as a person would type it.
    fn show(&self, words: &str) {
        if self.report.wants_json() {
            return;
        }
        if self.bold {
            render::raw(format!("\u{1b}[1m$ {words}\u{1b}[0m\n").as_bytes());
        } else {
            render::line(&format!("$ {words}"));
        }
    }

    fn agents(&mut self, words: &[&str]) -> Result<String, Failure> {
        let shown = format!("agents {}", typed(words));
        let program = self.program.clone();
        self.step(&shown, Command::new(program).args(words))
    }

    /// As [`Stage::agents`]; what it says on the way is shown as it comes.
    fn agents_live(&mut self, words: &[&str]) -> Result<String, Failure> {
        let shown = format!("agents {}", typed(words));
        self.show(&shown);
        let mut command = Command::new(&self.program);
        let failed = |error: io::Error| Failure::internal(format!("`{shown}` could not be run: {error}"));
        let piped = self.in_world(command.args(words)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().map_err(failed)?;
        let mut stderr = String::new();
        for line in child.stderr.take().into_iter().flat_map(|pipe| BufReader::new(pipe).lines()) {
            let line = line.map_err(failed)?;
            if !self.report.wants_json() {
                render::line(&line);
            }
            stderr.push_str(&line);
            stderr.push('\n');
        }
        // A reply of the demo fits into the pipe, so the program did not wait for this.
        let done = child.wait_with_output().map_err(failed)?;
        let stdout = String::from_utf8_lossy(&done.stdout).into_owned();
        if !self.report.wants_json() {
            stdout.lines().for_each(render::line);
        }
        self.finish(&shown, done.status, stdout, &stderr)
    }

    fn tmux(&mut self, words: &[&str]) -> Result<String, Failure> {
        let socket = self.socket();
        let shown = format!("tmux -S {} {}", quoted(&socket), typed(words));
        self.step(&shown, Command::new("tmux").arg("-S").arg(socket).args(words))
    }

    fn step(&mut self, shown: &str, command: &mut Command) -> Result<String, Failure> {
        self.show(shown);
        let done = self
            .in_world(command)
            .output()
            .map_err(|error| Failure::internal(format!("`{shown}` could not be started: {error}")))?;
        let stdout = String::from_utf8_lossy(&done.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        if !self.report.wants_json() {
            stdout.lines().chain(stderr.lines()).for_each(render::line);
        }
        self.finish(shown, done.status, stdout, &stderr)
    }

    /// Keeps a step; one that failed ends the demo.
    fn finish(&mut self, shown: &str, status: ExitStatus, stdout: String, stderr: &str) -> Result<String, Failure> {
        self.steps.push(json!({ "command": shown, "status": status.code(), "stdout": stdout, "stderr": stderr }));
        if status.success() {
            return Ok(stdout);
        }
        let error = stderr.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or("no message");
        Err(Failure::internal(format!("`{shown}` failed: {error}")))
    }

    /// Nothing of the caller's tmux or gateway variables reaches the demo.
    fn in_world<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with("AGENTS_") || name.starts_with("HOUMAO_") || name.starts_with("TMUX")
        });
        for name in ours {
            command.env_remove(name);
        }
        command.env("AGENTS_HOME", self.home()).env("AGENTS_TMUX_SOCKET", self.socket()).stdin(Stdio::null())
    }

    /// The same program without showing it; its one JSON document.
    fn quietly(&self, words: &[&str]) -> Result<Value, Failure> {
        let done = self
            .in_world(Command::new(&self.program).args(words))
            .output()
            .map_err(|error| Failure::internal(error.to_string()))?;
        serde_json::from_slice(&done.stdout)
            .map_err(|error| Failure::internal(format!("`agents {}`: {error}", words.join(" "))))
    }

    fn status(&self) -> Result<Value, Failure> {
        self.quietly(&["gateway", "status", "--agent-name", "demo", "--json"])
    }

    fn gateway_pid(&self) -> Result<u32, Failure> {
        let shown = self.quietly(&["show", "--agent-name", "demo", "--json"])?;
        let pid = shown["gateway"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        pid.ok_or_else(|| Failure::internal("no live gateway is shown"))
    }

    fn kill(&mut self, pid: u32) -> Result<(), Failure> {
        let identity = process::identify(pid);
        self.step(&format!("kill -9 {pid}"), Command::new("kill").args(["-9", &pid.to_string()]))?;
        match identity {
            Some(identity) if !process::wait_gone(&identity, Duration::from_secs(5)) => {
                Err(Failure::internal(format!("process {pid} outlived SIGKILL")))
            }
            _ => Ok(()),
        }
    }

    /// Ends what the demo started, by name and by socket, and removes its folder.
    fn take_down(&mut self, orderly: bool) {
        if orderly {
            self.say("Down again: the agent, its session, and every file of this demo.");
        }
        // Each is tried whatever became of the others; the folder is private to this run.
        if let Err(failure) = self.agents(&["stop", "--agent-name", "demo"]) {
            self.report.detail(&failure.message);
        }
        let socket = self.socket();
        if self.in_world(Command::new("tmux").arg("-S").arg(&socket).arg("kill-server")).output().is_err() {
            self.report.detail("the demo's tmux server could not be asked to end");
        }
        if let Err(error) = files::remove_tree(&self.folder) {
            self.report.note(&error.to_string());
        }
    }
}

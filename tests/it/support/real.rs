//! Real coding agents in a world of their own, and the stub model that they talk to.
//!
//! Each agent gets a private home, whose files answer what the tool asks a new user; the caller's own are never read.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Agent, World, eventually_within, fnv1a, signal, stat};

/// How long a real tool may take to start or to answer on a busy machine. Only a failing test waits this long.
pub const REAL_PATIENCE: Duration = Duration::from_secs(60);

/// Only the stub model sees it.
const KEY: &str = "sk-ant-api03-stub-model-0123456789abcdefghij";

/// A coding agent that `just real-agents` installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Claude,
    Codex,
    Gemini,
}

/// The stub model of one agent, until it is dropped.
#[derive(Debug)]
pub struct Model {
    child: Child,
    pub port: u16,
    /// See `session-fixtures/models/stub-model/log.rs`.
    pub log: PathBuf,
}

/// One request of a conversation, as it arrived at the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    pub n: u64,
    pub at_ms: u64,
    /// The user's last text, exactly.
    pub text: String,
    /// It brings the result of a tool call and no new text.
    pub after_tool: bool,
    /// The end: when, `whole`, `error` or `left`, and what was said.
    pub end: Option<(u64, String, String)>,
}

/// A real agent in a world's tmux. Dropped before its world, it ends every process that it started.
#[derive(Debug)]
pub struct Real {
    pub tool: Tool,
    pub agent: Agent,
    pub model: Model,
    /// The home folder of the tool.
    pub home: PathBuf,
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
        }
    }

    /// The installed program; `None`, with a word about it, where it is not installed.
    pub fn program(self) -> Option<PathBuf> {
        let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real-agents/node_modules/.bin");
        let program = installed.join(self.name());
        if !program.exists() {
            eprintln!("skipped: {} is not installed; `just real-agents` installs it", self.name());
            return None;
        }
        if self == Self::Gemini && node_version() < 20 {
            eprintln!("skipped: gemini needs node 20 or newer");
            return None;
        }
        Some(program)
    }

    /// What the screen shows when the tool takes a first prompt.
    pub fn ready(self) -> &'static str {
        match self {
            Self::Claude => "? for shortcuts",
            Self::Codex => "Ask Codex to do anything",
            Self::Gemini => "Type your message",
        }
    }

    /// What it shows while a slow reply comes in: Claude shows whole lines only, and counts.
    pub fn streaming(self) -> &'static str {
        match self {
            Self::Claude => "↓",
            Self::Codex | Self::Gemini => "bravo",
        }
    }

    /// What it asks before it runs a command.
    pub fn question(self) -> &'static str {
        match self {
            Self::Claude => "Do you want to proceed?",
            Self::Codex => "Would you like to run the following command?",
            Self::Gemini => "Allow execution of",
        }
    }

    /// Measured: an Enter that comes sooner after a paste is a line break for the tool, and submits nothing.
    pub fn settling(self) -> Duration {
        match self {
            Self::Claude => Duration::ZERO,
            // On a busy machine they read what came meanwhile as one paste.
            Self::Codex => Duration::from_millis(400),
            Self::Gemini => Duration::from_secs(1),
        }
    }

    /// Writes what the tool asks a new user into its home; returns what else its environment must say.
    fn configure(self, home: &Path, work: &Path, port: u16) -> Vec<(&'static str, String)> {
        let url = format!("http://127.0.0.1:{port}");
        match self {
            Self::Claude => {
                write(&home.join(".claude.json"), &claude_state(work).to_string());
                // A hook of the user's own, which has to run beside every other.
                let own = json!([{"hooks": [{"type": "command", "command": "touch \"$HOME/own-hook-ran\""}]}]);
                let settings = json!({"permissions": {"defaultMode": "default"}, "hooks": {"Stop": own}});
                write(&home.join(".claude/settings.json"), &settings.to_string());
                vec![
                    ("ANTHROPIC_BASE_URL", url),
                    ("ANTHROPIC_API_KEY", KEY.to_owned()),
                    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
                    ("DISABLE_AUTOUPDATER", "1".to_owned()),
                ]
            }
            Self::Codex => {
                write(&home.join(".codex/config.toml"), &codex_config(work, &url));
                Vec::new()
            }
            Self::Gemini => {
                write(&home.join(".gemini/settings.json"), &gemini_settings().to_string());
                vec![
                    ("GEMINI_API_KEY", KEY.to_owned()),
                    ("GOOGLE_GEMINI_BASE_URL", url),
                    ("GEMINI_CLI_NO_RELAUNCH", "true".to_owned()),
                ]
            }
        }
    }
}

/// The first number of `node --version`; 0 where there is none.
fn node_version() -> u32 {
    let said = std::process::Command::new("node").arg("--version").output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    said.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
}

fn claude_state(work: &Path) -> Value {
    json!({
        "hasCompletedOnboarding": true,
        "lastOnboardingVersion": "2.1.330",
        "theme": "dark",
        // Keys are remembered by their last 20 letters.
        "customApiKeyResponses": {"approved": [&KEY[KEY.len() - 20..]], "rejected": []},
        // Without these it asks at every start for another default permission mode.
        "hasSeenAutoDefaultNudge": true,
        "hasSeenAutoDefaultNotice": true,
        "autoModeOptInDismissed": true,
        "hasResetAutoModeOptInForDefaultOffer": true,
        "projects": {
            work.to_str().unwrap(): {"hasTrustDialogAccepted": true, "hasCompletedProjectOnboarding": true},
        },
    })
}

/// Without its daemon, which would outlive the pane. A command asks when the model wants it outside the sandbox.
fn codex_config(work: &Path, url: &str) -> String {
    format!(
        r#"model = "stub-model"
model_provider = "stub"
approval_policy = "on-request"
sandbox_mode = "read-only"
check_for_update_on_startup = false

[model_providers.stub]
name = "stub"
base_url = "{url}/v1"
wire_api = "responses"
requires_openai_auth = false

[projects."{}"]
trust_level = "trusted"

[features]
daemon_auto_start = false
"#,
        work.display()
    )
}

/// A named model, because `Auto` asks another model first which one to take.
fn gemini_settings() -> Value {
    json!({
        "model": {"name": "gemini-2.5-pro"},
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": false}},
        "general": {"disableAutoUpdate": true},
    })
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

impl World {
    /// The program of the stub model, which cargo builds beside the program.
    pub fn stub_model() -> PathBuf {
        let program = Self::program().with_file_name("examples").join("stub-model");
        assert!(program.exists(), "`cargo test` builds it; with `--test it` build it first: `cargo build --examples`");
        program
    }

    /// Launches a real agent, and waits until it takes a prompt; `None` where it is not installed.
    #[track_caller]
    pub fn real(&self, name: &str, tool: Tool) -> Option<Real> {
        self.real_behind(name, tool, &[])
    }

    /// The same in a shell, which stays when the tool ends.
    #[track_caller]
    pub fn real_in_a_shell(&self, name: &str, tool: Tool) -> Option<Real> {
        self.real_behind(name, tool, &["sh", "-c", "\"$@\"; exec sh", "sh"])
    }

    /// A headless agent of this tool, with its stub model; `None` where the tool is not installed.
    #[track_caller]
    pub fn real_headless(&self, name: &str, tool: Tool) -> Option<(Agent, Model)> {
        let program = tool.program()?;
        let model = Model::new(self, name);
        let home = self.path().join(format!("{name}-home"));
        let work = std::fs::canonicalize(self.work()).unwrap();
        let mut settings = tool.configure(&home, &work, model.port);
        settings.push(("HOME", home.display().to_string()));
        let settings: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut words = vec![name, "--headless", "--tool", tool.name(), "--", "env"];
        words.extend(settings.iter().map(String::as_str));
        words.push(program.to_str().unwrap());
        if tool == Tool::Codex {
            words.extend(["exec", "--skip-git-repo-check"]);
        }
        Some((self.launch_with(&words), model))
    }

    #[track_caller]
    fn real_behind(&self, name: &str, tool: Tool, shell: &[&str]) -> Option<Real> {
        let program = tool.program()?;
        let model = Model::new(self, name);
        let home = self.path().join(format!("{name}-home"));
        let work = std::fs::canonicalize(self.work()).unwrap();
        let mut settings = tool.configure(&home, &work, model.port);
        settings.push(("HOME", home.display().to_string()));
        let settings: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        // The session's own environment, so that nothing of it is in the tmux server's.
        let mut words = vec![name, "--tool", tool.name(), "--"];
        words.extend(shell);
        words.push("env");
        words.extend(settings.iter().map(String::as_str));
        words.push(program.to_str().unwrap());
        let agent = self.launch_with(&words);
        let real = Real { tool, agent, model, home };
        real.shows(self, tool.ready());
        Some(real)
    }
}

impl Real {
    /// Waits until the screen shows this; returns the screen.
    #[track_caller]
    pub fn shows(&self, world: &World, expected: &str) -> String {
        self.shows_one_of(world, &[expected])
    }

    /// Waits until the screen shows one of these; returns the screen.
    #[track_caller]
    fn shows_one_of(&self, world: &World, expected: &[&str]) -> String {
        let what = format!("{} to show `{}`", self.tool.name(), expected.join("` or `"));
        eventually_within(REAL_PATIENCE, &what, || match world.screen(&self.agent.pane) {
            screen if expected.iter().any(|one| screen.contains(one)) => Ok(screen),
            screen => Err(screen),
        })
    }

    /// Pastes text with tmux alone, as a person's terminal does.
    pub fn paste(&self, world: &World, text: &str) {
        let file = world.path().join("paste");
        std::fs::write(&file, text).unwrap();
        world.tmux(&["load-buffer", "-b", "p", file.to_str().unwrap()]);
        world.tmux(&["paste-buffer", "-p", "-r", "-d", "-b", "p", "-t", &self.agent.pane]);
    }

    pub fn press(&self, world: &World, key: &str) {
        world.tmux(&["send-keys", "-t", &self.agent.pane, key]);
    }

    /// Pastes, waits until this part of it is on the screen, and presses Enter once.
    #[track_caller]
    pub fn submit(&self, world: &World, text: &str, shown: &str) {
        self.submit_shown_as(world, text, &[shown]);
    }

    /// The same for a text that the tool shows in one of several ways.
    #[track_caller]
    pub fn submit_shown_as(&self, world: &World, text: &str, shown: &[&str]) {
        self.paste(world, text);
        self.shows_one_of(world, shown);
        std::thread::sleep(self.tool.settling());
        self.press(world, "Enter");
    }

    /// Takes the marked answer of a dialog. Measured: Claude throws away an Enter within 200 ms after the dialog came,
    /// so one that changed nothing is pressed again.
    #[track_caller]
    pub fn confirm(&self, world: &World, question: &str) {
        self.shows(world, question);
        let mut looks = 0;
        eventually_within(REAL_PATIENCE, &format!("the dialog `{question}` to go"), || {
            let screen = world.screen(&self.agent.pane);
            if !screen.contains(question) {
                return Ok(());
            }
            if looks % 10 == 0 {
                self.press(world, "Enter");
            }
            looks += 1;
            Err(screen)
        });
    }
}

impl Real {
    /// Every process of this agent, also one that has left the pane: all of them have its home.
    pub fn processes(&self) -> Vec<u32> {
        self.with_its_home(|_| true)
    }

    /// The tool's own process.
    pub fn tools(&self) -> Vec<u32> {
        let name = self.tool.name();
        self.with_its_home(|process| process.stat().is_ok_and(|stat| stat.comm == name))
    }

    fn with_its_home(&self, is_it: impl Fn(&procfs::process::Process) -> bool) -> Vec<u32> {
        let home = self.home.as_os_str();
        let ours = |process: &procfs::process::Process| {
            let environment = process.environ().unwrap_or_default();
            environment.get(OsStr::new("HOME")).is_some_and(|found| found == home)
        };
        let all = procfs::process::all_processes().unwrap().flatten();
        let pids = all.filter(ours).filter(is_it).map(|process| u32::try_from(process.pid).unwrap());
        pids.filter(|pid| stat(*pid).is_some()).collect()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // A tool that still runs would write into the world's folder while that is removed.
        for _ in 0..100 {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            left.into_iter().for_each(|pid| signal(pid, Signal::KILL));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Model {
    /// Starts a stub model with a log of this name.
    pub fn new(world: &World, name: &str) -> Self {
        let log = world.path().join(format!("{name}-model.log"));
        let mut command = world.command(World::stub_model());
        command.arg(format!("log={}", log.display())).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        Self { child, port: u16::try_from(told["port"].as_u64().unwrap()).unwrap(), log }
    }

    /// Every whole line of the log so far.
    pub fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The requests of the conversation, in order; not what a tool asks beside it, such as titles.
    pub fn turns(&self) -> Vec<Turn> {
        let lines = self.lines();
        let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        let end = |n: &Value| {
            let line = lines.iter().find(|line| line["n"] == *n && line["outcome"].is_string())?;
            Some((line["finished_at_ms"].as_u64().unwrap(), text(line, "outcome"), text(line, "said")))
        };
        let turn = |line: &Value| {
            let turn = Turn {
                n: line["n"].as_u64().unwrap(),
                at_ms: line["at_ms"].as_u64().unwrap(),
                text: text(line, "text"),
                after_tool: line["after_tool"] == true,
                end: end(&line["n"]),
            };
            assert_eq!(text(line, "hash"), fnv1a(turn.text.as_bytes()), "{line}");
            turn
        };
        lines.iter().filter(|line| line["turn"] == true).map(turn).collect()
    }

    /// Waits until so many requests of the conversation have arrived; returns them.
    #[track_caller]
    pub fn wait_for_arrival(&self, count: usize) -> Vec<Turn> {
        eventually_within(REAL_PATIENCE, &format!("{count} requests at the model"), || {
            let turns = self.turns();
            if turns.len() >= count { Ok(turns) } else { Err(format!("{:#?}", self.lines())) }
        })
    }

    /// Waits until so many requests of the conversation have ended; returns all that arrived.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Turn> {
        eventually_within(REAL_PATIENCE, &format!("{count} answered requests at the model"), || {
            let turns = self.turns();
            let ended = turns.iter().filter(|turn| turn.end.is_some()).count();
            if ended >= count { Ok(turns) } else { Err(format!("{:#?}", self.lines())) }
        })
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

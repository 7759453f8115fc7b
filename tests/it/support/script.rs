//! Agents that play by script, and the log of what they got.

use std::path::PathBuf;

use serde_json::Value;

use super::{Agent, World, eventually};

/// The log of one scripted agent: the truth of what it got.
#[derive(Debug, Clone)]
pub struct Log {
    pub path: PathBuf,
}

/// One prompt that was submitted to the agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    pub n: u64,
    pub at_ms: u64,
    pub bytes: u64,
    /// See `fnv1a`.
    pub hash: String,
    pub text: String,
    /// Submitted while another one was worked on.
    pub mid_turn: bool,
}

impl World {
    /// Words that start a scripted agent with a log of this name.
    pub fn script(&self, name: &str, steps: &[&str]) -> (Vec<String>, Log) {
        let log = Log { path: self.path().join(format!("{name}.log")) };
        let own = [Self::scripted_agent().display().to_string(), format!("log={}", log.path.display())];
        (own.into_iter().chain(steps.iter().map(|step| (*step).to_owned())).collect(), log)
    }

    /// Launches a scripted agent with a composer, and waits until it has its terminal.
    #[track_caller]
    pub fn tui(&self, name: &str, steps: &[&str]) -> (Agent, Log) {
        self.scripted(name, &[steps, &["tui"]].concat())
    }

    /// Launches a scripted agent with exactly these steps.
    #[track_caller]
    pub fn scripted(&self, name: &str, steps: &[&str]) -> (Agent, Log) {
        let (words, log) = self.script(name, steps);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let agent = self.launch_with(&[&[name, "--tool", "scripted", "--"], &words[..]].concat());
        (agent, log)
    }

    /// Launches a shell that runs a scripted agent with a composer: when it ends, the shell is there.
    #[track_caller]
    pub fn tui_in_shell(&self, name: &str, steps: &[&str]) -> (Agent, Log) {
        let (words, log) = self.script(name, &[steps, &["tui"]].concat());
        let quoted: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        let line = format!("{}; exec bash --norc", quoted.join(" "));
        (self.launch_with(&[name, "--tool", "scripted", "--", "bash", "-c", &line]), log)
    }

    /// Opens a pane with a scripted agent, without the program under test. Returns the pane and the log.
    pub fn scripted_pane(&self, name: &str, steps: &[&str]) -> (String, Log) {
        let (words, log) = self.script(name, steps);
        let quoted: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        let start = ["new-session", "-d", "-P", "-F", "#{pane_id}", "-x", "100", "-y", "30", "-s", name];
        (self.tmux(&[&start[..], &[&format!("exec {}", quoted.join(" "))]].concat()), log)
    }

    /// What a pane shows, without empty lines at its end.
    pub fn screen(&self, pane: &str) -> String {
        self.tmux(&["capture-pane", "-p", "-t", pane]).trim_end().to_owned()
    }

    /// Waits until a pane shows this.
    #[track_caller]
    pub fn shows(&self, pane: &str, expected: &str) -> String {
        eventually(&format!("the pane to show `{expected}`"), || match self.screen(pane) {
            screen if screen.contains(expected) => Ok(screen),
            screen => Err(screen),
        })
    }
}

impl Log {
    /// Every whole line so far.
    fn text(&self) -> String {
        let text = std::fs::read(&self.path).unwrap_or_default();
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        String::from_utf8(text[..end].to_vec()).unwrap()
    }

    /// Every line so far.
    pub fn lines(&self) -> Vec<Value> {
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.text().lines().map(read).collect()
    }

    /// The prompts that were submitted, in order.
    pub fn prompts(&self) -> Vec<Prompt> {
        let number = |line: &Value, key: &str| line[key].as_u64().unwrap_or_else(|| panic!("{key} in {line}"));
        let prompt = |line: Value| Prompt {
            n: number(&line, "n"),
            at_ms: number(&line, "at_ms"),
            bytes: number(&line, "bytes"),
            hash: line["hash"].as_str().unwrap().to_owned(),
            text: line["text"].as_str().unwrap().to_owned(),
            mid_turn: line["mid_turn"] == true,
        };
        self.lines().into_iter().filter(|line| line["n"].is_u64()).map(prompt).collect()
    }

    /// Texts of the prompts that were submitted, in order.
    pub fn texts(&self) -> Vec<String> {
        self.prompts().into_iter().map(|prompt| prompt.text).collect()
    }

    /// What no well-behaved sender causes.
    pub fn events(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["event"].is_string()).collect()
    }

    /// Names of these events.
    pub fn event_names(&self) -> Vec<String> {
        self.events().iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect()
    }

    /// How often this was noted: `ready`, `paste`, `turn_ended`, `dialog`, `dialog_left`, `left`.
    pub fn noted(&self, name: &str) -> usize {
        self.lines().iter().filter(|line| line["note"] == name).count()
    }

    /// Waits until so many prompts were submitted; returns all there are.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Prompt> {
        eventually(&format!("{count} prompts in the agent's log"), || match self.prompts() {
            prompts if prompts.len() >= count => Ok(prompts),
            prompts => Err(format!("{}, events {:?}", prompts.len(), self.event_names())),
        })
    }

    /// Waits until this was noted so often.
    #[track_caller]
    pub fn wait_for_note(&self, name: &str, count: usize) {
        eventually(&format!("{count} × `{name}` in the agent's log"), || match self.noted(name) {
            seen if seen >= count => Ok(()),
            seen => Err(format!("{seen}, events {:?}", self.event_names())),
        });
    }

    /// Waits until an event of this name is there.
    #[track_caller]
    pub fn wait_for_event(&self, name: &str) -> Value {
        eventually(&format!("the event `{name}` in the agent's log"), || {
            let mut events = self.events();
            events.retain(|event| event["event"] == name);
            events.pop().ok_or_else(|| format!("{:?}", self.event_names()))
        })
    }

    /// Every byte that the step `raw-log` has written so far.
    pub fn raw_bytes(&self) -> Vec<u8> {
        let text = self.text();
        let digits: Vec<u8> = text.lines().filter(|line| !line.starts_with('{')).flat_map(str::bytes).collect();
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap();
        digits.chunks(2).map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap()).collect()
    }
}

/// The hash in the agent's log: FNV-1a with 64 bits.
pub fn fnv1a(bytes: &[u8]) -> String {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

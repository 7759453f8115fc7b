//! A person at a terminal: a real client of the session, in a pane of a tmux server of its own.

use std::{
    ops::Range,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{World, eventually, seeded::Seeded, signal};

/// Somebody who is attached to a session while this lives.
#[derive(Debug)]
pub struct Person {
    hands: Hands,
    server: u32,
}

/// What types.
#[derive(Debug, Clone)]
struct Hands {
    socket: PathBuf,
    folder: PathBuf,
}

/// How a person types by itself: bursts of keys, with rests between them.
#[derive(Debug, Clone)]
pub struct Habits {
    pub seed: u64,
    /// Time between two keys.
    pub key: Duration,
    /// Keys of one burst.
    pub burst: Range<u64>,
    /// Milliseconds between two bursts.
    pub rest: Range<u64>,
    /// Milliseconds that some lines stand half typed.
    pub pause: Range<u64>,
}

impl Default for Habits {
    fn default() -> Self {
        Self { seed: 1, key: Duration::from_millis(50), burst: 5..30, rest: 300..2_000, pause: 300..2_000 }
    }
}

/// A person that types by itself while this lives.
#[derive(Debug)]
pub struct Typing {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl World {
    /// Somebody attaches to this session from a terminal of 120 columns.
    pub fn person(&self, session: &str) -> Person {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("p{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let hands = Hands { socket: self.path().join(name), folder: self.path().to_owned() };
        let known = self.terminals(session);
        let attach = format!("exec tmux -u -S '{}' attach-session -t '={session}'", self.socket().display());
        let words = ["new-session", "-d", "-x", "120", "-y", "40", "-s", "person", &attach];
        hands.tmux(&words);
        // A prefix key of its own would take keys away from the inner client.
        hands.tmux(&[
            "set",
            "-g",
            "prefix",
            "None",
            ";",
            "set",
            "-g",
            "status",
            "off",
            ";",
            "set",
            "-s",
            "escape-time",
            "0",
        ]);
        let server = hands.tmux(&["display-message", "-p", "#{pid}"]).trim().parse().unwrap();
        let person = Person { hands, server };
        eventually("the person's client", || match self.terminals(session) {
            now if now.len() > known.len() => Ok(()),
            now => Err(format!("{now:?}: {}", person.sees())),
        });
        person
    }

    /// Clients of a session that are terminals, not control clients.
    fn terminals(&self, session: &str) -> Vec<String> {
        let format = "#{client_control_mode} #{client_name}";
        let clients = self.tmux(&["list-clients", "-t", &format!("={session}"), "-F", format]);
        clients.lines().filter_map(|line| line.strip_prefix("0 ")).map(str::to_owned).collect()
    }
}

impl Person {
    /// What stands on the person's terminal.
    pub fn sees(&self) -> String {
        self.hands.tmux(&["capture-pane", "-p", "-t", "person"])
    }

    /// Types this, all at once.
    pub fn types(&self, text: &str) {
        self.hands.types(text);
    }

    /// Presses a key by its tmux name: `Enter`, `BSpace`, `C-b`, `PPage`.
    pub fn press(&self, key: &str) {
        self.hands.press(key);
    }

    /// Begins to type by itself.
    pub fn keeps_typing(&self, habits: Habits) -> Typing {
        let (hands, stop) = (self.hands.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || hands.keep_typing(&habits, &stopped));
        Typing { stop, thread: Some(thread) }
    }
}

impl Hands {
    /// Runs tmux on the person's own server, which no test looks at.
    fn tmux(&self, words: &[&str]) -> String {
        let mut command = std::process::Command::new("tmux");
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(&self.socket).args(words).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &self.folder).env("TMUX_TMPDIR", self.folder.join("tmux"));
        command.env("TERM", "xterm-256color").env("LANG", "C.UTF-8").env("SHELL", "/bin/sh").current_dir(&self.folder);
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn types(&self, text: &str) {
        // tmux takes a `;` at the end of a word for its own.
        let text = text.strip_suffix(';').map_or_else(|| text.to_owned(), |head| format!("{head}\\;"));
        self.tmux(&["send-keys", "-t", "person", "-l", "--", &text]);
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", "-t", "person", key]);
    }

    /// Types lines until it is stopped; returns those that were submitted, in order.
    fn keep_typing(&self, habits: &Habits, stop: &AtomicBool) -> Vec<String> {
        let (mut chance, mut lines) = (Seeded::new(habits.seed), Vec::new());
        let stopped = || stop.load(Ordering::Relaxed);
        while !stopped() {
            let mut line = format!("person {}", lines.len() + 1);
            let burst = chance.within(habits.burst.clone());
            line.extend((0..burst).map(|_| *chance.one(&['a', 'e', 'i', 'n', 's', 't', ' ', 'ö'])));
            line.push('.');
            // Some lines stand half typed for a while, and some are taken back.
            let pause = (chance.within(0..3) == 0).then(|| usize::try_from(chance.within(1..burst + 5)).unwrap());
            let is_taken_back = chance.within(0..5) == 0;
            for (at, key) in line.chars().enumerate() {
                self.types(&key.to_string());
                std::thread::sleep(habits.key);
                if pause == Some(at) {
                    rest(Duration::from_millis(chance.within(habits.pause.clone())), stop);
                }
            }
            if is_taken_back {
                for _ in line.chars() {
                    self.press("BSpace");
                }
            } else {
                self.press("Enter");
                lines.push(line);
            }
            rest(Duration::from_millis(chance.within(habits.rest.clone())), stop);
        }
        lines
    }
}

fn rest(time: Duration, stop: &AtomicBool) {
    let end = Instant::now() + time;
    while Instant::now() < end && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Typing {
    /// Lets the person finish the line, and returns the lines that were submitted.
    pub fn stop(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().expect("the person types to the end")
    }
}

impl Drop for Typing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        signal(self.server, rustix::process::Signal::KILL);
        eventually("the person's terminal to close", || {
            super::stat(self.server).map_or(Ok(()), |stat| Err(format!("{stat:?}")))
        });
    }
}

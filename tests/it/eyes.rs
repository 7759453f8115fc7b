//! What the gateway sees of the agent's terminal: floods, pauses, lost clients, recordings, the screen on demand.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Agent, Http, Stopped, World, children, eventually, eventually_within, gone, signal};

/// An agent with a gateway in the background.
struct Seen {
    world: World,
    agent: Agent,
    http: Http,
}

impl Seen {
    #[track_caller]
    fn new(program: &[&str]) -> Self {
        let world = World::new();
        let agent = world.launch_with(&[&["alpha", "--"], program].concat());
        let http = Http::new(world.attach_quietly(&agent));
        Self { world, agent, http }
    }

    /// A shell that runs this.
    #[track_caller]
    fn shell(script: &str) -> Self {
        Self::new(&["sh", "-c", script])
    }

    #[track_caller]
    fn record(&self, action: &str) -> Value {
        self.http.post("/v1/recordings", &json!({ "action": action })).ok()
    }

    /// Events of the newest recording: kind and data.
    fn events(&self) -> Vec<(String, String)> {
        self.recording().into_iter().skip(1).map(|line| (word(&line[1]), word(&line[2]))).collect()
    }

    /// Whole lines of the newest recording. The last may be on its way, or have been cut off by a death.
    fn recording(&self) -> Vec<Value> {
        let Some(file) = self.files().pop() else { return Vec::new() };
        let text = std::fs::read(file).unwrap();
        let whole = text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        let read = |line: &[u8]| serde_json::from_slice(line).unwrap_or_else(|_| panic!("{line:?}"));
        whole.map(read).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.agent.root.join("gateway/recordings")) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Waits until an event of the recording is like this.
    #[track_caller]
    fn recorded(&self, kind: &str, part: &str) {
        eventually_within(Duration::from_secs(60), &format!("{kind} with {part:?} in the recording"), || {
            let events = self.events();
            if events.iter().any(|(known, data)| known == kind && data.contains(part)) {
                return Ok(());
            }
            Err(format!("{} events; the pane:\n{}", events.len(), self.world.screen(&self.agent.pane)))
        });
    }

    /// Bytes that a process has read so far.
    fn read_by(pid: u32) -> u64 {
        procfs::process::Process::new(i32::try_from(pid).unwrap()).unwrap().io().unwrap().rchar
    }

    fn client(&self, gateway: u32, not: u32) -> u32 {
        eventually("an attached control client", || match children(gateway).as_slice() {
            [client] if *client != not => {
                let listed = self.world.try_tmux(&["list-clients", "-F", "#{client_pid}"]).stdout;
                if listed.lines().any(|line| line == client.to_string()) { Ok(*client) } else { Err(listed) }
            }
            others => Err(format!("{others:?}")),
        })
    }

    /// Bytes that the agent's own process has printed so far.
    fn printed(&self) -> u64 {
        let pid = self.world.tmux(&["display-message", "-p", "-t", &self.agent.pane, "#{pane_pid}"]);
        procfs::process::Process::new(pid.parse().unwrap()).unwrap().io().unwrap().wchar
    }

    /// Waits until the state was made from a screen with this text.
    #[track_caller]
    fn state_shows(&self, text: &str) {
        eventually(&format!("{text} in the state"), || {
            let state = self.http.get("/v1/control/tui/state").ok();
            let excerpt = word(&state["probe_snapshot"]["captured_text_excerpt"]);
            if excerpt.contains(text) { Ok(()) } else { Err(state.to_string()) }
        });
    }

    #[track_caller]
    fn log_says(&self, words: &str) {
        eventually(&format!("`{words}` in the log"), || match self.agent.log() {
            log if log.contains(words) => Ok(()),
            log => Err(log),
        });
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_flood_delays_nobody_and_its_end_is_seen() {
    let seen = Seen::shell(
        "while [ ! -e stop ]; do printf '%2000s\\n' x; done; rm stop; while [ ! -e stop ]; do sleep 0.05; done; \
         echo the-end; exec cat",
    );
    seen.log_says("its output is switched off");
    let before = seen.printed();
    let mut connection = seen.http.keep();
    while seen.printed() < before + (8 << 20) {
        assert_eq!(connection.get("/health").ok()["status"], "ok");
        assert_eq!(seen.http.get("/v1/screen").status, 200);
    }
    seen.record("start");
    std::fs::write(seen.world.work().join("stop"), "").unwrap();
    eventually("the end of the flood", || {
        if seen.world.work().join("stop").exists() { Err("it goes on".to_owned()) } else { Ok(()) }
    });
    std::fs::write(seen.world.work().join("stop"), "").unwrap();
    seen.recorded("o", "the-end");
    seen.state_shows("the-end");
}

#[test]
fn what_the_pane_shows_is_in_the_state_and_copy_mode_hides_nothing() {
    let seen = Seen::shell("stty -echo; exec cat");
    let type_in = |text: &str| seen.world.tmux(&["send-keys", "-t", &seen.agent.pane, text, "Enter"]);
    type_in("one");
    seen.state_shows("one");
    seen.world.tmux(&["copy-mode", "-t", &seen.agent.pane]);
    let in_mode = |wanted: bool| {
        eventually("copy mode in the screen's data", || {
            let data = seen.http.get("/v1/screen?format=json").ok();
            if data["in_mode"] == wanted && data["rows"][0] == "one" { Ok(()) } else { Err(data.to_string()) }
        });
    };
    in_mode(true);
    seen.world.tmux(&["send-keys", "-t", &seen.agent.pane, "-X", "cancel"]);
    in_mode(false);
    type_in("two");
    seen.state_shows("two");
}

#[test]
fn a_gateway_that_was_stopped_draws_the_screen_anew() {
    let seen = Seen::shell("while [ ! -e stop ]; do printf '%2000s\\n' y; sleep 0.01; done; stty -echo; exec cat");
    seen.record("start");
    seen.recorded("o", "y");
    let gateway = seen.world.gateway_pids()[0];
    let server = seen.world.server_pid();
    let stopped = Stopped::new(gateway);
    let before = seen.printed();
    // More than every buffer on the way holds, over more than a second; a faster pane may have to wait for the gateway.
    eventually_within(Duration::from_secs(120), "the pane to print on", || match seen.printed() - before {
        bytes if bytes > (512 << 10) => Ok(()),
        bytes => Err(format!("{bytes} bytes")),
    });
    drop(stopped);
    std::fs::write(seen.world.work().join("stop"), "").unwrap();
    seen.recorded("m", "output is missing here");
    seen.world.tmux(&["send-keys", "-t", &seen.agent.pane, "later", "Enter"]);
    seen.recorded("o", "later");
    assert_eq!(seen.world.server_pid(), server);
    let events = seen.events();
    let marker = events.iter().position(|(kind, _)| kind == "m").unwrap();
    assert!(events[marker + 1].0 == "r" && events[marker + 2].1.contains("\u{1b}[2J"), "{:?}", &events[marker..]);
}

#[test]
fn without_a_control_client_the_pane_is_asked_and_that_is_said() {
    let seen = Seen::shell("stty -echo; exec cat");
    seen.record("start");
    seen.recorded("r", "x");
    let gateway = seen.world.gateway_pids()[0];
    let client = seen.client(gateway, 0);
    signal(client, Signal::KILL);
    gone(client);
    seen.log_says("there is no tmux control client: the pane is asked");
    seen.client(gateway, client);
    eventually("what is typed to be recorded again", || {
        seen.world.tmux(&["send-keys", "-t", &seen.agent.pane, "again", "Enter"]);
        if seen.events().iter().any(|(_, data)| data.contains("again")) { Ok(()) } else { Err(seen.agent.log()) }
    });
    seen.state_shows("again");
    assert_eq!(seen.world.gateway_pids(), [gateway]);
}

#[test]
fn what_other_windows_print_is_not_sent_to_us() {
    let seen = Seen::shell("exec cat");
    let gateway = seen.world.gateway_pids()[0];
    seen.client(gateway, 0);
    let target = format!("={}:7", seen.agent.session);
    let flood = |name: &str| {
        format!(
            "i=0; while [ $i -lt 3000 ]; do printf '%1000s\\n' z; i=$((i+1)); done; tmux wait-for -S {name}; exec cat"
        )
    };
    let before = Seen::read_by(gateway);
    seen.world.tmux(&["new-window", "-d", "-t", &target, &flood("window")]);
    seen.world.tmux(&["split-window", "-d", "-t", &target, &flood("pane")]);
    seen.world.tmux(&["wait-for", "window"]);
    seen.world.tmux(&["wait-for", "pane"]);
    let read = Seen::read_by(gateway) - before;
    assert!(read < 1 << 20, "{read} of 6,000,000 bytes");
    assert_eq!(seen.http.get("/health").ok()["status"], "ok");
}

#[test]
fn a_recording_plays_back_to_the_same_screen() {
    let script = "printf 'before\\n'; while [ ! -e go ]; do sleep 0.02; done; \
        printf '\\033[?1049h\\033[2J\\033[3;5H\\033[1;31mred\\033[0m \\344\\270'; sleep 0.1; printf '\\226 \\033[7minverse\\033[0m'; \
        printf '\\033[10;2Hlast'; while [ ! -e leave ]; do sleep 0.02; done; printf '\\033[?1049l'; echo left; exec cat";
    let seen = Seen::shell(script);
    let started = seen.record("start");
    assert_eq!((&started["recording"], &started["schema_version"]), (&true.into(), &1.into()));
    seen.recorded("o", "before");
    std::fs::write(seen.world.work().join("go"), "").unwrap();
    seen.recorded("o", "last");
    seen.world.shows(&seen.agent.pane, "last");
    let replayed = |number: u32| {
        let events = seen.events();
        let data: String = events.into_iter().filter(|(kind, _)| kind == "o").map(|(_, data)| data).collect();
        let file = seen.world.path().join("played");
        std::fs::write(&file, data).unwrap();
        let size = seen.world.tmux(&["display-message", "-p", "-t", &seen.agent.pane, "#{pane_width} #{pane_height}"]);
        let (width, height) = size.split_once(' ').unwrap();
        let name = format!("replay-{number}");
        let play = format!("stty raw -echo; cat {}; tmux wait-for -S {name}; exec sleep 1000", file.display());
        seen.world.tmux(&["new-session", "-d", "-s", &name, "-x", width, "-y", height, &play]);
        seen.world.tmux(&["wait-for", &name]);
        let show = |pane: &str| {
            let text = seen.world.tmux(&["capture-pane", "-p", "-e", "-t", pane]);
            let cursor = "#{cursor_x} #{cursor_y} #{alternate_on} #{pane_width}x#{pane_height}";
            (text, seen.world.tmux(&["display-message", "-p", "-t", pane, cursor]))
        };
        let (original, copy) = (show(&seen.agent.pane), show(&format!("={name}:")));
        assert_eq!(original, copy);
        original.0
    };
    assert!(replayed(1).contains("世"));
    std::fs::write(seen.world.work().join("leave"), "").unwrap();
    seen.recorded("o", "left");
    replayed(2);
    let first = seen.recording().remove(0);
    assert_eq!(first["version"], 2);
    let stopped = seen.record("stop");
    assert_eq!((&stopped["recording"], stopped["recordings"].as_array().unwrap().len()), (&false.into(), 1));
    // One that goes on when the gateway ends is whole.
    seen.record("start");
    eventually("a second file", || if seen.files().len() == 2 { Ok(()) } else { Err(format!("{:?}", seen.files())) });
    seen.recorded("o", "left");
    let run = seen.world.agents(&["gateway", "record", "list", "--json", "--agent-id", &seen.agent.id]).json();
    assert_eq!(run["recordings"].as_array().unwrap().len(), 2);
    seen.world.agents(&["gateway", "detach", "--agent-id", &seen.agent.id]).ok();
    assert_eq!(seen.files().len(), 2);
    assert!(seen.recording().len() >= 3);
}

#[test]
fn a_killed_gateway_leaves_a_readable_recording() {
    let seen = Seen::shell("i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done");
    seen.record("start");
    // The drawing of the screen is the second event; what is printed comes behind it.
    eventually("output in the recording", || match seen.events().len() {
        0..=2 => Err(seen.world.screen(&seen.agent.pane)),
        _ => Ok(()),
    });
    signal(seen.world.gateway_pids()[0], Signal::KILL);
    assert!(seen.recording().len() > 3);
}

#[test]
fn the_screen_is_shown_as_text_page_and_data() {
    let seen = Seen::shell("printf '\\033]2;<my> title\\007\\033[1;32m<green>\\033[0m & more\\n'; exec cat");
    let pane = seen.agent.pane.clone();
    let begun = Instant::now();
    seen.world.shows(&pane, "more");
    assert!(begun.elapsed() < Duration::from_secs(60));
    let text = seen.http.get("/v1/screen");
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(text.body, "<green> & more\n");
    let html = seen.http.get("/v1/screen?format=html");
    assert_eq!(html.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(html.header("content-security-policy").unwrap().contains("style-src 'unsafe-inline'"));
    for part in ["<title>&lt;my&gt; title</title>", "font-weight:bold;\">&lt;green&gt;</span> &amp; more"] {
        assert!(html.body.contains(part), "{}", html.body);
    }
    let data = seen.http.get("/v1/screen?format=json").ok();
    assert_eq!(
        (&data["pane_id"], &data["title"], &data["rows"][0]),
        (&pane.into(), &"<my> title".into(), &"<green> & more".into())
    );
    assert_eq!((&data["cursor"]["y"], &data["in_mode"], &data["dead"]), (&1.into(), &false.into(), &false.into()));
    seen.http.get("/v1/screen?format=pdf").refused(422);
    let shown = seen.world.agents(&["gateway", "screen", "--agent-id", &seen.agent.id]).ok();
    assert_eq!(shown, "<green> & more\n");
    let shown = seen.world.agents(&["gateway", "screen", "--format", "html", "--agent-id", &seen.agent.id]).ok();
    assert!(shown.starts_with("<!doctype html>"));
    seen.http.post("/v1/recordings", &json!({ "action": "pause" })).refused(422);
}

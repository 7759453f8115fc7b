//! Watches the published state of one agent from outside, as a client would, and keeps every change with its moment.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use super::{Http, eventually_within};

/// One published state, from this moment until the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct Sight {
    /// Milliseconds since 1970, on the clock of the stub model's log.
    pub at_ms: u64,
    pub phase: String,
    pub accepting: String,
    pub editing: String,
    pub posture: String,
    pub pending: String,
    pub result: String,
    pub process: String,
}

impl Sight {
    fn read(state: &Value) -> Self {
        let text = |pointer: &str| state.pointer(pointer).and_then(Value::as_str).unwrap_or("MISSING").to_owned();
        Self {
            at_ms: now_ms(),
            phase: text("/turn/phase"),
            accepting: text("/surface/accepting_input"),
            editing: text("/surface/editing_input"),
            posture: text("/surface/ready_posture"),
            pending: text("/surface/pending_input"),
            result: text("/last_turn/result"),
            process: text("/diagnostics/process_state"),
        }
    }

    fn same_as(&self, other: &Self) -> bool {
        let there = Self { at_ms: 0, ..other.clone() };
        Self { at_ms: 0, ..self.clone() } == there
    }

    /// Would a careful client send a prompt now?
    pub fn is_ready(&self) -> bool {
        self.phase == "ready" && self.posture == "yes"
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Looks at the state about every 10 ms until it is dropped.
pub struct Watcher {
    seen: Arc<Mutex<Vec<Sight>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub fn new(http: &Http) -> Self {
        let (seen, stop) = (Arc::new(Mutex::new(Vec::<Sight>::new())), Arc::new(AtomicBool::new(false)));
        let (there, asked, http) = (seen.clone(), stop.clone(), http.clone());
        let thread = std::thread::spawn(move || {
            let mut connection = http.keep();
            while !asked.load(Ordering::Relaxed) {
                let answer = connection.get("/v1/control/tui/state");
                assert_eq!(answer.status, 200, "{answer:?}");
                let sight = Sight::read(&answer.json());
                let mut seen = there.lock().unwrap();
                if seen.last().is_none_or(|last| !last.same_as(&sight)) {
                    seen.push(sight);
                }
                drop(seen);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    /// Every change so far.
    pub fn all(&self) -> Vec<Sight> {
        assert!(self.thread.as_ref().is_some_and(|thread| !thread.is_finished()), "the gateway answers no more");
        self.seen.lock().unwrap().clone()
    }

    /// What was published between these moments, with what held at the first of them.
    pub fn between(&self, from_ms: u64, to_ms: u64) -> Vec<Sight> {
        let all = self.all();
        let first = all.iter().rposition(|sight| sight.at_ms <= from_ms).unwrap_or(0);
        all[first..].iter().take_while(|sight| sight.at_ms <= to_ms).cloned().collect()
    }

    /// Waits until the newest state is like this, at this moment or later; returns it.
    #[track_caller]
    pub fn comes(&self, what: &str, since_ms: u64, screen: impl Fn() -> String, is: impl Fn(&Sight) -> bool) -> Sight {
        eventually_within(Duration::from_secs(30), what, || {
            let all = self.all();
            let last = all.last().filter(|last| is(last) && now_ms() >= since_ms);
            last.cloned().ok_or_else(|| format!("{:#?}\n{}", &all[all.len().saturating_sub(6)..], screen()))
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("the watcher");
            }
        }
    }
}

//! The world of one test: a private folder with a private tmux server and a private home.

mod checker;
mod cyrus;
mod disk;
mod fixtures;
mod follower;
mod http;
mod live;
pub mod one_request;
mod person;
mod probe;
mod real;
mod run;
mod script;
mod seeded;
mod sse;
mod stand_in;
mod steered;
mod tracer;
mod watcher;
mod world;

pub use checker::{Checker, Sent, Told};
pub use cyrus::{Cyrus, DOMAIN, Hold, password_of};
pub use fixtures::{edit, keys, predecessor, predecessor_text, tree};
pub use follower::{Follower, exactly};
pub use http::{Answer, Http, get, raw};
pub use live::{Live, eventually_within, id_of, prompt};
pub use person::Habits;
pub use probe::{Client, Stopped, children, free_port, gone, listens, lock_is_held, port_of, resident, stat};
pub use real::{Model, REAL_PATIENCE, Real, Tool, Turn};
pub use run::Run;
pub use script::{Log, fnv1a};
pub use seeded::Seeded;
pub use sse::{Event, Events};
pub use stand_in::{Heard, Reply, StandIn};
pub use steered::Steered;
pub use tracer::Tracer;
pub use watcher::{Sight, Watcher, now_ms};
pub use world::{Agent, World, signal};

use std::time::{Duration, Instant};

/// How long a condition may take to come true. Far above what any takes; only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Looks again and again for as long as a fault lasts.
pub fn all_the_while(time: Duration, mut look: impl FnMut()) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        look();
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits for a condition, and on failure says what was seen last.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) if Instant::now() > deadline => panic!("waited in vain for {what}; last seen: {last}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

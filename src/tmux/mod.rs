//! The only room that runs tmux.
//!
//! Owns: starting tmux processes (each with a time limit), building command lists, reading what tmux
//! says. Promises: targets are exact (ids, or `=name:`), so `foo` never means `foobar`; no outside text
//! reaches a place where tmux expands formats; commands that belong together are one process and run
//! without anything in between. Callers: `target`, `lifecycle`, `gateway`.

pub mod change;
pub mod control;
pub mod inspect;
pub mod server;
pub mod version;

pub use inspect::{PaneFacts, ServerFacts, SessionFacts, SessionTarget};
pub use server::{Commands, Server, TmuxError};
pub use version::Version;

//! The only room that runs tmux.
//!
//! Owns: starting tmux processes (each with a time limit), building command lists, reading what tmux
//! says. Promises: targets are exact (ids, or `=name:`), so `foo` never means `foobar`; no outside text
//! reaches a place where tmux expands formats; commands that belong together are one process and run
//! without anything in between. Callers: `target`, `lifecycle`, `gateway`.

pub mod change;
mod commands;
pub mod control;
pub mod input;
pub mod inspect;
mod reader;
mod run;
pub mod server;
pub mod version;

pub use commands::Commands;
pub use inspect::{PaneFacts, ServerFacts, SessionFacts, SessionTarget};
pub use server::{Server, TmuxError};
pub use version::Version;

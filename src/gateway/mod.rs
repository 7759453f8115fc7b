//! The sidecar process: the composition root of one session's gateway.
//!
//! Owns: booting in the one safe order (`boot`), what it knows of its session (`watch`), the status document
//! (`board`), what others see of it (`publish`), every background task (`tasks`), and an orderly end
//! (`stop`). Promises: nothing is public before it listens; while it holds its lock it is the session's only
//! gateway; it does not outlive the session; idle, it does nothing. Caller: `cli`.

mod board;
mod boot;
mod guard;
mod place;
mod publish;
mod react;
mod run;
mod signals;
mod tasks;
mod turns;
mod watch;
mod work;

pub use boot::{Config, Started};
pub use run::run;

//! The command line's half of HTTP.
//!
//! Owns requests to a session's gateway. Promises: it connects to this machine only, through no proxy,
//! within a time limit; and it sends the token only to a process that proved to be the recorded gateway.
//! Caller: `lifecycle`.

mod probe;

pub use probe::{NoAnswer, probe};

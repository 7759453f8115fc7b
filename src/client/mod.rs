//! The command line's half of HTTP.
//!
//! Owns requests to a session's gateway, and the reading of its events. Promises: it connects to this machine
//! only, through no proxy, within a time limit; it sends the token, and everything else but `GET /health`, only on
//! a connection whose other end proved to be the recorded gateway; a call that may have changed something and was
//! not answered is never repeated. Callers: `lifecycle`, `cli`.

mod answer;
mod events;
mod gateway;
mod hook;
mod probe;
mod sse;
mod wire;

pub use answer::{CallError, Refusal};
pub use events::{Events, Patience, Waited};
pub use gateway::{Call, Gateway};
pub use hook::send_agent_event;
pub use probe::probe;
pub use sse::{Event, Parser, TooLarge};
pub use wire::NoAnswer;

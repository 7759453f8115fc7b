//! The session's SQLite file: `gateway/queue.sqlite`.
//!
//! Owns opening it (pragmas), its schema (the contract's tables, and ours beside them) and the one thread
//! that talks to it. Promises: what a call reports as done is on disk (`WAL`, `synchronous=FULL`); a file
//! that is damaged, or written by a newer program, is refused and left as it is. Callers: `lifecycle`
//! (creating), `gateway` and the domain rooms (everything else).

mod epochs;
mod open;
mod schema;
mod thread;

pub use epochs::{AgentProcess, Depth};
pub use open::{StoreError, create};
pub use thread::Store;

//! The session on disk, and what tmux's session environment says about it.
//!
//! Owns: every path (`layout`), reading and writing the contract's documents (`documents`), the manifest of
//! a new session (`manifest`), the gateway's files and the offline snapshot (`gateway_files`), the shared
//! registry (`registry`), and both families of variable names (`environment`). Promises: a document is
//! checked against its whole contract before anybody sees it, written only when its content changes, and
//! replaced in one step. Callers: `target`, `lifecycle`, `gateway`, `client`.

pub mod documents;
pub mod environment;
pub mod gateway_files;
pub mod layout;
pub mod manifest;
pub mod registry;

pub use documents::{DocumentError, load, store};
pub use environment::{SessionEnvironment, Variable};
pub use layout::{Home, SessionRoot};
pub use registry::Registry;

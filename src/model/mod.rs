//! The nouns that every room speaks: names, ids, process identity, time, failures.
//!
//! Owns no I/O and reads no clock. Everything here is a validated value: once a [`AgentName`] or a
//! [`PaneId`] exists, nobody has to check it again. Every room may use this one; it uses none.

mod failure;
mod ids;
mod mail;
mod names;
mod process;
mod request;
mod screen;
mod shell;
mod time;
mod turn;

pub use failure::{ErrorCode, Failure};
pub use ids::{BadId, PaneId, SessionRootId, TmuxSessionId, WindowId};
pub use mail::{Address, BoxName, MANAGED_DOMAIN, MessageId};
pub use names::{AgentId, AgentName, BadName, SessionName, ToolName};
pub use process::ProcessIdentity;
pub use request::{BadRequestId, Note, Receipt, RequestId, RequestKind, RequestState, Route};
pub use screen::{Color, Row, Run, Screen, Style};
pub use shell::shell_quote;
pub use time::{LEASE, Moment};
pub use turn::{Outcome, Reply, Source, Spoken, TurnRecord};

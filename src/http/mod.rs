//! The gateway's HTTP door: extract, call, map.
//!
//! Owns, in the order in which a request meets them: the accept loop and its limits (`serve`), the check of
//! every raw head before the parser sees it (`framing`), who may come in (`access`), the routes (`router`,
//! `routes`), what the caller sent (`headers`, `query`, `body`, then `bodies` and `fields`), and refusals (`error`).
//! Promises: no request reaches a route before it passed framing and access, so a new
//! route cannot forget them; every answer is bounded in size and time, but for the stream of `events`, which is
//! bounded in memory; no tmux, SQL or files are touched here; what the queue accepted does not depend on a connection.
//! Caller: `gateway`.

pub mod access;
mod bodies;
mod body;
mod error;
mod events;
mod fields;
pub mod framing;
mod headers;
mod query;
pub mod router;
mod routes;
pub mod serve;

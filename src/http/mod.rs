//! The gateway's HTTP door: extract, call, map.
//!
//! Owns, in the order in which a request meets them: the accept loop and its limits (`serve`), the check of
//! every raw head before the parser sees it (`framing`), who may come in (`access`), and the routes
//! (`router`, `routes`). Promises: no request reaches a route before it passed framing and access, so a new
//! route cannot forget them; every answer is bounded in size and time; no tmux, SQL or files are touched
//! here. Caller: `gateway`.

pub mod access;
pub mod framing;
pub mod router;
mod routes;
pub mod serve;

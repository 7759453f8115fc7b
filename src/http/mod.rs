//! The door: HTTP/1.1 over loopback TCP and Unix sockets.
//!
//! Owns the listening sockets and every byte that comes in over them. Promises: no byte of a malformed or
//! oversized request head reaches the HTTP library; every connection has a deadline for everything it may wait
//! for, and a place in a bounded count; every refusal is a complete answer; no task outlives the server.

pub mod framing;
pub mod serve;

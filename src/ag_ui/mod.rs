//! The agent on the AG-UI protocol (contract section 4.11).
//!
//! Owns: what the agent can do in that protocol's words, who is connected, where published events go, and a run as a
//! stream of events. Promises: a slow reader loses events and is told so, and holds nobody up. Callers: `http`.

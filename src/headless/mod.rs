//! Agents without a terminal of their own: each turn is one process (contract sections 1.10 and 4.6).
//!
//! Owns: how a turn is started, followed, interrupted and found again after a crash, and the files it leaves. Promises: a
//! turn outlives the gateway that started it; its end is known from its own files; an interrupt reaches it at once; the
//! conversation can always be resumed. What each program says is read in `agents`. Callers: `queue` gives it prompts,
//! `http` and `cli` show it.

//! The agent's memory: one memo and a tree of pages (contract section 4.10).
//!
//! Owns: reading and writing below the memory root. Promises: no path leads out of it, not through `..`, not through a
//! link, not if one is put there meanwhile. Callers: `http` and `cli`.

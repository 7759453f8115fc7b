//! "Which session do you mean?" → one proven target, or a refusal that says which proof failed.
//!
//! Owns: the grammar of selectors (`selector`, pure) and their resolution (`resolve`), with the proofs that
//! a session, its manifest and its pane belong together (`proof`); what an attach tells its gateway (`introduction`). Promises: it never guesses, never starts
//! anything, never writes, and asks tmux at most twice (the second time only to explain a refusal).
//! Callers: `lifecycle`, `cli`.

mod introduction;
mod proof;
mod resolve;
mod selector;

pub use introduction::Introduction;
pub use proof::{AgentPane, FoundBy, Target, same_server};
pub use resolve::{Context, Inside, expect_reachable, expect_recorded_server, of_root, of_root_as_seen, resolve};
pub use selector::{Selector, Typed, choose};

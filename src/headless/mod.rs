//! Agents without a terminal of their own: each turn is one process (contract sections 1.10 and 4.6).
//!
//! Owns: how a turn is started, followed, interrupted and found again after a crash, and the files it leaves. Promises: a
//! turn outlives the gateway that started it; its end is known from its own files; an interrupt reaches it at once; the
//! conversation can always be resumed; no turn is run twice; the files of old turns go as the session wishes. What each program says is read in `agents`. Callers:
//! `queue` gives it prompts, `lifecycle` too where no gateway runs, `http` and `cli` show it.
//!
//! # The life of a turn
//!
//! ```text
//! starter (gateway or command, under delivery.lock)      runner (`agents headless-turn`, session of its own)
//!   turn-…/prompt.txt turn.json turn.lock, headless-turn.json
//!   starts the runner ──────────────────────────────────► takes turn.lock, writes runner.json
//!                                                         starts the program: reads prompt.txt, writes stdout.jsonl
//!   sees process.json: submitted                          runner.json again, process.json
//!                                                         reads stdout.jsonl → canonical-events.jsonl
//!   waits for the runner's end (pidfd)                    manifest.json, exitcode, end.json; ends
//! ```
//!
//! The program writes into files, so nobody's death breaks its pipes. Every step leaves a file before the next one is
//! taken, and [`Turn::standing`] reads from the files and the kernel where a turn stands: *planned* turns are taken back
//! under `turn.lock`, which a late runner then fails to get; *orphaned* ones, whose runner was killed, are followed by
//! the program's own identity and settled from what it wrote; where the runner died between its first word and the
//! start, nobody can tell, unless a process carries the turn's name in its environment. `tmux wait-for` is not used: it
//! tells of no crash, and a pidfd and `end.json` do.
//!
//! # Where it is described
//!
//! `headless.json` makes a session headless; its backend in the manifest is the tool's (`claude_headless`,
//! `codex_headless`). For any other program the contract has no word: its manifest says `local_interactive`, which is
//! what another program would find there, a program in window 0. A session that another program made has no
//! `headless.json`; its backend says the same. The conversation stands in the manifest. Window 0 runs `agents
//! headless-view`, which shows the turns and is the agent's process as far as epochs go.

mod artefacts;
mod conversation;
mod events;
mod interrupt;
mod retention;
mod runner;
mod settle;
mod start;
mod template;
mod view;

pub use artefacts::{Standing, Turn, last, turns, unrecorded};
pub use conversation::{Chosen, Conversation, NoChat, begin_with, choose};
pub use interrupt::{Pressed, end_now, escalate, interrupt};
pub use retention::{old, remove};
pub use runner::run;
pub use settle::{settle, withdraw};
pub use start::{Asked, Started, TURN_VARIABLE, free_id, plan, start};
pub use template::{Template, is_headless};
pub use view::{Follower, lines};

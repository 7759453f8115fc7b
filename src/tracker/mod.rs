//! What the agent is doing: evidence in, a reading out.
//!
//! Owns the state of one session: observations (`observation`), the reducer (`reduce`, with its evidence, rules and
//! turns), the profile that it is read by (`choice`), its handle (`live`), and what was (`history`). Beside it, reading a pane that looks like any line reader's
//! (`generic`), its composer (`composer`), and how long it has been quiet (`quiet`). Promises: everything but `live` is
//! pure, the clock is an argument; `ready` is said only with proof, and every other answer names what speaks against it.
//! Callers: `delivery`, `queue`, `http`, `gateway`, `contract`.

mod choice;
mod clock;
mod composer;
mod conclude;
mod detectors;
mod document;
mod evidence;
mod explain;
mod eyes;
mod generic;
mod history;
mod hooks;
mod live;
mod observation;
mod pace;
mod prompt_text;
mod quiet;
mod recorder;
mod recording;
pub mod records;
mod reduce;
mod rules;
mod sight;
mod state;
mod told;
mod turns;
mod view;

pub use composer::{Composer, FRAMES, composer, cursor_text};
pub use detectors::Detectors;
pub use eyes::{Eyes, Feed, Picture, Watcher};
pub use generic::{Around, Pending, Reading, Why, is_shell};
pub use live::{Proof, Tracker};
pub use observation::{Observation, ProcessSeen, ScreenSeen, Seen, When};
pub use quiet::Quiet;
pub use recorder::{Limits as RecordingLimits, Recorder};
pub use reduce::{Reducer, TurnEdge};
pub use state::{Diagnostics, LastTurn, Phase, Probe, ResultSource, Stability, State, Surface, Timings, Tri};
pub use view::View;

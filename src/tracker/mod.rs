//! What the agent is doing: evidence in, a reading out.
//!
//! Owns reading a pane that looks like any line reader's (`generic`), its composer (`composer`), and how long it has
//! been quiet (`quiet`). Promises: all of it is pure, the clock is an argument; `ready` is said only with proof, and
//! every other answer names what speaks against it. Callers: `delivery`, `queue`, `lifecycle`.

mod composer;
mod eyes;
mod generic;
mod live;
mod observation;
mod pace;
mod quiet;
mod reduce;
mod sight;
mod view;

pub use composer::{Composer, FRAMES, composer, cursor_text};
pub use eyes::{Eyes, Feed, Picture, Watcher};
pub use generic::{Around, Pending, Reading, Why, is_shell};
pub use live::Tracker;
pub use observation::{Observation, ProcessSeen, ScreenSeen, Seen, When};
pub use quiet::Quiet;
pub use reduce::{Reducer, State, TurnEdge};
pub use view::View;

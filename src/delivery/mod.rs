//! One prompt into one agent, with proof.
//!
//! Owns cleaning a text (`prompt`), the form in which a tool takes it as it was given (`form`), deciding whether it may
//! be typed now (`plan`), the place where it is to stand (`footing`), a look with all that it says (`sight`, `proof`),
//! what is to be done (`task`) and doing it step by step (`act`) beside a person at the same keyboard (`person`), the keys
//! that interrupt (`keys`), following a line reader's turn (`turn`), and cutting its reply out of a screen (`reply`).
//! Promises: intent is on record before the first byte; the check of the pane, the paste and its mark are one
//! message, Enter is a second one; Enter follows only a text that the pane shows; every outcome names its evidence;
//! nothing is ever typed a second time. Files but `act`, `person`, `keys`, `sight` and the end of a `turn` are pure. Callers: `queue`, `lifecycle`.

mod act;
mod against;
mod footing;
mod form;
mod keys;
mod person;
mod plan;
mod prompt;
mod proof;
mod reply;
mod sight;
mod task;
mod turn;

pub use act::deliver;
pub use footing::Footing;
pub use form::{Form, Unfit};
pub use keys::{AFTER_ESCAPE, Keys, interrupt};
pub use person::back;
pub use plan::{Decision, PERSON_PAUSE, decide};
pub use prompt::{BadPrompt, Prompt};
pub use reply::Start;
pub use sight::{Sight, holds_exactly, same_text};
pub use task::{Delivery, Journal, JournalClosed, Outcome, Stage, Timings};
pub use turn::{Step, Turn};

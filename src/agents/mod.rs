//! What each agent program looks like and says: one profile per program as data, and pure functions over it.
//!
//! Owns the profiles (`profiles/*.toml`, read by `profile`, a person's own by `library`), reading a screen by one (`detect`), and reading what the
//! tools say themselves: titles, status sequences, hooks, records on disk (`signs/`). Promises: no I/O, no clock; the
//! same input gives the same answer; what nothing proves is `unknown`, never `idle`; an unknown version runs the nearest
//! profile in conservative mode and says so. Callers: `tracker`, `delivery`, `contract`.

mod choices;
mod detect;
mod dialog;
mod draft;
pub mod headless;
mod layout;
mod library;
mod profile;
mod reading;
mod resume;
mod rules;
mod sign;
pub mod signs;
mod source;
mod version;

pub use dialog::{Choice, Dialog, DialogKind};
pub use library::{BadProfile, Library};
pub use profile::{DeliveryRules, Fit, Profile};
pub use reading::{ComposerReading, Fired, ScreenReading};
pub use resume::{CannotResume, resumed};
pub use rules::ProfileError;
pub use sign::Sign;
pub use version::Version;

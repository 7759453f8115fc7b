//! One dated observation: what was sensed, through which sense.

use std::time::Duration;

use crate::{
    agents::{ScreenReading, Sign},
    model::{Moment, PaneId, RequestId, Source},
};

/// When: on a clock that never steps, and on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// Since the tracker began.
    pub since: Duration,
    /// For people and records.
    pub wall: Moment,
}

/// What was sensed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Through which sense.
    pub source: Source,
    /// What.
    pub seen: Seen,
}

/// What was sensed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A capture of the pane.
    Screen(Box<ScreenSeen>),
    /// The tool said something: title, status sequence, hook or record.
    Sign(Sign),
    /// What the kernel says of the tool's process.
    Process(ProcessSeen),
    /// Somebody submits this prompt now, or says that they did.
    Noted {
        /// The request, if it is one of ours.
        request: Option<RequestId>,
        /// Its text.
        text: String,
    },
    /// The interrupt key was pressed through us.
    InterruptPressed,
    /// A sense is there, or gone; the sentence says why.
    Channel {
        /// `true`: it speaks.
        up: bool,
        /// Why, for people.
        why: String,
    },
}

/// A capture, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScreenSeen {
    /// The pane.
    pub pane: PaneId,
    /// The process that the pane was started with.
    pub pid: u32,
    /// It ended and the pane was kept.
    pub dead: bool,
    /// Copy mode or another mode is on: the program's screen may not be what is seen.
    pub in_mode: bool,
    /// The foreground program, as tmux sees it.
    pub command: String,
    /// The pane's title.
    pub title: String,
    /// What the profile reads from it; `None` for a line reader.
    pub reading: ScreenReading,
    /// SHA-1 of the text, hexadecimal.
    pub hash: String,
    /// Characters of the text.
    pub length: usize,
    /// Its last 4,000 characters.
    pub excerpt: String,
}

/// What the kernel says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessSeen {
    /// The tool's process lives; `None` if it could not be asked.
    pub alive: Option<bool>,
    /// It reads from the terminal.
    pub foreground: Option<bool>,
    /// Its pid.
    pub pid: Option<u32>,
    /// Names that matched.
    pub names: Vec<String>,
    /// The tool's version, where its own files tell it.
    pub version: Option<String>,
}

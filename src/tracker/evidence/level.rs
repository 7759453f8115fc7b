//! What one source says that the tool does, until it says something else.

use crate::{agents::DialogKind, tracker::When};

/// What the tool does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tracker) enum Doing {
    /// It works.
    Working,
    /// It waits for a prompt.
    Idle,
    /// It waits for an answer.
    Waiting {
        /// What about.
        kind: DialogKind,
        /// In the tool's words.
        message: Option<String>,
    },
}

impl Doing {
    pub(in crate::tracker) fn words(&self) -> String {
        match self {
            Self::Working => "says that the tool works".to_owned(),
            Self::Idle => "says that the tool waits for a prompt".to_owned(),
            Self::Waiting { message: Some(message), .. } => {
                format!("says that the tool waits for an answer: {message}")
            }
            Self::Waiting { kind, message: None } => {
                format!("says that the tool waits for an answer ({})", kind.name())
            }
        }
    }
}

/// A source's word.
#[derive(Debug, Clone)]
pub(in crate::tracker) struct Level {
    /// The word.
    pub(in crate::tracker) doing: Doing,
    /// When it was said first.
    pub(in crate::tracker) since: When,
    /// When it was said last.
    pub(in crate::tracker) at: When,
}

//! What a tool says about itself, whichever way it says it.

use super::dialog::DialogKind;
use crate::model::Outcome;

/// One word of a tool: an edge (`PromptTaken`, `TurnEnded`…) or a level (`Working`, `Idle`, `Waiting`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// A conversation began or was taken up. Records of others do not count from here on.
    SessionBegan {
        /// The tool's id of it.
        session: Option<String>,
        /// `startup`, `resume`, `clear`, `compact`, as the tool says.
        why: String,
    },
    /// The tool took a prompt. It may be said more than once of one turn: first without the text, or again with another
    /// text that the tool put into the turn that runs.
    PromptTaken {
        /// Its text, where the tool tells it.
        text: Option<String>,
        /// The tool's id of the turn.
        turn: Option<String>,
        /// The tool put it behind a turn that still runs.
        queued: bool,
    },
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
    /// What the turn that runs, or the one that just ended, has answered last. It is no end: more may follow.
    Replied {
        /// The tool's id of the turn.
        turn: Option<String>,
        /// The text.
        text: String,
        /// It is the tool's own record of it, sign for sign.
        exact: bool,
    },
    /// A turn is over.
    TurnEnded {
        /// The tool's id of the turn.
        turn: Option<String>,
        /// How.
        outcome: Outcome,
        /// What was answered.
        reply: Option<String>,
        /// The reply is the tool's own record of it, sign for sign.
        exact: bool,
        /// What the tool says about a failure.
        error: Option<String>,
    },
    /// It shortens its context: busy, and no turn.
    Compacting,
    /// It is done with that.
    Compacted,
    /// The conversation or the tool ended.
    SessionEnded {
        /// In the tool's words.
        why: String,
    },
}

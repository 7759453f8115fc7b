//! What an attach tells the gateway that it starts.

use serde::{Deserialize, Serialize};

use crate::{api::Place, tmux::SessionFacts};

/// The parent's one line to its child, which is the same program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Introduction {
    /// Where the child runs.
    pub place: Place,
    /// The session as the parent saw it a moment ago, with the child's own pane. The child proves that it belongs to its
    /// root, and its control client that it is on the same server; so nobody has to be asked twice.
    pub session: SessionFacts,
}

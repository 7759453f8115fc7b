//! What a gateway and the `attach` that started it say to each other before the gateway is public.

use serde::{Deserialize, Serialize};

/// Where the child runs, in the parent's one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Place {
    /// In no window.
    Detached,
    /// In this auxiliary window.
    Window {
        /// `@3`.
        window_id: String,
        /// `"1"` or higher.
        window_index: String,
        /// `%5`.
        pane_id: String,
    },
}

/// The child's one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Readiness {
    /// It listens, and everything is published.
    Ready {
        /// Things the operator should know, e.g. that the wished port was taken.
        notes: Vec<String>,
    },
    /// It will end; nothing of it stays.
    Failed {
        /// A code of the error table.
        code: String,
        /// What happened and why.
        message: String,
        /// What to do next.
        hint: String,
    },
}

//! Recordings of the agent's pane: what is asked, and what is answered.

use serde::{Deserialize, Serialize};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingAction {
    /// Begin to record.
    Start,
    /// End the recording.
    Stop,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Its name in the folder.
    pub name: String,
    /// Its size so far.
    pub bytes: u64,
    /// It is being written.
    pub active: bool,
}

/// The recordings of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recordings {
    /// Always 1.
    pub schema_version: u32,
    /// Something is recorded now.
    pub recording: bool,
    /// Where the files lie.
    pub folder: String,
    /// Oldest first.
    pub recordings: Vec<Recording>,
}

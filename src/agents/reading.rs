//! What one screen says, by the rules of one profile.

use super::dialog::Dialog;

/// What stands in the composer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ComposerReading {
    /// There is none on the screen.
    #[default]
    Absent,
    /// It is there and empty, or shows a placeholder only.
    Empty,
    /// A text that nobody has submitted: its rows, joined where the composer wrapped them.
    Draft(String),
    /// It is there, and whether it is empty cannot be told.
    Unclear,
}

/// One rule that matched, for `explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// Its name in the profile.
    pub rule: String,
    /// What it proves: `working`, `dialog`, `interrupted`…
    pub proves: String,
    /// The text that it matched; short.
    pub text: String,
}

/// One screen, read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScreenReading {
    /// The composer.
    pub composer: ComposerReading,
    /// Rules that prove work; empty proves nothing by itself.
    pub working: Vec<String>,
    /// An open dialog.
    pub dialog: Option<Dialog>,
    /// The tool itself holds input that it has not taken yet; `None` if nobody can tell.
    pub queued: Option<bool>,
    /// A sign that the last turn was interrupted stands on the screen.
    pub interrupted: bool,
    /// An error of the last turn stands on the screen.
    pub failed: Option<String>,
    /// A sign that the last turn came to its end stands on the screen.
    pub finished: bool,
    /// The last prompt stands there, and no sign of its turn's end, though this tool always draws one.
    pub unfinished: bool,
    /// The tool draws its first screen and takes no input yet.
    pub starting: bool,
    /// A menu of the composer (commands, files) is open: Enter would take its choice.
    pub menu: bool,
    /// The tool says that it keeps a draft aside.
    pub stashed: bool,
    /// The screen is a shell's, not the tool's: the tool has ended and left its picture.
    pub gone: bool,
    /// Stands for what bears structure on the screen: equal for two screens that differ in spinners and tips only.
    pub signature: String,
    /// What matched.
    pub fired: Vec<Fired>,
}

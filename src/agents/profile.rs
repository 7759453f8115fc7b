//! One agent program, as data.

use std::time::Duration;

use super::reading::ScreenReading;
use crate::model::Screen;

/// How well a profile fits the version that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// It was made for it.
    Exact,
    /// Another or an unknown version: what is not certain is `unknown`. The sentence says why.
    Conservative(String),
}

/// What delivery must respect for one tool.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryRules {
    /// Least time between the last paste and Enter.
    pub before_enter: Duration,
    /// The same for texts above `large` bytes.
    pub before_enter_large: Duration,
    /// What counts as large, in bytes.
    pub large: usize,
    /// A paste with more line breaks than this is folded or changed; `None`: any number is fine.
    pub chunk_breaks: Option<usize>,
    /// A paste with more characters than this is folded or changed.
    pub chunk_characters: Option<usize>,
    /// Enter while the tool works does something else than queueing: never press it then.
    pub enter_only_when_idle: bool,
    /// First characters that make the tool do something else with the text, each with what it would do.
    pub first_characters: Vec<(String, String)>,
    /// A text that ends in one of these is not submitted by Enter.
    pub last_characters: Vec<String>,
    /// Last words that begin so open a menu, whose choice Enter would take.
    pub last_words: Vec<String>,
    /// It cuts blanks off in front of a prompt, and a prompt behind one is text, whatever sign it begins with.
    pub trims_blanks_in_front: bool,
    /// Names of its own commands, without the slash; `*` stands for every word behind a slash.
    pub commands: Vec<String>,
    /// The key that interrupts.
    pub interrupt: String,
    /// Commands that begin a new conversation.
    pub new_chat: String,
}

impl Default for DeliveryRules {
    fn default() -> Self {
        Self {
            before_enter: Duration::ZERO,
            before_enter_large: Duration::ZERO,
            large: usize::MAX,
            chunk_breaks: None,
            chunk_characters: None,
            enter_only_when_idle: false,
            first_characters: Vec::new(),
            last_characters: Vec::new(),
            last_words: Vec::new(),
            trims_blanks_in_front: false,
            commands: Vec::new(),
            interrupt: "Escape".to_owned(),
            new_chat: "/clear".to_owned(),
        }
    }
}

/// The rules for one program and the versions that they were made for.
#[derive(Debug, Clone)]
pub struct Profile {
    /// `claude`, `codex`, `gemini`…
    pub tool: String,
    /// The profile's own name, as `claude-2.1`.
    pub name: String,
    /// How well it fits.
    pub fit: Fit,
    /// Names of the tool's process.
    pub processes: Vec<String>,
    /// For typing.
    pub delivery: DeliveryRules,
}

impl Profile {
    /// The profile for a tool and the version that runs, where it is known; `None` for a tool that has none: it is
    /// read as any line reader.
    pub fn find(tool: &str, version: Option<&str>) -> Option<Self> {
        let known = ["claude", "codex", "gemini", "kimi", "opencode", "aider"];
        known.contains(&tool).then(|| Self {
            tool: tool.to_owned(),
            name: tool.to_owned(),
            fit: Fit::Conservative(format!("nothing is known of version {}", version.unwrap_or("?"))),
            processes: vec![tool.to_owned()],
            delivery: DeliveryRules::default(),
        })
    }

    /// Reads a screen.
    pub fn read(&self, _screen: &Screen) -> ScreenReading {
        ScreenReading::default()
    }
}

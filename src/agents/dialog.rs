//! A question of the program that only a person, or somebody in their name, may answer.

use serde::{Deserialize, Serialize};

/// What the program asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialogKind {
    /// May it work in this folder?
    Trust,
    /// May it run this command, edit this file?
    Permission,
    /// A question of the model to the user.
    Question,
    /// A new version is there.
    Update,
    /// Hooks changed and want to be looked at.
    HooksReview,
    /// First-start questions: theme, account, default mode.
    Onboarding,
    /// A picker, a menu, anything else that takes Enter for a choice.
    Other,
}

impl DialogKind {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Permission => "permission",
            Self::Question => "question",
            Self::Update => "update",
            Self::HooksReview => "hooks_review",
            Self::Onboarding => "onboarding",
            Self::Other => "other",
        }
    }
}

/// One answer that the dialog offers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Choice {
    /// Its number on the screen, or its place from 1.
    pub number: u32,
    /// Its text.
    pub label: String,
    /// The program points at it: Enter would take it.
    pub selected: bool,
    /// A key that takes it at once, where the screen or the profile says so (`1`, `y`, `Escape`).
    pub key: Option<String>,
}

/// A dialog as the screen shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dialog {
    /// What it is about.
    pub kind: DialogKind,
    /// Its question, one line.
    pub title: String,
    /// All of it, as text.
    pub text: String,
    /// The answers, top to bottom; empty for a dialog that takes free text.
    pub choices: Vec<Choice>,
}

impl Dialog {
    /// What an answer is bound to: kind, text and labels, without which choice is pointed at.
    pub fn fingerprint(&self) -> String {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        let labels: Vec<(u32, &str)> = self.choices.iter().map(|one| (one.number, one.label.as_str())).collect();
        let plain: String = self.text.chars().filter(|c| c.is_alphanumeric()).collect();
        (self.kind, &self.title, plain, labels).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

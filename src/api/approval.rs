//! Dialogs of the agent that wait for an answer: `GET /v1/approvals`, `POST /v1/approvals/{id}`.

use serde::{Deserialize, Serialize};

/// One answer that a dialog offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalOption {
    /// Its number on the screen, or its place from 1.
    pub number: u32,
    /// Its text.
    pub label: String,
    /// The program points at it.
    pub selected: bool,
}

/// One open dialog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Stands for exactly this dialog: another text or other answers give another one.
    pub id: String,
    /// `permission`, `trust`, `question`…
    pub kind: String,
    /// Its question, one line.
    pub title: String,
    /// All of it, as text.
    pub text: String,
    /// The answers, top to bottom; empty for a dialog that takes free text.
    pub options: Vec<ApprovalOption>,
    /// Since when it is there.
    pub since_utc: String,
}

/// What is open: at most one, because a terminal shows one at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// The open dialogs.
    pub approvals: Vec<Approval>,
}

/// Which answer is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalChoice {
    /// The one with this number.
    Option(u32),
    /// The one that says yes to this and to nothing more, if exactly one does.
    Accept,
    /// The one that says no, if exactly one does.
    Reject,
}

/// The answer to `POST /v1/approvals/{id}` when the dialog is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalAnswered {
    /// Always `ok`.
    pub status: String,
    /// Always `answer_approval`.
    pub action: String,
    /// The dialog that was answered.
    pub id: String,
    /// The answer that was taken.
    pub option: ApprovalOption,
    /// The keys' own record.
    pub request_id: String,
    /// One sentence for a person.
    pub detail: String,
}

impl ApprovalAnswered {
    /// The one good answer.
    pub fn new(id: &str, option: ApprovalOption, request_id: &str) -> Self {
        Self {
            status: "ok".to_owned(),
            action: "answer_approval".to_owned(),
            id: id.to_owned(),
            detail: format!("answered with {} ({}); the dialog is gone", option.number, option.label),
            option,
            request_id: request_id.to_owned(),
        }
    }
}

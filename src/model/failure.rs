//! The one table of error codes, and the value that carries a refusal to a person.

use std::fmt;

/// What kind of failure it was: stable names, exit statuses and HTTP statuses.
///
/// A code is never reused or renumbered; scripts and clients depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// A bug or a failing machine: nothing the caller did.
    Internal,
    /// The words, a file the operator edits, or a body were wrong.
    Usage,
    /// The named session does not exist, or could not be proven to be the one meant.
    TargetNotFound,
    /// More than one session fits; the candidates are in the hint.
    TargetAmbiguous,
    /// Another gateway holds the session and was not replaced.
    AlreadyAttached,
    /// No live gateway answers for the session.
    NotAttached,
    /// tmux is missing, too old, hung, or its server or pane is gone.
    TmuxUnavailable,
    /// The request was understood and not done: doing it would be wrong now.
    Refused,
    /// Something was typed and its acceptance was not seen. Never retried on its own.
    Unconfirmed,
    /// The wait ran out; the work may still go on.
    Timeout,
    /// The caller did not prove that it may.
    Unauthorized,
    /// A file or a peer speaks a version this program does not know.
    Incompatible,
    /// The prompt was given, and its turn failed or was interrupted.
    TurnFailed,
}

impl ErrorCode {
    /// Every code, in the order of exit statuses. The reference page is generated from it.
    pub const ALL: [Self; 13] = [
        Self::Internal,
        Self::Usage,
        Self::TargetNotFound,
        Self::TargetAmbiguous,
        Self::AlreadyAttached,
        Self::NotAttached,
        Self::TmuxUnavailable,
        Self::Refused,
        Self::Unconfirmed,
        Self::Timeout,
        Self::Unauthorized,
        Self::Incompatible,
        Self::TurnFailed,
    ];

    /// The name in JSON (`error.code`).
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The code with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// The exit status of the command line.
    pub fn exit_status(self) -> u8 {
        self.row().1
    }

    /// The HTTP status of a response that carries this code.
    pub fn http_status(self) -> u16 {
        self.row().2
    }

    /// One sentence for the reference page.
    pub fn meaning(self) -> &'static str {
        self.row().3
    }

    fn row(self) -> (&'static str, u8, u16, &'static str) {
        match self {
            Self::Internal => ("internal", 1, 500, "a defect, or the machine failed us"),
            Self::Usage => ("usage", 2, 400, "the command, a configuration file or a body was wrong"),
            Self::TargetNotFound => {
                ("target_not_found", 3, 404, "no such session, or it could not be proven to be the one meant")
            }
            Self::TargetAmbiguous => ("target_ambiguous", 4, 409, "several sessions fit; the hint lists them"),
            Self::AlreadyAttached => ("already_attached", 5, 409, "another gateway holds the session"),
            Self::NotAttached => ("not_attached", 6, 503, "no live gateway answers for the session"),
            Self::TmuxUnavailable => {
                ("tmux_unavailable", 7, 503, "tmux is missing, too old, not answering, or its server is gone")
            }
            Self::Refused => ("refused", 8, 409, "understood and not done, because it would do harm now"),
            Self::Unconfirmed => ("unconfirmed", 9, 502, "done, but its effect was not seen; never retried"),
            Self::Timeout => ("timeout", 10, 504, "the wait ran out; the work may still go on"),
            Self::Unauthorized => ("unauthorized", 11, 401, "the caller did not prove that it may"),
            Self::Incompatible => {
                ("incompatible", 12, 409, "a file or a peer has a version this program does not know")
            }
            Self::TurnFailed => {
                ("turn_failed", 13, 502, "the prompt was given, and its turn failed or was interrupted")
            }
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A refusal that a person can act on: what happened and why, and what to do next.
///
/// The message is a lower-case fragment without a full stop; it already contains its cause. The hint
/// is the next step, a command wherever there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The stable code.
    pub code: ErrorCode,
    /// What happened and why.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

impl Failure {
    /// A failure with its next step.
    pub fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into() }
    }

    /// A wrong word or value from the caller.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorCode::Usage, message, hint)
    }

    /// Understood, and not done.
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorCode::Refused, message, hint)
    }

    /// A session that could not be found or proven.
    pub fn not_found(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorCode::TargetNotFound, message, hint)
    }

    /// A defect or a failing machine.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(
            ErrorCode::Internal,
            message,
            "run `agents doctor`; if it finds nothing, this is a defect worth reporting",
        )
    }

    /// Puts what was being done in front of the message.
    #[must_use]
    pub fn context(mut self, doing: &str) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_status_is_used_once_and_follows_the_table() {
        let statuses: Vec<u8> = ErrorCode::ALL.iter().map(|code| code.exit_status()).collect();
        assert_eq!(statuses, (1..=13).collect::<Vec<u8>>());
    }
}

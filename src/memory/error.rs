//! Why a memory was not read or written, with the words for a command line and for HTTP.

use crate::{
    model::{ErrorCode, Failure},
    os::beneath::BeneathError,
};

/// Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// A path or content that is never taken.
    #[error("{0}")]
    Refused(String),
    /// No such page.
    #[error("there is no page `{0}`")]
    Missing(String),
    /// The session has no memory.
    #[error("{0}")]
    NotBound(String),
    /// It is no page, or the system said no.
    #[error("{0}")]
    System(String),
}

impl MemoryError {
    pub(super) fn of(error: BeneathError, name: &str) -> Self {
        match error {
            BeneathError::Escapes => Self::Refused(format!("`{name}` leads out of the memory through a link")),
            BeneathError::Missing => Self::Missing(name.to_owned()),
            other => Self::System(format!("`{name}`: {other}")),
        }
    }

    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "memory_path_refused",
            Self::Missing(_) => "unknown_page",
            Self::NotBound(_) => "memory_not_bound",
            Self::System(_) => "memory_unusable",
        }
    }

    /// HTTP status (contract section 4.10).
    pub fn status(&self) -> u16 {
        match self {
            Self::Refused(_) => 400,
            Self::Missing(_) => 404,
            Self::NotBound(_) | Self::System(_) => 422,
        }
    }
}

impl From<MemoryError> for Failure {
    fn from(error: MemoryError) -> Self {
        let (code, hint) = match &error {
            MemoryError::Refused(_) => (ErrorCode::Usage, "name a page as `agents memory tree` shows it, without `..`"),
            MemoryError::Missing(_) => (ErrorCode::TargetNotFound, "`agents memory tree` shows the pages"),
            MemoryError::NotBound(_) => (ErrorCode::Refused, "launch the agent anew: new sessions have a memory"),
            MemoryError::System(_) => (ErrorCode::Refused, "`agents memory path` says where the files are"),
        };
        Self::new(code, error.to_string(), hint)
    }
}

//! Refusals on their way to HTTP, and how failures of the store become one.

use std::borrow::Cow;

use crate::{delivery::JournalClosed, store::StoreError};

/// Nothing was accepted, or what was asked cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// A stable word.
    pub code: Cow<'static, str>,
    /// One sentence for a person.
    pub detail: String,
    /// In how many seconds another try makes sense.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal that time alone does not mend.
    pub fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code: Cow::Borrowed(code), detail: detail.into(), retry_after: None }
    }

    /// Another try makes sense after so many seconds.
    #[must_use]
    pub fn again_in(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl From<JournalClosed> for Refusal {
    fn from(closed: JournalClosed) -> Self {
        let detail = format!("{closed}; `GET /v1/requests` shows how far the request came");
        Self::new(503, "store_failed", detail).again_in(5)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::Full { .. } => Self::new(507, "disk_full", detail),
            StoreError::Busy { .. } => Self::new(503, "store_busy", detail).again_in(5),
            _ => Self::new(503, "store_failed", detail).again_in(5),
        }
    }
}

//! To be written.

use std::path::PathBuf;

use super::MailError;
use crate::{
    api::{JmapBinding, MailDraft, MailFlags, MailQuery, MailReply, MessageView},
    model::BoxName,
};

/// One agent's mailbox.
#[derive(Debug, Clone)]
pub struct Account {
    binding: JmapBinding,
}

impl Account {
    pub(super) fn of(binding: &JmapBinding, _secrets: PathBuf) -> Result<Self, MailError> {
        if binding.jmap_url.is_empty() {
            return Err(MailError::Invalid("the mailbox has no server".to_owned()));
        }
        Ok(Self { binding: binding.clone() })
    }

    fn none(&self) -> MailError {
        MailError::Unsupported(format!("{} has no transport yet", self.binding.address))
    }

    pub(super) fn check(&self) -> Result<(), MailError> {
        Err(self.none())
    }

    pub(super) fn list(&self, _query: &MailQuery) -> Result<Vec<MessageView>, MailError> {
        Err(self.none())
    }

    pub(super) fn show(
        &self,
        _message: &str,
        _folder: Option<&BoxName>,
        _read: bool,
    ) -> Result<MessageView, MailError> {
        Err(self.none())
    }

    pub(super) fn send(&self, _draft: &MailDraft) -> Result<MessageView, MailError> {
        Err(self.none())
    }

    pub(super) fn reply(&self, _reply: &MailReply) -> Result<MessageView, MailError> {
        Err(self.none())
    }

    pub(super) fn mark(&self, _messages: &[String], _flags: MailFlags) -> Result<Vec<MessageView>, MailError> {
        Err(self.none())
    }

    pub(super) fn relocate(&self, _messages: &[String], _folder: &BoxName) -> Result<Vec<MessageView>, MailError> {
        Err(self.none())
    }

    pub(super) fn unread(&self) -> Result<usize, MailError> {
        Err(self.none())
    }
}

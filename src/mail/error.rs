//! Why mail could not be read or written, with the words for a command line and for HTTP.

use crate::model::{ErrorCode, Failure};

/// Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// No such message, in no folder or not in the one that was named.
    #[error("there is no message `{0}` in this mailbox")]
    UnknownMessage(String),
    /// The message has no such attachment, or it is not any more what was sent.
    #[error("{0}")]
    NoAttachment(String),
    /// Somebody it is for has no mailbox here.
    #[error("nobody has the address {}", .0.join(", "))]
    UnknownRecipients(Vec<String>),
    /// What was asked for has the right shape and a wrong value.
    #[error("{0}")]
    Invalid(String),
    /// The message says that it wants no answer.
    #[error("this message takes no answer: its sender said so")]
    NoReply,
    /// Two programs answer each other without end.
    #[error("{0}")]
    Loop(String),
    /// This transport cannot do it.
    #[error("{0}")]
    Unsupported(String),
    /// The session has no mailbox.
    #[error("{0}")]
    NotBound(String),
    /// The address is not registered, or belongs to somebody else now.
    #[error("{0}")]
    NotRegistered(String),
    /// The idempotency key came with another message before; the sentence says what is wrong.
    #[error("{0}")]
    KeyReused(String),
    /// Somebody else has the address.
    #[error("{0}")]
    Taken(String),
    /// The mailbox is not what it has to be: a link leads elsewhere, a file is damaged.
    #[error("{0}")]
    Damaged(String),
    /// The disk is full.
    #[error("{0}")]
    Full(String),
    /// Another one holds a lock too long, or a server does not answer; nothing was lost.
    #[error("{0}")]
    Unavailable(String),
    /// The server refused us.
    #[error("{0}")]
    Rejected(String),
}

impl MailError {
    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownMessage(_) => "unknown_message",
            Self::NoAttachment(_) => "no_attachment",
            Self::UnknownRecipients(_) => "unknown_recipient",
            Self::Invalid(_) => "invalid_mail",
            Self::NoReply => "no_reply",
            Self::Loop(_) => "mail_loop",
            Self::Unsupported(_) => "mail_unsupported",
            Self::NotBound(_) => "mailbox_not_bound",
            Self::NotRegistered(_) => "mailbox_not_registered",
            Self::KeyReused(_) => "key_reused",
            Self::Taken(_) => "address_taken",
            Self::Damaged(_) => "mailbox_damaged",
            Self::Full(_) => "disk_full",
            Self::Unavailable(_) => "mail_unavailable",
            Self::Rejected(_) => "mail_rejected",
        }
    }

    /// HTTP status (contract section 4.8, with 404 and 422 where its first implementation was wrong).
    pub fn status(&self) -> u16 {
        match self {
            Self::UnknownMessage(_) | Self::NoAttachment(_) => 404,
            Self::UnknownRecipients(_)
            | Self::Invalid(_)
            | Self::Unsupported(_)
            | Self::NotBound(_)
            | Self::NotRegistered(_) => 422,
            Self::NoReply | Self::KeyReused(_) | Self::Taken(_) => 409,
            Self::Loop(_) => 429,
            Self::Full(_) => 507,
            Self::Damaged(_) | Self::Unavailable(_) | Self::Rejected(_) => 502,
        }
    }

    /// In how many seconds another try makes sense; `None` where time alone does not mend it.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Unavailable(_) => Some(5),
            Self::Loop(_) => Some(60),
            _ => None,
        }
    }

    /// The failure that a gateway told of, by its word and in its sentence; `None` for a word of somebody else.
    pub fn told(code: &str, message: String) -> Option<Failure> {
        let empty = String::new;
        let error = match code {
            "unknown_message" => Self::UnknownMessage(empty()),
            "no_attachment" => Self::NoAttachment(empty()),
            "unknown_recipient" => Self::UnknownRecipients(Vec::new()),
            "invalid_mail" => Self::Invalid(empty()),
            "no_reply" => Self::NoReply,
            "mail_loop" => Self::Loop(empty()),
            "mail_unsupported" => Self::Unsupported(empty()),
            "mailbox_not_bound" => Self::NotBound(empty()),
            "mailbox_not_registered" => Self::NotRegistered(empty()),
            "key_reused" => Self::KeyReused(empty()),
            "address_taken" => Self::Taken(empty()),
            "mailbox_damaged" => Self::Damaged(empty()),
            "disk_full" => Self::Full(empty()),
            "mail_unavailable" => Self::Unavailable(empty()),
            "mail_rejected" => Self::Rejected(empty()),
            _ => return None,
        };
        Some(Failure { message, ..error.into() })
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::UnknownMessage(_) => "`agents mail list` shows the references of the messages",
            Self::NoAttachment(_) => {
                "`agents mail peek` shows the attachments of a message; its sender can send one again that is gone"
            }
            Self::UnknownRecipients(_) => "`agents mailbox accounts` shows the addresses of this mailbox",
            Self::Invalid(_) | Self::Unsupported(_) => "`agents mail --help` shows what can be said",
            Self::NoReply => "write a new message with `agents mail send`",
            Self::Loop(_) => "let a person look at both agents; a new message with `agents mail send` begins anew",
            Self::NotBound(_) => "`agents mail bind` gives the session a mailbox",
            Self::NotRegistered(_) => "`agents mail bind` binds the agent to its address again",
            Self::KeyReused(_) => {
                "another message needs another `--idempotency-key`; `agents mail list --box sent` shows what was sent"
            }
            Self::Taken(_) => "`--mode stash` parks the other mailbox, `--mode force` removes it",
            Self::Damaged(_) => "`agents mailbox repair` says what is wrong and rebuilds the index from the files",
            Self::Full(_) => "free some space and send it again",
            Self::Unavailable(_) => "try again; nothing was lost",
            Self::Rejected(_) => "look at the credentials that the session is bound to",
        }
    }
}

impl From<MailError> for Failure {
    fn from(error: MailError) -> Self {
        let code = match &error {
            MailError::UnknownMessage(_) | MailError::NoAttachment(_) => ErrorCode::TargetNotFound,
            MailError::UnknownRecipients(_) | MailError::Invalid(_) => ErrorCode::Usage,
            MailError::NoReply
            | MailError::Loop(_)
            | MailError::Unsupported(_)
            | MailError::NotBound(_)
            | MailError::NotRegistered(_)
            | MailError::KeyReused(_)
            | MailError::Taken(_) => ErrorCode::Refused,
            MailError::Damaged(_) | MailError::Full(_) | MailError::Rejected(_) => ErrorCode::Internal,
            MailError::Unavailable(_) => ErrorCode::Timeout,
        };
        Self::new(code, error.to_string(), error.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_tells_the_failure_that_the_mailbox_would() {
        let text = || "x".to_owned();
        for error in [
            MailError::UnknownMessage(text()),
            MailError::NoAttachment(text()),
            MailError::UnknownRecipients(vec![text()]),
            MailError::Invalid(text()),
            MailError::NoReply,
            MailError::Loop(text()),
            MailError::Unsupported(text()),
            MailError::NotBound(text()),
            MailError::NotRegistered(text()),
            MailError::KeyReused(text()),
            MailError::Taken(text()),
            MailError::Damaged(text()),
            MailError::Full(text()),
            MailError::Unavailable(text()),
            MailError::Rejected(text()),
        ] {
            assert_eq!(MailError::told(error.code(), error.to_string()), Some(error.into()));
        }
        assert_eq!(MailError::told("queue_full", text()), None);
    }
}

//! What a mailbox root holds, for somebody who looks at it from outside. Nothing is changed.

use std::path::Path;

use serde::Serialize;

use super::spool::{OURS, Spool};
use crate::{mail::MailError, model::BoxName, store::mail::Status};

/// A mailbox root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// Where it is.
    pub mailbox_root: String,
    /// The contract's version of the layout.
    pub protocol_version: u32,
    /// Messages that were delivered.
    pub messages: u64,
    /// Addresses that get mail.
    pub active: usize,
    /// Addresses that were given up.
    pub inactive: usize,
    /// Mailboxes that were parked.
    pub stashed: usize,
    /// Sends and moves that are under way now, or whose programs died.
    pub unfinished: usize,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// One registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "contract section 7.3")]
pub struct AccountEntry {
    pub address: String,
    pub registration_id: String,
    pub principal_id: String,
    pub status: &'static str,
    pub mailbox_kind: crate::api::MailboxKind,
    pub mailbox_path: String,
    pub display_name: Option<String>,
    pub created_at_utc: String,
    pub deactivated_at_utc: Option<String>,
    pub messages: usize,
    pub unread: usize,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// Looks at a root.
///
/// # Errors
/// [`MailError`] for one that is none, or cannot be opened.
pub fn overview(path: &Path) -> Result<Overview, MailError> {
    let spool = Spool::open(path)?;
    let accounts = accounts_of(&spool)?;
    let count = |status: Status| accounts.iter().filter(|account| account.status == status.as_str()).count();
    let staged = spool.root.staging()?.names()?;
    Ok(Overview {
        mailbox_root: spool.root.path().to_string_lossy().into_owned(),
        protocol_version: crate::mail::message::PROTOCOL,
        messages: spool.index.count()?,
        active: count(Status::Active),
        inactive: count(Status::Inactive),
        stashed: count(Status::Stashed),
        unfinished: staged.iter().filter(|name| name.starts_with(OURS)).count(),
        problems: accounts.into_iter().filter_map(|account| account.problem).collect(),
    })
}

/// Every registration of a root, sorted by address.
///
/// # Errors
/// As [`overview`].
pub fn accounts(path: &Path) -> Result<Vec<AccountEntry>, MailError> {
    accounts_of(&Spool::open(path)?)
}

fn accounts_of(spool: &Spool) -> Result<Vec<AccountEntry>, MailError> {
    let entries = spool.index.registrations()?.into_iter().map(|row| {
        let problem = match row.status {
            Status::Active => spool.root.check_folders(&row).err().map(|error| error.to_string()),
            _ => None,
        };
        Ok(AccountEntry {
            messages: spool.index.total(&row.registration_id)?,
            unread: spool.index.unread(&row.registration_id, BoxName::INBOX)?,
            address: row.address,
            registration_id: row.registration_id,
            principal_id: row.owner_principal_id,
            status: row.status.as_str(),
            mailbox_kind: row.kind,
            mailbox_path: row.mailbox_path,
            display_name: row.display_name,
            created_at_utc: row.created_at_utc,
            deactivated_at_utc: row.deactivated_at_utc,
            problem,
        })
    });
    entries.collect()
}

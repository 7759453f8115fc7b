//! Who has which address: `mailbox_registrations`.

use rusqlite::{OptionalExtension, Row, params};

use super::{Index, MailStoreError};
use crate::api::MailboxKind;

/// Is a registration in use?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Gets mail.
    Active,
    /// Was given up, or replaced.
    Inactive,
    /// Was parked with its mail when another one took the address.
    Stashed,
}

impl Status {
    /// As the contract writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Stashed => "stashed",
        }
    }

    fn of(text: &str) -> Self {
        match text {
            "active" => Self::Active,
            "stashed" => Self::Stashed,
            _ => Self::Inactive,
        }
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "contract section 7.3")]
pub struct RegistrationRow {
    pub registration_id: String,
    pub address: String,
    pub owner_principal_id: String,
    pub status: Status,
    pub kind: MailboxKind,
    pub mailbox_path: String,
    pub mailbox_entry_path: String,
    pub display_name: Option<String>,
    pub manifest_path_hint: Option<String>,
    pub role: Option<String>,
    pub created_at_utc: String,
    pub deactivated_at_utc: Option<String>,
    pub replaced_by_registration_id: Option<String>,
}

const COLUMNS: &str = "registration_id, address, owner_principal_id, status, mailbox_kind, mailbox_path, \
     mailbox_entry_path, display_name, manifest_path_hint, role, created_at_utc, deactivated_at_utc, \
     replaced_by_registration_id";

fn of_row(row: &Row<'_>) -> rusqlite::Result<RegistrationRow> {
    let (status, kind): (String, String) = (row.get(3)?, row.get(4)?);
    Ok(RegistrationRow {
        registration_id: row.get(0)?,
        address: row.get(1)?,
        owner_principal_id: row.get(2)?,
        status: Status::of(&status),
        kind: if kind == "symlink" { MailboxKind::Symlink } else { MailboxKind::InRoot },
        mailbox_path: row.get(5)?,
        mailbox_entry_path: row.get(6)?,
        display_name: row.get(7)?,
        manifest_path_hint: row.get(8)?,
        role: row.get(9)?,
        created_at_utc: row.get(10)?,
        deactivated_at_utc: row.get(11)?,
        replaced_by_registration_id: row.get(12)?,
    })
}

impl Index {
    /// All, sorted by address, the active one first.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn registrations(&self) -> Result<Vec<RegistrationRow>, MailStoreError> {
        let text = format!(
            "SELECT {COLUMNS} FROM mailbox_registrations ORDER BY address, status <> 'active', created_at_utc DESC, rowid"
        );
        self.file.read(|connection| {
            let mut statement = connection.prepare_cached(&text)?;
            statement.query_map([], of_row)?.collect()
        })
    }

    /// The one that gets this address's mail.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn active(&self, address: &str) -> Result<Option<RegistrationRow>, MailStoreError> {
        let text = format!("SELECT {COLUMNS} FROM mailbox_registrations WHERE address = ?1 AND status = 'active'");
        self.file.read(|connection| connection.prepare_cached(&text)?.query_row([address], of_row).optional())
    }

    /// The one of this id.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn registration(&self, id: &str) -> Result<Option<RegistrationRow>, MailStoreError> {
        let text = format!("SELECT {COLUMNS} FROM mailbox_registrations WHERE registration_id = ?1");
        self.file.read(|connection| connection.prepare_cached(&text)?.query_row([id], of_row).optional())
    }

    /// Writes all these rows, or none. Rows of the same id are replaced. What `forgotten` names loses its state and
    /// its projections.
    ///
    /// # Errors
    /// [`MailStoreError`].
    pub fn put_registrations(
        &mut self,
        rows: &[RegistrationRow],
        forgotten: Option<&str>,
    ) -> Result<(), MailStoreError> {
        self.file.change(|change| {
            if let Some(id) = forgotten {
                for table in ["mailbox_projections", "mailbox_state", "agents_mirrors"] {
                    change.execute(&format!("DELETE FROM {table} WHERE registration_id = ?1"), [id])?;
                }
            }
            for row in rows {
                // A stashed folder has another path, and so have the links in it.
                let old: Option<String> = change
                    .query_row(
                        "SELECT mailbox_path FROM mailbox_registrations WHERE registration_id = ?1",
                        [&row.registration_id],
                        |found| found.get(0),
                    )
                    .optional()?;
                if let Some(old) = old.filter(|old| *old != row.mailbox_path) {
                    change.execute(
                        "UPDATE mailbox_projections SET projection_path = ?3 || substr(projection_path, length(?2) + 1) \
                         WHERE registration_id = ?1 AND substr(projection_path, 1, length(?2)) = ?2",
                        params![row.registration_id, old, row.mailbox_path],
                    )?;
                }
                change.execute(
                    &format!(
                        "INSERT OR REPLACE INTO mailbox_registrations ({COLUMNS}) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
                    ),
                    params![
                        row.registration_id,
                        row.address,
                        row.owner_principal_id,
                        row.status.as_str(),
                        if row.kind == MailboxKind::Symlink { "symlink" } else { "in_root" },
                        row.mailbox_path,
                        row.mailbox_entry_path,
                        row.display_name,
                        row.manifest_path_hint,
                        row.role,
                        row.created_at_utc,
                        row.deactivated_at_utc,
                        row.replaced_by_registration_id,
                    ],
                )?;
            }
            Ok(())
        })
    }
}

//! Who gets mail here: making a root, registering an address, giving it up.

use std::path::{Path, PathBuf};

use super::{
    compose::{OPERATOR_PRINCIPAL, OPERATOR_ROLE},
    repair::SIDE_FILES,
    root::{FOLDERS, Root, stash_name},
    spool::{OURS, Spool},
};
use crate::{
    api::{FilesystemBinding, MailboxKind},
    mail::MailError,
    model::Address,
    os::{
        clock,
        files::FileError,
        folder::{Folder, Kind},
    },
    store::mail::{Index, Local, RegistrationRow, Status},
};

/// What becomes of a mailbox that somebody else has under the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegisterMode {
    /// Nothing: registering is refused.
    #[default]
    Safe,
    /// It is removed, with what it knows about its mail. The messages stay.
    Force,
    /// It is parked under another name.
    Stash,
}

/// What becomes of a mailbox that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnregisterMode {
    /// It stays and gets no more mail.
    #[default]
    Deactivate,
    /// It is removed. The messages stay.
    Purge,
}

/// Whom to register.
#[derive(Debug, Clone)]
pub struct Registering {
    /// Where mail is to go.
    pub address: Address,
    /// Who owns it: in v1 the canonical name of the agent.
    pub principal_id: String,
    /// What becomes of another owner.
    pub mode: RegisterMode,
    /// What people call the owner.
    pub display_name: Option<String>,
    /// The manifest of the owner's session.
    pub manifest_path_hint: Option<String>,
    /// What the owner is.
    pub role: Option<String>,
    /// Where the mailbox is, if not in the root: a folder that is there, or can be made.
    pub folder: Option<PathBuf>,
}

/// An address that gets mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// `reg-<32 hex>`.
    pub id: String,
    /// What to put into a session's manifest.
    pub binding: FilesystemBinding,
    /// It was so before.
    pub was_there: bool,
    /// The registration that had the address before, of another owner.
    pub replaced: Option<String>,
}

/// Makes a mailbox root, or what is missing of one, with the operator's mailbox. Returns whether it was there before.
///
/// # Errors
/// [`MailError`]; a folder with other things in it is left as it is.
pub fn init(path: &Path) -> Result<bool, MailError> {
    let (_, was_there) = open_or_make(path)?;
    Ok(was_there)
}

fn open_or_make(path: &Path) -> Result<(Spool, bool), MailError> {
    let root = Root::create(path)?;
    let index_path = root.index_path();
    let was_there = crate::os::files::inode(&index_path).is_some();
    let mut spool = {
        let _locks = root.lock(&[Address::OPERATOR])?;
        // Mail without an index is for `repair`: an empty one would make it disappear.
        let is_new = root.mailboxes()?.names()?.is_empty() && root.folder().child("messages")?.names()?.is_empty();
        if !was_there && !is_new && crate::os::files::inode(&index_path).is_none() {
            return Err(MailError::Damaged(format!("the index `{}` is missing", index_path.display())));
        }
        let index = Index::create(&index_path)?;
        let mut spool = Spool::of(root, index);
        spool.recover(true)?;
        ensure_operator(&mut spool)?;
        spool
    };
    spool.recover(false)?;
    Ok((spool, was_there))
}

/// Registers the operator, whom every root has.
pub(super) fn ensure_operator(spool: &mut Spool) -> Result<(), MailError> {
    if spool.active(Address::OPERATOR)?.is_none() {
        let wish = Registering {
            address: Address::operator(),
            principal_id: OPERATOR_PRINCIPAL.to_owned(),
            mode: RegisterMode::Safe,
            display_name: Some("Operator".to_owned()),
            manifest_path_hint: None,
            role: Some(OPERATOR_ROLE.to_owned()),
            folder: None,
        };
        add(spool, &wish, &[])?;
    }
    Ok(())
}

/// Gives an address to an owner, so that it gets mail. The root is made if it is not there. The same owner again
/// changes nothing.
///
/// # Errors
/// [`MailError::Taken`] for an address of somebody else with [`RegisterMode::Safe`], and others.
pub fn register(root: &Path, wish: &Registering) -> Result<Registration, MailError> {
    if wish.principal_id.trim().is_empty() {
        return Err(MailError::Invalid("a mailbox needs an owner".to_owned()));
    }
    if wish.address.is_reserved() {
        return Err(MailError::Invalid(format!("{} is reserved: no agent can have it", wish.address)));
    }
    let (mut spool, _) = open_or_make(root)?;
    let _locks = spool.lock(&[wish.address.as_str()])?;
    let address = wish.address.as_str();
    let all = spool.index.registrations()?;
    let of_address = |row: &&RegistrationRow| row.address == address;
    let active = all.iter().find(|row| row.address == address && row.status == Status::Active).cloned();
    if let Some(row) = &active {
        if row.owner_principal_id == wish.principal_id {
            make_mailbox(&mut spool, row)?;
            return done(&spool, row, true, None);
        }
        if wish.mode == RegisterMode::Safe {
            return Err(MailError::Taken(format!("{address} belongs to {}", row.owner_principal_id)));
        }
    }
    let parked = all.iter().filter(of_address).find(|row| row.status == Status::Inactive && is_in_place(&spool, row));
    let is_back = active.is_none() && parked.is_some_and(|row| row.owner_principal_id == wish.principal_id);
    if let Some(folder) = wish.folder.as_deref().filter(|_| !is_back) {
        refuse_folder(&spool, wish, folder, &all)?;
    }
    match (active, parked) {
        (Some(row), _) => replace(&mut spool, wish, &row),
        (None, Some(row)) if row.owner_principal_id == wish.principal_id => {
            let row = RegistrationRow { status: Status::Active, deactivated_at_utc: None, ..row.clone() };
            make_mailbox(&mut spool, &row)?;
            spool.index.put_registrations(std::slice::from_ref(&row), None)?;
            done(&spool, &row, false, None)
        }
        // Somebody else's mail lies there still. It is parked, whatever the mode: nobody asked to destroy it.
        (None, Some(row)) => {
            replace(&mut spool, &Registering { mode: RegisterMode::Stash, ..wish.clone() }, &row.clone())
        }
        (None, None) => {
            let row = add(&mut spool, wish, &[])?;
            done(&spool, &row, false, None)
        }
    }
}

/// Refuses a folder outside the root that is not only this owner's: two mailboxes in one folder would share one file of
/// what is read.
fn refuse_folder(spool: &Spool, wish: &Registering, folder: &Path, all: &[RegistrationRow]) -> Result<(), MailError> {
    let shown = folder.display();
    if !folder.is_absolute() {
        return Err(MailError::Invalid(format!("the mailbox folder `{shown}` is not absolute")));
    }
    let real = real_path(folder);
    let overlaps = |other: &Path| real.starts_with(other) || other.starts_with(&real);
    if overlaps(spool.root.path()) {
        return Err(MailError::Invalid(format!(
            "the mailbox folder `{shown}` and the mailbox root `{}` are one in the other; give a folder of its own",
            spool.root.path().display()
        )));
    }
    let in_use = |row: &&RegistrationRow| {
        (row.status != Status::Inactive || is_in_place(spool, row))
            && overlaps(&real_path(Path::new(&row.mailbox_path)))
    };
    if let Some(row) = all.iter().find(in_use) {
        return Err(MailError::Invalid(format!(
            "the mailbox folder `{shown}` is in use by {} ({}); give a folder of its own",
            row.address, row.owner_principal_id
        )));
    }
    let there = match Folder::open(&real) {
        Ok(there) => there,
        Err(FileError::Missing { .. }) => return Ok(()),
        Err(error) => return Err(MailError::Invalid(format!("the mailbox folder cannot be used: {error}"))),
    };
    let is_ours =
        |name: &str| FOLDERS.contains(&name) || SIDE_FILES.iter().any(|end| name == format!("mailbox.sqlite{end}"));
    let names = there.names()?;
    if there.kind("mailbox.sqlite")? != Kind::Plain {
        return match names.iter().find(|name| !is_ours(name)) {
            None => Ok(()),
            Some(other) => Err(MailError::Invalid(format!(
                "the mailbox folder `{shown}` is no mailbox and not empty (it has `{}`)",
                other.escape_debug()
            ))),
        };
    }
    // One that was registered before, here or in a root that was lost, is its owner's still.
    let note = Local::open(&real.join("mailbox.sqlite"))?.note()?;
    let note: serde_json::Value = note.and_then(|note| serde_json::from_str(&note).ok()).unwrap_or_default();
    let says = |key: &str| note[key].as_str().map(str::to_owned);
    match (says("address"), says("owner_principal_id")) {
        (Some(address), Some(owner)) if address != wish.address.as_str() || owner != wish.principal_id => {
            Err(MailError::Invalid(format!(
                "the mailbox folder `{shown}` is the mailbox of {address} ({owner}); give a folder of its own"
            )))
        }
        _ => Ok(()),
    }
}

/// A path without links, also of something that is not there yet.
fn real_path(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            return real.join(rest);
        }
    }
    path.to_owned()
}

/// Is the mailbox of a registration that is not active still under its address?
fn is_in_place(spool: &Spool, row: &RegistrationRow) -> bool {
    row.replaced_by_registration_id.is_none()
        && spool
            .root
            .mailboxes()
            .and_then(|folder| Ok(folder.kind(&row.address)?))
            .is_ok_and(|kind| kind != Kind::Missing)
}

/// Takes the address from its owner. The folder moves first, in one step: whoever comes next finds either the old mailbox
/// under the old registration, or none.
fn replace(spool: &mut Spool, wish: &Registering, old: &RegistrationRow) -> Result<Registration, MailError> {
    let mailboxes = spool.root.mailboxes()?;
    let is_stash = wish.mode == RegisterMode::Stash;
    spool.forget(&old.registration_id);
    let entry = mailboxes.path().join(stash_name(&old.address, &old.registration_id));
    let now = clock::now().iso_seconds_z();
    let mut gone = RegistrationRow { deactivated_at_utc: Some(now), ..old.clone() };
    if is_stash {
        let name = stash_name(&old.address, &old.registration_id);
        if mailboxes.kind(&old.address)? != Kind::Missing && mailboxes.kind(&name)? == Kind::Missing {
            mailboxes.rename(&old.address, &mailboxes, &name)?;
        }
        gone.status = Status::Stashed;
        gone.mailbox_entry_path = entry.to_string_lossy().into_owned();
        if gone.kind == MailboxKind::InRoot {
            gone.mailbox_path.clone_from(&gone.mailbox_entry_path);
        }
    } else {
        take_away(spool, old)?;
        gone.status = Status::Inactive;
    }
    let row = add(spool, wish, &[(gone, !is_stash)])?;
    if !is_stash {
        spool.root.staging()?.remove_all(&purged_name(&old.registration_id))?;
    }
    done(spool, &row, false, Some(old.registration_id.clone()))
}

fn purged_name(registration: &str) -> String {
    format!("{OURS}purged-{registration}")
}

/// Moves a mailbox out of sight, to be removed. What a link leads to stays where it is.
fn take_away(spool: &Spool, row: &RegistrationRow) -> Result<(), MailError> {
    let (mailboxes, staging) = (spool.root.mailboxes()?, spool.root.staging()?);
    if mailboxes.kind(&row.address)? == Kind::Missing {
        return Ok(());
    }
    staging.remove_all(&purged_name(&row.registration_id))?;
    Ok(mailboxes.rename(&row.address, &staging, &purged_name(&row.registration_id))?)
}

/// Writes a new registration, together with what becomes of others.
fn add(
    spool: &mut Spool,
    wish: &Registering,
    others: &[(RegistrationRow, bool)],
) -> Result<RegistrationRow, MailError> {
    let entry = spool.root.mailboxes()?.path().join(wish.address.as_str());
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let row = RegistrationRow {
        registration_id: format!("reg-{}", uuid::Uuid::new_v4().simple()),
        address: wish.address.to_string(),
        owner_principal_id: wish.principal_id.clone(),
        status: Status::Active,
        kind: if wish.folder.is_some() { MailboxKind::Symlink } else { MailboxKind::InRoot },
        mailbox_path: text(wish.folder.as_deref().unwrap_or(&entry)),
        mailbox_entry_path: text(&entry),
        display_name: wish.display_name.clone(),
        manifest_path_hint: wish.manifest_path_hint.clone(),
        role: wish.role.clone(),
        created_at_utc: clock::now().iso_seconds_z(),
        deactivated_at_utc: None,
        replaced_by_registration_id: None,
    };
    make_mailbox(spool, &row)?;
    let mut rows: Vec<RegistrationRow> = others
        .iter()
        .map(|(other, _)| RegistrationRow {
            replaced_by_registration_id: Some(row.registration_id.clone()),
            ..other.clone()
        })
        .collect();
    let forgotten = others.iter().find(|(_, forget)| *forget).map(|(other, _)| other.registration_id.clone());
    rows.push(row.clone());
    spool.index.put_registrations(&rows, forgotten.as_deref())?;
    Ok(row)
}

/// Makes the folders of a mailbox, its own file, and the note in it that says whose it is.
pub(super) fn make_mailbox(spool: &mut Spool, row: &RegistrationRow) -> Result<(), MailError> {
    let mailboxes = spool.root.mailboxes()?;
    match row.kind {
        MailboxKind::InRoot => drop(mailboxes.make(&row.address)?),
        MailboxKind::Symlink => {
            let folder = Path::new(&row.mailbox_path);
            if !folder.is_absolute() {
                return Err(MailError::Invalid(format!("the mailbox folder `{}` is not absolute", folder.display())));
            }
            crate::os::files::create_private_dir(folder)?;
            mailboxes.link_to(&row.address, folder)?;
        }
    }
    let folder = spool.root.mailbox(row)?;
    for name in FOLDERS {
        folder.make(name)?;
    }
    set_note(spool, row)
}

/// What a mailbox's own file says about its registration, for a lost index.
fn set_note(spool: &mut Spool, row: &RegistrationRow) -> Result<(), MailError> {
    let note = serde_json::json!({
        "registration_id": row.registration_id,
        "address": row.address,
        "owner_principal_id": row.owner_principal_id,
        "display_name": row.display_name,
        "manifest_path_hint": row.manifest_path_hint,
        "role": row.role,
        "created_at_utc": row.created_at_utc,
        "inactive": row.status == Status::Inactive,
    });
    Ok(spool.local(row)?.set_note(&note.to_string())?)
}

fn done(
    spool: &Spool,
    row: &RegistrationRow,
    was_there: bool,
    replaced: Option<String>,
) -> Result<Registration, MailError> {
    let binding = FilesystemBinding {
        principal_id: row.owner_principal_id.clone(),
        address: super::compose::address(&row.address)?,
        bindings_version: clock::now().iso_micros_z(),
        filesystem_root: spool.root.path().to_string_lossy().into_owned(),
        mailbox_kind: row.kind,
        mailbox_path: Some(row.mailbox_path.clone()),
    };
    Ok(Registration { id: row.registration_id.clone(), binding, was_there, replaced })
}

/// Gives an address up: it gets no more mail. Returns the registration's id.
///
/// # Errors
/// [`MailError::NotRegistered`] for an address without a mailbox, and others.
pub fn unregister(root: &Path, address: &Address, mode: UnregisterMode) -> Result<String, MailError> {
    if *address == Address::operator() {
        return Err(MailError::Invalid("the operator's mailbox belongs to the root and stays".to_owned()));
    }
    let mut spool = Spool::open(root)?;
    let _locks = spool.lock(&[address.as_str()])?;
    spool.recover(true)?;
    let all = spool.index.registrations()?;
    let mut of_address = all.into_iter().filter(|row| row.address == address.as_str());
    let wanted = |row: &RegistrationRow| {
        row.status == Status::Active || (mode == UnregisterMode::Purge && row.status == Status::Inactive)
    };
    let Some(row) = of_address.find(wanted) else {
        return Err(MailError::NotRegistered(format!("{address} has no mailbox in `{}`", root.display())));
    };
    let gone = RegistrationRow {
        status: Status::Inactive,
        deactivated_at_utc: Some(clock::now().iso_seconds_z()),
        ..row.clone()
    };
    spool.forget(&row.registration_id);
    match mode {
        UnregisterMode::Deactivate => {
            spool.index.put_registrations(std::slice::from_ref(&gone), None)?;
            // Only a lost index asks for it.
            if let Err(error) = set_note(&mut spool, &gone) {
                tracing::warn!(address = gone.address, error = %error, "the mailbox does not know that it was given up");
            }
        }
        UnregisterMode::Purge => {
            take_away(&spool, &row)?;
            spool.index.put_registrations(&[gone], Some(&row.registration_id))?;
            spool.root.staging()?.remove_all(&purged_name(&row.registration_id))?;
        }
    }
    Ok(row.registration_id)
}

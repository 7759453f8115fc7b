//! The password of a JMAP mailbox: one file, ours alone, never shown.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    mail::MailError,
    model::{Address, shell_quote},
    os::files,
};

/// A text that is never shown, not even by a debugger's print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// For the header of a request, and for nothing else.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// What the file holds (contract section 7.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "contract section 7.4")]
pub struct Credential {
    pub credential_ref: String,
    pub login_identity: String,
    pub password: Secret,
    /// Certificates in PEM that alone vouch for the server, in a file beside the contract's; `None`: what the system
    /// trusts.
    #[serde(skip)]
    pub authority: Option<String>,
}

/// Folder of all credentials below `home`; a session has copies of its own.
pub fn common_folder(home: &Path) -> PathBuf {
    home.join("runtime").join("mailbox-credentials").join("stalwart")
}

/// A name for the credential of an address: safe as a file name, the same each time.
pub fn reference_for(address: &Address) -> String {
    format!("stalwart-{address}")
}

/// Where a folder keeps a credential.
///
/// # Errors
/// [`MailError::Invalid`] for a reference that is not a plain name.
pub fn path_in(folder: &Path, credential_ref: &str) -> Result<PathBuf, MailError> {
    let plain = (1..=200).contains(&credential_ref.len())
        && credential_ref.starts_with(|c: char| c.is_ascii_alphanumeric())
        && credential_ref.chars().all(|c| c.is_ascii_alphanumeric() || "._+@-".contains(c));
    if !plain {
        return Err(MailError::Invalid("the mailbox's `credential_ref` is not a plain name".to_owned()));
    }
    Ok(folder.join(format!("{credential_ref}.json")))
}

/// Where it keeps who vouches for the server.
fn authority_in(folder: &Path, credential_ref: &str) -> Result<PathBuf, MailError> {
    Ok(path_in(folder, credential_ref)?.with_extension("ca.pem"))
}

/// Writes a credential into each of `folders`, which are made where they are missing: folders 0700, files 0600.
///
/// # Errors
/// [`MailError`]; no message ever holds the password.
pub fn store_credential(credential: &Credential, folders: &[&Path]) -> Result<(), MailError> {
    if credential.login_identity.contains(':') || credential.login_identity.is_empty() {
        return Err(MailError::Invalid("a login is not empty and has no `:`".to_owned()));
    }
    if credential.password.0.is_empty() || credential.password.0.chars().any(char::is_control) {
        return Err(MailError::Invalid("a password is one line and not empty".to_owned()));
    }
    let text = serde_json::to_vec(credential).map_err(|error| MailError::Invalid(error.to_string()))?;
    for folder in folders {
        let path = path_in(folder, &credential.credential_ref)?;
        let authority = authority_in(folder, &credential.credential_ref)?;
        files::create_private_dir(folder)
            .and_then(|()| files::check_private_dir(folder))
            .and_then(|()| match &credential.authority {
                Some(text) => files::replace(&authority, text.as_bytes(), files::Durability::Disk),
                None => files::remove(&authority),
            })
            .and_then(|()| files::replace(&path, &text, files::Durability::Disk))
            .map_err(|error| MailError::Damaged(error.to_string()))?;
    }
    Ok(())
}

/// Removes a session's copy; a missing one is fine.
///
/// # Errors
/// [`MailError`].
pub fn forget_credential(folder: &Path, credential_ref: &str) -> Result<(), MailError> {
    let authority = authority_in(folder, credential_ref)?;
    files::remove(&path_in(folder, credential_ref)?)
        .and_then(|()| files::remove(&authority))
        .map_err(|error| MailError::Damaged(error.to_string()))
}

/// Whether a certificate authority is kept with a credential.
pub fn has_authority(folder: &Path, credential_ref: &str) -> bool {
    authority_in(folder, credential_ref).is_ok_and(|path| path.exists())
}

/// Reads a credential that nobody else can read.
pub(super) fn load(folder: &Path, credential_ref: &str) -> Result<Credential, MailError> {
    let path = path_in(folder, credential_ref)?;
    let shown = shell_quote(&path.to_string_lossy());
    let bytes = files::read_secret(&path).map_err(|error| match error {
        files::FileError::Missing { .. } => {
            MailError::Rejected(format!("the password of this mailbox is not here: {shown} does not exist"))
        }
        files::FileError::Unsafe { why, .. } => {
            MailError::Rejected(format!("{shown} {why}; make it yours alone: `chmod 600 {shown}`"))
        }
        other => MailError::Rejected(other.to_string()),
    })?;
    // The parser's own words could quote the file.
    let credential: Credential = serde_json::from_slice(&bytes).map_err(|error| {
        MailError::Rejected(format!("{shown} holds no credential (line {}, column {})", error.line(), error.column()))
    })?;
    // One that somebody else could change vouches for nobody, and the system's do not step in for it.
    let authority = match files::read_secret(&authority_in(folder, credential_ref)?) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(files::FileError::Missing { .. }) => None,
        Err(error) => return Err(MailError::Rejected(error.to_string())),
    };
    Ok(Credential { authority, ..credential })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn credential() -> Credential {
        Credential {
            credential_ref: reference_for(&"alpha@agents.localhost".parse().unwrap()),
            login_identity: "alpha".to_owned(),
            password: Secret::new("swordfish".to_owned()),
            authority: Some("a certificate".to_owned()),
        }
    }

    #[test]
    fn a_secret_is_ours_alone_and_never_shown() {
        let home = tempfile::tempdir().unwrap();
        let (all, own) = (common_folder(home.path()), home.path().join("s/mailbox-secrets"));
        let credential = credential();
        store_credential(&credential, &[&all, &own]).unwrap();
        assert!(!format!("{credential:?}").contains("swordfish"));
        for folder in [&all, &own] {
            let path = path_in(folder, &credential.credential_ref).unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
            assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
            assert_eq!(load(folder, &credential.credential_ref), Ok(credential.clone()));
        }
        let path = path_in(&own, &credential.credential_ref).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = load(&own, &credential.credential_ref).unwrap_err();
        assert!(refused.to_string().contains("chmod 600"), "{refused}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();

        // Nor does one vouch that others can reach; and the system's do not step in for it.
        let authority = authority_in(&own, &credential.credential_ref).unwrap();
        assert_eq!(authority.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        std::fs::set_permissions(&authority, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load(&own, &credential.credential_ref), Err(MailError::Rejected(_))));
        store_credential(&Credential { authority: None, ..credential.clone() }, &[&own]).unwrap();
        assert_eq!(load(&own, &credential.credential_ref).unwrap().authority, None);
        assert!(!has_authority(&own, &credential.credential_ref) && has_authority(&all, &credential.credential_ref));
        forget_credential(&own, &credential.credential_ref).unwrap();
        forget_credential(&own, &credential.credential_ref).unwrap();
        assert!(load(&own, &credential.credential_ref).unwrap_err().to_string().contains("does not exist"));
    }

    #[test]
    fn a_damaged_secret_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        files::replace(
            &path,
            br#"{"credential_ref":"x","login_identity":"a","password":swordfish}"#,
            files::Durability::Process,
        )
        .unwrap();
        let refused = load(folder.path(), "x").unwrap_err();
        assert!(matches!(refused, MailError::Rejected(_)) && !refused.to_string().contains("swordfish"), "{refused}");
        for wrong in ["", "../x", "a/b", ".x"] {
            assert!(load(folder.path(), wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        for (login, password) in [("", "x"), ("a:b", "x"), ("a", ""), ("a", "x\ny")] {
            let credential = Credential {
                login_identity: login.to_owned(),
                password: Secret::new(password.to_owned()),
                ..credential()
            };
            assert!(store_credential(&credential, &[folder.path()]).is_err(), "{login} {password}");
        }
    }
}

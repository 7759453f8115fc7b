//! Reading and writing one JSON document, with every way it can be wrong told apart.

use std::path::{Path, PathBuf};

use crate::{
    api::{BrokenRule, DesiredConfig, Document},
    model::{ErrorCode, Failure},
    os::files::{self, Durability, FileError},
};

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// No bytes in it.
    #[error("`{}` is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// The document's name.
        document: &'static str,
    },
    /// Not JSON, or not of this document's shape.
    #[error("`{}` is not a valid {document}: line {line}, column {column}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The document's name.
        document: &'static str,
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
        /// The parser's words.
        why: String,
    },
    /// A schema version that this program does not speak.
    #[error("`{}` has schema_version {found}; this program reads {wanted}", path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u64,
        /// Version that we speak.
        wanted: u32,
    },
    /// The shape is right, the content breaks a rule.
    #[error("`{}` breaks a rule of {document}: {why}", path.display())]
    Rule {
        /// The file.
        path: PathBuf,
        /// The document's name.
        document: &'static str,
        /// The rule.
        why: BrokenRule,
    },
}

impl DocumentError {
    /// The file does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::File(FileError::Missing { .. }))
    }

    /// A gateway's record claims the agent's window: nothing that it names may be touched.
    pub fn claims_window_zero(&self) -> bool {
        matches!(self, Self::Rule { why: BrokenRule::ClaimsWindowZero, .. })
    }
}

impl From<DocumentError> for Failure {
    fn from(error: DocumentError) -> Self {
        let message = error.to_string();
        match error {
            DocumentError::File(inner) => inner.into(),
            DocumentError::OtherVersion { found, wanted, .. } => {
                let hint = if found > u64::from(wanted) {
                    "a newer program wrote it: use that one, or a newer version of this"
                } else {
                    "an older program wrote it: launch or join the session again"
                };
                Self::new(ErrorCode::Incompatible, message, hint)
            }
            // The one document that people edit: their slip, and the keys are what they need.
            DocumentError::Empty { document, .. }
            | DocumentError::Malformed { document, .. }
            | DocumentError::Rule { document, .. }
                if document == DesiredConfig::NAME =>
            {
                Self::usage(
                    message,
                    format!("mend or remove the file; its keys are {}", DesiredConfig::KEYS.join(", ")),
                )
            }
            _ => Self::refused(message, "nothing was changed; `agents doctor` lists damaged files and what mends them"),
        }
    }
}

/// Reads a document and checks it against its whole contract.
///
/// # Errors
/// [`DocumentError`].
pub fn load<D: Document>(path: &Path) -> Result<D, DocumentError> {
    let bytes = files::read(path)?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(DocumentError::Empty { path: path.to_owned(), document: D::NAME });
    }
    // Derived readers take a list for an object whose fields come in order; the contract does not.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        let why = "a list stands where an object must".to_owned();
        return Err(DocumentError::Malformed { path: path.to_owned(), document: D::NAME, line: 1, column: 1, why });
    }
    let malformed = |error: &serde_json::Error| DocumentError::Malformed {
        path: path.to_owned(),
        document: D::NAME,
        line: error.line(),
        column: error.column(),
        why: without_position(error),
    };
    let document: D = match (other_version::<D>(&bytes), serde_json::from_slice(&bytes)) {
        (None, Ok(document)) => document,
        (None, Err(error)) => return Err(malformed(&error)),
        // A newer file has keys that we do not know: the version is the better explanation.
        (Some((found, value)), _) => D::upgraded(value).ok_or_else(|| DocumentError::OtherVersion {
            path: path.to_owned(),
            found,
            wanted: D::SCHEMA_VERSION,
        })?,
    };
    document.check().map_err(|why| DocumentError::Rule { path: path.to_owned(), document: D::NAME, why })?;
    Ok(document)
}

/// The version of a document of another one, and its content.
fn other_version<D: Document>(bytes: &[u8]) -> Option<(u64, serde_json::Value)> {
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let found = value.get("schema_version")?.as_u64()?;
    (found != u64::from(D::SCHEMA_VERSION)).then_some((found, value))
}

/// The parser's words, short, and without its own "at line 3 column 7", which the message already says.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let why = text.rsplit_once(" at line ").map_or(text.as_str(), |(why, _)| why);
    // A document has up to thirty keys; naming them all hides the one that is wrong.
    match why.split_once(", expected one of ") {
        Some((short, known)) if known.len() > 200 => short.to_owned(),
        _ => why.to_owned(),
    }
}

/// As [`load`], with a missing file as `None`.
///
/// # Errors
/// [`DocumentError`] for everything else.
pub fn load_if_present<D: Document>(path: &Path) -> Result<Option<D>, DocumentError> {
    match load(path) {
        Err(error) if error.is_missing() => Ok(None),
        other => other.map(Some),
    }
}

/// The document as it stands in files: keys sorted, two spaces, a final line break (contract section 0).
pub fn render<D: Document>(document: &D) -> Vec<u8> {
    // Through a value, because its objects are sorted. Our types have string keys only, so this cannot fail.
    let value = serde_json::to_value(document).unwrap_or_default();
    let mut bytes = serde_json::to_vec_pretty(&value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Writes a document if its content changed. Returns whether it did.
///
/// # Errors
/// [`FileError`]; the old document is then untouched.
pub fn store<D: Document>(path: &Path, document: &D) -> Result<bool, FileError> {
    store_bytes(path, &render(document))
}

/// As [`store`], for a file that is not JSON.
///
/// # Errors
/// [`FileError`].
pub fn store_bytes(path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    if files::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    files::replace(path, bytes, Durability::Process)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::CurrentInstance;

    fn check(content: &[u8], wanted: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("desired-config.json");
        files::replace(&path, content, Durability::Process).unwrap();
        let said = match load::<DesiredConfig>(&path) {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(said.contains(wanted), "{said}");
    }

    #[test]
    fn a_claim_on_window_0_is_told_from_other_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("current-instance.json");
        let claims = |index: &str, port: u16| {
            let record = serde_json::json!({
                "schema_version": 1, "protocol_version": "v1", "pid": 1, "host": "127.0.0.1", "port": port,
                "execution_mode": "tmux_auxiliary_window", "tmux_window_id": "@1", "tmux_window_index": index,
                "tmux_pane_id": "%1", "managed_agent_instance_epoch": 1,
            });
            files::replace(&path, record.to_string().as_bytes(), Durability::Process).unwrap();
            load::<CurrentInstance>(&path).err().map(|error| error.claims_window_zero())
        };
        assert_eq!(claims("1", 80), None);
        assert_eq!(claims("0", 80), Some(true));
        assert_eq!(claims("window 0", 0), Some(false));
    }

    #[test]
    fn every_kind_of_damage_has_its_own_words() {
        check(b"", "is empty");
        check(b"  \n", "is empty");
        check(b"{\"schema_version\": 1", "line 1, column 20");
        check(b"{\"schema_version\": 2, \"new\": true}", "schema_version 2; this program reads 1");
        check(b"{\"schema_version\": 1, \"desired_prot\": 1}", "unknown field `desired_prot`");
        check(b"{\"schema_version\": 1, \"desired_port\": \"80\"}", "invalid type: string");
        check(b"{\"schema_version\": 1, \"desired_port\": 80, \"desired_port\": 81}", "duplicate field");
        check(b"{\"schema_version\": 1, \"desired_port\": NaN}", "line 1");
        check(b"{\"schema_version\": 1} trailing", "trailing characters");
        check(b"{\"schema_version\": 1, \"desired_port\": 0}", "must be 1 to 65535");
        check(&[b"{\"desired_tui_tracking_timings\":".as_slice(), &b"[".repeat(10_000)].concat(), "line 1");
        check(b"\xff\xfe{}", "line 1");
        check(b" [1]", "a list stands where an object must");
        check(b"{}", "fine");
    }
}

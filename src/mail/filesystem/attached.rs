//! What is in an attachment: the file that its sender had, if it is still that one.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{
    api::AttachmentView,
    mail::{LARGEST_ATTACHMENT, MailError, too_large},
    os::files::{self, FileError},
};

/// Reads the file that a message names. A path in a message is a sender's word for any file of this user's: only who
/// knew what is in it gets it.
pub(super) fn content(file: &AttachmentView) -> Result<Vec<u8>, MailError> {
    let locator = file.locator.as_deref().unwrap_or_default();
    let gone = |why: &str| {
        MailError::NoAttachment(format!("the attachment `{}` cannot be fetched: {why}", locator.escape_debug()))
    };
    let Some(wanted) = &file.sha256 else {
        return Err(gone("its sender did not say what is in it, so nothing proves that it is still the same"));
    };
    let path = Path::new(locator);
    if !path.is_absolute() {
        return Err(gone("it has no absolute path"));
    }
    // Its sender may have named a link.
    let real = path.canonicalize().map_err(|error| gone(&error.to_string()))?;
    let bytes = files::read_within(&real, LARGEST_ATTACHMENT).map_err(|error| match error {
        FileError::TooLarge { bytes, .. } => too_large(bytes),
        error => gone(&error.to_string()),
    })?;
    let found = format!("{:x}", Sha256::digest(&bytes));
    if found.eq_ignore_ascii_case(wanted) { Ok(bytes) } else { Err(gone("it was changed since it was sent")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(locator: &Path, sha256: Option<&str>) -> AttachmentView {
        AttachmentView {
            attachment_id: "a".to_owned(),
            kind: "path_ref".to_owned(),
            media_type: "text/plain".to_owned(),
            locator: Some(locator.display().to_string()),
            size_bytes: None,
            sha256: sha256.map(str::to_owned),
            label: None,
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "plays the sender")]
    fn only_what_was_sent_is_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan");
        std::fs::write(&path, "the plan").unwrap();
        let digest = files::digest(&path).unwrap().0;
        assert_eq!(content(&file(&path, Some(&digest))), Ok(b"the plan".to_vec()));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(content(&file(&link, Some(&digest.to_uppercase()))), Ok(b"the plan".to_vec()));
        std::fs::write(folder.path().join("other"), "a secret").unwrap();
        for (place, digest, why) in [
            ("other", Some(digest.as_str()), "changed"),
            ("plan", None, "did not say"),
            ("missing", Some(&digest), "No such file"),
            (".", Some(&digest), "a folder"),
            ("../../../../../../../../etc/passwd", Some(&digest), "changed"),
        ] {
            let refused = content(&file(&folder.path().join(place), digest)).unwrap_err();
            assert_eq!((refused.code(), refused.to_string().contains(why)), ("no_attachment", true), "{refused}");
        }
        assert!(content(&file(Path::new("plan"), Some(&digest))).is_err());
        let large = std::fs::File::create(&path).unwrap();
        large.set_len(LARGEST_ATTACHMENT + 1).unwrap();
        assert_eq!(content(&file(&path, Some(&digest))).unwrap_err().code(), "invalid_mail");
    }
}

//! The agent's memory: one memo and a tree of pages (contract section 4.10).
//!
//! Owns: reading and writing below the memory root. Promises: no path leads out of it, not through `..`, not through a
//! link, not if one is put there meanwhile; a page is replaced wholly or not at all. Callers: `http` and `cli`.

mod desk;
mod error;

use std::path::Path;

pub use desk::Desk;
pub use error::MemoryError;

use crate::{
    api::{Manifest, MemoryAnswer, MemoryCall, MemoryPaths, PageEntry, PageKind},
    os::{
        beneath::{Beneath, BeneathError, Kind},
        files,
    },
};

/// Most bytes of a memo or page.
const LARGEST: usize = 16 * 1024 * 1024;
/// What a link to a page begins with, seen from the memo.
const PAGES: &str = "pages";

/// The memory of one agent. Nothing is open between calls.
#[derive(Debug, Clone)]
pub struct Memory {
    paths: MemoryPaths,
    /// Below the root.
    memo: String,
    pages: String,
}

impl Memory {
    /// The memory that a manifest names.
    ///
    /// # Errors
    /// [`MemoryError::NotBound`] without one, or where memo and pages are not below its root.
    pub fn of(manifest: &Manifest) -> Result<Self, MemoryError> {
        let paths = MemoryPaths::of(manifest)
            .ok_or_else(|| MemoryError::NotBound("the agent has no memory: it was launched without one".to_owned()))?;
        let root = Path::new(&paths.memory_root);
        let below = |path: &str, what: &str| {
            let inside = Path::new(path).strip_prefix(root).ok().and_then(Path::to_str);
            let inside = inside.filter(|_| root.is_absolute()).and_then(|inside| page(inside).ok());
            inside
                .filter(|inside| !inside.is_empty())
                .ok_or_else(|| MemoryError::NotBound(format!("the session's {what} is not below its memory root")))
        };
        Ok(Self { memo: below(&paths.memo_file, "memo file")?, pages: below(&paths.pages_dir, "pages folder")?, paths })
    }

    /// Where it is.
    pub fn paths(&self) -> &MemoryPaths {
        &self.paths
    }

    /// Does what is asked for.
    ///
    /// # Errors
    /// [`MemoryError`].
    pub fn answer(&self, call: &MemoryCall) -> Result<MemoryAnswer, MemoryError> {
        match call {
            MemoryCall::Paths => Ok(MemoryAnswer::Paths(self.paths.clone())),
            MemoryCall::Memo => self.memo(),
            MemoryCall::SetMemo { content } => {
                expect_content(content)?;
                self.root(true)?.write(&self.memo, content.as_bytes()).map_err(self.in_memo())?;
                self.memo()
            }
            MemoryCall::AppendMemo { content } => {
                expect_content(content)?;
                self.root(true)?.append(&self.memo, content.as_bytes()).map_err(self.in_memo())?;
                self.memo()
            }
            MemoryCall::Tree { path } => self.tree(path),
            MemoryCall::Resolve { path } => self.resolve(path),
            MemoryCall::Read { path } => self.read(path),
            MemoryCall::Write { path, content } => self.change("write_page", path, |pages, name| {
                expect_content(content)?;
                pages.write(name, content.as_bytes()).map_err(|error| MemoryError::of(error, name))?;
                Ok(format!("{} bytes written", content.len()))
            }),
            MemoryCall::Append { path, content } => self.change("append_page", path, |pages, name| {
                expect_content(content)?;
                pages.append(name, content.as_bytes()).map_err(|error| MemoryError::of(error, name))?;
                Ok(format!("{} bytes added", content.len()))
            }),
            MemoryCall::Delete { path } => self.change("delete_page", path, |pages, name| {
                pages.remove(name).map_err(|error| MemoryError::of(error, name))?;
                Ok("deleted".to_owned())
            }),
        }
    }

    fn memo(&self) -> Result<MemoryAnswer, MemoryError> {
        let read = self.root(false).and_then(|root| root.read(&self.memo, LARGEST as u64).map_err(self.in_memo()));
        let content = match read {
            Ok(bytes) => text(bytes, "the memo")?,
            // Nothing was noted yet.
            Err(MemoryError::Missing(_)) => String::new(),
            Err(error) => return Err(error),
        };
        Ok(MemoryAnswer::Memo { schema_version: 1, memo_file: self.paths.memo_file.clone(), content })
    }

    fn tree(&self, path: &str) -> Result<MemoryAnswer, MemoryError> {
        let name = page(path)?;
        let found =
            self.pages(false).and_then(|pages| pages.tree(&name).map_err(|error| MemoryError::of(error, &name)));
        let found = match found {
            // Nothing was written yet.
            Err(MemoryError::Missing(_)) if name.is_empty() => Vec::new(),
            found => found?,
        };
        let entries = found
            .into_iter()
            .map(|entry| PageEntry {
                relative_link: link(&entry.path),
                absolute_path: self.absolute(&entry.path),
                path: entry.path,
                kind: kind(entry.kind),
                size_bytes: entry.size,
            })
            .collect();
        let path = if name.is_empty() { ".".to_owned() } else { name };
        Ok(MemoryAnswer::Tree { schema_version: 1, root: self.paths.pages_dir.clone(), path, entries })
    }

    fn resolve(&self, path: &str) -> Result<MemoryAnswer, MemoryError> {
        let name = page(path)?;
        let look = |pages: Beneath| pages.look(&name).map_err(|error| MemoryError::of(error, &name));
        let found = match self.pages(false).and_then(look) {
            Err(MemoryError::Missing(_)) => None,
            found => found?,
        };
        Ok(MemoryAnswer::Resolved {
            relative_link: link(&name),
            absolute_path: self.absolute(&name),
            exists: found.is_some(),
            kind: found.map(|(found, _)| kind(found)),
            size_bytes: found.and_then(|(_, size)| size),
            path: if name.is_empty() { ".".to_owned() } else { name },
        })
    }

    fn read(&self, path: &str) -> Result<MemoryAnswer, MemoryError> {
        let name = a_page(path)?;
        let bytes = self.pages(false)?.read(&name, LARGEST as u64).map_err(|error| MemoryError::of(error, &name))?;
        let content = text(bytes, &format!("`{name}`"))?;
        Ok(MemoryAnswer::Page { relative_link: link(&name), absolute_path: self.absolute(&name), path: name, content })
    }

    fn change(
        &self,
        action: &'static str,
        path: &str,
        act: impl FnOnce(&Beneath, &str) -> Result<String, MemoryError>,
    ) -> Result<MemoryAnswer, MemoryError> {
        let name = a_page(path)?;
        let detail = act(&self.pages(action != "delete_page")?, &name)?;
        Ok(MemoryAnswer::Done {
            success: true,
            action,
            relative_link: link(&name),
            absolute_path: self.absolute(&name),
            path: name,
            detail,
        })
    }

    /// The root; `make` creates it where somebody removed it.
    fn root(&self, make: bool) -> Result<Beneath, MemoryError> {
        let root = Path::new(&self.paths.memory_root);
        if make {
            files::create_private_dir(root).map_err(|error| MemoryError::System(error.to_string()))?;
        }
        Beneath::open(root).map_err(|error| MemoryError::of(error, "."))
    }

    fn pages(&self, make: bool) -> Result<Beneath, MemoryError> {
        let root = self.root(make)?;
        if make {
            root.make_folders(&self.pages).map_err(|error| MemoryError::of(error, "."))?;
        }
        root.below(&self.pages).map_err(|error| MemoryError::of(error, "."))
    }

    fn in_memo(&self) -> impl Fn(BeneathError) -> MemoryError {
        |error| MemoryError::of(error, &self.memo)
    }

    fn absolute(&self, name: &str) -> String {
        let pages = Path::new(&self.paths.pages_dir);
        if name.is_empty() { pages.to_path_buf() } else { pages.join(name) }.to_string_lossy().into_owned()
    }
}

fn kind(kind: Kind) -> PageKind {
    match kind {
        Kind::File => PageKind::File,
        Kind::Directory => PageKind::Directory,
        Kind::Symlink => PageKind::Symlink,
        Kind::Other => PageKind::Other,
    }
}

fn link(name: &str) -> String {
    if name.is_empty() { PAGES.to_owned() } else { format!("{PAGES}/{name}") }
}

/// A path below the pages in its shortest form; empty for the pages themselves. Links are the kernel's affair.
fn page(path: &str) -> Result<String, MemoryError> {
    let refuse = |why: &str| Err(MemoryError::Refused(format!("the path {why}")));
    if path.trim().is_empty() {
        return refuse("is blank");
    }
    if path.contains('\0') {
        return refuse("holds a NUL");
    }
    if path.starts_with('/') {
        return refuse("is absolute; give it relative to the pages");
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return refuse("leads out with `..`");
    }
    if parts.iter().any(|part| part.trim().is_empty()) {
        return refuse("has a blank part");
    }
    Ok(parts.join("/"))
}

/// A path that is not the pages themselves.
fn a_page(path: &str) -> Result<String, MemoryError> {
    let name = page(path)?;
    if name.is_empty() {
        return Err(MemoryError::Refused("the path names no page but the folder of all pages".to_owned()));
    }
    Ok(name)
}

fn expect_content(content: &str) -> Result<(), MemoryError> {
    if content.contains('\0') {
        return Err(MemoryError::Refused("the content holds a NUL".to_owned()));
    }
    if content.len() > LARGEST {
        return Err(MemoryError::System(format!(
            "the content has {} bytes; at most {LARGEST} are kept",
            content.len()
        )));
    }
    Ok(())
}

fn text(bytes: Vec<u8>, what: &str) -> Result<String, MemoryError> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        MemoryError::System(format!("{what} is not UTF-8: byte {at} (counted from 0) begins no character"))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_stay_below_the_pages() {
        for (given, wanted) in
            [("a.md", "a.md"), ("./a//b/.", "a/b"), (".", ""), ("a/", "a"), ("...", "..."), (" a", " a")]
        {
            assert_eq!(page(given), Ok(wanted.to_owned()), "{given}");
        }
        for wrong in ["", "  ", "/etc/passwd", "..", "a/../b", "a\0b", "a/..", "./ ", "a/ /b"] {
            assert!(matches!(page(wrong), Err(MemoryError::Refused(_))), "{wrong}");
        }
        assert!(a_page(".").is_err());
    }

    proptest! {
        #[test]
        fn no_path_keeps_a_way_out(path in "[./a\\\\ \u{0}é-]{0,24}") {
            if let Ok(name) = page(&path) {
                prop_assert!(!name.starts_with('/') && !name.contains('\0'));
                prop_assert!(name.split('/').all(|part| part != ".." && part != "." ));
                prop_assert_eq!(if name.is_empty() { Ok(name.clone()) } else { page(&name) }, Ok(name.clone()));
            }
        }
    }
}

//! Fixtures that hold us to our word: recorded screens and streams with the states that they must yield.
//!
//! Owns reading `session-fixtures/`, feeding each to the detectors and the reducer, and saying where the answer differs.
//! Promises: no clock and no tmux; the same fixtures give the same report. Callers: `cli`, the tests.

mod screens;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

/// One fixture, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    /// Where it lies, below the folder.
    pub name: String,
    /// What is not as it was written down; empty if all is.
    pub differences: Vec<String>,
}

/// Why fixtures could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// A file or folder cannot be read.
    #[error("{}: {source}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is there and says nothing that can be used.
    #[error("{}: {why}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        why: String,
    },
}

/// Checks every fixture in a folder: `screens/`.
pub fn check(folder: &Path) -> Result<Vec<Case>, ContractError> {
    screens::check(&folder.join("screens"))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, ContractError> {
    let failed = |source| ContractError::File { file: folder.to_owned(), source };
    let read = fs::read_dir(folder).map_err(failed)?;
    let mut paths = read.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>, ContractError> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(file: &Path) -> Result<String, ContractError> {
    fs::read_to_string(file).map_err(|source| ContractError::File { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fixture_reads_as_it_was_written_down() {
        let cases = check(Path::new("session-fixtures")).unwrap();
        let wrong: Vec<_> = cases.iter().filter(|case| !case.differences.is_empty()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

//! Fixtures that hold us to our word: recorded screens and streams with the states that they must yield.
//!
//! Owns reading `session-fixtures/`, feeding each to the detectors and the reducer, and saying where the answer differs.
//! Promises: no clock and no tmux; the same fixtures give the same report. Callers: `cli`, the tests.

mod cast;
mod replay;
mod screens;
mod streams;
mod terminal;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

pub use replay::Step;

use self::cast::Cast;
use crate::agents::{Fit, Profile};

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

/// A recording, replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// The agent program in it.
    pub tool: String,
    /// Its version, where it is known.
    pub version: Option<String>,
    /// The profile that it was read by.
    pub profile: Option<String>,
    /// Why the profile does not fit exactly.
    pub conservative: Option<String>,
    /// What changed, in order.
    pub steps: Vec<Step>,
}

/// Replays a recording. Tool and version are what its title says (`claude-2.1.330`), unless they are given.
pub fn replay(file: &Path, tool: Option<&str>, version: Option<&str>) -> Result<Played, ContractError> {
    let unreadable = |why: String| ContractError::Unreadable { file: file.to_owned(), why };
    let cast = Cast::parse(&text(file)?).map_err(unreadable)?;
    let (tool, version) = match (tool, cast.tool()) {
        (Some(tool), Some((own, found))) if own == tool => (tool, version.or(Some(found))),
        (Some(tool), _) => (tool, version),
        (None, Some((tool, found))) => (tool, version.or(Some(found))),
        (None, None) => return Err(unreadable("it does not say which agent program it shows".to_owned())),
    };
    let profile = Profile::find(tool, version);
    Ok(Played {
        tool: tool.to_owned(),
        version: version.map(str::to_owned),
        profile: profile.as_ref().map(|profile| profile.name.clone()),
        conservative: profile.as_ref().and_then(|profile| match &profile.fit {
            Fit::Exact => None,
            Fit::Conservative(why) => Some(why.clone()),
        }),
        steps: replay::timeline(&cast, tool, profile),
    })
}

/// Checks every fixture in a folder: `screens/`, and `streams/` where there are any.
pub fn check(folder: &Path) -> Result<Vec<Case>, ContractError> {
    let mut cases = screens::check(&folder.join("screens"))?;
    let recorded = folder.join("streams");
    if recorded.exists() {
        cases.extend(streams::check(&recorded)?);
    }
    Ok(cases)
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

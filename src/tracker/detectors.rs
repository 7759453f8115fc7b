//! A person's own profiles: read from a folder, and again when it changes.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use super::{State, Tracker};
use crate::{agents::Library, os::notify::Changes};

/// How often at most to look for a folder that is not there, or that the kernel does not tell of, and only after the
/// agent did something: a gateway beside an idle agent does nothing. A watch of the folder above would take one of the
/// few that a user has, from every gateway and for good.
const LOOK: Duration = Duration::from_secs(2);

/// A file that is written in place is whole so much later.
const WHOLE: Duration = Duration::from_millis(50);

/// The files of a folder, as they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detectors {
    folder: PathBuf,
    /// Name and text of each.
    texts: Vec<(String, String)>,
    /// Of files that cannot be read.
    problems: Vec<String>,
}

impl Detectors {
    /// Reads every `*.toml` of a folder. One that is not there holds none.
    pub fn read(folder: &Path) -> Self {
        let (mut texts, mut problems) = (Vec::new(), Vec::new());
        let mut paths: Vec<_> =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
            match fs::read_to_string(&path) {
                Ok(text) => texts.push((path.display().to_string(), text)),
                Err(error) => problems.push(format!("{}: {error}", path.display())),
            }
        }
        Self { folder: folder.to_owned(), texts, problems }
    }

    /// The profiles in them, and what cannot be used.
    pub fn profiles(&self) -> (Library, Vec<String>) {
        let (library, bad) = Library::with(self.texts.iter().cloned());
        let problems = self.problems.iter().cloned().chain(bad.iter().map(ToString::to_string));
        (library, problems.collect())
    }

    /// The profiles in them. What cannot be used is written to the log; the built-in profile is used then.
    pub fn library(&self) -> Library {
        let (library, problems) = self.profiles();
        problems.iter().for_each(|problem| tracing::warn!("a detector cannot be used, the built-in one is: {problem}"));
        library
    }

    /// Gives the tracker other profiles to choose from whenever the files are others, until told to stop.
    pub async fn follow(mut self, tracker: Tracker, mut stop: watch::Receiver<bool>) {
        let mut stopped = std::pin::pin!(stop.wait_for(|stop| *stop));
        let mut watched = watch(&self.folder);
        let mut state = tracker.state();
        loop {
            state.mark_unchanged();
            let now = Self::read(&self.folder);
            if now != self {
                self = now;
                tracing::info!("the detectors were read again");
                tracker.use_library(self.library());
            }
            if watched.is_none() || !self.folder.is_dir() {
                watched = watch(&self.folder);
            }
            tokio::select! {
                _ = &mut stopped => return,
                () = changed(&mut watched, &mut state) => {}
            }
        }
    }
}

fn watch(folder: &Path) -> Option<Changes> {
    // Asked first: for a folder that is not there, no watch is taken even for a moment.
    let mut changes = folder.is_dir().then(|| Changes::new().ok()).flatten()?;
    changes.add(folder).then_some(changes)
}

async fn changed(watched: &mut Option<Changes>, state: &mut watch::Receiver<Arc<State>>) {
    let Some(changes) = watched else {
        // The tracker is there as long as we are.
        drop(state.changed().await);
        return tokio::time::sleep(LOOK).await;
    };
    match changes.any().await {
        Ok(()) => tokio::time::sleep(WHOLE).await,
        Err(_) => *watched = None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_folder_are_read_and_bad_ones_named() {
        let folder = tempfile::tempdir().unwrap();
        let own = "tool = \"codex\"\nname = \"mine\"\nversions = \">=0.1\"\n[composer]\nsign = '^> ?'\n";
        let put = |name: &str, text: &str| {
            let mut file = fs::File::create(folder.path().join(name)).unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        };
        put("codex.toml", own);
        put("notes.txt", "no profile");
        put("z.toml", "tool = 7\n");
        let (library, problems) = Detectors::read(folder.path()).profiles();
        assert_eq!(library.find("codex", None).unwrap().name, "mine");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("z.toml: line "), "{problems:?}");
        assert!(Detectors::read(&folder.path().join("nowhere")).profiles().1.is_empty());
    }
}

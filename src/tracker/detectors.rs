//! A person's own profiles: read from a folder, and again when it changes.

use std::{fs, path::Path};

use tokio::sync::watch;

use super::Tracker;
use crate::{agents::Library, os::notify::Folders};

/// Reads every `*.toml` of a folder, and says which cannot be used. A folder that is not there holds none.
pub fn load(folder: &Path) -> (Library, Vec<String>) {
    let mut texts = Vec::new();
    let mut problems = Vec::new();
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "toml")) {
        match fs::read_to_string(&path) {
            Ok(text) => texts.push((path.display().to_string(), text)),
            Err(error) => problems.push(format!("{}: {error}", path.display())),
        }
    }
    let (library, bad) = Library::with(texts);
    problems.extend(bad.iter().map(ToString::to_string));
    (library, problems)
}

/// Gives the tracker other profiles to choose from whenever a file in the folder was replaced, until told to stop.
/// Without such a folder, or without a watch on it, they stay as they are.
pub async fn follow(folder: std::path::PathBuf, tracker: Tracker, mut stop: watch::Receiver<bool>) {
    let mut stopped = std::pin::pin!(stop.wait_for(|stop| *stop));
    let mut files = Folders::watch(&[&folder]).ok();
    loop {
        let changed = async {
            match &mut files {
                Some(files) => files.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = &mut stopped => return,
            is_watched = changed => if !is_watched {
                files = None;
                continue;
            },
        }
        let (library, problems) = load(&folder);
        report(&problems);
        tracker.use_library(library);
    }
}

/// Says what cannot be used, and that the built-in profile stays in use.
pub fn report(problems: &[String]) {
    problems.iter().for_each(|problem| tracing::warn!("a detector cannot be used, the built-in one is: {problem}"));
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
        let (library, problems) = load(folder.path());
        assert_eq!(library.find("codex", None).unwrap().name, "mine");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("z.toml: line "), "{problems:?}");
        assert!(load(&folder.path().join("nowhere")).1.is_empty());
    }
}
